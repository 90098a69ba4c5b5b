//! What a fleet's links together say: who belongs to it, who decides, which epoch, policy and relays hold.
//!
//! [`Fleet::handle`] takes links in any order that puts parents first and believes what enough admins signed. What it says is a
//! function of the set of links it saw, so two nodes that saw the same links agree. No clock is asked whether a link holds.
//!
//! **One alone may** add a device, a policy, a relay, a guest, and remove a relay or a guest. Everything that takes power away or hands it out (revoking,
//! rotating, adding and removing admins, the threshold, resolving) needs as many admins as the threshold, or all when there are fewer:
//! could one alone make admins, it could make as many as any threshold asks for.
//!
//! **The recovery sheet** signs as an admin does, and alone suffices whatever the threshold is: enough people put their shares together for it.
//! It is given keys, and is no member. There is one at a time; revoking it is revoking a device.
//!
//! **A fork** is two links after one. Then the fleet stands where it stood before both; what either side revokes is revoked at once;
//! nothing else counts until a [`Resolve`](Action::Resolve), signed by the threshold of that moment without those whom the other
//! sides revoked. It settles all links from the one it keeps up to itself, also against rivals that turn up later; those still
//! revoke, they do not freeze. Two resolves that keep different sides leave the fork open. With a threshold of 1, a stolen admin key
//! can so revoke every other device; a fleet with two admins or more should use 2.

mod state;

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decoder, Encoder};
use state::State;

use super::{
    FleetId,
    link::{Action, BadLink, Device, LINKS_MAX, Link, Relay, Sheet, SignedLink, WRAPPED_BYTES},
    policy::Policy,
};
use crate::{DeviceId, Moment, merkle::Hash, signed::Distrust};

/// The newest form of a snapshot that this program writes and reads.
pub const VERSION: u8 = 1;
/// The most places where the chain was continued twice; beyond it, only what revokes or resolves is taken in.
pub const BRANCHES_MAX: usize = 256;
/// The most relays of a fleet.
pub const RELAYS_MAX: usize = 64;
/// The most guests of a fleet.
pub const GUESTS_MAX: usize = 16;

/// Why a link is not taken in. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It belongs elsewhere.
    #[error("the link belongs to another fleet; a device has one fleet, leave this one before you join that one")]
    OtherFleet,
    /// A chain begins with `create` and has one.
    #[error(
        "a fleet begins with one link that creates it, signed by the device it names; fetch the chain from its start"
    )]
    NotTheFirst,
    /// Somebody signed something else.
    #[error("the link is not signed by the keys it names")]
    Signature(#[from] Distrust),
    /// The one before is not here.
    #[error("the link follows one that is not here; fetch the links from number {have} on")]
    Gap {
        /// The first number that is missing, as far as this node knows.
        have: u64,
    },
    /// It does not count on from the one before.
    #[error("the link's number does not follow that of the link before it; its author's hearth is broken or lies")]
    Number,
    /// Too many links.
    #[error("the fleet's chain has {LINKS_MAX} links, as many as it may; begin a new fleet")]
    Full,
    /// Too many forks.
    #[error("the fleet's chain was forked {BRANCHES_MAX} times; revoke the admin's device that does it")]
    Crowded,
    /// Signed by somebody who is no admin there.
    #[error("the link is signed by {0}, which is not an admin of the fleet at that point")]
    NotAnAdmin(DeviceId),
    /// Signed by too few.
    #[error("{has} admins signed the link and it needs {needs}; have more admins sign it")]
    TooFew {
        /// How many did.
        has: usize,
        /// How many must.
        needs: usize,
    },
    /// The device is already there, or was once.
    #[error("{0} is in the fleet already, or was revoked; a revoked device comes back with a new key")]
    KnownDevice(DeviceId),
    /// The device is not there.
    #[error("{0} is not an active device of the fleet; look at the list of devices")]
    UnknownDevice(DeviceId),
    /// Too many devices.
    #[error(
        "the fleet has {} devices, as many as it may; revoke one that is not used any more",
        super::link::DEVICES_MAX
    )]
    TooManyDevices,
    /// Too many relays.
    #[error("the fleet has {RELAYS_MAX} relays, as many as it may; remove one first")]
    TooManyRelays,
    /// It cannot be an admin.
    #[error("{0} has an expiry, and links are checked without a clock; add it anew without one, then make it an admin")]
    CannotBeAdmin(DeviceId),
    /// Somebody must be able to sign.
    #[error("{0} is the fleet's only admin; make another device an admin first")]
    LastAdmin(DeviceId),
    /// Epochs count up by one.
    #[error("the link's epoch is {given} and must be {wanted}; write it anew after the newest link")]
    Epoch {
        /// What it says.
        given: u32,
        /// What it should say.
        wanted: u32,
    },
    /// The relay is there already, or is not.
    #[error("the relay is in the list already, or is not there to be removed; look at the list of relays")]
    Relay,
    /// The guest is there already, or is not.
    #[error("that fleet is a guest already, or is not one that could be removed; `hearth fleet` lists guests")]
    Guest,
    /// Too many guests.
    #[error("the fleet has {GUESTS_MAX} guests, as many as it may; remove one first")]
    TooManyGuests,
    /// There is one already.
    #[error("the fleet has a recovery sheet already; revoke it before another one is added")]
    Sheet,
    /// A resolve keeps a link that it does not follow.
    #[error("the link resolves a fork in favour of a side that it is not on; write it after the side that is kept")]
    KeepsElsewhere,
}

