//! The main job on real files: captured, hidden, found by word and by meaning, forgotten, and made anew from the log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hearth_agent::{
    ask::{
        Answers, Ask, Filter, Forget, Forgotten, Found, Held, Hold, Indexed, Mode, NewSession, Query, Sessions, Shown,
        Status,
    },
    node::{Node, Settings, Upkeep, now},
};
use hearth_core::session::Class;
use serde::de::DeserializeOwned;

/// A home with some notes and a data folder beside it.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("notes")).expect("made");
        Self { dir }
    }

    fn notes(&self) -> PathBuf {
        self.dir.path().join("notes")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.notes().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn node(&self) -> Node {
        Node::open(&self.data(), Settings { embed_threads: 1, ..Settings::default() }).expect("opened")
    }
}

fn ask<T: DeserializeOwned>(node: &Node, ask: Ask) -> T {
    serde_json::from_value(node.answer(ask).expect("answered")).expect("the answer's type")
}

fn index(node: &Node, path: &Path) -> Indexed {
    ask(node, Ask::Index { paths: vec![path.into()], again: false })
}

fn find(node: &Node, text: &str, mode: Mode) -> Found {
    ask(node, Ask::Search(Query { text: text.into(), limit: 10, mode, ..Query::default() }))
}

fn titles(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.title.as_str()).collect()
}

/// Every byte of every file below a folder.
fn bytes_below(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).expect("listed").flatten() {
        if entry.path().is_dir() {
            all.extend(bytes_below(&entry.path()));
        } else {
            all.push((entry.path(), fs::read(entry.path()).expect("read")));
        }
    }
    all
}

fn assert_nowhere(below: &Path, words: &str) {
    for (path, bytes) in bytes_below(below) {
        let there = bytes.windows(words.len()).any(|window| window == words.as_bytes());
        assert!(!there, "`{words}` can be read in {}", path.display());
    }
}

const HERON: &str = "# Birds\n\nA grey heron stood motionless in the reeds, waiting for a fish.\n";
const BREAD: &str = "# Kitchen\n\nKnead the dough for ten minutes, then let it rise overnight in the cold.\n";
const SERVER: &str = "# Server\n\nThe backup runs at two in the morning.\n\npassword = \"tr0ub4dor&3xyz\"\n";

#[test]
fn a_note_is_found_by_word_and_by_meaning_and_its_secret_is_nowhere() {
    let home = Home::new();
    home.write("birds.md", HERON);
    home.write("kitchen.md", BREAD);
    home.write("server.md", SERVER);
    let node = home.node();

    let indexed = index(&node, &home.notes());
    assert_eq!((indexed.items, indexed.skipped.len()), (3, 0), "{indexed:?}");
    assert_eq!(indexed.redactions.get("password"), Some(&1));

    assert_eq!(titles(&find(&node, "heron", Mode::Keyword)), ["Birds"]);
    assert_eq!(titles(&find(&node, "baking a loaf", Mode::Vector))[0], "Kitchen");
    let found = find(&node, "a bird hunting by the water", Mode::Hybrid);
    assert_eq!(titles(&found)[0], "Birds");
    let hit = &found.hits[0];
    assert!(hit.snippet.contains("heron"), "{hit:?}");
    assert_eq!(hit.lineage.purpose, "hearth index");
    assert!(hit.lineage.model.is_some() && hit.parts.vector.is_some());

    let shown: Shown = ask(&node, Ask::Show { id: home.notes().join("server.md").display().to_string() });
    assert!(shown.text.contains("[password]") && !shown.text.contains("tr0ub4dor"), "{}", shown.text);
    node.close();
    for words in ["tr0ub4dor", "motionless", "birds.md", "Kitchen"] {
        assert_nowhere(&home.data(), words);
    }
}

#[test]
fn an_edit_embeds_only_what_changed_and_a_rename_nothing() {
    let home = Home::new();
    let paragraph = |n: usize| {
        format!(
            "Paragraph {n} tells of subject {} in its own quiet words, at some length, so that it stands alone.\n\n",
            n * 7
        )
    };
    let mut text: Vec<String> = (0..100).map(paragraph).collect();
    let path = home.write("long.md", &text.concat());
    let node = home.node();
    index(&node, &home.notes());
    let before: Status = ask(&node, Ask::Status);

    text[50] =
        "Here something entirely different is said about lighthouses and their keepers on a stormy coast.\n\n".into();
    fs::write(&path, text.concat()).expect("edited");
    let vectors_before = vectors_made(&node);
    index(&node, &home.notes());
    let made = vectors_made(&node) - vectors_before;
    assert!((1..=3).contains(&made), "{made} passages embedded anew");

    fs::rename(&path, home.notes().join("renamed.md")).expect("renamed");
    let vectors_before = vectors_made(&node);
    index(&node, &home.notes());
    assert_eq!(vectors_made(&node), vectors_before, "a rename embeds nothing");
    let after: Status = ask(&node, Ask::Status);
    assert!(after.chunks.abs_diff(before.chunks) <= 3);
    node.close();
}

