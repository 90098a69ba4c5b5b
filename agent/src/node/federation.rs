//! What a node gives to other nodes of its fleet, and takes from them.
//!
//! Segments come verified by `hearth_core::sync`; here they are put in the log, their keys before them, and what they say is applied as if
//! it were our own. Nothing is said to be stored before the disk has it and what it erases is erased. Who is asked and when is decided
//! elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use hearth_core::{
    DeviceId, DocumentId, ItemId, Moment, SessionId, SpaceId,
    delta::Kind,
    fleet::{
        FleetId,
        chain::Fleet,
        epoch::{Document, KeyRecord},
        hosting::Hosting,
        invite::Welcome,
        link::{Action, Device, ENDS_MAX, Guest, Last, Relay},
        policy::{BadResidency, Policy},
        sheet::NotTheSheet,
        trust::ANYWHERE,
    },
    job,
    segment::{Chain, Segment},
    session::Visibility,
    sync::{Frontier, Grown, Held, Input, Log, Mark, Proof, ToSend, ToStore},
};
use hearth_store::{Batch, Folder, Position, Slot, StoreError, Tree, entropy};

use super::{
    Change, Entry, Membership, NodeError, Shared, Writer, lock,
    membership::CannotChange,
    now,
    record::{DocumentRecord, EndRecord, ForgottenTags, GoneRecord, ItemRecord, JobRecord, Meta, Vectors},
    view::{self, Arrival, Origin, end_key, segment_key},
};

/// How much a session may be behind with what happens here, before it is told everything anew.
pub(crate) const NEWS_MAX: usize = 1_024;
/// How long the author of a document has to send its vectors, before this node makes them itself.
const AUTHOR_FIRST: Duration = Duration::from_secs(15 * 60);
/// A node says how far it has come no more often than this.
const STATE_EVERY: Duration = Duration::from_secs(10);
/// So many items move into another log at a time.
const MOVES: usize = 64;

/// Where what is known of the fleet lies.
pub(crate) fn membership_path(folder: &Folder) -> PathBuf {
    folder.part("identity").join("fleet")
}

/// So many relays of a host are used; the owner is shown them, and adds others by hand.
const HOSTED_MAX: usize = 8;

/// Why an order about the fleet is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    #[error("this device is just leaving a fleet; try again when it is done")]
    Leaving,
    #[error("this node is in no fleet; `hearth fleet create NAME` begins one, `hearth join` comes into one")]
    None,
    #[error("this node is in the fleet `{0}` already, and a node has one fleet")]
    InOne(String),
    #[error(
        "only an admin of the fleet may do this; do it on a device that `hearth fleet` shows as one, or make this one an admin there"
    )]
    NotAdmin,
    #[error("this device is an admin of the fleet already; `hearth fleet admin add` makes others admins")]
    IsAdmin,
    #[error(
        "this device is the fleet's only admin, and without one nobody can be added or taken out any more; \
         `hearth fleet admin add DEVICE` makes another one an admin first"
    )]
    LastAdmin,
    #[error(transparent)]
    Sheet(NotTheSheet),
    #[error(transparent)]
    Change(#[from] CannotChange),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Origin {
    /// The log as sessions know it, right after this segment.
    pub(super) fn held(&self) -> Held {
        Held { log: self.log, chain: self.chain.clone(), residency: self.residency }
    }
}

impl Shared {
    /// The fleet that this node is in, as it is known now.
    pub(crate) fn membership(&self) -> Option<Arc<Membership>> {
        self.membership.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known of the fleet, lastingly, one change at a time.
    pub(crate) fn change_membership<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Option<Membership>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut current = self.membership.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = current.as_deref().cloned();
        let result = change(&mut next)?;
        if let Some(next) = &next {
            next.write(&membership_path(&self.folder))?;
        }
        if let (Some(before), Some(next)) = (current.as_deref(), &next) {
            self.tell_overtaken(before, next);
        }
        *current = next.map(Arc::new);
        drop(current);
        self.tell_peers(Grown::Chain);
        Ok(result)
    }

    /// Founds a fleet with this node as its first member.
    ///
    /// # Errors
    /// When it is in one already, or a name will not do.
    pub(crate) fn found_fleet(&self, name: &str, device: &str) -> Result<(), FleetError> {
        self.change_membership(|membership| {
            if let Some(membership) = membership {
                return Err(FleetError::InOne(membership.fleet.name().to_owned()));
            }
            self.is_not_leaving()?;
            *membership = Some(self.fleet_to_found(name, device)?);
            Ok(())
        })
    }

