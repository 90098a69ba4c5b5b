//! Folders worth capturing on a machine that hearth sees for the first time.
//!
//! It looks into the home folder for what people keep their words in and counts it, for a limited time: counts are lower
//! bounds unless they are said to be complete. It captures nothing and changes nothing.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{Files, Found, Options, Source, files::open_regular};

/// A folder that may be worth capturing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProposedFolder {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is proposed.
    pub why: &'static str,
    /// How many files would be looked at.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The counts are all there is, not just what was counted in time.
    pub complete: bool,
}

/// What folders of this kind are called, and why they are proposed.
const NAMES: &[(&str, &[&str])] = &[
    ("documents", &["Documents", "documents"]),
    (
        "notes",
        &[
            "Notes",
            "notes",
            "Obsidian",
            "Vault",
            "vault",
            "Zettelkasten",
            "Logseq",
            "Joplin",
            "org",
            "Journal",
            "journal",
            "Diary",
            "Wiki",
            "wiki",
            "Writing",
        ],
    ),
    (
        "projects",
        &[
            "Projects",
            "projects",
            "Code",
            "code",
            "src",
            "dev",
            "Development",
            "repos",
            "git",
            "workspace",
            "Work",
            "work",
        ],
    ),
];

/// Proposes folders of a home folder, what matters most first. It takes about as long as `time` at most.
pub fn propose(home: &Path, time: Duration) -> Vec<ProposedFolder> {
    let started = Instant::now();
    let mut chosen: Vec<(PathBuf, &'static str)> = Vec::new();
    let mut choose = |path: PathBuf, why| {
        let Ok(real) = fs::canonicalize(&path) else { return };
        let is_new = chosen.iter().all(|(other, _)| !real.starts_with(other) && !other.starts_with(&real));
        if real.is_dir() && is_new && fs::canonicalize(home).is_ok_and(|home| !home.starts_with(&real)) {
            chosen.push((real, why));
        }
    };
    if let Some(documents) = user_folder(home, "DOCUMENTS") {
        choose(documents, "documents");
    }
    for (why, names) in NAMES {
        for name in *names {
            choose(home.join(name), why);
        }
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(home).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    entries.sort();
    for path in entries {
        if path.join(".obsidian").is_dir() || path.join("logseq").is_dir() || path.join(".zk").is_dir() {
            choose(path, "a vault of notes");
        } else if path.join(".git").exists() {
            choose(path, "a git repository");
        }
    }
    let count = chosen.len();
    let proposed = chosen.into_iter().enumerate().map(|(nth, (path, why))| {
        let left = time.saturating_sub(started.elapsed());
        estimate(path, why, left / u32::try_from(count - nth).unwrap_or(u32::MAX))
    });
    proposed.filter(|folder| folder.files > 0 || !folder.complete).collect()
}

fn estimate(path: PathBuf, why: &'static str, time: Duration) -> ProposedFolder {
    let started = Instant::now();
    let mut folder = ProposedFolder { path, why, files: 0, bytes: 0, complete: false };
    for found in Files::new(std::slice::from_ref(&folder.path), &Options::default()).scan(None) {
        if started.elapsed() >= time {
            return folder;
        }
        if let Found::Seen(candidate) = found {
            folder.files += 1;
            folder.bytes += candidate.bytes;
        }
    }
    folder.complete = true;
    folder
}

/// A folder as the desktop calls it in the user's language (xdg-user-dirs).
fn user_folder(home: &Path, which: &str) -> Option<PathBuf> {
    let (file, _) = open_regular(&home.join(".config/user-dirs.dirs")).ok()?;
    let mut text = String::new();
    file.take(64 << 10).read_to_string(&mut text).ok()?;
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("XDG_")?.strip_prefix(which)?.strip_prefix("_DIR="))?
        .trim_matches('"');
    match value.strip_prefix("$HOME") {
        Some(rest) => Some(home.join(rest.trim_start_matches('/'))),
        None => value.starts_with('/').then(|| PathBuf::from(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn home(files: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().expect("it lies in the home folder")).expect("folders can be made");
            fs::write(path, "words").expect("files can be written");
        }
        home
    }

    fn names(home: &tempfile::TempDir, time: Duration) -> Vec<(String, &'static str, u64, bool)> {
        let root = fs::canonicalize(home.path()).expect("it exists");
        let shown = |path: &Path| path.strip_prefix(&root).unwrap_or(path).display().to_string();
        propose(home.path(), time)
            .iter()
            .map(|folder| (shown(&folder.path), folder.why, folder.files, folder.complete))
            .collect()
    }

    #[test]
    fn what_people_write_in_is_proposed_and_nothing_else() {
        let home = home(&[
            "Documents/a.txt",
            "Documents/Vault/b.md",
            "notes/c.md",
            "Pictures/d.png",
            "Downloads/e.txt",
            ".ssh/id_rsa",
            "garden/.obsidian/x",
            "garden/f.md",
            "tool/.git/HEAD",
            "tool/g.rs",
            "Projects/node_modules/h.js",
        ]);
        assert_eq!(
            names(&home, LONG),
            [
                ("Documents".into(), "documents", 2, true),
                ("notes".into(), "notes", 1, true),
                ("garden".into(), "a vault of notes", 1, true),
                ("tool".into(), "a git repository", 1, true),
            ],
            "Projects holds nothing that would be captured"
        );
    }

    #[test]
    fn the_desktop_says_where_documents_are_unless_it_says_home() {
        let home = home(&["Dokumente/a.txt"]);
        fs::create_dir_all(home.path().join(".config")).expect("folders can be made");
        let dirs = home.path().join(".config/user-dirs.dirs");
        for (said, expected) in [("$HOME/Dokumente", 1), ("$HOME/", 0), ("$HOME", 0), ("/", 0), ("/nowhere", 0)] {
            fs::write(&dirs, format!("# made by a desktop\nXDG_DOCUMENTS_DIR=\"{said}\"\n"))
                .expect("files can be written");
            assert_eq!(names(&home, LONG).len(), expected, "{said}");
        }
    }

    #[test]
    fn without_time_folders_are_named_and_counts_are_not_complete() {
        let home = home(&["Documents/a.txt", "notes/b.md"]);
        let folders = names(&home, Duration::ZERO);
        assert_eq!(folders.len(), 2);
        assert!(folders.iter().all(|(_, _, files, complete)| *files == 0 && !complete));
    }
}
