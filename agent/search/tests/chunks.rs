//! Chunks from outside: nothing is lost, nothing is too long, an edit stays local, and hostile text costs no more.

use std::{collections::HashSet, sync::LazyLock};

use hearth_search::{
    Chunk, Format, Tokenizer,
    chunk::{CHUNK_BYTES_MAX, CHUNK_TOKENS_MAX},
    normalise,
};
use hearth_text::Redacted;
use proptest::{collection::vec, prelude::*};

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    Tokenizer::from_bytes(include_bytes!("../model/tokenizer.json")).expect("the model's own tokenizer file is whole")
});

fn chunk(text: &str, format: Format) -> Vec<Chunk> {
    hearth_search::chunk(&Redacted::from_store(text.into()), format, &TOKENIZER)
}

/// What holds for the chunks of every text.
fn check(text: &str, format: Format) -> Vec<Chunk> {
    let chunks = chunk(text, format);
    let mut at = 0;
    for Chunk { range, text: part, heading } in &chunks {
        assert_eq!(&text[range.clone()], part, "a chunk is what stands where it says");
        assert!(range.start >= at, "chunks do not overlap");
        assert!(!part.trim().is_empty() && part.len() <= CHUNK_BYTES_MAX);
        let left_out = &text[at..range.start];
        assert!(
            format == Format::Markdown || left_out.chars().all(char::is_whitespace),
            "nothing is left out: {left_out:?} before {heading:?}"
        );
        at = range.end;
    }
    assert!(format == Format::Markdown || text[at..].trim().is_empty(), "nothing is left out at the end");
    for chunk in &chunks {
        let tokens = TOKENIZER.encode(&chunk.embedded(), usize::MAX).len();
        assert!(tokens <= CHUNK_TOKENS_MAX, "{tokens} tokens: {:?}", chunk.embedded());
    }
    chunks
}

fn shown(chunks: &[Chunk]) -> Vec<(&str, &str)> {
    chunks.iter().map(|chunk| (chunk.heading.as_str(), chunk.text.as_str())).collect()
}

#[test]
fn markdown_is_cut_at_its_headings() {
    for (case, text, expected) in [
        ("nothing", "", &[][..]),
        ("white space", " \n\t\n", &[]),
        ("no heading", "just words\n", &[("", "just words")]),
        ("a path of headings", "# A\none\n## B\ntwo\n# C\nthree\n", &[("A", "one"), ("A › B", "two"), ("C", "three")]),
        ("closing marks", "## Tools ##\nspade\n", &[("Tools", "spade")]),
        ("a hash word is none", "#tag first\n", &[("", "#tag first")]),
        ("too deep", "####### seven\n", &[("", "####### seven")]),
        ("a comment in code", "# A\n```sh\n# not a heading\nls\n```\n", &[("A", "```sh\n# not a heading\nls\n```")]),
        ("a longer fence", "````\n```\n# x\n````\n# A\none\n", &[("", "````\n```\n# x\n````"), ("A", "one")]),
        ("an open fence", "# A\n~~~\n# x\n", &[("A", "~~~\n# x")]),
        ("a heading with nothing under it", "# A\n# B\ntwo\n", &[("", "# A"), ("B", "two")]),
        ("only a deeper heading under it", "# A\n## B\ntwo\n", &[("A › B", "two")]),
        ("a heading at the end", "one\n\n# A", &[("", "one"), ("", "# A")]),
        ("a ruled line first", "---\n# A\none\n", &[("", "---"), ("A", "one")]),
        ("front matter", "---\n# comment\ntags: x\n---\n# A\none\n", &[("", "---\n# comment\ntags: x"), ("A", "one")]),
    ] {
        assert_eq!(shown(&check(text, Format::Markdown)), expected, "{case}");
    }
}

#[test]
fn a_hash_is_no_heading_in_plain_text_or_code() {
    for format in [Format::Plain, Format::Code] {
        assert_eq!(shown(&check("# one\ntwo", format)), [("", "# one\ntwo")]);
    }
}

#[test]
fn a_long_paragraph_is_cut_between_sentences() {
    let sentence =
        |n: usize| format!("Sentence number {n} tells about gardens, tools, weather and seeds of all kinds.");
    let text = (0..40).map(sentence).collect::<Vec<_>>().join(" ");
    let chunks = check(&text, Format::Plain);
    assert!(
        chunks.len() > 5 && chunks.iter().all(|chunk| chunk.text.starts_with("Sentence") && chunk.text.ends_with('.'))
    );
    let text = (0..60).map(|n| format!("let value_{n} = compute(value, {n}) + offset")).collect::<Vec<_>>().join("\n");
    let chunks = check(&text, Format::Code);
    assert!(chunks.len() > 5 && chunks.iter().all(|chunk| chunk.text.starts_with("let ")));
}

