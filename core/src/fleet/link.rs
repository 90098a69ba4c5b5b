//! One link of a fleet's chain, and the signatures under it.
//!
//! A link is a deterministic CBOR array, `[version, fleet, number, prev, at, action]`; its signatures are over its digest and stand
//! beside it. What was signed is stored and forwarded verbatim. Whether the signers might say it is for [`chain`](super::chain).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use minicbor::{Decoder, Encoder, data::Type};

use super::FleetId;
use crate::{
    DeviceId, Moment,
    id::array,
    merkle::Hash,
    signed::{Distrust, Signable},
};

/// The newest form of a link that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most bytes of a name, of a device or fleet.
pub const NAME_MAX: usize = 64;
/// The most bytes of a relay's address.
pub const ADDRESS_MAX: usize = 255;
/// The most bytes of a relay's region.
pub const REGION_MAX: usize = 64;
/// The most bytes of a policy.
pub const POLICY_MAX: usize = 64 << 10;
/// The most devices that belong to a fleet at once.
pub const DEVICES_MAX: usize = 1024;
/// The most logs of a revoked device of which something counts.
pub const ENDS_MAX: usize = 256;
/// The most links of a chain.
pub const LINKS_MAX: u64 = 1 << 16;
/// The most signatures under a link, and so the highest threshold.
pub const SIGNATURES_MAX: usize = 16;
/// The most wraps in a link: one for each device and one for the recovery sheet, or one for each epoch so far.
pub const WRAPS_MAX: usize = DEVICES_MAX + 1;
/// The bytes of an epoch key wrapped to a device: encapsulated key, ciphertext, tag.
pub const WRAPPED_BYTES: usize = 32 + 32 + 16;
/// The most bytes of an encoded link: a rotation with a wrap for every device fits.
pub const BYTES_MAX: usize = 128 << 10;
/// The link before the first one.
pub const GENESIS: Hash = [0; 32];

/// A device as it was added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its ed25519 public key: what it signs and connects with.
    pub key: [u8; 32],
    /// Its X25519 public key: what epoch keys are wrapped to.
    pub wrap_key: [u8; 32],
    /// What people call it.
    pub name: String,
    /// Whether it may sign links.
    pub admin: bool,
    /// When it stops being a member by itself. Never with `admin`: no clock is asked whether a link holds.
    pub expires: Option<Moment>,
}

impl Device {
    /// The id that follows from its key.
    pub fn id(&self) -> Option<DeviceId> {
        VerifyingKey::from_bytes(&self.key).ok().as_ref().map(DeviceId::of_key)
    }
}

/// Where a log of a revoked device ends for everybody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Last {
    /// Which life of its log; later lives have higher numbers.
    pub incarnation: u64,
    /// The last segment that counts.
    pub number: u64,
    /// The digest of that segment's head.
    pub head: Hash,
}

/// A node that keeps and passes on sealed segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relay {
    /// Its ed25519 public key.
    pub key: [u8; 32],
    /// Where it listens.
    pub address: String,
    /// Where it stands, for residency.
    pub region: String,
}

/// The recovery sheet: an admin of paper, which signs links and is given keys, and is no device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sheet {
    /// The ed25519 public key of its seed.
    pub key: [u8; 32],
    /// The X25519 public key of its seed.
    pub wrap_key: [u8; 32],
    /// The keys of the epochs so far, wrapped to it, by ascending epoch; the newest when there are too many.
    pub wraps: Vec<(u32, [u8; WRAPPED_BYTES])>,
}

impl Sheet {
    /// The id that follows from its key.
    pub fn id(&self) -> DeviceId {
        DeviceId::of_key_bytes(&self.key)
    }
}

/// A fleet of somebody else, which the relays of this one serve, too. Neither can read what the other shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// Which fleet.
    pub fleet: FleetId,
    /// What people call it.
    pub name: String,
}

