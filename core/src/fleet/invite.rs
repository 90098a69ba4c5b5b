//! How a device joins: a code of eight words, a request that proves it was known, an answer with the chain. And how somebody with a fleet of
//! their own becomes a [`Guest`]: by the same words, which then let no device in.
//!
//! The code holds 40 bits of secret, 40 bits of fingerprint, 8 bits of checksum. The fingerprint is over the key that will answer
//! *under the secret*, so that nobody can look for a key that fits without knowing the code.
//!
//! What an attack costs. **In the middle**: who poses as the fleet shows a key, and the joining device says nothing before that
//! key fits the fingerprint. Without the secret a key cannot be tried in private (a plain 40-bit fingerprint of a known key would
//! fall to a graphics card in about twenty minutes, and the MAC then sent to an offline search for the secret in about two); what
//! is left is one chance in 2⁴⁰ a connection. **At the door**: who asks to join without the code has five guesses of a 40-bit
//! secret in ten minutes, a chance of 5 / 2⁴⁰, about 5 in 10¹² a code; a million codes attacked give 5 in 10⁶. **On the wire**:
//! the MAC travels inside TLS 1.3 and is bound to its channel, so it can be neither searched nor used on another connection.
//! Who reads the code itself and is faster than its owner joins in the owner's stead: the owner's try then says that the code is
//! used up, and the device that came in is revoked.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    FleetId,
    chain::{BadSnapshot, Fleet},
    link::{BadLink, Device, Guest, NAME_MAX, WRAPPED_BYTES, check_device},
    words::{self, WrongWords},
};
use crate::{Moment, id::array};

/// The newest form of requests and answers that this program writes and reads.
pub const VERSION: u8 = 1;
/// How long a code is good.
pub const LIFE: Duration = Duration::from_secs(600);
/// How many wrong tries end a code.
pub const TRIES: u8 = 5;
/// The most bytes of an answer.
pub const WELCOME_MAX: usize = 64 << 20;
/// The most epochs whose keys a new device is given.
pub const EPOCHS_MAX: usize = 1 << 14;

/// What the owner reads from one device and types into another.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct JoinCode {
    fingerprint: [u8; 5],
    secret: [u8; 5],
}

/// The device that answered is not the one that the code was made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the device that answers is not the one that showed this join code; somebody may be posing as it, or the code is of another fleet"
)]
pub struct WrongKey;

impl JoinCode {
    /// Makes a code for the device with this ed25519 key, out of fresh entropy.
    pub fn new(answers: &[u8; 32], entropy: [u8; 5]) -> Self {
        Self { fingerprint: fingerprint(answers, &entropy), secret: entropy }
    }

    /// Writes the request to join, once it is certain who answered. `channel` is what both ends of this TLS connection, and no
    /// other, know (RFC 9266).
    ///
    /// # Errors
    /// When another device answered; nothing has been said to it then.
    pub fn request(&self, answered_by: &[u8; 32], who: Who<'_>, channel: &[u8]) -> Result<JoinRequest, WrongKey> {
        if !bool::from(fingerprint(answered_by, &self.secret).ct_eq(&self.fingerprint)) {
            return Err(WrongKey);
        }
        let Who { key, wrap_key, name, fleet } = who;
        let mut request = JoinRequest { key, wrap_key, name: name.to_owned(), fleet, mac: [0; 32] };
        request.mac = self.mac(answered_by, &request, channel).finalize().into_bytes().into();
        Ok(request)
    }

    fn mac(&self, answers: &[u8; 32], request: &JoinRequest, channel: &[u8]) -> Hmac<Sha256> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.secret)
            .expand(b"hearth/join-mac/1", &mut key[..])
            .expect("32 bytes is a length that HKDF-SHA256 can give");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key[..]).expect("HMAC takes keys of any length");
        let fleet = request.fleet.as_ref().map(|fleet| &fleet.as_bytes()[..]);
        let parts = [&answers[..], &request.key, &request.wrap_key, request.name.as_bytes(), channel];
        for part in parts.into_iter().chain(fleet) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    fn checksum(fingerprint: &[u8], secret: &[u8]) -> u8 {
        Sha256::new().chain_update(b"hearth/join-code/1").chain_update(fingerprint).chain_update(secret).finalize()[0]
    }
}

