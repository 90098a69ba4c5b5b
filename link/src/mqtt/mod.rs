//! Links through an MQTT broker that neither side trusts, for devices that cannot reach each other, or their coordinator, by QUIC.
//!
//! The same TLS as in QUIC runs between the two devices, in messages that the broker passes on ([`carrier`]). The broker learns the names
//! of mailboxes, sizes and times; it can delay and cut, and that is all. What is lost ends a link, and the layers above resume by
//! themselves. When to connect is left to the caller; the connection to the broker itself is kept up here.

pub mod broker;
pub mod carrier;

mod board;
mod client;
mod handshake;
mod session;
pub mod settings;
mod talk;

use std::{fmt, sync::Arc, time::Duration};

use ed25519_dalek::VerifyingKey;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};

pub use broker::{Broker, BrokerError, NotABroker, Permit, Secret, Tls, Version};

use crate::{
    close::{Close, LinkError},
    identity::{Identity, Trust},
    link::Link,
    pipe::Limits,
    quic::FAREWELL,
    tls::Protocol,
};
use board::{Board, Carried};
pub use carrier::{Mailbox, tag_of_coordinator};
use handshake::{Callee, Party};
use session::Desk;
pub use settings::{Protection, Settings, Unfit};

pub(crate) use handshake::{Tunneled, Via};

/// How long a peer is waited for at first before it is written to again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the broker can be used now, for people.
#[derive(Clone, Debug)]
pub enum State {
    /// It is being asked for the first time.
    Connecting,
    /// What is sent is delivered.
    Connected,
    /// It could not be used for this reason, and is asked again and again.
    Waiting(BrokerError),
    /// This program does not use it any more.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("the broker is being asked"),
            Self::Connected => f.write_str("connected to the broker"),
            Self::Waiting(error) => error.fmt(f),
            Self::Closed => BrokerError::Closed.fmt(f),
        }
    }
}

/// A device at a broker: it may be written to, and may write to others.
///
/// Dropped, it leaves as by [`Mqtt::shut`], without waiting for that.
pub struct Mqtt {
    desk: Arc<Desk>,
    party: Arc<Party>,
    knocks: tokio::sync::Mutex<mpsc::Receiver<Carried>>,
    state: watch::Receiver<State>,
}

