//! The fleets that a relay serves, and what it does when a session with one of their devices asks.
//!
//! It serves a fleet whose chain names it, once a device that the operator trusts has introduced it, and guests of such a fleet (`known`). From
//! then on the chain alone says which devices belong to it. A fleet is in memory while one of its devices is linked.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hearth_core::{
    DeviceId, DocumentId,
    delta::Kind,
    fleet::{
        FleetId,
        chain::Fleet,
        epoch::{BadRecord, KeyRecord},
    },
    receipt::{self, Receipt},
    segment::Segment,
    status::Label,
    sync::{Grown, Held, Input, Keeper, Log, News, Proof, ToSend, ToStore, bucket::Bucket, frontier::LOGS_MAX},
};
use hearth_link::{
    Identity, VerifyingKey,
    session::{self, Budget},
};
use tokio::sync::broadcast;
use tracing::{debug, info, warn};

use super::{
    engine::{Appended, Engine, Failed, Stamp, Usage},
    known::{Kept, Known, Said},
};
use crate::{sessions::Clock, trust::TrustList};

/// How much a fleet may have and send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Bytes on this disk.
    pub bytes: u64,
    /// Bytes of segments and keys that it may send in a second, for long.
    pub per_second: u64,
    /// And at once.
    pub burst: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { bytes: 50 << 30, per_second: 32 << 20, burst: 256 << 20 }
    }
}

/// How much a session may be behind with what others of its fleet store, before it reads anew where the logs end.
const NEWS_MAX: usize = 16;
/// Who is over its quota, or meets a disk that is full, is asked to come again after so long.
const FULL_RETRY: Duration = Duration::from_secs(10 * 60);
/// Whom the disk failed is asked to come again after so long.
const DISK_RETRY: Duration = Duration::from_secs(10);
/// The most logs of a fleet: well below what a greeting can name, for devices have logs that are not here.
const LOGS: usize = LOGS_MAX / 4;
/// The most logs of one device: it begins one for each place in which what it writes may live, and anew when its disk was set back. None is
/// ever dropped, not even when all in it was erased: whoever still has it would send it again.
const LOGS_OF_ONE: usize = 256;
/// Receipts for so many of a device's logs are handed out when it comes, the newest first.
const RECEIPTS_MAX: usize = 8;

/// Why a fleet is not served.
#[derive(Debug, thiserror::Error)]
pub enum NotServed {
    /// The chain does not name this relay.
    #[error("the fleet does not name this relay; `hearth fleet relay add` on one of its devices does")]
    NotNamed,
    /// The device is not in it.
    #[error("the device is not in the fleet whose chain it shows")]
    NotAMember,
    /// Nobody vouches for it.
    #[error(
        "no device of the fleet is trusted here, and it is no guest of a fleet that is served; add the key of a device to the trusted keys, \
         and let it connect first"
    )]
    NotTrusted,
    /// It cannot be kept.
    #[error(transparent)]
    Engine(#[from] Failed),
    /// What was kept cannot be read.
    #[error("the chain that is kept of the fleet cannot be read ({0}); let a trusted device of it introduce it again")]
    Chain(#[from] hearth_core::fleet::chain::BadSnapshot),
}

/// The relay of a coordinator.
pub struct Relay {
    engine: Arc<dyn Engine>,
    identity: Identity,
    trust: Arc<TrustList>,
    clock: Clock,
    allowance: Allowance,
    known: RwLock<Known>,
    /// Whether the chain of some fleet could not be read, so that nobody knows whom it names.
    is_blind: AtomicBool,
    /// Those of which a device is linked.
    awake: Mutex<HashMap<FleetId, Weak<Hosted>>>,
    /// Held while a chain is taken up or a fleet is dropped.
    changes: Mutex<()>,
    /// How much each fleet may send now.
    buckets: Mutex<HashMap<FleetId, Bucket>>,
    /// Those that were turned away because they are at their quota, and were not let in since.
    full: Mutex<BTreeSet<FleetId>>,
    /// Whose new log was declined last, by fleet.
    crowded: Mutex<BTreeMap<FleetId, DeviceId>>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({})", self.identity.device())
    }
}

