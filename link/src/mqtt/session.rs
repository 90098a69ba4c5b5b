//! The loop that keeps one device connected to its broker.
//!
//! A connection counts as up once something that the device sent to itself has come back. When anything goes wrong with it, all
//! conversations end and everything is built anew, under a new name, after a pause that grows; the loop gives up only when it is told to.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, interval, sleep, timeout, timeout_at},
};
use tracing::debug;

use super::{
    State,
    board::Board,
    broker::{Broker, BrokerError},
    carrier::{BODY_MAX, Kind, Message, Name, Side},
    client::{self, Client, Event, Events},
    talk::End,
};
use crate::{close::Close, pipe::Limits, quic::FAREWELL};

/// How often a device looks whether what it sends to itself still comes back.
const ECHO: Duration = Duration::from_secs(60);

/// The first pause after a connection was lost, and the longest.
const PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(60)];

/// What the loop and those who use it share.
pub(super) struct Desk {
    pub(super) broker: Broker,
    pub(super) board: Arc<Board>,
    pub(super) state: watch::Sender<State>,
    pub(super) limits: Limits,
    /// Why it is to end, once it is.
    pub(super) farewell: watch::Sender<Option<Close>>,
}

/// Keeps the device connected until it is told to leave.
pub(super) async fn run(desk: Arc<Desk>) {
    let mut pause = PAUSE[0];
    loop {
        // In a task of its own, so that a panic of what parses the broker's bytes is one lost connection and no more.
        let mut session = JoinSet::new();
        session.spawn(session_of(Arc::clone(&desk)));
        let begun = Instant::now();
        let left = tokio::select! {
            ended = session.join_next() => match ended {
                Some(Ok(why)) => why,
                Some(Err(error)) => desk.lost(io::Error::other(error)),
                None => BrokerError::Closed,
            },
            _ = desk.is_leaving() => {
                // Without a connection there is nobody to take leave of.
                if matches!(*desk.state.borrow(), State::Connected) {
                    let _ = timeout(FAREWELL, session.join_next()).await;
                }
                BrokerError::Closed
            }
        };
        if desk.farewell.borrow().is_some() {
            desk.board.cut(&End::Broker(BrokerError::Closed));
            desk.state.send_replace(State::Closed);
            return;
        }
        debug!(error = %left, "no connection to the broker");
        desk.board.cut(&End::Broker(left.clone()));
        // A connection that is lost again at once is not worth trying at once.
        let was_up = matches!(*desk.state.borrow(), State::Connected) && begun.elapsed() > pause;
        desk.state.send_replace(State::Waiting(left));
        if was_up {
            pause = PAUSE[0];
        }
        tokio::select! {
            () = sleep(jittered(pause)) => {}
            _ = desk.is_leaving() => {}
        }
        pause = (pause * 2).min(PAUSE[1]);
    }
}

impl Desk {
    /// Waits until the device is to leave, and returns why.
    async fn is_leaving(&self) -> Close {
        let reason = self.farewell.subscribe().wait_for(Option::is_some).await.map(|reason| *reason);
        reason.ok().flatten().unwrap_or(Close::ShuttingDown)
    }

    fn lost(&self, source: io::Error) -> BrokerError {
        BrokerError::Lost { address: self.broker.address(), source: Arc::new(source) }
    }

    /// What it means that the broker does nothing.
    fn silent(&self) -> BrokerError {
        let source = Arc::new(io::Error::from(io::ErrorKind::TimedOut));
        match *self.state.borrow() {
            State::Connected => BrokerError::Lost { address: self.broker.address(), source },
            _ => BrokerError::Unreachable { address: self.broker.address(), source },
        }
    }
}

/// What the two directions of one connection tell each other.
struct Watch {
    /// How many messages the broker has yet to acknowledge, those included that are still in a queue here.
    owed: watch::Sender<usize>,
    /// How much goes into one message.
    most: AtomicUsize,
    subscribed: Notify,
    /// When the message to itself went out, if it has not come back.
    echo: Mutex<Option<Instant>>,
    echo_name: Name,
}

