//! What whoever holds the recovery sheet can do: sign a device in as an admin, and open the keys of all epochs.
//!
//! The sheet is an admin of paper. Its two keys follow from its [`Seed`] as a device's follow from its own; what is printed are the words of
//! the seed or of its shares. How they come here, and who is asked for the chain, is the program's.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;

use super::{
    FleetId,
    chain::{Fleet, Refused},
    epoch::{CannotWrap, EpochKey, For, WrapSecret},
    link::{Action, BadLink, Device, SignedLink, WRAPPED_BYTES},
    recovery::{NotRecovered, Seed, Share},
    waiting::{NotWaiting, Waiting},
    words::WrongWords,
};
use crate::{DeviceId, Moment};

/// The words of a whole seed.
const SEED_WORDS: usize = 24;
/// The words of a share.
const SHARE_WORDS: usize = 40;

/// Why words that were typed give no seed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// Neither of the two that there are.
    #[error(
        "there are {given} words; a whole sheet has {SEED_WORDS}, a share {SHARE_WORDS} on one line. Look for one that was left out or written twice"
    )]
    Count {
        /// How many there are.
        given: usize,
    },
    /// The 24 words are not right.
    #[error("the words are not those of a recovery sheet")]
    Words(#[source] WrongWords),
    /// One of the shares is not right.
    #[error("line {line} is not a share")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        why: NotRecovered,
    },
    /// Each of the shares is right, and they give nothing.
    #[error(transparent)]
    Together(NotRecovered),
}

/// What was typed: the 24 words in any lines, or shares, one a line. Of shares it is known which fleet they are of.
///
/// # Errors
/// When something is wrong with them; with which, if that can be told.
pub fn read(text: &str) -> Result<(Seed, Option<FleetId>), Unreadable> {
    let words = |text: &str| text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).count();
    let given = words(text);
    if given == SEED_WORDS {
        return Seed::from_words(text).map(|seed| (seed, None)).map_err(Unreadable::Words);
    }
    if given < SHARE_WORDS - 1 {
        return Err(Unreadable::Count { given });
    }
    let mut shares = Vec::new();
    for (before, line) in text.lines().enumerate().filter(|(_, line)| words(line) > 0) {
        let why = |why| Unreadable::Line { line: before + 1, why };
        shares.push(Share::from_words(line).map_err(why)?);
    }
    let seed = Seed::combine(&shares).map_err(Unreadable::Together)?;
    Ok((seed, shares.first().map(Share::fleet)))
}

/// Why the sheet does nothing in a fleet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotTheSheet {
    /// Its shares, or its owner, name another one.
    #[error("what answers is of the fleet {found}, and the sheet is of {wanted}; ask a device or relay of that fleet")]
    OtherFleet {
        /// Whose chain it is.
        found: FleetId,
        /// Whose it should be.
        wanted: FleetId,
    },
    /// The chain names another, or none.
    #[error(
        "the fleet has no recovery sheet of these words: it was revoked, or a newer one was made; find the newest one, `hearth fleet` shows when it was made"
    )]
    NotThis,
    /// There is no such order.
    #[error(transparent)]
    Waiting(#[from] NotWaiting),
    /// A link that it signed does not hold.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A link cannot be written.
    #[error(transparent)]
    Link(#[from] BadLink),
    /// The link is there and does not count.
    #[error(
        "the fleet stands still because its chain was continued twice, and nobody can be made an admin until that is resolved"
    )]
    Forked,
}

/// The recovery sheet in somebody's hands.
#[derive(Debug)]
pub struct Holder {
    signing: SigningKey,
    wrap: WrapSecret,
}

impl Holder {
    /// Of the sheet that was made of this seed.
    pub fn of(seed: &Seed) -> Self {
        Self { signing: SigningKey::from_bytes(seed.as_bytes()), wrap: WrapSecret::of_seed(seed.as_bytes()) }
    }