/// What became of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// It was here before.
    Known,
    /// The chain goes on with it.
    On,
    /// It is kept beside what goes on: of it, only what it revokes counts. The fleet may stand still now: [`Fleet::fork`].
    Aside,
}

/// How a device stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A member.
    Active,
    /// Was a member until this moment.
    Expired(Moment),
    /// Was a member; [`Fleet::end_of`] says how much of its logs counts.
    Revoked,
}

#[derive(Clone, Debug)]
struct Node {
    signed: SignedLink,
    digest: Hash,
    /// Of the first link, itself.
    parent: usize,
    children: Vec<usize>,
    signers: Vec<DeviceId>,
}

impl Node {
    fn link(&self) -> &Link {
        self.signed.link()
    }
}

/// Whom rivals of a link have struck out as its signers.
#[derive(Clone, Default, Debug)]
struct Struck {
    revoked: BTreeSet<DeviceId>,
    demoted: BTreeSet<DeviceId>,
}

impl Struck {
    fn add(&mut self, action: &Action) {
        match action {
            Action::RevokeDevice { device, .. } => self.revoked.insert(*device),
            Action::RemoveAdmin(device) => self.demoted.insert(*device),
            _ => false,
        };
    }

    /// Who is made an admin again on the way that goes on is one.
    fn pass(&mut self, action: &Action) {
        if let Action::AddAdmin(device) = action {
            self.demoted.remove(device);
        }
    }

    fn has(&self, device: &DeviceId) -> bool {
        self.revoked.contains(device) || self.demoted.contains(device)
    }
}

/// The fleet, as far as its links are known here.
#[derive(Clone, Debug)]
pub struct Fleet {
    id: FleetId,
    /// Parents first.
    nodes: Vec<Node>,
    by_digest: BTreeMap<Hash, usize>,
    /// How many links stand beside another.
    branches: usize,
    /// The last link that counts in full, and what it and those before say.
    head: usize,
    state: State,
    struck: Struck,
    /// Whether links stand after the head that nobody has decided between.
    frozen: bool,
    /// Everybody that any side ever revoked, with the number of the last segment that counts of each log: the earliest that any side names.
    revoked: BTreeMap<DeviceId, BTreeMap<u64, u64>>,
}

impl Fleet {
    /// Begins with a fleet's first link.
    ///
    /// # Errors
    /// When it is not one, or the device it names did not sign it, alone.
    pub fn begin(create: SignedLink) -> Result<Self, Refused> {
        let link = create.link();
        let Action::Create { name, device, threshold } = link.action() else { return Err(Refused::NotTheFirst) };
        if link.number() != 0 || *link.prev() != super::link::GENESIS || link.fleet() != FleetId::NONE {
            return Err(Refused::NotTheFirst);
        }
        let signers = create.signers()?;
        let first = device.id().filter(|id| signers == [*id]).ok_or(Refused::NotTheFirst)?;
        let state = State::begin(name.clone(), first, device.clone(), *threshold);
        let digest = create.digest();
        let id = FleetId::of_first(&digest);
        Ok(Self {
            id,
            nodes: vec![Node { signed: create, digest, parent: 0, children: Vec::new(), signers }],
            by_digest: BTreeMap::from([(digest, 0)]),
            branches: 0,
            head: 0,
            state,
            struck: Struck::default(),
            frozen: false,
            revoked: BTreeMap::new(),
        })
    }

