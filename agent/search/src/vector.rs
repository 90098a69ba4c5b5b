//! What a text means, as a direction in space: whole as an [`Embedding`], and small as a [`Vector`].
//!
//! An embedding leaves the encoder with length one, so the product of two of them is the cosine of their angle. A vector is
//! the same in whole numbers from -127 to 127 with a scale of its own: a quarter of the size, and exact enough that
//! rankings stay. Vectors tell about the text they come from and are kept as safe as the text.

use hearth_simd::{dot_f32, dot_i8};

/// How many numbers an embedding has.
pub const DIMS: usize = 384;

/// Why some numbers are not an embedding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAnEmbedding {
    /// There are too many or too few.
    #[error("an embedding has {DIMS} numbers, not {0}; is this the right model?")]
    Length(usize),
    /// They point nowhere.
    #[error("the numbers of an embedding must be finite and not all zero; is the model's file whole?")]
    NoDirection,
}

/// The meaning of one text: a direction, as [`DIMS`] numbers of length one.
#[derive(Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Takes the numbers that an encoder gave and brings them to length one.
    pub fn new(numbers: &[f32]) -> Result<Self, NotAnEmbedding> {
        if numbers.len() != DIMS {
            return Err(NotAnEmbedding::Length(numbers.len()));
        }
        // In double width, so that numbers at the edge of what a float holds keep their direction.
        let length = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(NotAnEmbedding::NoDirection);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the quotient is between -1 and 1")]
        Ok(Self(numbers.iter().map(|&x| (f64::from(x) / length) as f32).collect()))
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// How alike two meanings are: 1 for the same, around 0 for strangers.
    pub fn cosine(&self, other: &Self) -> f32 {
        dot_f32(&self.0, &other.0)
    }

    /// The same direction in a quarter of the space.
    pub fn quantize(&self) -> Vector {
        let largest = self.0.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = largest / 127.0;
        let mut codes = [0; DIMS];
        for (code, x) in codes.iter_mut().zip(&self.0) {
            #[expect(clippy::cast_possible_truncation, reason = "the quotient is between -127 and 127")]
            let nearest = (x / scale).round() as i8;
            *code = nearest;
        }
        Vector { codes: Box::new(codes), scale }
    }
}

impl std::fmt::Debug for Embedding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Embedding(…)") // its numbers would tell about the text
    }
}

/// An embedding in whole numbers: each is its code times the vector's scale.
#[derive(Clone, PartialEq)]
pub struct Vector {
    codes: Box<[i8; DIMS]>,
    scale: f32,
}

impl Vector {
    /// How many bytes [`Self::to_bytes`] gives.
    pub const BYTES: usize = DIMS + 4;

    /// The codes.
    pub fn codes(&self) -> &[i8; DIMS] {
        &self.codes
    }

    /// What one step of a code is worth.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The embedding again, but for what rounding took.
    pub fn dequantize(&self) -> Embedding {
        let numbers: Vec<f32> = self.codes.iter().map(|&code| f32::from(code) * self.scale).collect();
        Embedding::new(&numbers).expect("a vector has a finite scale and a code that is not zero")
    }

    /// How alike two meanings are, but for what rounding took.
    pub fn cosine(&self, other: &Self) -> f32 {
        similarity(dot_i8(&self.codes[..], &other.codes[..]), self.scale, other.scale)
    }

    /// The vector as it is kept: its scale, then its codes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.scale.to_le_bytes());
        for (byte, code) in bytes[4..].iter_mut().zip(&self.codes[..]) {
            *byte = code.cast_unsigned();
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` when these bytes are no vector.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (scale, codes) = bytes.split_first_chunk::<4>().expect("a vector is longer than its scale");
        let codes: [i8; DIMS] = std::array::from_fn(|place| codes[place].cast_signed());
        Self::from_parts(codes, f32::from_le_bytes(*scale))
    }

    /// Puts a vector together; `None` unless the scale is positive and sane and some code is not zero.
    pub(crate) fn from_parts(codes: [i8; DIMS], scale: f32) -> Option<Self> {
        let sane = scale.is_normal() && scale > 0.0 && scale <= 1.0 && codes.iter().any(|&code| code != 0);
        sane.then(|| Self { codes: Box::new(codes), scale })
    }
}

impl std::fmt::Debug for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vector(…)") // its numbers would tell about the text
    }
}

/// The cosine that a product of codes stands for.
#[expect(
    clippy::cast_precision_loss,
    reason = "a product of 384 pairs of codes is below 2^23, which a float holds exactly"
)]
pub(crate) fn similarity(product: i32, one: f32, other: f32) -> f32 {
    product as f32 * one * other
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn rounding_keeps_the_direction(numbers in vec(-1.0_f32..1.0, DIMS)) {
            prop_assume!(numbers.iter().any(|x| x.abs() > 1e-3));
            let embedding = Embedding::new(&numbers).expect("the numbers point somewhere");
            prop_assert!((embedding.cosine(&embedding) - 1.0).abs() < 1e-5);
            let vector = embedding.quantize();
            prop_assert!(embedding.cosine(&vector.dequantize()) > 0.999);
            prop_assert!((vector.cosine(&vector) - 1.0).abs() < 0.02);
        }

        #[test]
        fn a_vector_reads_back_as_itself(numbers in vec(-1.0_f32..1.0, DIMS)) {
            prop_assume!(numbers.iter().any(|x| x.abs() > 1e-3));
            let vector = Embedding::new(&numbers).expect("the numbers point somewhere").quantize();
            prop_assert_eq!(Vector::from_bytes(&vector.to_bytes()), Some(vector));
        }

        #[test]
        fn any_bytes_are_a_vector_or_none(bytes in vec(any::<u8>(), Vector::BYTES)) {
            let bytes: [u8; Vector::BYTES] = bytes.try_into().expect("as many as were asked for");
            if let Some(vector) = Vector::from_bytes(&bytes) {
                prop_assert!(vector.dequantize().as_slice().iter().all(|x| x.is_finite()));
            }
        }
    }

    #[test]
    fn what_points_nowhere_is_no_embedding() {
        for (case, numbers, error) in [
            ("too few", vec![1.0; 383], NotAnEmbedding::Length(383)),
            ("none", vec![], NotAnEmbedding::Length(0)),
            ("all zero", vec![0.0; DIMS], NotAnEmbedding::NoDirection),
            ("not a number", vec![f32::NAN; DIMS], NotAnEmbedding::NoDirection),
            ("endless", vec![f32::INFINITY; DIMS], NotAnEmbedding::NoDirection),
        ] {
            assert_eq!(Embedding::new(&numbers), Err(error), "{case}");
        }
        assert!(Embedding::new(&[f32::MAX; DIMS]).is_ok(), "very long is still a direction");
    }
}
