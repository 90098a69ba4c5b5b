//! `hearth bench`: the product's own parts, measured on one thread.
//!
//! It measures what ships and prints what it saw; it keeps nothing.

mod federation;

use std::{fs, path::Path, time::Instant};

use hearth_core::ChunkId;
use hearth_search::{Embedder, Embedding, Model, Vectors};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    ask::{Failure, FailureKind},
    commands::bench::Bench,
};

/// Runs a measurement.
///
/// # Errors
/// When the input cannot be read or is not what it should be.
pub fn run(what: &Bench, model: &Model, library: Option<&Path>) -> Result<Value, Failure> {
    match what {
        Bench::Vectors { base, query, truth, k } => vectors(base, query, truth, *k),
        Bench::Embed { file } => embed(file, model, library),
        Bench::Federation { items, missing, authors } => federation::measure(*items, *missing, *authors),
        Bench::FederationEnd { folder, segments, to } => federation::end(folder, *segments, *to),
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Usage, message)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .map_err(|error| Failure::new(FailureKind::NotFound, format!("{} cannot be read: {error}", path.display())))
}

/// The rows of an `fvecs` or `ivecs` file: a length, then that many words of four bytes.
fn rows(bytes: &[u8]) -> Result<Vec<&[[u8; 4]]>, Failure> {
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(usage("this is not a file of vectors: its size is no multiple of four"));
    }
    let (mut rows, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let length = u32::from_le_bytes(words[at]) as usize;
        let row = words.get(at + 1..at + 1 + length).filter(|row| !row.is_empty());
        rows.push(row.ok_or_else(|| usage("this is not a file of vectors: a row is cut short"))?);
        at += 1 + length;
    }
    Ok(rows)
}

fn vectors(base: &Path, query: &Path, truth: &Path, k: usize) -> Result<Value, Failure> {
    let (base, query, truth) = (read(base)?, read(query)?, read(truth)?);
    let embedding = |row: &[[u8; 4]]| {
        let numbers: Vec<f32> = row.iter().map(|word| f32::from_le_bytes(*word)).collect();
        Embedding::new(&numbers).map_err(|error| usage(error.to_string()))
    };
    let queries = rows(&query)?.into_iter().map(embedding).collect::<Result<Vec<_>, _>>()?;
    let truth = rows(&truth)?;
    if queries.is_empty() || truth.len() != queries.len() || k == 0 || truth.iter().any(|row| row.len() < k) {
        return Err(usage("there must be queries, and for each as many true neighbours as are looked for"));
    }
    let rows = rows(&base)?;
    let begun = Instant::now();
    let mut index = Vectors::new("bench");
    for (number, row) in (0_u128..).zip(&rows) {
        index.insert(ChunkId::from_bytes(number.to_be_bytes()), &embedding(row)?.quantize());
    }
    let build_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let found: Vec<_> = queries.iter().map(|query| index.nearest(query, k)).collect();
    let seconds = begun.elapsed().as_secs_f64();
    let mut right = 0_usize;
    for (found, truth) in found.iter().zip(&truth) {
        let truth: Vec<u128> = truth[..k].iter().map(|word| u128::from(u32::from_le_bytes(*word))).collect();
        right += found.iter().filter(|near| truth.contains(&u128::from_be_bytes(*near.chunk.as_bytes()))).count();
    }
    let mut segment = Vec::new();
    index.write_segment(&mut segment).expect("writing to memory does not fail");
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    Ok(json!([{
        "setting": "int8 exact",
        "recall": count(right) / count(k * queries.len()),
        "qps": count(queries.len()) / seconds,
        "build_s": build_s,
        "bytes_per_vector": count(segment.len()) / count(rows.len().max(1)),
        "rss_bytes": resident_bytes(),
    }]))
}

fn embed(file: &Path, model: &Model, library: Option<&Path>) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    struct Line {
        text: String,
    }
    let bytes = read(file)?;
    let mut texts = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if !line.trim_ascii().is_empty() {
            let line: Line = serde_json::from_slice(line)
                .map_err(|_| usage(format!("line {number} must be an object with a string `text`")))?;
            texts.push(line.text);
        }
    }
    if texts.is_empty() {
        return Err(usage("there are no texts to embed in this file"));
    }
    let tokens: usize =
        texts.iter().map(|text| model.tokenizer().encode(text, hearth_search::model::TOKENS_MAX).len()).sum();
    let failed = |error: hearth_search::model::ModelError| Failure::new(FailureKind::Failed, error.to_string());
    let mut engines: Vec<Box<dyn Embedder>> = vec![model.with_tract().map_err(failed)?];
    if let Some(library) = library {
        engines.push(model.with_ort(library).map_err(failed)?);
    }
    let mut measured = Vec::new();
    for mut engine in engines {
        let failed = |error: hearth_search::model::EmbedError| Failure::new(FailureKind::Failed, error.to_string());
        engine.embed(&texts[0]).map_err(failed)?;
        let begun = Instant::now();
        for text in &texts {
            engine.embed(text).map_err(failed)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        measured.push(json!({
            "backend": engine.backend(),
            "texts_per_s": count(texts.len()) / seconds,
            "tokens_per_s": count(tokens) / seconds,
        }));
    }
    Ok(Value::Array(measured))
}

/// Bytes of memory that this process holds, as the system counts them.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_a_cut_row_is_refused() {
        let bytes: Vec<u8> = [2_u32, 7, 8, 1, 9].iter().flat_map(|word| word.to_le_bytes()).collect();
        let lengths: Vec<usize> = rows(&bytes).expect("two rows").iter().map(|row| row.len()).collect();
        assert_eq!(lengths, [2, 1]);
        assert!(rows(&bytes[..16]).is_err(), "a length without its row");
        assert!(rows(&bytes[..17]).is_err(), "no multiple of four");
    }
}