    /// Takes in a link.
    ///
    /// # Errors
    /// When it does not hold where it says it stands; nothing has changed then.
    pub fn handle(&mut self, signed: SignedLink) -> Result<Applied, Refused> {
        let digest = signed.digest();
        if let Some(&at) = self.by_digest.get(&digest) {
            return self.more_signatures(at, signed);
        }
        let link = signed.link();
        if matches!(link.action(), Action::Create { .. }) || link.number() == 0 {
            return Err(Refused::NotTheFirst);
        }
        if link.fleet() != self.id {
            return Err(Refused::OtherFleet);
        }
        let parent = *self.by_digest.get(link.prev()).ok_or(Refused::Gap { have: self.newest() + 1 })?;
        if link.number() != self.nodes[parent].link().number() + 1 {
            return Err(Refused::Number);
        }
        let urgent = matches!(link.action(), Action::RevokeDevice { .. } | Action::Resolve { .. });
        let beside = !self.nodes[parent].children.is_empty();
        if self.nodes.len() as u64 >= LINKS_MAX {
            return Err(Refused::Full);
        }
        if beside && self.branches >= BRANCHES_MAX && !urgent {
            return Err(Refused::Crowded);
        }
        if let Action::Resolve { keeps } = link.action() {
            let kept = self.by_digest.get(keeps).ok_or(Refused::KeepsElsewhere)?;
            if !self.is_after(parent, *kept) {
                return Err(Refused::KeepsElsewhere);
            }
        }
        let signers = signed.signers()?;
        if parent == self.head {
            self.state.check(link.action(), &signers)?;
        } else {
            self.state_at(parent).check(link.action(), &signers)?;
        }

        let at = self.nodes.len();
        let revokes = match link.action() {
            Action::RevokeDevice { device, ends } => {
                Some((*device, ends.iter().map(|end| (end.incarnation, end.number)).collect::<BTreeMap<_, _>>()))
            }
            _ => None,
        };
        self.nodes.push(Node { signed, digest, parent, children: Vec::new(), signers });
        self.nodes[parent].children.push(at);
        self.by_digest.insert(digest, at);
        self.branches += usize::from(beside);
        if let Some((device, ends)) = revokes {
            let earliest = self.revoked.entry(device).or_insert_with(|| ends.clone());
            earliest.retain(|incarnation, last| match ends.get(incarnation) {
                Some(end) => {
                    *last = (*last).min(*end);
                    true
                }
                None => false,
            });
        }
        if parent == self.head && !beside && self.is_enough(at, &self.state, &self.struck) {
            self.step(at);
        } else {
            self.settle();
        }
        Ok(if self.is_after(self.head, at) { Applied::On } else { Applied::Aside })
    }

    /// Another copy of a link may carry signatures that the first lacked; a rival's revocation may make them count.
    fn more_signatures(&mut self, at: usize, signed: SignedLink) -> Result<Applied, Refused> {
        // Mostly the same copy comes again, and to check it would be to read the chain from its start.
        if at == 0 || self.nodes[at].signed == signed {
            return Ok(Applied::Known);
        }
        // Only a copy that holds by itself counts, or it would matter which copy came first.
        let signers = signed.signers()?;
        self.state_at(self.nodes[at].parent).check_signers(signed.link().action(), &signers)?;
        if self.nodes[at].signed.merge(signed) {
            self.nodes[at].signers = self.nodes[at].signed.signers()?;
            if self.branches > 0 {
                self.settle();
            }
        }
        Ok(Applied::Known)
    }

    /// Goes on to a link that follows the head.
    fn step(&mut self, at: usize) {
        let node = &self.nodes[at];
        self.state.apply(node.digest, node.signed.link().action());
        self.struck.pass(node.signed.link().action());
        self.head = at;
    }

    /// Walks from the first link as far as it is clear how it goes on.
    fn settle(&mut self) {
        self.head = 0;
        self.state = self.first_state();
        self.struck = Struck::default();
        self.frozen = false;
        loop {
            let children = &self.nodes[self.head].children;
            let next = match children[..] {
                [] => return,
                [only] if self.is_enough(only, &self.state, &self.struck) => Some(only),
                _ => self.resolved(),
            };
            let Some(next) = next else {
                self.frozen = true;
                // While nothing is decided, whom any side removed is removed.
                for it in self.under(self.head).into_iter().skip(1) {
                    self.struck.add(self.nodes[it].link().action());
                }
                return;
            };
            for rival in children.iter().filter(|it| **it != next) {
                for it in self.under(*rival) {
                    self.struck.add(self.nodes[it].link().action());
                }
            }
            self.step(next);
        }
    }

