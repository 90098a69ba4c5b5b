//! What names do: the owner's own, in every form and in no other word.
//!
//! Names are made up. Splits are exhaustive for short texts.

use std::sync::Arc;

use hearth_text::dictionary::{Dictionary, Entry, Full, sources};
use hearth_text::{Class, Policy, Raw, Rules};
use proptest::prelude::*;

fn book() -> Arc<Dictionary> {
    let people = [
        "Eve Sommer",
        "Jürg Wölfli",
        "Mark May",
        "Ida von Arx",
        "Anna-Maria O'Brien",
        "Іван Гнатюк",
        "田中 太郎",
        "Ann Li",
    ];
    let mut book = Dictionary::builder();
    book.add("address book", people.map(|name| Entry::new(Class::Person, name))).expect("few");
    book.add("address book", [Entry::person("Lena Marie", "van der Velde"), Entry::new(Class::Person, "Evchen")])
        .expect("few");
    book.add("accounts", ["eve", "esommer", "backup"].map(Entry::account)).expect("few");
    let places = ["Lindenstraße 12", "3011 Bern", "14 Fern Street"];
    book.add("address book", places.map(|place| Entry::new(Class::Address, place))).expect("few");
    book.add("address book", ["Lake & Fern Ltd", "Quellwerk"].map(|name| Entry::new(Class::Organization, name)))
        .expect("few");
    book.add("hosts", ["nas.lake.home", "attic-nas", "Harbor"].map(|name| Entry::new(Class::Domain, name)))
        .expect("few");
    Arc::new(book.build())
}

fn rules() -> Rules {
    Rules::with_policy(Policy::SECRETS).with_dictionary(book())
}

fn said(text: &str) -> String {
    rules().redact(Raw::new(text)).into_parts().0
}

#[test]
fn a_name_is_hidden_in_each_of_its_forms() {
    for (case, text, expected) in [
        ("as it is", "with Eve Sommer at noon", "with [person] at noon"),
        ("in any case", "EVE SOMMER and eve sommer", "[person] and [person]"),
        ("family first", "Sommer, Eve; Sommer Eve", "[person]; [person]"),
        ("by its initial", "E. Sommer, E.Sommer", "[person], [person]"),
        ("turned, by its initial", "Sommer, E. wrote", "[person] wrote"),
        ("joined", "eve.sommer eve_sommer eve-sommer eve%20sommer", "[person] [person] [person] [person]"),
        ("with an initial that is nobody's", "Eve M. Sommer", "[person]"),
        ("across a line", "by Eve\n    Sommer.", "by [person]."),
        ("accents left out", "Jurg Wolfli, Juerg Woelfli", "[person], [person]"),
        ("accents in pieces", "Ju\u{308}rg Wo\u{308}lfli", "[person]"),
        ("capitals with accents", "JÜRG WÖLFLI", "[person]"),
        ("with a particle", "Ida von Arx, I. von Arx, von Arx, Ida", "[person], [person], [person]"),
        ("without the second name", "Lena van der Velde and L. M. van der Velde", "[person] and [person]"),
        ("with a hyphen and an apostrophe", "Anna-Maria O'Brien, Anna Maria O’Brien", "[person], [person]"),
        ("in Cyrillic", "це Іван Гнатюк, ІВАН ГНАТЮК", "це [person], [person]"),
        ("in Chinese", "昨日、田中太郎さんと", "昨日、[person]さんと"),
        ("a short family", "Ann Li", "[person]"),
        ("common words with capitals", "Mark May", "[person]"),
        ("a nickname", "Evchen came, evchen too", "[person] came, [person] too"),
        (
            "an account",
            "user esommer, /home/eve/x, ~eve, eve@nas",
            "user [person], /home/[person]/x, ~[person], [person]@nas",
        ),
        ("an address", "Lindenstraße 12, Lindenstr. 12, LINDENSTRASSE 12", "[address], [address], [address]"),
        ("two parts of an address", "Lindenstrasse 12\n3011 Bern", "[address]\n[address]"),
        ("a street shortened", "at 14 Fern St. and 14 fern street", "at [address]. and [address]"),
        ("companies", "Lake & Fern Ltd, QUELLWERK", "[organization], [organization]"),
        ("hosts", "ssh nas.lake.home; attic-nas:22; Harbor", "ssh [domain]; [domain]:22; [domain]"),
    ] {
        assert_eq!(said(text), expected, "{case}");
    }
}

#[test]
fn what_is_not_the_whole_name_stays() {
    for (case, text) in [
        ("half a name", "Eve called, the Sommer family too"),
        ("parts of words", "Steve Sommerfeld, sleeve sommern"),
        ("parts of words with accents", "Eve Sommeré"),
        ("other people", "Adam Sommer, Eve Winter"),
        ("two sentences", "I saw Eve. Sommer is hot"),
        ("two paragraphs", "Eve\n\nSommer"),
        ("common words written small", "mark may be late, mark_may()"),
        ("an article", "A Li, a sommer"),
        ("a short account in prose", "on the eve of it; eve=1, eve.py"),
        ("a common account in prose", "run the backup, Backup too"),
        ("a common host written small", "in the harbor"),
        ("another number", "Lindenstraße 121, Lindenstraße 1"),
        ("a part of a list", "list, Lindau"),
        ("the middle initial alone", "M. van der Velde"),
    ] {
        assert_eq!(said(text), text, "{case}");
    }
}

