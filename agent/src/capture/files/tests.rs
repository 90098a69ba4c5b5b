//! The walk, the reading and the explaining, on real folders with everything in them that a disk may hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    time::Duration,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{super::conformance, *};

/// A folder to fill.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let tree = Self::new();
        for (path, text) in files {
            tree.write(path, text.as_bytes());
        }
        tree
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.0.path()).expect("it exists")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("folders can be made");
        fs::write(&path, bytes).expect("files can be written");
        path
    }

    fn source(&self) -> Files {
        Files::new(&[self.root()], &Options::default())
    }

    /// What becomes of everything that a scan meets: `captured`, or the code of the reason.
    fn outcomes(&self) -> BTreeMap<String, String> {
        outcomes(&self.source(), &self.root(), &Limits::default())
    }

    fn candidate(&self, path: &str) -> Candidate {
        match inspect(&self.path(path)) {
            Ok(Entry::File(candidate)) => candidate,
            other => panic!("{path} is no file: {other:?}"),
        }
    }

    fn code_of(&self, path: &str) -> Option<&'static str> {
        self.source().why(&self.path(path), &Limits::default()).reason.map(|reason| reason.code())
    }
}

fn outcomes(source: &Files, root: &Path, limits: &Limits) -> BTreeMap<String, String> {
    let shown = |name: &[u8]| display_name(&path_name(name_path(name).strip_prefix(root).unwrap_or(&name_path(name))));
    source
        .scan(None)
        .map(|found| match found {
            Found::Skipped(skip) => (shown(&skip.name), skip.reason.code().to_owned()),
            Found::Seen(candidate) => match source.read(&candidate, limits) {
                Ok(captured) => (shown(&candidate.name), captured.format.to_string()),
                Err(skip) => (shown(&candidate.name), skip.reason.code().to_owned()),
            },
        })
        .collect()
}

fn map(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(path, code)| ((*path).to_owned(), (*code).to_owned())).collect()
}