/// Vectors that were ever made, by what the log says.
fn vectors_made(node: &Node) -> u64 {
    let checked: hearth_agent::ask::Checked = ask(node, Ask::Doctor);
    let says = &checked.checks.iter().find(|check| check.name == "log").expect("a check of the log").says;
    let made = says.split(", ").find_map(|part| part.strip_suffix(" vectors"));
    made.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count of vectors in `{says}`"))
}

#[test]
fn what_is_forgotten_is_gone_from_answers_and_the_rest_holds() {
    let home = Home::new();
    home.write("birds.md", HERON);
    home.write("kitchen.md", BREAD);
    let node = home.node();
    index(&node, &home.notes());

    let meant: Forgotten =
        ask(&node, Ask::Forget { what: Forget::Query { text: "heron reeds".into() }, dry_run: true });
    assert_eq!((meant.items, meant.titles.as_slice()), (1, &["Birds".to_owned()][..]));
    assert_eq!(find(&node, "heron", Mode::Keyword).hits.len(), 1, "a dry run does nothing");

    let _: Forgotten = ask(&node, Ask::Forget { what: Forget::Query { text: "heron reeds".into() }, dry_run: false });
    assert!(find(&node, "heron", Mode::Keyword).hits.is_empty());
    assert_eq!(titles(&find(&node, "a bird by the water", Mode::Vector)), ["Kitchen"]);
    assert!(node.answer(Ask::Show { id: home.notes().join("birds.md").display().to_string() }).is_err());
    node.close();

    let node = home.node();
    let checked: hearth_agent::ask::Checked = ask(&node, Ask::Doctor);
    assert!(checked.checks.iter().all(|check| check.ok || check.name == "disk"), "{checked:?}");
    assert_eq!(titles(&find(&node, "dough", Mode::Hybrid)), ["Kitchen"]);
    node.close();
}

#[test]
fn state_and_index_come_back_from_the_log_and_the_keys_alone() {
    let home = Home::new();
    home.write("birds.md", HERON);
    home.write("kitchen.md", BREAD);
    let node = home.node();
    index(&node, &home.notes());
    let path = home.notes().join("birds.md").display().to_string();
    let _: Forgotten = ask(&node, Ask::Forget { what: Forget::Item { id: path }, dry_run: false });
    home.write("server.md", SERVER);
    index(&node, &home.notes().join("server.md"));
    let before: Status = ask(&node, Ask::Status);
    let answers = |node: &Node| {
        let found = find(node, "when is the backup made", Mode::Hybrid);
        found.hits.iter().map(|hit| (hit.title.clone(), hit.snippet.clone(), hit.session)).collect::<Vec<_>>()
    };
    let found_before = answers(&node);
    node.close();

    fs::remove_dir_all(home.data().join("state")).expect("removed");
    fs::remove_dir_all(home.data().join("index")).expect("removed");
    let node = home.node();
    let after: Status = ask(&node, Ask::Status);
    assert_eq!(
        (after.items, after.chunks, after.embedded, after.pending),
        (before.items, before.chunks, before.embedded, before.pending)
    );
    assert_eq!(after.redactions, before.redactions);
    assert_eq!(answers(&node), found_before);
    node.close();
}

#[test]
fn damaged_parts_are_made_anew_and_said() {
    let home = Home::new();
    home.write("birds.md", HERON);
    let node = home.node();
    index(&node, &home.notes());
    node.close();
    let damage = |below: &str| {
        for (path, mut bytes) in bytes_below(&home.data().join(below)) {
            if let Some(middle) = bytes.len().checked_div(2).filter(|at| *at < bytes.len()) {
                bytes[middle] ^= 0x40;
                fs::write(&path, bytes).expect("damaged");
            }
        }
    };
    for part in ["index/keyword", "index/vectors"] {
        damage(part);
        let node = home.node();
        assert_eq!(titles(&find(&node, "heron", Mode::Keyword)), ["Birds"], "after damage to {part}");
        assert_eq!(titles(&find(&node, "a bird by the water", Mode::Vector)), ["Birds"], "after damage to {part}");
        node.close();
    }
    fs::remove_file(home.data().join("state/db")).expect("removed");
    fs::create_dir(home.data().join("state/db")).expect("damaged");
    let node = home.node();
    let status: Status = ask(&node, Ask::Status);
    assert!(status.notices.iter().any(|notice| notice.contains("set aside")), "{status:?}");
    assert_eq!(titles(&find(&node, "heron", Mode::Keyword)), ["Birds"]);
    node.close();
}