    /// The link after the head that resolves agree on.
    fn resolved(&self) -> Option<usize> {
        let mut found = None;
        for it in self.under(self.head) {
            let node = &self.nodes[it];
            let Action::Resolve { keeps } = node.link().action() else { continue };
            let path = self.path(it);
            let Some(child) = path.iter().position(|at| *at == self.head).and_then(|at| path.get(at + 1)) else {
                continue;
            };
            let kept = self.by_digest.get(keeps).map_or(u64::MAX, |at| self.nodes[*at].link().number());
            let speaks = *child == it || kept <= self.nodes[*child].link().number();
            if !speaks || !self.is_enough(it, &self.state, &self.struck_before(&path)) {
                continue;
            }
            if found.is_some_and(|other| other != *child) {
                return None;
            }
            found = Some(*child);
        }
        found
    }

    /// Whether enough of a link's signers are admins in `state` and not struck out.
    fn is_enough(&self, at: usize, state: &State, struck: &Struck) -> bool {
        let node = &self.nodes[at];
        state.is_enough(node.link().action(), &node.signers, |it| struck.has(it))
    }

    /// Whom those links strike out that stand beside this path.
    fn struck_before(&self, path: &[usize]) -> Struck {
        let mut struck = Struck::default();
        for pair in path.windows(2) {
            for rival in self.nodes[pair[0]].children.iter().filter(|it| **it != pair[1]) {
                for it in self.under(*rival) {
                    struck.add(self.nodes[it].link().action());
                }
            }
            struck.pass(self.nodes[pair[1]].link().action());
        }
        struck
    }

    /// The link and all that follow it.
    fn under(&self, at: usize) -> Vec<usize> {
        let mut found = vec![at];
        let mut done = 0;
        while let Some(it) = found.get(done) {
            found.extend_from_slice(&self.nodes[*it].children);
            done += 1;
        }
        found
    }

    /// From the first link to this one.
    fn path(&self, mut at: usize) -> Vec<usize> {
        let mut path = vec![at];
        while at != 0 {
            at = self.nodes[at].parent;
            path.push(at);
        }
        path.reverse();
        path
    }

    /// Whether `late` is `early` or follows it.
    fn is_after(&self, mut late: usize, early: usize) -> bool {
        // Parents come first, so nothing below `early` can lead to it.
        while late > early {
            late = self.nodes[late].parent;
        }
        late == early
    }

    fn first_state(&self) -> State {
        let Action::Create { name, device, threshold } = self.nodes[0].link().action() else {
            unreachable!("a fleet begins with its first link");
        };
        State::begin(name.clone(), self.nodes[0].signers[0], device.clone(), *threshold)
    }

    /// What the links up to this one say by themselves.
    fn state_at(&self, at: usize) -> State {
        if at == self.head {
            return self.state.clone();
        }
        let mut state = self.first_state();
        for it in self.path(at).into_iter().skip(1) {
            state.apply(self.nodes[it].digest, self.nodes[it].link().action());
        }
        state
    }

    fn newest(&self) -> u64 {
        self.nodes[self.head].link().number()
    }
}

/// What holds.
impl Fleet {
    /// The fleet's id, as it stands in heads of segments.
    pub const fn id(&self) -> FleetId {
        self.id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The last link that counts in full.
    pub fn head(&self) -> &Link {
        self.nodes[self.head].link()
    }

    /// When the fleet stands still: the number at which links stand beside one another, undecided.
    pub fn fork(&self) -> Option<u64> {
        self.frozen.then(|| self.newest() + 1)
    }

    /// The last link of each side, to choose from; of a fleet without forks, its newest link.
    pub fn sides(&self) -> impl Iterator<Item = &Link> {
        self.nodes.iter().filter(|node| node.children.is_empty()).map(Node::link)
    }

    /// The links of the side that ends with `tip`, from where the fleet stands on.
    pub fn side(&self, tip: &Hash) -> Vec<&SignedLink> {
        let path = self.by_digest.get(tip).map(|at| self.path(*at)).unwrap_or_default();
        path.into_iter().skip_while(|at| *at != self.head).skip(1).map(|at| &self.nodes[at].signed).collect()
    }

    /// Writes the link that lets the side that ends with `tip` go on, for admins to sign.
    pub fn resolve(&self, tip: &Hash, at: Moment) -> Option<Link> {
        let path = self.path(*self.by_digest.get(tip)?);
        let head = path.iter().position(|it| *it == self.head)?;
        let keeps = self.nodes[*path.get(head + 1)?].digest;
        self.nodes[*path.last()?].link().then(at, Action::Resolve { keeps }).ok()
    }

    /// How many admins must sign what one alone may not.
    pub fn threshold(&self) -> usize {
        self.state.threshold()
    }

    /// Whether the device of this ed25519 key belongs to the fleet now.
    pub fn is_member(&self, key: &[u8; 32], now: Moment) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(key)
            .is_ok_and(|key| self.standing(&DeviceId::of_key(&key), now) == Some(Standing::Active))
    }

