//! A fleet in a bottle: the sync machine on simulated nodes, disks and pipes, in pretend time.
//!
//! A run is a function of its seed: one stream of chance decides everything, nothing is ordered by a hash map, and a hash of all that
//! happened says whether two runs were the same. For a while everything goes wrong; then it heals, and everybody must come to hold
//! the same. What must hold at all times is checked as it happens.

mod author;
mod check;
mod dice;
mod disk;
mod net;
mod node;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hearth_core::sync::{Input, Log};

use dice::{Dice, Trace};
use net::Link;
use node::{Known, Node, Role};

/// When it begins, in milliseconds: late enough for a clock that is a year behind.
const BEGIN: u64 = 1_800_000_000_000;
/// How long everything goes wrong.
const STORM: u64 = 60_000;
/// How long it may take until all is well, after that.
const CALM: u64 = 3_600_000;
const YEAR: u64 = 365 * 86_400_000;
/// What only some may have.
const HOME: u16 = 2;

/// What happens, and when is in the key.
#[derive(Debug)]
enum Event {
    Frame { to: usize, from: usize, epoch: u64, bytes: Vec<u8> },
    Parted { n: usize, p: usize, epoch: u64 },
    Dial { a: usize, b: usize },
    Wake { n: usize, p: usize, life: u64, at: u64 },
    Synced { n: usize, life: u64, ticket: u64 },
    Read { n: usize, p: usize, life: u64, log: Log, first: u64, segments: Vec<Arc<[u8]>>, keys: Vec<Vec<u8>> },
    Write { n: usize },
    Start { n: usize },
    Learn { n: usize },
    Trouble,
    Join,
    Heal,
    Look,
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// The hash of everything that happened.
    pub(crate) trace: Trace,
    /// Counts, for whoever wants to know that something happened at all.
    pub(crate) figures: Figures,
}

/// How often what happened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) events: u64,
    pub(crate) effects: u64,
    pub(crate) written: u64,
    pub(crate) crashes: u64,
    /// Proofs found or shown.
    pub(crate) forks: u64,
    pub(crate) keys: u64,
    pub(crate) frames: u64,
    /// From healing to the same everywhere, in milliseconds.
    pub(crate) healing: u64,
    /// Sessions that ended badly, and what users were told, by name.
    pub(crate) named: BTreeMap<String, u64>,
}

impl Figures {
    /// Counts one more of what has this name.
    fn count(&mut self, what: &impl std::fmt::Debug) {
        let name = format!("{what:?}");
        let end = name.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(name.len());
        *self.named.entry(name[..end].to_owned()).or_default() += 1;
    }

    /// All counts by name.
    pub(crate) fn named(self) -> BTreeMap<String, u64> {
        let mut named = self.named;
        for (name, count) in [
            ("events", self.events),
            ("effects", self.effects),
            ("written", self.written),
            ("crashes", self.crashes),
            ("forks", self.forks),
            ("keys", self.keys),
            ("frames", self.frames),
            ("healing", self.healing),
        ] {
            named.insert(name.to_owned(), count);
        }
        named
    }
}

/// One simulated fleet.
#[derive(Debug)]
pub(crate) struct World {
    dice: Dice,
    trace: Trace,
    figures: Figures,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    nodes: Vec<Node>,
    links: BTreeMap<(usize, usize), Link>,
    /// Pairs that can reach each other.
    reach: BTreeSet<(usize, usize)>,
    /// One side of a partition.
    split: Option<BTreeSet<usize>>,
    /// How many in a thousand effects end in a crash.
    crashes: u64,
    healed: Option<u64>,
    broken: Option<String>,
    done: bool,
    aloud: bool,
}

/// Runs the world of this seed.
///
/// # Errors
/// With a sentence that says what was broken, and when.
pub(crate) fn run(seed: u64) -> Result<Outcome, String> {
    tell(seed, false)
}

