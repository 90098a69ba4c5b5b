//! What kinds of bytes a text is made of, 64 at a time, and where words of a small set may begin.
//!
//! The method is that of Hyperscan's and simdjson's first stage: a byte's kind is the intersection of what its two halves allow, each looked up
//! in a register (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019, §3.1.1; Teddy in the `aho-corasick` crate). Nothing here
//! decides anything: a bit says that it pays to look.

#[cfg(target_arch = "aarch64")]
use crate::neon::Neon;
use crate::plain;

/// So many bytes make one [`Classes`].
pub const BLOCK: usize = 64;
/// A set of words is told apart by so many of their first bytes.
pub const DEPTH: usize = 4;
/// So many bytes beyond a block are read for the words that begin in it.
pub(crate) const BEYOND: usize = DEPTH - 1;
/// The words of a set are put into so many groups, eight to a table.
const GROUPS: usize = 16;
const TABLES: usize = GROUPS / 8;

/// Bit `i` of each mask speaks of byte `i` of the block.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Classes {
    /// ASCII letters, digits and `_`.
    pub word: u64,
    /// What tokens are made of: words and `$ % + - . / : = ~`.
    pub wide: u64,
    /// ASCII digits.
    pub digit: u64,
    /// Digits and what stands between groups of them: space and `$ % ( ) + - . /`.
    pub number: u64,
    /// ASCII letters.
    pub letter: u64,
    /// ASCII letters in lower case.
    pub lower: u64,
    /// `@`.
    pub at: u64,
    /// `:`.
    pub colon: u64,
    /// `$` and `{`.
    pub dollar: u64,
    /// Where a word of the first and of the second set may begin: every place where one does, and some more.
    pub marks: [u64; 2],
}

/// The bits that a byte has in common with its kind, in tables for the lower and the upper half of a byte.
pub(crate) mod kind {
    pub(crate) const DIGIT: u8 = 1;
    /// `A` to `O`, `a` to `o`.
    pub(crate) const EARLY: u8 = 2;
    /// `P` to `Z`, `p` to `z`.
    pub(crate) const LATE: u8 = 4;
    pub(crate) const UNDERSCORE: u8 = 8;
    /// `$ % + - . /`.
    pub(crate) const SIGN: u8 = 16;
    /// `:` and `=`.
    pub(crate) const FIELD: u8 = 32;
    pub(crate) const TILDE: u8 = 64;
    /// Space, `(` and `)`.
    pub(crate) const GAP: u8 = 128;

    pub(crate) const LETTER: u8 = EARLY | LATE;
    pub(crate) const WORD: u8 = DIGIT | LETTER | UNDERSCORE;
    pub(crate) const WIDE: u8 = WORD | SIGN | FIELD | TILDE;
    pub(crate) const NUMBER: u8 = DIGIT | SIGN | GAP;

    /// The kinds of one byte, said plainly.
    pub(crate) const fn of(byte: u8) -> u8 {
        match byte {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'O' | b'a'..=b'o' => EARLY,
            b'P'..=b'Z' | b'p'..=b'z' => LATE,
            b'_' => UNDERSCORE,
            b'$' | b'%' | b'+' | b'-' | b'.' | b'/' => SIGN,
            b':' | b'=' => FIELD,
            b'~' => TILDE,
            b' ' | b'(' | b')' => GAP,
            _ => 0,
        }
    }

    /// The two tables whose intersection is [`of`].
    pub(crate) const fn halves() -> ([u8; 16], [u8; 16]) {
        let (mut low, mut high) = ([0; 16], [0; 16]);
        let mut byte = 0_u8;
        while byte < 128 {
            low[(byte & 15) as usize] |= of(byte);
            high[(byte >> 4) as usize] |= of(byte);
            byte += 1;
        }
        (low, high)
    }
}

/// For each place in a word, which of eight groups may have a byte there: by its lower and by its upper half.
pub(crate) type Table = [([u8; 16], [u8; 16]); DEPTH];

/// Two sets of words, told apart by their first [`DEPTH`] bytes whatever their case.
#[derive(Clone, Debug)]
pub struct Signs {
    /// For each set, table and place in a word, which of eight groups may have a byte there: by its lower and by its upper half.
    pub(crate) halves: [[Table; TABLES]; 2],
    /// The same by whole byte for each set: a byte of the number for each place, the second table in the upper half.
    pub(crate) whole: [Box<[u64; 256]>; 2],
}