#[test]
fn an_empty_dictionary_changes_nothing_and_shows_nothing() {
    let empty = Dictionary::builder().build();
    assert!(empty.is_empty());
    assert_eq!(
        Rules::standard().with_dictionary(Arc::new(empty)).redact(Raw::new("Eve Sommer")).as_str(),
        "Eve Sommer"
    );
    let origins: Vec<(String, usize)> = book().origins().map(|(origin, n)| (origin.to_owned(), n)).collect();
    assert_eq!(origins, [("accounts".to_owned(), 3), ("address book".to_owned(), 15), ("hosts".to_owned(), 3)]);
    assert!(!format!("{:?} {:?}", book(), Entry::account("esommer")).contains("esommer"));
}

#[test]
fn a_dictionary_has_limits_that_say_what_to_do() {
    let many = (0..=hearth_text::dictionary::ENTRIES_MAX).map(|i| Entry::account(&format!("user{i}")));
    let mut book = Dictionary::builder();
    let full = book.add("accounts", many).expect_err("too many");
    assert_eq!(full, Full::Entries { origin: "accounts".to_owned() });
    assert_eq!(
        full.to_string(),
        "accounts brings the dictionary to more than 100000 entries; leave out what is not the owner's"
    );
    let mut book = Dictionary::builder();
    book.add("list", [Entry::new(Class::Person, &"x ".repeat(400)), Entry::new(Class::Person, "--")]).expect("few");
    let book = book.build();
    assert_eq!((book.len(), book.left_out()), (0, 2));
}

#[test]
fn names_found_in_pieces_are_those_found_in_the_whole() {
    let rules = rules();
    let text = "x Sommer, Eve; Іван Гнатюк at Lindenstr. 12\n3011 Bern, nas.lake.home";
    for lead in [0, 16_340, 16_384, 32_740] {
        let text = format!("{}\n{text}\n{}", "moss ☕ ".repeat(lead / 9), "moss ".repeat(7_000));
        let whole = rules.redact(Raw::new(text.as_str())).into_parts();
        assert_eq!(whole.1.total(), 5, "{lead}: {:?}", whole.1);
        for size in [1_009, 7_001] {
            let mut stream = rules.stream();
            let mut said = String::new();
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(rest.floor_char_boundary(size));
                said.push_str(stream.push(Raw::new(piece)).as_str());
                rest = left;
            }
            said.push_str(stream.finish().as_str());
            assert_eq!(said, whole.0, "{lead}, {size}");
        }
    }
}

#[test]
fn thousands_of_one_family_are_told_apart_quickly() {
    let names = (0..20_000).map(|i| Entry::person(&format!("Given{i}"), "Nguyen"));
    let mut book = Dictionary::builder();
    book.add("address book", names).expect("not too many");
    let rules = Rules::standard().with_dictionary(Arc::new(book.build()));
    let text = "Nguyen, Given77; nguyen; ".repeat(20_000);
    let said = rules.redact(Raw::new(text)).into_parts();
    assert_eq!(said.1.of(Class::Person), 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_planted_name_never_survives(before in "(\\PC{0,30}[ \n\"(;])?", which in 0usize..5, after in "([ \n\");]\\PC{0,30})?") {
        let name = ["Eve Sommer", "eve.sommer", "Іван Гнатюк", "Jürg Wölfli", "Lindenstr. 12"][which];
        let text = format!("{before}{name}{after}");
        prop_assert!(!said(&text).contains(name), "{text:?}");
    }

    #[test]
    fn any_text_with_names_streams_as_it_is_whole(
        text in "(\\PC|[\n., ]|Eve |Sommer|, E\\.|von Arx|Ida |ü|o\u{308}|太郎|田中|Lindenstr|12){0,60}", split in 0usize..300,
    ) {
        let rules = rules();
        let (one, two) = text.split_at(text.floor_char_boundary(split.min(text.len())));
        let mut stream = rules.stream();
        let mut streamed = stream.push(Raw::new(one)).into_parts().0;
        streamed.push_str(stream.push(Raw::new(two)).as_str());
        streamed.push_str(stream.finish().as_str());
        prop_assert_eq!(streamed, said(&text));
    }

    #[test]
    fn a_dictionary_of_anything_takes_any_text(
        entries in prop::collection::vec("(\\PC|[ ,.'-]){0,30}", 0..12), text in "(\\PC|[ \n,.]){0,80}",
    ) {
        let mut book = Dictionary::builder();
        book.add("any", entries.iter().map(|text| Entry::new(Class::Person, text))).expect("few");
        book.add("any", entries.iter().map(|text| Entry::new(Class::Address, text))).expect("few");
        let rules = Rules::standard().with_dictionary(Arc::new(book.build()));
        for text in entries.iter().chain([&text, &entries.join(" ")]) {
            rules.redact(Raw::new(text.as_str()));
        }
        prop_assert!(sources::lines(Class::Person, &text).is_ok());
    }
}
