//! What a person and a program see of the command.

use super::{
    command,
    fake::{FakeAgent, Ran, run, world},
};
use crate::ask::{Ask, Forget, Found, Mode};

fn plain(line: &[&str]) -> Ran {
    run(&FakeAgent::default(), world(), line, "")
}

#[test]
fn every_command_explains_itself_at_80_columns() {
    let mut whole = command().term_width(80);
    whole.build();
    let mut out = whole.render_long_help().to_string();
    let mut below: Vec<(String, clap::Command)> =
        whole.get_subcommands().map(|c| (c.get_name().to_owned(), c.clone())).collect();
    below.reverse();
    while let Some((name, command)) = below.pop() {
        let nested: Vec<_> =
            command.get_subcommands().map(|c| (format!("{name} {}", c.get_name()), c.clone())).collect();
        below.extend(nested.into_iter().rev());
        out += &format!("\n\n======== hearth {name}\n\n{}", command.term_width(80).render_long_help());
    }
    let wide: Vec<&str> = out.lines().filter(|line| super::marks::columns(line) > 80).collect();
    assert!(wide.is_empty(), "wider than 80 columns: {wide:#?}");
    let out: Vec<&str> = out.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("help", out.join("\n"));
}

#[test]
fn what_a_person_reads() {
    let mut out = String::new();
    for line in [
        &["search", "tomatoes"][..],
        &["search", "tomatoes", "--explain"],
        &["search", "nothing"],
        &["status"],
        &["show", "itm-1"],
        &["open", "itm-1"],
        &["import", "/nonexistent/x.jsonl"],
        &["import", "/dev/null"],
        &["index", "/nonexistent"],
        &["index", "/"],
        &["why", "x.bin"],
        &["pause", "30m"],
        &["private"],
        &["resume"],
        &["pause", "30 minutes"],
        &["forget", "--last", "10m"],
        &["forget", "--last", "10m", "--dry-run"],
        &["forget", "--last", "10m", "--yes"],
        &["forget"],
        &["session"],
        &["session", "close", "ses-07070707070707070707070707070707"],
        &["session", "share", "--all"],
        &["fleet"],
        &["fleet", "invite"],
        &["fleet", "invite", "--replaces", "old phone"],
        &["fleet", "invite", "--replaces", "old phone", "--yes"],
        &["fleet", "admin", "add", "laptop"],
        &["fleet", "approve", "1a2b3c4d"],
        &["fleet", "threshold", "2"],
        &["fleet", "leave"],
        &["fleet", "leave", "--yes"],
        &["fleet", "recover"],
        &["fleet", "recovery-sheet", "--shares", "3"],
        &["fleet", "recovery-sheet", "--shares", "3", "--needed", "4"],
        &["fleet", "revoke", "laptop"],
        &["source"],
        &["formats"],
        &["features"],
        &["doctor"],
        &["audit"],
        &["config", "check"],
        &["config", "show", "--origin"],
        &["state", "rebuild"],
        &["identity"],
        &["policy", "names"],
        &["stop"],
        &["up"],
        &["up", "--listen", "0.0.0.0:80"],
        &["serch", "tomatoes"],
        &["frobnicate"],
        &["search", "tomatoes", "--jsn"],
    ] {
        let ran = plain(line);
        out += &format!("$ hearth {}\n{}", line.join(" "), ran.out);
        for line in ran.err.lines() {
            out += &format!("2> {line}\n");
        }
        out += &format!("[{}]\n\n", ran.code);
    }
    insta::assert_snapshot!("session", out);
}

