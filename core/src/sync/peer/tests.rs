//! Two peers on one table: what each rule of a session does, one at a time. Bad weather is the simulator's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::*;
use crate::{
    segment::Segment,
    sync::{
        Standing,
        frame::Ask,
        tests::{key, next, start},
    },
};

/// A fleet in which everybody is a member but the strangers.
#[derive(Clone, Default)]
struct Fleet {
    strangers: BTreeSet<DeviceId>,
    revoked: BTreeMap<DeviceId, u64>,
    outside: BTreeSet<(DeviceId, u16)>,
}

impl Trust for Fleet {
    fn fleet(&self) -> [u8; 16] {
        [0; 16]
    }
    fn author(&self, log: &Log) -> Standing {
        match self.revoked.get(&log.author) {
            _ if self.strangers.contains(&log.author) => Standing::Unknown,
            Some(end) => Standing::RevokedAfter(*end),
            None => Standing::Member,
        }
    }
    fn may_have(&self, who: &DeviceId, residency: u16) -> bool {
        !self.outside.contains(&(*who, residency))
    }
}

fn device(author: u8) -> DeviceId {
    DeviceId::of_key(&key(author).verifying_key())
}

fn config(me: u8, peer: u8) -> Config {
    Config { me: device(me), peer: device(peer), tag: [3; 16], credit: 4000, max_message: 1 << 20 }
}

/// A peer with a disk that works at once.
struct Side {
    peer: Peer,
    trust: Fleet,
    disk: BTreeMap<Log, Vec<Arc<[u8]>>>,
    ends: BTreeMap<Log, Held>,
    news: Vec<News>,
    sent: Vec<Frame>,
    closed: Option<Reason>,
    keys: usize,
    full: bool,
    /// Logs of which the disk takes nothing.
    declines: BTreeSet<Log>,
    /// Whether the disk answers.
    syncs: bool,
    unsynced: Vec<Held>,
    /// Whether each segment that is read brings a key.
    wraps: bool,
    /// What was read.
    reads: Vec<Log>,
    /// Whether the disk takes its time to read.
    is_slow: bool,
    unread: Vec<Input>,
}

impl Side {
    fn new(me: u8, peer: u8, segments: &[Segment]) -> Self {
        let mut side = Self {
            peer: Peer::new(config(me, peer), [], []),
            trust: Fleet::default(),
            disk: BTreeMap::new(),
            ends: BTreeMap::new(),
            news: Vec::new(),
            sent: Vec::new(),
            closed: None,
            keys: 0,
            full: false,
            declines: BTreeSet::new(),
            syncs: true,
            unsynced: Vec::new(),
            wraps: false,
            reads: Vec::new(),
            is_slow: false,
            unread: Vec::new(),
        };
        for segment in segments {
            let held = side.keep(segment);
            side.tell(NOW, Input::Appended(held));
        }
        side
    }

    fn keep(&mut self, segment: &Segment) -> Held {
        let log = Log::of(segment);
        let head = segment.head();
        let mut chain = self.ends.get(&log).map_or_else(|| Chain::begin(head.author, 1), |held| held.chain.clone());
        chain.follow(segment).expect("in order");
        let held = Held { log, chain, residency: head.residency };
        self.disk.entry(log).or_default().push(segment.encode().into());
        self.ends.insert(log, held.clone());
        held
    }

