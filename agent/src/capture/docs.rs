//! Holds `docs/capture.md` to what the code says: its tables are made here and compared.

use super::*;

const PAGE: &str = include_str!("../../../docs/capture.md");

fn formats_table() -> String {
    let mut out = String::from("| format | name | files | read | notes |\n|---|---|---|---|---|\n");
    for row in formats() {
        let id = row.format.map_or_else(|| "–".to_owned(), |format| format!("`{format}`"));
        let read = match row.support {
            format::Support::Structure => "with structure",
            format::Support::Text => "as text",
            format::Support::NotRead => "no",
        };
        out += &format!("| {id} | {} | {} | {read} | {} |\n", row.name, row.extensions.join(" "), row.notes);
    }
    out
}

fn rules_table() -> String {
    let mut out = String::from("| rule | holds | because |\n|---|---|---|\n");
    for rule in never::rules() {
        let holds = if rule.secret { "everywhere" } else { "below named folders" };
        out += &format!("| `{}` | {holds} | {} |\n", rule.name, rule.why);
    }
    out
}

fn reasons_table() -> String {
    let mut out = String::from("| code | passing | what `hearth why` says |\n|---|---|---|\n");
    for reason in [
        SkipReason::OutOfScope,
        SkipReason::NeverList { rule: never::PRIVATE_KEY.into() },
        SkipReason::Ignored { by: "`*.log` in /home/a/notes/.gitignore".into() },
        SkipReason::Hidden,
        SkipReason::Symlink,
        SkipReason::NotARegularFile { kind: "a named pipe".into() },
        SkipReason::Loop,
        SkipReason::TooLarge { bytes: 80_000_000, limit: Limits::default().bytes },
        SkipReason::Binary { what: "a PNG image".into() },
        SkipReason::UnknownEncoding,
        SkipReason::Empty,
        SkipReason::Unreadable { error: "Permission denied (os error 13)".into() },
        SkipReason::Vanished,
        SkipReason::TimedOut { limit_ms: 60_000 },
        SkipReason::Changing,
    ] {
        let passing = if reason.is_passing() { "yes" } else { "no" };
        out += &format!("| `{}` | {passing} | {reason} |\n", reason.code());
    }
    out
}

#[test]
fn the_page_about_capture_shows_the_tables_of_the_code() {
    let mut wrong = String::new();
    for (name, table) in [("formats", formats_table()), ("never-list", rules_table()), ("reasons", reasons_table())] {
        let begin = format!("<!-- {name}: made from the code -->\n");
        let shown =
            PAGE.split_once(&begin).and_then(|(_, rest)| rest.split_once("<!-- end -->")).map(|(table, _)| table);
        if shown != Some(table.as_str()) {
            wrong += &format!("{begin}{table}<!-- end -->\n");
        }
    }
    assert!(wrong.is_empty(), "docs/capture.md should show:\n{wrong}");
}

#[test]
fn a_reason_reads_back_from_what_is_stored_under_its_code() {
    for reason in [
        SkipReason::Hidden,
        SkipReason::TooLarge { bytes: 2, limit: 1 },
        SkipReason::NeverList { rule: "gnupg".into() },
    ] {
        let stored = serde_json::to_value(&reason).expect("reasons can be written");
        assert_eq!(stored["code"], reason.code());
        assert_eq!(serde_json::from_value::<SkipReason>(stored).expect("and read"), reason);
    }
}

#[test]
fn a_name_is_shown_on_one_line_whatever_is_in_it() {
    for (name, shown) in [
        (&b"/a/b c"[..], "/a/b c"),
        (b"/a\nb\x1b[31m", "/a\\nb\\u{1b}[31m"),
        (b"/\xff", "/\u{fffd}"),
        ("/ž".as_bytes(), "/ž"),
    ] {
        assert_eq!(display_name(name), shown);
    }
}
