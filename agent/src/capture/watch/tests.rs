//! The watch on real folders. Each waits for what must come, however long it takes; nothing is timed.

use std::fs;

use tempfile::TempDir;

use super::{super::*, *};

const PATIENCE: Duration = Duration::from_secs(60);

struct Watched {
    root: PathBuf,
    source: Files,
    _folder: TempDir,
}

impl Watched {
    fn with(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = fs::canonicalize(folder.path()).expect("it exists");
        let watched =
            Self { source: Files::new(std::slice::from_ref(&root), &Options::default()), root, _folder: folder };
        for file in files {
            watched.write(file, "words");
        }
        watched
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root.join(file);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("folders can be made");
        fs::write(path, text).expect("files can be written");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.root.join(from), self.root.join(to)).expect("it is there");
    }

    fn watch(&self, how: &Watching) -> Watch {
        self.source.watch(how).expect("the system can watch")
    }

    /// Makes a last change and returns what was told until then, in short.
    fn told(&self, watch: &Watch) -> Vec<String> {
        self.write("end.txt", "end");
        let mut told = Vec::new();
        // What is gone is told late, so the end is removed again and its going is the last word.
        let mut ended = false;
        loop {
            let change = watch.recv_timeout(PATIENCE).expect("the end is told");
            let short = self.short(&change);
            match short.as_str() {
                "seen end.txt" if !ended => {
                    ended = true;
                    fs::remove_file(self.root.join("end.txt")).expect("it was just written");
                }
                "gone end.txt" => return told,
                "seen end.txt" => {}
                _ => told.push(short),
            }
        }
    }

    fn short(&self, change: &Change) -> String {
        let name = |name: &[u8]| {
            name_path(name).strip_prefix(&self.root).expect("it lies in the folder").display().to_string()
        };
        match change {
            Change::Seen(candidate) => format!("seen {}", name(&candidate.name)),
            Change::Gone { name: gone, folder } => format!("gone {}{}", name(gone), if *folder { "/" } else { "" }),
            Change::Renamed { from, to } => format!("renamed {} {}", name(from), name(&to.name)),
            Change::Skipped(skip) => format!("skipped {} {}", name(&skip.name), skip.reason.code()),
            Change::Rescan { why } => format!("rescan {}", why.to_string().split(',').next().unwrap_or_default()),
        }
    }
}

fn at_once() -> Watching {
    Watching { calm: Duration::ZERO, calm_big: Duration::ZERO, ..Watching::default() }
}

#[test]
fn a_rename_is_told_as_one_for_a_file_and_for_all_in_a_folder() {
    let watched = Watched::with(&["d/a.txt", "d/e/b.txt", "c.txt"]);
    let watch = watched.watch(&at_once());
    watched.rename("c.txt", "f.txt");
    watched.rename("d", "g");
    assert_eq!(
        watched.told(&watch),
        ["renamed c.txt f.txt", "renamed d/a.txt g/a.txt", "renamed d/e/b.txt g/e/b.txt", "gone d/"]
    );
    watched.write("g/e/b.txt", "other words");
    assert!(watched.told(&watch).contains(&"seen g/e/b.txt".to_owned()), "the folder is watched under its new name");
}

#[test]
fn what_is_moved_out_of_sight_is_gone_and_what_is_moved_in_is_new() {
    let watched = Watched::with(&["a.txt", "d/b.txt", ".hidden/c.txt"]);
    let watch = watched.watch(&at_once());
    watched.rename("a.txt", ".a");
    watched.rename("d", ".d");
    watched.rename(".hidden", "shown");
    let mut told = watched.told(&watch);
    told.sort();
    assert_eq!(told, ["gone a.txt", "gone d/", "seen shown/c.txt"]);
}

#[test]
fn a_file_that_replaces_another_is_the_other_changed() {
    let watched = Watched::with(&["notes.md"]);
    let watch = watched.watch(&Watching { calm: Duration::from_millis(200), ..at_once() });
    watched.write("notes.md.new", "as editors save");
    watched.rename("notes.md.new", "notes.md");
    let told = watched.told(&watch);
    assert!(told.contains(&"seen notes.md".to_owned()), "{told:?}");
    assert!(
        !told.iter().any(|change| change.starts_with("renamed")),
        "it had not been read under its first name: {told:?}"
    );
}

