//! The fleet that this node is in: its chain, the keys of its epochs, where the others were last reached.
//!
//! One file, `identity/fleet`, replaced whole. Epoch keys lie in it as they were wrapped to this device, so it holds no secret that is
//! not the device key's already. What the chain says is decided in `hearth_core::fleet`; this keeps it and signs what the owner orders.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use hearth_core::{
    DeviceId, Moment, SpaceId,
    fleet::{
        FleetId,
        chain::{Fleet, Refused, Standing},
        epoch::{EpochKey, For, WrapSecret},
        invite::Welcome,
        link::{Action, BadLink, Device, Last, Link, Sheet, SignedLink, WRAPPED_BYTES, WRAPS_MAX},
        policy::BadResidency,
        sheet::{Holder, NotTheSheet},
        waiting::{NotWaiting, Order, Waiting},
    },
    merkle::Hash,
    signed::Signable as _,
    sync::Proof,
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
    /// Orders that wait for more admins.
    waiting: Waiting,
    /// Devices that wrote two different logs, of which nothing is taken any more.
    pub(crate) frozen: BTreeMap<DeviceId, Proof>,
}

/// Why an order about the fleet is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotChange {
    #[error(transparent)]
    Link(#[from] BadLink),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Residency(#[from] BadResidency),
    #[error(transparent)]
    Waiting(#[from] NotWaiting),
    #[error("the fleet is not forked, or has no side of this id; `hearth fleet` shows the sides that there are")]
    NoSide,
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
    /// Absent in files of before.
    #[n(4)]
    waiting: Option<minicbor::bytes::ByteVec>,
    #[n(5)]
    proofs: Option<Vec<minicbor::bytes::ByteVec>>,
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
        let mut membership = Self::of(fleet);
        membership.rotate(key, now)?;
        Ok(membership)
    }

    fn of(fleet: Fleet) -> Self {
        let (given, keys, addresses) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (waiting, frozen) = (Waiting::default(), BTreeMap::new());
        Self { fleet: Arc::new(fleet), given, keys, addresses, waiting, frozen }
    }

    /// Takes up the membership that an answer gives.
    pub(crate) fn take_up(key: &SigningKey, fleet: Fleet, welcome: &Welcome) -> Self {
        let mut membership = Self { given: welcome.keys.iter().copied().collect(), ..Self::of(fleet) };
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
        let proofs = file.proofs.unwrap_or_default().into_iter().map(|bytes| Proof::open(&bytes));
        let frozen: Result<_, _> = proofs.map(|proof| proof.map(|proof| (proof.author(), proof))).collect();
        let frozen = frozen.map_err(|_| damaged())?;
        let mut membership = Self { given, addresses: file.addresses, frozen, ..Self::of(fleet) };
        membership.unwrap_keys(key);
        for order in file.waiting.iter().filter_map(|bytes| Waiting::decode(bytes)).flatten() {
            // What does not hold any more is left behind.
            let _ = membership.waiting.take(order, &membership.fleet);
        }
        Ok(Some(membership))
    }

    /// Replaces the file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let given = self.given.iter().map(|(epoch, wrapped)| Given { epoch: *epoch, wrapped: *wrapped }).collect();
        let waiting = Some(self.waiting_to_send().into());
        let proofs = Some(self.frozen.values().map(|proof| proof.encode().into()).collect());
        let (chain, addresses) = (self.fleet.encode(), self.addresses.clone());
        let file = File { version: VERSION, chain, given, addresses, waiting, proofs };
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
        ends: Vec<Last>,
        now: Moment,
    ) -> Result<(), CannotChange> {
        let rotation = self.rotation(&[device], None, now)?;
        self.order(key, vec![Action::RevokeDevice { device, ends }, rotation], now)?;
        if self.fleet.standing(&device, now) != Some(Standing::Active) {
            self.addresses.remove(&device);
        }
        Ok(())
    }

    /// Adds a device in the place of another, which is taken out, and says what the new one is to be answered.
    pub(crate) fn replace(
        &mut self,
        key: &SigningKey,
        device: &Device,
        (before, ends): (DeviceId, Vec<Last>),
        now: Moment,
    ) -> Result<Welcome, CannotChange> {
        self.add(key, device, now)?;
        if self.fleet.standing(&before, now) == Some(Standing::Active) {
            self.revoke(key, before, ends, now)?;
        }
        self.welcome(device)
    }

    /// Makes the fleet recoverable with a sheet of these keys, and the one before worthless.
    pub(crate) fn add_sheet(
        &mut self,
        signing: &SigningKey,
        (key, wrap_key): ([u8; 32], [u8; 32]),
        now: Moment,
    ) -> Result<(), CannotChange> {
        let before = self.fleet.sheet().map(|(sheet, _)| sheet.id());
        let mut sheet = Sheet { key, wrap_key, wraps: Vec::new() };
        let newest = self.keys.len().saturating_sub(WRAPS_MAX);
        for (epoch, secret) in self.keys.iter().skip(newest) {
            let whom = For { fleet: self.fleet.id(), epoch: *epoch, device: sheet.id() };
            let wrapped = secret.wrap(&wrap_key, whom, entropy());
            sheet.wraps.push((*epoch, wrapped.map_err(|_| CannotChange::Unwrappable(sheet.id()))?));
        }
        let Some(device) = before else { return self.order(signing, vec![Action::AddSheet(sheet)], now) };
        // Whoever has the old one is to read nothing that comes.
        let rotation = self.rotation(&[device], Some((sheet.id(), sheet.wrap_key)), now)?;
        self.order(
            signing,
            vec![Action::RevokeDevice { device, ends: Vec::new() }, Action::AddSheet(sheet), rotation],
            now,
        )
    }

    /// Makes this device an admin by the recovery sheet.
    pub(crate) fn recover(
        &mut self,
        key: &SigningKey,
        holder: &Holder,
        fleet: Option<FleetId>,
        now: Moment,
    ) -> Result<(), NotTheSheet> {
        holder.check(&self.fleet, fleet)?;
        let id = DeviceId::of_key(&key.verifying_key());
        let own = self.fleet.device(&id).cloned().ok_or(Refused::UnknownDevice(id))?;
        holder.make_admin(Arc::make_mut(&mut self.fleet), &own, now)
    }

    /// Approves an order that waits by the recovery sheet, whose word is enough.
    pub(crate) fn approve_by_sheet(
        &mut self,
        key: &SigningKey,
        (holder, fleet): (&Holder, Option<FleetId>),
        order: &str,
    ) -> Result<(), NotTheSheet> {
        holder.check(&self.fleet, fleet)?;
        holder.approve(&self.fleet, &mut self.waiting, order)?;
        self.settle_waiting(key);
        Ok(())
    }

    /// Begins a new epoch.
    pub(crate) fn rotate(&mut self, key: &SigningKey, now: Moment) -> Result<(), CannotChange> {
        let rotation = self.rotation(&[], None, now)?;
        self.order(key, vec![rotation], now)
    }

    /// A new key for all but those who go, and for a sheet that comes.
    fn rotation(
        &self,
        without: &[DeviceId],
        with: Option<(DeviceId, [u8; 32])>,
        now: Moment,
    ) -> Result<Action, CannotChange> {
        let epoch = self.fleet.epoch() + 1;
        let secret = EpochKey::from_entropy(entropy());
        let mut wraps = Vec::new();
        let members = self.fleet.members(now).map(|(id, device)| (id, device.wrap_key));
        let sheet = self.fleet.sheet().map(|(sheet, _)| (sheet.id(), sheet.wrap_key));
        for (id, wrap_key) in members.chain(sheet).filter(|(id, _)| !without.contains(id)).chain(with) {
            let whom = For { fleet: self.fleet.id(), epoch, device: id };
            let wrapped = secret.wrap(&wrap_key, whom, entropy()).map_err(|_| CannotChange::Unwrappable(id))?;
            wraps.push((id, wrapped));
        }
        wraps.sort_unstable();
        Ok(Action::Rotate { epoch, wraps })
    }

    /// Takes in links that another member knows; says whether anything was new.
    pub(crate) fn merge(&mut self, theirs: &Fleet, key: &SigningKey) -> bool {
        // Whoever made a link that does not hold is told by its own hearth.
        let grew = Arc::make_mut(&mut self.fleet).merge(theirs);
        if grew {
            self.settle_waiting(key);
        }
        grew
    }

    /// Signs one change and goes by it.
    pub(crate) fn change(&mut self, key: &SigningKey, action: Action, now: Moment) -> Result<(), CannotChange> {
        self.order(key, vec![action], now)
    }

    /// Signs changes that follow each other and goes by them, all or none; when more admins must sign, they wait for those.
    fn order(&mut self, key: &SigningKey, actions: Vec<Action>, now: Moment) -> Result<(), CannotChange> {
        let (mut links, mut last) = (Vec::with_capacity(actions.len()), self.fleet.head().clone());
        for action in actions {
            last = last.then(now, action)?;
            links.push(last.clone());
        }
        self.sign(key, links)
    }

    fn sign(&mut self, key: &SigningKey, links: Vec<Link>) -> Result<(), CannotChange> {
        let links: Vec<SignedLink> = links.into_iter().map(|link| SignedLink::by(key, link)).collect();
        let mut next = Fleet::clone(&self.fleet);
        match links.iter().try_for_each(|link| next.handle(link.clone()).map(drop)) {
            Ok(()) => self.fleet = Arc::new(next),
            Err(Refused::TooFew { .. }) => {
                self.waiting.take(Order::new(links), &self.fleet)?;
            }
            Err(refused) => return Err(refused.into()),
        }
        self.settle_waiting(key);
        Ok(())
    }

    /// Carries out what enough admins have signed, and drops what another change overtook.
    fn settle_waiting(&mut self, key: &SigningKey) {
        if self.waiting.orders().next().is_some() {
            self.waiting.settle(Arc::make_mut(&mut self.fleet));
        }
        self.unwrap_keys(key);
    }

    /// The orders that wait for more admins.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Order> {
        self.waiting.orders()
    }

    /// Those, as they are sent; nothing when there are none.
    pub(crate) fn waiting_to_send(&self) -> Vec<u8> {
        if self.waiting.orders().next().is_some() { self.waiting.encode() } else { Vec::new() }
    }

    /// Signs an order that waits, and goes by it when that was enough.
    pub(crate) fn approve(&mut self, key: &SigningKey, id: &str) -> Result<(), CannotChange> {
        self.waiting.approve(id, key)?;
        self.settle_waiting(key);
        Ok(())
    }

    /// Takes in orders that another device knows to wait; says whether anything was new.
    pub(crate) fn take_orders(&mut self, orders: &[u8], key: &SigningKey) -> bool {
        let mut grew = false;
        for order in Waiting::decode(orders).unwrap_or_default() {
            // What does not hold here is overtaken, or ahead of the chain and comes again with it.
            grew |= self.waiting.take(order, &self.fleet).unwrap_or_default();
        }
        if grew {
            self.settle_waiting(key);
        }
        grew
    }

    /// Lets the side of a fork go on whose last link has this id; when more admins must sign that, it waits for those.
    pub(crate) fn resolve(&mut self, key: &SigningKey, side: &str, now: Moment) -> Result<(), CannotChange> {
        let tip =
            self.sides().into_iter().find(|(id, _)| id == side).map(|(_, tip)| tip).ok_or(CannotChange::NoSide)?;
        let link = self.fleet.resolve(&tip, now).ok_or(CannotChange::NoSide)?;
        self.sign(key, vec![link])
    }

    /// The sides of a fork, by ids for people; none when there is no fork.
    pub(crate) fn sides(&self) -> Vec<(String, Hash)> {
        let forked = self.fleet.fork().is_some();
        let tips = self.fleet.sides().map(Link::digest).filter(|tip| forked && !self.fleet.side(tip).is_empty());
        tips.map(|tip| (HEXLOWER.encode(&tip[..4]), tip)).collect()
    }

    fn unwrap_keys(&mut self, key: &SigningKey) {
        // Once a fork is settled, an epoch may have another key than it had on the side that does not go on.
        if self.fleet.fork().is_none() {
            self.keys.clear();
        }
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
    use hearth_core::{
        DocumentId,
        delta::Tombstone,
        fleet::recovery::Seed,
        segment::{Chain, Draft},
    };

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

        first.revoke(&key(1), id(2), Vec::new(), NOW).expect("revoked");
        second.merge(&first.fleet.clone(), &key(2));
        assert_eq!((newest(&first).0, newest(&second).0), (3, 2));
        assert!(!second.fleet.is_member(&device(2).key, NOW));
        assert!(second.revoke(&key(2), id(1), Vec::new(), NOW).is_err(), "it is no admin");
    }

    fn sheet(seed: u8) -> Holder {
        Holder::of(&Seed::from_bytes([seed; 32]))
    }

    fn keys(sheet: &Holder) -> ([u8; 32], [u8; 32]) {
        (sheet.key(), sheet.wrap_key())
    }

    #[test]
    fn the_sheet_opens_every_epoch_for_whom_it_makes_an_admin_and_a_newer_one_makes_it_worthless() {
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        first.add(&key(1), &device(2), NOW).expect("added");
        first.rotate(&key(1), NOW).expect("rotated");
        first.add_sheet(&key(1), keys(&sheet(8)), NOW).expect("added");
        assert_eq!(newest(&first).0, 2, "nobody had a sheet before");
        first.rotate(&key(1), NOW).expect("rotated");
        let mut fleet = Fleet::clone(&first.fleet);
        sheet(8).make_admin(&mut fleet, &device(5), NOW).expect("it is the fleet's");
        let given = sheet(8).keys_for(&fleet, &device(5), entropy).expect("a public key");
        assert_eq!(given.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        let welcome = Welcome { chain: fleet.encode(), keys: given.into_iter().collect() };
        let mut fifth = Membership::take_up(&key(5), fleet, &welcome);
        assert_eq!((newest(&fifth), fifth.keys.len()), (newest(&first), 3));
        fifth.revoke(&key(5), id(1), Vec::new(), NOW).expect("it is an admin");

        let mut second = Membership::take_up(&key(2), Fleet::clone(&first.fleet), &welcome);
        assert!(second.recover(&key(2), &sheet(9), None, NOW).is_err(), "another sheet");
        second.recover(&key(2), &sheet(8), None, NOW).expect("it is a member");
        assert!(second.fleet.is_admin(&id(2)));

        first.add_sheet(&key(1), keys(&sheet(9)), NOW).expect("in place of the other");
        assert_eq!(newest(&first).0, 4, "the old one is to read nothing that comes");
        assert!(first.fleet.wrapped(4, &DeviceId::of_key_bytes(&sheet(8).key())).is_none());
        assert_eq!(sheet(8).check(&first.fleet, None), Err(NotTheSheet::NotThis));
        assert_eq!(sheet(9).keys_for(&first.fleet, &device(2), entropy).map(|keys| keys.len()), Ok(4));
        assert!(first.add_sheet(&key(1), keys(&sheet(8)), NOW).is_err(), "it stays revoked");
        assert_eq!(sheet(9).check(&first.fleet, None), Ok(()), "and what fails changes nothing");
    }

    #[test]
    fn who_takes_the_place_of_another_reads_what_there_is_and_the_other_nothing_that_comes() {
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        first.add(&key(1), &device(2), NOW).expect("added");
        let new = Device { name: "d2".into(), ..device(3) };
        let welcome = first.replace(&key(1), &new, (id(2), Vec::new()), NOW).expect("replaced");
        let fleet = welcome.open(&new.key, &device(1).key, NOW).expect("both stand in it");
        let third = Membership::take_up(&key(3), fleet, &welcome);
        assert_eq!((newest(&third), third.keys.len()), (newest(&first), 2));
        assert!(first.fleet.wrapped(2, &id(2)).is_none() && !first.fleet.is_member(&device(2).key, NOW));
        let again = first.replace(&key(1), &new, (id(2), Vec::new()), NOW).expect("the answer may have been lost");
        assert_eq!(again.chain, welcome.chain);
    }

    #[test]
    fn an_order_that_waits_outlives_the_process_and_one_approval_carries_out_all_of_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("fleet");
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        let admin = Device { admin: true, ..device(2) };
        let welcome = first.add(&key(1), &admin, NOW).expect("added");
        let mut second = Membership::take_up(&key(2), Fleet::clone(&first.fleet), &welcome);
        first.add(&key(1), &device(3), NOW).expect("added");
        first.change(&key(1), Action::SetThreshold(2), NOW).expect("set");
        second.merge(&first.fleet.clone(), &key(2));
        first.revoke(&key(1), id(3), Vec::new(), NOW).expect("it waits");
        assert!(first.fleet.is_member(&device(3).key, NOW) && newest(&first).0 == 1);
        first.write(&path).expect("written");
        let mut first = Membership::read(&path, &key(1)).expect("read").expect("there");
        let order = first.waiting().next().expect("it waits").clone();
        assert_eq!(order.signers(), [id(1)]);

        assert!(second.take_orders(&first.waiting_to_send(), &key(2)));
        assert!(!second.take_orders(&first.waiting_to_send(), &key(2)), "nothing new");
        second.approve(&key(2), &order.id()).expect("it is an admin");
        assert!(!second.fleet.is_member(&device(3).key, NOW) && second.waiting().next().is_none());
        assert!(first.merge(&second.fleet.clone(), &key(1)));
        assert!(newest(&first) == newest(&second) && newest(&first).0 == 2 && first.waiting().next().is_none());
        assert!(first.waiting_to_send().is_empty());
    }

    #[test]
    fn after_a_fork_an_epoch_has_the_key_of_the_side_that_goes_on() {
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        let welcome = first.add(&key(1), &Device { admin: true, ..device(2) }, NOW).expect("added");
        let mut second = Membership::take_up(&key(2), Fleet::clone(&first.fleet), &welcome);
        first.rotate(&key(1), NOW).expect("rotated");
        second.rotate(&key(2), NOW + std::time::Duration::from_millis(1)).expect("rotated");
        assert_ne!(newest(&first), newest(&second));
        assert!(first.sides().is_empty());
        let theirs = newest(&second);
        second.merge(&first.fleet.clone(), &key(2));
        first.merge(&second.fleet.clone(), &key(1));
        assert_eq!(first.sides().len(), 2);
        assert!(matches!(first.resolve(&key(1), "00000000", NOW), Err(CannotChange::NoSide)));
        let by = |tip: &Hash| first.fleet.side(tip)[0].signers().expect("signed")[0];
        let (side, _) = first.sides().into_iter().find(|(_, tip)| by(tip) == id(2)).expect("a side");
        first.resolve(&key(1), &side, NOW).expect("one admin is enough");
        second.merge(&first.fleet.clone(), &key(2));
        assert_eq!((newest(&first), newest(&second)), (theirs, theirs));
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

    /// Proof that this device wrote two logs.
    fn two_logs(seed: u8) -> Proof {
        let segment = |document: u8| {
            let mut draft = Draft::after(Chain::begin(device(seed).key, 1));
            draft.push(Tombstone { document: DocumentId::from_bytes([document; 16]) });
            draft.close(&key(seed), [0; 16], NOW)
        };
        Proof::between(&segment(1), &segment(2)).expect("they contradict each other")
    }

    #[test]
    fn what_is_known_outlives_the_process_and_a_damaged_file_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("fleet");
        assert!(Membership::read(&path, &key(1)).expect("no file").is_none());
        let mut first = Membership::found(&key(1), "home", "nas", NOW).expect("founded");
        first.addresses.insert(id(2), "192.0.2.7:7844".into());
        let proof = two_logs(2);
        first.frozen.insert(proof.author(), proof.clone());
        first.write(&path).expect("written");
        let read = Membership::read(&path, &key(1)).expect("read").expect("there");
        assert_eq!(read.frozen, BTreeMap::from([(id(2), proof)]), "who wrote two logs stays out");
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