fn fingerprint(key: &[u8; 32], secret: &[u8; 5]) -> [u8; 5] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(b"hearth/join-key/1");
    mac.update(key);
    let digest = mac.finalize().into_bytes();
    *digest.first_chunk().expect("a digest has 32 bytes")
}

impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Zeroizing::new([0; 11]);
        bytes[..5].copy_from_slice(&self.fingerprint);
        bytes[5..10].copy_from_slice(&self.secret);
        bytes[10] = Self::checksum(&self.fingerprint, &self.secret);
        f.write_str(&words::write(&bytes[..], '-'))
    }
}

impl FromStr for JoinCode {
    type Err = WrongWords;
    fn from_str(text: &str) -> Result<Self, WrongWords> {
        let bytes = Zeroizing::new(words::read::<11>(text)?);
        let fingerprint = *bytes.first_chunk().expect("11 bytes");
        let secret = *bytes[5..].first_chunk().expect("11 bytes");
        let code = Self { fingerprint, secret };
        if bytes[10] == Self::checksum(&fingerprint, &secret) { Ok(code) } else { Err(WrongWords::Checksum) }
    }
}

impl fmt::Debug for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinCode(secret)")
    }
}

/// What a device shows of itself when it asks.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Its ed25519 public key.
    pub key: [u8; 32],
    /// Its X25519 public key.
    pub wrap_key: [u8; 32],
    /// What to call it; or its fleet, if that is to be a guest.
    pub name: &'a str,
    /// The fleet that is to be a guest, and of which the device stays.
    pub fleet: Option<FleetId>,
}

/// What a device says that wants to join, or whose fleet wants to be a guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinRequest {
    key: [u8; 32],
    wrap_key: [u8; 32],
    name: String,
    fleet: Option<FleetId>,
    mac: [u8; 32],
}

/// Who knew the code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Applicant {
    /// A device that becomes a member.
    Device(Device),
    /// A fleet that becomes a guest.
    Guest(Guest),
}

/// Why bytes are not part of joining.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadJoin {
    /// Not the encoding at all.
    #[error("what came while joining is not in the form this version writes; try again with a new code")]
    Malformed,
    /// Written by a newer hearth.
    #[error("the other device joins by form {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
    /// Its keys or name could not stand in a chain.
    #[error("the device that wants to join has a key or name that cannot stand in the fleet's chain")]
    Device(#[from] BadLink),
    /// The chain in the answer does not hold.
    #[error("the answer's chain does not hold; the device that answered is broken or lies")]
    Chain(#[from] BadSnapshot),
    /// The chain is one in which one of the two has no place.
    #[error("in the answer's chain this device, or the one that answered, is not a member; ask for a new code")]
    NotIn,
}

/// How many fields there are, if that many may be.
fn version(d: &mut Decoder<'_>, fields: RangeInclusive<u64>) -> Result<u64, BadJoin> {
    let count = d.array().ok().flatten().ok_or(BadJoin::Malformed)?;
    match d.u8() {
        Ok(version) if version > VERSION => Err(BadJoin::Newer(version)),
        Ok(VERSION) if fields.contains(&count) => Ok(count),
        _ => Err(BadJoin::Malformed),
    }
}

impl JoinRequest {
    /// The bytes to send: `[version, key, wrap key, name, mac]`, and behind it the fleet that is to be a guest.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(200);
        let mut e = Encoder::new(&mut out);
        e.array(5 + u64::from(self.fleet.is_some()))
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(&self.key))
            .and_then(|e| e.bytes(&self.wrap_key))
            .and_then(|e| e.str(&self.name))
            .and_then(|e| e.bytes(&self.mac))
            .expect("writing to memory does not fail");
        if let Some(fleet) = &self.fleet {
            e.bytes(fleet.as_bytes()).expect("writing to memory does not fail");
        }
        out
    }

    /// Reads a request; believes nothing of it.
    ///
    /// # Errors
    /// When the bytes are not exactly those that [`encode`](Self::encode) writes for what they say.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadJoin> {
        let mut d = Decoder::new(bytes);
        let fields = version(&mut d, 5..=6)?;
        let mut read = || {
            Some(Self {
                key: array(&mut d).ok()?,
                wrap_key: array(&mut d).ok()?,
                name: d.str().ok().filter(|name| name.len() <= NAME_MAX)?.to_owned(),
                mac: array(&mut d).ok()?,
                fleet: if fields == 6 { Some(FleetId::from_bytes(array(&mut d).ok()?)) } else { None },
            })
        };
        let request = read().filter(|request| request.encode() == bytes).ok_or(BadJoin::Malformed)?;
        check_device(&request.device())?;
        Ok(request)
    }

    /// The ed25519 key of the device that asks, as it says.
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    fn applicant(&self) -> Applicant {
        match self.fleet {
            Some(fleet) => Applicant::Guest(Guest { fleet, name: self.name.clone() }),
            None => Applicant::Device(self.device()),
        }
    }

    fn device(&self) -> Device {
        let name = self.name.clone();
        Device { key: self.key, wrap_key: self.wrap_key, name, admin: false, expires: None }
    }
}