#[test]
fn what_is_ignored_is_not_told_and_a_changed_rule_asks_for_a_scan() {
    let watched = Watched::with(&[".gitignore", "a.txt"]);
    watched.write(".gitignore", "*.log\n");
    let watch = watched.watch(&at_once());
    watched.write("b.log", "ignored");
    watched.write("node_modules/x.js", "never");
    assert_eq!(watched.told(&watch), Vec::<String>::new());
    watched.write(".gitignore", "");
    let told = watched.told(&watch);
    assert!(told.iter().any(|change| change.starts_with("rescan") && change.contains(".gitignore")), "{told:?}");
}

#[test]
fn more_than_can_be_remembered_asks_for_a_scan() {
    let watched = Watched::with(&[]);
    let watch = watched.watch(&Watching { calm: Duration::from_secs(3600), most: 100, ..at_once() });
    for nth in 0..1000 {
        watched.write(&format!("{nth}.txt"), "words");
    }
    let change = watch.recv_timeout(PATIENCE).expect("it is told");
    assert!(matches!(change, Change::Rescan { why: RescanReason::Overflow }), "{change:?}");
}

#[test]
fn folders_beyond_the_limit_are_scanned_now_and_then_and_it_is_said() {
    let watched = Watched::with(&["a/x.txt", "b/x.txt", "c/x.txt"]);
    let watch = watched.watch(&Watching { most_folders: 2, rescan_every: Duration::from_millis(1), ..at_once() });
    for _ in 0..3 {
        let change = watch.recv_timeout(PATIENCE).expect("it is told again and again");
        let Change::Rescan { why } = change else { panic!("{change:?}") };
        assert_eq!(why, RescanReason::Unwatched { watched: 2, every_s: 0 });
        assert!(why.to_string().contains("max_user_watches"));
    }
}

#[test]
fn a_burst_of_ten_thousand_files_is_told_without_losing_one() {
    let watched = Watched::with(&[]);
    let watch = watched.watch(&Watching { capacity: 8, ..at_once() });
    for nth in 0..10_000 {
        fs::write(watched.root.join(format!("{nth}.txt")), "words").expect("files can be written");
    }
    let mut missing: BTreeSet<Vec<u8>> =
        (0..10_000).map(|nth| path_name(&watched.root.join(format!("{nth}.txt")))).collect();
    while !missing.is_empty() {
        match watch.recv_timeout(PATIENCE).expect("all are told") {
            Change::Seen(candidate) => {
                missing.remove(&candidate.name);
            }
            Change::Rescan { .. } => {
                for found in watched.source.scan(None) {
                    missing.remove(found.name());
                }
            }
            other => panic!("nothing else happened: {other:?}"),
        }
    }
}

#[test]
fn an_inbox_holds_each_path_once_and_never_more_than_it_may() {
    let inbox = Inbox::new(3);
    let event = |path: &str| Ok(Event::new(EventKind::Create(notify::event::CreateKind::File)).add_path(path.into()));
    for _ in 0..1000 {
        inbox.hear(event("/a"));
    }
    assert_eq!(inbox.state().notes.len(), 1);
    for nth in 0..1000 {
        inbox.hear(event(&format!("/{nth}")));
        assert!(inbox.state().notes.len() <= 3);
    }
    assert!(inbox.take(Duration::ZERO).expect("it is open").overflow);
    inbox.close();
    assert!(inbox.take(PATIENCE).is_none());
}

#[test]
fn a_name_that_is_used_again_after_a_rename_is_another_file() {
    let inbox = Inbox::new(100);
    let touched = |path: &str| {
        inbox.hear(Ok(Event::new(EventKind::Create(notify::event::CreateKind::File)).add_path(path.into())));
    };
    touched("/a");
    let both = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
    inbox.hear(Ok(Event::new(both).add_path("/a".into()).add_path("/b".into())));
    touched("/a");
    let notes = inbox.take(Duration::ZERO).expect("it is open").notes;
    assert!(matches!(notes.as_slice(), [Note::Touched(_), Note::Renamed(..), Note::Touched(_)]), "{notes:?}");
}
