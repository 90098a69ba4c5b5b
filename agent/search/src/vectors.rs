//! The vectors of all chunks, and the nearest of them to a question.
//!
//! Every search looks at every vector that passes the filter, so it is exact, filters are free and nothing must be trained.
//! Segments are how vectors are kept: written and read here as bytes, versioned, with the model they belong to and a
//! checksum. Where the bytes lie, and that they are sealed there, is the caller's business.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
    io::{self, Write},
};

use hearth_core::ChunkId;
use hearth_simd::dot_i8;

use crate::vector::{DIMS, Embedding, Vector, similarity};

/// What every segment begins with.
const MAGIC: &[u8; 8] = b"hearth-v";
/// The version that is written. An older one would be read; a newer one is refused.
const VERSION: u16 = 1;
/// The longest name of a model.
const MODEL_NAME_MAX: usize = 255;
/// One vector of a segment: its chunk's id, its scale and its codes.
const ROW: usize = 16 + Vector::BYTES;

/// Why a segment cannot be used. It can always be rebuilt from the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SegmentError {
    /// The bytes are not a segment, were cut short, or changed.
    #[error("the vector segment is damaged ({0}); run `hearth state rebuild` to make it anew from the log")]
    Damaged(&'static str),
    /// A newer hearth wrote it.
    #[error(
        "the vector segment has format {0}, and this version reads up to {VERSION}; update hearth, or run `hearth state rebuild`"
    )]
    Newer(u16),
    /// Its vectors come from another model and cannot be compared with ours.
    #[error("the vector segment was made by model {found}, and this is model {ours}; its texts must be embedded again")]
    OtherModel {
        /// The model that made the segment.
        found: String,
        /// The model in use.
        ours: String,
    },
}

/// A chunk that was found, and how near it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Near {
    /// The chunk.
    pub chunk: ChunkId,
    /// The cosine of the angle to the question.
    pub score: f32,
}

/// All vectors of one model, in memory.
#[derive(Debug)]
pub struct Vectors {
    model: String,
    ids: Vec<ChunkId>,
    scales: Vec<f32>,
    codes: Vec<i8>,
    places: HashMap<ChunkId, usize>,
}

impl Vectors {
    /// No vectors yet, of the model with this id (see `Model::id`).
    ///
    /// # Panics
    ///
    /// When the model's name is longer than 255 bytes; ours are digests.
    pub fn new(model: &str) -> Self {
        assert!(model.len() <= MODEL_NAME_MAX, "a model's id is a short digest");
        let (ids, scales, codes, places) = Default::default();
        Self { model: model.into(), ids, scales, codes, places }
    }

    /// The model whose vectors these are.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Is there a vector of this chunk?
    pub fn contains(&self, chunk: ChunkId) -> bool {
        self.places.contains_key(&chunk)
    }

    /// The vector of this chunk.
    pub fn get(&self, chunk: ChunkId) -> Option<Vector> {
        let place = *self.places.get(&chunk)?;
        let codes = self.codes[place * DIMS..].first_chunk::<DIMS>().expect("every id has a full row of codes");
        Vector::from_parts(*codes, self.scales[place])
    }