    fn tell(&mut self, now: Moment, input: Input) {
        self.peer.handle(now, input, &self.trust.clone());
        while let Some(effect) = self.peer.poll(now) {
            match effect {
                Effect::Send(frame) => self.sent.push(frame),
                Effect::Store { bytes, at, .. } => {
                    let (log, number) = (at.log, at.chain.number - 1);
                    if self.full {
                        let retry_after = Duration::from_secs(5);
                        self.tell(now, Input::NotStored { log, number, retry_after });
                        continue;
                    }
                    if self.declines.contains(&log) {
                        self.tell(now, Input::Declined { log, number });
                        continue;
                    }
                    self.disk.entry(log).or_default().push(bytes);
                    self.ends.insert(log, at.clone());
                    if self.syncs {
                        self.tell(now, Input::Stored(at));
                    } else {
                        self.unsynced.push(at);
                    }
                }
                Effect::Read { log, from, to, budget: _ } => {
                    let there = self.disk.get(&log).map(Vec::as_slice).unwrap_or_default();
                    let (first, end) = (usize::try_from(from).expect("small"), usize::try_from(to).expect("small"));
                    let segments = there[first.min(there.len())..end.min(there.len())].to_vec();
                    let keys = if self.wraps { vec![vec![7; 100]; segments.len()] } else { Vec::new() };
                    self.reads.push(log);
                    let read = Input::Segments { log, first: from, segments, keys };
                    if self.is_slow {
                        self.unread.push(read);
                    } else {
                        self.tell(now, read);
                    }
                }
                Effect::KeepKeys(records) => self.keys += records.len(),
                Effect::Tell(news) => self.news.push(news),
                Effect::Close(reason) => self.closed = Some(reason),
            }
        }
    }

    fn waiting(&self) -> u64 {
        self.peer.waiting(&self.trust)
    }

    fn end(&self, author: u8) -> u64 {
        self.ends.get(&Log { author: device(author), incarnation: 1 }).map_or(0, |held| held.chain.number)
    }
}

const NOW: Moment = Moment::from_millis(1_000_000);

fn connect(a: &mut Side, b: &mut Side) {
    a.tell(NOW, Input::Connected);
    b.tell(NOW, Input::Connected);
    talk(a, b);
}

/// Carries messages until nobody says anything; says how many bytes that took.
fn talk(a: &mut Side, b: &mut Side) -> usize {
    let mut bytes = 0;
    while !a.sent.is_empty() || !b.sent.is_empty() {
        for frame in std::mem::take(&mut a.sent) {
            let frame = frame.encode();
            bytes += frame.len();
            b.tell(NOW, Input::Frame(frame));
        }
        for frame in std::mem::take(&mut b.sent) {
            let frame = frame.encode();
            bytes += frame.len();
            a.tell(NOW, Input::Frame(frame));
        }
    }
    bytes
}

fn written(author: u8, count: usize) -> Vec<Segment> {
    let mut chain = start(author);
    (0..count).map(|number| next(&mut chain, author, &[u8::try_from(number % 200).expect("small"); 90])).collect()
}

#[test]
fn two_nodes_come_to_hold_the_same_whatever_each_had() {
    let (one, two) = (written(1, 40), written(2, 30));
    let mut a = Side::new(1, 2, &[&one[..], &two[..5]].concat());
    let mut b = Side::new(2, 1, &[&one[..10], &two[..]].concat());
    connect(&mut a, &mut b);
    assert_eq!((a.end(1), a.end(2), b.end(1), b.end(2)), (40, 30, 40, 30));
    assert_eq!(a.disk, b.disk, "verbatim");
    assert_eq!((a.waiting(), b.waiting()), (0, 0), "and both know");
    assert_eq!((a.news, b.news), (vec![], vec![]));
}

#[test]
fn what_is_written_while_connected_goes_at_once_and_equal_nodes_say_little() {
    let one = written(1, 32);
    let mut a = Side::new(1, 2, &one[..31]);
    let mut b = Side::new(2, 1, &one[..31]);
    a.tell(NOW, Input::Connected);
    b.tell(NOW, Input::Connected);
    let bytes = talk(&mut a, &mut b);
    assert!(bytes <= 2 * (48 + 200), "{bytes} bytes for equal nodes");
    let held = a.keep(&one[31]);
    a.tell(NOW, Input::Appended(held));
    talk(&mut a, &mut b);
    assert_eq!(b.end(1), 32);
}