#[test]
fn whatever_a_disk_may_hold_is_captured_or_left_alone_with_a_reason() {
    let tree = Tree::with(&[
        ("notes.md", "# Garden\nseeds"),
        ("page.html", "<p>words</p>"),
        ("main.rs", "fn main() {}"),
        ("empty.txt", ""),
    ]);
    tree.write("blank.txt", b" \n\n");
    tree.write("picture.txt", b"\x89PNG\r\n\x1a\nrest");
    tree.write("zeros.bin", &[0; 9000]);
    tree.write("latin.txt", b"caf\xe9 au lait, d\xe9j\xe0 vu");
    tree.write("utf16.txt", &"\u{feff}wide words".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    tree.write(
        "noise.txt",
        &(0..4000u32).map(|n| u8::try_from(n * 7919 % 251).expect("below 251") | 0x80).collect::<Vec<u8>>(),
    );
    tree.write("key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n");
    tree.write("server.pem", b"words");
    tree.write(".profile", b"words");
    tree.write("line\nbreak.txt", b"words");
    tree.write(OsStr::from_bytes(b"bytes \xff\xfe.txt"), b"words");
    symlink("notes.md", tree.path("link.md")).expect("links can be made");
    symlink("loop", tree.path("loop")).expect("links can be made");
    symlink("..", tree.path("up")).expect("links can be made");
    symlink("nowhere", tree.path("dangling")).expect("links can be made");
    let _socket = UnixListener::bind(tree.path("socket")).expect("sockets can be made");
    rustix::fs::mknodat(CWD, tree.path("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).expect("pipes can be made");
    let sparse = File::create(tree.path("sparse.txt")).expect("files can be written");
    sparse.set_len(1 << 20).expect("files can have holes");
    let huge = File::create(tree.path("huge.txt")).expect("files can be written");
    huge.set_len(1 << 40).expect("files can have holes");

    assert_eq!(
        tree.outcomes(),
        map(&[
            (".profile", "hidden"),
            ("blank.txt", "empty"),
            ("bytes \u{fffd}\u{fffd}.txt", "text"),
            ("dangling", "symlink"),
            ("empty.txt", "empty"),
            ("huge.txt", "too-large"),
            ("key", "never-list"),
            ("latin.txt", "text"),
            ("line\\nbreak.txt", "text"),
            ("link.md", "symlink"),
            ("loop", "symlink"),
            ("main.rs", "code/rust"),
            ("noise.txt", "unknown-encoding"),
            ("notes.md", "markdown"),
            ("page.html", "html"),
            ("picture.txt", "binary"),
            ("pipe", "not-a-regular-file"),
            ("server.pem", "never-list"),
            ("socket", "not-a-regular-file"),
            ("sparse.txt", "binary"),
            ("up", "symlink"),
            ("utf16.txt", "text"),
            ("zeros.bin", "binary"),
        ])
    );
}

#[test]
fn a_device_is_never_opened() {
    let tree = Tree::new();
    let made = rustix::fs::mknodat(
        CWD,
        tree.path("null"),
        rustix::fs::FileType::CharacterDevice,
        Mode::RWXU,
        rustix::fs::makedev(1, 3),
    );
    // Only root makes devices; without them, the one that every system has is asked about.
    let (source, path) = match made {
        Ok(()) => (tree.source(), tree.path("null")),
        Err(_) => (Files::new(&[PathBuf::from("/dev/null")], &Options::default()), PathBuf::from("/dev/null")),
    };
    let reason = source.why(&path, &Limits::default()).reason.expect("a device is left alone");
    assert_eq!(reason.code(), if made.is_ok() { "not-a-regular-file" } else { "never-list" });
    assert!(matches!(open_regular(Path::new("/dev/null")), Err(SkipReason::NotARegularFile { .. })));
}

#[test]
fn names_swapped_between_finding_and_reading_lead_nowhere() {
    let outside = Tree::with(&[("secret.txt", "not in the folder")]);
    type Swap = fn(&Tree, &Tree);
    let swaps: [(&str, Swap, &str); 5] = [
        (
            "for a link to a file",
            |tree, outside| symlink(outside.path("secret.txt"), tree.path("d/a.txt")).expect("links can be made"),
            "symlink",
        ),
        (
            "for a pipe",
            |tree, _| {
                rustix::fs::mknodat(CWD, tree.path("d/a.txt"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
                    .expect("pipes can be made");
            },
            "not-a-regular-file",
        ),
        ("for a folder", |tree, _| fs::create_dir(tree.path("d/a.txt")).expect("folders can be made"), "vanished"),
        ("for nothing", |_, _| {}, "vanished"),
        (
            "in a folder that became a link",
            |tree, outside| {
                fs::rename(outside.path("secret.txt"), outside.path("a.txt")).expect("files can be renamed");
                fs::remove_dir(tree.path("d")).expect("it is empty");
                symlink(outside.root(), tree.path("d")).expect("links can be made");
            },
            "symlink",
        ),
    ];
    for (case, swap, code) in swaps {
        let tree = Tree::with(&[("d/a.txt", "words")]);
        let candidate = tree.candidate("d/a.txt");
        fs::remove_file(tree.path("d/a.txt")).expect("files can be removed");
        swap(&tree, &outside);
        let skip = tree.source().read(&candidate, &Limits::default()).expect_err(case);
        assert_eq!(skip.reason.code(), code, "{case}");
    }
}

#[test]
fn a_name_outside_the_folder_is_not_read_however_it_is_spelled() {
    let tree = Tree::with(&[("in/a.txt", "words"), ("out.txt", "words")]);
    let source = Files::new(&[tree.path("in")], &Options::default());
    let candidate = tree.candidate("out.txt");
    for name in [tree.path("out.txt"), tree.path("in/../out.txt"), tree.path("in/a.txt/../../out.txt")] {
        let skip = source
            .read(&Candidate { name: path_name(&name), ..candidate.clone() }, &Limits::default())
            .expect_err("it is outside");
        assert_eq!(skip.reason, SkipReason::OutOfScope, "{}", name.display());
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_put_off() {
    let tree = Tree::with(&[("log.txt", "one\n")]);
    let (source, candidate) = (tree.source(), tree.candidate("log.txt"));
    let append = || {
        use std::io::Write;
        let mut file = File::options().append(true).open(tree.path("log.txt")).expect("files can be opened");
        file.write_all(b"more\n").expect("files can be written");
    };
    let skip = source.read_then(&candidate, &Limits::default(), append).expect_err("it changes each time");
    assert_eq!(skip.reason, SkipReason::Changing);
    assert!(skip.reason.is_passing());

    let mut once = Some(append);
    let captured = source
        .read_then(&candidate, &Limits::default(), || {
            if let Some(append) = once.take() {
                append();
            }
        })
        .expect("it rests after one change");
    assert_eq!(captured.text.len(), "one\n".len() + 4 * "more\n".len());
    assert_eq!(captured.fingerprint, tree.candidate("log.txt").fingerprint);
}

#[test]
fn what_the_system_refuses_is_told_and_nothing_else_is_lost() {
    // Root reads whatever modes say, so the refusal here is one that holds for root too: a path too long for the system.
    let tree = Tree::with(&[("a.txt", "words"), ("z.txt", "words")]);
    let mut at =
        rustix::fs::open(tree.root(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("it can be opened");
    let name = "d".repeat(200);
    for _ in 0..25 {
        rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).expect("folders can be made");
        at = rustix::fs::openat(&at, name.as_str(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
            .expect("it was just made");
    }
    let outcomes = tree.outcomes();
    let codes: Vec<&str> = outcomes.values().map(String::as_str).collect();
    assert_eq!(codes, ["text", "unreadable", "text"]);

    if rustix::process::geteuid().is_root() {
        return; // the rest needs somebody whom modes bind
    }
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(tree.path("a.txt"), fs::Permissions::from_mode(0o0)).expect("modes can be set");
    assert_eq!(tree.code_of("a.txt"), Some("unreadable"));
}

#[test]
fn a_folder_that_is_not_there_is_said_to_be_away() {
    let tree = Tree::with(&[("here/a.txt", "words")]);
    let source = Files::new(&[tree.path("here"), tree.path("away")], &Options::default());
    assert_eq!(
        outcomes(&source, &tree.root(), &Limits::default()),
        map(&[("away", "vanished"), ("here/a.txt", "text")])
    );
    let skip = source
        .scan(None)
        .find_map(|found| if let Found::Skipped(skip) = found { Some(skip) } else { None })
        .expect("one is away");
    assert!(skip.folder && skip.reason.is_passing(), "so that nothing in it counts as gone");
}

#[test]
fn ten_thousand_files_are_found_with_one_folder_in_memory_at_a_time() {
    let tree = Tree::new();
    for folder in 0..100 {
        fs::create_dir(tree.path(&format!("{folder:03}"))).expect("folders can be made");
        for file in 0..100 {
            fs::write(tree.path(&format!("{folder:03}/{file:03}.txt")), "words").expect("files can be written");
        }
    }
    let mut walk = tree.source().walk_below(&tree.root());
    walk.collect = false;
    let (mut count, mut most) = (0, 0);
    while let Some(found) = walk.next() {
        assert!(matches!(found, Found::Seen(_)));
        count += 1;
        most = most.max(walk.stack.iter().map(|frame| frame.entries.len()).sum());
    }
    assert_eq!(count, 10_000);
    assert!(most <= 200, "{most} names were held at once");
}

#[test]
fn ignore_files_hold_below_where_they_lie() {
    let tree = Tree::with(&[
        (".gitignore", "*.log\n/build/\n!keep.log\n[bad\n"),
        ("a.log", "x"),
        ("keep.log", "x"),
        ("build/out.txt", "x"),
        ("src/build/in.txt", "x"),
        ("src/.ignore", "draft.md\n"),
        ("src/draft.md", "x"),
        ("draft.md", "x"),
        (".hearthignore", "!a.log\n!.plan\nprivate/\n"),
        (".plan", "x"),
        ("private/diary.md", "x"),
        ("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
        ("cache/x.txt", "x"),
        ("venv/pyvenv.cfg", "x"),
        ("venv/lib.py", "x"),
        ("repo/.git/HEAD", "x"),
        ("repo/its-own-rules.log", "x"),
    ]);
    assert_eq!(
        tree.outcomes(),
        map(&[
            (".gitignore", "hidden"),
            (".hearthignore", "hidden"),
            (".plan", "text"),
            ("a.log", "text"),
            ("build", "ignored"),
            ("cache", "never-list"),
            ("draft.md", "markdown"),
            ("keep.log", "text"),
            ("private", "ignored"),
            ("repo/.git", "never-list"),
            ("repo/its-own-rules.log", "text"),
            ("src/.ignore", "hidden"),
            ("src/build/in.txt", "text"),
            ("src/draft.md", "ignored"),
            ("venv", "never-list"),
        ])
    );
}

#[test]
fn ignore_files_above_hold_within_their_repository_only() {
    let tree = Tree::with(&[
        (".gitignore", "*\n"),
        (".hearthignore", "*.bin\n"),
        ("repo/.git/info/exclude", "local.txt\n"),
        ("repo/.gitignore", "*.log\n"),
        ("repo/docs/a.log", "x"),
        ("repo/docs/a.bin", "x"),
        ("repo/docs/a.txt", "x"),
        ("repo/docs/local.txt", "x"),
        ("plain/a.txt", "x"),
    ]);
    let source = Files::new(&[tree.path("repo/docs"), tree.path("plain")], &Options::default());
    assert_eq!(
        outcomes(&source, &tree.root(), &Limits::default()),
        map(&[
            ("plain/a.txt", "text"),
            ("repo/docs/a.bin", "ignored"),
            ("repo/docs/a.log", "ignored"),
            ("repo/docs/a.txt", "text"),
            ("repo/docs/local.txt", "ignored"),
        ])
    );
}

#[test]
fn an_ignore_file_that_is_a_pipe_or_a_link_stops_nothing() {
    let tree = Tree::with(&[("a.txt", "x"), ("d/b.txt", "x"), ("rules", "*\n")]);
    rustix::fs::mknodat(CWD, tree.path(".gitignore"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
        .expect("pipes can be made");
    symlink("../rules", tree.path("d/.ignore")).expect("links can be made");
    assert_eq!(
        tree.outcomes(),
        map(&[
            (".gitignore", "hidden"),
            ("a.txt", "text"),
            ("d/.ignore", "hidden"),
            ("d/b.txt", "text"),
            ("rules", "text")
        ])
    );
}

#[test]
fn naming_a_folder_lifts_what_is_noise_and_never_what_is_secret() {
    let tree = Tree::with(&[
        (".notes/a.md", "x"),
        ("node_modules/readme.md", "x"),
        (".ssh/config", "x"),
        ("data/log", "x"),
        ("outer/.inner/deep/b.md", "x"),
        ("outer/.inner/c.md", "x"),
        ("outer/d.md", "x"),
    ]);
    let roots =
        [".notes", "node_modules", ".ssh", "data", "outer", "outer/.inner/deep", "outer"].map(|root| tree.path(root));
    let source = Files::new(&roots, &Options { own: vec![tree.path("data")], ..Options::default() });
    assert_eq!(
        outcomes(&source, &tree.root(), &Limits::default()),
        map(&[
            (".notes/a.md", "markdown"),
            (".ssh", "never-list"),
            ("data", "never-list"),
            ("node_modules/readme.md", "markdown"),
            ("outer/.inner/deep/b.md", "markdown"),
            ("outer/d.md", "markdown"),
        ])
    );
    let names: Vec<Vec<u8>> = source.scan(None).map(|found| found.name().to_vec()).collect();
    assert!(names.is_sorted_by(|a, b| name_order(a, b).is_lt()), "one folder within another is met in its place, once");
}

#[test]
fn why_names_the_step_that_decides() {
    let tree = Tree::with(&[
        ("in/.gitignore", "drafts/\n"),
        ("in/drafts/a.md", "x"),
        ("in/b.md", "x"),
        ("in/.git/config", "x"),
        ("in/app/.env", "x"),
        ("out/c.md", "x"),
    ]);
    symlink(tree.path("out"), tree.path("in/link")).expect("links can be made");
    let source = Files::new(&[tree.path("in")], &Options::default());
    for (asked, decided_at, code, says) in [
        ("in/b.md", "in/b.md", None, "is captured as Markdown"),
        ("in", "in", None, "is a folder"),
        ("in/drafts/a.md", "in/drafts", Some("ignored"), "`drafts/` in "),
        ("in/.git/config", "in/.git", Some("never-list"), "rule `version-control`"),
        ("in/app/.env", "in/app/.env", Some("never-list"), "rule `secret-settings`"),
        ("in/link", "in/link", Some("symlink"), "links are not followed"),
        ("in/nothing.md", "in/nothing.md", Some("vanished"), "gone"),
        ("out/c.md", "out/c.md", Some("out-of-scope"), "name its folder"),
    ] {
        let why = source.why(&tree.path(asked), &Limits::default());
        assert_eq!(why.reason.as_ref().map(SkipReason::code), code, "{asked}");
        assert_eq!(why.decided_at, display_name(&path_name(&tree.path(decided_at))), "{asked}");
        assert!(why.sentence.contains(says), "{asked}: {}", why.sentence);
    }
}

#[test]
fn a_single_file_and_a_link_may_be_named() {
    let tree = Tree::with(&[("a.md", "x"), ("b.md", "x"), ("real/c.md", "x")]);
    symlink("real", tree.path("named")).expect("links can be made");
    let source = Files::new(&[tree.path("a.md"), tree.path("named")], &Options::default());
    assert_eq!(
        outcomes(&source, &tree.root(), &Limits::default()),
        map(&[("a.md", "markdown"), ("real/c.md", "markdown")])
    );
}

#[test]
fn limits_are_those_of_the_caller() {
    let tree = Tree::with(&[("a.txt", "1234567890")]);
    let read = |limits| {
        tree.source()
            .read(&tree.candidate("a.txt"), &limits)
            .map(|captured| captured.text.len())
            .map_err(|skip| skip.reason)
    };
    assert_eq!(read(Limits { bytes: 10, ..Limits::default() }), Ok(10));
    assert_eq!(read(Limits { bytes: 9, ..Limits::default() }), Err(SkipReason::TooLarge { bytes: 10, limit: 9 }));
    assert_eq!(read(Limits { time: Duration::ZERO, ..Limits::default() }), Err(SkipReason::TimedOut { limit_ms: 0 }));
}

struct Folder(Tree);

impl conformance::World for Folder {
    fn source(&self) -> Box<dyn Source> {
        Box::new(self.0.source())
    }

    fn put(&mut self, label: &str, text: &str) -> Vec<u8> {
        path_name(&self.0.write(format!("d{}/{label}.txt", &label[..1]), text.as_bytes()))
    }

    fn remove(&mut self, label: &str) {
        fs::remove_file(self.0.path(&format!("d{}/{label}.txt", &label[..1]))).expect("it was put there");
    }

    fn rename(&mut self, from: &str, to: &str) -> Option<Vec<u8>> {
        let (from, to) = [from, to].map(|label| self.0.path(&format!("d{}/{label}.txt", &label[..1]))).into();
        fs::create_dir_all(to.parent().expect("it lies in a folder")).expect("folders can be made");
        fs::rename(from, &to).expect("it was put there");
        Some(path_name(&to))
    }

    fn spoil(&mut self) -> Vec<(Vec<u8>, &'static str)> {
        let binary = self.0.write("d0/zz.dat", &[0; 100]);
        let hidden = self.0.write(".x", b"words");
        vec![(path_name(&binary), "binary"), (path_name(&hidden), "hidden")]
    }
}

#[test]
fn files_are_a_source_like_every_other() {
    conformance::check(|| Folder(Tree::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The walk and the question about one path decide alike, whatever lies where.
    #[test]
    fn a_walk_finds_just_what_would_be_captured(
        paths in prop::collection::btree_set("(a|b|\\.h|node_modules)(/(a|b|\\.h|c-d)){0,2}/(x\\.md|y\\.log|\\.env|z)", 1..12),
        rules in prop::collection::vec(("(|a/|b/|a/b/)", "(\\.gitignore|\\.ignore|\\.hearthignore)", "(!|)(|/)(a|b|\\*\\.log|\\.h|\\*\\*/x\\.md|c-\\*)(|/)"), 0..4),
    ) {
        let tree = Tree::new();
        for path in &paths {
            tree.write(path, b"words");
        }
        for (folder, file, rule) in rules {
            tree.write(format!("{folder}{file}"), rule.as_bytes());
        }
        let source = tree.source();
        let walked: BTreeSet<Vec<u8>> = source.scan(None).filter_map(|found| match found { Found::Seen(seen) => Some(seen.name), Found::Skipped(_) => None }).collect();
        for path in &paths {
            let path = tree.path(path);
            prop_assert_eq!(walked.contains(&path_name(&path)), source.decide(&path).is_ok(), "{}", path.display());
        }
    }
}
