//! The rules of a fleet, as an admin last set them: where things may live that are not for every device.
//!
//! A residency is a set of devices and relays, under a number that stands in the head of each segment and a name for people. A
//! policy is a deterministic CBOR array, `[version, [[number, name, [id, …]], …]]`, numbers and ids ascending, in a link of the chain.
//! What a reader does not know of gives nobody anything.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decoder, Encoder};

use super::link::NAME_MAX;
use crate::DeviceId;

/// The newest form of a policy that this program writes and reads.
pub const VERSION: u8 = 1;
/// The lowest number of a residency; 0 is anywhere in the fleet, 1 is no number of a fleet's.
pub const FIRST: u16 = 2;
/// The most residencies of a fleet, those that were taken away included.
pub const RESIDENCIES_MAX: usize = 64;
/// The most homes of a residency.
pub const HOMES_MAX: usize = 1024;

/// Where things may live.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Residency {
    /// What people call it; empty once it was taken away.
    pub name: String,
    /// The devices and relays that may have what lives there.
    pub homes: BTreeSet<DeviceId>,
}

/// The rules of a fleet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    residencies: BTreeMap<u16, Residency>,
}

/// Why a residency is not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadResidency {
    /// Its name.
    #[error("a residency's name has 1 to {NAME_MAX} bytes and no control characters; choose another")]
    Name,
    /// Its homes.
    #[error("a residency has 1 to {HOMES_MAX} homes; name the devices on which its things may live")]
    Homes,
    /// There is none.
    #[error("the fleet has no residency of this name; `hearth fleet residency` shows them")]
    Unknown,
    /// Written by a newer hearth.
    #[error("a newer hearth wrote the fleet's policy; update hearth on this device, or change it where it was written")]
    Newer,
    /// Too many.
    #[error("a fleet has had at most {RESIDENCIES_MAX} residencies; change one that there is")]
    TooMany,
}

impl Policy {
    /// The residency of this number.
    pub fn residency(&self, number: u16) -> Option<&Residency> {
        self.residencies.get(&number).filter(|residency| !residency.name.is_empty())
    }

    /// The residencies that there are, by number.
    pub fn residencies(&self) -> impl Iterator<Item = (u16, &Residency)> {
        let all = self.residencies.iter().map(|(number, residency)| (*number, residency));
        all.filter(|(_, residency)| !residency.name.is_empty())
    }

    /// The number of the residency of this name.
    pub fn called(&self, name: &str) -> Option<u16> {
        self.residencies().find(|(_, residency)| residency.name == name).map(|(number, _)| number)
    }