#[test]
fn nothing_is_acknowledged_before_the_disk_has_it() {
    let one = written(1, 3);
    let mut a = Side::new(1, 2, &one);
    let mut b = Side::new(2, 1, &[]);
    b.syncs = false;
    connect(&mut a, &mut b);
    assert_eq!(a.waiting(), 3, "received, verified, and not on disk");
    for held in std::mem::take(&mut b.unsynced) {
        b.tell(NOW, Input::Stored(held));
    }
    talk(&mut a, &mut b);
    assert_eq!(a.waiting(), 0);
}

#[test]
fn no_more_is_sent_than_was_granted_and_a_segment_that_never_fits_is_named() {
    let mut a = Side::new(1, 2, &written(1, 100));
    let mut b = Side::new(2, 1, &[]);
    b.syncs = false;
    connect(&mut a, &mut b);
    assert!(b.peer.taken() > 0 && b.peer.taken() <= 4000);
    for _ in 0..200 {
        for held in std::mem::take(&mut b.unsynced) {
            b.tell(NOW, Input::Stored(held));
        }
        talk(&mut a, &mut b);
        assert!(b.peer.taken() <= 4000);
    }
    assert_eq!(b.end(1), 100);

    let large = next(&mut start(3), 3, &[1; 5000]);
    let mut a = Side::new(3, 2, &[large]);
    let mut b = Side::new(2, 3, &[]);
    connect(&mut a, &mut b);
    assert_eq!(a.news, [News::TooLarge { log: Log { author: device(3), incarnation: 1 }, number: 0 }]);
}

#[test]
fn who_sends_more_than_was_granted_is_cut_off() {
    let mut b = Side::new(2, 1, &[]);
    b.syncs = false;
    let mut a = Side::new(1, 2, &[]);
    connect(&mut a, &mut b);
    let log = Log { author: device(1), incarnation: 1 };
    let segments: Vec<Arc<[u8]>> = written(1, 30).iter().map(|segment| segment.encode().into()).collect();
    b.tell(NOW, Input::Frame(Frame::Segments { log, first: 0, segments }.encode()));
    assert_eq!(b.closed, Some(Reason::Overrun));
    assert_eq!(b.peer.taken(), 0, "none of it was kept");
}

#[test]
fn a_fork_is_proved_and_the_author_frozen_on_both_sides_however_far_each_is() {
    for (mine, theirs) in [(3, 3), (3, 6), (6, 3), (4, 5)] {
        let one = written(9, 6);
        let mut chain = start(9);
        let mut other: Vec<Segment> = one[..2].to_vec();
        for segment in &other {
            chain.follow(segment).expect("in order");
        }
        other.extend((0..4).map(|_| next(&mut chain, 9, b"another story")));
        let mut a = Side::new(1, 2, &one[..mine]);
        let mut b = Side::new(2, 1, &other[..theirs]);
        connect(&mut a, &mut b);
        for side in [&a, &b] {
            let proof = side.news.iter().find_map(|news| match news {
                News::Equivocation(proof) => Some(proof),
                _ => None,
            });
            let proof = proof.unwrap_or_else(|| panic!("{mine} against {theirs}: {:?}", side.news));
            assert_eq!(proof.author(), device(9));
        }
        assert_eq!((a.end(9), b.end(9)), (mine as u64, theirs as u64), "nothing of it was taken");
        let again = next(&mut chain, 9, b"more");
        let held = b.keep_anyway(&again, &chain);
        b.tell(NOW, Input::Appended(held));
        talk(&mut a, &mut b);
        assert_eq!(a.end(9), mine as u64, "nor later");
    }
}

impl Side {
    fn keep_anyway(&mut self, segment: &Segment, chain: &Chain) -> Held {
        let held = Held { log: Log::of(segment), chain: chain.clone(), residency: 0 };
        self.disk.entry(held.log).or_default().push(segment.encode().into());
        held
    }
}