/// One connection, from its beginning to its end.
async fn session_of(desk: Arc<Desk>) -> BrokerError {
    match timeout(desk.broker.patience, client::connect(&desk.broker)).await {
        Err(_) => desk.silent(),
        Ok(Err(error)) => error,
        Ok(Ok((client, events, mut tunnel))) => {
            let echo_name = match client::random() {
                Ok(name) => name,
                Err(error) => return desk.lost(error),
            };
            let watch = Watch {
                owed: watch::Sender::new(0),
                most: AtomicUsize::new(BODY_MAX),
                subscribed: Notify::new(),
                echo: Mutex::new(None),
                echo_name,
            };
            tokio::select! {
                // What the broker said last is here before it is known that it has gone.
                biased;
                error = listen(&desk, events, &watch) => error,
                error = speak(&desk, &client, &watch) => error,
                error = &mut tunnel => desk.lost(error),
            }
        }
    }
}

/// Takes what happens on the connection, until it is lost or the broker owes something for too long.
async fn listen(desk: &Desk, mut events: Events, watch: &Watch) -> BrokerError {
    let address = desk.broker.address();
    let mut unacknowledged: VecDeque<(u16, Instant)> = VecDeque::new();
    let begun = Instant::now();
    let mut subscribed = false;
    loop {
        let echo = *watch.echo.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = unacknowledged.front().map(|(_, at)| *at);
        let subscribing = (!subscribed).then_some(begun);
        let waits_since = [echo, oldest, subscribing].into_iter().flatten().min();
        let event = match waits_since {
            Some(since) => timeout_at(since + desk.broker.patience, events.next(&address)).await,
            None => Ok(events.next(&address).await),
        };
        let event = match event {
            Ok(Ok(event)) => event,
            Ok(Err(error)) => return error,
            Err(_) if echo.is_some() && echo == waits_since => return BrokerError::Stuck(address),
            Err(_) => return desk.silent(),
        };
        let now = Instant::now();
        match event {
            Event::Up(most) => watch.most.store(most, Ordering::Relaxed),
            Event::Subscribed => {
                subscribed = true;
                watch.subscribed.notify_one();
            }
            Event::Denied => return BrokerError::NotAllowed(address),
            Event::Published(number) => unacknowledged.push_back((number, now)),
            Event::Acknowledged(number) => {
                unacknowledged.retain(|(waiting, _)| *waiting != number);
                watch.owed.send_modify(|owed| *owed = owed.saturating_sub(1));
            }
            Event::Message { topic, payload } if is_echo(desk, watch, &topic, &payload) => {
                *watch.echo.lock().unwrap_or_else(PoisonError::into_inner) = None;
                if !matches!(*desk.state.borrow(), State::Connected) {
                    desk.state.send_replace(State::Connected);
                }
            }
            Event::Message { topic, payload } => desk.board.hear(now, &topic, &payload),
            Event::Other => {}
        }
    }
}

fn is_echo(desk: &Desk, watch: &Watch, topic: &[u8], payload: &[u8]) -> bool {
    desk.board.own.writer(topic) == Some(desk.board.own)
        && Message::read(payload).is_ok_and(|message| message.kind == Kind::Echo && message.name == watch.echo_name)
}

/// Publishes what there is to say, until the connection is lost or the device leaves.
async fn speak(desk: &Desk, client: &Client, watch: &Watch) -> BrokerError {
    match speaking(desk, client, watch).await {
        Ok(never) => match never {},
        Err(error) => desk.lost(error),
    }
}

