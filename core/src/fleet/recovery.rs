//! The sheet of paper for the day when all admins' devices are gone: an admin's seed in words, whole or in shares.
//!
//! A whole seed is 24 words, a valid BIP-39 sentence, so that redaction knows it for a secret when somebody types it into a note.
//! Shares are Shamir's (GF(2⁸) with the polynomial of AES, a random polynomial a byte): fewer than the threshold say nothing about
//! the seed but the 16 bits by which a wrong combination is noticed. A share is 40 words and names its fleet, number and threshold.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    FleetId,
    words::{self, WrongWords},
};

/// The form of a share that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most shares of a seed.
pub const SHARES_MAX: u8 = 16;

/// Why a seed did not come back, or was not split.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotRecovered {
    /// The words are not right.
    #[error("the words are not those that were written down")]
    Words(#[from] WrongWords),
    /// Written by a newer hearth.
    #[error("the share has form {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
    /// A threshold that makes no sense.
    #[error("a seed is split into 2 to {SHARES_MAX} shares, of which 2 to all are needed; choose other numbers")]
    Threshold,
    /// Not enough of them.
    #[error("{given} different shares were given and {needed} are needed; find more of them")]
    TooFew {
        /// How many different ones.
        given: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Of several seeds.
    #[error("the shares do not belong together; they are of different fleets or were made on different occasions")]
    Mixed,
}

/// The secret from which an admin's keys come back.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(secret)")
    }
}

impl Seed {
    /// Takes the 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 24 words to write down.
    pub fn words(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 33]);
        bytes[..32].copy_from_slice(&self.0);
        bytes[32] = Sha256::digest(self.0)[0];
        words::write(&bytes[..], ' ')
    }

    /// Reads the 24 words.
    ///
    /// # Errors
    /// When one is wrong; which one, if it is not in the list.
    pub fn from_words(text: &str) -> Result<Self, WrongWords> {
        let bytes = Zeroizing::new(words::read::<33>(text)?);
        let seed = Self(*bytes.first_chunk().expect("33 bytes"));
        if bytes[32] == Sha256::digest(seed.0)[0] { Ok(seed) } else { Err(WrongWords::Checksum) }
    }

    /// 16 bits by which it is noticed that a combination is not the seed.
    fn mark(&self) -> [u8; 2] {
        let digest = Sha256::new().chain_update(b"hearth/split/1").chain_update(self.0).finalize();
        [digest[0], digest[1]]
    }

    /// Splits the seed into `shares`, of which as many are needed as there is entropy and one more.
    ///
    /// # Errors
    /// When there would be fewer than two shares, or more needed than there are.
    pub fn split(&self, fleet: FleetId, shares: u8, entropy: &[[u8; 32]]) -> Result<Vec<Share>, NotRecovered> {
        let threshold = u8::try_from(entropy.len() + 1).map_err(|_| NotRecovered::Threshold)?;
        if threshold < 2 || shares < threshold || shares > SHARES_MAX {
            return Err(NotRecovered::Threshold);
        }
        let share = |index: u8| {
            let mut part = [0; 32];
            for (at, byte) in part.iter_mut().enumerate() {
                // Horner: the seed is where the polynomial crosses zero.
                let higher = entropy.iter().rev().fold(0, |sum, row| times(sum, index) ^ row[at]);
                *byte = times(higher, index) ^ self.0[at];
            }
            Share { fleet, threshold, index, mark: self.mark(), part }
        };
        Ok((1..=shares).map(share).collect())
    }

    /// Puts the seed together again; of more shares than are needed, all must fit.
    ///
    /// # Errors
    /// When there are too few, or they do not belong together.
    pub fn combine(shares: &[Share]) -> Result<Self, NotRecovered> {
        let mut different: Vec<&Share> = Vec::new();
        for share in shares {
            match different.iter().find(|it| it.index == share.index) {
                Some(same) if *same == share => {}
                Some(_) => return Err(NotRecovered::Mixed),
                None => different.push(share),
            }
        }
        let Some(first) = different.first() else { return Err(NotRecovered::TooFew { given: 0, needed: 2 }) };
        let alike = |it: &&Share| (it.fleet, it.threshold, it.mark) == (first.fleet, first.threshold, first.mark);
        if !different.iter().all(alike) {
            return Err(NotRecovered::Mixed);
        }
        let (given, needed) = (different.len(), usize::from(first.threshold));
        if given < needed {
            return Err(NotRecovered::TooFew { given, needed });
        }
        let seed = Self(*at(0, &different[..needed]));
        let fits = different[needed..].iter().all(|it| bool::from(at(it.index, &different[..needed]).ct_eq(&it.part)));
        if fits && seed.mark() == first.mark { Ok(seed) } else { Err(NotRecovered::Mixed) }
    }
}