/// What a link does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Begins the fleet with its first admin.
    Create {
        /// What people call the fleet.
        name: String,
        /// The first device.
        device: Device,
        /// How many admins must sign what one alone may not.
        threshold: u8,
    },
    /// A device becomes a member.
    AddDevice(Device),
    /// A device is a member no more, and never again; or the recovery sheet is worth nothing any more.
    RevokeDevice {
        /// Which one.
        device: DeviceId,
        /// Where each of its logs ends, by ascending incarnation. Of a log that is not named nothing counts.
        ends: Vec<Last>,
    },
    /// A new epoch key.
    Rotate {
        /// The epoch that begins: one more than the one before.
        epoch: u32,
        /// The key, wrapped to each device and to the recovery sheet, by ascending id.
        wraps: Vec<(DeviceId, [u8; WRAPPED_BYTES])>,
    },
    /// New rules.
    Policy {
        /// One more than the policy before.
        epoch: u32,
        /// The rules.
        bytes: Vec<u8>,
    },
    /// A relay may be used.
    AddRelay(Relay),
    /// A relay is used no more.
    RemoveRelay([u8; 32]),
    /// A member may sign links.
    AddAdmin(DeviceId),
    /// A member may sign links no more.
    RemoveAdmin(DeviceId),
    /// How many admins must sign what one alone may not.
    SetThreshold(u8),
    /// Everything from the link of this digest up to this one goes on, whatever stands beside it.
    Resolve {
        /// The first link that is settled.
        keeps: Hash,
    },
    /// The fleet can be recovered with this sheet of paper.
    AddSheet(Sheet),
    /// The relays serve somebody else's fleet, too.
    AddGuest(Guest),
    /// And not any more.
    RemoveGuest(FleetId),
}

/// Why bytes are not a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadLink {
    /// Not the encoding at all.
    #[error("a link of the fleet's chain is not in the form this version writes; it is damaged, fetch it again")]
    Malformed,
    /// Written by a newer hearth.
    #[error(
        "a link of the fleet's chain has form {0}, and this hearth knows up to {VERSION}; update hearth on this node"
    )]
    Newer(u8),
    /// A name is empty, too long or not plain.
    #[error("a name in the fleet's chain has 1 to {NAME_MAX} bytes and no control characters; choose a shorter one")]
    Name,
    /// A relay's address or region is not plain.
    #[error(
        "a relay's address has 1 to {ADDRESS_MAX} bytes, its region up to {REGION_MAX}, in plain characters; correct it"
    )]
    Place,
    /// A public key is not one.
    #[error("a key in the fleet's chain is not an ed25519 public key; ask the device for its key again")]
    Key,
    /// An admin with an expiry.
    #[error("an admin's device cannot expire, because links are checked without a clock; add it without an expiry")]
    ExpiringAdmin,
    /// A threshold nobody can meet.
    #[error("a threshold is from 1 to {SIGNATURES_MAX}; choose one in between")]
    Threshold,
    /// Too much of something.
    #[error(
        "a link of the fleet's chain holds more than {WRAPS_MAX} wraps or {POLICY_MAX} bytes of policy; make it smaller"
    )]
    TooLarge,
    /// No signature, too many, or out of order.
    #[error("a link carries 1 to {SIGNATURES_MAX} signatures by as many keys, in the order of the keys; sign it anew")]
    Signatures,
}

/// One entry of a fleet's chain; nobody has said yet that it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    fleet: FleetId,
    number: u64,
    prev: Hash,
    at: Moment,
    action: Action,
    bytes: Vec<u8>,
}