#[test]
fn a_proof_goes_to_everybody_once_and_a_false_one_ends_the_session() {
    let proof = Proof::between(&next(&mut start(9), 9, b"a"), &next(&mut start(9), 9, b"b")).expect("a fork");
    let mut a = Side::new(1, 2, &[]);
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    a.tell(NOW, Input::Frozen(proof.clone()));
    let bytes = talk(&mut a, &mut b);
    assert_eq!(b.news, [News::Equivocation(proof.clone())]);
    assert!(bytes < 1000, "{bytes} bytes");
    a.tell(NOW, Input::Disconnected);
    b.tell(NOW, Input::Disconnected);
    connect(&mut a, &mut b);
    assert_eq!(b.news.len(), 1, "both know");

    let mut forged = proof.encode();
    *forged.last_mut().expect("a signature") ^= 1;
    b.tell(NOW, Input::Frame(Frame::Proof { proof: forged }.encode()));
    assert_eq!(b.closed, Some(Reason::BadProof));

    let mut c = Side::new(3, 1, &[]);
    c.trust.strangers.insert(device(9));
    let mut d = Side::new(1, 3, &[]);
    connect(&mut c, &mut d);
    c.tell(NOW, Input::Frame(Frame::Proof { proof: proof.encode() }.encode()));
    assert_eq!((c.closed, c.news.len()), (None, 0), "a stranger's forks are nobody's business");
}

#[test]
fn a_strangers_log_is_taken_once_it_is_known_and_a_revoked_ones_up_to_its_end() {
    let nine = written(9, 6);
    let mut a = Side::new(1, 2, &nine);
    let mut b = Side::new(2, 1, &[]);
    b.trust.strangers.insert(device(9));
    connect(&mut a, &mut b);
    let log = Log { author: device(9), incarnation: 1 };
    assert_eq!((b.end(9), &b.news[..]), (0, &[News::Unknown(log)][..]));
    b.trust.strangers.clear();
    b.tell(NOW, Input::TrustChanged);
    talk(&mut a, &mut b);
    assert_eq!(b.end(9), 6);

    let mut c = Side::new(3, 1, &[]);
    c.trust.revoked.insert(device(9), 4);
    let mut d = Side::new(1, 3, &nine);
    connect(&mut c, &mut d);
    assert_eq!((c.end(9), &c.news[..]), (4, &[News::Revoked(log)][..]));
    let mut e = Side::new(1, 3, &nine);
    e.trust.revoked.insert(device(9), 4);
    let mut f = Side::new(3, 1, &[]);
    connect(&mut e, &mut f);
    assert_eq!(f.end(9), 4, "the sender keeps to it, too");
}

#[test]
fn what_may_not_live_there_is_neither_offered_nor_sent_nor_taken() {
    let one = written(1, 3);
    let mut a = Side::new(1, 2, &one);
    a.trust.outside.insert((device(2), 0));
    let mut b = Side::new(2, 1, &[]);
    assert!(a.peer.frontier(&a.trust).is_empty(), "not offered");
    connect(&mut a, &mut b);
    let log = Log { author: device(1), incarnation: 1 };
    a.tell(NOW, Input::Frame(Frame::Want { log, from: 0, ask: Ask::One }.encode()));
    a.tell(NOW, Input::Frame(Frame::Want { log, from: 0, ask: Ask::Rest }.encode()));
    talk(&mut a, &mut b);
    assert_eq!((b.end(1), a.waiting()), (0, 0), "not even when asked for, and it does not count as behind");
    a.trust.outside.clear();
    assert_eq!(a.waiting(), 3, "now it does");

    let mut c = Side::new(1, 2, &one);
    let mut d = Side::new(2, 1, &[]);
    d.trust.outside.insert((device(2), 0));
    connect(&mut c, &mut d);
    assert_eq!((d.end(1), &d.news[..]), (0, &[News::Misplaced { log, residency: 0 }][..]));
}

