//! What words found and what meaning found, as one ranking.
//!
//! Both scores are brought to the range from 0 to 1 over what was found, and added: meaning counts 0.7, words 0.3. Where one
//! side gave no scores, places are added instead (reciprocal rank fusion). The parts of every score are kept, so that a
//! ranking can be explained.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// The cosine from which on this model has surely found what was meant. A best hit below it does not count as a full one, or in a
/// small collection the nearest of many unrelated notes would beat the one that has the very words.
const SURELY_MEANT: f32 = 0.6;
/// How many hits of each side are fused at a time.
pub const DEPTH: usize = 100;
/// How much meaning counts; the rest is for words. The best share is flat between 0.6 and 0.8.
const DENSE_SHARE: f32 = 0.7;
/// How slowly places lose their worth in reciprocal rank fusion.
const RANK_OFFSET: f32 = 60.0;

/// What a search goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Words and meaning.
    #[default]
    Hybrid,
    /// Meaning alone.
    Vector,
    /// Words alone.
    Keyword,
}

/// Why a text names no mode.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a way to search; write `hybrid`, `vector` or `keyword`")]
pub struct NotAMode(String);

impl FromStr for Mode {
    type Err = NotAMode;

    fn from_str(text: &str) -> Result<Self, NotAMode> {
        match text {
            "hybrid" => Ok(Self::Hybrid),
            "vector" => Ok(Self::Vector),
            "keyword" => Ok(Self::Keyword),
            _ => Err(NotAMode(text.chars().take(40).collect())),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hybrid => "hybrid",
            Self::Vector => "vector",
            Self::Keyword => "keyword",
        })
    }
}

/// One hit of one side. A side that only knows an order gives no scores.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ranked<K> {
    /// What was found.
    pub key: K,
    /// How good it is, by that side's own measure.
    pub score: Option<f32>,
}

/// A hit, and where its score comes from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fused<K> {
    /// What was found.
    pub key: K,
    /// Where the score comes from.
    pub parts: Parts,
}

/// Where a score comes from.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// What words gave: BM25. Absent when words did not find it.
    pub keyword: Option<f32>,
    /// What meaning gave: a cosine. Absent when it was not among the nearest.
    pub vector: Option<f32>,
    /// What the ranking goes by.
    pub fused: f32,
}

/// Fuses two rankings, each best first, into one, best first; of equals, the one with the smaller key first.
///
/// Both are taken in pages of [`DEPTH`] hits, so that asking for more never changes what comes first: each page is fused by itself
/// and ranks below the one before, its scores lower by one. What only words found is taken to be as far away in meaning as the last
/// that meaning found on that page, since it can be no nearer. One side alone keeps its own scores.
pub fn fuse<K: Copy + Eq + Hash + Ord>(keyword: &[Ranked<K>], vector: &[Ranked<K>], mode: Mode) -> Vec<Fused<K>> {
    let own = |hit: &Ranked<K>, parts: Parts| Fused { key: hit.key, parts };
    match mode {
        Mode::Keyword if scored(keyword) => distinct(keyword, &mut HashSet::new())
            .map(|hit| own(hit, Parts { keyword: hit.score, fused: hit.score.unwrap_or_default(), vector: None }))
            .collect(),
        Mode::Vector if scored(vector) => distinct(vector, &mut HashSet::new())
            .map(|hit| own(hit, Parts { vector: hit.score, fused: hit.score.unwrap_or_default(), keyword: None }))
            .collect(),
        _ => {
            let (none, mut seen, mut fused) = (&[][..], HashSet::new(), Vec::new());
            let (mut words, mut meanings) = (
                if mode == Mode::Vector { none } else { keyword }.chunks(DEPTH),
                if mode == Mode::Keyword { none } else { vector }.chunks(DEPTH),
            );
            for page in 0_u16.. {
                let (words, meanings) = (words.next().unwrap_or(none), meanings.next().unwrap_or(none));
                if words.is_empty() && meanings.is_empty() {
                    break;
                }
                fused.extend(fuse_page(words, meanings, &mut seen).into_iter().map(|mut hit| {
                    hit.parts.fused -= f32::from(page);
                    hit
                }));
            }
            fused
        }
    }
}