    /// The chunks that have a vector, in no order that means anything.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.ids.iter().copied()
    }

    /// Keeps the vector of a chunk, in place of the one it had.
    pub fn insert(&mut self, chunk: ChunkId, vector: &Vector) {
        if let Some(&place) = self.places.get(&chunk) {
            self.scales[place] = vector.scale();
            self.codes[place * DIMS..][..DIMS].copy_from_slice(vector.codes());
            return;
        }
        self.places.insert(chunk, self.ids.len());
        self.ids.push(chunk);
        self.scales.push(vector.scale());
        self.codes.extend_from_slice(vector.codes());
    }

    /// Lets the vector of a chunk go; says whether there was one. Its numbers are overwritten.
    pub fn remove(&mut self, chunk: ChunkId) -> bool {
        let Some(place) = self.places.remove(&chunk) else { return false };
        let last = self.ids.len() - 1;
        self.ids.swap_remove(place);
        self.scales.swap_remove(place);
        self.codes.copy_within(last * DIMS.., place * DIMS);
        self.codes[last * DIMS..].fill(0);
        self.codes.truncate(last * DIMS);
        if let Some(&moved) = self.ids.get(place) {
            self.places.insert(moved, place);
        }
        true
    }

    /// The `count` nearest chunks, best first; of equals, the one with the smaller id first.
    pub fn nearest(&self, question: &Embedding, count: usize) -> Vec<Near> {
        self.nearest_of(question, count, |_| true)
    }

    /// The `count` nearest chunks among those that the filter lets through.
    ///
    /// The filter is asked only about chunks near enough to be in the answer, so it may look things up.
    pub fn nearest_of(&self, question: &Embedding, count: usize, filter: impl Fn(ChunkId) -> bool) -> Vec<Near> {
        let question = question.quantize();
        let mut best: BinaryHeap<Worst> = BinaryHeap::with_capacity(count.min(self.len()) + 1);
        if count == 0 {
            return Vec::new();
        }
        for ((codes, &scale), &chunk) in self.codes.chunks_exact(DIMS).zip(&self.scales).zip(&self.ids) {
            let score = similarity(dot_i8(question.codes(), codes), question.scale(), scale);
            let near = Worst(Near { chunk, score });
            let full = best.len() == count;
            if full && best.peek().is_some_and(|worst| near >= *worst) || !filter(chunk) {
                continue;
            }
            if full {
                best.pop();
            }
            best.push(near);
        }
        best.into_sorted_vec().into_iter().map(|Worst(near)| near).collect()
    }

    /// Writes all vectors as one segment.
    pub fn write_segment(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_segment_of(self.chunks(), out)
    }

    /// Writes the vectors of these chunks as one segment, so that a few new ones need not rewrite all.
    pub fn write_segment_of(&self, chunks: impl IntoIterator<Item = ChunkId>, out: &mut impl Write) -> io::Result<()> {
        let places: Vec<usize> = chunks.into_iter().filter_map(|chunk| self.places.get(&chunk).copied()).collect();
        let mut head = Vec::from(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&u16::try_from(DIMS).expect("384 fits").to_le_bytes());
        head.push(u8::try_from(self.model.len()).expect("checked when it was named"));
        head.extend_from_slice(self.model.as_bytes());
        head.extend_from_slice(&(places.len() as u64).to_le_bytes());
        let mut sum = crc32c::crc32c(&head);
        out.write_all(&head)?;
        for place in places {
            let mut row = [0; ROW];
            row[..16].copy_from_slice(self.ids[place].as_bytes());
            row[16..20].copy_from_slice(&self.scales[place].to_le_bytes());
            for (byte, code) in row[20..].iter_mut().zip(&self.codes[place * DIMS..]) {
                *byte = code.cast_unsigned();
            }
            sum = crc32c::crc32c_append(sum, &row);
            out.write_all(&row)?;
        }
        out.write_all(&sum.to_le_bytes())
    }

    /// Takes in all vectors of a segment and says how many there were; on an error nothing has changed.
    pub fn read_segment(&mut self, segment: &[u8]) -> Result<usize, SegmentError> {
        let rows = self.rows(segment)?;
        let parse = |row: &[u8; ROW]| {
            let (id, vector) = row.split_first_chunk::<16>().expect("a row is longer than an id");
            let vector = vector.first_chunk().and_then(Vector::from_bytes)?;
            Some((ChunkId::from_bytes(*id), vector))
        };
        if rows.iter().any(|row| parse(row).is_none()) {
            return Err(SegmentError::Damaged("a row that is no vector"));
        }
        self.codes.reserve(rows.len() * DIMS);
        for (chunk, vector) in rows.iter().filter_map(parse) {
            self.insert(chunk, &vector);
        }
        Ok(rows.len())
    }

    /// Checks a segment and gives its rows.
    fn rows<'a>(&self, segment: &'a [u8]) -> Result<&'a [[u8; ROW]], SegmentError> {
        use SegmentError::Damaged;
        let rest = segment.strip_prefix(MAGIC).ok_or(Damaged("it does not begin like one"))?;
        let (version, rest) = rest.split_first_chunk().ok_or(Damaged("cut short"))?;
        let version = u16::from_le_bytes(*version);
        if version > VERSION {
            return Err(SegmentError::Newer(version));
        }
        let (body, sum) = segment.split_last_chunk().ok_or(Damaged("cut short"))?;
        if version == 0 || crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
            return Err(Damaged("its checksum is wrong"));
        }
        let rest = &rest[..rest.len().checked_sub(4).ok_or(Damaged("cut short"))?];
        let (dims, rest) = rest.split_first_chunk().ok_or(Damaged("cut short"))?;
        let (&[name], rest) = rest.split_first_chunk().ok_or(Damaged("cut short"))?;
        let (name, rest) = rest.split_at_checked(usize::from(name)).ok_or(Damaged("cut short"))?;
        let found = std::str::from_utf8(name).map_err(|_| Damaged("its model has no name"))?;
        if found != self.model || usize::from(u16::from_le_bytes(*dims)) != DIMS {
            return Err(SegmentError::OtherModel { found: found.into(), ours: self.model.clone() });
        }
        let (count, rest) = rest.split_first_chunk().ok_or(Damaged("cut short"))?;
        let (rows, left) = rest.as_chunks::<ROW>();
        if !left.is_empty() || rows.len() as u64 != u64::from_le_bytes(*count) {
            return Err(Damaged("its rows do not add up"));
        }
        Ok(rows)
    }
}

/// Sorts what was found so that the heap gives the worst away first.
#[derive(PartialEq)]
struct Worst(Near);