#[test]
fn who_has_the_same_says_so_without_repeating_it() {
    let all = written(1, 4);
    let (one, other) = if device(1) < device(2) { (1, 2) } else { (2, 1) };
    let (mut a, mut b) = (Side::new(one, other, &all[..3]), Side::new(other, one, &all[..3]));
    b.tell(NOW, Input::Connected);
    assert!(b.sent.is_empty(), "it waits for the other's word");
    a.tell(NOW, Input::Connected);
    let Some(Frame::Hello(first)) = a.sent.first() else { panic!("{:?}", a.sent) };
    assert_eq!(first.frontier.as_ref().map(Frontier::len), Some(1));
    // What grows here before the answer comes is not among what the other has.
    let more = a.keep(&all[3]);
    let (mut from_a, mut from_b) = (std::mem::take(&mut a.sent), Vec::new());
    b.tell(NOW, Input::Frame(from_a.remove(0).encode()));
    from_b.append(&mut b.sent);
    assert!(matches!(from_b.first(), Some(Frame::Hello(Hello { frontier: None, .. }))), "{from_b:?}");
    a.tell(NOW, Input::Appended(more));
    a.tell(NOW, Input::Frame(from_b.remove(0).encode()));
    assert_eq!(a.waiting(), 1, "the other lacks what came meanwhile");
    talk(&mut a, &mut b);
    assert_eq!((b.end(1), a.waiting()), (4, 0));
}

#[test]
fn a_full_disk_says_busy_and_goes_on_when_there_is_room() {
    let mut a = Side::new(1, 2, &written(1, 20));
    let mut b = Side::new(2, 1, &[]);
    b.full = true;
    connect(&mut a, &mut b);
    assert_eq!((b.end(1), b.peer.taken()), (0, 0));
    b.full = false;
    let resume = a.peer.poll_timeout().expect("it waits");
    assert_eq!(resume, NOW + Duration::from_secs(5));
    a.tell(resume, Input::Tick);
    for frame in std::mem::take(&mut a.sent) {
        b.tell(resume, Input::Frame(frame.encode()));
    }
    talk(&mut a, &mut b);
    assert_eq!(b.end(1), 20);
}

#[test]
fn a_log_that_is_declined_stops_no_other_and_is_not_sent_again_before_the_chain_grows() {
    let (log, other) = (Log { author: device(1), incarnation: 1 }, Log { author: device(9), incarnation: 1 });
    let mut a = Side::new(1, 2, &[written(1, 20), written(9, 20)].concat());
    let mut b = Side::new(2, 1, &[]);
    b.declines.insert(log);
    connect(&mut a, &mut b);
    assert_eq!((b.end(1), b.end(9), b.peer.taken()), (0, 20, 0));
    assert_eq!((a.peer.put_off_until(), a.waiting()), (None, 20), "nothing waits but that log, and it is known to");
    assert_eq!((&a.news[..], &b.news[..]), (&[News::Declined(log)][..], &[][..]));
    for segment in written(1, 22).split_off(20).into_iter().chain(written(9, 22).split_off(20)) {
        let held = a.keep(&segment);
        a.tell(NOW, Input::Appended(held));
    }
    let bytes = talk(&mut a, &mut b);
    assert_eq!((b.end(1), b.end(9)), (0, 22));
    assert!(bytes < 1_500, "only the other log went: {bytes}");
    assert_eq!(a.peer.poll_timeout(), Some(NOW + HEARTBEAT), "nobody tries anything");

    b.declines.clear();
    b.tell(NOW, Input::TrustChanged);
    talk(&mut a, &mut b);
    assert_eq!((b.end(1), a.waiting(), b.ends[&other].chain.number), (22, 0, 22));
}

