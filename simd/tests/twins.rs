//! Each kernel against its plain twin, for rows of every length and content.

use hearth_simd::{
    classes::{BLOCK, Signs, classes},
    dot_f32, dot_i8, plain,
};
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

proptest! {
    #[test]
    fn bytes_have_the_classes_that_the_plain_twin_gives_them(
        text in vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"pasword-keyTOKEN_=:/$@{.~ 0123456789"[..])], 0..400),
        words in vec(vec(proptest::sample::select(&b"pasword-keytn_ 7"[..]), 1..7), 0..40),
        skip in 0_usize..40,
    ) {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let (first, second) = words.split_at(words.len() / 3);
        let signs = Signs::new([first, second]);
        let text = &text[skip.min(text.len())..]; // so that texts begin at every alignment
        let (mut fast, mut slow) = (vec![], vec![]);
        classes(text, &signs, &mut fast);
        plain::classes(text, &signs, &mut slow);
        prop_assert_eq!(&fast, &slow);
        prop_assert_eq!(fast.len(), text.len().div_ceil(BLOCK));
        for (set, words) in [first, second].into_iter().enumerate() {
            for (at, rest) in (0..text.len()).map(|at| (at, &text[at..])) {
                if words.iter().any(|word| rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word)) {
                    prop_assert!(fast[at / BLOCK].marks[set] >> (at % BLOCK) & 1 == 1, "a word at {} is passed over", at);
                }
            }
        }
    }
}

#[test]
fn every_byte_is_of_the_kinds_that_its_name_says() {
    let text: Vec<u8> = (0..=255).collect();
    let mut found = vec![];
    classes(&text, &Signs::new([&[], &[]]), &mut found);
    for byte in 0..=255_u8 {
        let block = found[usize::from(byte) / BLOCK];
        let has = |mask: u64| mask >> (usize::from(byte) % BLOCK) & 1 == 1;
        let word = byte.is_ascii_alphanumeric() || byte == b'_';
        assert_eq!(has(block.word), word, "{byte}");
        assert_eq!(has(block.wide), word || b"$%+-./:=~".contains(&byte), "{byte}");
        assert_eq!(has(block.digit), byte.is_ascii_digit(), "{byte}");
        assert_eq!(has(block.number), byte.is_ascii_digit() || b" $%()+-./".contains(&byte), "{byte}");
        assert_eq!(has(block.letter), byte.is_ascii_alphabetic(), "{byte}");
        assert_eq!(has(block.lower), byte.is_ascii_lowercase(), "{byte}");
        assert_eq!(has(block.at), byte == b'@', "{byte}");
        assert_eq!(has(block.colon), byte == b':', "{byte}");
        assert_eq!(has(block.dollar), matches!(byte, b'$' | b'{'), "{byte}");
        assert_eq!(block.marks, [0; 2], "{byte}");
    }
}
