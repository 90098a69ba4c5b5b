//! What somebody is answered whose fleet becomes a guest: the relays that serve it from then on.
//!
//! Two people who share a house need not share what they captured. Each has a fleet, with keys and admins of its own; what they may share is a
//! relay. The host's chain names the guest ([`AddGuest`](super::link::Action::AddGuest)), the guest's own chain names the relays.

use minicbor::{Decoder, Encoder};

use super::{
    FleetId,
    chain::RELAYS_MAX,
    invite::BadJoin,
    link::{NAME_MAX, Relay, check_relay, read_relay, write_relay},
};
use crate::id::array;

/// The newest form that this program writes and reads.
pub const VERSION: u8 = 1;

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hosting {
    /// The host's fleet.
    pub fleet: FleetId,
    /// What its people call it.
    pub name: String,
    /// Its relays.
    pub relays: Vec<Relay>,
}

impl Hosting {
    /// The bytes to send: `[version, fleet, name, [[key, address, region], …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        e.array(4)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(self.fleet.as_bytes()))
            .and_then(|e| e.str(&self.name))
            .and_then(|e| e.array(self.relays.len() as u64))
            .expect("writing to memory does not fail");
        for relay in &self.relays {
            e.array(3).and_then(|e| write_relay(e, relay)).expect("writing to memory does not fail");
        }
        out
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When the bytes are not exactly those that [`encode`](Self::encode) writes for what they say, or a relay could not stand in a chain.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadJoin> {
        let mut d = Decoder::new(bytes);
        let fields = d.array().ok().flatten().ok_or(BadJoin::Malformed)?;
        match d.u8() {
            Ok(version) if version > VERSION => return Err(BadJoin::Newer(version)),
            Ok(VERSION) if fields == 4 => {}
            _ => return Err(BadJoin::Malformed),
        }
        let mut read = || {
            let fleet = FleetId::from_bytes(array(&mut d).ok()?);
            let name = d.str().ok().filter(|name| name.len() <= NAME_MAX)?.to_owned();
            let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= RELAYS_MAX)?;
            let mut relays = Vec::with_capacity(count);
            for _ in 0..count {
                relays.push((d.array().ok()?? == 3).then(|| read_relay(&mut d)).flatten()?);
            }
            Some(Self { fleet, name, relays })
        };
        let hosting = read().filter(|it| it.encode() == bytes).ok_or(BadJoin::Malformed)?;
        hosting.relays.iter().try_for_each(check_relay)?;
        Ok(hosting)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::fleet::link::BadLink;

    fn hosting() -> Hosting {
        let key = SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
        let relay = Relay { key, address: "relay.example:7843".into(), region: String::new() };
        Hosting { fleet: FleetId::from_bytes([2; 16]), name: "home".into(), relays: vec![relay] }
    }

    #[test]
    fn an_answer_reads_back_as_itself_and_no_cut_or_change_of_its_form_reads() {
        let bytes = hosting().encode();
        assert_eq!(Hosting::decode(&bytes), Ok(hosting()));
        for cut in 0..bytes.len() {
            assert_eq!(Hosting::decode(&bytes[..cut]), Err(BadJoin::Malformed), "{cut}");
        }
        assert_eq!(Hosting::decode(&[&bytes[..], &[0]].concat()), Err(BadJoin::Malformed), "a byte too many");
        let mut newer = bytes;
        newer[1] = 2;
        assert_eq!(Hosting::decode(&newer), Err(BadJoin::Newer(2)));
    }

    #[test]
    fn a_relay_that_could_not_stand_in_a_chain_is_refused() {
        let with = |change: fn(&mut Relay)| {
            let mut hosting = hosting();
            change(&mut hosting.relays[0]);
            Hosting::decode(&hosting.encode())
        };
        assert_eq!(with(|relay| relay.key = [0; 32]), Err(BadJoin::Device(BadLink::Key)));
        assert_eq!(with(|relay| relay.address.push('\n')), Err(BadJoin::Device(BadLink::Place)));
    }
}