impl Signs {
    /// Makes the tables. Words share groups so that a group lets as little other text through as can be.
    pub fn new(sets: [&[&[u8]]; 2]) -> Self {
        let halves = sets.map(|words| {
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.iter().map(|b| fold(*b)).collect()).collect();
            let groups = grouped(&words);
            let mut tables = [[([0; 16], [0; 16]); DEPTH]; TABLES];
            for (n, group) in groups.iter().enumerate() {
                let (table, bit) = (&mut tables[n / 8], n % 8);
                for ((low, high), (by_low, by_high)) in group.places.iter().zip(table) {
                    for half in 0..16 {
                        by_low[half] |= u8::from(low >> half & 1 == 1) << bit;
                        by_high[half] |= u8::from(high >> half & 1 == 1) << bit;
                    }
                }
            }
            tables
        });
        let whole = halves.each_ref().map(|tables| {
            let mut whole = Box::new([0; 256]);
            for (byte, slot) in (0..=255_u8).zip(whole.iter_mut()) {
                let byte = fold(byte);
                for (n, table) in tables.iter().enumerate() {
                    for (place, (low, high)) in table.iter().enumerate() {
                        let groups = low[usize::from(byte & 15)] & high[usize::from(byte >> 4)];
                        *slot |= u64::from(groups) << (n * 32 + place * 8);
                    }
                }
            }
            whole
        });
        Self { halves, whole }
    }
}

/// Which halves of a byte the words of a group have at each place: a bit for each of the sixteen.
#[derive(Clone, Default)]
struct Group {
    places: [(u16, u16); DEPTH],
}

impl Group {
    fn with(&self, word: &[u8]) -> Self {
        let mut more = self.clone();
        for (place, (low, high)) in more.places.iter_mut().enumerate() {
            match word.get(place) {
                Some(byte) => {
                    *low |= 1 << (byte & 15);
                    *high |= 1 << (byte >> 4);
                }
                None => (*low, *high) = (u16::MAX, u16::MAX),
            }
        }
        more
    }

    /// The share of places in text of any kind that this group would have looked at.
    fn share(&self) -> f64 {
        let of_place = |(low, high): &(u16, u16)| {
            let has = |byte: &u8| low >> (byte & 15) & 1 == 1 && high >> (byte >> 4) & 1 == 1;
            (0..=127).filter(has).map(frequency).sum::<f64>()
        };
        self.places.iter().map(of_place).product()
    }
}

/// About how often a folded byte stands in prose and programs.
fn frequency(byte: u8) -> f64 {
    match byte {
        b' ' => 0.16,
        b'e' => 0.08,
        b't' => 0.065,
        b'a' | b'i' | b'n' | b'o' | b'r' | b's' => 0.05,
        b'c' | b'd' | b'l' | b'u' => 0.03,
        b'f' | b'g' | b'h' | b'm' | b'p' => 0.02,
        b'b' | b'v' | b'w' | b'y' | b'_' | b'.' | b',' | b'-' => 0.012,
        b'a'..=b'z' | b'0'..=b'9' => 0.006,
        0..0x20 => 0.0,
        _ => 0.004,
    }
}

/// Puts words into groups, each where it costs least, and then moves them until none of them would cost less elsewhere.
fn grouped(words: &[Vec<u8>]) -> [Group; GROUPS] {
    const ROUNDS: usize = 4;
    let mut homes = vec![0; words.len()];
    let group_of = |homes: &[usize], home: usize, without: usize| {
        let members = words.iter().enumerate().filter(|(n, _)| homes[*n] == home && *n != without);
        members.fold(Group::default(), |group, (_, word)| group.with(word))
    };
    let cost = |group: &Group, word: &[u8]| {
        let alone = if group.places[0].0 == 0 { 0.0 } else { group.share() };
        group.with(word).share() - alone
    };
    // Long words first: they leave the most room.
    let mut order: Vec<usize> = (0..words.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(words[*n].len()));
    homes.fill(GROUPS);
    for _ in 0..ROUNDS {
        for n in &order {
            let best = (0..GROUPS).map(|home| (cost(&group_of(&homes, home, *n), &words[*n]), home));
            homes[*n] = best.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, home)| home);
        }
    }
    std::array::from_fn(|home| group_of(&homes, home, usize::MAX))
}

/// One case for both; other bytes are folded onto each other, too, which only makes a sign less sure.
pub(crate) const fn fold(byte: u8) -> u8 {
    byte | 0x20
}

/// Writes the classes of each block of `text` to `out`; what a last, shorter block lacks is in no class.
pub fn classes(text: &[u8], signs: &Signs, out: &mut Vec<Classes>) {
    out.clear();
    out.reserve(text.len().div_ceil(BLOCK));
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor has AVX-512 for bytes, as was just asked.
            unsafe { crate::avx512::classes(text, signs, out) };
            return;
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, as was just asked.
            unsafe { crate::x86::classes(text, signs, out) };
            return;
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: NEON is part of every 64-bit ARM processor that Rust's standard targets name.
        unsafe { each_block::<Neon>(text, signs, out) };
        return;
    }
    #[allow(unreachable_code, reason = "the line below serves the processors that are not named above")]
    plain::classes(text, signs, out);
}