#[test]
fn nothing_is_captured_on_hold_and_private_time_stays_out() {
    let home = Home::new();
    home.write("birds.md", HERON);
    let node = home.node();
    index(&node, &home.notes());

    let _: Held = ask(&node, Ask::Hold { how: Hold::Private, for_ms: None, session: None });
    home.write("secret.md", "# Diary\n\nNobody is to know of this walk by the sea.\n");
    let refused = node.answer(Ask::Index { paths: vec![home.notes()], again: false }).expect_err("private");
    assert!(refused.message.contains("private mode"), "{refused}");
    let _: Held = ask(&node, Ask::Hold { how: Hold::Resume, for_ms: None, session: None });

    let indexed = index(&node, &home.notes());
    assert_eq!(indexed.items, 1, "{indexed:?}");
    assert!(indexed.skipped.iter().any(|skip| skip.reason.contains("private mode was on")), "{indexed:?}");
    assert!(find(&node, "diary sea", Mode::Keyword).hits.is_empty());
    node.close();
}

#[test]
fn commands_given_in_private_time_are_not_in_the_history_that_is_captured() {
    let home = Home::new();
    let settings = Settings { embed_threads: 1, home: Some(home.dir.path().into()), ..Settings::default() };
    let node = Node::open(&home.data(), settings).expect("opened");
    let session = NewSession {
        purpose: "shell".into(),
        folders: Vec::new(),
        exclude: Vec::new(),
        sources: vec!["shell-history".into()],
        class: Class::Private,
        keep_days: None,
        for_ms: None,
        here_only: false,
    };
    let _: Sessions = ask(&node, Ask::OpenSession(session));
    let seconds = || now().as_millis() / 1000;
    let before = seconds() - 60;
    let _: Held = ask(&node, Ask::Hold { how: Hold::Private, for_ms: None, session: None });
    let within = seconds();
    let _: Held = ask(&node, Ask::Hold { how: Hold::Resume, for_ms: None, session: None });
    let after = seconds() + 60;
    let line = |at: u64, command: &str| format!(": {at}:0;{command}\n");
    let text = line(before, "ls pictures") + &line(within, "cat diary-of-mine") + &line(after, "make heron");
    fs::write(home.dir.path().join(".zsh_history"), text).expect("written");
    node.start_watching();

    let until_found = |word: &str| {
        while find(&node, word, Mode::Keyword).hits.is_empty() {
            std::thread::yield_now();
        }
    };
    until_found("pictures");
    until_found("heron");
    assert!(find(&node, "diary", Mode::Keyword).hits.is_empty());
    for hit in find(&node, "heron", Mode::Keyword).hits {
        let shown: Shown = ask(&node, Ask::Show { id: hit.id });
        assert!(!shown.text.contains("diary"), "{}", shown.text);
    }
    node.close();
}

#[test]
fn what_is_gone_from_its_source_leaves_the_log_too_even_when_the_state_was_lost_meanwhile() {
    let home = Home::new();
    // Words that no compression makes small.
    let noise: String = (0..20_000_u32).map(|n| format!("{:08x} ", n.wrapping_mul(2_654_435_761))).collect();
    let path = home.write("noise.txt", &noise);
    home.write("birds.md", HERON);
    let log_size = || bytes_below(&home.data().join("log")).iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let node = home.node();
    let session = NewSession {
        purpose: "notes".into(),
        folders: vec![home.notes()],
        exclude: Vec::new(),
        sources: vec!["files".into()],
        class: Class::Private,
        keep_days: None,
        for_ms: None,
        here_only: false,
    };
    let _: Sessions = ask(&node, Ask::OpenSession(session));
    node.start_watching();
    let until = |items: u64| {
        while ask::<Status>(&node, Ask::Status).items != items {
            std::thread::yield_now();
        }
    };
    until(2);
    fs::remove_file(path).expect("removed");
    until(1);
    node.close();
    let before = log_size();
    assert!(before > 60_000, "{before}");
    fs::remove_dir_all(home.data().join("state")).expect("lost");

    let node = home.node();
    node.upkeep(&mut Upkeep::default()).expect("swept");
    let after = log_size();
    assert!(after < before - 50_000, "{before} bytes before, {after} after");
    assert_eq!(titles(&find(&node, "heron", Mode::Keyword)), ["Birds"]);
    node.close();
    let node = home.node();
    assert_eq!(titles(&find(&node, "heron", Mode::Keyword)), ["Birds"], "also when the pruned log is read again");
    node.close();
}