    /// The sheet's ed25519 public key.
    pub fn key(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The sheet's X25519 public key, which nobody knows who has not seen the chain.
    pub fn wrap_key(&self) -> [u8; 32] {
        self.wrap.public()
    }

    /// Checks that this is the sheet of that fleet, the one that is meant.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, fleet: &Fleet, wanted: Option<FleetId>) -> Result<(), NotTheSheet> {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != fleet.id()) {
            return Err(NotTheSheet::OtherFleet { found: fleet.id(), wanted });
        }
        let holds =
            fleet.sheet().is_some_and(|(sheet, _)| (sheet.key, sheet.wrap_key) == (self.key(), self.wrap_key()));
        if holds { Ok(()) } else { Err(NotTheSheet::NotThis) }
    }

    /// Makes a device an admin, adding it when it is no member.
    ///
    /// # Errors
    /// When this is not the fleet's sheet, or the device was revoked.
    pub fn make_admin(&self, fleet: &mut Fleet, device: &Device, now: Moment) -> Result<(), NotTheSheet> {
        self.check(fleet, None)?;
        let id = device.id().ok_or(BadLink::Key)?;
        if fleet.is_admin(&id) {
            return Ok(());
        }
        let action = match fleet.device(&id) {
            Some(_) => Action::AddAdmin(id),
            None => Action::AddDevice(Device { admin: true, expires: None, ..device.clone() }),
        };
        let link = fleet.head().then(now, action)?;
        fleet.handle(SignedLink::by(&self.signing, link))?;
        if fleet.is_admin(&id) { Ok(()) } else { Err(NotTheSheet::Forked) }
    }

    /// Signs an order that waits for admins who are lost; the sheet's word is enough.
    ///
    /// # Errors
    /// When this is not the fleet's sheet, or no such order waits.
    pub fn approve(&self, fleet: &Fleet, waiting: &mut Waiting, order: &str) -> Result<(), NotTheSheet> {
        self.check(fleet, None)?;
        Ok(waiting.approve(order, &self.signing)?)
    }

    /// The keys of all epochs that were given to the sheet, wrapped to a device of the fleet. Each wrap takes its own entropy.
    ///
    /// # Errors
    /// When a key cannot be wrapped to that device.
    pub fn keys_for(
        &self,
        fleet: &Fleet,
        device: &Device,
        mut entropy: impl FnMut() -> [u8; 32],
    ) -> Result<BTreeMap<u32, [u8; WRAPPED_BYTES]>, CannotWrap> {
        let sheet = DeviceId::of_key(&self.signing.verifying_key());
        let to = device.id().ok_or(CannotWrap)?;
        let mut keys = BTreeMap::new();
        for epoch in 1..=fleet.epoch() {
            let whom = |device| For { fleet: fleet.id(), epoch, device };
            let wrapped = fleet.wrapped(epoch, &sheet);
            let Some(key) = wrapped.and_then(|it| EpochKey::unwrap(&self.wrap, whom(sheet), it).ok()) else { continue };
            keys.insert(epoch, key.wrap(&device.wrap_key, whom(to), entropy())?);
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{
        link::{Link, Sheet},
        waiting::Order,
    };

    const NOW: Moment = Moment::from_millis(1_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn secret(seed: u8) -> WrapSecret {
        WrapSecret::of_seed(&[seed; 32])
    }

    fn device(seed: u8, admin: bool) -> Device {
        let (key, wrap_key) = (key(seed).verifying_key().to_bytes(), secret(seed).public());
        Device { key, wrap_key, name: format!("device {seed}"), admin, expires: None }
    }

    fn id(seed: u8) -> DeviceId {
        device(seed, false).id().expect("a key")
    }

    fn wrapped(fleet: &Fleet, epoch: u32, whom: u8) -> [u8; WRAPPED_BYTES] {
        let whom_for = For { fleet: fleet.id(), epoch, device: id(whom) };
        let secret_of_epoch = EpochKey::from_entropy([u8::try_from(epoch).expect("few"); 32]);
        secret_of_epoch.wrap(&secret(whom).public(), whom_for, [7; 32]).expect("a public key")
    }

    /// Founded by 1, with 2 as a member; two epochs before sheet 9 was added, one after it. Two admins must agree, if there are two.
    fn fleet() -> Fleet {
        let first = Link::first(NOW, "home", device(1, true), 2).expect("a link");
        let mut fleet = Fleet::begin(SignedLink::by(&key(1), first)).expect("a fleet");
        go(&mut fleet, Action::AddDevice(device(2, false)));
        for epoch in 1..=2 {
            let wraps = vec![(id(1), wrapped(&fleet, epoch, 1))];
            go(&mut fleet, Action::Rotate { epoch, wraps });
        }
        let Holder { signing, wrap } = Holder::of(&Seed::from_bytes([9; 32]));
        let wraps = (1..=2).map(|epoch| (epoch, wrapped(&fleet, epoch, 9))).collect();
        let sheet = Sheet { key: signing.verifying_key().to_bytes(), wrap_key: wrap.public(), wraps };
        go(&mut fleet, Action::AddSheet(sheet));
        let mut wraps = vec![(id(1), wrapped(&fleet, 3, 1)), (id(9), wrapped(&fleet, 3, 9))];
        wraps.sort();
        go(&mut fleet, Action::Rotate { epoch: 3, wraps });
        fleet
    }

    fn go(fleet: &mut Fleet, action: Action) {
        let link = fleet.head().then(NOW, action).expect("a link");
        fleet.handle(SignedLink::by(&key(1), link)).expect("it holds");
    }

    fn holder(seed: u8) -> Holder {
        Holder::of(&Seed::from_bytes([seed; 32]))
    }

    #[test]
    fn the_sheet_makes_a_member_or_a_new_device_an_admin_who_reads_all_epochs() {
        for (case, whom) in [("a member", 2), ("a device that nobody knows", 5)] {
            let mut fleet = fleet();
            let device = device(whom, false);
            holder(9).make_admin(&mut fleet, &device, NOW).expect(case);
            assert!(fleet.is_admin(&id(whom)) && fleet.is_member(&device.key, NOW), "{case}");
            let links = fleet.links().count();
            holder(9).make_admin(&mut fleet, &device, NOW).expect("it may be asked again");
            assert_eq!(fleet.links().count(), links, "{case}: it is one already");

            let keys = holder(9).keys_for(&fleet, &device, || [3; 32]).expect("a public key");
            assert_eq!(keys.keys().copied().collect::<Vec<_>>(), [1, 2, 3], "{case}");
            for (epoch, wrapped) in keys {
                let whom_for = For { fleet: fleet.id(), epoch, device: id(whom) };
                let opened = EpochKey::unwrap(&secret(whom), whom_for, &wrapped).expect("it is wrapped to it");
                assert_eq!(opened, EpochKey::from_entropy([u8::try_from(epoch).expect("few"); 32]), "{case}");
            }
        }
    }

    #[test]
    fn the_sheet_approves_what_waits_for_admins_who_are_lost() {
        let mut fleet = fleet();
        holder(9).make_admin(&mut fleet, &device(2, false), NOW).expect("a member");
        // Two admins must agree, and the first is lost.
        let out = fleet.head().then(NOW, Action::RevokeDevice { device: id(1), ends: Vec::new() }).expect("a link");
        let order = Order::new(vec![SignedLink::by(&key(2), out)]);
        let mut waiting = Waiting::default();
        assert_eq!(waiting.take(order.clone(), &fleet), Ok(true));
        assert_eq!(holder(8).approve(&fleet, &mut waiting, &order.id()), Err(NotTheSheet::NotThis));
        assert_eq!(waiting.settle(&mut fleet), vec![]);
        assert!(fleet.is_admin(&id(1)), "one admin is not enough");
        holder(9).approve(&fleet, &mut waiting, &order.id()).expect("it waits");
        assert_eq!(waiting.settle(&mut fleet), vec![]);
        assert!(!fleet.is_admin(&id(1)) && waiting.orders().count() == 0);
    }

    #[test]
    fn another_sheet_another_fleet_and_a_revoked_device_are_refused() {
        let refused = |holder: Holder, whom| holder.make_admin(&mut fleet(), &device(whom, false), NOW);
        assert_eq!(refused(holder(8), 5), Err(NotTheSheet::NotThis), "other words");
        let mut revoked = fleet();
        go(&mut revoked, Action::RevokeDevice { device: id(9), ends: Vec::new() });
        assert_eq!(holder(9).make_admin(&mut revoked, &device(5, false), NOW), Err(NotTheSheet::NotThis), "revoked");
        let mut without = fleet();
        go(&mut without, Action::RevokeDevice { device: id(2), ends: Vec::new() });
        let gone = holder(9).make_admin(&mut without, &device(2, false), NOW);
        assert_eq!(gone, Err(NotTheSheet::Refused(Refused::UnknownDevice(id(2)))));
        let (found, wanted) = (fleet().id(), FleetId::from_bytes([1; 16]));
        assert_eq!(holder(9).check(&fleet(), Some(found)), Ok(()));
        assert_eq!(holder(9).check(&fleet(), Some(wanted)), Err(NotTheSheet::OtherFleet { found, wanted }));
        // Who poses as the fleet knows the key that the sheet shows, and not the other one.
        let mut posed =
            Fleet::begin(SignedLink::by(&key(1), Link::first(NOW, "home", device(1, true), 1).expect("a link")))
                .expect("a fleet");
        go(&mut posed, Action::AddSheet(Sheet { key: holder(9).key(), wrap_key: [6; 32], wraps: vec![] }));
        assert_eq!(holder(9).check(&posed, None), Err(NotTheSheet::NotThis));
    }

    #[test]
    fn words_are_read_as_a_sheet_or_as_shares_and_the_wrong_line_is_named() {
        let seed = Seed::from_bytes([5; 32]);
        let fleet = FleetId::from_bytes([7; 16]);
        let shares = seed.split(fleet, 3, &[[8; 32]]).expect("sound numbers");
        let lines: Vec<String> = shares.iter().map(|share| share.words().to_string()).collect();
        let numbered: String =
            seed.words().split(' ').enumerate().map(|(at, word)| format!("{:2} {word}\n", at + 1)).collect();
        assert_eq!(read(&seed.words()), Ok((seed.clone(), None)));
        assert_eq!(read(&numbered), Ok((seed.clone(), None)));
        assert_eq!(read(&format!("{}\n\n{}\n", lines[2], lines[0])), Ok((seed, Some(fleet))));

        let few = NotRecovered::TooFew { given: 1, needed: 2 };
        assert_eq!(read(&lines[0]), Err(Unreadable::Together(few)));
        let other =
            Seed::from_bytes([6; 32]).split(fleet, 3, &[[8; 32]]).expect("sound numbers")[1].words().to_string();
        assert_eq!(read(&format!("{}\n{other}", lines[0])), Err(Unreadable::Together(NotRecovered::Mixed)));
        let cut = lines[1].rsplit_once(' ').expect("words").0;
        let short = NotRecovered::Words(WrongWords::Count { given: 39, wanted: 40 });
        assert_eq!(read(&format!("{}\n{cut}", lines[0])), Err(Unreadable::Line { line: 2, why: short }));
        for given in [0, 1, 23, 25, 38] {
            assert_eq!(read(&"zoo ".repeat(given)), Err(Unreadable::Count { given }), "{given} words");
        }
        assert_eq!(read(&"zoo ".repeat(24)), Err(Unreadable::Words(WrongWords::Checksum)));
    }
}