/// Why a request to join is turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejected {
    /// Too late, or the clock was set back.
    #[error("the join code is older than ten minutes; make a new one on a device of the fleet")]
    Expired,
    /// Somebody used it.
    #[error("the join code was used already; if that was not you, revoke the device that came in and make a new code")]
    Used,
    /// The MAC is not one under this code.
    #[error("the join code is not the right one; {left} more wrong tries and it is void")]
    Wrong {
        /// How many are left.
        left: u8,
    },
    /// It lets no device in.
    #[error(
        "the join code is for a person with a fleet of their own: `hearth join --own NAME` with the same words; to take this device into \
         this fleet, where it shares all, make another code with `hearth fleet invite`"
    )]
    ForGuest,
    /// It lets no guest in.
    #[error(
        "the join code takes a device into the fleet, where it shares all; for a person with a fleet of their own, make another with \
         `hearth fleet invite --person`"
    )]
    ForDevice,
    /// Wrong too often.
    #[error("the join code is void after {TRIES} wrong tries; somebody may be guessing, make a new one")]
    Void,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Open { wrong: u8 },
    Used,
    Void,
}

/// A join code on the device that made it: open · used · void, or over when its time is.
#[derive(Clone, Debug)]
pub struct Invite {
    code: JoinCode,
    answers: [u8; 32],
    for_guest: bool,
    issued_at: Moment,
    life: Life,
}

impl Invite {
    /// Makes a code, out of fresh entropy, that this device (by its ed25519 key) will answer to.
    pub fn issue(answers: [u8; 32], entropy: [u8; 5], now: Moment) -> Self {
        let code = JoinCode::new(&answers, entropy);
        Self { code, answers, for_guest: false, issued_at: now, life: Life::Open { wrong: 0 } }
    }

    /// Lets a guest in instead of a device.
    pub fn for_guest(self) -> Self {
        Self { for_guest: true, ..self }
    }

    /// What to show to the owner.
    pub const fn code(&self) -> &JoinCode {
        &self.code
    }

    /// When it is over, or `None` when it is already.
    pub fn poll_timeout(&self) -> Option<Moment> {
        matches!(self.life, Life::Open { .. }).then(|| self.issued_at + LIFE)
    }

    /// Decides about a request that came over `channel`; gives what to add.
    ///
    /// # Errors
    /// When the code is not known to who asks, is not for that, or is not good any more.
    pub fn handle(&mut self, now: Moment, request: &JoinRequest, channel: &[u8]) -> Result<Applicant, Rejected> {
        let wrong = match self.life {
            Life::Used => return Err(Rejected::Used),
            Life::Void => return Err(Rejected::Void),
            Life::Open { wrong } => wrong,
        };
        if now < self.issued_at || now >= self.issued_at + LIFE {
            return Err(Rejected::Expired);
        }
        // In constant time.
        if self.code.mac(&self.answers, request, channel).verify_slice(&request.mac).is_ok() {
            // Who mistook what it is for knows the words, and asks again.
            return match request.applicant() {
                Applicant::Device(_) if self.for_guest => Err(Rejected::ForGuest),
                Applicant::Guest(_) if !self.for_guest => Err(Rejected::ForDevice),
                applicant => {
                    self.life = Life::Used;
                    Ok(applicant)
                }
            };
        }
        let left = TRIES - 1 - wrong;
        if left == 0 {
            self.life = Life::Void;
            return Err(Rejected::Void);
        }
        self.life = Life::Open { wrong: wrong + 1 };
        Err(Rejected::Wrong { left })
    }
}

