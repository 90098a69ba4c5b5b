//! The tokenizer against token ids that the reference tokenizer gave, and against files and texts of any kind.

use hearth_search::tokenizer::{Tokenizer, TokenizerError};
use proptest::{collection::vec, prelude::*};
use serde_json::json;

const GOLDEN: &str = include_str!("data/golden_tokens.json");
const FILE: &[u8] = include_bytes!("../model/tokenizer.json");

#[derive(serde::Deserialize)]
struct Golden {
    case: String,
    text: String,
    ids: Vec<u32>,
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(FILE).expect("the model's own tokenizer file is whole")
}

/// A tokenizer of a few pieces, small enough to be damaged in every way.
fn small() -> serde_json::Value {
    json!({
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "milk": 3, "##man": 4, "##": 5}}
    })
}

#[test]
fn every_text_has_the_ids_of_the_reference() {
    let (tokenizer, rows) = (tokenizer(), serde_json::from_str::<Vec<Golden>>(GOLDEN).expect("the rows are JSON"));
    assert!(rows.len() > 80, "rows went missing");
    for Golden { case, text, ids } in rows {
        assert_eq!(tokenizer.encode(&text, usize::MAX), ids, "{case}: {text:?}");
        assert_eq!(tokenizer.count(&text), ids.len() - 2, "{case}: {text:?}");
    }
}

#[test]
fn the_name_of_a_special_token_is_ordinary_text() {
    let ids = tokenizer().encode("a [SEP] b [MASK]", 64);
    assert_eq!(ids.iter().filter(|id| (100..=103).contains(*id)).count(), 2, "only the marks of beginning and end");
}

#[test]
fn a_cut_text_keeps_its_end_mark() {
    let tokenizer = tokenizer();
    for max in [0, 1, 2, 3, 7] {
        let ids = tokenizer.encode("one two three four five six seven eight", max);
        assert_eq!((ids.len(), ids[0], ids[ids.len() - 1]), (max.max(2), 101, 102), "cut at {max}");
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let read = |file: &serde_json::Value| Tokenizer::from_bytes(file.to_string().as_bytes());
    assert!(read(&small()).is_ok());
    for (case, pointer, value) in [
        ("another normaliser", "/normalizer/type", json!("NFC")),
        ("case kept", "/normalizer/lowercase", json!(false)),
        ("accents kept", "/normalizer/strip_accents", json!(false)),
        ("another splitter", "/pre_tokenizer/type", json!("ByteLevel")),
        ("another model", "/model/type", json!("BPE")),
        ("no prefix", "/model/continuing_subword_prefix", json!("")),
    ] {
        let mut file = small();
        *file.pointer_mut(pointer).expect("the small file has this") = value;
        assert!(matches!(read(&file), Err(TokenizerError::Unsupported(_))), "{case}");
    }
    for token in ["[CLS]", "[SEP]", "[UNK]"] {
        let mut file = small();
        file["model"]["vocab"].as_object_mut().expect("it is an object").remove(token);
        assert!(matches!(read(&file), Err(TokenizerError::Missing(missing)) if missing == token), "{token}");
    }
    assert!(matches!(Tokenizer::from_bytes(&vec![b' '; (16 << 20) + 1]), Err(TokenizerError::TooLarge(_))));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = small().to_string();
    for end in 0..file.len() {
        assert!(Tokenizer::from_bytes(&file.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_megabyte_without_a_space_is_one_unknown_piece() {
    assert_eq!(tokenizer().count(&"x".repeat(1 << 20)), 1);
}

proptest! {
    #[test]
    fn a_damaged_file_is_an_error_or_a_tokenizer(flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), text in "\\PC{0,40}") {
        let mut file = small().to_string().into_bytes();
        for (place, byte) in flips {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if let Ok(tokenizer) = Tokenizer::from_bytes(&file) {
            tokenizer.encode(&text, 64);
        }
    }
}

#[test]
fn any_text_can_be_encoded_and_counted() {
    let tokenizer = tokenizer();
    proptest!(|(text in any::<String>(), max in 2_usize..40)| {
        let whole = tokenizer.encode(&text, usize::MAX);
        let cut = tokenizer.encode(&text, max);
        prop_assert_eq!(whole.len(), tokenizer.count(&text) + 2);
        prop_assert_eq!(cut.len(), whole.len().min(max));
        prop_assert_eq!(&cut[..cut.len() - 1], &whole[..cut.len() - 1]);
    });
}
