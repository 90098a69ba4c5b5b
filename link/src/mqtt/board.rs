//! All conversations of one device, and the streams that the rest of the link sees of them.
//!
//! What the broker delivers is sorted here, and what is to be published is asked for here, one message after the other, every
//! conversation in its turn. Nothing here waits and nothing is sent.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    carrier::{Kind, Mailbox, Message, Name, Side},
    talk::{End, Farewells, Talk},
};
use crate::{close::Close, pipe::Limits};

/// Conversations that others have begun and in which nothing is proven yet.
const UNPROVEN_MAX: usize = 32;

/// Answers to messages that belong to no conversation, waiting to be published.
const REPLIES_MAX: usize = 32;

/// All conversations of one device.
pub(super) struct Board {
    /// Where this device is reached.
    pub(super) own: Mailbox,
    /// Rings when there is something to publish.
    pub(super) bell: Notify,
    limits: Limits,
    table: Mutex<Table>,
    knocks: mpsc::Sender<Carried>,
}

#[derive(Default)]
struct Table {
    lines: HashMap<Name, Arc<Line>>,
    /// Those that may have something to say.
    ready: VecDeque<Arc<Line>>,
    /// Those that others began and that have proven nothing, the oldest first.
    unproven: VecDeque<Name>,
    replies: VecDeque<(String, Vec<u8>)>,
    shut: bool,
}

/// One conversation, shared by its streams and the board.
pub(crate) struct Line {
    name: Name,
    pub(super) peer: Mailbox,
    topic: String,
    board: Arc<Board>,
    state: Mutex<Waited>,
    is_ready: AtomicBool,
}