/// What the new device is answered: the chain with itself in it, and the epoch keys that it may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The chain, as [`Fleet::encode`] writes it.
    pub chain: Vec<u8>,
    /// Keys of epochs, wrapped to the new device, by ascending epoch; which of the past ones is the owner's choice.
    pub keys: Vec<(u32, [u8; WRAPPED_BYTES])>,
}

impl Welcome {
    /// The bytes to send: `[version, chain, [[epoch, wrapped], …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.chain.len() + 90 * self.keys.len() + 16);
        let mut e = Encoder::new(&mut out);
        e.array(3)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(&self.chain))
            .and_then(|e| e.array(self.keys.len() as u64))
            .expect("writing to memory does not fail");
        for (epoch, wrapped) in &self.keys {
            e.array(2)
                .and_then(|e| e.u32(*epoch))
                .and_then(|e| e.bytes(wrapped))
                .expect("writing to memory does not fail");
        }
        out
    }

    /// Reads an answer; [`open`](Self::open) is what checks it.
    ///
    /// # Errors
    /// When the bytes are not exactly those that [`encode`](Self::encode) writes for what they say.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadJoin> {
        if bytes.len() > WELCOME_MAX {
            return Err(BadJoin::Malformed);
        }
        let mut d = Decoder::new(bytes);
        version(&mut d, 3..=3)?;
        let mut read = || {
            let chain = d.bytes().ok()?.to_vec();
            let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= EPOCHS_MAX)?;
            let mut keys = Vec::new();
            for _ in 0..count {
                if d.array().ok()?? != 2 {
                    return None;
                }
                keys.push((d.u32().ok()?, array(&mut d).ok()?));
            }
            Some(Self { chain, keys })
        };
        let ordered = |welcome: &Self| welcome.keys.is_sorted_by(|a, b| a.0 < b.0);
        read().filter(|it| ordered(it) && it.encode() == bytes).ok_or(BadJoin::Malformed)
    }

    /// Checks the chain, and that both this device and the one that answered stand in it.
    ///
    /// # Errors
    /// When a link does not hold or one of the two is not a member.
    pub fn open(&self, own: &[u8; 32], answered_by: &[u8; 32], now: Moment) -> Result<Fleet, BadJoin> {
        let fleet = Fleet::decode(&self.chain)?;
        if fleet.is_member(own, now) && fleet.is_member(answered_by, now) { Ok(fleet) } else { Err(BadJoin::NotIn) }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::link::{Action, Link, SignedLink};

    const NOW: Moment = Moment::from_millis(1_000_000);
    const CHANNEL: &[u8] = b"what both ends of one connection know";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn public(seed: u8) -> [u8; 32] {
        key(seed).verifying_key().to_bytes()
    }

    fn invite() -> Invite {
        Invite::issue(public(1), [1, 2, 3, 4, 5], NOW)
    }

    fn laptop(fleet: Option<FleetId>) -> Who<'static> {
        Who { key: public(2), wrap_key: [9; 32], name: "laptop", fleet }
    }

    fn ask(code: &JoinCode) -> JoinRequest {
        code.request(&public(1), laptop(None), CHANNEL).expect("the right key")
    }

    /// Asks as one who knows everything but the secret.
    fn guess(other: u8) -> JoinRequest {
        ask(&JoinCode::new(&public(1), [other; 5]))
    }

    #[test]
    fn a_code_reads_back_and_one_wrong_word_is_found() {
        let code = invite().code().clone();
        let text = code.to_string();
        assert_eq!(text.split('-').count(), 8, "{text}");
        assert_eq!(text.parse(), Ok(code.clone()));
        assert_eq!(text.to_uppercase().replace('-', "  ").parse(), Ok(code));
        let mut words: Vec<&str> = text.split('-').collect();
        words.swap(1, 2);
        assert_eq!(words.join(" ").parse::<JoinCode>(), Err(WrongWords::Checksum));
        words[4] = "hearth";
        assert!(matches!(words.join(" ").parse::<JoinCode>(), Err(WrongWords::Unknown { position: 5, .. })));
        assert!(!format!("{:?}", invite()).contains(&text[..6]));
    }

    #[test]
    fn who_joins_says_nothing_to_a_device_that_the_code_is_not_of() {
        let code = invite().code().clone();
        let ask = |answers| code.request(&answers, laptop(None), CHANNEL);
        assert!(ask(public(1)).is_ok());
        assert_eq!(ask(public(3)), Err(WrongKey));
        // The fingerprint depends on the secret: a key cannot be searched for beforehand.
        assert_ne!(JoinCode::new(&public(1), [0; 5]).fingerprint, JoinCode::new(&public(1), [1; 5]).fingerprint);
    }

    #[test]
    fn a_request_holds_for_these_keys_this_name_and_this_channel() {
        let good = ask(invite().code());
        let asked = |request: &JoinRequest, channel| invite().handle(NOW, request, channel);
        let Applicant::Device(device) = asked(&good, CHANNEL).expect("the right code") else { panic!("no guest") };
        assert_eq!((device.key, device.wrap_key, device.admin), (public(2), [9; 32], false));
        let wrong = Err(Rejected::Wrong { left: 4 });
        assert_eq!(asked(&good, b"another connection"), wrong);
        assert_eq!(asked(&JoinRequest { key: public(3), ..good.clone() }, CHANNEL), wrong, "another signing key");
        assert_eq!(asked(&JoinRequest { wrap_key: [8; 32], ..good.clone() }, CHANNEL), wrong, "another wrap key");
        assert_eq!(asked(&JoinRequest { name: "nas".into(), ..good.clone() }, CHANNEL), wrong, "another name");
        let as_guest = JoinRequest { fleet: Some(FleetId::NONE), ..good.clone() };
        assert_eq!(asked(&as_guest, CHANNEL), wrong, "as a guest");
        assert_eq!(asked(&guess(7), CHANNEL), wrong, "another secret");
        let mut elsewhere = Invite { answers: public(3), ..invite() };
        assert_eq!(elsewhere.handle(NOW, &good, CHANNEL), wrong, "meant for another device");
    }

    #[test]
    fn a_code_is_good_once_for_ten_minutes_and_five_tries() {
        let millis = Duration::from_millis(1);
        let good = ask(invite().code());
        let mut once = invite();
        assert!(once.handle(NOW, &good, CHANNEL).is_ok());
        assert_eq!(once.handle(NOW, &good, CHANNEL), Err(Rejected::Used));
        assert_eq!(once.poll_timeout(), None);

        assert!(invite().handle(NOW + LIFE - millis, &good, CHANNEL).is_ok());
        assert_eq!(invite().handle(NOW + LIFE, &good, CHANNEL), Err(Rejected::Expired));
        assert_eq!(invite().handle(NOW - millis, &good, CHANNEL), Err(Rejected::Expired), "the clock was set back");
        assert_eq!(invite().poll_timeout(), Some(NOW + LIFE));

        let mut guessed = invite();
        for left in (1..TRIES).rev() {
            assert_eq!(guessed.handle(NOW, &guess(left), CHANNEL), Err(Rejected::Wrong { left }));
        }
        let mut lucky = guessed.clone();
        assert!(lucky.handle(NOW, &good, CHANNEL).is_ok(), "four wrong tries are forgiven");
        assert_eq!(guessed.handle(NOW, &guess(9), CHANNEL), Err(Rejected::Void));
        assert_eq!(guessed.handle(NOW, &good, CHANNEL), Err(Rejected::Void), "too late");
    }

    #[test]
    fn a_code_for_a_guest_lets_no_device_in_and_one_for_a_device_no_guest() {
        let fleet = FleetId::from_bytes([4; 16]);
        let code = invite().code().clone();
        let (device, guest) =
            (ask(&code), code.request(&public(1), laptop(Some(fleet)), CHANNEL).expect("the right key"));
        assert_eq!(JoinRequest::decode(&guest.encode()), Ok(guest.clone()));
        let mut for_guest = invite().for_guest();
        assert_eq!(for_guest.handle(NOW, &device, CHANNEL), Err(Rejected::ForGuest));
        let applicant = Applicant::Guest(Guest { fleet, name: "laptop".into() });
        assert_eq!(for_guest.handle(NOW, &guest, CHANNEL), Ok(applicant), "a mistake does not use it up");
        assert_eq!(for_guest.handle(NOW, &guest, CHANNEL), Err(Rejected::Used));
        let mut for_device = invite();
        assert_eq!(for_device.handle(NOW, &guest, CHANNEL), Err(Rejected::ForDevice));
        assert!(for_device.handle(NOW, &device, CHANNEL).is_ok());
    }

    #[test]
    fn a_request_reads_back_as_itself_and_no_cut_of_it_reads() {
        let bytes = ask(invite().code()).encode();
        assert_eq!(JoinRequest::decode(&bytes), Ok(ask(invite().code())));
        for cut in 0..bytes.len() {
            assert_eq!(JoinRequest::decode(&bytes[..cut]), Err(BadJoin::Malformed), "cut at {cut}");
        }
        let at = bytes.windows(7).position(|it| it == b"\x66laptop").expect("the name");
        let longer = [&bytes[..at], b"\x78\x06", &bytes[at + 1..]].concat();
        assert_eq!(JoinRequest::decode(&longer), Err(BadJoin::Malformed), "a length in more bytes than it needs");
        let unnamed = JoinRequest { name: String::new(), ..ask(invite().code()) };
        assert_eq!(JoinRequest::decode(&unnamed.encode()), Err(BadJoin::Device(BadLink::Name)));
        let mut newer = bytes;
        newer[1] = VERSION + 1;
        assert_eq!(JoinRequest::decode(&newer), Err(BadJoin::Newer(VERSION + 1)));
    }

    #[test]
    fn an_answer_is_believed_when_both_stand_in_its_chain() {
        let admin = Device { key: public(1), wrap_key: [1; 32], name: "nas".into(), admin: true, expires: None };
        let first = Link::first(NOW, "home", admin, 1).expect("a link");
        let mut fleet = Fleet::begin(SignedLink::by(&key(1), first.clone())).expect("the first link");
        let before = Welcome { chain: fleet.encode(), keys: vec![] };
        let asked = invite().handle(NOW, &ask(invite().code()), CHANNEL).expect("the right code");
        let Applicant::Device(device) = asked else { panic!("no guest") };
        let link = first.then(NOW, Action::AddDevice(device)).expect("a link");
        assert!(fleet.handle(SignedLink::by(&key(1), link)).is_ok());
        let welcome = Welcome { chain: fleet.encode(), keys: vec![(1, [1; 80]), (2, [2; 80])] };
        let bytes = welcome.encode();
        assert_eq!(Welcome::decode(&bytes), Ok(welcome.clone()));
        for cut in 0..bytes.len() {
            assert!(Welcome::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let trailing = [&bytes[..], &[0]].concat();
        assert_eq!(Welcome::decode(&trailing), Err(BadJoin::Malformed), "a byte after the end");
        let turned = Welcome { keys: vec![(2, [2; 80]), (1, [1; 80])], ..welcome.clone() };
        assert_eq!(Welcome::decode(&turned.encode()), Err(BadJoin::Malformed));

        assert_eq!(welcome.open(&public(2), &public(1), NOW).map(|fleet| fleet.id()).ok(), Some(fleet.id()));
        assert_eq!(before.open(&public(2), &public(1), NOW).err(), Some(BadJoin::NotIn), "not added");
        assert_eq!(welcome.open(&public(2), &public(3), NOW).err(), Some(BadJoin::NotIn), "answered by a stranger");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_are_the_one_way_to_write_what_they_say(bytes in prop::collection::vec(any::<u8>(), 0..250)) {
            if let Ok(request) = JoinRequest::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Ok(welcome) = Welcome::decode(&bytes) {
                prop_assert_eq!(welcome.encode(), bytes);
            }
        }

        #[test]
        fn every_code_reads_back(entropy: [u8; 5], seed: u8) {
            let code = JoinCode::new(&public(seed), entropy);
            prop_assert_eq!(code.to_string().parse(), Ok(code));
        }
    }
}
