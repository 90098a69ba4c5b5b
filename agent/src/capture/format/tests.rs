//! Formats, encodings and what is left of terminal output.

use proptest::prelude::*;

use super::*;

fn told(name: &str, bytes: &[u8]) -> Result<(String, String), &'static str> {
    extract(Path::new(name), bytes.to_vec())
        .map(|told| (told.format.to_string(), told.text))
        .map_err(|reason| reason.code())
}

#[test]
fn content_decides_before_the_name_does() {
    for (name, bytes, format) in [
        ("a.txt", &b"words"[..], "text"),
        ("README", b"words", "text"),
        ("a.md", b"words", "markdown"),
        ("A.MD", b"words", "markdown"),
        ("a.html", b"words", "html"),
        ("page", b"\n<!DOCTYPE html><p>words", "html"),
        ("page.txt", b"<HTML><p>words", "html"),
        ("a.rs", b"fn main() {}", "code/rust"),
        ("Makefile", b"all:", "code/makefile"),
        ("CMakeLists.txt", b"project(x)", "code/cmake"),
        ("Cargo.lock", b"[[package]]", "code/toml"),
        ("tool", b"#!/usr/bin/env python3\nprint()", "code/python"),
        ("tool", b"#!/bin/sh -e\nls", "code/shell"),
        ("tool", b"#!/usr/bin/env -S bash -e\nls", "code/shell"),
        ("tool", b"#!/opt/own\nls", "text"),
        ("feed", b"<?xml version=\"1.0\"?><rss/>", "code/xml"),
        ("a.csv", b"a,b", "text"),
    ] {
        assert_eq!(told(name, bytes).map(|(format, _)| format), Ok(format.to_owned()), "{name}");
    }
}

#[test]
fn text_is_read_in_the_encoding_it_has() {
    let late = format!("{}y", "x".repeat(9000));
    let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    for (case, bytes, expected) in [
        ("UTF-8", "žluťoučký kůň".as_bytes().to_vec(), Ok("žluťoučký kůň")),
        ("UTF-8 with a mark", b"\xef\xbb\xbfwords".to_vec(), Ok("words")),
        (
            "UTF-8 with one broken byte",
            "žluťoučký \u{1}kůň".as_bytes().iter().map(|byte| if *byte == 1 { 0xff } else { *byte }).collect(),
            Ok("žluťoučký \u{fffd}kůň"),
        ),
        ("UTF-16, little end first", utf16("\u{feff}žluť kůň", u16::to_le_bytes), Ok("žluť kůň")),
        ("UTF-16, big end first", utf16("\u{feff}žluť kůň", u16::to_be_bytes), Ok("žluť kůň")),
        ("UTF-16 without a mark", utf16("plain words", u16::to_le_bytes), Ok("plain words")),
        ("windows-1252", b"\x93Caf\xe9\x94 costs 3 \x80, d\xe9j\xe0 vu".to_vec(), Ok("“Café” costs 3 €, déjà vu")),
        (
            "a page that says what it has",
            b"<meta charset=windows-1251>\xcf\xf0\xe8\xe2\xe5\xf2".to_vec(),
            Ok("<meta charset=windows-1251>Привет"),
        ),
        ("Cyrillic that does not say so", b"\xcf\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0".to_vec(), Err("unknown-encoding")),
        ("a zero late in a log", [&[b'x'; 9000][..], b"\0y"].concat(), Ok(late.as_str())),
        ("many zeros late", [&[b'x'; 9000][..], &[0; 9000]].concat(), Err("binary")),
        ("UTF-32", b"\xff\xfe\0\0w\0\0\0".to_vec(), Err("binary")),
        ("a zero early", b"wor\0ds".to_vec(), Err("binary")),
    ] {
        let text = told("a.txt", &bytes).map(|(_, text)| text);
        assert_eq!(text.as_deref(), expected.as_ref().copied(), "{case}");
    }
}

#[test]
fn what_drives_a_terminal_is_dropped() {
    for (case, text, expected) in [
        ("colours", "\u{1b}[1;31mred\u{1b}[0m", "red"),
        ("a title", "\u{1b}]0;title\u{7}words", "words"),
        ("a link", "\u{1b}]8;;https://example.org\u{1b}\\words\u{1b}]8;;\u{1b}\\", "words"),
        ("a title that does not end", "\u{1b}]0;title\nwords", "\nwords"),
        ("a character set", "\u{1b}(Bwords", "words"),
        ("the short form", "\u{9b}31mred", "red"),
        ("an escape at the end", "words\u{1b}", "words"),
        ("bold by overprinting", "b\u{8}bo\u{8}ol\u{8}ld\u{8}d", "bold"),
        ("underlined by overprinting", "_\u{8}a_\u{8}b", "ab"),
        ("nothing to go back over", "\u{8}\n\u{8}a", "\na"),
        ("line ends of other systems", "a\r\nb\rc", "a\nb\nc"),
        ("a new page", "a\u{c}b", "a\nb"),
        ("bells and zeros", "a\u{7}\0b", "ab"),
        ("tabs stay", "a\tb", "a\tb"),
    ] {
        assert_eq!(clean(text.to_owned()), expected, "{case}");
    }
}

#[test]
fn titles_are_what_files_are_called_unless_they_say_it_themselves() {
    for (name, bytes, title) in [
        ("/d/plan.md", &b"words"[..], "plan"),
        ("/d/plan.md", b"# The plan", "The plan"),
        ("/d/page.html", b"<title>A &amp; B</title>", "page"),
        ("/d/page.html", b"<title>A &amp; B</title>words", "A & B"),
        ("/d/main.rs", b"words", "main.rs"),
        ("/d/notes.txt", b"words", "notes"),
    ] {
        let title_of = extract(Path::new(name), bytes.to_vec()).map(|told| told.title);
        match title_of {
            Ok(found) => assert_eq!(found.as_deref(), Some(title), "{name}"),
            Err(reason) => assert_eq!((reason, title), (SkipReason::Empty, "page"), "{name}"),
        }
    }
}

#[test]
fn every_format_reads_back_from_its_name_and_stands_in_the_table_once() {
    let rows = formats();
    for format in rows.iter().filter_map(|row| row.format) {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert!("code/klingon".parse::<Format>().is_err());
    let mut names: Vec<_> = rows.iter().map(|row| &row.name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    let mut extensions: Vec<_> =
        LANGUAGES.iter().flat_map(|language| language.extensions).chain(MARKDOWN).chain(HTML).chain(TEXT).collect();
    let all = extensions.len();
    extensions.sort_unstable();
    extensions.dedup();
    assert_eq!(extensions.len(), all, "an extension means one language");
}

proptest! {
    #[test]
    fn any_bytes_become_clean_text_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..400), name in "a\\.(txt|md|html|rs)") {
        if let Ok(told) = extract(Path::new(&name), bytes) {
            prop_assert!(told.text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{:?}", told.text);
        }
    }

    #[test]
    fn text_that_is_already_clean_stays_as_it_is(text in "([ -~\u{a0}-\u{2000}]|\n|\t){0,200}") {
        prop_assert_eq!(clean(text.clone()), text);
    }
}
