//! The kernels for x86-64 with AVX2.
//!
//! No AVX-512 here: these sums wait for memory already, so wider registers gain nothing.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_add_ps, _mm_cvtsi128_si32, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehl_ps,
    _mm_shuffle_epi32, _mm_shuffle_ps, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_castps256_ps128, _mm256_castsi256_si128, _mm256_cmpeq_epi8, _mm256_cvtepi8_epi16, _mm256_extractf128_ps,
    _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi16,
};

use crate::{
    classes::{Classes, Signs, Vector, each_block},
    plain,
};

/// [`crate::dot_i8`], sixteen numbers at a time: widened to 16 bits, multiplied and added in pairs to 32 bits.
#[target_feature(enable = "avx2")]
pub(crate) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_body, a_tail) = a.as_chunks::<32>();
    let (b_body, b_tail) = b.as_chunks::<32>();
    let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (x, y) in a_body.iter().zip(b_body) {
        let (x0, x1) = (half(x, 0), half(x, 16));
        let (y0, y1) = (half(y, 0), half(y, 16));
        even = _mm256_add_epi32(even, _mm256_madd_epi16(_mm256_cvtepi8_epi16(x0), _mm256_cvtepi8_epi16(y0)));
        odd = _mm256_add_epi32(odd, _mm256_madd_epi16(_mm256_cvtepi8_epi16(x1), _mm256_cvtepi8_epi16(y1)));
    }
    let sums = _mm256_add_epi32(even, odd);
    let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b01_00_11_10>(sums));
    let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b10_11_00_01>(sums));
    _mm_cvtsi128_si32(sums).wrapping_add(plain::dot_i8(a_tail, b_tail))
}

/// [`crate::dot_f32`], eight numbers at a time in four sums, so that no addition waits for the one before.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_body, a_tail) = a.as_chunks::<32>();
    let (b_body, b_tail) = b.as_chunks::<32>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (x, y) in a_body.iter().zip(b_body) {
        let (x, y) = (x.as_chunks::<8>().0, y.as_chunks::<8>().0);
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            // SAFETY: the reference is to eight floats, all of which are read, and the load asks for no alignment.
            let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
            // SAFETY: as above.
            let y = unsafe { _mm256_loadu_ps(y.as_ptr()) };
            *sum = _mm256_fmadd_ps(x, y, *sum);
        }
    }
    let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    let sum = _mm_add_ps(sum, _mm_shuffle_ps::<0b01>(sum, sum));
    _mm_cvtss_f32(sum) + plain::dot_f32(a_tail, b_tail)
}

/// Sixteen of the 32 numbers, from the first or the middle one on.
#[inline]
#[target_feature(enable = "avx2")]
fn half(row: &[i8; 32], from: usize) -> __m128i {
    let part: &[i8] = &row[from..from + 16];
    // SAFETY: the slice holds sixteen bytes, all of which are read, and the load asks for no alignment.
    unsafe { _mm_loadu_si128(part.as_ptr().cast()) }
}

/// [`crate::as_this_processor_can`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(crate) fn with_bits<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// [`crate::classes::classes`], 32 bytes at a time.
#[target_feature(enable = "avx2")]
pub(crate) fn classes(text: &[u8], signs: &Signs, out: &mut Vec<Classes>) {
    // SAFETY: this function is called only where there is AVX2.
    unsafe { each_block::<Avx2>(text, signs, out) }
}

/// Thirty-two bytes.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256i);

impl Vector for Avx2 {
    const LANES: usize = 32;

    #[inline(always)]
    unsafe fn load(bytes: &[u8]) -> Self {
        let bytes = &bytes[..32];
        // SAFETY: the slice holds 32 bytes, all of which are read, and the load asks for no alignment.
        Self(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], index: Self) -> Self {
        // SAFETY: the table holds sixteen bytes, all of which are read, and the load asks for no alignment.
        let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
        // SAFETY: the caller knows that there is AVX2.
        let both = unsafe { _mm256_broadcastsi128_si256(table) };
        // SAFETY: as above.
        Self(unsafe { _mm256_shuffle_epi8(both, index.0) })
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: the caller knows that there is AVX2.
        Self(unsafe { _mm256_set1_epi8(byte.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller knows that there is AVX2.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller knows that there is AVX2.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn upper_half(self) -> Self {
        // SAFETY: the caller knows that there is AVX2.
        let moved = Self(unsafe { _mm256_srli_epi16::<4>(self.0) });
        // SAFETY: as above. What came over from the byte beside is cut off.
        unsafe { moved.and(Self::splat(0x0f)) }
    }

    #[inline(always)]
    unsafe fn equals(self, byte: Self) -> u64 {
        // SAFETY: the caller knows that there is AVX2.
        let equal = unsafe { _mm256_cmpeq_epi8(self.0, byte.0) };
        // SAFETY: as above.
        u64::from(unsafe { _mm256_movemask_epi8(equal) }.cast_unsigned())
    }

    #[inline(always)]
    unsafe fn set(self) -> u64 {
        // SAFETY: the caller knows that there is AVX2.
        unsafe { self.equals(Self::splat(0)) ^ 0xffff_ffff }
    }
}
