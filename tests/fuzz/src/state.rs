//! Shared state that devices merge, and what a device tells the coordinator of itself.

use hearth_core::{
    crdt::{Documents, Map, Set},
    status::{LETTER_MAX, Letter},
};

use crate::forms::one_form;

/// Facts by key, each with the time of its last write.
pub fn map(bytes: &[u8]) {
    if one_form(bytes, |bytes| Map::decode(bytes).ok().map(|map| map.encode())) {
        let map = Map::decode(bytes).expect("just read");
        let mut twice = map.clone();
        twice.merge(&map);
        assert_eq!(twice, map, "merging it with itself changes nothing");
        let mut anew = Map::default();
        anew.merge(&map);
        assert_eq!(anew, map, "merged into nothing it is itself");
    }
}

/// A set whose additions and removals meet in any order.
pub fn set(bytes: &[u8]) {
    if one_form(bytes, |bytes| Set::decode(bytes).ok().map(|set| set.encode())) {
        let set = Set::decode(bytes).expect("just read");
        let mut twice = set.clone();
        twice.merge(&set);
        assert_eq!(twice, set, "merging it with itself changes nothing");
        let mut anew = Set::default();
        anew.merge(&set);
        assert_eq!(anew.elements(), set.elements(), "merged into nothing it has the same elements");
        for element in set.elements() {
            assert!(set.contains(element));
        }
    }
}

/// Which documents there are, and which were forgotten.
pub fn documents(bytes: &[u8]) {
    if one_form(bytes, |bytes| Documents::decode(bytes).ok().map(|documents| documents.encode())) {
        let documents = Documents::decode(bytes).expect("just read");
        let mut twice = documents.clone();
        twice.merge(&documents);
        assert_eq!(twice, documents, "merging it with itself changes nothing");
        assert!(documents.gone_from(&documents).is_empty(), "nothing is gone from itself");
        for document in documents.iter() {
            assert!(documents.contains(document));
        }
    }
}

/// A report of a device's health. A newer hearth may say more, so it need not be written as it came; it must mean the same.
pub fn report(bytes: &[u8]) {
    let Ok(letter) = Letter::from_bytes(bytes) else { return };
    assert!(bytes.len() <= LETTER_MAX);
    let written = letter.to_bytes();
    assert!(written.len() <= LETTER_MAX, "{} bytes", written.len());
    assert_eq!(Letter::from_bytes(&written).as_ref(), Ok(&letter));
    if let Letter::Report(report) = letter {
        let json = serde_json::to_string(&report).expect("a report can be shown");
        let again = serde_json::from_str(&json).expect("and read");
        assert_eq!(*report, again);
    }
}