async fn speaking(desk: &Desk, client: &Client, watch: &Watch) -> io::Result<std::convert::Infallible> {
    let own = desk.board.own;
    client.subscribe(own.filter()).await?;
    watch.subscribed.notified().await;
    let mut look = interval((desk.limits.keep_alive.min(desk.limits.idle) / 4).max(Duration::from_millis(10)));
    let mut echo = interval(ECHO);
    let mut leaving = std::pin::pin!(desk.is_leaving());
    for seq in 0.. {
        say_all(desk, client, watch).await?;
        tokio::select! {
            () = desk.board.bell.notified() => {}
            _ = look.tick() => desk.board.tick(Instant::now()),
            _ = echo.tick() => {
                let message = Message { name: watch.echo_name, side: Side::Opener, seq, kind: Kind::Echo };
                watch.echo.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Instant::now());
                publish(client, watch, own.topic(&own), message.write()).await?;
            }
            reason = &mut leaving => {
                desk.board.shut(reason);
                break;
            }
        }
    }
    // The time for all of this is limited by whoever runs the session.
    say_all(desk, client, watch).await?;
    let _ = watch.owed.subscribe().wait_for(|owed| *owed == 0).await;
    client.disconnect().await?;
    // The broker answers by closing the connection.
    std::future::pending().await
}

async fn say_all(desk: &Desk, client: &Client, watch: &Watch) -> io::Result<()> {
    while let Some((topic, payload)) = desk.board.next(Instant::now(), watch.most.load(Ordering::Relaxed)) {
        publish(client, watch, topic, payload).await?;
    }
    Ok(())
}

async fn publish(client: &Client, watch: &Watch, topic: String, payload: Vec<u8>) -> io::Result<()> {
    watch.owed.send_modify(|owed| *owed += 1);
    client.publish(topic, payload).await
}

/// A pause between half of this and all of it, so that many devices do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    half + half.mul_f64(f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Mqtt, broker::Tls},
        *,
    };
    use crate::{
        Identity, LinkError, Trust,
        mqtt::{Broker, Permit},
    };

    /// A device whose gate is asked before each connection, and answers this to the first, the second and so on.
    fn device(gate: impl Fn(usize) -> Result<(), String> + Send + Sync + 'static) -> (Mqtt, Arc<Mutex<Vec<Instant>>>) {
        let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let mut broker = Broker::at("broker.invalid", Tls::Plain).expect("a name");
        broker.permit = Permit::by(move |_, _| {
            let count = {
                let mut noted = noted.lock().expect("no panic under it");
                noted.push(Instant::now());
                noted.len()
            };
            gate(count)
        });
        let identity = Identity::from_seed(&[1; 32]);
        (Mqtt::open(broker, identity, Trust::only([]), [0; 16], Limits::default()), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_cannot_be_had_is_asked_for_ever_after_pauses_that_grow() {
        let (mqtt, asked) = device(|_| Err("the gate is shut".into()));
        sleep(Duration::from_secs(24 * 3600)).await;
        let asked = asked.lock().expect("no panic under it").clone();
        let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut most = PAUSE[0];
        for (number, pause) in pauses.iter().enumerate() {
            // The clock of tests goes in steps of a millisecond.
            let is_fair = (most / 2..=most + Duration::from_millis(2)).contains(pause);
            assert!(is_fair, "pause {number} is {pause:?}, and {most:?} is the most");
            most = (most * 2).min(PAUSE[1]);
        }
        assert!((1400..3000).contains(&pauses.len()), "{} times in a day", pauses.len());
        assert!(mqtt.state().to_string().ends_with("the gate is shut"), "{}", mqtt.state());
        let refused = mqtt.connect(&Identity::from_seed(&[2; 32]).public()).await.expect_err("no broker");
        assert!(refused.to_string().ends_with("the gate is shut"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_without_a_broker_leaves_at_once() {
        let (mqtt, _) = device(|_| Err("the gate is shut".into()));
        sleep(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        mqtt.shut(Close::ShuttingDown).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(matches!(mqtt.state(), State::Closed) && mqtt.accept().await.is_none());
        let refused = mqtt.connect(&Identity::from_seed(&[2; 32]).public()).await;
        assert!(matches!(refused, Err(LinkError::Broker(BrokerError::Closed))), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_under_a_connection_is_one_lost_connection() {
        let (mqtt, asked) = device(|count| {
            assert!(count > 2, "a parser of foreign bytes may do this");
            Err("the gate is shut".into())
        });
        let state = mqtt.wait_for(|state| matches!(state, State::Waiting(BrokerError::Forbidden { .. }))).await;
        assert!(matches!(state, State::Waiting(_)));
        assert_eq!(asked.lock().expect("no panic under it").len(), 3);
    }
}