    /// Says on which devices and relays the things of a residency may live; one of a new name is begun, under a number that `entropy` gives:
    /// two admins who have not heard of each other are not to give one number to two.
    ///
    /// # Errors
    /// When the name will not do, or there would be too many residencies or homes.
    pub fn set(&mut self, name: &str, homes: BTreeSet<DeviceId>, entropy: [u8; 2]) -> Result<u16, BadResidency> {
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(BadResidency::Name);
        }
        if homes.is_empty() || homes.len() > HOMES_MAX {
            return Err(BadResidency::Homes);
        }
        // A number is never given again: it stands in segments.
        let begin = u16::from_be_bytes(entropy).max(FIRST);
        let mut free = (begin..=u16::MAX).chain(FIRST..begin).filter(|number| !self.residencies.contains_key(number));
        let number = self.called(name).or_else(|| free.next()).ok_or(BadResidency::TooMany)?;
        if !self.residencies.contains_key(&number) && self.residencies.len() >= RESIDENCIES_MAX {
            return Err(BadResidency::TooMany);
        }
        self.residencies.insert(number, Residency { name: name.to_owned(), homes });
        Ok(number)
    }

    /// Takes a residency away: what lives there is given to nobody any more.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn remove(&mut self, name: &str) -> Result<(), BadResidency> {
        let number = self.called(name).ok_or(BadResidency::Unknown)?;
        self.residencies.insert(number, Residency::default());
        Ok(())
    }

    /// The bytes of a link's policy.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        let mut write = || {
            e.array(2)?.u8(VERSION)?.array(self.residencies.len() as u64)?;
            for (number, Residency { name, homes }) in &self.residencies {
                e.array(3)?.u16(*number)?.str(name)?.array(homes.len() as u64)?;
                for home in homes {
                    e.bytes(home.as_bytes())?;
                }
            }
            Ok::<_, minicbor::encode::Error<std::convert::Infallible>>(())
        };
        write().expect("writing to memory does not fail");
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` of anything else, a newer form among it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        if d.array().ok()? != Some(2) || d.u8().ok()? != VERSION {
            return None;
        }
        let count = d.array().ok()?.filter(|count| *count <= RESIDENCIES_MAX as u64)?;
        let mut residencies = BTreeMap::new();
        for _ in 0..count {
            if d.array().ok()? != Some(3) {
                return None;
            }
            let (number, name) = (d.u16().ok()?, d.str().ok()?.to_owned());
            let count = d.array().ok()?.filter(|count| *count <= HOMES_MAX as u64)?;
            let mut homes = BTreeSet::new();
            for _ in 0..count {
                homes.insert(DeviceId::from_bytes(d.bytes().ok()?.try_into().ok()?));
            }
            residencies.insert(number, Residency { name, homes });
        }
        let policy = Self { residencies };
        let sound = |(number, residency): (&u16, &Residency)| {
            let Residency { name, homes } = residency;
            *number >= FIRST
                && name.len() <= NAME_MAX
                && !name.chars().any(char::is_control)
                && name.is_empty() == homes.is_empty()
        };
        // In its one form, or two readers could read two things.
        (policy.residencies.iter().all(sound) && policy.encode() == bytes).then_some(policy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(seeds: &[u8]) -> BTreeSet<DeviceId> {
        seeds.iter().map(|seed| DeviceId::from_bytes([*seed; 16])).collect()
    }

    #[test]
    fn residencies_are_set_and_taken_away_and_no_number_is_given_twice() {
        let mut policy = Policy::default();
        assert_eq!(
            (policy.set("study", ids(&[1, 2]), [0, 0]), policy.set("cellar", ids(&[3]), [0, 2])),
            (Ok(2), Ok(3))
        );
        assert_eq!(policy.set("study", ids(&[1]), [9, 9]), Ok(2), "changed");
        assert_eq!(policy.residency(2).map(|it| &it.homes), Some(&ids(&[1])));
        assert_eq!(policy.remove("cellar"), Ok(()));
        assert_eq!((policy.residency(3), policy.called("cellar")), (None, None));
        assert_eq!(policy.remove("cellar"), Err(BadResidency::Unknown));
        assert_eq!(policy.set("cellar", ids(&[4]), [0, 3]), Ok(4), "another one of that name");
        assert_eq!(policy.residencies().map(|(number, _)| number).collect::<Vec<_>>(), [2, 4]);
        for (case, name, homes, error) in [
            ("no name", "", ids(&[1]), BadResidency::Name),
            ("a long name", &*"n".repeat(65), ids(&[1]), BadResidency::Name),
            ("a name with a line in it", "a\nb", ids(&[1]), BadResidency::Name),
            ("no homes", "a", ids(&[]), BadResidency::Homes),
        ] {
            assert_eq!(policy.set(name, homes, [0, 0]), Err(error), "{case}");
        }
        for n in 0..RESIDENCIES_MAX - 3 {
            policy.set(&format!("r{n}"), ids(&[1]), [255, 250]).expect("there is room");
        }
        assert_eq!(policy.set("one more", ids(&[1]), [0, 0]), Err(BadResidency::TooMany));
        assert_eq!(policy.set("study", ids(&[9]), [0, 0]), Ok(2), "one that there is can be changed");
        assert_eq!(Policy::decode(&policy.encode()), Some(policy));
    }

    #[test]
    fn what_is_in_another_form_gives_nobody_anything() {
        let mut policy = Policy::default();
        policy.set("study", ids(&[1, 2]), [0, 0]).expect("sound");
        let good = policy.encode();
        assert_eq!(Policy::decode(&good), Some(policy));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (case, bytes) in [
            ("nothing", Vec::new()),
            ("a newer form", with(1, VERSION + 1)),
            ("a number of no fleet's", with(4, 1)),
            ("more behind it", [&good[..], &[0]].concat()),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("a control character", with(6, 7)),
            ("homes out of order", {
                let mut bytes = good.clone();
                let end = bytes.len();
                bytes[end - 17 - 16..end - 17].fill(9);
                bytes
            }),
            ("without end", vec![0x82, VERSION, 0x9a, 0xff, 0xff, 0xff, 0xff]),
        ] {
            assert_eq!(Policy::decode(&bytes), None, "{case}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_policy_in_its_one_form_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(policy) = Policy::decode(&bytes) {
                prop_assert_eq!(policy.encode(), bytes);
            }
        }
    }
}