struct Waited {
    talk: Talk,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Board {
    /// An empty board, and where the conversations come out that others begin.
    pub(super) fn new(own: Mailbox, limits: Limits) -> (Arc<Self>, mpsc::Receiver<Carried>) {
        let (knocks, come) = mpsc::channel(UNPROVEN_MAX);
        (Arc::new(Self { own, bell: Notify::new(), limits, table: Mutex::default(), knocks }), come)
    }

    /// Begins a conversation, or answers that there is no room for one.
    pub(super) fn open(self: &Arc<Self>, peer: Mailbox, name: Name, now: Instant) -> Option<Carried> {
        let line = self.line(peer, name, Side::Opener, now);
        {
            let mut table = self.table();
            if table.shut || table.lines.len() >= self.limits.links {
                return None;
            }
            table.lines.insert(name, Arc::clone(&line));
        }
        line.ring();
        Some(Carried(line))
    }

    /// Takes what the broker delivered.
    pub(super) fn hear(self: &Arc<Self>, now: Instant, topic: &[u8], payload: &[u8]) {
        // What is no message of ours is noise of the broker's, which a beat that stays away would show.
        let Some(from) = self.own.writer(topic) else { return };
        let Ok(message) = Message::read(payload) else { return };
        let known = self.table().lines.get(&message.name).cloned();
        match (known, message.kind) {
            (Some(line), _) if line.peer == from => line.change(|talk| talk.hear(now, &message)),
            (Some(_), _) | (None, Kind::Unknown | Kind::Busy | Kind::Close { .. } | Kind::Echo) => {}
            (None, Kind::Open) if message.side == Side::Opener && message.seq == 0 => {
                self.begin(from, &message, now);
            }
            (None, _) => self.reply(from, message.name, message.side.other(), Kind::Unknown),
        }
    }

    /// The next message to publish and its topic, with a body of up to `most` bytes.
    pub(super) fn next(&self, now: Instant, most: usize) -> Option<(String, Vec<u8>)> {
        loop {
            let line = {
                let mut table = self.table();
                if let Some(reply) = table.replies.pop_front() {
                    return Some(reply);
                }
                table.ready.pop_front()?
            };
            line.is_ready.store(false, Ordering::Release);
            let (said, is_over) = {
                let mut state = line.state();
                let said = state.talk.say(now, most);
                let is_over = state.talk.is_silent();
                // There is room to write again, or somebody waits until all was said.
                if said.is_some() || is_over {
                    state.wake();
                }
                (said, is_over)
            };
            if is_over {
                self.forget(&line);
            }
            if let Some(bytes) = said {
                line.ring();
                return Some((line.topic.clone(), bytes));
            }
        }
    }

    /// Looks at all conversations: who is silent for too long ends, and who has been quiet shows that it is still there.
    pub(super) fn tick(&self, now: Instant) {
        for line in self.lines() {
            line.change(|talk| talk.tick(now, self.limits.keep_alive, self.limits.idle));
        }
    }

    /// How many conversations there are but for those that others have begun and in which nothing is proven.
    pub(super) fn proven(&self) -> usize {
        let table = self.table();
        table.lines.len().saturating_sub(table.unproven.len())
    }

    /// Ends all conversations, because there is no broker to carry them.
    pub(super) fn cut(&self, end: &End) {
        let lines = {
            let mut table = self.table();
            table.ready.clear();
            table.replies.clear();
            table.unproven.clear();
            std::mem::take(&mut table.lines)
        };
        for line in lines.into_values() {
            line.change(|talk| talk.cut(end.clone()));
        }
    }

    /// Leaves all conversations for this reason, and takes no new ones.
    pub(super) fn shut(&self, reason: Close) {
        self.table().shut = true;
        for line in self.lines() {
            line.change(|talk| talk.leave(reason));
        }
    }

    fn begin(self: &Arc<Self>, from: Mailbox, message: &Message<'_>, now: Instant) {
        let line = self.line(from, message.name, Side::Answerer, now);
        line.state().talk.hear(now, message);
        let oldest = {
            let mut table = self.table();
            let oldest = (table.unproven.len() >= UNPROVEN_MAX).then(|| table.unproven.pop_front()).flatten();
            oldest.and_then(|name| table.lines.remove(&name))
        };
        if let Some(oldest) = oldest {
            self.turn_away(&oldest);
        }
        let has_room = {
            let mut table = self.table();
            let has_room = table.lines.len() < self.limits.links && !table.shut;
            if has_room {
                table.unproven.push_back(message.name);
                table.lines.insert(message.name, Arc::clone(&line));
            }
            has_room
        };
        // Dropped with an error, the stream leaves the conversation; by then it is over.
        if !has_room || self.knocks.try_send(Carried(Arc::clone(&line))).is_err() {
            self.forget(&line);
            self.turn_away(&line);
        }
    }

    /// Ends a conversation for which there is no room.
    fn turn_away(&self, line: &Line) {
        line.change(|talk| talk.cut(End::Displaced));
        self.reply(line.peer, line.name, Side::Answerer, Kind::Busy);
    }

    fn reply(&self, to: Mailbox, name: Name, side: Side, kind: Kind<'_>) {
        let answer = Message { name, side, seq: 0, kind };
        let mut table = self.table();
        // One that does not hear it hears nothing else either, and ends by itself.
        if table.replies.len() < REPLIES_MAX {
            table.replies.push_back((to.topic(&self.own), answer.write()));
            self.bell.notify_one();
        }
    }

    fn line(self: &Arc<Self>, peer: Mailbox, name: Name, side: Side, now: Instant) -> Arc<Line> {
        let talk = Talk::new(name, side, now);
        let state = Mutex::new(Waited { talk, reader: None, writer: None });
        let topic = peer.topic(&self.own);
        Arc::new(Line { name, peer, topic, board: Arc::clone(self), state, is_ready: AtomicBool::new(false) })
    }

    fn lines(&self) -> Vec<Arc<Line>> {
        self.table().lines.values().cloned().collect()
    }

    fn forget(&self, line: &Line) {
        let mut table = self.table();
        table.lines.remove(&line.name);
        table.unproven.retain(|name| *name != line.name);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Why the conversation is over, if it is.
    pub(super) fn end(&self) -> Option<End> {
        self.state().talk.end().cloned()
    }

    /// Whether the other side has said anything.
    pub(super) fn was_answered(&self) -> bool {
        self.state().talk.was_answered()
    }

    /// Both keys are proven.
    pub(super) fn prove(&self, farewells: Farewells) {
        self.board.table().unproven.retain(|name| *name != self.name);
        self.state().talk.prove(farewells);
    }

    /// The greeting was answered: more may be under way.
    pub(crate) fn widen(&self) {
        self.change(|talk| talk.widen(self.board.limits.window));
    }

    /// Leaves for this reason.
    pub(crate) fn leave(&self, reason: Close) {
        self.change(|talk| talk.leave(reason));
    }

    /// Waits until all that this side had to say was handed to the broker.
    pub(crate) async fn said(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.talk.is_silent() {
                return Poll::Ready(());
            }
            state.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Changes the conversation, wakes who waits for that, and has the board look whether there is something to publish.
    fn change(&self, change: impl FnOnce(&mut Talk)) {
        {
            let mut state = self.state();
            change(&mut state.talk);
            state.wake();
        }
        self.ring();
    }

    fn ring(&self) {
        if self.is_ready.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut table = self.board.table();
        match table.lines.get(&self.name) {
            Some(line) => {
                let line = Arc::clone(line);
                table.ready.push_back(line);
            }
            None => self.is_ready.store(false, Ordering::Release),
        }
        drop(table);
        self.board.bell.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, Waited> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waited {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.peer)
    }
}

/// The bytes of one conversation, as a stream. Dropped, it leaves the conversation.
#[derive(Debug)]
pub(crate) struct Carried(pub(super) Arc<Line>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.leave(Close::Done);
    }
}

impl AsyncRead for Carried {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let line = &self.0;
        let mut state = line.state();
        match state.talk.read(into.initialize_unfilled()) {
            Some(0) if state.talk.end().is_some() => Poll::Ready(Err(is_over())),
            Some(count) => {
                drop(state);
                into.advance(count);
                line.ring();
                Poll::Ready(Ok(()))
            }
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Carried {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    /// An alert and what TLS puts before it come in one call, after which the stream is dropped: all of it has to be taken.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = &self.0;
        let mut state = line.state();
        let mut count = 0;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            match state.talk.write(part) {
                Ok(Some(taken)) => count += taken,
                Ok(None) => break,
                Err(()) => return Poll::Ready(Err(is_over())),
            }
        }
        if count == 0 && parts.iter().any(|part| !part.is_empty()) {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        line.ring();
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = &self.0;
        let (is_new, is_done) = {
            let mut state = line.state();
            state.writer = Some(context.waker().clone());
            (state.talk.finish(), state.talk.is_finished())
        };
        // Only the first time: each ring would wake this one again.
        if is_new {
            line.ring();
        }
        if is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

fn is_over() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the conversation over the broker is over")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn mailbox(seed: u8) -> Mailbox {
        Mailbox::of(&[9; 16], &Identity::from_seed(&[seed; 32]).public())
    }

    fn board(links: usize) -> (Arc<Board>, mpsc::Receiver<Carried>) {
        Board::new(mailbox(1), Limits { links, ..Limits::default() })
    }

    fn tell(board: &Arc<Board>, from: u8, name: u8, seq: u64, kind: Kind<'_>) {
        let message = Message { name: [name; 16], side: Side::Opener, seq, kind };
        board.hear(Instant::now(), board.own.topic(&mailbox(from)).as_bytes(), &message.write());
    }

    /// All that the board has to say: to whom, in which conversation, and which kind.
    fn said(board: &Board) -> Vec<(String, u8, String)> {
        let next = || board.next(Instant::now(), 1000);
        std::iter::from_fn(next)
            .map(|(topic, bytes)| {
                let message = Message::read(&bytes).expect("a message");
                (topic, message.name[0], format!("{:?}", message.kind))
            })
            .collect()
    }

    #[tokio::test]
    async fn of_those_who_prove_nothing_the_oldest_makes_room() {
        let (board, mut knocks) = board(1000);
        let mut held = Vec::new();
        for name in 0..40 {
            tell(&board, 2, name, 0, Kind::Open);
            held.push(knocks.try_recv().expect("each is let in"));
        }
        let over: Vec<u8> = held.iter().filter(|it| it.0.end().is_some()).map(|it| it.0.name[0]).collect();
        assert_eq!(over, [0, 1, 2, 3, 4, 5, 6, 7]);
        let busy: Vec<u8> = said(&board).iter().filter(|(_, _, kind)| kind == "Busy").map(|said| said.1).collect();
        assert_eq!(busy, over, "and is told so");
        held[8].0.prove(Farewells { ours: [0; 32], theirs: [0; 32] });
        tell(&board, 2, 40, 0, Kind::Open);
        tell(&board, 2, 41, 0, Kind::Open);
        assert!(held[8].0.end().is_none(), "who has proven something stays");
        assert!(held[9].0.end().is_some());
        assert_eq!(board.table().lines.len(), 33);
    }

    #[tokio::test]
    async fn when_nobody_opens_the_door_or_all_places_are_taken_a_peer_is_told_to_come_later() {
        let (board, knocks) = board(2);
        for name in 0..3 {
            tell(&board, 2, name, 0, Kind::Open);
        }
        assert_eq!(said(&board), [(mailbox(2).topic(&board.own), 2, "Busy".into())]);
        assert!(board.open(mailbox(3), [9; 16], Instant::now()).is_none());
        drop(knocks);
        assert_eq!(said(&board).len(), 2, "both are let go when nobody takes them");
        assert!(board.table().lines.is_empty());
        tell(&board, 2, 4, 0, Kind::Open);
        assert_eq!(said(&board), [(mailbox(2).topic(&board.own), 4, "Busy".into())]);
    }

    #[tokio::test]
    async fn what_belongs_to_no_conversation_is_answered_once_and_within_bounds() {
        let (board, _knocks) = board(10);
        for (case, kind, answer) in [
            ("data", Kind::Data(b"x"), Some("Unknown")),
            ("a beat", Kind::Beat, Some("Unknown")),
            ("a farewell", Kind::Close { code: 0, proof: [0; 32] }, None),
            ("an answer of the same sort", Kind::Unknown, None),
            ("busy", Kind::Busy, None),
        ] {
            tell(&board, 2, 7, 3, kind);
            let said: Vec<String> = said(&board).into_iter().map(|said| said.2).collect();
            assert_eq!(said, Vec::from_iter(answer.map(str::to_owned)), "{case}");
        }
        for _ in 0..1000 {
            tell(&board, 2, 7, 3, Kind::Beat);
        }
        assert_eq!(said(&board).len(), REPLIES_MAX);
    }

    #[tokio::test]
    async fn noise_and_others_who_know_a_name_change_nothing() {
        let (board, mut knocks) = board(10);
        tell(&board, 2, 7, 0, Kind::Open);
        let held = knocks.try_recv().expect("let in");
        tell(&board, 3, 7, 1, Kind::Unknown);
        tell(&board, 3, 7, 1, Kind::Data(b"x"));
        let topic = board.own.topic(&mailbox(2));
        board.hear(Instant::now(), topic.as_bytes(), b"noise");
        board.hear(Instant::now(), b"hearth/1/elsewhere", &[1; 40]);
        assert!(held.0.end().is_none() && said(&board).is_empty());
    }

    #[tokio::test]
    async fn every_conversation_has_its_turn() {
        use tokio::io::AsyncWriteExt;

        let (board, _knocks) = board(10);
        let mut streams: Vec<Carried> =
            (0..3).map(|name| board.open(mailbox(2), [name; 16], Instant::now()).expect("there is room")).collect();
        for stream in &mut streams {
            stream.write_all(&[7; 4000]).await.expect("there is room");
        }
        let turns: Vec<u8> = said(&board).iter().map(|said| said.1).collect();
        assert_eq!(turns[..6], [0, 1, 2, 0, 1, 2], "{turns:?}");
        assert_eq!(turns.len(), 3 * 5);
    }

    #[tokio::test]
    async fn without_a_broker_every_conversation_ends_and_says_why() {
        use super::super::broker::BrokerError;

        let (board, _knocks) = board(10);
        let stream = board.open(mailbox(2), [1; 16], Instant::now()).expect("there is room");
        board.cut(&End::Broker(BrokerError::Stuck("here:1".into())));
        assert!(matches!(stream.0.end(), Some(End::Broker(BrokerError::Stuck(_)))));
        assert!(said(&board).is_empty() && board.table().lines.is_empty());
        board.open(mailbox(2), [2; 16], Instant::now()).expect("the next one may begin");
        board.shut(Close::ShuttingDown);
        assert!(board.open(mailbox(2), [3; 16], Instant::now()).is_none(), "until all is over");
    }
}
