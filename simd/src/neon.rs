//! The kernels for 64-bit ARM, where NEON is always there.

use std::arch::aarch64::{
    int8x16_t, uint8x16_t, vaddq_f32, vaddq_s32, vaddvq_f32, vaddvq_s32, vandq_u8, vceqq_u8, vdupq_n_f32, vdupq_n_s32,
    vdupq_n_u8, vfmaq_f32, vget_low_s8, vgetq_lane_u16, vld1q_f32, vld1q_s8, vld1q_u8, vmull_high_s8, vmull_s8,
    vmvnq_u8, vorrq_u8, vpadalq_s16, vpaddq_u8, vqtbl1q_u8, vreinterpretq_u16_u8, vshrq_n_u8,
};

use crate::{classes::Vector, plain};

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

/// Sixteen bytes.
#[derive(Clone, Copy)]
pub(crate) struct Neon(uint8x16_t);

impl Neon {
    /// A bit for each byte, all of whose bits are one or zero: each keeps the bit of its place, and neighbours are added up three times.
    #[inline(always)]
    unsafe fn bits(mask: uint8x16_t) -> u64 {
        const PLACES: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
        // SAFETY: the array holds sixteen bytes, all of which are read.
        let places = unsafe { vld1q_u8(PLACES.as_ptr()) };
        // SAFETY: the caller knows that there is NEON.
        let mut sums = unsafe { vandq_u8(mask, places) };
        for _ in 0..3 {
            // SAFETY: as above.
            sums = unsafe { vpaddq_u8(sums, sums) };
        }
        // SAFETY: as above.
        u64::from(unsafe { vgetq_lane_u16::<0>(vreinterpretq_u16_u8(sums)) })
    }
}

impl Vector for Neon {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(bytes: &[u8]) -> Self {
        let bytes = &bytes[..16];
        // SAFETY: the slice holds sixteen bytes, all of which are read.
        Self(unsafe { vld1q_u8(bytes.as_ptr()) })
    }

    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], index: Self) -> Self {
        // SAFETY: the table holds sixteen bytes, all of which are read.
        let table = unsafe { vld1q_u8(table.as_ptr()) };
        // SAFETY: the caller knows that there is NEON.
        Self(unsafe { vqtbl1q_u8(table, index.0) })
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: the caller knows that there is NEON.
        Self(unsafe { vdupq_n_u8(byte) })
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller knows that there is NEON.
        Self(unsafe { vandq_u8(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller knows that there is NEON.
        Self(unsafe { vorrq_u8(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn upper_half(self) -> Self {
        // SAFETY: the caller knows that there is NEON.
        Self(unsafe { vshrq_n_u8::<4>(self.0) })
    }

    #[inline(always)]
    unsafe fn equals(self, byte: Self) -> u64 {
        // SAFETY: the caller knows that there is NEON.
        unsafe { Self::bits(vceqq_u8(self.0, byte.0)) }
    }

    #[inline(always)]
    unsafe fn set(self) -> u64 {
        // SAFETY: the caller knows that there is NEON.
        unsafe { Self::bits(vmvnq_u8(vceqq_u8(self.0, vdupq_n_u8(0)))) }
    }
}