#[test]
fn colour_is_for_terminals_and_can_be_refused_and_forced() {
    for (case, terminal, variables, coloured) in [
        ("a pipe", false, &[][..], false),
        ("a terminal", true, &[][..], true),
        ("refused", true, &[("NO_COLOR", "1")][..], false),
        ("an empty refusal is none", true, &[("NO_COLOR", "")][..], true),
        ("forced", false, &[("CLICOLOR_FORCE", "1")][..], true),
        ("forced off", false, &[("CLICOLOR_FORCE", "0")][..], false),
        ("refused and forced", false, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")][..], false),
        ("a dumb terminal", true, &[("TERM", "dumb")][..], false),
    ] {
        let mut world = world();
        world.out_is_terminal = terminal;
        world.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let ran = run(&FakeAgent::default(), world, &["search", "tomatoes"], "");
        assert_eq!(ran.out.contains('\u{1b}'), coloured, "{case}");
    }
}

#[test]
fn json_is_the_answer_and_nothing_else() {
    let ran = plain(&["search", "tomatoes", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out.matches('\n').count(), 1, "one line for programs");
    let found: Found = serde_json::from_str(&ran.out).expect("the answer's own form");
    assert_eq!(found, super::fake::found());
    assert!(ran.out.starts_with("{\"hits\":[{\"id\":\"itm-"), "keys keep their order: {}", ran.out);
    for line in [
        &["status"][..],
        &["show", "x"],
        &["index", "/"],
        &["why", "x"],
        &["pause"],
        &["forget", "--last", "1m", "--yes"],
        &["session"],
        &["session", "list"],
        &["source"],
        &["formats"],
        &["features"],
        &["doctor"],
        &["audit"],
        &["config", "check"],
        &["config", "show"],
        &["config", "schema"],
        &["state", "rebuild"],
        &["identity"],
        &["schema"],
        &["schema", "item"],
        &["bench", "embed", "x"],
        &["search", "nothing"],
    ] {
        let ran = plain(&[line, &["--json"]].concat());
        let document: Result<serde_json::Value, _> = serde_json::from_str(&ran.out);
        assert!(document.is_ok(), "{line:?} wrote {:?} and {:?}", ran.out, ran.err);
    }
}

#[test]
fn quiet_leaves_only_the_result() {
    let ran = plain(&["-q", "search", "tomatoes"]);
    assert_eq!(ran.err, "");
    assert!(ran.out.contains("balcony"));
}

#[test]
fn a_query_says_what_was_typed() {
    let agent = FakeAgent::default();
    let line = [
        "search",
        "dry",
        "tomatoes",
        "-n",
        "3",
        "--mode",
        "keyword",
        "--source",
        "files",
        "--path",
        "../notes",
        "--format",
        "markdown",
        "--after",
        "7d",
        "--before",
        "2026-03-24",
    ];
    assert_eq!(run(&agent, world(), &line, "").code, 0);
    let Ask::Search(query) = agent.folder.last() else { panic!("it was a search") };
    assert_eq!((query.text.as_str(), query.limit, query.mode), ("dry tomatoes", 3, Mode::Keyword));
    assert_eq!(query.filter.path.as_deref(), Some(std::path::Path::new("/notes")));
    assert_eq!(query.filter.after.map(hearth_core::Moment::as_millis), Some(1_773_774_000_000));
    assert_eq!(query.filter.before.map(hearth_core::Moment::as_millis), Some(1_774_310_400_000));
}

#[test]
fn an_item_is_found_by_its_path_as_it_was_typed() {
    assert_eq!(plain(&["show", "elsewhere"]).code, 0);
    assert_eq!(plain(&["show", "gone"]).code, 0, "a path below the folder where it was typed");
    let ran = plain(&["show", "/there/elsewhere"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
}

#[test]
fn nothing_is_forgotten_without_a_yes() {
    for (case, typed, orders, says) in [
        ("a yes", "y\n", 2, "3 items, 4 versions forgotten"),
        ("a yes in full", "Yes\n", 2, "forgotten"),
        ("a no", "n\n", 1, "nothing was forgotten"),
        ("just enter", "\n", 1, "nothing was forgotten"),
        ("the end of input", "", 1, "nothing was forgotten"),
    ] {
        let agent = FakeAgent::default();
        let mut world = world();
        (world.input_is_terminal, world.err_is_terminal) = (true, true);
        world.environment.insert("NO_COLOR".into(), "1".into());
        let ran = run(&agent, world, &["forget", "--query", "tomatoes"], typed);
        let asked = agent.folder.asked.lock().expect("no test panics with it").clone();
        let words = Forget::Query { text: "tomatoes".into() };
        assert_eq!(asked[0], Ask::Forget { what: words.clone(), dry_run: true }, "{case}");
        assert_eq!(asked.len(), orders, "{case}");
        if orders == 2 {
            assert_eq!(asked[1], Ask::Forget { what: words, dry_run: false }, "{case}");
        }
        assert!(ran.out.contains(says) || ran.err.contains(says), "{case}: {ran:?}");
        assert!(ran.err.contains("3 items would go for good") && ran.err.contains("Shopping"), "{case}: {}", ran.err);
    }
}

#[test]
fn a_first_run_starts_nothing_before_a_yes() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let data = home.path().join("data");
    for (case, terminal, line, typed, code, says) in [
        ("nobody to ask", false, &["up"][..], "", 2, "nothing is captured before a yes"),
        ("a no", true, &["up"], "n\n", 0, "nothing was started"),
        ("a yes starts it", true, &["up"], "y\n", 4, "the fake starts nothing"),
        ("a yes beforehand", false, &["up", "--yes"], "", 4, "the fake starts nothing"),
        (
            "a folder that is not there",
            false,
            &["up", "--yes", "--folder", "/nonexistent"],
            "",
            3,
            "there is no /nonexistent",
        ),
    ] {
        let mut world = world();
        world.environment.insert("HOME".into(), home.path().display().to_string());
        (world.input_is_terminal, world.err_is_terminal) = (terminal, terminal);
        let line = [line, &["--data", data.to_str().expect("temporary folders have plain names")]].concat();
        let ran = run(&FakeAgent::default(), world, &line, typed);
        assert_eq!(ran.code, code, "{case}: {ran:?}");
        assert!(ran.err.contains(says), "{case}: {}", ran.err);
        assert!(!data.exists(), "{case}: nothing is written");
        if terminal {
            assert!(ran.err.contains("would be hidden: 31 email, 2 api key"), "{case}: {}", ran.err);
        }
    }
}

#[test]
fn a_folder_that_stays_busy_is_said_to_be() {
    let agent = FakeAgent { taken: true, ..FakeAgent::default() };
    let ran = run(&agent, world(), &["status"], "");
    assert_eq!(ran.code, 75);
    assert!(ran.err.contains("try again in a moment"), "{}", ran.err);
}

#[test]
fn a_batch_becomes_a_run_or_leaves_none() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (batch, run_file) = (folder.path().join("q.jsonl"), folder.path().join("out.trec"));
    std::fs::write(&batch, "{\"id\":\"q1\",\"text\":\"x\"}\n{\"_id\":\"q-é\",\"text\":\"y\"}\n").expect("writable");
    let at = |path: &std::path::Path| path.to_str().expect("temporary folders have plain names").to_owned();
    let line = ["search", "--batch", &at(&batch), "--run", &at(&run_file), "--mode", "vector", "--json"];
    let ran = plain(&line);
    assert_eq!((ran.code, ran.out.as_str()), (0, "{\"queries\":2,\"rows\":4,\"took_ms\":2.0}\n"), "{}", ran.err);
    let written = std::fs::read_to_string(&run_file).expect("the run is there");
    assert_eq!(
        written,
        "q1 Q0 d/1 1 0.5 hearth\nq1 Q0 d/2 2 0.25 hearth\nq-é Q0 d/1 1 0.5 hearth\nq-é Q0 d/2 2 0.25 hearth\n"
    );

    std::fs::write(&batch, "{\"id\":\"q1\",\"text\":\"x\"}\n{\"id\":\"q 2\",\"text\":\"y\"}\n").expect("writable");
    std::fs::remove_file(&run_file).expect("it was there");
    let ran = plain(&line);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("line 2 has an id"), "{}", ran.err);
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("readable")
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["q.jsonl"], "neither a run nor a part of one");
}

