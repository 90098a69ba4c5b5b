//! Fast kernels over slices, each beside its plain twin.
//!
//! The kernel is chosen once per call by what the processor has; [`plain`] holds the same sums written plainly, and
//! properties hold each kernel to its twin. Nothing here knows what the numbers mean, and nothing allocates.

#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod classes;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

/// The sum of the products of two rows of small whole numbers.
///
/// Exact for rows of up to 131,000 numbers; beyond that the sum may wrap around.
///
/// # Panics
///
/// When the rows differ in length.
#[inline]
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "a dot product takes rows of one length");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, as was just asked.
            return unsafe { x86::dot_i8(a, b) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        return neon::dot_i8(a, b);
    }
    #[allow(unreachable_code, reason = "the line below serves the processors that are not named above")]
    plain::dot_i8(a, b)
}

/// The sum of the products of two rows of fractions, added up in whatever order is fastest.
///
/// # Panics
///
/// When the rows differ in length.
#[inline]
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "a dot product takes rows of one length");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, as was just asked.
            return unsafe { x86::dot_f32(a, b) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        return neon::dot_f32(a, b);
    }
    #[allow(unreachable_code, reason = "the line below serves the processors that are not named above")]
    plain::dot_f32(a, b)
}

/// Does the work with what is inlined into it compiled for this processor: with its instructions for counting and finding bits.
#[inline]
pub fn as_this_processor_can<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
        {
            // SAFETY: the processor has what the function is compiled for, as was just asked.
            return unsafe { x86::with_bits(work) };
        }
    }
    work()
}

/// The name of the instruction set that the kernels use on this machine.
pub fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "avx2";
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        return "neon";
    }
    #[allow(unreachable_code, reason = "the line below serves the processors that are not named above")]
    "plain"
}
