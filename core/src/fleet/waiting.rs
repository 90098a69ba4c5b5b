//! Orders that wait for more admins: links that some have signed and that are not in the chain yet.
//!
//! An [`Order`] is one link, or several that follow each other and are approved as one: to take a device out, and the key that the others get
//! then. It holds at one place of the chain: when another link comes there first, it is worth nothing any more. Devices pass orders on to
//! each other and add their signatures; [`Waiting::settle`] says when one is enough.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use minicbor::{Decoder, Encoder};

use super::{
    chain::{Applied, Fleet, Refused},
    link::{Action, BadLink, SignedLink},
};
use crate::{DeviceId, merkle::Hash, signed::Signable as _};

/// The form that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most orders that wait at once.
pub const ORDERS_MAX: usize = 8;
/// The most links of an order.
pub const LINKS_MAX: usize = 3;
/// The most bytes of all that wait, as they are stored and sent.
pub const BYTES_MAX: usize = 1 << 20;

/// Links that some admins have signed, each following the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// All by the same signers.
    links: Vec<SignedLink>,
}

/// Why an order is not kept, or not signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotWaiting {
    /// Its place was taken.
    #[error("another change came first, so the order holds no more; give it anew")]
    Overtaken,
    /// It makes no sense, or no admin signed it.
    #[error("the order is not signed by admins of the fleet, or its links do not follow each other; it is not kept")]
    Unsound,
    /// Too many wait.
    #[error("{ORDERS_MAX} orders wait for approval, as many as may; approve one, which ends the others")]
    Full,
    /// Nobody knows it.
    #[error("no order of this id waits; `hearth fleet` shows those that do")]
    Unknown,
    /// It carries as many signatures as it may.
    #[error(transparent)]
    Link(#[from] BadLink),
}

impl Order {
    /// An order of these links, signed by the first admin.
    pub fn new(links: Vec<SignedLink>) -> Self {
        Self { links }
    }

    /// What it is known by: the digest of its last link, which names those before.
    pub fn digest(&self) -> Hash {
        self.links.last().map(SignedLink::digest).unwrap_or_default()
    }

    /// What people call it: eight hexadecimal digits of its digest.
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.digest()[..4])
    }

    /// Its links.
    pub fn links(&self) -> &[SignedLink] {
        &self.links
    }

    /// Who has signed all of it; nobody, when a signature is wrong.
    pub fn signers(&self) -> Vec<DeviceId> {
        let mut signers = self.links.iter().map(|link| link.signers().unwrap_or_default());
        let Some(first) = signers.next() else { return Vec::new() };
        if signers.all(|others| others == first) { first } else { Vec::new() }
    }

    /// Whether it stands at the end of the chain, by the same signatures under each of its links.
    fn is_sound(&self, fleet: &Fleet) -> Result<(), NotWaiting> {
        let mut prev = fleet.head().digest();
        if let Some(first) = self.links.first().filter(|link| *link.link().prev() != prev) {
            // What settles a fork stands at the end of one of its sides.
            let settles = matches!(first.link().action(), Action::Resolve { .. }) && fleet.fork().is_some();
            if !settles || !fleet.sides().any(|side| side.digest() == *first.link().prev()) {
                return Err(NotWaiting::Overtaken);
            }
            prev = *first.link().prev();
        }
        for link in &self.links {
            if *link.link().prev() != prev || link.link().fleet() != fleet.id() {
                return Err(NotWaiting::Unsound);
            }
            prev = link.digest();
        }
        let signers = self.signers();
        let sound = !signers.is_empty() && self.links.len() <= LINKS_MAX;
        if sound { Ok(()) } else { Err(NotWaiting::Unsound) }
    }

    /// Whether it holds, or would with more signatures.
    fn may_hold(&self, fleet: &Fleet) -> Result<(), NotWaiting> {
        self.is_sound(fleet)?;
        match self.tried(fleet) {
            Ok(_) | Err(Refused::TooFew { .. }) => Ok(()),
            Err(_) => Err(NotWaiting::Unsound),
        }
    }

    /// The fleet with this order carried out.
    fn tried(&self, fleet: &Fleet) -> Result<Fleet, Refused> {
        let mut next = fleet.clone();
        for link in &self.links {
            if next.handle(link.clone())? != Applied::On {
                return Err(Refused::KeepsElsewhere);
            }
        }
        Ok(next)
    }
}

/// The orders that wait, as they are known here.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Waiting {
    orders: BTreeMap<Hash, Order>,
}

impl Waiting {
    /// Those that wait.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// Takes in an order, or further signatures under one that is known; says whether anything was new.
    ///
    /// # Errors
    /// When it cannot be carried out at the end of the chain, whoever signs it.
    pub fn take(&mut self, order: Order, fleet: &Fleet) -> Result<bool, NotWaiting> {
        order.may_hold(fleet)?;
        let Some(known) = self.orders.get_mut(&order.digest()) else {
            if self.orders.len() >= ORDERS_MAX {
                return Err(NotWaiting::Full);
            }
            self.orders.insert(order.digest(), order);
            return Ok(true);
        };
        let mut grew = false;
        for (known, link) in known.links.iter_mut().zip(order.links) {
            grew |= known.merge(link);
        }
        Ok(grew)
    }