impl Signable for Link {
    const CONTEXT: &'static str = "hearth/fleet-link/1";
    fn signed_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Link {
    /// Writes a link.
    ///
    /// # Errors
    /// When something in it is over its limit.
    pub fn new(fleet: FleetId, number: u64, prev: Hash, at: Moment, action: Action) -> Result<Self, BadLink> {
        check(&action, fleet)?;
        let mut link = Self { fleet, number, prev, at, action, bytes: Vec::new() };
        link.bytes = link.encode();
        if link.bytes.len() > BYTES_MAX { Err(BadLink::TooLarge) } else { Ok(link) }
    }

    /// The first link of a new fleet.
    ///
    /// # Errors
    /// When something in it is over its limit, or its device is no admin.
    pub fn first(at: Moment, name: &str, device: Device, threshold: u8) -> Result<Self, BadLink> {
        let action = Action::Create { name: name.to_owned(), device, threshold };
        Self::new(FleetId::NONE, 0, GENESIS, at, action)
    }

    /// The link after this one.
    ///
    /// # Errors
    /// When something in it is over its limit.
    pub fn then(&self, at: Moment, action: Action) -> Result<Self, BadLink> {
        Self::new(self.fleet_begun(), self.number + 1, self.digest(), at, action)
    }

    /// The fleet it belongs to; of a first link, the one that it begins.
    pub fn fleet_begun(&self) -> FleetId {
        if self.number == 0 { FleetId::of_first(&self.digest()) } else { self.fleet }
    }

    /// The fleet it names.
    pub const fn fleet(&self) -> FleetId {
        self.fleet
    }

    /// Its position in the chain, from 0.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The digest of the link before it.
    pub const fn prev(&self) -> &Hash {
        &self.prev
    }

    /// The signer's clock; shown to people, asked by nothing.
    pub const fn at(&self) -> Moment {
        self.at
    }

    /// What it does.
    pub const fn action(&self) -> &Action {
        &self.action
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        let mut e = Encoder::new(&mut out);
        e.array(6)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(self.fleet.as_bytes()))
            .and_then(|e| e.u64(self.number))
            .and_then(|e| e.bytes(&self.prev))
            .and_then(|e| e.u64(self.at.as_millis()))
            .and_then(|e| write_action(e, &self.action))
            .expect("writing to memory does not fail");
        out
    }

    /// Reads a link.
    ///
    /// # Errors
    /// When the bytes are not exactly those that [`new`](Self::new) writes for what they say.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadLink> {
        if bytes.len() > BYTES_MAX {
            return Err(BadLink::TooLarge);
        }
        let mut d = Decoder::new(bytes);
        let fields = d.array().ok().flatten().ok_or(BadLink::Malformed)?;
        match d.u8() {
            Ok(version) if version > VERSION => return Err(BadLink::Newer(version)),
            Ok(VERSION) if fields == 6 => {}
            _ => return Err(BadLink::Malformed),
        }
        let mut read = || {
            Some((
                FleetId::from_bytes(array(&mut d).ok()?),
                d.u64().ok()?,
                array(&mut d).ok()?,
                Moment::from_millis(d.u64().ok()?),
                read_action(&mut d)?,
            ))
        };
        let (fleet, number, prev, at, action) = read().ok_or(BadLink::Malformed)?;
        let link = Self::new(fleet, number, prev, at, action)?;
        // One link has one encoding: writing it again must give the same bytes.
        if link.bytes == bytes { Ok(link) } else { Err(BadLink::Malformed) }
    }
}