/// The value at `x` of the polynomial through these shares (Lagrange).
fn at(x: u8, shares: &[&Share]) -> Zeroizing<[u8; 32]> {
    let mut sum = Zeroizing::new([0; 32]);
    for share in shares {
        let others = shares.iter().filter(|it| it.index != share.index);
        let (above, below) = others
            .fold((1, 1), |(above, below), it| (times(above, x ^ it.index), times(below, share.index ^ it.index)));
        let weight = times(above, inverse(below));
        for (byte, part) in sum.iter_mut().zip(&share.part) {
            *byte ^= times(weight, *part);
        }
    }
    sum
}

/// The product in GF(2⁸) modulo x⁸ + x⁴ + x³ + x + 1; neither branch nor table depends on the factors.
const fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    let mut bit = 0;
    while bit < 8 {
        product ^= a & 0_u8.wrapping_sub(b & 1);
        a = (a << 1) ^ (0x1b & 0_u8.wrapping_sub(a >> 7));
        b >>= 1;
        bit += 1;
    }
    product
}

/// What gives 1 when multiplied with it: the 254th power, for there are 255 but zero.
const fn inverse(a: u8) -> u8 {
    let mut product = 1;
    let mut left = 254;
    while left > 0 {
        product = times(product, a);
        left -= 1;
    }
    product
}

/// One part of a seed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Share {
    #[zeroize(skip)]
    fleet: FleetId,
    threshold: u8,
    index: u8,
    mark: [u8; 2],
    part: [u8; 32],
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of {}, {} needed)", self.index, self.fleet, self.threshold)
    }
}

impl Share {
    /// The fleet whose admin's seed it is of.
    pub const fn fleet(&self) -> FleetId {
        self.fleet
    }

    /// Which share it is, from 1.
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// How many are needed.
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    fn bytes(&self) -> Zeroizing<[u8; 55]> {
        let mut out = Zeroizing::new([0; 55]);
        out[0] = VERSION;
        out[1..17].copy_from_slice(self.fleet.as_bytes());
        out[17] = self.threshold;
        out[18] = self.index;
        out[19..21].copy_from_slice(&self.mark);
        out[21..53].copy_from_slice(&self.part);
        let digest = Sha256::new().chain_update(b"hearth/share/1").chain_update(&out[..53]).finalize();
        out[53..].copy_from_slice(&digest[..2]);
        out
    }

    /// The 40 words to write down.
    pub fn words(&self) -> Zeroizing<String> {
        words::write(&self.bytes()[..], ' ')
    }

