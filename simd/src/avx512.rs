//! The kernel over bytes for x86-64 with AVX-512: a block in one register, masks without a detour.

use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask, _mm512_loadu_si512,
    _mm512_or_si512, _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_test_epi8_mask,
};

use crate::classes::{Classes, Signs, Vector, each_block};

/// [`crate::classes::classes`], 64 bytes at a time.
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn classes(text: &[u8], signs: &Signs, out: &mut Vec<Classes>) {
    // SAFETY: this function is called only where there is AVX-512 for bytes.
    unsafe { each_block::<Avx512>(text, signs, out) }
}

/// Sixty-four bytes.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512i);

impl Vector for Avx512 {
    const LANES: usize = 64;

    #[inline(always)]
    unsafe fn load(bytes: &[u8]) -> Self {
        let bytes = &bytes[..64];
        // SAFETY: the slice holds 64 bytes, all of which are read, and the load asks for no alignment.
        Self(unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], index: Self) -> Self {
        // SAFETY: the table holds sixteen bytes, all of which are read, and the load asks for no alignment.
        let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
        // SAFETY: the caller knows that there is AVX-512 for bytes.
        let all = unsafe { _mm512_broadcast_i32x4(table) };
        // SAFETY: as above.
        Self(unsafe { _mm512_shuffle_epi8(all, index.0) })
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: the caller knows that there is AVX-512 for bytes.
        Self(unsafe { _mm512_set1_epi8(byte.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller knows that there is AVX-512 for bytes.
        Self(unsafe { _mm512_and_si512(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller knows that there is AVX-512 for bytes.
        Self(unsafe { _mm512_or_si512(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn upper_half(self) -> Self {
        // SAFETY: the caller knows that there is AVX-512 for bytes.
        let moved = Self(unsafe { _mm512_srli_epi16::<4>(self.0) });
        // SAFETY: as above. What came over from the byte beside is cut off.
        unsafe { moved.and(Self::splat(0x0f)) }
    }

    #[inline(always)]
    unsafe fn equals(self, byte: Self) -> u64 {
        // SAFETY: the caller knows that there is AVX-512 for bytes.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, byte.0) }
    }

    #[inline(always)]
    unsafe fn set(self) -> u64 {
        // SAFETY: the caller knows that there is AVX-512 for bytes.
        unsafe { _mm512_test_epi8_mask(self.0, self.0) }
    }
}