fn name(text: &str) -> Result<(), BadLink> {
    let plain = (1..=NAME_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if plain { Ok(()) } else { Err(BadLink::Name) }
}

/// A key that can have signed something: on the curve, and not one of the few under which anything verifies.
fn key(bytes: &[u8; 32]) -> Result<(), BadLink> {
    let usable = VerifyingKey::from_bytes(bytes).is_ok_and(|key| !key.is_weak());
    if usable { Ok(()) } else { Err(BadLink::Key) }
}

pub(super) fn check_device(device: &Device) -> Result<(), BadLink> {
    name(&device.name)?;
    key(&device.key)?;
    if device.admin && device.expires.is_some() { Err(BadLink::ExpiringAdmin) } else { Ok(()) }
}

pub(super) fn check_relay(relay: &Relay) -> Result<(), BadLink> {
    key(&relay.key)?;
    let plain = (1..=ADDRESS_MAX).contains(&relay.address.len())
        && relay.region.len() <= REGION_MAX
        && !relay.address.chars().chain(relay.region.chars()).any(char::is_control);
    if plain { Ok(()) } else { Err(BadLink::Place) }
}

fn check(action: &Action, of: FleetId) -> Result<(), BadLink> {
    let threshold =
        |k: u8| if (1..=SIGNATURES_MAX).contains(&usize::from(k)) { Ok(()) } else { Err(BadLink::Threshold) };
    match action {
        Action::Create { name: fleet, device, threshold: k } => {
            name(fleet)?;
            check_device(device)?;
            threshold(*k)?;
            if device.admin { Ok(()) } else { Err(BadLink::Malformed) }
        }
        Action::AddDevice(device) => check_device(device),
        Action::RevokeDevice { ends, .. } => {
            if ends.len() > ENDS_MAX {
                return Err(BadLink::TooLarge);
            }
            if ends.is_sorted_by(|a, b| a.incarnation < b.incarnation) { Ok(()) } else { Err(BadLink::Malformed) }
        }
        Action::Rotate { wraps, .. } => {
            if wraps.len() > WRAPS_MAX {
                return Err(BadLink::TooLarge);
            }
            if wraps.is_sorted_by(|a, b| a.0 < b.0) { Ok(()) } else { Err(BadLink::Malformed) }
        }
        Action::AddSheet(sheet) => {
            key(&sheet.key)?;
            if sheet.wraps.len() > WRAPS_MAX {
                return Err(BadLink::TooLarge);
            }
            if sheet.wraps.is_sorted_by(|a, b| a.0 < b.0) { Ok(()) } else { Err(BadLink::Malformed) }
        }
        Action::Policy { bytes, .. } => {
            if bytes.len() > POLICY_MAX {
                Err(BadLink::TooLarge)
            } else {
                Ok(())
            }
        }
        Action::AddRelay(relay) => check_relay(relay),
        Action::SetThreshold(k) => threshold(*k),
        // Nobody is a guest at home.
        Action::AddGuest(guest) if guest.fleet == of => Err(BadLink::Malformed),
        Action::AddGuest(guest) => name(&guest.name),
        Action::RemoveGuest(_)
        | Action::RemoveRelay(_)
        | Action::AddAdmin(_)
        | Action::RemoveAdmin(_)
        | Action::Resolve { .. } => Ok(()),
    }
}

type Written<'e, 'v> = Result<&'e mut Encoder<&'v mut Vec<u8>>, minicbor::encode::Error<std::convert::Infallible>>;

fn write_action<'e, 'v>(e: &'e mut Encoder<&'v mut Vec<u8>>, action: &Action) -> Written<'e, 'v> {
    match action {
        Action::Create { name, device, threshold } => {
            e.array(4)?.u8(1)?.str(name)?;
            write_device(e, device)?.u8(*threshold)
        }
        Action::AddDevice(device) => {
            e.array(2)?.u8(2)?;
            write_device(e, device)
        }
        Action::RevokeDevice { device, ends } => {
            e.array(3)?.u8(3)?.bytes(device.as_bytes())?.array(ends.len() as u64)?;
            for end in ends {
                e.array(3)?.u64(end.incarnation)?.u64(end.number)?.bytes(&end.head)?;
            }
            Ok(e)
        }
        Action::Rotate { epoch, wraps } => {
            e.array(3)?.u8(4)?.u32(*epoch)?.array(wraps.len() as u64)?;
            for (device, wrapped) in wraps {
                e.array(2)?.bytes(device.as_bytes())?.bytes(wrapped)?;
            }
            Ok(e)
        }
        Action::Policy { epoch, bytes } => e.array(3)?.u8(5)?.u32(*epoch)?.bytes(bytes),
        Action::AddRelay(relay) => write_relay(e.array(4)?.u8(6)?, relay),
        Action::RemoveRelay(key) => e.array(2)?.u8(7)?.bytes(key),
        Action::AddAdmin(device) => e.array(2)?.u8(8)?.bytes(device.as_bytes()),
        Action::RemoveAdmin(device) => e.array(2)?.u8(9)?.bytes(device.as_bytes()),
        Action::SetThreshold(k) => e.array(2)?.u8(10)?.u8(*k),
        Action::Resolve { keeps } => e.array(2)?.u8(11)?.bytes(keeps),
        Action::AddSheet(sheet) => {
            e.array(4)?.u8(12)?.bytes(&sheet.key)?.bytes(&sheet.wrap_key)?.array(sheet.wraps.len() as u64)?;
            for (epoch, wrapped) in &sheet.wraps {
                e.array(2)?.u32(*epoch)?.bytes(wrapped)?;
            }
            Ok(e)
        }
        Action::AddGuest(guest) => e.array(3)?.u8(13)?.bytes(guest.fleet.as_bytes())?.str(&guest.name),
        Action::RemoveGuest(fleet) => e.array(2)?.u8(14)?.bytes(fleet.as_bytes()),
    }
}

pub(super) fn write_relay<'e, 'v>(e: &'e mut Encoder<&'v mut Vec<u8>>, relay: &Relay) -> Written<'e, 'v> {
    e.bytes(&relay.key)?.str(&relay.address)?.str(&relay.region)
}

fn write_device<'e, 'v>(e: &'e mut Encoder<&'v mut Vec<u8>>, device: &Device) -> Written<'e, 'v> {
    e.array(5)?.bytes(&device.key)?.bytes(&device.wrap_key)?.str(&device.name)?.bool(device.admin)?;
    match device.expires {
        Some(at) => e.u64(at.as_millis()),
        None => e.null(),
    }
}

fn read_action(d: &mut Decoder<'_>) -> Option<Action> {
    let fields = d.array().ok()??;
    Some(match (d.u8().ok()?, fields) {
        (1, 4) => Action::Create { name: text(d, NAME_MAX)?, device: read_device(d)?, threshold: d.u8().ok()? },
        (2, 2) => Action::AddDevice(read_device(d)?),
        (3, 3) => {
            let device = d.decode().ok()?;
            let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= ENDS_MAX)?;
            let mut ends = Vec::with_capacity(count);
            for _ in 0..count {
                if d.array().ok()?? != 3 {
                    return None;
                }
                ends.push(Last { incarnation: d.u64().ok()?, number: d.u64().ok()?, head: array(d).ok()? });
            }
            Action::RevokeDevice { device, ends }
        }
        (4, 3) => {
            let epoch = d.u32().ok()?;
            Action::Rotate { epoch, wraps: wraps(d, |d| d.decode().ok())? }
        }
        (5, 3) => Action::Policy { epoch: d.u32().ok()?, bytes: d.bytes().ok()?.to_vec() },
        (6, 4) => Action::AddRelay(read_relay(d)?),
        (7, 2) => Action::RemoveRelay(array(d).ok()?),
        (8, 2) => Action::AddAdmin(d.decode().ok()?),
        (9, 2) => Action::RemoveAdmin(d.decode().ok()?),
        (10, 2) => Action::SetThreshold(d.u8().ok()?),
        (11, 2) => Action::Resolve { keeps: array(d).ok()? },
        (12, 4) => Action::AddSheet(Sheet {
            key: array(d).ok()?,
            wrap_key: array(d).ok()?,
            wraps: wraps(d, |d| d.u32().ok())?,
        }),
        (13, 3) => Action::AddGuest(Guest { fleet: FleetId::from_bytes(array(d).ok()?), name: text(d, NAME_MAX)? }),
        (14, 2) => Action::RemoveGuest(FleetId::from_bytes(array(d).ok()?)),
        _ => return None,
    })
}