#[test]
fn a_long_document_is_embedded_in_steps_that_outlast_a_stop() {
    let home = Home::new();
    let sentence =
        |n: u32| format!("Note {n}: on day {n} the river rose by {} centimetres at the old mill. ", n * 7 % 90);
    let text: String = (0..110_u32).map(|n| format!("## Day {n}\n\n{}\n\n", sentence(n).repeat(6))).collect();
    let path = home.write("river.md", &text);
    let node = home.node();
    std::thread::scope(|scope| {
        let order = Ask::Index { paths: vec![path.clone()], again: false };
        let asked = scope.spawn(|| node.answer(order));
        while ask::<Status>(&node, Ask::Status).embedded == 0 {
            std::thread::yield_now();
        }
        node.stop_soon();
        let _ = asked.join().expect("it ends");
    });
    node.close();

    let node = home.node();
    let status: Status = ask(&node, Ask::Status);
    assert!((1..status.chunks).contains(&status.embedded), "some and not all: {status:?}");
    assert_eq!(status.pending, 1);
    index(&node, &path);
    let whole: Status = ask(&node, Ask::Status);
    assert_eq!((whole.embedded, whole.pending), (status.chunks, 0), "the rest was made");
    node.close();
    fs::remove_dir_all(home.data().join("state")).expect("lost");
    let node = home.node();
    let again: Status = ask(&node, Ask::Status);
    assert_eq!((again.embedded, again.pending), (status.chunks, 0), "the log tells of every step");
    node.close();
}

#[test]
fn no_id_that_is_shown_is_readable_in_the_log() {
    let home = Home::new();
    let path = home.write("birds.md", HERON);
    let node = home.node();
    index(&node, &home.notes());
    let shown: Shown = ask(&node, Ask::Show { id: path.display().to_string() });
    let chunks = shown.chunks.iter().map(|chunk| *chunk.id.as_bytes());
    let ids: Vec<[u8; 16]> = chunks.chain([*shown.item.id.as_bytes(), *shown.item.document.as_bytes()]).collect();
    node.close();
    assert!(ids.len() > 2);
    let log = bytes_below(&home.data().join("log"));
    assert!(log.iter().any(|(_, bytes)| bytes.len() > 500), "there is a log");
    for (path, bytes) in log {
        for id in &ids {
            assert!(!bytes.windows(16).any(|window| window == id), "{id:?} is in {}", path.display());
        }
    }
}

#[test]
fn imported_documents_keep_their_ids_and_an_export_can_be_imported() {
    let home = Home::new();
    let file = home.dir.path().join("docs.jsonl");
    let lines = [
        r#"{"id":"MED-10","title":"Statins","text":"Cholesterol lowering drugs and breast cancer survival."}"#,
        r#"{"id":"a b/ç","text":"Wind tunnel tests of a slender wing at high speed."}"#,
        r"not json",
        r#"{"id":"","text":"x"}"#,
    ];
    fs::write(&file, lines.join("\n")).expect("written");
    let node = home.node();
    let imported: Indexed = ask(&node, Ask::Import { file });
    assert_eq!((imported.items, imported.skipped.len()), (2, 2), "{imported:?}");
    let ids = |node: &Node| {
        let found = find(node, "aerodynamics", Mode::Vector);
        found.hits.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&node), ["a b/ç", "MED-10"]);
    let out = home.dir.path().join("export.jsonl");
    let _: hearth_agent::ask::Exported = ask(&node, Ask::Export { file: out.clone() });
    node.close();

    let other = Node::open(&home.dir.path().join("other"), Settings::default()).expect("opened");
    let imported: Indexed = ask(&other, Ask::Import { file: out });
    assert_eq!(imported.items, 2);
    assert_eq!(ids(&other), ["a b/ç", "MED-10"]);
    other.close();
}

#[test]
fn filters_leave_only_what_was_asked_for() {
    let home = Home::new();
    home.write("birds.md", HERON);
    fs::create_dir(home.notes().join("sub")).expect("made");
    home.write("sub/more.txt", "Another heron, this one in a plain text file.\n");
    let node = home.node();
    index(&node, &home.notes());
    let with = |filter: Filter, mode| {
        let found: Found =
            ask(&node, Ask::Search(Query { text: "heron".into(), limit: 10, mode, filter, here: false }));
        let mut titles: Vec<String> = found.hits.into_iter().map(|hit| hit.title).collect();
        titles.sort();
        titles
    };
    for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
        assert_eq!(with(Filter::default(), mode), ["Birds", "more"], "{mode:?}");
        assert_eq!(with(Filter { format: Some("text".into()), ..Filter::default() }, mode), ["more"], "{mode:?}");
        assert_eq!(
            with(Filter { path: Some(home.notes().join("sub")), ..Filter::default() }, mode),
            ["more"],
            "{mode:?}"
        );
        assert!(with(Filter { source: Some("import".into()), ..Filter::default() }, mode).is_empty(), "{mode:?}");
    }
    node.close();
}
