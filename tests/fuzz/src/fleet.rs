//! A fleet's chain and what stands around it: links, snapshots, policies, orders, joining, keys of documents.

use hearth_core::{
    fleet::{
        chain::{Fleet, RELAYS_MAX},
        epoch::KeyRecord,
        hosting::Hosting,
        invite::{Applicant, EPOCHS_MAX, Invite, JoinRequest, WELCOME_MAX, Welcome},
        link::{Action, Link, NAME_MAX, SignedLink},
        policy::{FIRST, HOMES_MAX, Policy, RESIDENCIES_MAX},
        waiting::{BYTES_MAX, ORDERS_MAX, Order, Waiting},
    },
    signed::Signable as _,
};

use crate::{
    forms::one_form,
    log::author,
    story::{self, NOW},
};

/// A signed link; and a bare one, with a signature that fits.
pub fn link(bytes: &[u8]) {
    one_form(bytes, |bytes| SignedLink::decode(bytes).ok().map(|signed| signed.encode()));
    if let Ok(signed) = SignedLink::decode(bytes) {
        assert!(bytes.len() <= SignedLink::BYTES_MAX);
        // What a stranger signed is no link of ours, whatever it says.
        assert!(story::fleet().handle(signed.clone()).is_err() || signed.signers().is_ok());
        bare(signed.link().signed_bytes());
    }
    bare(bytes);
}

fn bare(bytes: &[u8]) {
    if one_form(bytes, |bytes| Link::decode(bytes).ok().map(|link| link.signed_bytes().to_vec())) {
        let link = Link::decode(bytes).expect("just read");
        let anew = Link::new(link.fleet(), link.number(), *link.prev(), link.at(), link.action().clone());
        assert_eq!(anew.as_ref(), Ok(&link));
        let signed = SignedLink::by(&author(), link);
        assert_eq!(signed.signers().map(|signers| signers.len()), Ok(1));
        assert_eq!(SignedLink::decode(&signed.encode()).as_ref(), Ok(&signed));
    }
}

/// A snapshot of a chain.
pub fn chain(bytes: &[u8]) {
    if one_form(bytes, |bytes| Fleet::decode(bytes).ok().map(|fleet| fleet.encode())) {
        let mut fleet = Fleet::decode(bytes).expect("just read");
        assert_eq!(Fleet::claimed_id(bytes), Some(fleet.id()));
        let same = fleet.clone();
        assert!(!fleet.merge(&same), "it knows all of itself");
        assert_eq!(fleet.encode(), bytes);
    }
}

/// A policy.
pub fn policy(bytes: &[u8]) {
    if one_form(bytes, |bytes| Policy::decode(bytes).map(|policy| policy.encode())) {
        let policy = Policy::decode(bytes).expect("just read");
        assert!(policy.residencies().count() <= RESIDENCIES_MAX);
        for (number, residency) in policy.residencies() {
            assert!(number >= FIRST && residency.name.len() <= NAME_MAX);
            assert!((1..=HOMES_MAX).contains(&residency.homes.len()));
            assert_eq!(policy.residency(number), Some(residency));
            assert!(policy.called(&residency.name).is_some());
        }
    }
}

/// Orders that wait for more admins.
pub fn orders(bytes: &[u8]) {
    let Some(orders) = Waiting::decode(bytes) else { return };
    assert!(bytes.len() <= BYTES_MAX && orders.len() <= ORDERS_MAX);
    let mut fleet = story::fleet();
    let (before, mut waiting) = (fleet.encode(), Waiting::default());
    for order in orders {
        taken(&mut waiting, order, &fleet);
    }
    assert_eq!(fleet.encode(), before, "an order that waits changes nothing");
    let written = waiting.encode();
    let read = Waiting::decode(&written).expect("what was written");
    assert_eq!(read, waiting.orders().cloned().collect::<Vec<_>>());
    waiting.settle(&mut fleet);
    assert!(Fleet::decode(&fleet.encode()).is_ok(), "whatever was carried out holds");
}

fn taken(waiting: &mut Waiting, order: Order, fleet: &Fleet) {
    let before = waiting.clone();
    match waiting.take(order.clone(), fleet) {
        Ok(_) => assert_eq!(waiting.take(order, fleet), Ok(false), "it brings nothing new"),
        Err(_) => assert_eq!(*waiting, before, "what is refused changes nothing"),
    }
}

/// A request to join.
pub fn request(bytes: &[u8]) {
    if one_form(bytes, |bytes| JoinRequest::decode(bytes).ok().map(|request| request.encode())) {
        let request = JoinRequest::decode(bytes).expect("just read");
        let invite = Invite::issue(author().verifying_key().to_bytes(), *b"fuzzy", NOW);
        for (mut invite, for_guest) in [(invite.clone(), false), (invite.for_guest(), true)] {
            let Ok(applicant) = invite.handle(NOW, &request, b"channel") else { continue };
            match applicant {
                Applicant::Device(device) => {
                    assert!(!for_guest && !device.admin && device.id().is_some(), "who joins is no admin");
                }
                Applicant::Guest(_) => assert!(for_guest, "a guest is let in by a code for guests"),
            }
            assert!(invite.handle(NOW, &request, b"channel").is_err(), "a code is good once");
        }
    }
}

/// The answer to one who joins.
pub fn welcome(bytes: &[u8]) {
    if one_form(bytes, |bytes| Welcome::decode(bytes).ok().map(|welcome| welcome.encode())) {
        let welcome = Welcome::decode(bytes).expect("just read");
        assert!(bytes.len() <= WELCOME_MAX && welcome.keys.len() <= EPOCHS_MAX);
        let keys = [1, 2].map(|seed| story::key(seed).verifying_key().to_bytes());
        if let Ok(fleet) = welcome.open(&keys[1], &keys[0], NOW) {
            assert!(keys.iter().all(|key| fleet.is_member(key, NOW)));
            assert!(fleet.encode() == welcome.chain);
        }
    }
}

/// The answer to one whose fleet is a guest.
pub fn hosting(bytes: &[u8]) {
    if one_form(bytes, |bytes| Hosting::decode(bytes).ok().map(|hosting| hosting.encode())) {
        let hosting = Hosting::decode(bytes).expect("just read");
        assert!(hosting.relays.len() <= RELAYS_MAX && hosting.name.len() <= NAME_MAX);
        for relay in hosting.relays {
            let link = story::fleet().head().then(NOW, Action::AddRelay(relay));
            assert!(link.is_ok(), "what is answered can stand in a chain");
        }
    }
}

/// A document's key as it travels.
pub fn key(bytes: &[u8]) {
    if one_form(bytes, |bytes| KeyRecord::decode(bytes).ok().map(|record| record.encode())) {
        assert!(bytes.len() <= KeyRecord::BYTES_MAX);
        let epoch = story::epoch_key();
        let record = KeyRecord::decode(bytes).expect("just read");
        if let Ok(key) = epoch.open(story::SPACE, &record) {
            let document = hearth_core::fleet::epoch::Document { space: story::SPACE, id: record.document, key: &key };
            let anew = epoch.record(record.epoch, document, [1; 24]);
            assert_eq!(epoch.open(story::SPACE, &anew), Ok(key));
        }
    }
}