impl Mqtt {
    /// Connects to the broker in the background, and keeps connected.
    ///
    /// `tag` is known to those who may write to each other; from it and a key follows the [`Mailbox`] of the key's holder.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(broker: Broker, identity: Identity, trust: Trust, tag: [u8; 16], limits: Limits) -> Self {
        Self::start(broker, Party::new(identity, trust, tag, limits))
    }

    /// The same for a coordinator, which serves many fleets: whoever knows its key may write to it, about either [`Protocol`].
    ///
    /// From which mailbox a peer may write is not known before it has said of which fleet it is: look at [`Link::mailbox`] then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve(broker: Broker, identity: Identity, trust: Trust, limits: Limits) -> Self {
        Self::start(broker, Party::serving(identity, trust, limits))
    }

    fn start(broker: Broker, party: Party) -> Self {
        let limits = party.limits();
        let (board, knocks) = Board::new(party.mailbox(), limits);
        let ((state_sender, state), (farewell, _)) = (watch::channel(State::Connecting), watch::channel(None));
        let desk = Arc::new(Desk { broker, board, state: state_sender, limits, farewell });
        tokio::spawn(session::run(Arc::clone(&desk)));
        Self { desk, party: Arc::new(party), knocks: knocks.into(), state }
    }

    /// What people call the broker.
    pub fn address(&self) -> String {
        self.desk.broker.address()
    }

    /// What those know who may write here: the tag it was opened with, or the coordinator's own.
    pub fn tag(&self) -> &[u8; 16] {
        self.party.tag()
    }

    /// Where others reach this device.
    pub fn mailbox(&self) -> Mailbox {
        self.desk.board.own
    }

    /// Whether the broker can be used now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// How many peers that have proven their keys are linked now.
    pub fn links(&self) -> usize {
        self.desk.board.proven()
    }

    /// Waits until the state is one that `wanted` says yes to, and returns it.
    pub async fn wait_for(&self, wanted: impl FnMut(&State) -> bool) -> State {
        // The sender lives as long as this.
        self.state.clone().wait_for(wanted).await.map_or(State::Closed, |state| state.clone())
    }

    /// Waits for the next peer; `None` once [`Mqtt::shut`] was called. The handshake is the caller's to run, in a task of its own.
    pub async fn accept(&self) -> Option<Knock> {
        let mut knocks = self.knocks.lock().await;
        let mut state = self.state.clone();
        tokio::select! {
            knock = knocks.recv() => Some(Knock { stream: knock?, party: Arc::clone(&self.party) }),
            _ = state.wait_for(|state| matches!(state, State::Closed)) => None,
        }
    }

    /// Opens a link to the holder of this key, within [`Limits::greeting`].
    ///
    /// # Errors
    /// When there is no connection to the broker; when nobody listens at the peer's mailbox; when the peer and this device do not trust
    /// each other.
    pub async fn connect(&self, peer: &VerifyingKey) -> Result<Link, LinkError> {
        self.open_with(|| self.party.other(peer)).await
    }

    /// Opens a link to the coordinator with this key, whether it is otherwise trusted or not, within [`Limits::greeting`].
    ///
    /// # Errors
    /// As [`Mqtt::connect`].
    pub async fn call(&self, coordinator: &VerifyingKey, protocol: Protocol) -> Result<Link, LinkError> {
        let (key, at) = (*coordinator, Mailbox::of_coordinator(coordinator));
        self.open_with(|| Callee { key, at, trust: Trust::only([key]), protocol }).await
    }

    async fn open_with(&self, callee: impl Fn() -> Callee) -> Result<Link, LinkError> {
        let deadline = Instant::now() + self.desk.limits.greeting;
        let is_settled = |state: &State| matches!(state, State::Connected | State::Closed);
        match timeout_at(deadline, self.wait_for(is_settled)).await {
            Ok(State::Connected) => {}
            Ok(_) => return Err(BrokerError::Closed.into()),
            Err(_) => return Err(self.broker_error().into()),
        }
        let mut patience = PATIENCE;
        loop {
            let attempt = self.attempt(callee(), Instant::now() + patience, deadline).await;
            if !matches!(attempt, Err(LinkError::NotListening)) || Instant::now() >= deadline {
                return attempt;
            }
            patience *= 2;
        }
    }

    /// Opens one conversation and waits until `impatient` for any answer, and until `deadline` for the link.
    ///
    /// What is written to a mailbox that nobody listens at is gone: a peer that comes a moment later, as after a restart of the broker,
    /// has to be written to again.
    async fn attempt(&self, callee: Callee, impatient: Instant, deadline: Instant) -> Result<Link, LinkError> {
        let name = client::random().map_err(LinkError::Transport)?;
        let stream = self.desk.board.open(callee.at, name, Instant::now()).ok_or(LinkError::Closed(Close::Busy))?;
        let line = Arc::clone(&stream.0);
        let mut greeting = std::pin::pin!(self.party.greet(stream, callee));
        if let Ok(linked) = timeout_at(impatient.min(deadline), &mut greeting).await {
            return linked;
        }
        if !line.was_answered() {
            return Err(LinkError::NotListening);
        }
        timeout_at(deadline, greeting).await.unwrap_or(Err(LinkError::Slow))
    }

    /// Closes every link for this reason, takes no new ones, and waits a moment until the broker knows.
    pub async fn shut(&self, reason: Close) {
        self.leave(reason);
        let closed = self.wait_for(|state| matches!(state, State::Closed));
        let _ = timeout(2 * FAREWELL, closed).await;
    }

    fn leave(&self, reason: Close) {
        self.desk.farewell.send_if_modified(|farewell| farewell.replace(farewell.unwrap_or(reason)).is_none());
    }

    fn broker_error(&self) -> BrokerError {
        match self.state() {
            State::Waiting(error) => error,
            State::Closed => BrokerError::Closed,
            State::Connecting | State::Connected => BrokerError::NotYet(self.desk.broker.address()),
        }
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.leave(Close::ShuttingDown);
    }
}

impl fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mqtt").field("mailbox", &self.desk.board.own).field("broker", &self.desk.broker).finish()
    }
}

/// A peer that wants a link and has proven nothing yet.
#[derive(Debug)]
pub struct Knock {
    stream: Carried,
    party: Arc<Party>,
}

impl Knock {
    /// The mailbox that it says is its own.
    pub fn mailbox(&self) -> Mailbox {
        self.stream.0.peer
    }

    /// Runs the handshake and the greeting, within [`Limits::greeting`].
    ///
    /// # Errors
    /// When the peer is not trusted, does not trust this device, or is slow.
    pub async fn welcome(self) -> Result<Link, LinkError> {
        let greeting = self.party.limits().greeting;
        timeout(greeting, self.party.answer(self.stream)).await.unwrap_or(Err(LinkError::Slow))
    }
}
