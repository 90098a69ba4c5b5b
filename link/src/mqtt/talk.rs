//! One conversation over a broker: bytes in order, without a gap and without a repetition, or an end.
//!
//! [`Talk`] is a value: what was heard goes in, what is to be published comes out, and it is told the time. It proves nothing; TLS runs
//! over its bytes. The number of bytes that it holds is bounded in both directions, whatever the other side or the broker does.

use std::{
    cmp::Ordering,
    collections::VecDeque,
    io::{Read, Write},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::time::{Duration, Instant};

use super::{
    broker::BrokerError,
    carrier::{BODY_MAX, Kind, Message, Name, Side},
};
use crate::close::Close;

/// What may be under way to a side that has not been proven.
const WINDOW_FIRST: u64 = 64 << 10;

/// What may be under way to a side that has, at most and at least.
const WINDOW: u64 = 1 << 20;
const WINDOW_LEAST: u64 = 2 * WINDOW_FIRST;

/// What a message counts for at least, so that many small ones are bounded too.
const COST_MIN: u64 = 4 << 10;

/// What may wait here to be published.
const OUT_MAX: usize = 128 << 10;

/// Why a conversation is over.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// This side left.
    Left,
    /// The other side left, and proved that it was the one who said so.
    Closed(Close),
    /// Somebody said that the other side is gone: it was not proven, and it makes no difference.
    Gone,
    /// The other side has no room for a conversation.
    Busy,
    /// Nothing came for too long.
    Silent,
    /// A message is missing.
    Lost,
    /// The other side sent more than it was allowed to.
    Overrun,
    /// There was no room any more for one who has proven nothing.
    Displaced,
    /// The connection to the broker is gone.
    Broker(BrokerError),
}

/// With what the two sides prove that a farewell is theirs. Only they know it.
pub(super) struct Farewells {
    /// For what this side says.
    pub(super) ours: [u8; 32],
    /// For what the other side says.
    pub(super) theirs: [u8; 32],
}

/// One end of a conversation.
pub(super) struct Talk {
    name: Name,
    side: Side,
    said: Said,
    heard: Heard,
    farewells: Option<Farewells>,
    end: Option<End>,
    last_said: Instant,
    last_heard: Instant,
}

/// What this side says.
#[derive(Default)]
struct Said {
    next: u64,
    waiting: VecDeque<u8>,
    spent: u64,
    allowed: u64,
    /// All messages before this one have reached the other side.
    arrived: u64,
    open: bool,
    beat: bool,
    /// Whether nothing is written any more, and the number of the message that said so.
    ended: bool,
    end_at: Option<u64>,
    close: Option<Close>,
}

/// What the other side says.
#[derive(Default)]
struct Heard {
    next: u64,
    waiting: VecDeque<Vec<u8>>,
    /// How much of the first of them has been read.
    read: usize,
    charged: u64,
    released: u64,
    window: u64,
    allowed: u64,
    owed: bool,
    ended: bool,
}

impl Talk {
    pub(super) fn new(name: Name, side: Side, now: Instant) -> Self {
        let opens = side == Side::Opener;
        Self {
            name,
            side,
            said: Said { allowed: WINDOW_FIRST, open: opens, ..Said::default() },
            heard: Heard { window: WINDOW_FIRST, allowed: WINDOW_FIRST, ..Heard::default() },
            farewells: None,
            end: None,
            last_said: now,
            last_heard: now,
        }
    }

    /// Both keys are proven: farewells can be believed, and more may be under way.
    pub(super) fn prove(&mut self, farewells: Farewells) {
        self.farewells = Some(farewells);
    }

    /// Lets more bytes be under way to this side, about `window`.
    pub(super) fn widen(&mut self, window: u32) {
        self.heard.window = u64::from(window).clamp(WINDOW_LEAST, WINDOW);
        self.heard.owed = true;
    }

    /// Why it is over, if it is.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether the other side has said anything.
    pub(super) fn was_answered(&self) -> bool {
        self.heard.next > 0
    }

