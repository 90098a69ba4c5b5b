//! Puts the coordinator together and runs it until it is told to end.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hearth_core::Moment;
use hearth_link::{
    Limits, LinkError, Listener, Mqtt, Protocol, Trust, VerifyingKey, key_text,
    mqtt::{Settings, State, Unfit},
};
use serde::Serialize;
use tokio::{net::TcpListener, task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    fleet::Fleet,
    folder::{self, Folder, NoFolder},
    relay::{Allowance, Engine, Relay, Steady, embedded::Embedded, engine::Failed, sessions::Doors},
    sessions,
    store::{NoStore, Store},
    trust::{NoTrust, TrustList},
    web,
};

/// Says in the log when the broker can be used and when it cannot any more.
async fn tell_of(broker: Arc<Mqtt>) {
    let address = broker.address();
    loop {
        let state = broker.wait_for(|state| !matches!(state, State::Connecting)).await;
        let was_connected = matches!(state, State::Connected);
        match state {
            State::Connected => info!(address, "devices may come through the broker"),
            State::Waiting(error) => warn!(address, %error, "no device can come through the broker; it is asked again"),
            State::Connecting | State::Closed => return,
        }
        let changed = |state: &State| matches!(state, State::Connected) != was_connected;
        broker.wait_for(|state| changed(state) || matches!(state, State::Closed)).await;
    }
}

/// How a coordinator is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// Where devices connect.
    pub quic: SocketAddr,
    /// Through which broker devices come besides that do not get there.
    pub broker: Option<Settings>,
    /// Where the page is served; on this machine alone.
    pub http: SocketAddr,
    /// Keys that are trusted in any case.
    pub trusted: Vec<VerifyingKey>,
    /// A file of further trusted keys.
    pub trust_file: Option<PathBuf>,
    /// What a fleet may have and send.
    pub allowance: Allowance,
}

/// What a coordinator that is ready has to say: where it is, and the key by which devices know it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Ready {
    /// Its public key, 64 hexadecimal digits.
    pub key: String,
    /// Where devices connect.
    pub quic: SocketAddr,
    /// Through which broker they may come besides; whether that can be used is on the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// Where the page is.
    pub http: String,
    /// How many devices it trusts.
    pub trusted: usize,
}