#[test]
fn who_speaks_of_more_logs_than_anybody_has_is_cut_off() {
    let mut a = Side::new(1, 2, &[]);
    let mut b = Side::new(2, 1, &[]);
    b.trust.strangers.insert(device(9));
    connect(&mut a, &mut b);
    let say = |side: &mut Side, incarnation| {
        let mut chain = Chain::begin(key(9).verifying_key().to_bytes(), incarnation);
        let segment = next(&mut chain, 9, &[1]);
        let frame = Frame::Segments { log: Log::of(&segment), first: 0, segments: vec![segment.encode().into()] };
        side.tell(NOW, Input::Frame(frame.encode()));
    };
    let most = u64::try_from(crate::sync::frontier::LOGS_MAX).expect("small");
    (1..=most).for_each(|incarnation| say(&mut b, incarnation));
    assert_eq!(b.closed, None);
    say(&mut b, most + 1);
    assert_eq!(b.closed, Some(Reason::OutOfPlace));
}

#[test]
fn silence_is_broken_by_a_beat_and_ends_a_session_when_it_lasts() {
    let mut a = Side::new(1, 2, &[]);
    let mut b = Side::new(2, 1, &[]);
    a.tell(NOW, Input::Connected);
    assert_eq!(a.peer.poll_timeout(), Some(NOW + GREETING));
    b.tell(NOW, Input::Connected);
    talk(&mut a, &mut b);
    a.tell(NOW + HEARTBEAT, Input::Tick);
    assert!(matches!(&a.sent[..], [Frame::Ack { frontier, .. }] if frontier.is_empty()));
    a.tell(NOW + SILENCE, Input::Tick);
    assert_eq!((a.closed, a.peer.poll_timeout()), (Some(Reason::Silent), None));

    // A clock that is set back a year stops nothing, and one that is set back does not end it either.
    let back = NOW - Duration::from_secs(900);
    b.tell(back, Input::Tick);
    assert_eq!(b.closed, None);
    let due = b.peer.poll_timeout().expect("connected");
    assert!(due <= back + SILENCE);
}

#[test]
fn what_is_never_acknowledged_is_sent_again_and_then_given_up() {
    let mut a = Side::new(1, 2, &written(1, 3));
    let mut b = Side::new(2, 1, &[]);
    a.tell(NOW, Input::Connected);
    b.tell(NOW, Input::Connected);
    let hello = b.sent.remove(0).encode();
    a.tell(NOW, Input::Frame(hello));
    let alive = Frame::Ack { frontier: Frontier::default(), clock: NOW }.encode();
    let (mut now, mut sent) = (NOW, 0);
    for _ in 0..100 {
        if a.closed.is_some() {
            break;
        }
        sent += std::mem::take(&mut a.sent).iter().filter(|frame| matches!(frame, Frame::Segments { .. })).count();
        now = a.peer.poll_timeout().expect("it waits");
        a.tell(now, Input::Frame(alive.clone()));
    }
    assert_eq!(a.closed, Some(Reason::Stalled));
    assert!(sent >= 5, "{sent}");
    assert!(now.since(NOW) < Duration::from_secs(200));
}