/// What a fleet looks like from here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// Which fleet.
    pub fleet: FleetId,
    /// How many devices it has.
    pub devices: usize,
    /// What it takes.
    pub usage: Usage,
}

impl Relay {
    /// Takes up the fleets that the engine keeps. It blocks.
    ///
    /// # Errors
    /// When the engine cannot be read. A fleet whose chain cannot be read is left out, and told in the log.
    pub fn open(
        engine: Arc<dyn Engine>,
        identity: Identity,
        trust: Arc<TrustList>,
        clock: Clock,
        allowance: Allowance,
    ) -> Result<Arc<Self>, Failed> {
        let relay = Self {
            engine,
            identity,
            trust,
            clock,
            allowance,
            known: RwLock::default(),
            is_blind: AtomicBool::new(false),
            awake: Mutex::default(),
            changes: Mutex::default(),
            buckets: Mutex::default(),
            full: Mutex::default(),
            crowded: Mutex::default(),
        };
        let mut guests = Vec::new();
        for fleet in relay.engine.fleets()? {
            match relay.kept(&fleet) {
                Ok(Some(Kept { chain, as_guest: true })) => guests.push(chain),
                Ok(Some(Kept { chain, .. })) => relay.know(&chain),
                Ok(None) => {}
                Err(error) => {
                    relay.is_blind.store(true, Ordering::SeqCst);
                    warn!(%fleet, %error, "the chain of a fleet cannot be read, and it is not served");
                }
            }
        }
        // Once it is known who names them.
        for chain in guests {
            relay.write().mark(chain.id(), true);
            relay.know(&chain);
        }
        relay.tell_trust();
        Ok(Arc::new(relay))
    }

    /// Whether any fleet is served: then a device that is not known may be a new one of it.
    pub fn serves_any(&self) -> bool {
        !self.read().fleets.is_empty()
    }

    /// The fleets that are served and of which this is a device, few of them, those that the operator vouches for first.
    pub fn fleets_of(&self, device: &DeviceId) -> Vec<FleetId> {
        self.read().fleets_of(device)
    }

    /// The fleet that is served and can be recovered with this sheet.
    pub fn fleet_of_sheet(&self, sheet: &DeviceId) -> Option<FleetId> {
        self.read().fleet_of_sheet(sheet)
    }

    /// What is served, by fleet. It blocks.
    ///
    /// # Errors
    /// When the engine cannot be read.
    pub fn served(&self) -> Result<Vec<Served>, Failed> {
        let fleets: Vec<(FleetId, usize)> =
            self.read().fleets.iter().map(|(fleet, members)| (*fleet, members.len())).collect();
        let served = |(fleet, devices)| Ok(Served { fleet, devices, usage: self.engine.usage(&fleet)? });
        fleets.into_iter().map(served).collect()
    }