    /// Takes what the broker says came from the other side.
    pub(super) fn hear(&mut self, now: Instant, message: &Message<'_>) {
        // A message of our own side is one that the broker threw back.
        if message.name != self.name || message.side == self.side || self.end.is_some() {
            return;
        }
        match (message.kind, message.seq.cmp(&self.heard.next)) {
            (Kind::Unknown, _) => return self.over(End::Gone),
            (Kind::Busy, _) => return self.over(End::Busy),
            // A broker may deliver a message more than once, but never in the place of another.
            (_, Ordering::Less) => return,
            (_, Ordering::Greater) => return self.over(End::Lost),
            (_, Ordering::Equal) => {}
        }
        self.heard.next += 1;
        self.last_heard = now;
        match message.kind {
            Kind::Data(_) | Kind::End if self.heard.ended => self.over(End::Overrun),
            Kind::Data(body) => {
                self.heard.charged += cost(body.len());
                if self.heard.charged > self.heard.allowed {
                    return self.over(End::Overrun);
                }
                self.heard.waiting.push_back(body.to_vec());
            }
            Kind::End => {
                self.heard.ended = true;
                self.heard.owed = true;
            }
            Kind::Receipt { heard, allowed } => {
                self.said.arrived = self.said.arrived.max(heard);
                self.said.allowed = self.said.allowed.max(allowed);
            }
            Kind::Close { code, proof } => {
                let proven = self.farewells.as_ref().is_some_and(|farewells| {
                    farewell(&farewells.theirs, self.name, message.seq, code).verify_slice(&proof).is_ok()
                });
                self.over(if proven { End::Closed(Close::from_code(u64::from(code))) } else { End::Gone });
            }
            Kind::Open | Kind::Beat | Kind::Unknown | Kind::Busy | Kind::Echo => {}
        }
    }

    /// Looks whether the other side has been silent for too long, and whether this one has.
    pub(super) fn tick(&mut self, now: Instant, keep_alive: Duration, idle: Duration) {
        if self.end.is_some() {
            return;
        }
        if now.duration_since(self.last_heard) >= idle {
            self.said.close.get_or_insert(Close::Slow);
            self.over(End::Silent);
        } else if now.duration_since(self.last_said) >= keep_alive {
            self.said.beat = true;
        }
    }

    /// The next message to publish, with a body of up to `most` bytes.
    pub(super) fn say(&mut self, now: Instant, most: usize) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        let kind = self.next_kind(most, &mut body)?;
        let bytes = Message { name: self.name, side: self.side, seq: self.said.next, kind }.write();
        self.said.next += 1;
        self.said.beat = false;
        self.last_said = now;
        Some(bytes)
    }

    fn next_kind<'a>(&mut self, most: usize, body: &'a mut Vec<u8>) -> Option<Kind<'a>> {
        // Who has ended it hears a farewell at most.
        if matches!(self.end, None | Some(End::Left)) {
            if std::mem::take(&mut self.said.open) {
                return Some(Kind::Open);
            }
            if std::mem::take(&mut self.heard.owed) {
                self.heard.allowed = self.heard.allowed.max(self.heard.released + self.heard.window);
                return Some(Kind::Receipt { heard: self.heard.next, allowed: self.heard.allowed });
            }
            let credit = self.said.allowed.saturating_sub(self.said.spent);
            let room = usize::try_from(credit).unwrap_or(usize::MAX).min(most).min(BODY_MAX);
            let length = self.said.waiting.len().min(room);
            if length > 0 && credit >= COST_MIN {
                self.said.spent += cost(length);
                body.extend(self.said.waiting.drain(..length));
                return Some(Kind::Data(body));
            }
            if self.said.ended && self.said.waiting.is_empty() && self.said.end_at.is_none() {
                self.said.end_at = Some(self.said.next);
                return Some(Kind::End);
            }
        }
        if let Some(reason) = self.said.close.take() {
            let code = reason.code();
            let proof = self.farewells.as_ref().map_or([0; 32], |farewells| {
                farewell(&farewells.ours, self.name, self.said.next, code).finalize().into_bytes().into()
            });
            return Some(Kind::Close { code, proof });
        }
        (std::mem::take(&mut self.said.beat) && self.end.is_none()).then_some(Kind::Beat)
    }

    /// Whether nothing will ever be said again.
    pub(super) fn is_silent(&self) -> bool {
        self.end.is_some() && self.said.close.is_none()
    }

    /// Reads what is here; `None` when there is nothing yet, and 0 when nothing follows.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Option<usize> {
        let mut count = 0;
        while let Some(first) = self.heard.waiting.front() {
            let taken = (&first[self.heard.read..]).read(&mut into[count..]).expect("memory can be read");
            (count, self.heard.read) = (count + taken, self.heard.read + taken);
            if self.heard.read < first.len() {
                break;
            }
            self.heard.released += cost(first.len());
            self.heard.read = 0;
            self.heard.waiting.pop_front();
        }
        let due = self.heard.released + self.heard.window >= self.heard.allowed + self.heard.window / 4;
        self.heard.owed |= due && self.end.is_none();
        let over = self.heard.waiting.is_empty() && (self.heard.ended || self.end.is_some());
        (count > 0 || over).then_some(count)
    }

    /// Takes bytes to be sent; `None` while there is no room, and an error once nothing can be said any more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Option<usize>, ()> {
        // A side that was turned away in the handshake finds the reason in what it has yet to read, so it has to get that far.
        let is_reason_unread = self.heard.window == WINDOW_FIRST && !self.heard.waiting.is_empty();
        if self.end.is_some() && is_reason_unread && !matches!(self.end, Some(End::Left)) {
            return Ok(Some(bytes.len()));
        }
        if self.end.is_some() || self.said.ended {
            return Err(());
        }
        let room = OUT_MAX.saturating_sub(self.said.waiting.len()).min(bytes.len());
        self.said.waiting.write_all(&bytes[..room]).expect("memory can be written");
        Ok((room > 0 || bytes.is_empty()).then_some(room))
    }

    /// Says that nothing more is written; answers whether it had not said so before.
    pub(super) fn finish(&mut self) -> bool {
        !std::mem::replace(&mut self.said.ended, true)
    }

    /// Whether the other side has all that was written, or it is over.
    pub(super) fn is_finished(&self) -> bool {
        self.end.is_some() || self.said.end_at.is_some_and(|end| self.said.arrived > end)
    }

    /// Leaves for this reason. What is waiting goes first as far as the other side has room for it now.
    pub(super) fn leave(&mut self, reason: Close) {
        if self.end.is_none() {
            self.said.close = Some(reason);
            self.end = Some(End::Left);
        }
    }

    /// Ends it from outside. Nothing is said, as there is no way to say it.
    pub(super) fn cut(&mut self, end: End) {
        self.said.close = None;
        self.over(end);
    }

    fn over(&mut self, end: End) {
        if matches!(end, End::Lost | End::Overrun) {
            self.said.close.get_or_insert(Close::Garbage);
        }
        self.end.get_or_insert(end);
    }
}

