//! Histories as each shell writes them, and the source over them.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{super::conformance, *};

fn texts(shell: Shell, bytes: &[u8]) -> Vec<(Option<u64>, String)> {
    parse(shell, bytes).into_iter().map(|command| (command.at, command.text)).collect()
}

#[test]
fn each_shell_is_read_as_it_writes() {
    use Shell::{Bash, Fish, Zsh};
    type Row = (&'static str, Shell, &'static [u8], &'static [(Option<u64>, &'static str)]);
    let rows: &[Row] = &[
        ("bash without times", Bash, b"ls\ncd /tmp\n", &[(None, "ls"), (None, "cd /tmp")]),
        (
            "bash with times",
            Bash,
            b"#1700000000\nls\n#1700000060\nmake all\n",
            &[(Some(1_700_000_000), "ls"), (Some(1_700_000_060), "make all")],
        ),
        (
            "bash, a loop over several lines",
            Bash,
            b"#1700000000\nfor f in *.txt; do\n  echo \"$f\"\n  cat $f\ndone\n#1700000060\nls\n",
            &[(Some(1_700_000_000), "for f in *.txt; do\n  echo \"$f\"\n  cat $f\ndone"), (Some(1_700_000_060), "ls")],
        ),
        (
            "bash, an open quote with indented lines",
            Bash,
            b"#1700000000\ngit commit -m \"one\n\n  two\"\n",
            &[(Some(1_700_000_000), "git commit -m \"one\n\n  two\"")],
        ),
        (
            "bash, a here-document",
            Bash,
            b"#1700000000\ncat <<'END' > x\n it's # fine\nEND\nls\n",
            &[(Some(1_700_000_000), "cat <<'END' > x\n it's # fine\nEND"), (Some(1_700_000_000), "ls")],
        ),
        (
            "bash, a hidden command after a complete one",
            Bash,
            b"#1700000000\nls\n export TOKEN=abc\nmake\n",
            &[(Some(1_700_000_000), "ls"), (Some(1_700_000_000), "make")],
        ),
        (
            "bash, hidden commands",
            Bash,
            b" secret one\nls\n\tsecret two\n#1700000000\n secret three\n",
            &[(None, "ls")],
        ),
        (
            "bash, a comment is no time",
            Bash,
            b"#note to self\n#12x\n# 12\n",
            &[(None, "#note to self"), (None, "#12x"), (None, "# 12")],
        ),
        ("bash, repeated at once", Bash, b"ls\nls\ncd\nls\n", &[(None, "ls"), (None, "cd"), (None, "ls")]),
        ("bash, cut off in the middle", Bash, b"#1700000000\necho \"half", &[(Some(1_700_000_000), "echo \"half")]),
        ("bash, zeros after a crash", Bash, b"ls\n\0\0\0\0cd\n", &[(None, "ls"), (None, "cd")]),
        (
            "zsh with times",
            Zsh,
            b": 1700000000:0;ls\n: 1700000060:12;make all\n",
            &[(Some(1_700_000_000), "ls"), (Some(1_700_000_060), "make all")],
        ),
        ("zsh without times", Zsh, b"ls\necho a;b\n", &[(None, "ls"), (None, "echo a;b")]),
        (
            "zsh, several lines",
            Zsh,
            b": 1700000000:0;for i in 1 2\\\ndo echo $i\\\ndone\nls\n",
            &[(Some(1_700_000_000), "for i in 1 2\ndo echo $i\ndone"), (None, "ls")],
        ),
        (
            "zsh, hidden commands",
            Zsh,
            b": 1700000000:0; secret\n secret\n: 1700000000:0;ls\n",
            &[(Some(1_700_000_000), "ls")],
        ),
        ("zsh, the builtin `:`", Zsh, b": not a time;x\n", &[(None, ": not a time;x")]),
        // zsh writes the bytes 0x83 to 0xa2 of UTF-8 as 0x83 and the byte with bit 5 flipped.
        (
            "zsh, letters in its own form",
            Zsh,
            b": 1700000000:0;echo \\xe4\\xb8\\x83\\xad z\xc3\x83\xbc\n",
            &[(Some(1_700_000_000), "echo \\xe4\\xb8\\x83\\xad z\u{dc}")],
        ),
        (
            "zsh, Chinese in its own form",
            Zsh,
            b": 1700000000:0;echo \xe4\xbd\x83\x80\xe5\xa5\xbd\n",
            &[(Some(1_700_000_000), "echo \u{4f60}\u{597d}")],
        ),
        (
            "fish",
            Fish,
            b"- cmd: ls\n  when: 1700000000\n  paths:\n    - a\n    - b\n- cmd: make\n  when: 1700000060\n",
            &[(Some(1_700_000_000), "ls"), (Some(1_700_000_060), "make")],
        ),
        (
            "fish, escapes",
            Fish,
            b"- cmd: begin\\n  echo a\\\\nb\\nend\n  when: 1700000000\n",
            &[(Some(1_700_000_000), "begin\n  echo a\\nb\nend")],
        ),
        ("fish, hidden and timeless", Fish, b"- cmd:  secret\n  when: 1700000000\n- cmd: ls\n", &[(None, "ls")]),
        ("nothing", Bash, b"", &[]),
    ];
    for (case, shell, bytes, expected) in rows {
        let expected: Vec<(Option<u64>, String)> =
            expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
        assert_eq!(texts(*shell, bytes), expected, "{case}");
    }
}

