//! The fleet that this node is in: its chain, the keys of its epochs, where the others were last reached.
//!
//! One file, `identity/fleet`, replaced whole. Epoch keys lie in it as they were wrapped to this device, so it holds no secret that is
//! not the device key's already. What the chain says is decided in `hearth_core::fleet`; this keeps it and signs what the owner orders.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, Moment, SpaceId,
    fleet::{
        FleetId,
        chain::{Fleet, Refused},
        epoch::{EpochKey, For, WrapSecret},
        invite::Welcome,
        link::{Action, BadLink, Device, Last, Link, SignedLink, WRAPPED_BYTES},
    },
};
use hearth_store::{StoreError, entropy, write_atomic};
use minicbor::{Decode, Encode};

/// The newest form of the file that this program writes and reads.
const VERSION: u8 = 1;

/// Devices that slept through so many changes of the key still find each other on a local network.
const TAG_EPOCHS: usize = 8;

/// What this node knows of its fleet.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) fleet: Arc<Fleet>,
    /// Epoch keys that came with the welcome, wrapped to this device.
    given: BTreeMap<u32, [u8; WRAPPED_BYTES]>,
    /// All epoch keys that this device can unwrap.
    keys: BTreeMap<u32, EpochKey>,
    /// Where members were last reached, as `address:port`.
    pub(crate) addresses: BTreeMap<DeviceId, String>,
}

/// Why an order about the fleet is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotChange {
    #[error(transparent)]
    Link(#[from] BadLink),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the key of {0} cannot be used to wrap a key to it; revoke that device")]
    Unwrappable(DeviceId),
}

#[derive(Encode, Decode)]
struct File {
    #[n(0)]
    version: u8,
    #[cbor(n(1), with = "minicbor::bytes")]
    chain: Vec<u8>,
    #[n(2)]
    given: Vec<Given>,
    #[n(3)]
    addresses: BTreeMap<DeviceId, String>,
}

#[derive(Encode, Decode)]
struct Given {
    #[n(0)]
    epoch: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    wrapped: [u8; WRAPPED_BYTES],
}

/// What this device shows of itself when it founds or joins.
pub(crate) fn wrap_secret(key: &SigningKey) -> WrapSecret {
    WrapSecret::of_seed(&key.to_bytes())
}

impl Membership {
    /// Founds a fleet of which this device is the first member and admin.
    pub(crate) fn found(key: &SigningKey, name: &str, device: &str, now: Moment) -> Result<Self, CannotChange> {
        let own = Device {
            key: key.verifying_key().to_bytes(),
            wrap_key: wrap_secret(key).public(),
            name: device.into(),
            admin: true,
            expires: None,
        };
        let fleet = Fleet::begin(SignedLink::by(key, Link::first(now, name, own, 1)?))?;
        let mut membership =
            Self { fleet: Arc::new(fleet), given: BTreeMap::new(), keys: BTreeMap::new(), addresses: BTreeMap::new() };
        membership.rotate(key, now)?;
        Ok(membership)
    }

    /// Takes up the membership that an answer gives.
    pub(crate) fn take_up(key: &SigningKey, fleet: Fleet, welcome: &Welcome) -> Self {
        let given = welcome.keys.iter().copied().collect();
        let mut membership = Self { fleet: Arc::new(fleet), given, keys: BTreeMap::new(), addresses: BTreeMap::new() };
        membership.unwrap_keys(key);
        membership
    }

