//! Each kernel against its plain twin, for rows of every length and content.

use hearth_simd::{dot_f32, dot_i8, plain};
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn whole_numbers_add_up_exactly(rows in vec(any::<(i8, i8)>(), 0..1200), skip in 0_usize..40) {
        let (a, b): (Vec<i8>, Vec<i8>) = rows.into_iter().unzip();
        let skip = skip.min(a.len()); // so that rows begin at every alignment
        prop_assert_eq!(dot_i8(&a[skip..], &b[skip..]), plain::dot_i8(&a[skip..], &b[skip..]));
    }

    #[test]
    fn fractions_add_up_to_within_rounding(rows in vec((-8.0_f32..8.0, -8.0_f32..8.0), 0..1200), skip in 0_usize..40) {
        let (a, b): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
        let (a, b) = (&a[skip.min(a.len())..], &b[skip.min(b.len())..]);
        let exact: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        let slack = 1e-6 * a.iter().zip(b).map(|(&x, &y)| f64::from((x * y).abs())).sum::<f64>() + 1e-6;
        prop_assert!((f64::from(dot_f32(a, b)) - exact).abs() <= slack);
        prop_assert!((f64::from(plain::dot_f32(a, b)) - exact).abs() <= slack);
    }
}

#[test]
fn the_extremes_do_not_overflow() {
    for (x, y, length) in [(-128, -128, 384), (-128, 127, 384), (127, 127, 1000), (-128, -128, 131_000)] {
        let (a, b) = (vec![x; length], vec![y; length]);
        let exact = i64::from(x) * i64::from(y) * i64::try_from(length).expect("lengths are small");
        assert_eq!(i64::from(dot_i8(&a, &b)), exact, "{x} by {y}, {length} times");
        assert_eq!(i64::from(plain::dot_i8(&a, &b)), exact, "{x} by {y}, {length} times, plainly");
    }
}

#[test]
#[should_panic(expected = "rows of one length")]
fn rows_of_different_lengths_are_a_mistake_of_the_caller() {
    dot_i8(&[1, 2], &[1]);
}