/// Fuses one page; what an earlier page had is left out.
fn fuse_page<K: Copy + Eq + Hash + Ord>(
    keyword: &[Ranked<K>],
    vector: &[Ranked<K>],
    seen: &mut HashSet<K>,
) -> Vec<Fused<K>> {
    let fresh = |side: &[Ranked<K>]| distinct(side, &mut seen.clone()).copied().collect::<Vec<_>>();
    let (keyword, vector) = (fresh(keyword), fresh(vector));
    let mut parts: HashMap<K, Parts> = HashMap::new();
    for hit in &keyword {
        parts.entry(hit.key).or_default().keyword = hit.score;
    }
    for hit in &vector {
        parts.entry(hit.key).or_default().vector = hit.score;
    }
    if scored(&keyword) && scored(&vector) {
        by_score(&keyword, &vector, &mut parts);
    } else {
        by_place(&keyword, &vector, &mut parts);
    }
    seen.extend(parts.keys());
    let mut fused: Vec<Fused<K>> = parts.into_iter().map(|(key, parts)| Fused { key, parts }).collect();
    fused.sort_by(|a, b| b.parts.fused.total_cmp(&a.parts.fused).then_with(|| a.key.cmp(&b.key)));
    fused
}

fn scored<K>(side: &[Ranked<K>]) -> bool {
    side.iter().all(|hit| hit.score.is_some_and(f32::is_finite))
}

/// The hits of a side that were not seen, each key once.
fn distinct<'s, K: Copy + Eq + Hash>(
    side: &'s [Ranked<K>],
    seen: &'s mut HashSet<K>,
) -> impl Iterator<Item = &'s Ranked<K>> {
    side.iter().filter(|hit| seen.insert(hit.key))
}

fn by_score<K: Copy + Eq + Hash>(keyword: &[Ranked<K>], vector: &[Ranked<K>], parts: &mut HashMap<K, Parts>) {
    // What words did not find has no word of the question: its BM25 is 0.
    let words = Scale { least: 0.0, most: most(keyword) };
    // A short list is the whole collection, so its last is no measure of what is far away; and the best of it may be near nothing.
    let far = if vector.len() < DEPTH { 0.0 } else { least(vector) };
    let meaning = Scale { least: far, most: most(vector).max(SURELY_MEANT) };
    for parts in parts.values_mut() {
        let keyword = parts.keyword.map_or(0.0, |score| words.place(score));
        let vector = parts.vector.map_or(0.0, |score| meaning.place(score));
        parts.fused = DENSE_SHARE * vector + (1.0 - DENSE_SHARE) * keyword;
    }
}

fn by_place<K: Copy + Eq + Hash>(keyword: &[Ranked<K>], vector: &[Ranked<K>], parts: &mut HashMap<K, Parts>) {
    for side in [keyword, vector] {
        for (place, hit) in (1_u16..).zip(side) {
            parts.entry(hit.key).or_default().fused += 1.0 / (RANK_OFFSET + f32::from(place));
        }
    }
}

fn most<K>(side: &[Ranked<K>]) -> f32 {
    side.iter().filter_map(|hit| hit.score).fold(f32::NEG_INFINITY, f32::max)
}

fn least<K>(side: &[Ranked<K>]) -> f32 {
    side.iter().filter_map(|hit| hit.score).fold(f32::INFINITY, f32::min)
}

/// A range of scores.
struct Scale {
    least: f32,
    most: f32,
}