/// The same, aloud or not.
///
/// # Errors
/// As [`run`].
pub(crate) fn tell(seed: u64, aloud: bool) -> Result<Outcome, String> {
    let mut world = World::new(seed, aloud);
    while let Some(((at, _), event)) = world.events.pop_first() {
        world.now = at;
        world.figures.events += 1;
        world.happen(event);
        if let Some(broken) = &world.broken {
            return Err(format!("seed {seed}, after {} ms: {broken}", at - BEGIN));
        }
        if world.done {
            break;
        }
    }
    world.check_all();
    match world.broken {
        Some(broken) => Err(format!("seed {seed}, at the end: {broken}")),
        None => Ok(Outcome { trace: world.trace, figures: world.figures }),
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl World {
    fn new(seed: u64, aloud: bool) -> Self {
        let mut dice = Dice::new(seed);
        let honest = usize::try_from(dice.from(2, 4)).expect("a few");
        let mut roles = vec![(Role::Honest, 0); honest];
        for (author, role) in roles.iter_mut().enumerate() {
            role.1 = author;
        }
        if dice.happens(350) {
            roles.extend([(Role::Twin, honest); 2]);
        }
        match dice.index(3) {
            0 => roles.push((Role::Relay, honest + 1)),
            1 => roles.push((Role::Liar, honest + 1)),
            _ => {}
        }
        let credit = dice.from(1000, 5000);
        let mut nodes: Vec<Node> = roles
            .iter()
            .map(|(role, author)| {
                let mut node = Node::new(*role, *author, author::device(*author), credit);
                node.slow = if dice.happens(150) { dice.from(300, 1500) } else { 40 };
                node.skew = match dice.index(3) {
                    0 => {
                        i64::try_from(dice.from(0, 2 * YEAR)).expect("two years") - i64::try_from(YEAR).expect("a year")
                    }
                    1 => i64::try_from(dice.from(0, 4000)).expect("seconds") - 2000,
                    _ => 0,
                };
                node
            })
            .collect();
        let members: BTreeSet<_> = nodes.iter().filter(|node| node.author <= honest).map(|node| node.device).collect();
        let home: BTreeSet<_> = nodes
            .iter()
            .filter(|node| node.role == Role::Honest && dice.happens(600))
            .map(|node| node.device)
            .collect();
        for node in &mut nodes {
            node.trust = Known { members: members.clone(), homes: BTreeMap::from([(HOME, home.clone())]) };
        }
        let mut world = Self {
            dice,
            trace: Trace::begin(),
            figures: Figures::default(),
            now: BEGIN,
            events: BTreeMap::new(),
            count: 0,
            nodes,
            links: BTreeMap::new(),
            reach: BTreeSet::new(),
            split: None,
            crashes: 0,
            healed: None,
            broken: None,
            done: false,
            aloud,
        };
        world.set_out();
        world
    }

    /// Who reaches whom, and what is going to happen.
    fn set_out(&mut self) {
        let count = self.nodes.len();
        let mut twins = (0..count).filter(|n| self.nodes[*n].role == Role::Twin);
        let twins = twins.next().zip(twins.next());
        for a in 0..count {
            for b in a + 1..count {
                let roles = (self.nodes[a].role, self.nodes[b].role);
                let met = match roles {
                    (Role::Twin, Role::Twin) => false,
                    // Each side of a fork is told to others; at least one tells each.
                    (Role::Honest, Role::Twin) => a % 2 == usize::from(twins.is_some_and(|(one, _)| one == b)),
                    (Role::Twin, _) | (_, Role::Twin) => false,
                    (Role::Honest, Role::Honest) => self.dice.happens(750),
                    _ => true,
                };
                if met {
                    self.reach.insert((a, b));
                }
                self.links.insert((a, b), Link::default());
                let wait = self.dice.from(0, 1500);
                self.after(wait, Event::Dial { a, b });
            }
        }
        for n in 0..count {
            // Now and then somebody does not know of an author yet.
            if self.nodes[n].is_honest() && self.dice.happens(150) {
                let stranger = self.nodes[self.dice.index(count)].device;
                if stranger != self.nodes[n].device {
                    self.nodes[n].trust.members.remove(&stranger);
                    let wait = self.dice.from(1, STORM);
                    self.after(wait, Event::Learn { n });
                }
            }
            self.start(n);
            if matches!(self.nodes[n].role, Role::Honest | Role::Twin) {
                let many = if self.dice.happens(120) { 30 } else { 8 };
                let count = match self.nodes[n].role {
                    // Often as long as each other, so that only the digests differ.
                    Role::Twin if self.dice.happens(600) => 3,
                    _ => self.dice.from(1, many),
                };
                for _ in 0..count {
                    let wait = self.dice.from(0, STORM);
                    self.after(wait, Event::Write { n });
                }
            }
        }
        // Twins share what was written before there were two.
        if let Some((one, other)) = twins {
            for _ in 0..self.dice.from(0, 2) {
                self.write(one);
            }
            self.settle(one);
            let copy = self.nodes[one].disk.copy();
            self.nodes[other].disk = copy;
            self.nodes[other].up = false;
            self.start(other);
        }
        for _ in 0..self.dice.from(0, 12) {
            let wait = self.dice.from(0, STORM);
            self.after(wait, Event::Trouble);
        }
        self.crashes = if self.dice.happens(500) { self.dice.from(1, 12) } else { 0 };
        self.after(STORM, Event::Heal);
    }

    /// Lets a node's disk finish before anything else happens.
    fn settle(&mut self, n: usize) {
        let pending: Vec<(u64, u64)> = self
            .events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Synced { n: at, .. } if *at == n))
            .map(|(key, _)| *key)
            .collect();
        for key in pending {
            if let Some(event) = self.events.remove(&key) {
                self.happen(event);
            }
        }
    }

    fn after(&mut self, wait: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.now + wait, self.count), event);
    }

    #[expect(clippy::print_stdout, reason = "for whoever runs one seed and wants to see it")]
    fn say(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            println!("{:>8} {}", self.now - BEGIN, what());
        }
    }

    fn broke(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn happen(&mut self, event: Event) {
        self.trace.number(self.now);
        match event {
            Event::Frame { to, from, epoch, bytes } => self.arrive(to, from, epoch, bytes),
            Event::Parted { n, p, epoch } => self.parted(n, p, epoch),
            Event::Dial { a, b } => self.dial(a, b),
            Event::Wake { n, p, life, at } if life == self.nodes[n].life => self.wake(n, p, at),
            Event::Synced { n, life, ticket } if life == self.nodes[n].life => self.synced(n, ticket),
            Event::Read { n, p, life, log, first, segments, keys } if life == self.nodes[n].life => {
                self.feed(n, p, Input::Segments { log, first, segments, keys });
            }
            Event::Wake { .. } | Event::Synced { .. } | Event::Read { .. } => {}
            Event::Write { n } => self.write(n),
            Event::Start { n } => self.start(n),
            Event::Learn { n } => self.learn(n),
            Event::Trouble => self.trouble(),
            Event::Join => {
                self.split = None;
                for node in &mut self.nodes {
                    node.disk.full = false;
                }
            }
            Event::Heal => self.heal(),
            Event::Look => self.look(),
        }
    }

    fn arrive(&mut self, to: usize, from: usize, epoch: u64, bytes: Vec<u8>) {
        let link = &self.links[&pair(to, from)];
        if link.epoch != epoch || !link.ends[usize::from(to > from)] {
            return;
        }
        self.trace.bytes(&bytes);
        self.figures.frames += 1;
        let bytes = if self.nodes[to].role == Role::Liar { Self::mishear(bytes) } else { bytes };
        self.feed(to, from, Input::Frame(bytes));
    }

    fn transmit(&mut self, n: usize, p: usize, bytes: Vec<u8>) {
        let end = usize::from(n > p);
        let link = self.links.get_mut(&pair(n, p)).expect("every pair has one");
        link.remember(end, &bytes);
        if link.ends[end] && !link.dead[end] {
            let (at, epoch) = (link.arrival(end, self.now, &mut self.dice), link.epoch);
            self.after(at - self.now, Event::Frame { to: p, from: n, epoch, bytes });
        }
    }

    fn dial(&mut self, a: usize, b: usize) {
        let wait = self.dice.from(1000, 4000);
        self.after(wait, Event::Dial { a, b });
        if !self.nodes[a].up || !self.reach.contains(&(a, b)) {
            return;
        }
        let wall = self.wall(a);
        let link = &self.links[&(a, b)];
        let there = self.nodes[b].up;
        let session = self.nodes[a].sessions.get_mut(&b).expect("a node that is up has a session for everyone");
        if link.ends == [true; 2] {
            if session.peer.is_open() {
                session.breaker.worked();
            }
            return;
        }
        if !session.breaker.try_now(wall) {
            return;
        }
        let apart = self.split.as_ref().is_some_and(|side| side.contains(&a) != side.contains(&b));
        if !there || apart {
            let entropy = self.dice.roll();
            return session.breaker.failed(wall, entropy);
        }
        let link = self.links.get_mut(&(a, b)).expect("every pair has one");
        link.connect(self.now, &mut self.dice);
        self.feed(a, b, Input::Connected);
        self.feed(b, a, Input::Connected);
        // A broker may bring again what it had from before.
        if self.healed.is_none() && self.dice.happens(50) {
            for (from, to) in [(a, b), (b, a)] {
                let old = self.links[&(a, b)].old[usize::from(from > to)].clone();
                let some = self.dice.index(old.len() + 1);
                for bytes in old.into_iter().take(some) {
                    self.transmit(from, to, bytes);
                }
            }
        }
    }

    /// A node closes its end; the other hears of it, if it hears anything.
    fn hang_up(&mut self, n: usize, p: usize, failed: bool) {
        let wall = self.wall(n);
        let entropy = self.dice.roll();
        if let Some(session) = self.nodes[n].sessions.get_mut(&p).filter(|_| failed) {
            session.breaker.failed(wall, entropy);
        }
        self.gone(n, p);
        self.feed(n, p, Input::Disconnected);
    }

    /// One end is not there any more.
    fn gone(&mut self, n: usize, p: usize) {
        let end = usize::from(n > p);
        let link = self.links.get_mut(&pair(n, p)).expect("every pair has one");
        if !std::mem::take(&mut link.ends[end]) || !link.ends[1 - end] || link.dead[end] {
            return;
        }
        let (at, epoch) = (link.arrival(end, self.now, &mut self.dice), link.epoch);
        self.after(at - self.now, Event::Parted { n: p, p: n, epoch });
    }

    fn parted(&mut self, n: usize, p: usize, epoch: u64) {
        let end = usize::from(n > p);
        let link = self.links.get_mut(&pair(n, p)).expect("every pair has one");
        if link.epoch == epoch && std::mem::take(&mut link.ends[end]) {
            let wall = self.wall(n);
            let entropy = self.dice.roll();
            if let Some(session) = self.nodes[n].sessions.get_mut(&p) {
                if session.peer.is_open() {
                    session.breaker.worked();
                } else {
                    session.breaker.failed(wall, entropy);
                }
            }
            self.feed(n, p, Input::Disconnected);
        }
    }

    fn learn(&mut self, n: usize) {
        let members: BTreeSet<_> = self
            .nodes
            .iter()
            .filter(|node| matches!(node.role, Role::Honest | Role::Twin))
            .map(|node| node.device)
            .collect();
        self.nodes[n].trust.members = members;
        for p in self.peers(n) {
            self.feed(n, p, Input::TrustChanged);
        }
    }

    /// Something goes wrong.
    fn trouble(&mut self) {
        if self.healed.is_some() {
            return;
        }
        let n = self.dice.index(self.nodes.len());
        let mut p = self.dice.index(self.nodes.len() - 1);
        p += usize::from(p >= n);
        let kind = self.dice.index(8);
        let name = ["crash", "cut", "half-open", "partition", "rot", "full", "clock", "keys"][kind];
        self.say(|| format!("trouble: {name} at node {n}, toward {p}"));
        match kind {
            0 => self.crash(n),
            // A connection breaks; what was under way is lost.
            1 => self.links.get_mut(&pair(n, p)).expect("every pair has one").epoch += 1,
            // One direction dies without a word.
            2 => self.links.get_mut(&pair(n, p)).expect("every pair has one").dead[usize::from(n > p)] = true,
            3 => {
                let side: BTreeSet<usize> = (0..self.nodes.len()).filter(|_| self.dice.happens(500)).collect();
                for ((a, b), link) in &mut self.links {
                    if side.contains(a) != side.contains(b) {
                        link.dead = [true; 2];
                    }
                }
                self.split = Some(side);
                let wait = self.dice.from(1000, 30_000);
                self.after(wait, Event::Join);
            }
            4 => self.nodes[n].disk.rot(&mut self.dice),
            5 => {
                self.nodes[n].disk.full = true;
                let wait = self.dice.from(500, 10_000);
                self.after(wait, Event::Join);
            }
            // A clock is set.
            6 => {
                let step = i64::try_from(self.dice.from(0, 7_200_000)).expect("hours") - 3_600_000;
                self.nodes[n].skew += step;
            }
            _ => self.nodes[n].keys = (0..3).map(|record| vec![record; 40]).collect(),
        }
    }

    /// From here on everything works: all are up, all reach each other, all disks have room, all know all.
    fn heal(&mut self) {
        self.say(|| "all heals".to_owned());
        self.healed = Some(self.now);
        self.crashes = 0;
        self.split = None;
        let count = self.nodes.len();
        for n in 0..count {
            self.nodes[n].disk.full = false;
            self.start(n);
            self.learn(n);
        }
        for a in 0..count {
            for b in a + 1..count {
                if ![a, b].iter().any(|n| self.nodes[*n].role == Role::Twin) {
                    self.reach.insert((a, b));
                }
                self.links.get_mut(&(a, b)).expect("every pair has one").ends = [false; 2];
                self.feed(a, b, Input::Disconnected);
                self.feed(b, a, Input::Disconnected);
            }
        }
        self.after(5000, Event::Look);
    }

    /// Is everything well?
    fn look(&mut self) {
        let since = self.now - self.healed.expect("it looks only after healing");
        match self.differs() {
            None => {
                self.figures.healing = since;
                self.done = true;
            }
            Some(what) if since > CALM => self.broke(format!("not the same everywhere an hour after healing: {what}")),
            Some(_) => self.after(5000, Event::Look),
        }
    }
}
