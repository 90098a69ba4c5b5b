//! A fleet is a signed chain: who belongs to it, which keys they share, how one joins and how one comes back.
//!
//! [`link`] is one signed entry, [`chain`] the machine that decides what entries together say, [`epoch`] the keys that members
//! share, [`invite`] the join code, [`hosting`] what a guest is answered, [`recovery`] the words of the sheet of paper for the worst day, [`sheet`] what they do,
//! [`waiting`] orders that need more admins, [`policy`] where things may live, [`trust`] what sessions are told of others, [`letter`]
//! what they say to each other. Clocks and entropy are handed in.

pub mod chain;
pub mod epoch;
pub mod hosting;
pub mod invite;
pub mod letter;
pub mod link;
pub mod policy;
pub mod recovery;
pub mod sheet;
pub mod trust;
pub mod waiting;
pub mod words;

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{DeviceId, merkle::Hash};

/// Which fleet. The first half of the digest of its first link, never chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetId([u8; 16]);

/// Why a text is not a fleet's id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a fleet's id; it should read `flt-` followed by 32 hexadecimal digits")]
pub struct NotAFleet(String);

impl FleetId {
    /// What every fleet's id begins with when it is written down.
    pub const PREFIX: &'static str = "flt-";
    /// What stands in a fleet's first link, which cannot name itself.
    pub const NONE: Self = Self([0; 16]);

    /// Makes an id out of its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The fleet that begins with the link of this digest.
    pub fn of_first(digest: &Hash) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// What the fleet is called in greetings: the first half of SHA-256 over `hearth/fleet-tag/1` and the id, so that who listens learns no id.
    pub fn tag(&self) -> [u8; 16] {
        let digest = Sha256::new().chain_update(b"hearth/fleet-tag/1").chain_update(self.0).finalize();
        *digest.first_chunk().expect("a digest is longer")
    }

    /// The 16 bytes of this id, as they stand in heads of segments.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FleetId {
    type Err = NotAFleet;
    fn from_str(text: &str) -> Result<Self, NotAFleet> {
        text.strip_prefix(Self::PREFIX)
            .and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok())
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| NotAFleet(text.chars().take(60).collect()))
    }
}

/// A member's name as other software writes it: `spiffe://<fleet>/node/<device>` (SPIFFE-ID §2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiffeId {
    /// The trust domain.
    pub fleet: FleetId,
    /// The workload.
    pub device: DeviceId,
}

/// Why a text is not a member's SPIFFE name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a member's name; it should read `spiffe://flt-…/node/dev-…`")]
pub struct NotASpiffeId(String);

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/node/{}", self.fleet, self.device)
    }
}

impl FromStr for SpiffeId {
    type Err = NotASpiffeId;
    fn from_str(text: &str) -> Result<Self, NotASpiffeId> {
        let read = || {
            let (fleet, device) = text.strip_prefix("spiffe://")?.split_once("/node/")?;
            Some(Self { fleet: fleet.parse().ok()?, device: device.parse().ok()? })
        };
        read().ok_or_else(|| NotASpiffeId(text.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_name_reads_back_and_keeps_to_what_a_trust_domain_may_hold() {
        let id = SpiffeId { fleet: FleetId::from_bytes([0xab; 16]), device: DeviceId::from_bytes([7; 16]) };
        let text = id.to_string();
        assert_eq!(text, "spiffe://flt-abababababababababababababababab/node/dev-07070707070707070707070707070707");
        assert_eq!(text.parse(), Ok(id));
        for wrong in
            ["", "spiffe://", "spiffe://flt-ab/node/dev-07", &text[1..], &format!("{text}/x"), &text.to_uppercase()]
        {
            assert!(wrong.parse::<SpiffeId>().is_err(), "{wrong}");
        }
        // SPIFFE-ID §2.1: lower-case letters, digits, dots, dashes and underscores, at most 255 bytes.
        let domain = id.fleet.to_string();
        assert!(
            domain.len() <= 255 && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
    }
}