impl Eq for Worst {}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then_with(|| self.0.chunk.cmp(&other.0.chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn chunk(n: u8) -> ChunkId {
        ChunkId::from_bytes([n; 16])
    }

    /// A direction that is the same every time, and another one for every seed.
    fn direction(seed: u64) -> Embedding {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let numbers: Vec<f32> = (0..DIMS)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                f32::from(u16::try_from(state >> 48).expect("16 bits are left")) / 32_768.0 - 1.0
            })
            .collect();
        Embedding::new(&numbers).expect("the numbers point somewhere")
    }

    fn filled(count: u8) -> Vectors {
        let mut vectors = Vectors::new("model-1");
        (0..count).for_each(|n| vectors.insert(chunk(n), &direction(u64::from(n)).quantize()));
        vectors
    }

    fn segment(vectors: &Vectors) -> Vec<u8> {
        let mut bytes = Vec::new();
        vectors.write_segment(&mut bytes).expect("memory can be written");
        bytes
    }

    #[test]
    fn the_nearest_is_found_and_the_filter_obeyed() {
        let vectors = filled(50);
        let found = vectors.nearest(&direction(7), 3);
        assert_eq!((found.len(), found[0].chunk), (3, chunk(7)));
        assert!(found[0].score > 0.99 && found[1].score < 0.5);
        let found = vectors.nearest_of(&direction(7), 3, |id| id != chunk(7));
        assert!(found.len() == 3 && found.iter().all(|near| near.chunk != chunk(7)));
        assert_eq!(vectors.nearest(&direction(7), 0), []);
        assert_eq!(vectors.nearest(&direction(7), 500).len(), 50);
        assert_eq!(Vectors::new("model-1").nearest(&direction(7), 5), []);
    }

    proptest! {
        #[test]
        fn the_answer_is_that_of_sorting_everything(seeds in vec(0_u64..40, 0..60), count in 0_usize..70) {
            let mut vectors = Vectors::new("model-1");
            for (n, seed) in (0..).zip(&seeds) {
                vectors.insert(chunk(n), &direction(*seed).quantize()); // seeds repeat, so scores tie
            }
            let question = direction(3);
            let mut all: Vec<Near> = vectors
                .chunks()
                .map(|chunk| Near { chunk, score: question.quantize().cosine(&vectors.get(chunk).expect("it is there")) })
                .collect();
            all.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.chunk.cmp(&b.chunk)));
            all.truncate(count);
            prop_assert_eq!(vectors.nearest(&question, count), all);
        }

        #[test]
        fn it_holds_what_a_map_would_hold(steps in vec((0_u8..12, any::<bool>(), 0_u64..9), 0..60)) {
            let (mut vectors, mut twin) = (Vectors::new("model-1"), HashMap::new());
            for (n, keep, seed) in steps {
                if keep {
                    vectors.insert(chunk(n), &direction(seed).quantize());
                    twin.insert(chunk(n), direction(seed).quantize());
                } else {
                    prop_assert_eq!(vectors.remove(chunk(n)), twin.remove(&chunk(n)).is_some());
                }
            }
            prop_assert_eq!(vectors.len(), twin.len());
            for (id, vector) in twin {
                prop_assert_eq!(vectors.get(id), Some(vector));
            }
        }

        #[test]
        fn a_segment_with_any_damage_is_refused(place in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut bytes = segment(&filled(3));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            let mut vectors = Vectors::new("model-1");
            prop_assert!(vectors.read_segment(&bytes).is_err(), "a flip at {place} went unseen");
            prop_assert!(vectors.is_empty());
        }
    }

    #[test]
    fn a_segment_reads_back_and_adds_to_what_is_there() {
        let (old, mut vectors) = (filled(9), filled(2));
        assert_eq!(vectors.read_segment(&segment(&old)), Ok(9));
        assert_eq!(vectors.len(), 9);
        assert!(old.chunks().all(|id| vectors.get(id) == old.get(id)));
        let mut few = Vec::new();
        old.write_segment_of([chunk(4), chunk(200)], &mut few).expect("memory can be written");
        let mut vectors = Vectors::new("model-1");
        assert_eq!(vectors.read_segment(&few), Ok(1), "only chunks that have a vector are written");
        assert!(vectors.contains(chunk(4)));
    }

    #[test]
    fn a_segment_cut_anywhere_is_refused() {
        let bytes = segment(&filled(2));
        for end in 0..bytes.len() {
            assert!(Vectors::new("model-1").read_segment(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(Vectors::new("model-1").read_segment(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_newer_segment_and_one_of_another_model_say_so() {
        let mut bytes = segment(&filled(2));
        assert!(
            matches!(Vectors::new("model-2").read_segment(&bytes), Err(SegmentError::OtherModel { found, .. }) if found == "model-1")
        );
        bytes[8] = 2;
        assert_eq!(Vectors::new("model-1").read_segment(&bytes), Err(SegmentError::Newer(2)));
    }
}