/// Wrapped keys, each behind what it is for.
fn wraps<T>(
    d: &mut Decoder<'_>,
    mut whom: impl FnMut(&mut Decoder<'_>) -> Option<T>,
) -> Option<Vec<(T, [u8; WRAPPED_BYTES])>> {
    let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= WRAPS_MAX)?;
    let mut wraps = Vec::with_capacity(count);
    for _ in 0..count {
        if d.array().ok()?? != 2 {
            return None;
        }
        wraps.push((whom(d)?, array(d).ok()?));
    }
    Some(wraps)
}

fn text(d: &mut Decoder<'_>, max: usize) -> Option<String> {
    d.str().ok().filter(|text| text.len() <= max).map(str::to_owned)
}

pub(super) fn read_relay(d: &mut Decoder<'_>) -> Option<Relay> {
    Some(Relay { key: array(d).ok()?, address: text(d, ADDRESS_MAX)?, region: text(d, REGION_MAX)? })
}

fn read_device(d: &mut Decoder<'_>) -> Option<Device> {
    if d.array().ok()?? != 5 {
        return None;
    }
    Some(Device {
        key: array(d).ok()?,
        wrap_key: array(d).ok()?,
        name: text(d, NAME_MAX)?,
        admin: d.bool().ok()?,
        expires: match d.datatype().ok()? {
            Type::Null => d.null().ok().map(|()| None)?,
            _ => Some(Moment::from_millis(d.u64().ok()?)),
        },
    })
}

fn pair(d: &mut Decoder<'_>) -> Option<([u8; 32], [u8; 64])> {
    (d.array().ok()?? == 2).then_some(())?;
    Some((array(d).ok()?, array(d).ok()?))
}

/// A link with the signatures that came with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedLink {
    link: Link,
    /// By ascending key, each key once.
    signatures: Vec<([u8; 32], [u8; 64])>,
}