    /// Reads the file; `None` when the node is in no fleet.
    pub(crate) fn read(path: &Path, key: &SigningKey) -> Result<Option<Self>, StoreError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("reading what is known of the fleet")(error)),
        };
        let damaged = || StoreError::Damaged("what is known of the fleet");
        let file: File = minicbor::decode(&bytes).map_err(|_| damaged())?;
        if file.version > VERSION {
            return Err(StoreError::Newer { folder: path.into(), found: u32::from(file.version) });
        }
        let fleet = Fleet::decode(&file.chain).map_err(|_| damaged())?;
        let given = file.given.into_iter().map(|given| (given.epoch, given.wrapped)).collect();
        let mut membership = Self { fleet: Arc::new(fleet), given, keys: BTreeMap::new(), addresses: file.addresses };
        membership.unwrap_keys(key);
        Ok(Some(membership))
    }

    /// Replaces the file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let given = self.given.iter().map(|(epoch, wrapped)| Given { epoch: *epoch, wrapped: *wrapped }).collect();
        let file = File { version: VERSION, chain: self.fleet.encode(), given, addresses: self.addresses.clone() };
        write_atomic(path, &minicbor::to_vec(file).expect("writing to memory does not fail"))
    }

    pub(crate) fn id(&self) -> FleetId {
        self.fleet.id()
    }

    /// The space of what the fleet shares.
    pub(crate) fn space(&self) -> SpaceId {
        self.fleet.id().space()
    }

    /// The newest epoch whose key is here: what is sealed now is sealed under it.
    pub(crate) fn epoch(&self) -> Option<(u32, &EpochKey)> {
        self.keys.last_key_value().map(|(epoch, key)| (*epoch, key))
    }

    /// The key of an epoch.
    pub(crate) fn key(&self, epoch: u32) -> Option<&EpochKey> {
        self.keys.get(&epoch)
    }

    /// What this node shows on a local network on this day since 1970.
    pub(crate) fn lan_tag(&self, day: u64) -> Option<[u8; 16]> {
        self.epoch().map(|(_, key)| key.lan_tag(day))
    }

    /// Whether a tag that was heard on this day is one of this fleet: by any of the newest keys, as clocks and epochs may differ.
    pub(crate) fn knows_lan_tag(&self, tag: &[u8; 16], day: u64) -> bool {
        let newest = self.keys.values().rev().take(TAG_EPOCHS);
        newest.flat_map(|key| (day.saturating_sub(1)..=day + 1).map(|day| key.lan_tag(day))).any(|known| known == *tag)
    }

    /// When a device became a member, by the clock of who added it.
    pub(crate) fn joined_at(&self, device: &DeviceId) -> Moment {
        let is = |added: &Device| added.id().as_ref() == Some(device);
        let joined = self.fleet.links().map(SignedLink::link).find(|link| match link.action() {
            Action::Create { device, .. } | Action::AddDevice(device) => is(device),
            _ => false,
        });
        joined.map_or(Moment::START, Link::at)
    }

    /// When a relay was last added, by the clock of who added it.
    pub(crate) fn names_relay_since(&self, relay: &DeviceId) -> Moment {
        let adds = |link: &&Link| matches!(link.action(), Action::AddRelay(added) if DeviceId::of_key_bytes(&added.key) == *relay);
        let added = self.fleet.links().map(SignedLink::link).filter(adds).map(Link::at).max();
        added.unwrap_or(Moment::START)
    }

    /// What members call a device.
    pub(crate) fn name_of(&self, device: &DeviceId) -> Option<&str> {
        self.fleet.device(device).map(|device| device.name.as_str())
    }

    /// Adds a device, and says what it is to be answered: the chain, and the keys of all epochs, so that it can read what there is.
    pub(crate) fn add(&mut self, key: &SigningKey, device: &Device, now: Moment) -> Result<Welcome, CannotChange> {
        let known =
            device.id().and_then(|id| self.fleet.device(&id).filter(|_| self.fleet.is_member(&device.key, now)));
        // Who is in already may have lost the answer.
        if known.is_none_or(|known| known.wrap_key != device.wrap_key) {
            self.change(key, Action::AddDevice(device.clone()), now)?;
        }
        self.welcome(device)
    }

    /// What a member is answered when it joins.
    fn welcome(&self, device: &Device) -> Result<Welcome, CannotChange> {
        let to = device.wrap_key;
        let id = device.id().ok_or(BadLink::Key)?;
        let mut keys = Vec::with_capacity(self.keys.len());
        for (epoch, secret) in &self.keys {
            let whom = For { fleet: self.fleet.id(), epoch: *epoch, device: id };
            let wrapped = secret.wrap(&to, whom, entropy()).map_err(|_| CannotChange::Unwrappable(id))?;
            keys.push((*epoch, wrapped));
        }
        Ok(Welcome { chain: self.fleet.encode(), keys })
    }

    /// Takes a device out, and gives those who stay a new key.
    pub(crate) fn revoke(
        &mut self,
        key: &SigningKey,
        device: DeviceId,
        last: Option<Last>,
        now: Moment,
    ) -> Result<(), CannotChange> {
        self.change(key, Action::RevokeDevice { device, last }, now)?;
        self.addresses.remove(&device);
        self.rotate(key, now)
    }

    /// Begins a new epoch.
    pub(crate) fn rotate(&mut self, key: &SigningKey, now: Moment) -> Result<(), CannotChange> {
        let epoch = self.fleet.epoch() + 1;
        let secret = EpochKey::from_entropy(entropy());
        let mut wraps = Vec::new();
        for (id, device) in self.fleet.members(now) {
            let whom = For { fleet: self.fleet.id(), epoch, device: id };
            let wrapped = secret.wrap(&device.wrap_key, whom, entropy()).map_err(|_| CannotChange::Unwrappable(id))?;
            wraps.push((id, wrapped));
        }
        self.change(key, Action::Rotate { epoch, wraps }, now)?;
        self.unwrap_keys(key);
        Ok(())
    }

    /// Takes in links that another member knows; says whether anything was new.
    pub(crate) fn merge(&mut self, theirs: &Fleet, key: &SigningKey) -> bool {
        // Whoever made a link that does not hold is told by its own hearth.
        let grew = Arc::make_mut(&mut self.fleet).merge(theirs);
        if grew {
            self.unwrap_keys(key);
        }
        grew
    }

    /// Signs one change and goes by it.
    pub(crate) fn change(&mut self, key: &SigningKey, action: Action, now: Moment) -> Result<(), CannotChange> {
        let link = self.fleet.head().then(now, action)?;
        Arc::make_mut(&mut self.fleet).handle(SignedLink::by(key, link))?;
        Ok(())
    }

    fn unwrap_keys(&mut self, key: &SigningKey) {
        let (by, device) = (wrap_secret(key), DeviceId::of_key(&key.verifying_key()));
        for epoch in 1..=self.fleet.epoch() {
            if self.keys.contains_key(&epoch) {
                continue;
            }
            let wrapped = self.fleet.wrapped(epoch, &device).or_else(|| self.given.get(&epoch));
            let whom = For { fleet: self.fleet.id(), epoch, device };
            if let Some(secret) = wrapped.and_then(|wrapped| EpochKey::unwrap(&by, whom, wrapped).ok()) {
                self.keys.insert(epoch, secret);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn device(seed: u8) -> Device {
        let key = key(seed);
        let wrap_key = wrap_secret(&key).public();
        Device { key: key.verifying_key().to_bytes(), wrap_key, name: format!("d{seed}"), admin: false, expires: None }
    }

    fn id(seed: u8) -> DeviceId {
        DeviceId::of_key(&key(seed).verifying_key())
    }

    fn newest(membership: &Membership) -> (u32, [u8; 16]) {
        let (epoch, key) = membership.epoch().expect("a key");
        (epoch, key.lan_tag(0))
    }

    #[test]
    fn who_joins_reads_what_there_is_and_who_is_revoked_not_what_comes() {
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        let welcome = first.add(&key(1), &device(2), NOW).expect("added");
        let fleet = welcome.open(&device(2).key, &device(1).key, NOW).expect("both stand in it");
        let mut second = Membership::take_up(&key(2), fleet, &welcome);
        assert_eq!(newest(&second), newest(&first));
        let links = first.fleet.links().count();
        let again = first.add(&key(1), &device(2), NOW).expect("the first answer may have been lost");
        assert_eq!((again.keys.len(), first.fleet.links().count()), (1, links), "it is in already");
        let other_wrap_key = Device { wrap_key: [9; 32], ..device(2) };
        assert!(first.add(&key(1), &other_wrap_key, NOW).is_err(), "another key for secrets");

        first.rotate(&key(1), NOW).expect("rotated");
        assert!(second.merge(&first.fleet.clone(), &key(2)));
        assert!(!second.merge(&first.fleet.clone(), &key(2)), "nothing new");
        assert_eq!((newest(&second), newest(&second).0), (newest(&first), 2));

        first.revoke(&key(1), id(2), None, NOW).expect("revoked");
        second.merge(&first.fleet.clone(), &key(2));
        assert_eq!((newest(&first).0, newest(&second).0), (3, 2));
        assert!(!second.fleet.is_member(&device(2).key, NOW));
        assert!(second.revoke(&key(2), id(1), None, NOW).is_err(), "it is no admin");
    }

    #[test]
    fn a_tag_is_known_by_members_on_about_its_day_and_by_nobody_else() {
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        let other = Membership::found(&key(2), "elsewhere", "nas", NOW).expect("founded");
        let before = first.lan_tag(100).expect("a key");
        for (day, known) in [(98, false), (99, true), (100, true), (101, true), (102, false), (0, false)] {
            assert_eq!(first.knows_lan_tag(&before, day), known, "{day}");
        }
        assert!(!other.knows_lan_tag(&before, 100));
        first.rotate(&key(1), NOW).expect("rotated");
        assert_ne!(first.lan_tag(100), Some(before));
        assert!(first.knows_lan_tag(&before, 100), "a device that slept through it");
    }

    #[test]
    fn what_is_known_outlives_the_process_and_a_damaged_file_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("fleet");
        assert!(Membership::read(&path, &key(1)).expect("no file").is_none());
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        first.addresses.insert(id(2), "192.0.2.7:7844".into());
        first.write(&path).expect("written");
        let read = Membership::read(&path, &key(1)).expect("read").expect("there");
        assert_eq!((newest(&read), read.fleet.encode()), (newest(&first), first.fleet.encode()));
        assert_eq!(read.addresses, first.addresses);
        let other = Membership::read(&path, &key(2)).expect("read").expect("there");
        assert!(other.epoch().is_none(), "the file opens nothing for another device");

        let mut bytes = std::fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        assert!(matches!(Membership::read(&path, &key(1)), Err(StoreError::Damaged(_))));
    }
}