impl Scale {
    /// Where in the range a score is, from 0 to 1. Where all are equal, each is the best.
    fn place(&self, score: f32) -> f32 {
        let width = self.most - self.least;
        if width > 0.0 { ((score - self.least) / width).clamp(0.0, 1.0) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn side(hits: &[(u32, f32)]) -> Vec<Ranked<u32>> {
        hits.iter().map(|&(key, score)| Ranked { key, score: Some(score) }).collect()
    }

    fn order(fused: &[Fused<u32>]) -> Vec<u32> {
        fused.iter().map(|hit| hit.key).collect()
    }

    #[test]
    fn in_a_small_collection_the_very_words_beat_what_is_merely_nearest() {
        let fused = fuse(&side(&[(1, 2.3)]), &side(&[(2, 0.25), (1, 0.03), (3, -0.08)]), Mode::Hybrid);
        assert_eq!(order(&fused), [1, 2, 3]);
        let fused = fuse(&side(&[(1, 2.3)]), &side(&[(2, 0.55), (1, 0.03), (3, -0.08)]), Mode::Hybrid);
        assert_eq!(order(&fused), [2, 1, 3], "what is near beats one that only shares words");
    }

    #[test]
    fn meaning_counts_seven_tenths_and_words_the_rest() {
        let fused = fuse(&side(&[(1, 10.0), (2, 5.0)]), &side(&[(2, 0.9), (3, 0.5), (1, 0.1)]), Mode::Hybrid);
        assert_eq!(order(&fused), [2, 3, 1]);
        let parts = fused[0].parts;
        assert_eq!((parts.keyword, parts.vector), (Some(5.0), Some(0.9)));
        assert!((parts.fused - (0.7 + 0.3 * 0.5)).abs() < 1e-6);
        assert!((fused[2].parts.fused - (0.3 + 0.7 * 0.1 / 0.9)).abs() < 1e-6, "far in meaning and the best of words");
        assert_eq!(fused[1].parts.keyword, None);
    }

    #[test]
    fn each_mode_uses_its_sides_only() {
        let (words, meaning) = (side(&[(1, 3.0), (2, 2.0)]), side(&[(2, 0.9), (3, 0.5)]));
        for (mode, expected) in [(Mode::Hybrid, &[2, 3, 1][..]), (Mode::Vector, &[2, 3]), (Mode::Keyword, &[1, 2])] {
            assert_eq!(order(&fuse(&words, &meaning, mode)), expected, "{mode}");
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!(
            fuse(&words, &meaning, Mode::Vector)[0].parts,
            Parts { keyword: None, vector: Some(0.9), fused: 0.9 }
        );
        assert!("dense".parse::<Mode>().is_err_and(|error| error.to_string().contains("write `hybrid`")));
    }

    #[test]
    fn asking_for_more_changes_nothing_of_what_comes_first() {
        let words: Vec<(u32, f32)> = (0..250_u16).map(|n| (u32::from(n) * 2, 500.0 - f32::from(n))).collect();
        let meaning: Vec<(u32, f32)> = (0..300_u16).map(|n| (u32::from(n) * 3, 1.0 - f32::from(n) / 300.0)).collect();
        let (words, meaning) = (side(&words), side(&meaning));
        let first = fuse(&words[..DEPTH], &meaning[..DEPTH], Mode::Hybrid);
        let all = fuse(&words, &meaning, Mode::Hybrid);
        assert_eq!(all[..first.len()], first);
        assert!(all.is_sorted_by(|a, b| a.parts.fused >= b.parts.fused));
        let mut keys = order(&all);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all.len(), "each once");
        assert!(words.iter().chain(&meaning).all(|hit| keys.binary_search(&hit.key).is_ok()), "and all are there");
        assert_eq!(fuse(&words, &[], Mode::Keyword).len(), 250, "one side alone is not cut");
    }

    #[test]
    fn a_side_without_scores_counts_by_its_places() {
        let places: Vec<_> = [4, 5].map(|key| Ranked { key, score: None }).into();
        let fused = fuse(&places, &side(&[(5, 0.9), (6, 0.1)]), Mode::Hybrid);
        assert_eq!(order(&fused), [5, 4, 6]);
        assert!((fused[0].parts.fused - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-7);
        let broken = side(&[(1, f32::NAN), (2, 1.0)]);
        assert_eq!(order(&fuse(&broken, &[], Mode::Hybrid)), [1, 2], "a score that is no number is none");
    }

    #[test]
    fn a_missing_side_changes_no_order() {
        let one = side(&[(3, 9.0), (1, 4.0), (2, 4.0)]);
        assert_eq!(order(&fuse(&one, &[], Mode::Hybrid)), [3, 1, 2]);
        assert_eq!(order(&fuse(&[], &one, Mode::Hybrid)), [3, 1, 2]);
        assert_eq!(fuse::<u32>(&[], &[], Mode::Hybrid), []);
    }

    proptest! {
        #[test]
        fn every_hit_is_there_once_and_scores_stay_in_range(
            words in vec((0_u32..50, 0.01_f32..30.0), 0..60), meaning in vec((0_u32..50, -1.0_f32..1.0), 0..60),
        ) {
            let sorted = |mut hits: Vec<(u32, f32)>| {
                hits.sort_by(|a, b| b.1.total_cmp(&a.1));
                side(&hits)
            };
            let (words, meaning) = (sorted(words), sorted(meaning));
            let fused = fuse(&words, &meaning, Mode::Hybrid);
            let mut found = order(&fused);
            prop_assert!(fused.is_sorted_by(|a, b| a.parts.fused >= b.parts.fused));
            prop_assert!(fused.iter().all(|hit| (0.0..=1.0001).contains(&hit.parts.fused)));
            let mut expected: Vec<u32> = words.iter().chain(&meaning).map(|hit| hit.key).collect();
            for keys in [&mut found, &mut expected] {
                keys.sort_unstable();
            }
            expected.dedup();
            prop_assert_eq!(found, expected);
        }
    }
}
