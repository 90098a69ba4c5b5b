//! The bundled model in every engine, held to the reference vectors and the engines to each other.
//!
//! The lane that has an ONNX Runtime names it in `HEARTH_ORT_LIBRARY`; with `HEARTH_REQUIRE_ORT=1` its absence is a failure.
#![cfg(all(feature = "bundled-model", feature = "tract"))]

use std::path::{Path, PathBuf};

use hearth_search::{
    Embedder, Model, features,
    model::{Digests, ModelError, references},
    tokenizer::TokenizerError,
    vector::DIMS,
};

const ONNX: &[u8] = include_bytes!("../model/model_int8.onnx");
const TOKENIZER: &[u8] = include_bytes!("../model/tokenizer.json");

/// The ONNX Runtime library of this lane, if it has one.
fn library() -> Option<PathBuf> {
    let library = std::env::var_os("HEARTH_ORT_LIBRARY").map(PathBuf::from);
    let required = std::env::var_os("HEARTH_REQUIRE_ORT").is_some_and(|value| value == "1");
    assert!(library.is_some() || !required, "HEARTH_REQUIRE_ORT=1 needs HEARTH_ORT_LIBRARY to name libonnxruntime.so");
    library
}

/// How well an engine agrees with the reference: on average, and at least.
fn agreement(embedder: &mut dyn Embedder) -> (f32, f32) {
    let references = references();
    let cosines: Vec<f32> = references
        .iter()
        .map(|reference| embedder.embed(&reference.text).expect("the text is ordinary").cosine(&reference.embedding))
        .collect();
    assert!(cosines.len() >= 30, "reference vectors went missing");
    let least = cosines.iter().copied().fold(1.0, f32::min);
    (cosines.iter().sum::<f32>() / f32::from(u8::try_from(cosines.len()).expect("there are few")), least)
}

#[test]
fn tract_agrees_with_the_reference() {
    let mut tract = Model::bundled().with_tract().expect("the bundled model loads");
    let (mean, least) = agreement(tract.as_mut());
    assert!(mean >= 0.994 && least >= 0.985, "mean {mean}, least {least}");
}

#[test]
fn ort_agrees_with_the_reference_and_with_tract() {
    let Some(library) = library() else { return };
    let model = Model::bundled();
    let mut ort = model.with_ort(&library).expect("the named library runs the model");
    let (mean, least) = agreement(ort.as_mut());
    assert!(mean >= 0.994 && least >= 0.985, "mean {mean}, least {least}");
    let mut tract = model.with_tract().expect("the bundled model loads");
    for reference in references() {
        let (one, other) = (ort.embed(&reference.text), tract.embed(&reference.text));
        let cosine = one.expect("the text is ordinary").cosine(&other.expect("the text is ordinary"));
        assert!(cosine >= 0.99, "{cosine} on {:?}", reference.text);
    }
    let (chosen, why) = model.embedder(Some(&library)).expect("there is always an engine");
    assert!(chosen.backend() == "ort" && why.is_none());
    let elsewhere =
        model.with_ort(Path::new("/elsewhere/libonnxruntime.so")).err().expect("one process holds one runtime");
    assert!(elsewhere.to_string().contains("restart"), "{elsewhere}");
}

#[cfg(feature = "ort")]
#[test]
fn a_library_that_cannot_be_used_is_said_and_tract_takes_over() {
    let model = Model::bundled();
    for (case, path, wanted) in [
        ("a relative path", "libonnxruntime.so", "absolute"),
        ("no such file", "/nowhere/libonnxruntime.so", "libonnxruntime.so"),
        ("no library at all", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "Cargo.toml"),
    ] {
        let (chosen, why) = model.embedder(Some(Path::new(path))).expect("there is always an engine");
        let why = why.expect(case).to_string();
        assert!(chosen.backend() == "tract" && why.contains(wanted) && why.contains("cannot use"), "{case}: {why}");
    }
}

#[test]
fn any_text_has_an_embedding_and_the_same_one_every_time() {
    let mut tract = Model::bundled().with_tract().expect("the bundled model loads");
    let long = "a very long text about everything ".repeat(2000);
    for (case, text) in
        [("empty", ""), ("white space", " \n"), ("emoji", "🍕"), ("control", "\u{0}\u{7}"), ("long", &long)]
    {
        let embedding = tract.embed(text).expect(case);
        assert_eq!(embedding.as_slice().len(), DIMS, "{case}");
        assert_eq!(embedding, tract.embed(text).expect(case), "{case}");
    }
    let one = tract.embed("How do I renew my passport?").expect("the text is ordinary");
    let near = tract.embed("Getting a new travel document from the authorities").expect("the text is ordinary");
    let far = tract.embed("Simmer the tomato sauce for twenty minutes").expect("the text is ordinary");
    assert!(one.cosine(&near) > one.cosine(&far) + 0.2);
    assert!(one.quantize().cosine(&near.quantize()) - one.cosine(&near) < 0.01);
}

#[test]
fn an_altered_model_is_refused_with_what_to_do() {
    assert_eq!(Digests::of(ONNX, TOKENIZER), Digests::SHIPPED, "PROVENANCE.md and the program name these digests");
    let model = Model::from_bytes(ONNX, TOKENIZER, Some(Digests::SHIPPED)).expect("these are the shipped files");
    assert_eq!(model.id(), Model::bundled().id());
    let mut altered = ONNX.to_vec();
    altered[1_000_000] ^= 1;
    for (case, onnx, tokenizer, wanted) in [
        ("one bit of the graph", altered, TOKENIZER, "model_int8.onnx"),
        ("half the graph", ONNX[..ONNX.len() / 2].to_vec(), TOKENIZER, "model_int8.onnx"),
        ("no graph", Vec::new(), TOKENIZER, "model_int8.onnx"),
        ("half the tokenizer", ONNX.to_vec(), &TOKENIZER[..TOKENIZER.len() / 2], "tokenizer.json"),
    ] {
        let error = Model::from_bytes(onnx, tokenizer, Some(Digests::SHIPPED)).expect_err(case);
        assert!(matches!(error, ModelError::Altered { file } if file == wanted), "{case}: {error}");
        assert!(error.to_string().contains("fetch the model again"), "{case}");
    }
    let error = Model::from_bytes(ONNX, b"{}", None).expect_err("that is no tokenizer");
    assert!(matches!(error, ModelError::Tokenizer(TokenizerError::Unreadable(_))));
    let other = Model::from_bytes(&b"no graph"[..], TOKENIZER, None).expect("without a promise the bytes are taken");
    assert_ne!(other.id(), model.id(), "another model has another id");
    let error = other.with_tract().err().expect("that is no graph").to_string();
    assert!(error.starts_with("tract cannot load the model"), "{error}");
}

#[test]
fn features_say_what_there_is_and_why() {
    let features = features(None);
    let names: Vec<_> = features.iter().map(|feature| feature.name).collect();
    assert_eq!(names, ["model", "tract", "ort", "kernels"]);
    assert!(features.iter().all(|feature| !feature.why.is_empty()));
    assert!(features[0].available && features[1].available && !features[2].available);
    let named = hearth_search::features(Some(Path::new("relative.so")));
    assert!(!named[2].available && !named[2].why.is_empty());
}