impl SignedLink {
    /// The most bytes of an encoded signed link.
    pub const BYTES_MAX: usize = BYTES_MAX + SIGNATURES_MAX * 128 + 16;

    /// Signs a link with ed25519 (RFC 8032).
    pub fn by(key: &SigningKey, link: Link) -> Self {
        let mut signed = Self { link, signatures: Vec::new() };
        signed.put(key.verifying_key().to_bytes(), key.sign(&signed.link.digest()).to_bytes());
        signed
    }

    /// Adds another admin's signature.
    ///
    /// # Errors
    /// When it carries as many as it may.
    pub fn and(mut self, key: &SigningKey) -> Result<Self, BadLink> {
        let public = key.verifying_key().to_bytes();
        if self.signatures.len() >= SIGNATURES_MAX && self.signatures.iter().all(|(known, _)| *known != public) {
            return Err(BadLink::Signatures);
        }
        self.put(public, key.sign(&self.link.digest()).to_bytes());
        Ok(self)
    }

    /// Takes over the signatures of another copy of the same link that this one lacks; says whether there were any.
    ///
    /// Beyond the limit those by the lowest keys stay, so that it does not matter which copy came first.
    pub(super) fn merge(&mut self, other: Self) -> bool {
        let before = self.signatures.clone();
        for (key, signature) in other.signatures {
            if self.signatures.binary_search_by_key(&key, |(key, _)| *key).is_err() {
                self.put(key, signature);
            }
        }
        self.signatures.truncate(SIGNATURES_MAX);
        self.signatures != before
    }

    fn put(&mut self, key: [u8; 32], signature: [u8; 64]) {
        match self.signatures.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => self.signatures[at].1 = signature,
            Err(at) => self.signatures.insert(at, (key, signature)),
        }
    }

    /// What is claimed; not to be acted on.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// The digest that the next link names.
    pub fn digest(&self) -> Hash {
        self.link.digest()
    }

    /// Checks every signature strictly and names the signers.
    ///
    /// # Errors
    /// When one of them was not made by its key over this link.
    pub fn signers(&self) -> Result<Vec<DeviceId>, Distrust> {
        let digest = self.digest();
        let check = |(key, signature): &([u8; 32], [u8; 64])| {
            let key = VerifyingKey::from_bytes(key).map_err(|_| Distrust::BadSignature)?;
            key.verify_strict(&digest, &Signature::from_bytes(signature)).map_err(|_| Distrust::BadSignature)?;
            Ok(DeviceId::of_key(&key))
        };
        self.signatures.iter().map(check).collect()
    }

    /// The bytes to store and pass on: `[link, [[key, signature], …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.link.bytes.len() + 112 * self.signatures.len());
        let mut e = Encoder::new(&mut out);
        e.array(2)
            .and_then(|e| e.bytes(&self.link.bytes))
            .and_then(|e| e.array(self.signatures.len() as u64))
            .expect("writing to memory does not fail");
        for (key, signature) in &self.signatures {
            e.array(2)
                .and_then(|e| e.bytes(key))
                .and_then(|e| e.bytes(signature))
                .expect("writing to memory does not fail");
        }
        out
    }

    /// Reads a link and its signatures; believes neither.
    ///
    /// # Errors
    /// When the bytes are not exactly those that [`encode`](Self::encode) writes for what they say.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadLink> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(BadLink::TooLarge);
        }
        let mut d = Decoder::new(bytes);
        let mut read = || (d.array().ok()?? == 2).then(|| d.bytes().ok()).flatten();
        let link = Link::decode(read().ok_or(BadLink::Malformed)?)?;
        let count = d.array().ok().flatten().ok_or(BadLink::Malformed)?;
        if count == 0 || count > SIGNATURES_MAX as u64 {
            return Err(BadLink::Signatures);
        }
        // Most have one, and a relay keeps many links in memory.
        let mut signatures = Vec::with_capacity(usize::try_from(count).expect("just bounded"));
        for _ in 0..count {
            signatures.push(pair(&mut d).ok_or(BadLink::Malformed)?);
        }
        if !signatures.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(BadLink::Signatures);
        }
        let signed = Self { link, signatures };
        if signed.encode() == bytes { Ok(signed) } else { Err(BadLink::Malformed) }
    }
}

#[cfg(test)]
mod tests;