#[test]
fn a_command_is_open_while_the_shell_would_ask_for_more() {
    for (command, open) in [
        ("ls", false),
        ("echo 'it", true),
        ("echo it\\'s", false),
        ("echo \"a\nb\"", false),
        ("a |", true),
        ("a && \\", true),
        ("a &&", true),
        ("sleep 1 &", false),
        ("if true; then", true),
        ("if true; then\n x\nfi", false),
        ("while read x", true),
        ("while read x; do y; done < z", false),
        ("case $x in", true),
        ("case $x in a) b;; esac", false),
        ("f() {", true),
        ("f() {\n g\n}", false),
        ("(cd x", true),
        ("echo for if case", false),
        ("echo # 'quote", false),
        ("cat <<-END\n\tx", true),
        ("cat <<-END\n\tx\n\tEND", false),
        ("cat <<< word", false),
        ("echo \\\\", false),
    ] {
        assert_eq!(is_open(command), open, "{command}");
    }
}

fn undated(texts: &[String]) -> BTreeMap<String, Batch> {
    batches(texts.iter().map(|text| Command { at: None, text: text.clone() }).collect())
}

#[test]
fn days_are_items_and_a_new_command_changes_only_its_day() {
    let command = |at, text: &str| Command { at: Some(at), text: text.into() };
    let mut commands = vec![command(1_700_000_000, "ls"), command(1_700_005_000, "make"), command(1_700_100_000, "cd")];
    let before = batches(commands.clone());
    let days: Vec<(&str, &str)> = before.iter().map(|(day, batch)| (day.as_str(), batch.text.as_str())).collect();
    assert_eq!(days, [("2023-11-14", "ls\nmake\n"), ("2023-11-16", "cd\n")]);
    commands.push(command(1_700_100_060, "pwd"));
    let after = batches(commands);
    assert_eq!(after["2023-11-14"], before["2023-11-14"]);
    assert_eq!(after["2023-11-16"].text, "cd\npwd\n");
}

#[test]
fn what_bash_adds_and_drops_leaves_most_batches_as_they_are() {
    let commands: Vec<String> = (0..2000).map(|n| format!("command {}", n * 7919 % 1999)).collect();
    let (before, after) = (undated(&commands[..1900]), undated(&commands[100..]));
    let same = after.iter().filter(|(name, batch)| before.get(*name) == Some(*batch)).count();
    assert!(before.len() > 10, "2000 commands are cut, and not just once: {}", before.len());
    assert!(same + 4 >= before.len().min(after.len()), "{same} of {} batches are as they were", after.len());
}

