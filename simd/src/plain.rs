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

/// The plain twin of [`crate::classes::classes`]: kinds by whole bytes, eight at a time, and words by shifting (Baeza-Yates and Gonnet, "A New
/// Approach to Text Searching", 1992).
pub fn classes(text: &[u8], signs: &Signs, out: &mut Vec<Classes>) {
    out.clear();
    let mut states = [0; 2];
    let ahead = |at: usize| usize::from(text.get(at).copied().unwrap_or(0));
    for at in 0..BEYOND {
        step(&mut states, signs, ahead(at));
    }
    for (n, bytes) in text.chunks(BLOCK).enumerate() {
        let mut block = [0; BLOCK];
        block[..bytes.len()].copy_from_slice(bytes);
        let mut kinds = [0; 8];
        let mut others = [0; 8];
        for (n, eight) in block.as_chunks::<8>().0.iter().enumerate() {
            let of = |table: &[u8; 256]| u64::from_le_bytes(eight.map(|byte| table[usize::from(byte)]));
            gather(of(&KINDS), n, &mut kinds);
            gather(of(&OTHERS), n, &mut others);
        }
        let [digit, early, late, underscore, sign, field, tilde, gap] = kinds;
        let [at, colon, dollar, lower, ..] = others;
        let letter = early | late;
        let word = letter | digit | underscore;
        let mut classes = Classes {
            word,
            wide: word | sign | field | tilde,
            digit,
            number: digit | sign | gap,
            letter,
            lower,
            at,
            colon,
            dollar,
            marks: [0; 2],
        };
        for i in 0..bytes.len() {
            step(&mut states, signs, ahead(n * BLOCK + i + BEYOND));
            for (mask, state) in classes.marks.iter_mut().zip(states) {
                *mask |= u64::from(state & ENDED != 0) << i;
            }
        }
        out.push(classes);
    }
}

/// The first place of each table of words, where one may always begin, and the last.
const BEGIN: u64 = 0x0000_00ff_0000_00ff;
const ENDED: u64 = 0xff00_0000_ff00_0000;

/// The kinds of each byte: a bit each, in the order of [`kind`].
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        kinds[byte as usize] = kind::of(byte);
        byte += 1;
    }
    kinds
};

/// `@`, `:`, `$` and `{`, and the lower case: a bit each.
const OTHERS: [u8; 256] = {
    let mut others = [0; 256];
    others[b'@' as usize] = 1;
    others[b':' as usize] = 2;
    others[b'$' as usize] = 4;
    others[b'{' as usize] = 4;
    let mut byte = b'a';
    while byte <= b'z' {
        others[byte as usize] = 8;
        byte += 1;
    }
    others
};

/// The state of each set's words after one more byte.
fn step(states: &mut [u64; 2], signs: &Signs, byte: usize) {
    for (state, whole) in states.iter_mut().zip(&signs.whole) {
        *state = (*state << 8 | BEGIN) & whole[byte];
    }
}

/// Puts bit `k` of each of eight bytes into the `n`-th byte of mask `k`.
fn gather(bytes: u64, n: usize, masks: &mut [u64; 8]) {
    /// Moves the lowest bit of each byte to a place of its own in the highest byte.
    const SPREAD: u64 = 0x0102_0408_1020_4080;
    for (k, mask) in masks.iter_mut().enumerate() {
        let bits = bytes >> k & 0x0101_0101_0101_0101;
        *mask |= (bits.wrapping_mul(SPREAD) >> 56) << (n * 8);
    }
}
