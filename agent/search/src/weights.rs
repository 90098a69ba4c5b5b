//! What collections of passages know of a question's words, so that several rank as one would.
//!
//! BM25 weighs a word by how many passages have it and a match by how long passages are on average. Collections that are asked one by
//! one would each weigh by their own passages, and their scores could not be compared. So each first says what it knows of the words,
//! that is added up, and all weigh by the sum (statistics before scores, as in distributed retrieval since Callan et al. 1995).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tantivy::{
    Term,
    query::{Bm25StatisticsProvider, Query},
    schema::Field,
};

/// What one or several collections know of the words of a question.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Weights {
    /// How many passages there are.
    pub passages: u64,
    /// How many of them fit the question word by word.
    pub fitting: u64,
    /// By field: how many words there are in all passages.
    pub words: BTreeMap<u32, u64>,
    /// By field: in how many passages each word of the question is.
    pub found: BTreeMap<u32, BTreeMap<String, u64>>,
}

impl Weights {
    /// Adds what another collection knows of the same words; of others it says nothing that counts.
    pub fn add(&mut self, other: &Self) {
        let grow = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        grow(&mut self.passages, other.passages);
        grow(&mut self.fitting, other.fitting);
        for (field, sum) in &mut self.words {
            grow(sum, other.words.get(field).copied().unwrap_or_default());
        }
        for (field, found) in &mut self.found {
            let theirs = other.found.get(field);
            for (word, sum) in found {
                grow(sum, theirs.and_then(|theirs| theirs.get(word)).copied().unwrap_or_default());
            }
        }
    }

    /// In how many passages a word is; `None` of one that was not asked about.
    pub(crate) fn of(&self, term: &Term) -> Option<u64> {
        let word = std::str::from_utf8(term.serialized_value_bytes()).ok()?;
        // A sum that came from elsewhere may make no sense, and the engine takes that for a mistake of its own.
        self.found.get(&term.field().field_id())?.get(word).map(|passages| (*passages).min(self.passages))
    }

    pub(crate) fn note(&mut self, term: &Term, passages: u64) {
        if let Ok(word) = std::str::from_utf8(term.serialized_value_bytes()) {
            self.found.entry(term.field().field_id()).or_default().insert(word.to_owned(), passages);
        }
    }
}

/// The words that a query asks for.
pub(crate) fn terms_of(query: &dyn Query) -> Vec<Term> {
    let mut terms = Vec::new();
    query.query_terms(&mut |term, _| terms.push(term.clone()));
    terms.sort();
    terms.dedup();
    terms
}

/// One collection, weighed by several.
pub(crate) struct Among<'a>(pub(crate) &'a Weights);

impl Bm25StatisticsProvider for Among<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        // What was not weighed is not looked up: it would tell of what is not to be found.
        Ok(self.0.words.get(&field.field_id()).copied().unwrap_or_default())
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.0.passages.max(1))
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(self.0.of(term).unwrap_or_default())
    }
}