proptest! {
    #[test]
    fn no_history_makes_the_parser_fail_and_nothing_hidden_gets_through(bytes in prop::collection::vec(any::<u8>(), 0..300), hidden in "[a-z]{8}") {
        for shell in Shell::ALL {
            let mut bytes = bytes.clone();
            bytes.extend(match shell {
                Shell::Bash => format!("\n#1700000000\n zq{hidden}\n"),
                Shell::Fish => format!("\n- cmd:  zq{hidden}\n"),
                Shell::Zsh => format!("\n\n: 1700000000:0; zq{hidden}\n"),
            }.into_bytes());
            for command in parse(shell, &bytes) {
                let shown = command.text.contains(&format!("zq{hidden}"));
                prop_assert!(!shown, "{}: {:?}", shell, command);
                prop_assert!(!command.text.starts_with([' ', '\t']));
            }
        }
    }

    #[test]
    fn every_command_is_in_one_batch_in_its_order(texts in prop::collection::vec("[a-c]{1,2}", 0..300)) {
        let batches = undated(&texts);
        let count: usize = batches.values().map(|batch| batch.text.lines().count()).sum();
        prop_assert_eq!(count, texts.len());
    }
}

/// A zsh history in which each label has a day of its own.
struct Shells {
    home: TempDir,
    days: BTreeMap<u64, String>,
}

impl Shells {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder can be made"), days: BTreeMap::new() }
    }

    fn name(&self, nth: u64) -> Vec<u8> {
        let day = jiff::civil::date(2023, 11, 14)
            .saturating_add(jiff::Span::new().days(i64::try_from(nth).expect("labels are small")));
        [&prefix(Shell::Zsh, &self.home.path().join(".zsh_history"))[..], b"/", day.to_string().as_bytes()].concat()
    }

    fn save(&self) {
        let text: String =
            self.days.iter().map(|(nth, text)| format!(": {}:0;{text}\n", 1_700_000_000 + nth * 86_400)).collect();
        fs::write(self.home.path().join(".zsh_history"), text).expect("files can be written");
    }
}

impl conformance::World for Shells {
    fn source(&self) -> Box<dyn Source> {
        Box::new(History::of_home(self.home.path()))
    }

    fn put(&mut self, label: &str, text: &str) -> Vec<u8> {
        let nth = label.parse().expect("labels are numbers");
        self.days.insert(nth, text.to_owned());
        self.save();
        self.name(nth)
    }

    fn remove(&mut self, label: &str) {
        self.days.remove(&label.parse().expect("labels are numbers"));
        self.save();
    }

    fn rename(&mut self, _: &str, _: &str) -> Option<Vec<u8>> {
        None // a day is what it is
    }

    fn spoil(&mut self) -> Vec<(Vec<u8>, &'static str)> {
        let link = self.home.path().join(".bash_history");
        std::os::unix::fs::symlink(".zsh_history", &link).expect("links can be made");
        let folder = self.home.path().join(".local/share/fish/fish_history");
        fs::create_dir_all(&folder).expect("folders can be made");
        vec![(prefix(Shell::Bash, &link), "symlink"), (prefix(Shell::Fish, &folder), "not-a-regular-file")]
    }
}

#[test]
fn what_was_given_in_a_time_that_is_left_out_is_not_there() {
    let home = tempfile::tempdir().expect("a temporary folder can be made");
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).expect("files can be written");
    write(".zsh_history", ": 1700000000:0;before\n: 1700000060:0;within\n: 1700000120:0;after\n");
    write(".bash_history", "#1700000060\nwithin too\nundated\n");
    let history = History::of_home(home.path()).leaving_out(|at| at == Moment::from_millis(1_700_000_060_000));
    let mut texts = Vec::new();
    for found in history.scan(None) {
        let Found::Seen(candidate) = found else { panic!("nothing is left alone: {found:?}") };
        let read = history.read(&candidate, &Limits::default()).expect("it is there");
        let text = hearth_text::Rules::standard().redact(read.text);
        texts.push((candidate.modified.as_millis(), text.as_str().to_owned()));
    }
    assert_eq!(texts, [(1_700_000_120_000, "before\nafter\n".to_owned())], "a line below a time has that time");
}

#[test]
fn shell_history_is_a_source_like_every_other() {
    conformance::check(Shells::new);
}