    /// A fleet with this node as its first member, which is in it once it is [taken up](Self::take_up).
    pub(crate) fn fleet_to_found(&self, name: &str, device: &str) -> Result<Membership, FleetError> {
        Ok(Membership::found(&self.identity.signing, name, device, now())?)
    }

    /// Takes up a membership that another node gave.
    ///
    /// # Errors
    /// When it is in a fleet already.
    pub(crate) fn take_up(&self, new: Membership) -> Result<(), FleetError> {
        self.change_membership(|membership| {
            if let Some(membership) = membership {
                return Err(FleetError::InOne(membership.fleet.name().to_owned()));
            }
            self.is_not_leaving()?;
            *membership = Some(new);
            Ok(())
        })
    }

    /// Adds a device that knew a join code.
    pub(crate) fn add_device(&self, device: &Device) -> Result<Welcome, FleetError> {
        self.change_fleet(|membership, key| membership.add(key, device, now()))
    }

    /// Takes a device out of the fleet: what it wrote until now stays good, and what comes is sealed under a new key.
    pub(crate) fn revoke_device(&self, device: DeviceId) -> Result<(), FleetError> {
        let ends = self.ends_of(&device)?;
        self.change_fleet(|membership, key| membership.revoke(key, device, ends, now()))
    }

    /// Adds a relay, which keeps what the fleet shares, sealed, for devices that are not awake together.
    pub(crate) fn add_relay(&self, relay: Relay) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.change(key, Action::AddRelay(relay), now()))
    }

    /// Uses a relay no more.
    pub(crate) fn remove_relay(&self, relay: [u8; 32]) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.change(key, Action::RemoveRelay(relay), now()))
    }

    /// Has the fleet's relays serve somebody else's fleet, too, and says what that is answered.
    pub(crate) fn add_guest(&self, guest: &Guest) -> Result<Hosting, FleetError> {
        self.change_fleet(|membership, key| {
            // Who is a guest already may have lost the answer.
            if membership.fleet.guests().all(|(fleet, _)| fleet != guest.fleet) {
                membership.change(key, Action::AddGuest(guest.clone()), now())?;
            }
            let relays = membership.fleet.relays().cloned().collect();
            Ok(Hosting { fleet: membership.id(), name: membership.fleet.name().to_owned(), relays })
        })
    }

    /// Ends it.
    pub(crate) fn remove_guest(&self, fleet: FleetId) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.change(key, Action::RemoveGuest(fleet), now()))
    }

    /// Uses the relays of a fleet whose guest this one is: a few of them, in place of what was known of them before, and none that is a member.
    pub(crate) fn take_up_relays(&self, hosting: &Hosting) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| {
            let is_no_member = |relay: &&Relay| !membership.fleet.is_member(&relay.key, now());
            let relays: Vec<Relay> = hosting.relays.iter().filter(is_no_member).take(HOSTED_MAX).cloned().collect();
            for relay in relays {
                let known = membership.fleet.relay(&DeviceId::of_key_bytes(&relay.key)).map(|known| *known == relay);
                if known == Some(false) {
                    membership.change(key, Action::RemoveRelay(relay.key), now())?;
                }
                if known != Some(true) {
                    membership.change(key, Action::AddRelay(relay), now())?;
                }
            }
            Ok(())
        })
    }

    /// Changes where things of the fleet may live.
    pub(crate) fn change_residencies(
        &self,
        change: impl FnOnce(&mut Policy) -> Result<(), BadResidency>,
    ) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| {
            let (epoch, policy) = membership.fleet.policy();
            // What this version cannot read it must not write over.
            if epoch > 0 && !membership.fleet.knows_policy() {
                return Err(BadResidency::Newer.into());
            }
            let mut policy = policy.clone();
            change(&mut policy)?;
            let action = Action::Policy { epoch: epoch + 1, bytes: policy.encode() };
            membership.change(key, action, now())
        })
    }

    /// Begins a new epoch.
    pub(crate) fn rotate_fleet(&self) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.rotate(key, now()))
    }

    /// Takes in links of the chain that another member knows.
    pub(crate) fn merge_chain(&self, theirs: &Fleet) -> Result<(), FleetError> {
        let known = self.membership().ok_or(FleetError::None)?;
        if !known.as_ref().clone().merge(theirs, &self.identity.signing) {
            return Ok(());
        }
        self.change_membership(|membership| {
            membership.as_mut().ok_or(FleetError::None)?.merge(theirs, &self.identity.signing);
            Ok::<_, FleetError>(())
        })?;
        let is_as_before = self.membership().is_none_or(|now| now.fleet.policy().1 == known.fleet.policy().1);
        // What lived with others may be to live here alone now.
        if !is_as_before && let Err(error) = self.settle_homes(&self.within_residencies()) {
            tracing::warn!(%error, "what may not live on other devices any more could not be taken back; it is tried again within the hour");
        }
        Ok(())
    }

    /// Notes where a member listens.
    pub(crate) fn change_addresses(&self, device: DeviceId, address: String) -> Result<(), FleetError> {
        let known = self.membership().ok_or(FleetError::None)?;
        if known.addresses.get(&device) == Some(&address) {
            return Ok(());
        }
        self.change_membership(|membership| {
            membership.as_mut().ok_or(FleetError::None)?.addresses.insert(device, address);
            Ok(())
        })
    }

    pub(super) fn change_fleet<T>(
        &self,
        change: impl FnOnce(&mut Membership, &ed25519_dalek::SigningKey) -> Result<T, CannotChange>,
    ) -> Result<T, FleetError> {
        self.change_membership(|membership| {
            let membership = membership.as_mut().ok_or(FleetError::None)?;
            if !membership.fleet.is_admin(&self.identity.device) {
                return Err(FleetError::NotAdmin);
            }
            Ok(change(membership, &self.identity.signing)?)
        })
    }

    pub(crate) fn tell_peers(&self, news: Grown) {
        // Nobody listens when there is no session.
        let _ = self.news.send(news);
    }

    pub(crate) fn listen(&self) -> tokio::sync::broadcast::Receiver<Grown> {
        self.news.subscribe()
    }

    /// Where what this session lets in may live; `None` when that is this node alone, as of a residency that is none or not of this node.
    pub(super) fn residency_of(&self, session: SessionId) -> Option<u16> {
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        match gate.session(session)?.visibility {
            Visibility::Fleet => Some(ANYWHERE),
            Visibility::Within(number) => {
                let membership = self.membership()?;
                let homes = &membership.fleet.policy().1.residency(number)?.homes;
                homes.contains(&self.identity.device).then_some(number)
            }
            Visibility::ThisNode | Visibility::Nodes(_) => None,
        }
    }

    /// The sessions whose things live in residencies.
    pub(super) fn within_residencies(&self) -> Vec<SessionId> {
        let gate = self.gate();
        let within = gate.sessions().filter(|session| matches!(session.visibility, Visibility::Within(_)));
        within.map(|session| session.id).collect()
    }

    /// Whether an item lies in the log in which this session's things belong.
    pub(super) fn is_at_home(&self, item: &ItemRecord, session: SessionId) -> Result<bool, StoreError> {
        let Some(membership) = self.membership() else { return Ok(true) };
        // After a backup: of a session that is not known, nothing is known to belong elsewhere.
        if self.gate.read().unwrap_or_else(PoisonError::into_inner).session(session).is_none() {
            return Ok(true);
        }
        let home = self.residency_of(session);
        let (space, residency) = (home.map(|_| membership.space()), home.unwrap_or_default());
        let is_there = |record: DocumentRecord| (record.shared, record.residency) == (space, residency);
        Ok(self.document(item.document)?.is_none_or(is_there))
    }

    /// The space under which a segment's bodies are sealed.
    pub(super) fn space_of(&self, segment: &Segment) -> SpaceId {
        let fleet = segment.head().fleet;
        if fleet == self.identity.fleet() { self.identity.space } else { FleetId::from_bytes(fleet).space() }
    }

    /// What is known of a segment that a fleet shares.
    pub(super) fn origin_of(&self, segment: &Segment) -> Option<Origin> {
        // Of a fleet that was left, nothing is passed on and nothing is to be known.
        let shared = self.membership().is_some_and(|membership| *membership.id().as_bytes() == segment.head().fleet);
        shared.then(|| Origin::of(segment, self.identity.device, self.space_of(segment)))
    }

    /// Every key's place, by its document.
    pub(super) fn slots(&self) -> Result<HashMap<DocumentId, (SpaceId, Slot)>, StoreError> {
        Ok(self.keys.all()?.into_iter().map(|(document, space, slot)| (document, (space, slot))).collect())
    }

    /// The logs of this fleet that are here.
    pub(crate) fn held(&self) -> Result<Vec<Held>, StoreError> {
        let mut held = Vec::new();
        for end in self.state.iter::<EndRecord>(Tree::End) {
            let (key, EndRecord { author, number, seq, head, residency }) = end?;
            let incarnation = key.get(16..24).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            let incarnation = incarnation.ok_or(StoreError::Damaged("a record of the state"))?;
            let log = Log { author: DeviceId::of_key_bytes(&author), incarnation };
            held.push(Held { log, chain: Chain { author, incarnation, number, seq, head }, residency });
        }
        Ok(held)
    }

    /// Where each of a device's logs ends, as far as it is here or others have said to have it, who may have logs that this device may not;
    /// what is written down when the device is revoked.
    pub(crate) fn ends_of(&self, device: &DeviceId) -> Result<Vec<Last>, StoreError> {
        let logs = self.held()?.into_iter().filter(|held| held.log.author == *device);
        let end = |held: Held| {
            let Chain { incarnation, number, head, .. } = held.chain;
            Some(Last { incarnation, number: number.checked_sub(1)?, head })
        };
        let mut furthest: BTreeMap<u64, Last> = logs.filter_map(end).map(|end| (end.incarnation, end)).collect();
        for (said, _) in self.membership().iter().flat_map(|membership| membership.fleet.devices()) {
            for (log, mark) in self.reached(said)?.unwrap_or_default().iter().filter(|(log, _)| log.author == *device) {
                let mut head = [0; 32];
                head[..mark.head.len()].copy_from_slice(&mark.head);
                let end = mark.next.checked_sub(1).map(|number| Last { incarnation: log.incarnation, number, head });
                let known = furthest.get(&log.incarnation).map(|known| known.number);
                furthest.extend(end.filter(|end| known < Some(end.number)).map(|end| (log.incarnation, end)));
            }
        }
        let mut ends: Vec<Last> = furthest.into_values().collect();
        // Of very many, the oldest have long been everywhere.
        ends.drain(..ends.len().saturating_sub(ENDS_MAX));
        Ok(ends)
    }

    /// Proofs against authors that are known here.
    pub(crate) fn frozen(&self) -> Vec<Proof> {
        self.membership().map(|membership| membership.frozen.values().cloned().collect()).unwrap_or_default()
    }

    /// Keeps a proof against an author, and tells the owner and the other sessions.
    pub(crate) fn freeze(&self, proof: &Proof, name: &str) -> Result<(), FleetError> {
        self.change_membership(|membership| {
            let membership = membership.as_mut().ok_or(FleetError::None)?;
            membership.frozen.entry(proof.author()).or_insert_with(|| proof.clone());
            Ok::<_, FleetError>(())
        })?;
        self.notice(&format!(
            "{name} wrote two different logs, so nothing of it is taken any more: its folder was copied, or its key is used by somebody else; \
             `hearth fleet revoke` takes it out of the fleet, and its owner joins again with a new data folder"
        ));
        self.tell_peers(Grown::Proof(proof.clone()));
        Ok(())
    }

    /// Another node knows more of our own log than we do: this folder was put back from a backup.
    pub(crate) fn was_restored(&self, incarnation: u64) {
        if let Err(error) = self.writer().log.begin_shared_anew(incarnation) {
            tracing::warn!(error = %error, "that a new log began could not be noted");
        }
        self.notice(
            "another node has more of this node's log than this node, so the data folder came from a backup; what was lost comes back \
             from there, and a new log was begun",
        );
    }

    /// Reads segments `from..to` of a log, up to `budget` bytes but at least one, with the keys of what is in them.
    pub(crate) fn to_send(&self, log: &Log, from: u64, to: u64, budget: u64) -> ToSend {
        let mut send = ToSend::default();
        let mut size = 0;
        for number in from..to {
            let position: Option<Position> = self.state.get(Tree::Segment, &segment_key(log, number)).ok().flatten();
            let Some(bytes) = position.and_then(|position| self.log.read_bytes(position).ok()) else { break };
            size += bytes.len() as u64;
            if size > budget && !send.segments.is_empty() {
                break;
            }
            send.segments.push(bytes.into());
        }
        send.keys = self.key_records(&send.segments);
        send
    }

    /// The keys of documents in these segments, wrapped for the fleet; erased ones are not among them.
    fn key_records(&self, segments: &[Arc<[u8]>]) -> Vec<Vec<u8>> {
        let Some(membership) = self.membership() else { return Vec::new() };
        let Some((epoch, secret)) = membership.epoch() else { return Vec::new() };
        let space = membership.space();
        let mut records = Vec::new();
        for segment in segments.iter().filter_map(|bytes| Segment::open(bytes).ok()) {
            for (_, change) in segment.changes() {
                let Some(change) = change.filter(|change| change.kind == Kind::Document) else { continue };
                let id = change.document;
                let record = self.document(id).ok().flatten().filter(|record| record.shared == Some(space));
                let Some(key) = record.and_then(|record| self.key_of(id, &record).ok()) else { continue };
                let document = Document { space, id, key: &key };
                records.push(secret.record(epoch, document, entropy()).encode());
            }
        }
        records
    }

    /// Keeps document keys that came; those that do not open, and those that are here or were erased, are left. Says whether some are of an
    /// epoch whose key is not here yet: what they open must wait.
    pub(crate) fn keep_keys(&self, records: &[Vec<u8>]) -> Result<bool, NodeError> {
        let Some(membership) = self.membership() else { return Ok(false) };
        let mut lacks_epoch = false;
        let mut writer = self.writer();
        let mut batch = Batch::default();
        for record in records.iter().filter_map(|bytes| KeyRecord::decode(bytes).ok()) {
            let secret = membership.key(record.epoch);
            lacks_epoch |= secret.is_none() && record.epoch > membership.epoch().map_or(0, |(epoch, _)| epoch);
            let (space, document) = (membership.space(), record.document);
            let Some(key) = secret.and_then(|secret| secret.open(space, &record).ok()) else { continue };
            let id = document.as_bytes();
            let known = self.document(document)?.is_some()
                || self.state.get::<Slot>(Tree::Ahead, id)?.is_some()
                || self.state.get::<GoneRecord>(Tree::Gone, id)?.is_some();
            if !known {
                let slot = writer.keys.insert(space, document, &key);
                batch.put(Tree::Ahead, id, &slot);
            }
        }
        writer.keys.sync()?;
        self.state.apply(batch)?;
        Ok(lacks_epoch)
    }

    /// Puts verified segments into the log, in the order in which they are given, and applies what they say. Answers for each.
    pub(crate) fn receive(&self, orders: Vec<ToStore>) -> Result<Vec<Input>, NodeError> {
        let mut writer = self.writer();
        if writer.behind {
            self.catch_up_with(&mut writer)?;
        }
        if self.membership().is_none() {
            let away = |ToStore { at, .. }| Input::NotStored {
                log: at.log,
                number: at.chain.number - 1,
                retry_after: Duration::from_secs(60),
            };
            return Ok(orders.into_iter().map(away).collect());
        }
        let mut ends: BTreeMap<Log, Held> = BTreeMap::new();
        let (mut answers, mut segments, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for ToStore { bytes, at, after } in orders {
            let (log, number) = (at.log, at.chain.number - 1);
            let end = match ends.get(&log) {
                Some(end) => Some(end.clone()),
                None => self.end_of(&log)?,
            };
            let (next, head) = end.map_or((0, hearth_core::segment::GENESIS), |end| (end.chain.number, end.chain.head));
            if number < next {
                answers.extend(self.held_at(&log, number)?.map(Input::Stored));
            } else if number == next && head == after {
                ends.insert(log, at.clone());
                segments.push(Segment::open(&bytes).map_err(StoreError::from)?);
                taken.push(at);
            } else {
                answers.push(Input::NotStored { log, number, retry_after: Duration::from_secs(1) });
            }
        }
        if !segments.is_empty() {
            let at = now();
            // Before the order is in the log: afterwards nobody would ask again.
            let overtaken = self.overtaken(&segments)?;
            if !overtaken.is_empty() {
                self.erase_items(&mut writer, &overtaken)?;
            }
            // First, so that no crash lets a scan bring back what these segments erase.
            let tags = self.tags_of_erased(&segments)?;
            if !tags.is_empty() {
                self.commit(&mut writer, vec![Entry::Forgotten(ForgottenTags(tags))])?;
            }
            let positions = writer.log.append_foreign(&segments, at)?;
            let mut forgotten = Vec::new();
            for ((segment, position), held) in segments.into_iter().zip(positions).zip(taken) {
                match self.take_in(&mut writer, position, &segment, at) {
                    Ok(tags) => forgotten.extend(tags),
                    Err(error) => {
                        writer.behind = true;
                        return Err(error);
                    }
                }
                self.tell_peers(Grown::Log(held.clone()));
                answers.push(Input::Stored(held));
            }
            // What came and went in these very segments: after a backup, our own.
            if !forgotten.is_empty() {
                self.commit(&mut writer, vec![Entry::Forgotten(ForgottenTags(forgotten))])?;
            }
        }
        Ok(answers)
    }

    /// Our own items of which these segments erase a version that is not the newest: whoever forgot it had not seen the newer one.
    fn overtaken(&self, segments: &[Segment]) -> Result<Vec<ItemRecord>, StoreError> {
        let mut items = Vec::new();
        for segment in segments {
            let space = self.space_of(segment);
            let by_us = DeviceId::of_key_bytes(&segment.head().author) == self.identity.device;
            for (_, change) in segment.changes() {
                let Some(change) = change.filter(|change| change.kind == Kind::Tombstone && !by_us) else { continue };
                let item = match self.document(change.document)? {
                    Some(record) if record.shared == Some(space) => Some(record.item),
                    Some(_) => None,
                    None => {
                        let gone: Option<GoneRecord> = self.state.get(Tree::Gone, change.document.as_bytes())?;
                        gone.and_then(|gone| gone.item)
                    }
                };
                let Some(item) = item else { continue };
                let item: Option<ItemRecord> = self.state.get(Tree::Item, item.as_bytes())?;
                let Some(item) = item.filter(|item| item.node.is_none() && item.document != change.document) else {
                    continue;
                };
                // What was taken back from the fleet meanwhile is nobody else's to erase.
                if self.document(item.document)?.is_some_and(|newest| newest.shared == Some(space)) {
                    items.push(item);
                }
            }
        }
        Ok(items)
    }

    /// States, signed and to all, how far this node has come with everybody's logs: what they ordered to be erased up to there is erased
    /// here. Said when something was, and not too often.
    pub(crate) fn state_reached(&self) -> Result<(), NodeError> {
        let rests = |stated: &mut Option<Instant>| stated.is_some_and(|last| last.elapsed() < STATE_EVERY);
        let shares = self.membership().is_some_and(|membership| membership.epoch().is_some());
        if !shares || !self.owes_statement.load(Ordering::SeqCst) || rests(&mut lock(&self.stated)) {
            return Ok(());
        }
        let mut writer = self.writer();
        if writer.behind {
            return Ok(());
        }
        // What comes from now on is another statement's.
        self.owes_statement.store(false, Ordering::SeqCst);
        let me = self.identity.device;
        let others = self.held()?.into_iter().filter(|held| held.log.author != me);
        let frontier: Frontier = others.filter_map(|held| Some((held.log, Mark::of(&held.chain)?))).collect();
        if frontier.is_empty() || self.reached(&me)?.is_some_and(|said| said == frontier) {
            return Ok(());
        }
        *lock(&self.stated) = Some(Instant::now());
        let stated = self.commit(&mut writer, vec![Entry::Reached(frontier)]);
        if stated.is_err() {
            self.owes_statement.store(true, Ordering::SeqCst);
        }
        stated
    }

    /// How far a device has said to have come.
    fn reached(&self, device: &DeviceId) -> Result<Option<Frontier>, StoreError> {
        let said: Option<minicbor::bytes::ByteVec> = self.state.get(Tree::Reached, device.as_bytes())?;
        Ok(said.and_then(|bytes| Frontier::decode(&bytes)))
    }

    /// How many items the fleet erased, and how many of them each of these devices has not said to have erased.
    pub(crate) fn unconfirmed(
        &self,
        members: &[(DeviceId, Moment)],
    ) -> Result<(u64, BTreeMap<DeviceId, u64>), StoreError> {
        let mut said = BTreeMap::new();
        for (device, _) in members {
            said.insert(*device, self.reached(device)?.unwrap_or_default());
        }
        let (mut items, mut lacks) = (0, BTreeMap::new());
        for gone in self.state.iter::<GoneRecord>(Tree::Gone) {
            let (_, gone) = gone?;
            if !gone.whole {
                continue;
            }
            items += 1;
            let log = Log { author: gone.author, incarnation: gone.incarnation };
            // Who joined after it never had it.
            for (device, _) in members.iter().filter(|(device, joined)| *device != gone.author && *joined <= gone.since)
            {
                let done = said.get(device).and_then(|said| said.get(&log)).is_some_and(|mark| mark.next > gone.number);
                // This node's word is its state.
                if !done && *device != self.identity.device {
                    *lacks.entry(*device).or_default() += 1;
                }
            }
        }
        Ok((items, lacks))
    }

    /// Makes findable by word what came, when anything did.
    pub(crate) fn commit_received_words(&self) -> Result<(), NodeError> {
        let mut writer = self.writer();
        if writer.uncommitted.is_some() && !writer.behind {
            self.commit_words(&mut writer)?;
        }
        Ok(())
    }

    /// Applies a segment of another node, which is in the log already.
    /// What stands for our own things that it erases is returned.
    fn take_in(
        &self,
        writer: &mut Writer,
        position: Position,
        segment: &Segment,
        at: Moment,
    ) -> Result<Vec<hearth_core::ItemId>, NodeError> {
        let space = self.space_of(segment);
        let changes = self.open_changes(segment, |document| {
            let record = self.document(document).ok().flatten();
            let slot = record.map(|record| record.slot);
            let slot = slot.or_else(|| self.state.get::<Slot>(Tree::Ahead, document.as_bytes()).ok().flatten());
            slot.map(|slot| (space, slot))
        });
        let mut from_indexes = false;
        for change in &changes {
            if let Change::Tombstone { document } = change {
                self.owes_statement.store(true, Ordering::SeqCst);
                from_indexes |= self.shared_item(*document, space)?.is_some();
            }
        }
        let arrival = Arrival { position, now: at, origin: self.origin_of(segment), received: true };
        let mut effects = view::apply(&self.state, arrival, changes)?;
        let erased = std::mem::take(&mut effects.erased);
        let tag = |meta: Meta| self.forgotten_tag(&meta.source, &meta.name, &meta.content);
        let tags = std::mem::take(&mut effects.forgotten).into_iter().map(tag).collect();
        self.carry_out(writer, effects)?;
        if !erased.is_empty() {
            writer.keys.erase(erased)?;
        }
        // With the keys it is gone for good; what is left in files goes for many at a time.
        self.unclean.fetch_or(from_indexes, Ordering::SeqCst);
        Ok(tags)
    }

    /// What stands for our own things that these segments erase.
    fn tags_of_erased(&self, segments: &[Segment]) -> Result<Vec<hearth_core::ItemId>, StoreError> {
        let mut tags = Vec::new();
        for segment in segments {
            let space = self.space_of(segment);
            for (_, change) in segment.changes() {
                let Some(change) = change.filter(|change| change.kind == Kind::Tombstone) else { continue };
                let item = self.shared_item(change.document, space)?.filter(|item| item.node.is_none());
                tags.extend(
                    item.map(|item| self.forgotten_tag(&item.meta.source, &item.meta.name, &item.meta.content)),
                );
            }
        }
        Ok(tags)
    }

    /// The item whose current version this is, when the fleet shares it.
    fn shared_item(&self, document: DocumentId, space: SpaceId) -> Result<Option<ItemRecord>, StoreError> {
        let Some(record) = self.document(document)?.filter(|record| record.shared == Some(space)) else {
            return Ok(None);
        };
        let item: Option<ItemRecord> = self.state.get(Tree::Item, record.item.as_bytes())?;
        Ok(item.filter(|item| item.document == document))
    }

    fn end_of(&self, log: &Log) -> Result<Option<Held>, StoreError> {
        let end: Option<EndRecord> = self.state.get(Tree::End, &end_key(log))?;
        Ok(end.map(|EndRecord { author, number, seq, head, residency }| {
            let chain = Chain { author, incarnation: log.incarnation, number, seq, head };
            Held { log: *log, chain, residency }
        }))
    }

    /// A log as it was right after one of its segments.
    fn held_at(&self, log: &Log, number: u64) -> Result<Option<Held>, StoreError> {
        let position: Option<Position> = self.state.get(Tree::Segment, &segment_key(log, number))?;
        let Some(position) = position else { return Ok(None) };
        let segment = self.log.read(position)?;
        let residency = segment.head().residency;
        Ok(Some(Held { log: *log, chain: Chain::right_after(&segment), residency }))
    }

    /// Makes jobs of documents whose authors took too long to send vectors.
    pub(crate) fn embed_awaited(&self, at: Moment) -> Result<(), NodeError> {
        let _one_at_a_time = self.writer();
        let (mut batch, mut totals) = (Batch::default(), self.totals()?);
        for awaited in self.state.iter::<Moment>(Tree::Awaited) {
            let (document, since) = awaited?;
            // A clock that was set back must not stop it for good.
            if since <= at && at.since(since) < AUTHOR_FIRST {
                continue;
            }
            batch.remove(Tree::Awaited, &document);
            batch.put(Tree::Job, &document, &JobRecord { state: job::State::new(at) });
            totals.pending += 1;
        }
        if !batch.is_empty() {
            batch.put(Tree::Meta, view::TOTALS, &totals);
            self.state.apply(batch)?;
            self.work.more();
        }
        Ok(())
    }

    /// An item's current text under other facts, as a new version: into the log in which it belongs now.
    pub(super) fn moved(&self, item: &ItemRecord, meta: Meta) -> Result<Entry, NodeError> {
        let missing = || StoreError::Damaged("the state: a document is not in it");
        let record = self.document(item.document)?.ok_or_else(missing)?;
        let body = self.body(item.document, &record)?.with_meta(meta);
        let encoded = body.encode().ok_or(StoreError::Damaged("a document"))?;
        Ok(Entry::Document { body: Box::new(body), encoded })
    }

    /// Moves what this node captured into the log in which its session has it now; says how many items that were. What is shared stays
    /// so but for the sessions that were just taken back: a gate from a backup takes back nothing.
    pub(crate) fn settle_homes(&self, taken_back: &[SessionId]) -> Result<u64, NodeError> {
        if self.membership().is_none() {
            return Ok(0);
        }
        let is_away = |item: &ItemRecord| -> Result<bool, StoreError> {
            let session = item.meta.session;
            let meant = self.residency_of(session).is_some() || taken_back.contains(&session);
            Ok(item.node.is_none() && meant && !self.is_at_home(item, session)?)
        };
        let mut away = Vec::new();
        self.each_item(|item| {
            if is_away(&item)? {
                away.push(item.meta.item);
            }
            Ok(())
        })?;
        self.move_items(&away, &is_away)?;
        if !away.is_empty() {
            self.erase_older()?;
        }
        Ok(away.len() as u64)
    }

    /// Writes items anew into the log in which they belong, those that still lie elsewhere.
    pub(super) fn move_items(
        &self,
        away: &[ItemId],
        is_away: &dyn Fn(&ItemRecord) -> Result<bool, StoreError>,
    ) -> Result<(), NodeError> {
        for items in away.chunks(MOVES) {
            let mut writer = self.writer();
            let (mut entries, mut vectors) = (Vec::new(), Vec::new());
            for id in items {
                // It may have changed, moved or gone since it was looked up.
                let item: Option<ItemRecord> = self.state.get(Tree::Item, id.as_bytes())?;
                let Some(item) = item else { continue };
                if is_away(&item)? {
                    vectors.push((*id, self.vectors_of(item.document)?));
                    entries.push(self.moved(&item, item.meta.clone())?);
                }
            }
            self.commit(&mut writer, entries)?;
            let mut entries = Vec::new();
            for (item, rows) in vectors {
                let item: Option<ItemRecord> = self.state.get(Tree::Item, item.as_bytes())?;
                let document = item.map(|item| item.document).filter(|_| !rows.rows.is_empty());
                entries.extend(document.map(|document| Entry::Embedding { document, vectors: rows }));
            }
            self.commit(&mut writer, entries)?;
        }
        Ok(())
    }

    /// The vectors that the log has of a document, in one piece.
    fn vectors_of(&self, document: DocumentId) -> Result<Vectors, NodeError> {
        let mut all = Vectors { model: self.model.id().to_owned(), rows: Vec::new(), more: false };
        let Some(DocumentRecord { slot, shared, also, .. }) = self.document(document)? else { return Ok(all) };
        let owner = shared.unwrap_or(self.identity.space);
        for position in also {
            let changes = self.open_changes(&self.log.read(position)?, |id| (id == document).then_some((owner, slot)));
            for change in changes {
                if let Change::Embedding { document: of, vectors } = change
                    && of == document
                {
                    all.rows.extend(vectors.rows);
                }
            }
        }
        Ok(all)
    }
}

/// Names of nodes for people, by their ids; a relay is called by its address.
pub(crate) fn name_of(membership: Option<&Membership>, device: &DeviceId) -> String {
    let name = membership.and_then(|membership| {
        let relay = || membership.fleet.relay(device).map(|relay| format!("the relay at {}", relay.address));
        membership.name_of(device).map(str::to_owned).or_else(relay)
    });
    name.unwrap_or_else(|| device.to_string())
}