const fn cost(length: usize) -> u64 {
    let length = length as u64;
    if length > COST_MIN { length } else { COST_MIN }
}

fn farewell(key: &[u8; 32], name: Name, seq: u64, code: u32) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("every length is a key");
    mac.chain_update(name).chain_update(seq.to_be_bytes()).chain_update(code.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    const NAME: Name = [5; 16];
    const IDLE: Duration = Duration::from_secs(45);
    const BEAT: Duration = Duration::from_secs(15);

    /// Two sides, and a broker between them that can do to messages what a broker can do.
    struct Two {
        sides: [Talk; 2],
        /// What is on its way to each side.
        under_way: [VecDeque<Vec<u8>>; 2],
        now: Instant,
        seed: u64,
    }

    impl Two {
        fn new(seed: u64) -> Self {
            let now = Instant::now();
            let mut sides = [Side::Opener, Side::Answerer].map(|side| Talk::new(NAME, side, now));
            let (one, two) = ([1; 32], [2; 32]);
            sides[0].prove(Farewells { ours: one, theirs: two });
            sides[1].prove(Farewells { ours: two, theirs: one });
            Self { sides, under_way: Default::default(), now, seed }
        }

        /// A number below `below`; the same seed gives the same ones.
        fn dice(&mut self, below: u64) -> u64 {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.seed >> 33) % below
        }

        /// Publishes what one side has to say.
        fn publish(&mut self, from: usize) -> usize {
            let mut count = 0;
            while let Some(bytes) = self.sides[from].say(self.now, BODY_MAX) {
                self.under_way[1 - from].push_back(bytes);
                count += 1;
            }
            count
        }

        /// Delivers the next message to one side.
        fn deliver(&mut self, to: usize) {
            if let Some(bytes) = self.under_way[to].pop_front() {
                let message = Message::read(&bytes).expect("a side writes messages");
                self.sides[to].hear(self.now, &message);
            }
        }

        fn settle(&mut self) {
            while self.publish(0) + self.publish(1) + self.under_way.iter().map(VecDeque::len).sum::<usize>() > 0 {
                self.deliver(0);
                self.deliver(1);
            }
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
            for side in &mut self.sides {
                side.tick(self.now, BEAT, IDLE);
            }
        }

        fn read(&mut self, side: usize, most: usize) -> Vec<u8> {
            let mut bytes = vec![0; most];
            let count = self.sides[side].read(&mut bytes).unwrap_or(0);
            bytes.truncate(count);
            bytes
        }

        fn ends(&self) -> [Option<&End>; 2] {
            [self.sides[0].end(), self.sides[1].end()]
        }
    }

    /// Bytes in which a piece that is missing or doubled shows.
    fn counted(from: usize, length: usize) -> &'static [u8] {
        const TURN: usize = 251 * 256;
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
            (0..3 * TURN).map(|at| (at % 251).to_le_bytes()[0] ^ (at / 251).to_le_bytes()[0]).collect()
        });
        &BYTES[from % TURN..][..length]
    }

    #[test]
    fn whatever_the_broker_does_bytes_arrive_in_order_or_the_conversation_ends() {
        let mut ended = 0;
        for seed in 0..400 {
            let mut two = Two::new(seed);
            // Every second broker is honest, but for repetitions.
            let lies = seed % 2;
            let (mut written, mut read) = ([0; 2], [0; 2]);
            for step in 0..600 {
                let side = usize::try_from(two.dice(2)).expect("small");
                let size = usize::try_from(two.dice(20_000)).expect("small");
                match two.dice(100) {
                    0..25 => {
                        let bytes = counted(written[side], size);
                        written[side] += two.sides[side].write(bytes).ok().flatten().unwrap_or(0);
                    }
                    25..50 => {
                        two.publish(side);
                    }
                    50..75 => two.deliver(side),
                    75..95 => {
                        let bytes = two.read(side, size);
                        assert_eq!(bytes, counted(read[side], bytes.len()), "seed {seed}, step {step}");
                        read[side] += bytes.len();
                    }
                    95..97 => {
                        // Repeated, as QoS 1 may.
                        if let Some(again) = two.under_way[side].front().cloned() {
                            two.under_way[side].push_front(again);
                        }
                    }
                    97 if lies == 1 => drop(two.under_way[side].pop_front()),
                    98 if lies == 1 && two.under_way[side].len() > 1 => two.under_way[side].swap(0, 1),
                    99 if lies == 1 => two.sides[side].widen(1 << 20),
                    _ => {}
                }
                assert!(two.sides.iter().all(|side| side.said.waiting.len() <= OUT_MAX));
                let held = two.sides.iter().map(|side| side.heard.waiting.iter().map(Vec::len).sum::<usize>()).max();
                assert!(held <= usize::try_from(WINDOW).ok(), "seed {seed}: {held:?} bytes are held");
            }
            if two.ends().iter().any(Option::is_some) {
                assert_eq!(lies, 1, "seed {seed}: {:?}", two.ends());
                ended += 1;
                continue;
            }
            // What is left arrives, and when something is missing at the very end, a beat shows it.
            loop {
                two.settle();
                let bytes = [two.read(0, 100_000), two.read(1, 100_000)];
                for side in 0..2 {
                    assert_eq!(bytes[side], counted(read[side], bytes[side].len()), "seed {seed}, afterwards");
                    read[side] += bytes[side].len();
                }
                if bytes.iter().all(Vec::is_empty) {
                    break;
                }
            }
            two.wait(BEAT);
            two.settle();
            let is_whole = read == [written[1], written[0]];
            assert!(is_whole || two.ends().iter().any(Option::is_some), "seed {seed}: {read:?} of {written:?}");
            assert!(is_whole || lies == 1, "seed {seed}");
        }
        assert!(ended > 50, "{ended} lies were found out");
    }

    #[test]
    fn a_message_that_is_missing_ends_it_and_one_that_comes_twice_does_not() {
        let mut two = Two::new(0);
        two.settle();
        two.sides[0].write(b"one").expect("open");
        two.publish(0);
        two.sides[0].write(b"two").expect("open");
        two.publish(0);
        let again = two.under_way[1][0].clone();
        two.under_way[1].push_front(again);
        two.deliver(1);
        two.deliver(1);
        assert!(two.ends()[1].is_none());
        two.under_way[1].clear();
        two.sides[0].write(b"three").expect("open");
        two.publish(0);
        two.deliver(1);
        assert!(matches!(two.ends()[1], Some(End::Lost)));
        assert_eq!(two.read(1, 99), b"one", "what came before the gap is delivered");
        assert_eq!(two.sides[1].read(&mut [0; 9]), Some(0), "and nothing after it");
        two.settle();
        assert!(matches!(two.ends()[0], Some(End::Closed(Close::Garbage))), "the other side is told");
    }

    #[test]
    fn who_does_not_read_bounds_what_is_under_way() {
        for (case, window, most) in [
            ("unproven", None, WINDOW_FIRST),
            ("welcome", Some(1 << 20), WINDOW),
            ("one of many", Some(256 << 10), 256 << 10),
            ("allowed next to nothing", Some(1), WINDOW_LEAST),
            ("allowed too much", Some(u32::MAX), WINDOW),
        ] {
            let mut two = Two::new(0);
            if let Some(window) = window {
                two.sides[1].widen(window);
            }
            two.settle();
            let mut taken = 0;
            while let Some(count) = two.sides[0].write(&[7; 5000]).expect("open") {
                taken += count;
                two.settle();
            }
            let held: usize = two.sides[1].heard.waiting.iter().map(Vec::len).sum();
            assert!(held as u64 <= most && held as u64 > most / 2, "{case}: {held}");
            assert_eq!(taken - held, OUT_MAX, "{case}");
            let mut arrived = 0;
            while arrived < taken {
                arrived += two.read(1, 10_000).len();
                two.settle();
            }
            assert_eq!(two.sides[0].write(&[7; 5000]), Ok(Some(5000)), "{case}: there is room again");
        }
    }

    #[test]
    fn many_small_messages_are_bounded_as_few_long_ones_are() {
        let mut two = Two::new(0);
        two.settle();
        for _ in 0..1000 {
            two.sides[0].write(b"x").expect("open");
            two.publish(0);
        }
        let count = u64::try_from(two.under_way[1].len()).expect("small");
        assert_eq!(count, WINDOW_FIRST / COST_MIN);
        two.settle();
        assert_eq!(two.read(1, 9999).len(), 16);
        two.settle();
        assert_eq!(two.read(1, 9999).len(), 1000 - 16, "the rest came in one");
    }

    #[test]
    fn who_sends_more_than_was_allowed_is_left() {
        let mut two = Two::new(0);
        two.settle();
        let body = vec![7; BODY_MAX];
        for (seq, over) in [(1, false), (2, true)] {
            let message = Message { name: NAME, side: Side::Opener, seq, kind: Kind::Data(&body) };
            let now = two.now;
            two.sides[1].hear(now, &message);
            assert_eq!(matches!(two.ends()[1], Some(End::Overrun)), over);
        }
        let mut two = Two::new(0);
        two.settle();
        for seq in [1, 2] {
            let (now, kind) = (two.now, Kind::End);
            two.sides[1].hear(now, &Message { name: NAME, side: Side::Opener, seq, kind });
        }
        assert!(matches!(two.ends()[1], Some(End::Overrun)), "nothing follows an end");
    }

    #[test]
    fn a_reason_is_believed_only_when_the_peer_gave_it() {
        let said = |two: &mut Two, reason| {
            two.settle();
            two.sides[0].leave(reason);
            two.publish(0);
            two.under_way[1].pop_front().expect("a farewell")
        };
        let honest = said(&mut Two::new(0), Close::NotTrusted);
        let code = honest.len() - 33;
        let mut other_reason = honest.clone();
        other_reason[code] = 7;
        let mut other_proof = honest.clone();
        *other_proof.last_mut().expect("a proof") ^= 1;
        let replayed = {
            // From the same conversation, one message later.
            let mut two = Two::new(0);
            two.settle();
            two.sides[0].write(b"x").expect("open");
            let mut late = said(&mut two, Close::NotTrusted);
            late[18..26].copy_from_slice(&honest[18..26]);
            late
        };
        for (case, bytes, is_believed) in [
            ("as it was said", honest, true),
            ("another reason", other_reason, false),
            ("another proof", other_proof, false),
            ("of another place", replayed, false),
        ] {
            let mut two = Two::new(0);
            two.settle();
            two.under_way[1].push_back(bytes);
            two.deliver(1);
            let end = two.ends()[1].expect(case);
            assert_eq!(matches!(end, End::Closed(Close::NotTrusted)), is_believed, "{case}: {end:?}");
            assert!(is_believed || matches!(end, End::Gone), "{case}: {end:?}");
        }
        let mut unproven = Two::new(0);
        unproven.sides[1] = Talk::new(NAME, Side::Answerer, unproven.now);
        unproven.settle();
        unproven.sides[0].leave(Close::NotTrusted);
        unproven.settle();
        assert!(matches!(unproven.ends()[1], Some(End::Gone)), "before the keys are proven nothing is believed");
    }

    #[test]
    fn what_is_not_of_the_other_side_is_not_heard() {
        let mut two = Two::new(0);
        two.settle();
        for (case, name, side) in [("another conversation", [6; 16], Side::Opener), ("our own", NAME, Side::Answerer)] {
            for kind in [Kind::Data(b"x"), Kind::Unknown, Kind::End] {
                let now = two.now;
                two.sides[1].hear(now, &Message { name, side, seq: 1, kind });
            }
            assert!(two.ends()[1].is_none() && two.sides[1].read(&mut [0; 9]).is_none(), "{case}");
        }
    }

    #[test]
    fn a_side_that_is_only_quiet_stays_and_one_that_is_gone_is_noticed() {
        let mut two = Two::new(0);
        two.settle();
        for _ in 0..20 {
            two.wait(BEAT);
            two.settle();
        }
        assert!(two.ends().iter().all(Option::is_none), "beats keep it alive");
        for _ in 0..3 {
            two.wait(BEAT);
            two.publish(0);
            two.under_way[1].clear();
            two.publish(1);
            two.under_way[0].clear();
        }
        assert!(two.ends().iter().all(|end| matches!(end, Some(End::Silent))));
    }

    #[test]
    fn an_end_comes_after_what_was_written_and_is_confirmed() {
        let mut two = Two::new(0);
        two.settle();
        two.sides[0].write(&[7; 9000]).expect("open");
        assert!(two.sides[0].finish() && !two.sides[0].finish(), "once");
        assert!(!two.sides[0].is_finished());
        assert!(two.sides[0].write(b"more").is_err());
        two.settle();
        assert!(two.sides[0].is_finished(), "the other side has it, read or not");
        assert_eq!(two.read(1, 9999).len(), 9000);
        assert_eq!(two.sides[1].read(&mut [0; 9]), Some(0));
        two.sides[1].write(b"the other direction is open").expect("open");
        two.settle();
        assert_eq!(two.read(0, 99), b"the other direction is open");
    }

    #[test]
    fn what_fits_goes_before_a_farewell_and_nothing_comes_after_it() {
        let mut two = Two::new(0);
        two.settle();
        two.sides[0].write(b"an alert").expect("open");
        two.sides[0].leave(Close::Done);
        assert!(!two.sides[0].is_silent());
        two.settle();
        assert!(two.sides[0].is_silent());
        assert_eq!(two.read(1, 99), b"an alert");
        assert!(matches!(two.ends(), [Some(End::Left), Some(End::Closed(Close::Done))]));
        assert!(two.sides[1].write(b"too late").is_err());
        assert!(two.sides[1].is_silent());
    }

    #[test]
    fn a_side_that_was_turned_away_can_still_find_out_why() {
        let mut two = Two::new(0);
        two.settle();
        two.sides[1].write(b"why").expect("open");
        two.sides[1].leave(Close::Done);
        two.settle();
        assert_eq!(two.sides[0].write(b"greeting"), Ok(Some(8)), "it gets as far as reading");
        assert_eq!(two.read(0, 99), b"why");
        assert!(two.sides[0].write(b"greeting").is_err());
    }

    proptest! {
        #[test]
        fn no_message_in_any_order_breaks_a_side(
            messages in prop::collection::vec((0u8..9, 0u64..6, any::<bool>(), 0usize..3000, any::<u64>()), 0..60),
        ) {
            let mut two = Two::new(0);
            for (kind, seq, answers, length, number) in messages {
                let body = vec![7; length.max(1)];
                let kind = match kind {
                    0 => Kind::Open,
                    1 => Kind::Data(&body),
                    2 => Kind::End,
                    3 => Kind::Receipt { heard: number, allowed: number.rotate_left(7) },
                    4 => Kind::Beat,
                    5 => Kind::Close { code: 1, proof: [7; 32] },
                    6 => Kind::Unknown,
                    7 => Kind::Busy,
                    _ => Kind::Echo,
                };
                let side = if answers { Side::Answerer } else { Side::Opener };
                let now = two.now;
                two.sides[0].hear(now, &Message { name: NAME, side, seq, kind });
                let _ = two.sides[0].write(&body);
                two.publish(0);
                let _ = two.read(0, length);
            }
            prop_assert!(two.sides[0].said.waiting.len() <= OUT_MAX);
        }
    }
}