    /// Whether the device may sign links.
    pub fn is_admin(&self, id: &DeviceId) -> bool {
        self.state.is_admin(id) && !self.revoked.contains_key(id) && !self.struck.has(id)
    }

    /// The device as it was added; also one that is a member no more.
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.state.devices.get(id)
    }

    /// Every device that was ever added, by id.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.state.devices.iter()
    }

    /// The recovery sheet that holds, and when it was added, by the clock of who did.
    pub fn sheet(&self) -> Option<(&Sheet, Moment)> {
        let (id, link) = self.state.sheet.filter(|(id, _)| !self.revoked.contains_key(id) && !self.struck.has(id))?;
        let link = self.nodes[*self.by_digest.get(&link)?].link();
        let Action::AddSheet(sheet) = link.action() else { return None };
        debug_assert_eq!(sheet.id(), id, "the link adds it");
        Some((sheet, link.at()))
    }

    /// Whether this ed25519 key is that of the recovery sheet.
    pub fn is_sheet(&self, key: &[u8; 32]) -> bool {
        self.sheet().is_some_and(|(sheet, _)| sheet.key == *key)
    }

    /// How a device stands; `None` of one that was never added, and of the recovery sheet while it holds.
    pub fn standing(&self, id: &DeviceId, now: Moment) -> Option<Standing> {
        if self.revoked.contains_key(id) {
            return Some(Standing::Revoked);
        }
        Some(match self.state.devices.get(id)?.expires {
            Some(at) if at <= now => Standing::Expired(at),
            _ => Standing::Active,
        })
    }

    /// The members, by id.
    pub fn members(&self, now: Moment) -> impl Iterator<Item = (DeviceId, &Device)> {
        self.state
            .devices
            .iter()
            .map(|(id, device)| (*id, device))
            .filter(move |(id, device)| !self.revoked.contains_key(id) && device.expires.is_none_or(|at| now < at))
    }

    /// The number of the last segment that counts of a revoked device's log; `None` when nothing of that log does.
    ///
    /// Each log is named by the link that revoked it, or a revoked device could go on with one that is not the newest.
    pub fn end_of(&self, id: &DeviceId, incarnation: u64) -> Option<u64> {
        self.revoked.get(id)?.get(&incarnation).copied()
    }

    /// Whether a segment of this author's log counts: of a revoked device, those up to the end of that log.
    pub fn accepts(&self, author: &[u8; 32], incarnation: u64, number: u64) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(author) else { return false };
        let id = DeviceId::of_key(&key);
        self.state.devices.contains_key(&id)
            && (!self.revoked.contains_key(&id) || self.end_of(&id, incarnation).is_some_and(|last| number <= last))
    }

    /// The epoch that holds; 0 before the first rotation. While the fleet stands still this is the epoch before the fork: seal under
    /// the newest key that this node was given, not under an older one.
    pub const fn epoch(&self) -> u32 {
        self.state.epoch
    }

    /// The key of an epoch as it was wrapped to a device, or to the recovery sheet.
    pub fn wrapped(&self, epoch: u32, device: &DeviceId) -> Option<&[u8; WRAPPED_BYTES]> {
        let node = &self.nodes[*self.by_digest.get(self.state.rotations.get(&epoch)?)?];
        let Action::Rotate { wraps, .. } = node.link().action() else { return None };
        let rotated = wraps.binary_search_by_key(device, |(id, _)| *id).ok().map(|at| &wraps[at].1);
        rotated.or_else(|| {
            let (sheet, _) = self.sheet().filter(|(sheet, _)| sheet.id() == *device)?;
            sheet.wraps.binary_search_by_key(&epoch, |(epoch, _)| *epoch).ok().map(|at| &sheet.wraps[at].1)
        })
    }

    /// Whether the policy that holds is in a form that this version reads.
    pub const fn knows_policy(&self) -> bool {
        self.state.knows_policy
    }

    /// The policy that holds, with its epoch; 0 and nothing before the first, nothing while it is in a form that this version cannot read.
    pub const fn policy(&self) -> (u32, &Policy) {
        (self.state.policy_epoch, &self.state.policy)
    }

    /// The relays that may be used, by key.
    pub fn relays(&self) -> impl Iterator<Item = &Relay> {
        self.state.relays.values()
    }

    /// The fleets of others that its relays serve, too, and what they are called, by id.
    pub fn guests(&self) -> impl Iterator<Item = (FleetId, &str)> {
        self.state.guests.iter().map(|(fleet, name)| (*fleet, name.as_str()))
    }

    /// Takes in links that somebody else knows; says whether anything was new. A link that does not hold here is left.
    pub fn merge(&mut self, theirs: &Self) -> bool {
        let before = self.encode();
        for link in theirs.links() {
            // Known links may bring further signatures.
            let _ = self.handle(link.clone());
        }
        self.encode() != before
    }

    /// The relay with this id.
    pub fn relay(&self, id: &DeviceId) -> Option<&Relay> {
        self.relays().find(|relay| DeviceId::of_key_bytes(&relay.key) == *id)
    }

    /// Whether the holder of this ed25519 key may be spoken with: it is a member now, or a relay.
    pub fn speaks_with(&self, key: &[u8; 32], now: Moment) -> bool {
        self.is_member(key, now) || self.state.relays.contains_key(key)
    }

    /// All links that are known here, parents first, rivals too; what a peer is sent that has fewer.
    pub fn links(&self) -> impl Iterator<Item = &SignedLink> {
        self.nodes.iter().map(|node| &node.signed)
    }
}

