//! One simulated node: the shell around the machine. It stores, syncs, reads, restarts, and carries effects out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use hearth_core::{
    DeviceId, Moment,
    segment::{Chain, GENESIS},
    sync::{
        Config, Effect, Frame, Frontier, Held, Input, Log, News, Peer, Standing, Trust,
        breaker::Breaker,
        frame::{PROTOCOL, Reason},
    },
};

use super::{Event, World, author, disk::Disk};

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A device that keeps to everything.
    Honest,
    /// A device whose key another one uses too: together they fork its log.
    Twin,
    /// Stores and forwards, writes nothing.
    Relay,
    /// A relay that drops, repeats, mixes, changes and overruns.
    Liar,
}

/// What a node knows of the fleet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) members: BTreeSet<DeviceId>,
    /// Who may have what lives under a residency; 0 is for all.
    pub(crate) homes: BTreeMap<u16, BTreeSet<DeviceId>>,
}

impl Trust for Known {
    fn fleet(&self) -> [u8; 16] {
        author::FLEET
    }
    fn author(&self, log: &Log) -> Standing {
        if self.members.contains(&log.author) { Standing::Member } else { Standing::Unknown }
    }
    fn may_have(&self, who: &DeviceId, residency: u16) -> bool {
        residency == 0 || self.homes.get(&residency).is_some_and(|home| home.contains(who))
    }
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) role: Role,
    /// Whose key it has.
    pub(crate) author: usize,
    pub(crate) device: DeviceId,
    pub(crate) credit: u64,
    pub(crate) skew: i64,
    /// The most milliseconds that its disk takes to sync.
    pub(crate) slow: u64,
    pub(crate) trust: Known,
    pub(crate) disk: Disk,
    pub(crate) up: bool,
    /// Counts restarts; what was begun in an earlier life does not come back.
    pub(crate) life: u64,
    /// Where each log stands after each segment, synced or not.
    pub(crate) chains: BTreeMap<Log, Vec<Held>>,
    /// How many segments of each log are synced.
    pub(crate) durable: BTreeMap<Log, u64>,
    pub(crate) sessions: BTreeMap<usize, Session>,
    ticket: u64,
    tickets: VecDeque<(u64, Log)>,
    /// Who waits for which segment to be synced: log, number, peer, bytes.
    waiters: Vec<(Log, u64, usize, u64)>,
    /// The furthest that it ever said to have each log.
    pub(crate) told: BTreeMap<Log, u64>,
    /// Messages that a liar keeps for later.
    stash: Vec<Vec<u8>>,
    /// Keys that go with what is read next.
    pub(crate) keys: Vec<Vec<u8>>,
}

/// A message without the bytes of its segments.
fn brief(frame: &Frame) -> String {
    match frame {
        Frame::Segments { log, first, segments } => {
            format!("{} segments of {}/{} from {first}", segments.len(), log.author, log.incarnation)
        }
        Frame::Proof { .. } => "a proof".to_owned(),
        other => format!("{other:?}"),
    }
}

/// What a node keeps of one peer.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: Peer,
    pub(crate) breaker: Breaker,
    timer: Option<u64>,
    /// Bytes given to the disk and not answered.
    storing: u64,
}