#[test]
fn another_fleet_another_version_and_words_out_of_place_end_it() {
    let hello_of = |tag, protocol, frontier| {
        Frame::Hello(Hello { protocol, tag, max_message: 1000, credit: 1000, clock: NOW, frozen: vec![], frontier })
    };
    let hello = |tag, protocol| hello_of(tag, protocol, Some(Frontier::default()));
    let alive = Frame::Ack { frontier: Frontier::default(), clock: NOW };
    for (case, words, reason) in [
        ("another fleet", vec![hello([9; 16], PROTOCOL)], Reason::Fleet),
        ("another version", vec![hello([3; 16], PROTOCOL + 1)], Reason::Protocol),
        ("no greeting", vec![alive], Reason::OutOfPlace),
        ("the same as nobody said", vec![hello_of([3; 16], PROTOCOL, None)], Reason::OutOfPlace),
        ("two greetings", vec![hello([3; 16], PROTOCOL), hello([3; 16], PROTOCOL)], Reason::OutOfPlace),
        ("goodbye", vec![Frame::Bye { reason: Reason::Done }], Reason::Done),
    ] {
        let mut a = Side::new(1, 2, &[]);
        a.tell(NOW, Input::Connected);
        for word in words {
            a.tell(NOW, Input::Frame(word.encode()));
        }
        assert_eq!(a.closed, Some(reason), "{case}");
    }
    let mut a = Side::new(1, 2, &[]);
    a.tell(NOW, Input::Connected);
    a.tell(NOW, Input::Frame(b"GET / HTTP/1.1".to_vec()));
    assert_eq!(a.closed, Some(Reason::Malformed));
}

#[test]
fn a_forged_segment_ends_it_and_a_rotten_one_of_ours_is_told_and_not_sent() {
    let one = written(1, 2);
    let log = Log { author: device(1), incarnation: 1 };
    let mut a = Side::new(1, 2, &[]);
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    let mut forged = one[0].encode();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    b.tell(NOW, Input::Frame(Frame::Segments { log, first: 0, segments: vec![forged.into()] }.encode()));
    assert_eq!((b.closed, b.end(1)), (Some(Reason::BadSegment), 0));

    let mut a = Side::new(1, 2, &one);
    let mut rotten = one[1].encode();
    rotten[100] ^= 1;
    a.disk.get_mut(&log).expect("there")[1] = rotten.into();
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    assert_eq!(a.news, [News::Damaged { log, number: 1 }]);
    assert_eq!((b.end(1), b.closed), (1, None));
}

#[test]
fn the_greatest_numbers_overflow_nothing() {
    let log = Log { author: device(1), incarnation: u64::MAX };
    for first in [u64::MAX, u64::MAX - 1, u64::MAX - 2] {
        let mut a = Side::new(1, 2, &[]);
        let mut b = Side::new(2, 1, &[]);
        connect(&mut a, &mut b);
        let segments = vec![written(1, 1)[0].encode().into()];
        b.tell(NOW, Input::Frame(Frame::Segments { log, first, segments }.encode()));
        assert!(matches!(b.closed, Some(Reason::Malformed | Reason::BadSegment)));
    }
    let mut a = Side::new(1, 2, &written(1, 2));
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    let known = Log { author: device(1), incarnation: 1 };
    let mark = Mark { next: u64::MAX, head: [1; super::super::frontier::HEAD] };
    for frame in [
        Frame::Want { log: known, from: u64::MAX, ask: Ask::One },
        Frame::Want { log: known, from: u64::MAX, ask: Ask::Rest },
        Frame::Ack { frontier: [(known, mark)].into_iter().collect(), clock: Moment::from_millis(u64::MAX) },
        Frame::Credit { total: u64::MAX },
    ] {
        a.tell(NOW, Input::Frame(frame.encode()));
    }
    talk(&mut a, &mut b);
    assert_eq!((a.closed, a.waiting()), (None, 0));
}

#[test]
fn a_disk_that_was_set_back_hears_of_it_from_what_it_signed() {
    let one = written(1, 5);
    let mut a = Side::new(1, 2, &one[..2]);
    let mut b = Side::new(2, 1, &one);
    connect(&mut a, &mut b);
    let log = Log { author: device(1), incarnation: 1 };
    assert_eq!(a.news, [News::Restored { log, next: 3 }]);
    assert_eq!(a.end(1), 5, "and gets it back");
}

#[test]
fn keys_travel_within_the_credit() {
    let mut a = Side::new(1, 2, &[]);
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    a.wraps = true;
    for segment in written(1, 300) {
        let held = a.keep(&segment);
        a.tell(NOW, Input::Appended(held));
    }
    talk(&mut a, &mut b);
    assert_eq!((b.end(1), b.keys), (300, 300));
}