    /// Signs the order of this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn approve(&mut self, id: &str, key: &SigningKey) -> Result<(), NotWaiting> {
        let order = self.orders.values_mut().find(|order| order.id() == id).ok_or(NotWaiting::Unknown)?;
        let signed: Result<Vec<SignedLink>, BadLink> = order.links.iter().map(|link| link.clone().and(key)).collect();
        order.links = signed?;
        Ok(())
    }

    /// Carries out what enough admins have signed, and drops what another link overtook. Says which orders those were.
    pub fn settle(&mut self, fleet: &mut Fleet) -> Vec<Order> {
        let mut overtaken = Vec::new();
        loop {
            let (waiting, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
                std::mem::take(&mut self.orders).into_iter().partition(|(_, order)| order.may_hold(fleet).is_ok());
            self.orders = waiting;
            // One that is in the chain has not been overtaken.
            let is_in = |order: &Order| fleet.links().any(|link| link.digest() == order.digest());
            overtaken.extend(gone.into_values().filter(|order| !is_in(order)));
            let ready = self.orders.values().find_map(|order| order.tried(fleet).ok());
            match ready {
                Some(next) => *fleet = next,
                None => return overtaken,
            }
        }
    }

    /// The bytes to store and send: `[version, [[signed link, …], …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        e.array(2)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.array(self.orders.len() as u64))
            .expect("writing to memory does not fail");
        for order in self.orders.values() {
            e.array(order.links.len() as u64).expect("writing to memory does not fail");
            for link in &order.links {
                e.bytes(&link.encode()).expect("writing to memory does not fail");
            }
        }
        out
    }

    /// Reads orders; believes none of them.
    pub fn decode(bytes: &[u8]) -> Option<Vec<Order>> {
        let mut d = Decoder::new(bytes);
        let fits = bytes.len() <= BYTES_MAX && d.array().ok()?? == 2 && d.u8().ok()? == VERSION;
        let count = d.array().ok().flatten().filter(|count| fits && *count <= ORDERS_MAX as u64)?;
        let mut orders = Vec::new();
        for _ in 0..count {
            let links = d.array().ok()?.filter(|links| (1..=LINKS_MAX as u64).contains(links))?;
            let link = |_| SignedLink::decode(d.bytes().ok()?).ok();
            orders.push(Order { links: (0..links).map(link).collect::<Option<_>>()? });
        }
        (d.position() == bytes.len()).then_some(orders)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Moment,
        fleet::link::{Device, Link},
    };

    const NOW: Moment = Moment::from_millis(1_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn device(seed: u8, admin: bool) -> Device {
        let key = key(seed).verifying_key().to_bytes();
        Device { key, wrap_key: [seed; 32], name: format!("device {seed}"), admin, expires: None }
    }

    fn id(seed: u8) -> DeviceId {
        device(seed, false).id().expect("a key")
    }

    fn go(fleet: &mut Fleet, action: Action, signers: &[u8]) {
        let link = fleet.head().then(NOW, action).expect("a link");
        let signed = SignedLink::by(&key(signers[0]), link);
        let signed = signers[1..].iter().fold(signed, |signed, seed| signed.and(&key(*seed)).expect("room"));
        fleet.handle(signed).expect("it holds");
    }

    /// Admins 1, 2 and 3, of which two must agree; 4 and 5 are members.
    fn fleet() -> Fleet {
        let first = Link::first(NOW, "home", device(1, true), 1).expect("a link");
        let mut fleet = Fleet::begin(SignedLink::by(&key(1), first)).expect("a fleet");
        for (seed, admin) in [(2, true), (3, true), (4, false), (5, false)] {
            go(&mut fleet, Action::AddDevice(device(seed, admin)), &[1]);
        }
        go(&mut fleet, Action::SetThreshold(2), &[1]);
        fleet
    }

    /// Takes a device out and changes the key, by one admin.
    fn order(fleet: &Fleet, whom: u8, by: u8) -> Order {
        let out = fleet.head().then(NOW, Action::RevokeDevice { device: id(whom), ends: Vec::new() }).expect("a link");
        let then = out.then(NOW, Action::Rotate { epoch: fleet.epoch() + 1, wraps: vec![] }).expect("a link");
        Order::new([out, then].map(|link| SignedLink::by(&key(by), link)).into())
    }

    #[test]
    fn an_order_is_carried_out_whole_once_enough_admins_signed_it() {
        let (mut here, mut there) = (fleet(), fleet());
        let mut ours = Waiting::default();
        let first = order(&here, 4, 1);
        assert_eq!(ours.take(first.clone(), &here), Ok(true));
        assert_eq!(ours.take(first.clone(), &here), Ok(false), "it is known");
        assert_eq!((ours.settle(&mut here), here.encode() == there.encode()), (vec![], true), "one is not enough");

        // Another admin hears of it, and signs.
        let mut theirs = Waiting::default();
        for order in Waiting::decode(&ours.encode()).expect("what was written") {
            assert_eq!(theirs.take(order, &there), Ok(true));
        }
        assert_eq!(theirs.approve("00000000", &key(2)), Err(NotWaiting::Unknown));
        theirs.approve(&first.id(), &key(2)).expect("it waits");
        assert_eq!(theirs.orders().next().map(|order| order.signers().len()), Some(2));
        let before = theirs.clone();
        assert_eq!(theirs.settle(&mut there), vec![]);
        assert!(!there.is_member(&device(4, false).key, NOW) && there.epoch() == 1, "both links hold");
        assert_eq!(theirs.orders().count(), 0);

        // The first hears of the signature, or of the chain.
        for order in before.orders() {
            assert_eq!(ours.take(order.clone(), &here), Ok(true));
        }
        let mut also = ours.clone();
        let mut merged = here.clone();
        merged.merge(&there);
        assert_eq!(also.settle(&mut merged), vec![], "what is in the chain was not overtaken");
        assert_eq!(ours.settle(&mut here), vec![]);
        assert!(here.encode() == there.encode() && also.orders().count() == 0);
    }

    #[test]
    fn an_order_that_another_link_overtook_holds_no_more() {
        let mut fleet = fleet();
        let mut waiting = Waiting::default();
        let late = order(&fleet, 4, 1);
        waiting.take(late.clone(), &fleet).expect("it waits");
        go(&mut fleet, Action::AddDevice(device(6, false)), &[3]);
        assert_eq!(waiting.settle(&mut fleet), vec![late.clone()]);
        assert_eq!(waiting.take(late, &fleet), Err(NotWaiting::Overtaken));
    }

    #[test]
    fn several_admins_settle_a_fork() {
        let mut torn = fleet();
        let at = torn.head().clone();
        for (seed, by) in [(6, 1), (7, 2)] {
            let link = at.then(NOW, Action::AddDevice(device(seed, false))).expect("a link");
            torn.handle(SignedLink::by(&key(by), link)).expect("it holds");
        }
        assert!(torn.fork().is_some());
        let tip = torn.sides().next().expect("a side").digest();
        assert_eq!(torn.side(&tip).len(), 1);
        let resolve = torn.resolve(&tip, NOW).expect("a side");
        let order = Order::new(vec![SignedLink::by(&key(1), resolve)]);
        let mut waiting = Waiting::default();
        assert_eq!(waiting.take(order.clone(), &torn), Ok(true));
        waiting.approve(&order.id(), &key(3)).expect("it waits");
        assert_eq!(waiting.settle(&mut torn), vec![]);
        assert!(torn.fork().is_none() && waiting.orders().count() == 0);
        assert!(torn.is_member(&device(6, false).key, NOW) != torn.is_member(&device(7, false).key, NOW));
    }

    #[test]
    fn what_no_admin_may_order_is_not_kept() {
        let fleet = fleet();
        let refused = |order: Order| Waiting::default().take(order, &fleet);
        assert_eq!(refused(order(&fleet, 4, 5)), Err(NotWaiting::Unsound), "a member that is no admin");
        assert_eq!(refused(order(&fleet, 4, 9)), Err(NotWaiting::Unsound), "a stranger");
        assert_eq!(refused(order(&fleet, 9, 1)), Err(NotWaiting::Unsound), "a device that is not there");
        assert_eq!(refused(Order::new(vec![])), Err(NotWaiting::Unsound), "nothing");
        let [out, then] = &order(&fleet, 4, 1).links[..] else { panic!("two links") };
        assert_eq!(refused(Order::new(vec![then.clone()])), Err(NotWaiting::Overtaken), "a link that hangs in the air");
        assert_eq!(refused(Order::new(vec![out.clone(), out.clone()])), Err(NotWaiting::Unsound), "one twice");
        let more = out.clone().and(&key(2)).expect("room");
        assert_eq!(refused(Order::new(vec![more, then.clone()])), Err(NotWaiting::Unsound), "not all by the same");

        let mut full = Waiting::default();
        for n in 0..ORDERS_MAX as u64 {
            let link = fleet.head().then(NOW + std::time::Duration::from_millis(n), Action::SetThreshold(1));
            let order = Order::new(vec![SignedLink::by(&key(1), link.expect("a link"))]);
            assert_eq!(full.take(order, &fleet), Ok(true));
        }
        assert_eq!(full.take(order(&fleet, 4, 1), &fleet), Err(NotWaiting::Full));
        assert_eq!(Waiting::decode(&full.encode()).map(|orders| orders.len()), Some(ORDERS_MAX));
    }

    #[test]
    fn no_cut_of_what_waits_reads() {
        let fleet = fleet();
        let mut waiting = Waiting::default();
        waiting.take(order(&fleet, 4, 1), &fleet).expect("it waits");
        let bytes = waiting.encode();
        for cut in 0..bytes.len() {
            assert_eq!(Waiting::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Waiting::decode(&[&bytes[..], &[0]].concat()), None, "a byte more");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Waiting::decode(&bytes);
        }
    }
}