#[test]
fn text_is_redacted_from_standard_input() {
    let ran = run(&FakeAgent::default(), world(), &["redact"], "my password: hunter2hunter2\nbye\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.out.contains("hunter2") && ran.out.ends_with("bye\n"), "{}", ran.out);
    let ran = run(
        &FakeAgent::default(),
        world(),
        &["redact", "--jsonl"],
        "{\"text\":\"é bob@example.org\"}\n\n{\"text\":\"milk\"}\n",
    );
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.err);
    assert!(ran.out.contains("\"start\":2"), "offsets count characters: {}", ran.out);
    let ran = run(&FakeAgent::default(), world(), &["redact", "--jsonl"], "{\"text\":\"milk\"}\nsecret words\n");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("line 2") && !ran.err.contains("secret words"), "{}", ran.err);
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(plain(&["completions", shell]).out.contains("forget"), "{shell}");
    }
    assert!(plain(&["man"]).out.contains(".TH hearth 1"));
    let folder = tempfile::tempdir().expect("a folder for the test");
    let ran = plain(&["man", "--out", folder.path().to_str().expect("temporary folders have plain names")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let page = std::fs::read_to_string(folder.path().join("hearth-session-open.1")).expect("a page for each command");
    assert!(page.contains("purpose"), "{page}");
}