#[test]
fn a_segment_that_the_peer_may_not_have_is_not_even_read_and_its_keys_stay() {
    let log = Log { author: device(1), incarnation: 1 };
    let want = |ask| Input::Frame(Frame::Want { log, from: 0, ask }.encode());
    let mut a = Side::new(1, 2, &written(1, 3));
    a.wraps = true;
    a.trust.outside.insert((device(2), 0));
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    a.tell(NOW, want(Ask::One));
    a.tell(NOW, want(Ask::Rest));
    talk(&mut a, &mut b);
    assert_eq!((&a.reads[..], b.keys, a.closed, &a.news[..]), (&[][..], 0, None, &[][..]));

    // Another question waits before it, and meanwhile the policy changes.
    let mut a = Side::new(1, 2, &[written(1, 3), written(9, 3)].concat());
    (a.wraps, a.is_slow) = (true, true);
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    a.tell(NOW, want(Ask::One));
    a.trust.outside.insert((device(2), 0));
    let before = a.reads.len();
    for read in std::mem::take(&mut a.unread) {
        a.tell(NOW, read);
    }
    talk(&mut a, &mut b);
    assert_eq!((a.reads.len(), b.end(1), b.end(9), b.keys), (before, 0, 0, 0), "neither what waits nor what was read");
}

#[test]
fn keys_that_wait_for_credit_stay_when_the_policy_changes_and_go_when_it_changes_back() {
    let mut a = Side::new(1, 2, &written(1, 1));
    let log = Log { author: device(1), incarnation: 1 };
    a.is_slow = true;
    let mut b = Side::new(2, 1, &[]);
    connect(&mut a, &mut b);
    let Some(Input::Segments { first, segments, .. }) = a.unread.pop() else { panic!("it is read") };
    let keys = vec![vec![7; 1000]; 6];
    a.tell(NOW, Input::Segments { log, first, segments, keys });
    let sent = |side: &Side| -> Vec<usize> {
        let count = |frame: &Frame| match frame {
            Frame::Keys { records } => Some(records.len()),
            Frame::Segments { .. } => Some(0),
            _ => None,
        };
        side.sent.iter().filter_map(count).collect()
    };
    assert_eq!(sent(&a), [4], "as far as the credit goes, and no segment before all of its keys");
    a.trust.outside.insert((device(2), 0));
    a.tell(NOW, Input::TrustChanged);
    talk(&mut a, &mut b);
    assert_eq!((b.keys, b.end(1)), (4, 0));
    assert_eq!(a.waiting(), 0, "nothing of it is for that peer");
    (a.is_slow, a.wraps) = (false, true);
    a.trust.outside.clear();
    a.tell(NOW, Input::TrustChanged);
    talk(&mut a, &mut b);
    assert_eq!((b.keys, b.end(1), a.waiting()), (5, 1, 0), "read anew");
}

#[test]
fn only_the_keys_of_what_is_sent_go() {
    let mut a = Side::new(1, 3, &written(9, 6));
    a.wraps = true;
    a.trust.revoked.insert(device(9), 2);
    let mut b = Side::new(3, 1, &[]);
    connect(&mut a, &mut b);
    assert_eq!((b.end(9), b.keys), (2, 2));
}

#[test]
fn a_session_waits_for_the_disk_before_it_grants_again() {
    let mut a = Side::new(1, 2, &written(1, 60));
    let mut b = Side::new(2, 1, &[]);
    b.syncs = false;
    let mut given = Vec::new();
    for _ in 0..10 {
        connect(&mut a, &mut b);
        given.push(b.unsynced.len());
        a.tell(NOW, Input::Disconnected);
        b.tell(NOW, Input::Disconnected);
    }
    assert!(given[0] > 0 && given.iter().all(|count| *count == given[0]), "{given:?}");
}