/// Why a coordinator did not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The page would be open to others.
    #[error(
        "the page cannot be served on {0}: there is no sign-in yet, so only addresses of this machine are allowed, such as 127.0.0.1:7844"
    )]
    Open(SocketAddr),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] NoFolder),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] NoStore),
    /// What the relay keeps cannot be used.
    #[error(transparent)]
    Relay(#[from] Failed),
    /// The trusted keys cannot be used.
    #[error(transparent)]
    Trust(#[from] NoTrust),
    /// The broker is not set as it must be.
    #[error("`--broker`: {0}")]
    Broker(Unfit),
    /// Devices could not connect.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The page's address cannot be had.
    #[error("cannot serve the page on {address}; is another program using it?")]
    Http {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs a coordinator until `shutdown`. It calls `ready` once everything listens, and reads the file of trusted keys again for each message
/// on `reload`.
pub async fn serve(
    options: Options,
    ready: impl FnOnce(&Ready),
    mut reload: tokio::sync::mpsc::Receiver<()>,
    shutdown: CancellationToken,
) -> Result<(), Trouble> {
    if !options.http.ip().is_loopback() {
        return Err(Trouble::Open(options.http));
    }
    let trust = Arc::new(TrustList::new(options.trusted, options.trust_file)?);
    let (data, relayed) = (options.data, Arc::clone(&trust));
    let opening = spawn_blocking(move || {
        let broker = options.broker.map(|settings| settings.broker()).transpose().map_err(Trouble::Broker)?;
        let folder = Folder::take(&data)?;
        let identity = folder::identity(folder.path())?;
        let store = Store::open(folder.path(), now())?;
        let kept = folder.path().to_owned();
        let engine: Arc<dyn Engine> = Arc::new(Steady::open(move || Embedded::open(&kept))?);
        let own = folder::identity(folder.path())?;
        let relay = Relay::open(engine, own, relayed, now, options.allowance)?;
        Ok::<_, Trouble>((folder, identity, Arc::new(store), relay, broker))
    });
    let (folder, identity, store, relay, broker) = opening.await.expect("opening catches the panics of the store")?;
    let (asked, serving) = (Arc::clone(&trust), Arc::clone(&relay));
    let knows = Trust::by(move |key| {
        let device = hearth_core::DeviceId::of_key(key);
        // A stranger may be new in a fleet that is served; then it must show so at once.
        let known = asked.knows(&device) || serving.serves_any();
        if !known {
            warn!(%device, key = key_text(key), "a device that is not trusted tried to connect");
        }
        known
    });
    let listener = Listener::bind(options.quic, &identity, knows.clone(), Protocol::ALL, limits())?;
    let http = |source| Trouble::Http { address: options.http, source };
    let page = TcpListener::bind(options.http).await.map_err(http)?;
    let key = key_text(&identity.public());
    // It is asked in the background, for as long as it takes.
    let broker = broker.map(|broker| Arc::new(Mqtt::serve(broker, identity, knows, limits_by_broker())));
    let said = Ready {
        key,
        broker: broker.as_ref().map(|broker| broker.address()),
        quic: listener.local_address().map_err(http)?,
        http: format!("http://{}/", page.local_addr().map_err(http)?),
        trusted: trust.devices().len(),
    };
    info!(quic = %said.quic, broker = said.broker, http = said.http, trusted = said.trusted, nodes = store.nodes().len(), "ready");
    ready(&said);

    let fleet: Arc<dyn Fleet> = store.clone();
    let answers = web::Answers {
        fleet: Arc::clone(&fleet),
        trust: Arc::clone(&trust),
        relay: Some(Arc::clone(&relay)),
        broker: broker.clone(),
        clock: now,
    };
    let closing = shutdown.clone();
    let pages = tokio::spawn(async move {
        axum::serve(page, web::router(answers)).with_graceful_shutdown(async move { closing.cancelled().await }).await
    });
    if let Some(broker) = &broker {
        tokio::spawn(tell_of(Arc::clone(broker)));
    }
    let doors = Arc::new(Doors::new(Arc::clone(&relay)));
    let links = tokio::spawn(sessions::serve(
        sessions::Ways { listener, broker },
        fleet,
        Arc::clone(&trust),
        doors,
        now,
        shutdown.clone(),
    ));
    let mut tidy = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = tidy.tick() => {
                let relay = Arc::clone(&relay);
                drop(spawn_blocking(move || relay.tidy()));
            }
            Some(()) = reload.recv() => match trust.reload() {
                Ok(()) => info!(trusted = trust.devices().len(), "the trusted keys were read again"),
                Err(error) => warn!(%error, "the trusted keys stay as they were"),
            },
        }
    }
    let drained = timeout(DRAIN_MAX, async { tokio::join!(pages, links) }).await;
    if drained.is_err() {
        warn!("some connections did not end in time and were cut");
    }
    let flushed = spawn_blocking(move || (store.flush(), folder)).await;
    if let Ok((Err(error), _)) = flushed {
        warn!(%error, "the store was not flushed at the end; nodes that reported last will report again");
    }
    info!("ended");
    Ok(())
}

/// How often what was erased is taken out of the relay's files.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);

/// As many links as a household of data centres has; each costs little while it is idle.
fn limits() -> Limits {
    Limits { links: 16_384, window: 256 << 10, ..Limits::default() }
}

/// Fewer through a broker: they share one connection to it.
fn limits_by_broker() -> Limits {
    Limits { links: 1_024, ..limits() }
}

/// How long a graceful end may take.
const DRAIN_MAX: Duration = Duration::from_secs(8);

/// The time by this machine's clock; before 1970 it counts as 1970.
pub fn now() -> Moment {
    Moment::START + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