/// Why bytes are not a fleet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// Not the encoding at all.
    #[error("the fleet's chain is not in the form this version writes; it is damaged, fetch it from another device")]
    Malformed,
    /// Written by a newer hearth.
    #[error("the fleet's chain has form {0}, and this hearth knows up to {VERSION}; update hearth on this node")]
    Newer(u8),
    /// One of its links is none.
    #[error("a link of the fleet's chain does not read")]
    Link(#[from] BadLink),
    /// One of its links does not hold.
    #[error("a link of the fleet's chain does not hold")]
    Refused(#[from] Refused),
}

impl Fleet {
    /// The bytes to store: `[version, [link, …]]`, parents first.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        e.array(2)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.array(self.nodes.len() as u64))
            .expect("writing to memory does not fail");
        for node in &self.nodes {
            e.bytes(&node.signed.encode()).expect("writing to memory does not fail");
        }
        out
    }

    /// Of which fleet what [`encode`](Self::encode) wrote claims to be, by its first link alone; nothing of it is checked.
    pub fn claimed_id(bytes: &[u8]) -> Option<FleetId> {
        let mut d = Decoder::new(bytes);
        d.array().ok().flatten().filter(|fields| *fields == 2)?;
        d.u8().ok()?;
        d.array().ok().flatten().filter(|links| *links > 0)?;
        let first = SignedLink::decode(d.bytes().ok()?).ok()?;
        Some(FleetId::of_first(&first.digest()))
    }

    /// Reads what [`encode`](Self::encode) wrote, checking every link anew.
    ///
    /// # Errors
    /// When a link does not hold, or stands there twice.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut d = Decoder::new(bytes);
        if d.array().ok().flatten() != Some(2) {
            return Err(BadSnapshot::Malformed);
        }
        match d.u8() {
            Ok(VERSION) => {}
            Ok(version) if version > VERSION => return Err(BadSnapshot::Newer(version)),
            _ => return Err(BadSnapshot::Malformed),
        }
        let count =
            d.array().ok().flatten().filter(|count| (1..=LINKS_MAX).contains(count)).ok_or(BadSnapshot::Malformed)?;
        let mut link = || SignedLink::decode(d.bytes().map_err(|_| BadSnapshot::Malformed)?).map_err(BadSnapshot::Link);
        let mut fleet = Self::begin(link()?)?;
        for _ in 1..count {
            if fleet.handle(link()?)? == Applied::Known {
                return Err(BadSnapshot::Malformed);
            }
        }
        fleet.nodes.shrink_to_fit();
        if fleet.encode() == bytes { Ok(fleet) } else { Err(BadSnapshot::Malformed) }
    }
}

#[cfg(test)]
mod tests;