    /// What the owner should know, as sentences. It blocks.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = self.engine.notices();
        notices.extend(lock(&self.full).iter().map(|fleet| {
            format!(
                "the fleet {fleet} has filled its quota of this relay, so its devices keep what is new until there is room; raise \
                 --relay-quota, or forget something"
            )
        }));
        notices.extend(lock(&self.crowded).iter().map(|(fleet, device)| {
            format!(
                "{device} of the fleet {fleet} wants to begin another log, and there are as many as there may be ({LOGS_OF_ONE} of a device, \
                 {LOGS} of a fleet), so what it writes there is not taken; something is wrong with it: revoke it, and let it join under a new key"
            )
        }));
        notices
    }

    /// The fleet, for a session with one of its devices. It blocks.
    ///
    /// # Errors
    /// When it is not kept or cannot be read.
    pub fn host(self: &Arc<Self>, fleet: FleetId) -> Result<Arc<Hosted>, NotServed> {
        if let Some(hosted) = lock(&self.awake).get(&fleet).and_then(Weak::upgrade) {
            return Ok(hosted);
        }
        // Others do not wait for this one's disk.
        let chain = self.kept(&fleet)?.ok_or(Failed::NoFleet(fleet))?.chain;
        let used = self.engine.usage(&fleet)?.bytes;
        let hosted = Arc::new(Hosted {
            relay: Arc::clone(self),
            chain: RwLock::new(Arc::new(chain)),
            is_kept: AtomicBool::new(true),
            news: broadcast::channel(NEWS_MAX).0,
            used: AtomicU64::new(used),
            beginning: Mutex::default(),
            share: OnceLock::new(),
        });
        let mut awake = lock(&self.awake);
        if let Some(first) = awake.get(&fleet).and_then(Weak::upgrade) {
            return Ok(first);
        }
        awake.retain(|_, hosted| hosted.strong_count() > 0);
        awake.insert(fleet, Arc::downgrade(&hosted));
        Ok(hosted)
    }

    /// Those of these fleets that can be read: a damaged one keeps no device from another of its own. It blocks.
    ///
    /// # Errors
    /// When there are some and none can be read.
    pub fn hosts(self: &Arc<Self>, fleets: &[FleetId]) -> Result<Vec<Arc<Hosted>>, NotServed> {
        let (mut hosts, mut failed) = (Vec::with_capacity(fleets.len()), None);
        for fleet in fleets {
            match self.host(*fleet) {
                Ok(hosted) => hosts.push(hosted),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if hosts.is_empty() => Err(error),
            _ => Ok(hosts),
        }
    }

    /// A device that is not known, or of several fleets, shows a chain: the fleet, if it is served or may be from now on. It blocks.
    ///
    /// # Errors
    /// When the fleet is not served, or the device is not in it.
    pub fn introduce(self: &Arc<Self>, chain: Fleet, key: &VerifyingKey) -> Result<Arc<Hosted>, NotServed> {
        let fleet = chain.id();
        let is_served = self.read().fleets.contains_key(&fleet);
        if is_served {
            let hosted = self.host(fleet)?;
            hosted.take_in(&chain)?;
            return if hosted.chain().is_member(&key.to_bytes(), (self.clock)()) {
                Ok(hosted)
            } else {
                Err(NotServed::NotAMember)
            };
        }
        let one_at_a_time = lock(&self.changes);
        // Somebody else may just have introduced it.
        if self.read().fleets.contains_key(&fleet) {
            drop(one_at_a_time);
            return self.introduce(chain, key);
        }
        // What was kept of it before may know more than who comes now.
        let mut chain = chain;
        if let Some(kept) = self.kept(&fleet)? {
            chain.merge(&kept.chain);
        }
        if chain.relay(&self.identity.device()).is_none() {
            return Err(NotServed::NotNamed);
        }
        if !chain.is_member(&key.to_bytes(), (self.clock)()) {
            return Err(NotServed::NotAMember);
        }
        let as_guest = !self.trust.names(&DeviceId::of_key(key));
        if as_guest && !self.read().hosts(&fleet) {
            return Err(NotServed::NotTrusted);
        }
        let kept = Kept { chain, as_guest };
        self.engine.keep_chain(&fleet, &kept.encode())?;
        self.write().mark(fleet, as_guest);
        self.know(&kept.chain);
        self.tell_trust();
        drop(one_at_a_time);
        info!(%fleet, as_guest, "a fleet is served from now on");
        self.host(fleet)
    }

    /// Whether the operator trusts this device of a fleet that is served as a guest.
    pub fn is_to_vouch(&self, hosted: &Hosted, key: &VerifyingKey) -> bool {
        let is_member = || hosted.chain().is_member(&key.to_bytes(), (self.clock)());
        self.read().is_guest(&hosted.id()) && self.trust.names(&DeviceId::of_key(key)) && is_member()
    }

    /// A device that the operator trusts is linked and has shown that this fleet is its own: it needs nobody else's word from now on. That a
    /// chain lists such a device says nothing: anybody can. It blocks.
    pub fn vouch(&self, hosted: &Hosted, key: &VerifyingKey) {
        if !self.is_to_vouch(hosted, key) {
            return;
        }
        let fleet = hosted.id();
        let _one_at_a_time = lock(&self.changes);
        let kept = Kept { chain: Fleet::clone(&hosted.chain()), as_guest: false };
        match self.engine.keep_chain(&fleet, &kept.encode()) {
            Ok(()) => self.write().mark(fleet, false),
            Err(error) => warn!(%fleet, %error, "it cannot be kept that the operator vouches for a fleet"),
        }
    }

    fn kept(&self, fleet: &FleetId) -> Result<Option<Kept>, NotServed> {
        Ok(self.engine.chain(fleet)?.as_deref().map(Kept::decode).transpose()?)
    }

    /// Whether somebody with this chain and key is worth looking at: the fleet is served or a guest, or the operator named the device.
    pub fn may_introduce(&self, fleet: &FleetId, key: &VerifyingKey) -> bool {
        let known = self.read();
        known.fleets.contains_key(fleet) || known.hosts(fleet) || self.trust.names(&DeviceId::of_key(key))
    }

    /// Takes out of the files what was erased, and drops fleets that do not name this relay any more. It blocks.
    pub fn tidy(&self) {
        let fleets = self.engine.fleets().unwrap_or_else(|error| {
            warn!(%error, "the fleets that are kept cannot be listed");
            Vec::new()
        });
        for fleet in fleets {
            let done = match self.drop_if_left(&fleet) {
                Ok(true) => Ok(0),
                Ok(false) => self.engine.tidy(&fleet),
                Err(error) => Err(error),
            };
            match done {
                Ok(0) => {}
                Ok(bytes) => info!(%fleet, bytes, "what was erased was taken out of the files"),
                Err(error) => warn!(%fleet, %error, "the files of a fleet could not be tidied; it is tried again"),
            }
            let hosted = lock(&self.awake).get(&fleet).and_then(Weak::upgrade);
            if let Some(hosted) = hosted {
                hosted.measure();
            }
        }
        self.tell_trust();
    }

    /// Drops a fleet that does not name this relay any more, or is nobody's guest any more; one whose chain cannot be read is not one that left.
    fn drop_if_left(&self, fleet: &FleetId) -> Result<bool, Failed> {
        let _one_at_a_time = lock(&self.changes);
        // What is in memory is the newest.
        let hosted = lock(&self.awake).get(fleet).and_then(Weak::upgrade);
        if let Some(hosted) = hosted {
            hosted.keep()?;
        }
        let Ok(Some(Kept { chain, as_guest })) = self.kept(fleet) else { return Ok(false) };
        self.write().mark(*fleet, as_guest);
        // Devices may have expired since.
        self.know(&chain);
        let is_vouched = {
            let known = self.read();
            known.vouches(fleet) || known.is_unsettled() || self.is_blind.load(Ordering::SeqCst)
        };
        // What admins have not agreed on yet may name this relay after all.
        let is_named = chain.relay(&self.identity.device()).is_some() || chain.fork().is_some();
        if is_named && is_vouched {
            return Ok(false);
        }
        info!(%fleet, "a fleet is dropped that does not name this relay any more, or is nobody's guest any more");
        lock(&self.full).remove(fleet);
        lock(&self.crowded).remove(fleet);
        lock(&self.buckets).remove(fleet);
        self.engine.forget(fleet)?;
        // What is gone leaves nothing undecided.
        self.write().mark_forked(*fleet, false);
        Ok(true)
    }

    /// Takes up what a chain says of who belongs to it, and of its guests.
    fn know(&self, chain: &Fleet) {
        let (me, fleet, mut said) = (self.identity.device(), chain.id(), Said::default());
        if chain.relay(&me).is_some() && self.read().vouches(&fleet) {
            said.members.extend(chain.members((self.clock)()).map(|(id, device)| (id, Label::cut(&device.name))));
            said.sheet = chain.sheet().map(|(sheet, _)| sheet.id());
            said.guests.extend(chain.guests().map(|(guest, _)| guest));
        }
        let gone = {
            let mut known = self.write();
            known.mark_forked(fleet, chain.fork().is_some());
            known.set(fleet, said)
        };
        for fleet in gone {
            info!(%fleet, "a fleet that was a guest is served no more");
            let hosted = lock(&self.awake).get(&fleet).and_then(Weak::upgrade);
            if let Some(hosted) = hosted {
                // Its sessions look whether it is served still.
                let _ = hosted.news.send(Grown::Chain);
            }
        }
    }

    /// Devices of fleets that are served may report, too.
    fn tell_trust(&self) {
        let known = self.read();
        let (guests, vouched): (Vec<_>, Vec<_>) = known.fleets.iter().partition(|(fleet, _)| known.is_guest(fleet));
        // What a fleet calls a device counts more when the operator vouches for that fleet.
        let members = guests.into_iter().chain(vouched).flat_map(|(_, members)| members.clone()).collect();
        drop(known);
        self.trust.set_members(members);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fleet of which a device is linked.
pub struct Hosted {
    relay: Arc<Relay>,
    chain: RwLock<Arc<Fleet>>,
    /// Whether the disk has that chain.
    is_kept: AtomicBool,
    news: broadcast::Sender<Grown>,
    used: AtomicU64,
    /// Held while a log is begun, so that logs are counted.
    beginning: Mutex<()>,
    /// Its share of what all sessions may have in memory.
    share: OnceLock<Budget>,
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hosted({})", self.id())
    }
}

impl Hosted {
    /// Which fleet.
    pub fn id(&self) -> FleetId {
        self.chain().id()
    }

    /// What its chain is, in short, as letters say it.
    pub fn digest(&self) -> [u8; 16] {
        session::digest_of(&self.chain())
    }

    /// What happens in it.
    pub fn listen(&self) -> broadcast::Receiver<Grown> {
        self.news.subscribe()
    }

    /// The part of `whole` that the fleet's sessions may hold together.
    pub fn share(&self, whole: &Budget) -> Budget {
        self.share.get_or_init(|| whole.share()).clone()
    }

    fn chain(&self) -> Arc<Fleet> {
        Arc::clone(&self.chain.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn engine(&self) -> &dyn Engine {
        &*self.relay.engine
    }

    fn measure(&self) {
        if let Ok(usage) = self.engine().usage(&self.id()) {
            self.used.store(usage.bytes, Ordering::Relaxed);
        }
    }

    /// Takes in what a device knows of the fleet. A revocation counts at once, whatever the disk says; what the disk could not take, it is
    /// given again with whatever comes next, and when it is tidied.
    fn take_in(&self, theirs: &Fleet) -> Result<(), Failed> {
        let _one_at_a_time = lock(&self.relay.changes);
        // It may have been dropped meanwhile, and is not to come back by this.
        if !self.relay.read().fleets.contains_key(&self.id()) {
            return Ok(());
        }
        let mut grown = Fleet::clone(&self.chain());
        if grown.merge(theirs) {
            let grown = Arc::new(grown);
            *self.chain.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&grown);
            self.is_kept.store(false, Ordering::SeqCst);
            self.relay.know(&grown);
            self.relay.tell_trust();
            // Nobody listens when the first device is just coming.
            let _ = self.news.send(Grown::Chain);
        }
        self.keep()
    }

    /// Gives the disk the chain, unless it has it. Whoever calls holds `Relay::changes`.
    fn keep(&self) -> Result<(), Failed> {
        if !self.is_kept.load(Ordering::SeqCst) {
            let (fleet, chain) = (self.id(), Fleet::clone(&self.chain()));
            let as_guest = self.relay.read().is_guest(&fleet);
            self.engine().keep_chain(&fleet, &Kept { chain, as_guest }.encode())?;
            self.is_kept.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether so many bytes may come in now; if not, when to come again.
    fn admit(&self, bytes: u64) -> Result<(), Duration> {
        self.has_room(bytes)?;
        let Relay { allowance, clock, buckets, .. } = &*self.relay;
        let full = || Bucket::full(allowance.per_second, allowance.burst, clock());
        lock(buckets).entry(self.id()).or_insert_with(full).take(clock(), bytes)
    }

    /// Whether so many bytes fit the quota.
    fn has_room(&self, bytes: u64) -> Result<(), Duration> {
        let relay = &self.relay;
        let is_over = || self.used.load(Ordering::Relaxed).saturating_add(bytes) > relay.allowance.bytes;
        if is_over() {
            // What was replaced or erased meanwhile was not counted out.
            self.measure();
            if is_over() {
                lock(&relay.full).insert(self.id());
                return Err(FULL_RETRY);
            }
        }
        lock(&relay.full).remove(&self.id());
        Ok(())
    }

    /// The word that a log is here as far as it is.
    fn sign(&self, log: &Log) -> Option<Vec<u8>> {
        let stamp = Stamp { store: self.relay.identity.public().to_bytes(), at: (self.relay.clock)() };
        let claim = self.engine().claim(&self.id(), log, stamp);
        let claim = claim.inspect_err(|error| warn!(fleet = %self.id(), %error, "a receipt cannot be made")).ok()??;
        match Receipt::sign(self.relay.identity.signing_key(), claim) {
            Ok(receipt) => Some(receipt::encode(&receipt)),
            Err(error) => {
                warn!(fleet = %self.id(), %error, "a receipt cannot be given; the index may be damaged, start the coordinator again");
                None
            }
        }
    }

    fn append(&self, orders: &[ToStore]) -> Result<Vec<Input>, Failed> {
        let begins = orders.iter().any(|order| order.number() == 0);
        let _one_at_a_time = begins.then(|| lock(&self.beginning));
        let (mut answers, mut bytes, mut grown) = (Vec::with_capacity(orders.len()), 0, BTreeMap::new());
        let declined = if begins { self.too_many(orders)? } else { BTreeSet::new() };
        answers.extend(declined.iter().map(|log| Input::Declined { log: *log, number: 0 }));
        // Seldom is there anything to leave out.
        let left = (!declined.is_empty())
            .then(|| orders.iter().filter(|order| !declined.contains(&order.at.log)).cloned().collect::<Vec<_>>());
        let orders = left.as_deref().unwrap_or(orders);
        for (order, appended) in orders.iter().zip(self.engine().append(&self.id(), orders)?) {
            answers.push(match appended {
                Appended::Taken => {
                    bytes += order.bytes.len() as u64;
                    grown.insert(order.at.log, order.at.clone());
                    Input::Stored(order.at.clone())
                }
                Appended::Had(held) => Input::Stored(held),
                Appended::Gap => {
                    Input::NotStored { log: order.at.log, number: order.number(), retry_after: Duration::from_secs(1) }
                }
            });
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        for held in grown.into_values() {
            // Nobody listens when the only session is just ending.
            let _ = self.news.send(Grown::Log(held));
        }
        Ok(answers)
    }

    /// The logs that are to be begun and must not be.
    fn too_many(&self, orders: &[ToStore]) -> Result<BTreeSet<Log>, Failed> {
        let mut there: BTreeSet<Log> = self.engine().held(&self.id())?.into_iter().map(|held| held.log).collect();
        let mut declined = BTreeSet::new();
        for log in orders.iter().filter(|order| order.number() == 0).map(|order| order.at.log) {
            let of_one = (Log { incarnation: 0, ..log })..=(Log { incarnation: u64::MAX, ..log });
            let is_full = there.len() >= LOGS || there.range(of_one).count() >= LOGS_OF_ONE;
            if there.contains(&log) || !is_full {
                there.insert(log);
                continue;
            }
            declined.insert(log);
            if lock(&self.relay.crowded).insert(self.id(), log.author) != Some(log.author) {
                warn!(fleet = %self.id(), author = %log.author, "a device begins more logs than it may, and they are not taken");
            }
        }
        Ok(declined)
    }
}

/// The orders, put off.
fn put_off(orders: &[ToStore], retry_after: Duration) -> Vec<Input> {
    let again = |order: &ToStore| Input::NotStored { log: order.at.log, number: order.number(), retry_after };
    orders.iter().map(again).collect()
}

impl Keeper for Hosted {
    fn me(&self) -> DeviceId {
        self.relay.identity.device()
    }

    fn fleet(&self) -> Option<Arc<Fleet>> {
        Some(self.chain()).filter(|chain| self.relay.read().fleets.contains_key(&chain.id()))
    }

    fn merge(&self, theirs: &Fleet) -> Result<(), String> {
        self.take_in(theirs).map_err(|error| error.to_string())
    }

    fn logs(&self) -> Result<(Vec<Held>, Vec<Proof>), String> {
        let logs = || Ok::<_, Failed>((self.engine().held(&self.id())?, self.engine().proofs(&self.id())?));
        logs().map_err(|error| error.to_string())
    }

    fn greeted(&self, _peer: &DeviceId, _has: &[(Log, u64)]) {}

    fn receipts(&self, logs: &[Log]) -> Vec<Vec<u8>> {
        // The last lives of the log come last.
        let newest = &logs[logs.len().saturating_sub(RECEIPTS_MAX)..];
        newest.iter().filter_map(|log| self.sign(log)).collect()
    }

    fn keep_keys(&self, records: &[Vec<u8>]) -> Option<Duration> {
        let mut known = BTreeMap::new();
        for bytes in records {
            match KeyRecord::decode(bytes) {
                Ok(record) => drop(known.insert(record.document, (record.epoch, bytes.clone()))),
                // What it opens is left until this program is newer, too.
                Err(BadRecord::Newer(_)) => return Some(FULL_RETRY),
                Err(BadRecord::Malformed) => {}
            }
        }
        let size = known.values().map(|(_, bytes)| bytes.len() as u64).sum();
        // What they open must not be stored without them: it is asked for again with them.
        if let Err(wait) = self.has_room(size) {
            return Some(wait);
        }
        let documents: Vec<DocumentId> = known.keys().copied().collect();
        let kept = self.engine().keys(&self.id(), &documents).and_then(|kept| {
            // The first of an epoch stays: nobody puts another in its place.
            for record in kept.iter().filter_map(|bytes| KeyRecord::decode(bytes).ok()) {
                if known.get(&record.document).is_some_and(|(epoch, _)| *epoch <= record.epoch) {
                    known.remove(&record.document);
                }
            }
            let new: Vec<_> = known.into_iter().map(|(document, (_, bytes))| (document, bytes)).collect();
            self.engine().keep_keys(&self.id(), &new)
        });
        self.used.fetch_add(size, Ordering::Relaxed);
        let error = kept.err()?;
        warn!(fleet = %self.id(), %error, "key records cannot be kept; they come again with their segments");
        Some(if error.is_full() { FULL_RETRY } else { DISK_RETRY })
    }

    fn store(&self, orders: Vec<ToStore>) -> Vec<Input> {
        let bytes = orders.iter().map(|order| order.bytes.len() as u64).sum();
        if let Err(retry_after) = self.admit(bytes) {
            return put_off(&orders, retry_after);
        }
        self.append(&orders).unwrap_or_else(|error| {
            warn!(fleet = %self.id(), %error, "segments cannot be kept; they are asked for again");
            put_off(&orders, if error.is_full() { FULL_RETRY } else { DISK_RETRY })
        })
    }

    fn read(&self, log: &Log, from: u64, to: u64, budget: u64) -> ToSend {
        let fleet = self.id();
        let segments = self.engine().read(&fleet, log, from, to, budget).unwrap_or_else(|error| {
            warn!(%fleet, %error, "segments cannot be read");
            Vec::new()
        });
        let mut documents = BTreeSet::new();
        for segment in segments.iter().filter_map(|bytes| Segment::open(bytes).ok()) {
            let changes = segment.changes().filter_map(|(_, change)| change);
            documents.extend(changes.filter(|change| change.kind == Kind::Document).map(|change| change.document));
        }
        let documents: Vec<_> = documents.into_iter().collect();
        match self.engine().keys(&fleet, &documents) {
            Ok(keys) => ToSend { keys, segments },
            // Without their keys nobody could ever open them.
            Err(error) => {
                warn!(%fleet, %error, "key records cannot be read, so their segments are not sent");
                ToSend::default()
            }
        }
    }

    fn take_receipt(&self, peer: &DeviceId, _bytes: &[u8]) {
        debug!(%peer, "a device sent a receipt, which only relays give");
    }

    fn tell(&self, peer: &DeviceId, news: News) {
        let fleet = self.id();
        match news {
            News::Equivocation(proof) => {
                warn!(%fleet, author = %proof.author(), "a device wrote two different logs; nothing of it is taken any more");
                if let Err(error) = self.engine().keep_proof(&fleet, &proof) {
                    warn!(%fleet, %error, "the proof against a device cannot be kept");
                }
                let _ = self.news.send(Grown::Proof(proof));
            }
            News::Damaged { log, number } => {
                warn!(%fleet, author = %log.author, number, "a segment cannot be read any more; other devices may still have it");
            }
            News::Clock(_) => {}
            news => info!(%fleet, %peer, ?news, "of a session"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