#[test]
fn chunks_are_well_filled() {
    let text = (0..300).map(|n| format!("Line {n} of a diary says something short.")).collect::<Vec<_>>().join("\n\n");
    let chunks = check(&text, Format::Plain);
    let tokens: usize = chunks.iter().map(|chunk| TOKENIZER.count(&chunk.text)).sum();
    assert!(tokens / chunks.len() >= 50, "{} tokens in {} chunks", tokens, chunks.len());
}

#[test]
fn a_long_heading_leaves_room_for_text() {
    let long = "very long heading ".repeat(50);
    for text in [
        format!("# {long}\none"),
        format!("# {long}\n## {long}\n### Last\none"),
        format!("# {}\none", "x".repeat(5000)),
    ] {
        let chunks = check(&text, Format::Markdown);
        assert_eq!((chunks.len(), chunks[0].text.as_str()), (1, "one"));
    }
    let chunks = check(&format!("# Outer {long}\n## Inner {long}\n### Kept\none"), Format::Markdown);
    let heading = &chunks[0].heading;
    assert!(heading.starts_with("Inner") && heading.ends_with(" › Kept"), "the outermost goes first: {heading}");
}

/// A generator of numbers that gives the same ones every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn paragraph(&mut self, words: u64) -> String {
        let count = 1 + self.roll(words);
        let words: Vec<String> = (0..count).map(|_| format!("w{}", self.roll(5000))).collect();
        words.join(" ")
    }
}

#[test]
fn editing_one_paragraph_of_a_hundred_changes_three_chunks_at_most() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let words = [3, 8, 20, 45][usize::try_from(seed % 4).expect("it is below four")];
        let joint = if seed % 3 == 0 { "\n" } else { "\n\n" }; // one long paragraph of lines, or many short ones
        let mut paragraphs: Vec<String> = (0..100).map(|_| dice.paragraph(words)).collect();
        let before = chunk(&paragraphs.join(joint), Format::Plain);
        let edited = usize::try_from(dice.roll(100)).expect("it is below a hundred");
        paragraphs[edited] = dice.paragraph(words);
        let after = chunk(&paragraphs.join(joint), Format::Plain);
        let known: HashSet<String> = before.iter().map(Chunk::normalised).collect();
        let fresh = after.iter().filter(|chunk| !known.contains(&chunk.normalised())).count();
        assert!(fresh <= 3, "seed {seed}: {fresh} of {} chunks are new", after.len());
    }
}

#[test]
fn hostile_text_is_cut_in_linear_time() {
    let size = 1 << 20;
    for (case, unit) in [
        ("no white space", "x"),
        ("brackets after a stop", ")"),
        ("stops", "."),
        ("digits and stops", "1."),
        ("one line of words", "word "),
        ("lines of one letter", "a\n"),
        ("paragraphs of one letter", "a\n\n"),
        ("headings", "# a\n"),
        ("deepening headings", "# a\n## b\n### c\n"),
        ("fences", "```\n"),
        ("list items", "- a\n"),
        ("marks", "\u{301}"),
        ("ideographs", "語"),
        ("invisible", "\u{200b}"),
        ("emoji", "👩‍👩‍👧‍👦"),
        ("the same paragraph", "the same words again and again\n\n"),
    ] {
        let text = unit.repeat(size / unit.len());
        for format in [Format::Plain, Format::Markdown, Format::Code] {
            let chunks = check(&text, format);
            assert!(chunks.len() <= size, "{case}");
        }
    }
}

#[test]
fn normalised_texts_differ_only_in_what_is_meant() {
    for (case, one, other, same) in [
        ("white space", "buy  milk\n", "buy milk", true),
        ("composed and not", "cafe\u{301}", "caf\u{e9}", true),
        ("a no-break space", "a\u{a0}b", "a b", true),
        ("case", "Milk", "milk", false),
        ("an accent", "cafe", "café", false),
    ] {
        assert_eq!(normalise(one) == normalise(other), same, "{case}");
    }
}

proptest! {
    #[test]
    fn the_laws_hold_for_any_text(text in "(\\PC{0,40}[\n .]{0,3}){0,30}", format in prop::sample::select(vec![Format::Plain, Format::Markdown, Format::Code])) {
        prop_assert_eq!(check(&text, format), chunk(&text, format), "and twice the same");
    }

    #[test]
    fn the_laws_hold_for_markdown(lines in vec("(# |## |```|- |---)?[a-z .]{0,80}", 0..80)) {
        check(&lines.join("\n"), Format::Markdown);
    }

    #[test]
    fn the_laws_hold_for_odd_characters(text in "[a.\u{301}\u{200b}語\u{1f468}\u{200d}\n #ßﬁ]{0,400}") {
        for format in [Format::Plain, Format::Markdown, Format::Code] {
            check(&text, format);
        }
    }
}
