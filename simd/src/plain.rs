//! The kernels written plainly: what the fast ones are held to, and what runs where none of them can.

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