impl Node {
    pub(crate) fn new(role: Role, author: usize, device: DeviceId, credit: u64) -> Self {
        Self {
            role,
            author,
            device,
            credit,
            skew: 0,
            slow: 40,
            trust: Known::default(),
            disk: Disk::default(),
            up: false,
            life: 0,
            chains: BTreeMap::new(),
            durable: BTreeMap::new(),
            sessions: BTreeMap::new(),
            ticket: 0,
            tickets: VecDeque::new(),
            waiters: Vec::new(),
            told: BTreeMap::new(),
            stash: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Whether what it does is held to the rules.
    pub(crate) fn is_honest(&self) -> bool {
        matches!(self.role, Role::Honest | Role::Relay)
    }

    fn own(&self, incarnation: u64) -> Log {
        Log { author: self.device, incarnation }
    }

    /// Begins another life of the log for a residency.
    fn begin_anew(&mut self, residency: u16) {
        let now = self.disk.lanes.get(&residency).copied().unwrap_or(u64::from(residency));
        self.disk.lanes.insert(residency, now + 1000);
    }

    fn append(&mut self, bytes: Arc<[u8]>, at: Held) -> u64 {
        self.ticket += 1;
        self.tickets.push_back((self.ticket, at.log));
        self.disk.append(self.ticket, at.log, bytes);
        self.chains.entry(at.log).or_default().push(at);
        self.ticket
    }
}

impl World {
    pub(crate) fn wall(&self, n: usize) -> Moment {
        Moment::from_millis(self.now.saturating_add_signed(self.nodes[n].skew))
    }

    /// Tells a node's machine for one peer what happened, and carries out what it then wants.
    pub(crate) fn feed(&mut self, n: usize, p: usize, input: Input) {
        if self.broken.is_some() || !self.nodes[n].up {
            return;
        }
        let wall = self.wall(n);
        let life = self.nodes[n].life;
        let node = &mut self.nodes[n];
        let Some(session) = node.sessions.get_mut(&p) else { return };
        session.peer.handle(wall, input, &node.trust);
        loop {
            let node = &mut self.nodes[n];
            let Some(session) = node.sessions.get_mut(&p) else { return };
            if node.role != Role::Liar && session.peer.taken().max(session.storing) > node.credit {
                let (taken, credit) = (session.peer.taken().max(session.storing), node.credit);
                return self.broke(format!("node {n} holds {taken} bytes of node {p}, which was granted {credit}"));
            }
            let Some(effect) = session.peer.poll(wall) else { break };
            self.figures.effects += 1;
            if self.crashes > 0 && self.dice.happens(self.crashes) {
                return self.crash(n);
            }
            self.carry_out(n, p, effect);
            if self.nodes[n].life != life || !self.nodes[n].up {
                return;
            }
        }
        self.set_timer(n, p);
    }

    fn set_timer(&mut self, n: usize, p: usize) {
        let skew = self.nodes[n].skew;
        let (now, life) = (self.now, self.nodes[n].life);
        let Some(session) = self.nodes[n].sessions.get_mut(&p) else { return };
        let Some(due) = session.peer.poll_timeout() else { return };
        let at = due.as_millis().saturating_add_signed(-skew).max(now + 1);
        if session.timer.is_none_or(|timer| timer > at || timer <= now) {
            session.timer = Some(at);
            self.after(at - now, Event::Wake { n, p, life, at });
        }
    }

    pub(crate) fn wake(&mut self, n: usize, p: usize, at: u64) {
        if let Some(session) = self.nodes[n].sessions.get_mut(&p)
            && session.timer == Some(at)
        {
            session.timer = None;
            self.feed(n, p, Input::Tick);
        }
    }

    fn carry_out(&mut self, n: usize, p: usize, effect: Effect) {
        match effect {
            Effect::Send(frame) => self.sent(n, p, &frame),
            Effect::Store { bytes, at, after } => self.store(n, p, bytes, at, after),
            Effect::Read { log, from, to, budget } => {
                let node = &mut self.nodes[n];
                let mut segments = Vec::new();
                let mut size = 0;
                for number in from..to {
                    let Some(bytes) = node.disk.get(&log, number) else { break };
                    size += bytes.len() as u64;
                    if !segments.is_empty() && size > budget {
                        break;
                    }
                    segments.push(Arc::clone(bytes));
                }
                let (life, keys) = (node.life, std::mem::take(&mut node.keys));
                let wait = self.dice.from(0, 8);
                self.after(wait, Event::Read { n, p, life, log, first: from, segments, keys });
            }
            Effect::KeepKeys(records) => self.figures.keys += records.len() as u64,
            Effect::Tell(news) => self.told(n, p, news),
            Effect::Close(reason) => {
                self.say(|| format!("node {n} closes {p}: {reason:?}"));
                let failed = !matches!(reason, Reason::Done);
                self.figures.count(&reason);
                self.hang_up(n, p, failed);
            }
        }
    }

    fn store(&mut self, n: usize, p: usize, bytes: Arc<[u8]>, at: Held, after: [u8; 32]) {
        let (log, number) = (at.log, at.chain.number - 1);
        let wait = self.dice.from(1, self.nodes[n].slow);
        let node = &mut self.nodes[n];
        let size = bytes.len() as u64;
        node.sessions.get_mut(&p).expect("it asked").storing += size;
        let places = node.chains.entry(log).or_default();
        let here = usize::try_from(number).expect("small");
        if here < places.len() {
            node.waiters.push((log, number, p, size));
            return self.answer(n);
        }
        let end = places.last().map_or(GENESIS, |held| held.chain.head);
        if here > places.len() || end != after || node.disk.full {
            node.sessions.get_mut(&p).expect("it asked").storing -= size;
            return self.feed(n, p, Input::NotStored { log, number, retry_after: Duration::from_secs(3) });
        }
        if node.is_honest()
            && let Some(foreign) = self.misplaced(n, &bytes)
        {
            return self.broke(format!("node {n} stores what may live under residency {foreign} only"));
        }
        let node = &mut self.nodes[n];
        let ticket = node.append(bytes, at);
        node.waiters.push((log, number, p, size));
        let life = node.life;
        self.after(wait, Event::Synced { n, life, ticket });
    }

    pub(crate) fn synced(&mut self, n: usize, ticket: u64) {
        let node = &mut self.nodes[n];
        node.disk.sync(ticket);
        let mut grown = Vec::new();
        while let Some((_, log)) = node.tickets.pop_front_if(|(at, _)| *at <= ticket) {
            let durable = node.durable.entry(log).or_default();
            grown.push(node.chains[&log][usize::try_from(*durable).expect("small")].clone());
            *durable += 1;
            if log.author == node.device {
                node.disk.anchors.insert(log, *durable);
            }
        }
        self.answer(n);
        for held in grown {
            for p in self.peers(n) {
                self.feed(n, p, Input::Appended(held.clone()));
            }
        }
    }

    /// Answers everyone who waits for a segment that is synced now.
    fn answer(&mut self, n: usize) {
        loop {
            let node = &mut self.nodes[n];
            let durable = &node.durable;
            let ready = |(log, number, ..): &(Log, u64, usize, u64)| durable.get(log).is_some_and(|end| number < end);
            let Some(at) = node.waiters.iter().position(ready) else { return };
            let (log, number, p, size) = node.waiters.remove(at);
            let number = usize::try_from(number).expect("small");
            let held = node.chains[&log][number].clone();
            if let Some(session) = node.sessions.get_mut(&p) {
                session.storing -= size;
            }
            self.feed(n, p, Input::Stored(held));
        }
    }

    pub(crate) fn peers(&self, n: usize) -> Vec<usize> {
        self.nodes[n].sessions.keys().copied().collect()
    }

    /// An author writes.
    pub(crate) fn write(&mut self, n: usize) {
        let node = &self.nodes[n];
        let frozen = node.disk.proofs.iter().any(|proof| proof.author() == node.device);
        if !node.up || frozen || node.disk.full {
            return;
        }
        let mut lanes = vec![0];
        lanes.extend(node.trust.homes.keys().filter(|home| node.trust.may_have(&node.device, **home)));
        if node.role == Role::Twin {
            lanes.truncate(1);
        }
        let residency = lanes[self.dice.index(lanes.len())];
        let now = self.wall(n);
        let node = &self.nodes[n];
        let log = node.own(node.disk.lanes.get(&residency).copied().unwrap_or(u64::from(residency)));
        let begin = || Chain::begin(author::key(node.author).verifying_key().to_bytes(), log.incarnation);
        let chain =
            node.chains.get(&log).and_then(|places| places.last()).map_or_else(begin, |held| held.chain.clone());
        let (bytes, at) = author::write(node.author, &chain, residency, now, &mut self.dice);
        self.trace.bytes(&bytes);
        self.figures.written += 1;
        let wait = self.dice.from(1, 30);
        let node = &mut self.nodes[n];
        let ticket = node.append(bytes, at);
        let life = node.life;
        self.after(wait, Event::Synced { n, life, ticket });
    }

    fn told(&mut self, n: usize, p: usize, news: News) {
        self.say(|| format!("node {n} of {p}: {news:?}"));
        self.figures.count(&news);
        match news {
            News::Equivocation(proof) => {
                if !self.nodes.iter().any(|node| node.role == Role::Twin && node.device == proof.author()) {
                    return self.broke(format!("node {n} blames an honest author"));
                }
                self.figures.forks += 1;
                self.nodes[n].disk.proofs.push(proof.clone());
                for other in self.peers(n).into_iter().filter(|other| *other != p) {
                    self.feed(n, other, Input::Frozen(proof.clone()));
                }
            }
            News::Restored { log, .. } => {
                let lane =
                    self.nodes[n].disk.lanes.iter().find(|(_, now)| **now == log.incarnation).map(|(lane, _)| *lane);
                let lane = lane.or_else(|| u16::try_from(log.incarnation).ok().filter(|lane| *lane < 1000));
                let synced = self.nodes[n].durable.get(&log).copied().unwrap_or(0);
                let anchored = self.nodes[n].disk.anchors.get(&log).copied().unwrap_or(0);
                if self.nodes[n].role == Role::Honest && synced >= anchored && !self.nodes[n].disk.rotten.contains(&log)
                {
                    return self.broke(format!("node {p} has more of the log of node {n} than that node ever synced"));
                }
                if let Some(lane) = lane {
                    self.nodes[n].begin_anew(lane);
                }
            }
            News::Damaged { log, number } => {
                if !self.nodes[n].disk.rotten.contains(&log) {
                    return self.broke(format!("node {n} finds number {number} damaged, and nothing rotted there"));
                }
                // It reads its logs again, and fetches what it had to cut off.
                self.crash(n);
            }
            News::Misplaced { residency, .. } => {
                self.broke(format!("node {n} was sent what may live under residency {residency} only"));
            }
            _ => {}
        }
    }

    /// The power goes.
    pub(crate) fn crash(&mut self, n: usize) {
        if !self.nodes[n].up {
            return;
        }
        self.say(|| format!("node {n} crashes"));
        let node = &mut self.nodes[n];
        node.up = false;
        node.life += 1;
        node.disk.crash(&mut self.dice);
        node.sessions.clear();
        self.figures.crashes += 1;
        let epoch_ends: Vec<usize> = (0..self.nodes.len()).filter(|p| *p != n).collect();
        for p in epoch_ends {
            self.gone(n, p);
        }
        let wait = self.dice.from(50, 8_000);
        self.after(wait, Event::Start { n });
    }

    /// It starts: reads what is on disk, and never goes back behind what it said to have.
    pub(crate) fn start(&mut self, n: usize) {
        if self.nodes[n].up {
            return;
        }
        let others: Vec<(usize, DeviceId)> =
            self.nodes.iter().map(|node| node.device).enumerate().filter(|(p, _)| *p != n).collect();
        let node = &mut self.nodes[n];
        node.chains = node.disk.recover();
        node.durable = node.chains.iter().map(|(log, places)| (*log, places.len() as u64)).collect();
        node.tickets.clear();
        node.waiters.clear();
        for (log, told) in &mut node.told {
            let here = node.durable.get(log).copied().unwrap_or(0);
            if here < *told && node.disk.rotten.contains(log) {
                *told = here;
            } else if here < *told && node.role != Role::Liar {
                let lost = format!("node {n} said to have {told} segments of a log and has {here} after a crash");
                return self.broke(lost);
            }
        }
        let lanes: Vec<u16> = std::iter::once(0).chain(node.trust.homes.keys().copied()).collect();
        for lane in lanes {
            let log = node.own(node.disk.lanes.get(&lane).copied().unwrap_or(u64::from(lane)));
            let anchor = node.disk.anchors.get(&log).copied().unwrap_or(0);
            if node.durable.get(&log).copied().unwrap_or(0) < anchor {
                node.begin_anew(lane);
            }
        }
        let ends: Vec<Held> = node.chains.values().filter_map(|places| places.last().cloned()).collect();
        node.sessions = others
            .into_iter()
            .map(|(p, peer)| {
                let config =
                    Config { me: node.device, peer, tag: author::FLEET, credit: node.credit, max_message: 64 << 10 };
                let peer = Peer::new(config, ends.clone(), node.disk.proofs.clone());
                (p, Session { peer, breaker: Breaker::default(), timer: None, storing: 0 })
            })
            .collect();
        node.up = true;
    }

    /// A message leaves a node: what it says must be true, and what it holds allowed.
    fn sent(&mut self, n: usize, p: usize, frame: &Frame) {
        let bytes = frame.encode();
        self.say(|| format!("node {n} to {p}: {}", brief(frame)));
        let frontier: Option<&Frontier> = match frame {
            Frame::Hello(hello) => hello.frontier.as_ref(),
            Frame::Ack { frontier, .. } => Some(frontier),
            _ => None,
        };
        let node = &mut self.nodes[n];
        if node.is_honest() {
            for (log, mark) in frontier.into_iter().flat_map(Frontier::iter) {
                let synced = node.durable.get(&log).copied().unwrap_or(0);
                let told = node.told.entry(log).or_default();
                if mark.next > synced {
                    let early =
                        format!("node {n} says to have {} segments of a log, and {synced} are synced", mark.next);
                    return self.broke(early);
                }
                if mark.next < *told && matches!(frame, Frame::Hello(_)) {
                    let back = format!("node {n} says to have {} segments of a log, and said {told} before", mark.next);
                    return self.broke(back);
                }
                *told = mark.next.max(*told);
            }
            if let Some(residency) = self.misplaced(p, &bytes) {
                return self.broke(format!("node {n} sends node {p} what may live under residency {residency} only"));
            }
        }
        if self.nodes[n].role == Role::Liar {
            return self.lie(n, p, bytes);
        }
        self.transmit(n, p, bytes);
    }

    /// The residency whose content is in these bytes although this node may not have it.
    pub(crate) fn misplaced(&self, n: usize, bytes: &[u8]) -> Option<u16> {
        let node = &self.nodes[n];
        let foreign = node.trust.homes.keys().filter(|home| !node.trust.may_have(&node.device, **home));
        foreign.copied().find(|home| {
            let canary = author::canary(*home);
            bytes.windows(canary.len()).any(|window| window == canary)
        })
    }

    /// What a lying relay makes of a message.
    fn lie(&mut self, n: usize, p: usize, mut bytes: Vec<u8>) {
        let roll = self.dice.index(100);
        let stash = &mut self.nodes[n].stash;
        if stash.len() < 40 {
            stash.push(bytes.clone());
        } else {
            let at = self.dice.index(40);
            stash[at].clone_from(&bytes);
        }
        match roll {
            0..4 => return,
            4..8 => {
                for _ in 0..self.dice.from(1, 3) {
                    self.transmit(n, p, bytes.clone());
                }
            }
            8..14 => {
                let at = self.dice.index(self.nodes[n].stash.len());
                let old = self.nodes[n].stash[at].clone();
                self.transmit(n, p, old);
            }
            // Everything of one log at once, whatever was granted.
            14..16 => {
                let logs: Vec<Log> = self.nodes[n].durable.keys().copied().collect();
                if !logs.is_empty() {
                    let log = logs[self.dice.index(logs.len())];
                    let end = self.nodes[n].durable[&log];
                    for first in 0..end {
                        let segments = self.nodes[n].disk.get(&log, first).cloned().into_iter().collect();
                        self.transmit(n, p, Frame::Segments { log, first, segments }.encode());
                    }
                }
            }
            16..18 => {
                let at = self.dice.index(bytes.len());
                bytes[at] ^= 1 << self.dice.index(8);
            }
            _ => {}
        }
        self.transmit(n, p, bytes);
    }

    /// What a lying relay hears: whatever it is granted, it takes more.
    pub(crate) fn mishear(bytes: Vec<u8>) -> Vec<u8> {
        match Frame::decode(&bytes, 64 << 10) {
            Ok(Frame::Hello(mut hello)) if hello.protocol == PROTOCOL => {
                hello.credit = 1 << 40;
                Frame::Hello(hello).encode()
            }
            _ => bytes,
        }
    }
}