/// A register of bytes: what the stage above needs of a processor, and no more.
///
/// # Safety
///
/// Each function may be called only where the processor has the instructions that the type names.
pub(crate) trait Vector: Copy {
    /// How many bytes it holds: a divisor of 64.
    const LANES: usize;
    /// Loads the first [`LANES`](Self::LANES) bytes.
    unsafe fn load(bytes: &[u8]) -> Self;
    /// The table's entry for the lower half of each byte; the upper half must be zero.
    unsafe fn look_up(table: &[u8; 16], index: Self) -> Self;
    /// `byte` in every lane.
    unsafe fn splat(byte: u8) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    unsafe fn or(self, other: Self) -> Self;
    /// Each byte's upper half, moved down.
    unsafe fn upper_half(self) -> Self;
    /// A bit for each byte that equals `byte`.
    unsafe fn equals(self, byte: Self) -> u64;
    /// A bit for each byte that is not zero.
    unsafe fn set(self) -> u64;
}

/// The stage, for any register.
///
/// # Safety
///
/// As for [`Vector`].
#[inline(always)]
pub(crate) unsafe fn each_block<V: Vector>(text: &[u8], signs: &Signs, out: &mut Vec<Classes>) {
    let mut at = 0;
    while at + BLOCK + BEYOND <= text.len() {
        // SAFETY: passed on to the caller.
        out.push(unsafe { block::<V>(&text[at..at + BLOCK + BEYOND], signs) });
        at += BLOCK;
    }
    while at < text.len() {
        let mut last = [0; BLOCK + BEYOND];
        let rest = &text[at..text.len().min(at + BLOCK + BEYOND)];
        last[..rest.len()].copy_from_slice(rest);
        // SAFETY: passed on to the caller.
        let mut classes = unsafe { block::<V>(&last, signs) };
        if rest.len() < BLOCK {
            let kept = (1_u64 << rest.len()) - 1;
            classes.marks = classes.marks.map(|mask| mask & kept);
        }
        out.push(classes);
        at += BLOCK;
    }
}

/// # Safety
///
/// As for [`Vector`].
#[inline(always)]
unsafe fn block<V: Vector>(bytes: &[u8], signs: &Signs) -> Classes {
    const KINDS: ([u8; 16], [u8; 16]) = kind::halves();
    let mut classes = Classes::default();
    let mut from = 0;
    while from < BLOCK {
        // SAFETY: passed on to the caller, for all that is called in here.
        unsafe {
            let lower = V::splat(0x0f);
            let here = V::load(&bytes[from..]);
            let kinds = V::look_up(&KINDS.0, here.and(lower)).and(V::look_up(&KINDS.1, here.upper_half()));
            let of = |kind: u8| kinds.and(V::splat(kind)).set() << from;
            classes.word |= of(kind::WORD);
            classes.wide |= of(kind::WIDE);
            classes.digit |= of(kind::DIGIT);
            classes.number |= of(kind::NUMBER);
            let letter = of(kind::LETTER);
            classes.letter |= letter;
            classes.lower |= letter & here.and(V::splat(0x20)).set() << from;
            classes.at |= here.equals(V::splat(b'@')) << from;
            classes.colon |= here.equals(V::splat(b':')) << from;
            classes.dollar |= (here.equals(V::splat(b'$')) | here.equals(V::splat(b'{'))) << from;
            let [[a, b], [c, d]] = &signs.halves;
            let mut marks = [V::splat(0xff); 4];
            // Written out: a loop over the tables would go by way of memory.
            for place in 0..DEPTH {
                let folded = V::load(&bytes[from + place..]).or(V::splat(0x20));
                let (low, high) = (folded.and(lower), folded.upper_half());
                marks[0] = marks[0].and(V::look_up(&a[place].0, low)).and(V::look_up(&a[place].1, high));
                marks[1] = marks[1].and(V::look_up(&b[place].0, low)).and(V::look_up(&b[place].1, high));
                marks[2] = marks[2].and(V::look_up(&c[place].0, low)).and(V::look_up(&c[place].1, high));
                marks[3] = marks[3].and(V::look_up(&d[place].0, low)).and(V::look_up(&d[place].1, high));
            }
            classes.marks[0] |= marks[0].or(marks[1]).set() << from;
            classes.marks[1] |= marks[2].or(marks[3]).set() << from;
        }
        from += V::LANES;
    }
    classes
}
