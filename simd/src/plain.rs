//! The kernels written plainly: what the fast ones are held to, and what runs where none of them can.

use crate::classes::{BEYOND, BLOCK, Classes, Signs, kind};

/// The plain twin of [`crate::dot_i8`].
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).fold(0, |sum, (&x, &y)| sum.wrapping_add(i32::from(x) * i32::from(y)))
}

/// The plain twin of [`crate::dot_f32`], in eight sums so that the error stays small.
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (x, y) in a.chunks(8).zip(b.chunks(8)) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum()
}

/// The plain twin of [`crate::classes::classes`]: by whole bytes, and words by shifting (Baeza-Yates and Gonnet, "A New Approach to Text
/// Searching", 1992).
pub fn classes(text: &[u8], signs: &Signs, out: &mut Vec<Classes>) {
    const KINDS: [u8; 256] = {
        let mut kinds = [0; 256];
        let mut byte = 0_u8;
        while byte < u8::MAX {
            kinds[byte as usize] = kind::of(byte);
            byte += 1;
        }
        kinds
    };
    /// The first place of each table: a word may begin anywhere.
    const BEGIN: u64 = 0x0000_00ff_0000_00ff;
    /// The last place of each.
    const ENDED: u64 = 0xff00_0000_ff00_0000;

    out.clear();
    let mut states = [0; 2];
    let mut step = |at: usize| {
        let byte = usize::from(text.get(at).copied().unwrap_or(0));
        for (state, whole) in states.iter_mut().zip(&signs.whole) {
            *state = (*state << 8 | BEGIN) & whole[byte];
        }
        states.map(|state| u64::from(state & ENDED != 0))
    };
    for at in 0..BEYOND {
        step(at);
    }
    for (n, bytes) in text.chunks(BLOCK).enumerate() {
        let mut classes = Classes::default();
        for (i, byte) in bytes.iter().enumerate() {
            let kinds = KINDS[usize::from(*byte)];
            let bit = |kind: u8| u64::from(kinds & kind != 0) << i;
            classes.word |= bit(kind::WORD);
            classes.wide |= bit(kind::WIDE);
            classes.digit |= bit(kind::DIGIT);
            classes.number |= bit(kind::NUMBER);
            classes.letter |= bit(kind::LETTER);
            classes.lower |= u64::from(byte.is_ascii_lowercase()) << i;
            classes.at |= u64::from(*byte == b'@') << i;
            classes.colon |= u64::from(*byte == b':') << i;
            classes.dollar |= u64::from(matches!(byte, b'$' | b'{')) << i;
            for (mask, mark) in classes.marks.iter_mut().zip(step(n * BLOCK + i + BEYOND)) {
                *mask |= mark << i;
            }
        }
        out.push(classes);
    }
}