    /// Reads the 40 words.
    ///
    /// # Errors
    /// When one is wrong; which one, if it is not in the list.
    pub fn from_words(text: &str) -> Result<Self, NotRecovered> {
        let bytes = Zeroizing::new(words::read::<55>(text)?);
        let share = Self {
            fleet: FleetId::from_bytes(*bytes[1..].first_chunk().expect("55 bytes")),
            threshold: bytes[17],
            index: bytes[18],
            mark: [bytes[19], bytes[20]],
            part: *bytes[21..].first_chunk().expect("55 bytes"),
        };
        let digest = Sha256::new().chain_update(b"hearth/share/1").chain_update(&bytes[..53]).finalize();
        if bytes[53..] != digest[..2] {
            return Err(NotRecovered::Words(WrongWords::Checksum));
        }
        if bytes[0] != VERSION {
            return Err(NotRecovered::Newer(bytes[0]));
        }
        let sound = (2..=SHARES_MAX).contains(&share.threshold) && (1..=SHARES_MAX).contains(&share.index);
        if sound { Ok(share) } else { Err(NotRecovered::Threshold) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLEET: FleetId = FleetId::from_bytes([7; 16]);

    fn shares(seed: u8, shares: u8, needed: u8) -> Vec<Share> {
        let entropy: Vec<[u8; 32]> = (1..needed).map(|row| [row * 37; 32]).collect();
        Seed([seed; 32]).split(FLEET, shares, &entropy).expect("sound numbers")
    }

    /// The vectors of BIP-39 for 256 bits.
    #[test]
    fn a_seeds_words_are_a_sentence_that_others_know_too() {
        let zero = format!("{}art", "abandon ".repeat(23));
        let legal = "legal winner thank year wave sausage worth useful ".repeat(2)
            + "legal winner thank year wave sausage worth title";
        for (seed, words) in [(0, zero), (0x7f, legal), (0xff, format!("{}vote", "zoo ".repeat(23)))] {
            assert_eq!(*Seed([seed; 32]).words(), words);
            assert_eq!(Seed::from_words(&words), Ok(Seed([seed; 32])));
        }
        assert_eq!(Seed::from_words(&"abandon ".repeat(24)), Err(WrongWords::Checksum));
    }

    #[test]
    fn the_field_is_that_of_aes() {
        assert_eq!(times(0x57, 0x83), 0xc1, "FIPS 197 §4.2");
        assert_eq!(times(0x57, 0x13), 0xfe, "FIPS 197 §4.2.1");
        for a in 1..=255 {
            assert_eq!(times(a, inverse(a)), 1, "{a}");
        }
    }

    #[test]
    fn a_seed_is_split_into_sound_numbers_of_shares_only() {
        let split = |shares, rows| Seed([1; 32]).split(FLEET, shares, &vec![[9; 32]; rows]).map(|shares| shares.len());
        for (shares, rows, wanted) in [
            (2, 1, Ok(2)),
            (16, 15, Ok(16)),
            (3, 0, Err(NotRecovered::Threshold)),
            (2, 2, Err(NotRecovered::Threshold)),
            (17, 2, Err(NotRecovered::Threshold)),
            (16, 300, Err(NotRecovered::Threshold)),
        ] {
            assert_eq!(split(shares, rows), wanted, "{shares} shares, {rows} rows");
        }
    }

    #[test]
    fn shares_come_back_from_words_and_say_what_is_wrong() {
        let share = &shares(5, 3, 2)[1];
        let words = share.words();
        assert_eq!(words.split(' ').count(), 40);
        assert_eq!(Share::from_words(&words), Ok(share.clone()));
        let mut list: Vec<&str> = words.split(' ').collect();
        list.swap(20, 30);
        assert_eq!(Share::from_words(&list.join(" ")), Err(NotRecovered::Words(WrongWords::Checksum)));
        assert_eq!(format!("{share:?}"), format!("Share(2 of {FLEET}, 2 needed)"));
        for (case, odd) in [
            ("no index", Share { index: 0, ..share.clone() }),
            ("a high index", Share { index: 17, ..share.clone() }),
            ("a threshold of one", Share { threshold: 1, ..share.clone() }),
        ] {
            assert_eq!(Share::from_words(&odd.words()), Err(NotRecovered::Threshold), "{case}");
        }
    }

    #[test]
    fn shares_that_do_not_belong_together_are_noticed() {
        let (ours, others) = (shares(5, 4, 3), shares(6, 4, 3));
        let few = |given| Err(NotRecovered::TooFew { given, needed: 3 });
        assert_eq!(Seed::combine(&ours[..2]), few(2));
        assert_eq!(Seed::combine(&[ours[0].clone(), ours[0].clone(), ours[1].clone()]), few(2), "one of them twice");
        assert_eq!(Seed::combine(&[]), Err(NotRecovered::TooFew { given: 0, needed: 2 }));
        let with = |share: Share| Seed::combine(&[ours[0].clone(), ours[1].clone(), share]);
        assert_eq!(with(ours[3].clone()), Ok(Seed([5; 32])));
        assert_eq!(with(others[2].clone()), Err(NotRecovered::Mixed), "of another seed");
        assert_eq!(
            with(Share { fleet: FleetId::NONE, ..ours[2].clone() }),
            Err(NotRecovered::Mixed),
            "of another fleet"
        );
        assert_eq!(with(Share { part: [0; 32], ..ours[2].clone() }), Err(NotRecovered::Mixed), "made up");
        assert_eq!(with(Share { index: 1, ..ours[2].clone() }), Err(NotRecovered::Mixed), "a number twice");
        let again = Seed([5; 32]).split(FLEET, 4, &[[8; 32], [9; 32]]).expect("sound numbers");
        assert_eq!(with(again[2].clone()), Err(NotRecovered::Mixed), "of another occasion");
        let spare = [&ours[..3], &[Share { part: [0; 32], ..ours[3].clone() }]].concat();
        assert_eq!(Seed::combine(&spare), Err(NotRecovered::Mixed), "one more than needed, made up");
    }

    proptest! {
        #[test]
        fn any_of_them_that_are_enough_give_the_seed(
            seed: [u8; 32],
            rows in prop::collection::vec(any::<[u8; 32]>(), 1..6),
            more in 0_u8..4,
            order in any::<[u8; 9]>(),
        ) {
            let needed = rows.len() + 1;
            let count = u8::try_from(needed).expect("at most six") + more;
            let mut shares = Seed(seed).split(FLEET, count, &rows).expect("sound numbers");
            shares.sort_by_key(|share| order[usize::from(share.index) - 1]);
            prop_assert_eq!(Seed::combine(&shares[..needed]), Ok(Seed(seed)));
            prop_assert_eq!(Seed::combine(&shares), Ok(Seed(seed)));
            let short = NotRecovered::TooFew { given: needed - 1, needed };
            prop_assert_eq!(Seed::combine(&shares[1..needed]), Err(short));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "([a-z]{2,8} ){0,41}") {
            prop_assert!(Seed::from_words(&text).is_err() || Share::from_words(&text).is_err());
        }
    }
}
