//! The kernels for 64-bit ARM, where NEON is always there.

use std::arch::aarch64::{
    int8x16_t, vaddq_f32, vaddq_s32, vaddvq_f32, vaddvq_s32, vdupq_n_f32, vdupq_n_s32, vfmaq_f32, vget_low_s8,
    vld1q_f32, vld1q_s8, vmull_high_s8, vmull_s8, vpadalq_s16,
};

use crate::plain;

/// [`crate::dot_i8`], sixteen numbers at a time: multiplied to 16 bits, added in pairs to 32 bits.
pub(crate) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_body, a_tail) = a.as_chunks::<16>();
    let (b_body, b_tail) = b.as_chunks::<16>();
    let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
    for (x, y) in a_body.iter().zip(b_body) {
        let (x, y) = (sixteen(x), sixteen(y));
        low = vpadalq_s16(low, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
        high = vpadalq_s16(high, vmull_high_s8(x, y));
    }
    vaddvq_s32(vaddq_s32(low, high)).wrapping_add(plain::dot_i8(a_tail, b_tail))
}

/// [`crate::dot_f32`], four numbers at a time in two sums.
pub(crate) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_body, a_tail) = a.as_chunks::<8>();
    let (b_body, b_tail) = b.as_chunks::<8>();
    let mut sums = [vdupq_n_f32(0.0); 2];
    for (x, y) in a_body.iter().zip(b_body) {
        let (x, y) = (x.as_chunks::<4>().0, y.as_chunks::<4>().0);
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            // SAFETY: the reference is to four floats, all of which are read.
            let x = unsafe { vld1q_f32(x.as_ptr()) };
            // SAFETY: as above.
            let y = unsafe { vld1q_f32(y.as_ptr()) };
            *sum = vfmaq_f32(*sum, x, y);
        }
    }
    vaddvq_f32(vaddq_f32(sums[0], sums[1])) + plain::dot_f32(a_tail, b_tail)
}

#[inline]
fn sixteen(row: &[i8; 16]) -> int8x16_t {
    // SAFETY: the reference is to sixteen bytes, all of which are read.
    unsafe { vld1q_s8(row.as_ptr()) }
}
