//! The command's view of this machine: opens folders, runs the daemon, samples, measures.
//!
//! What ties the parts together and nothing else; each part's own thinking is in its own room.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hearth_core::{
    Moment,
    audit::Event,
    egress::{Allowed, Purpose},
    session::State,
    status::{Capture, Counters},
};
use hearth_search::{Model, model::Digests};
use hearth_text::{Raw, Rules};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    ask::{
        self, Answers, Ask, Failure, FailureKind, Forget, Rebuilt, Status, Stopping,
        fleet::{Invited, Link, Order, Secret},
    },
    capture::{self, Files, Found, Limits, Options, Source, Watching, display_name},
    cli::{Agent, Daemon, Feature, FormatLine, Identity, Proposed, Running, Sample},
    commands::bench::Bench,
    config::{Backend, Config},
    egress::EgressGate,
    fleet::{
        self, Doing, FleetConfig, Standing, broker,
        joining::Whom,
        peers::{self, Meeting, Peers},
        recovering::Way,
        waking,
    },
    node::{
        FleetError, Node, Settings, Upkeep,
        fleet::{device_called, sheet_of, shown},
        name_of, now, with_causes,
    },
};

/// A sample looks no longer than this, and at no more files.
const SAMPLE_TIME: Duration = Duration::from_millis(1_500);
const SAMPLE_FILES: u64 = 200;
const SAMPLE_NAMES: usize = 6;
const PROPOSE_TIME: Duration = Duration::from_secs(1);

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Agent for Machine {
    fn open(&self, data: &Path, config: &Config) -> Result<Box<dyn Answers>, Failure> {
        Ok(Box::new(Local::open(data, settings(config)?)?))
    }

    fn start(&self, daemon: Daemon) -> Result<Box<dyn Running>, Failure> {
        let at_work = AtWork::start(daemon)?;
        Ok(Box::new(at_work))
    }

    fn identity(&self, data: &Path, make: bool) -> Result<Identity, Failure> {
        // A daemon may hold the folder; the key beside it can be read all the same.
        let known = hearth_store::Identity::read(data)?;
        let identity = match known {
            Some(identity) => identity,
            None if make => hearth_store::Identity::open(&hearth_store::Folder::open(data)?)?,
            None => {
                let place = crate::cli::marks::plain(&data.display().to_string());
                let said = format!(
                    "there is no data folder at {place}, so this node has no identity yet; `hearth up` makes one, or \
                     `hearth identity --make` without starting anything"
                );
                return Err(Failure::new(FailureKind::NotFound, said));
            }
        };
        Ok(Identity { node: identity.device, device_key: key_text(&identity) })
    }

    fn propose(&self, home: &Path) -> Vec<Proposed> {
        let folders = capture::propose(home, PROPOSE_TIME);
        let proposed = |folder: capture::ProposedFolder| Proposed {
            path: folder.path,
            why: folder.why.into(),
            files: folder.files,
            bytes: folder.bytes,
        };
        folders.into_iter().map(proposed).collect()
    }

    fn sample(&self, folders: &[PathBuf], config: &Config) -> Sample {
        sample(folders, config)
    }

    fn formats(&self) -> Vec<FormatLine> {
        let line = |row: capture::FormatRow| FormatLine {
            format: row.format.map_or_else(|| row.name.clone(), |format| format.to_string()),
            extensions: row.extensions.iter().map(|extension| (*extension).to_owned()).collect(),
            support: serde_json::to_value(row.support)
                .ok()
                .and_then(|v| Some(v.as_str()?.to_owned()))
                .unwrap_or_default(),
            notes: row.notes.into(),
        };
        capture::formats().into_iter().map(line).collect()
    }

    fn features(&self, config: &Config) -> Vec<Feature> {
        let features = hearth_search::features(library(config));
        let feature = |feature: hearth_search::Feature| Feature {
            name: feature.name.into(),
            on: feature.available,
            why: feature.why,
        };
        features.into_iter().map(feature).collect()
    }

    fn bench(&self, what: &Bench, config: &Config) -> Result<Value, Failure> {
        crate::bench::run(what, &model(config)?, library(config))
    }
}

/// The node of a folder that this process holds.
struct Local {
    root: PathBuf,
    settings: Settings,
    node: RwLock<Option<Arc<Node>>>,
}

impl Local {
    fn open(root: &Path, settings: Settings) -> Result<Self, Failure> {
        let node = Node::open(root, settings.clone())?;
        Ok(Self { root: root.into(), settings, node: RwLock::new(Some(Arc::new(node))) })
    }

    fn node(&self) -> Result<Arc<Node>, Failure> {
        let node = self.node.read().unwrap_or_else(PoisonError::into_inner).clone();
        node.ok_or_else(|| Failure::new(FailureKind::Busy, "hearth is stopping"))
    }

    /// Ends the node's work; what it was asked meanwhile is cut short.
    fn close(&self) {
        let node = self.node.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut node) = node else { return };
        node.stop_soon();
        // Whoever still asks is told that it stops, and lets go.
        let node = loop {
            match Arc::try_unwrap(node) {
                Ok(node) => break node,
                Err(shared) => {
                    node = shared;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        node.close();
    }

    fn rebuild(&self) -> Result<Rebuilt, Failure> {
        let begun = Instant::now();
        self.close();
        for part in ["state", "index"] {
            match std::fs::remove_dir_all(self.root.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::new(
                        FailureKind::Failed,
                        format!("the old {part} cannot be removed: {error}"),
                    ));
                }
                _ => {}
            }
        }
        let node = Node::open(&self.root, self.settings.clone())?;
        let status = node.status()?;
        let documents = status.items;
        node.audit(Event::Rebuilt { reason: "asked for".into(), documents })?;
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(node));
        Ok(Rebuilt { documents, vectors: status.embedded, seconds: begun.elapsed().as_secs_f64() })
    }
}

impl Answers for Local {
    fn answer(&self, ask: Ask) -> Result<Value, Failure> {
        match ask {
            Ask::Rebuild => Ok(serde_json::to_value(self.rebuild()?).expect("plain data")),
            ask => self.node()?.answer(ask),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.close();
    }
}

/// A daemon at work.
struct AtWork {
    answers: Arc<AtWorkAnswers>,
    device_key: String,
    upkeep: Option<JoinHandle<()>>,
    fleet: Vec<tokio::task::JoinHandle<()>>,
}

/// Answers of a daemon: the node's, and those that only a daemon can give.
struct AtWorkAnswers {
    local: Local,
    started_at: Moment,
    stop: CancellationToken,
    standing: tokio::sync::watch::Receiver<Standing>,
    reports: bool,
    peers: Arc<Peers>,
    listen: std::net::SocketAddr,
    runtime: tokio::runtime::Handle,
}

impl AtWork {
    fn start(daemon: Daemon) -> Result<Self, Failure> {
        let Daemon { data, config, stop } = daemon;
        let local = Local::open(&data, Settings { home: std::env::home_dir(), ..settings(&config)? })?;
        let node = local.node()?;
        node.audit(Event::Started { version: env!("CARGO_PKG_VERSION").into() })?;
        node.start_watching();
        // Before anything runs that would keep the node open.
        let broker = broker::named_in(&config, &node)?;
        let upkeep = {
            let (node, stop) = (Arc::downgrade(&node), stop.clone());
            let run = move || {
                let mut upkeep = Upkeep::default();
                while !stop.is_cancelled() {
                    let Some(node) = node.upgrade() else { return };
                    let wait = node.upkeep(&mut upkeep).unwrap_or_else(|error| {
                        tracing::error!(error = %error, "upkeep failed; it is tried again");
                        Duration::from_secs(30)
                    });
                    drop(node);
                    let until = Instant::now() + wait;
                    while !stop.is_cancelled() && Instant::now() < until {
                        std::thread::sleep(Duration::from_millis(50).min(wait));
                    }
                }
            };
            std::thread::Builder::new()
                .name("upkeep".into())
                .spawn(run)
                .map_err(|error| Failure::new(FailureKind::Failed, format!("the system gives no thread: {error}")))?
        };
        let (standing, standing_seen) = tokio::sync::watch::channel(Standing::default());
        let mut fleet: Vec<_> = begin_reports(&config, &node, broker.clone(), standing, &stop)?.into_iter().collect();
        let reports = !fleet.is_empty();
        let peers = Peers::new(node.shared());
        let permit = permit_members(&node);
        let listen = config.fleet.listen.socket();
        let meeting = Meeting { listen, lan: config.fleet.lan, broker, permit, stop: stop.clone() };
        fleet.push(tokio::spawn(peers::run(Arc::clone(&peers), meeting)));
        let runtime = tokio::runtime::Handle::current();
        let standing = standing_seen;
        let answers = AtWorkAnswers { local, started_at: now(), stop, standing, reports, peers, listen, runtime };
        let device_key = key_text(node.identity());
        Ok(Self { answers: Arc::new(answers), device_key, upkeep: Some(upkeep), fleet })
    }
}

/// Lets calls through to the fleet's relays and to where its members were reached last or were just heard, and to nobody else.
fn permit_members(node: &Arc<Node>) -> peers::Permit {
    let node = Arc::clone(node);
    Box::new(move |host, port, heard| {
        let known = node.shared().membership();
        let addresses = known.iter().flat_map(|membership| membership.addresses.values().cloned());
        let relays = known.iter().flat_map(|membership| membership.fleet.relays().map(|relay| relay.address.clone()));
        let addresses = addresses.chain(relays);
        let addresses = addresses.chain(heard.iter().map(ToString::to_string));
        let allowed = addresses.filter_map(|address| allowed(&address)).collect();
        EgressGate::new(allowed, Arc::clone(&node)).permit(host, port, Purpose::Node)
    })
}

fn allowed(address: &str) -> Option<Allowed> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']).to_owned();
    Some(Allowed { host, port: port.parse().ok()?, purpose: Purpose::Node })
}

/// Reports to the coordinator that the configuration names, if it names one.
fn begin_reports(
    config: &Config,
    node: &Arc<Node>,
    broker: Option<hearth_link::Broker>,
    standing: tokio::sync::watch::Sender<Standing>,
    stop: &CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, Failure> {
    let Some(address) = &config.coordinator.address else { return Ok(None) };
    let Some(key) = &config.coordinator.key else {
        let message =
            "`coordinator.address` is set but `coordinator.key` is not; `hearth-coordinator key` shows the key";
        return Err(Failure::new(FailureKind::Usage, message));
    };
    let coordinator_key = hearth_link::identity::key_from_text(&key.to_string())
        .map_err(|error| Failure::new(FailureKind::Usage, format!("`coordinator.key`: {error}")))?;
    let (host, port) = (address.host().to_owned(), address.port());
    let purpose = Purpose::Coordinator;
    let gate = EgressGate::new(vec![Allowed { host: host.clone(), port, purpose }], Arc::clone(node));
    // The task must not keep the node open: it ends with `stop`, before the node does.
    let doing = Arc::downgrade(node);
    let fleet = FleetConfig {
        coordinator: address.to_string(),
        coordinator_key,
        identity: hearth_link::identity::Identity::from_seed(&node.identity().signing.to_bytes()),
        every: config.coordinator.report_every.duration(),
        permit_egress: Box::new(move || gate.permit(&host, port, purpose)),
        broker,
        doing: Box::new(move || {
            let status = doing.upgrade().and_then(|node| node.status().ok());
            let nothing = Doing { counters: Counters { items: 0, chunks: 0, jobs_pending: 0 }, capture: Capture::Idle };
            status.map_or(nothing, |status| Doing {
                counters: Counters { items: status.items, chunks: status.chunks, jobs_pending: status.pending },
                capture: match status.hold {
                    State::Open => Capture::Open,
                    State::Paused { .. } => Capture::Paused,
                    State::Private { .. } => Capture::Private,
                    State::Closed { .. } | State::Expired { .. } => Capture::Idle,
                },
            })
        }),
        standing,
        shutdown: stop.clone(),
    };
    Ok(Some(tokio::spawn(fleet::run(fleet))))
}

impl Answers for AtWorkAnswers {
    fn answer(&self, ask: Ask) -> Result<Value, Failure> {
        match ask {
            Ask::Stop => {
                self.stop.cancel();
                Ok(serde_json::to_value(Stopping {}).expect("plain data"))
            }
            Ask::Rebuild => self.local.node()?.answer(Ask::Rebuild),
            Ask::Search(query) if !query.here => {
                let found = self.runtime.block_on(self.peers.search(query))?;
                Ok(serde_json::to_value(found).expect("plain data"))
            }
            Ask::Show { id } => self.show(&id),
            Ask::Forget { what: Forget::Item { id }, dry_run } => self.forget(&id, dry_run),
            Ask::Fleet(Order::Show) => self.fleet(),
            Ask::Fleet(Order::Wake) => self.wake(),
            Ask::Fleet(Order::Invite { person: true, .. }) => self.invite_person(),
            Ask::Fleet(Order::Invite { replaces, device, .. }) => self.invite_device(replaces.as_deref(), device),
            Ask::Fleet(Order::Recover { words, fleet, at, key, device, approve: _ })
                if self.local.node()?.shared().membership().is_none() =>
            {
                self.recover(&words, fleet.as_deref(), (at.as_deref(), key.as_deref()), &device)
            }
            Ask::Fleet(Order::Join { code, at, device, own }) => self.join(&code, &at, &device, own.as_deref()),
            Ask::Status => {
                let mut status: Status = self.local.node()?.status()?;
                status.daemon = true;
                status.started_at = Some(self.started_at);
                if self.reports
                    && let Standing::Waiting { reason, .. } = &*self.standing.borrow()
                {
                    status.notices.push(format!("the coordinator is not reached: {reason}"));
                }
                Ok(serde_json::to_value(status).expect("plain data"))
            }
            Ask::Fleet(order) => {
                self.local.answer(Ask::Fleet(order))?;
                // Only a daemon knows who is linked.
                self.fleet()
            }
            ask => self.local.answer(ask),
        }
    }
}

impl AtWorkAnswers {
    /// An item that is here, else one that a device which is awake keeps to itself and lets this one find.
    fn show(&self, id: &str) -> Result<Value, Failure> {
        match self.local.answer(Ask::Show { id: id.to_owned() }) {
            Err(failure) if failure.kind == FailureKind::NotFound => {
                let shown = self.elsewhere(id).ok_or(failure)?;
                Ok(serde_json::to_value(shown).expect("plain data"))
            }
            answered => answered,
        }
    }

    /// Erases an item; one that another device keeps to itself is to be erased there.
    fn forget(&self, id: &str, dry_run: bool) -> Result<Value, Failure> {
        match self.local.answer(Ask::Forget { what: Forget::Item { id: id.to_owned() }, dry_run }) {
            Err(failure) if failure.kind == FailureKind::NotFound => {
                let shown = self.elsewhere(id).ok_or(failure)?;
                let membership = self.local.node()?.shared().membership();
                let name = name_of(membership.as_deref(), &shown.item.node);
                Err(Failure::new(
                    FailureKind::NotFound,
                    format!("{name} keeps it to itself; run `hearth forget` there"),
                ))
            }
            answered => answered,
        }
    }

    /// What another device keeps to itself. Nobody is asked about a path of this machine.
    fn elsewhere(&self, id: &str) -> Option<ask::Shown> {
        self.runtime.block_on(self.peers.show(id.parse().ok()?))
    }

    /// The fleet, with how the others are linked.
    fn fleet(&self) -> Result<Value, Failure> {
        let node = self.local.node()?;
        let link = |device: &hearth_core::DeviceId| match self.peers.standing(device) {
            peers::Standing::Linked { since, behind, by_broker } => {
                Link::Linked { since, behind, through_broker: by_broker }
            }
            peers::Standing::Waiting(reason, retry_at) => Link::Waiting { reason, retry_at },
            peers::Standing::Unheard => Link::None,
        };
        let mut shown = shown(&node.shared(), link)?;
        if let Some(about) = &mut shown.fleet {
            let used = self.peers.broker();
            about.broker = used.map(|(address, connected, state)| ask::fleet::Broker { address, connected, state });
        }
        Ok(serde_json::to_value(shown).expect("plain data"))
    }

    /// Wakes the members that sleep; packets go to networks at home alone.
    fn wake(&self) -> Result<Value, Failure> {
        let purpose = Purpose::Wake;
        let name = |(address, port): (std::net::Ipv4Addr, u16)| Allowed { host: address.to_string(), port, purpose };
        let gate = EgressGate::new(waking::everywhere().into_iter().map(name).collect(), self.local.node()?);
        let permit = |address: std::net::Ipv4Addr, port| gate.permit(&address.to_string(), port, purpose);
        let _runtime = self.runtime.enter();
        let devices = self.peers.wake(&permit, &self.stop)?;
        Ok(serde_json::to_value(ask::fleet::Woken { devices }).expect("plain data"))
    }

    fn invite_device(&self, replaces: Option<&str>, called: Option<String>) -> Result<Value, Failure> {
        let whom = match replaces {
            Some(device) => {
                let (before, name) = self.replaceable(device, called)?;
                Whom::InPlaceOf(before, name)
            }
            None => Whom::Device,
        };
        self.invite(whom)
    }

    fn invite_person(&self) -> Result<Value, Failure> {
        let membership = self.local.node()?.shared().membership().ok_or(FleetError::None)?;
        if membership.fleet.relays().next().is_none() {
            return Err(Failure::new(
                FailureKind::Denied,
                "relays are what a person with a fleet of their own would share with this one, and this fleet has none; they can begin their \
                 fleet without it: `hearth fleet create NAME` on their device",
            ));
        }
        self.invite(Whom::Guest)
    }

    fn invite(&self, whom: Whom) -> Result<Value, Failure> {
        let node = self.local.node()?.shared();
        let membership = node.membership().ok_or(FleetError::None)?;
        if !membership.fleet.is_admin(&node.identity.device) {
            return Err(FleetError::NotAdmin.into());
        }
        let Some(port) = self.peers.port() else {
            return Err(Failure::new(
                FailureKind::Failed,
                "this node cannot be reached by others: its port is taken; `fleet.listen` names another",
            ));
        };
        let (code, until) = self.peers.invite(whom);
        let at =
            addresses(self.listen.ip()).into_iter().map(|ip| std::net::SocketAddr::new(ip, port).to_string()).collect();
        Ok(serde_json::to_value(Invited { code: code.to_string(), until, at }).expect("plain data"))
    }

    /// The device that another one may take the place of, and what that one is called then.
    fn replaceable(&self, device: &str, called: Option<String>) -> Result<(hearth_core::DeviceId, String), Failure> {
        let node = self.local.node()?.shared();
        let membership = node.membership().ok_or(FleetError::None)?;
        let device = device_called(&node, device)?;
        let denied = |message: &str| Err(Failure::new(FailureKind::Denied, message));
        if device == node.identity.device {
            return denied("this device lets the new one in, and cannot go for it; do it on another admin's device");
        }
        if membership.fleet.threshold() > 1 {
            return denied(
                "taking a device out of this fleet needs more admins than one; let the new one in with `hearth fleet invite`, then revoke the other",
            );
        }
        let name = called.or_else(|| membership.name_of(&device).map(str::to_owned)).unwrap_or_default();
        Ok((device, name))
    }

    /// Brings this device into the fleet of a recovery sheet.
    fn recover(
        &self,
        words: &Secret,
        fleet: Option<&str>,
        (at, key): (Option<&str>, Option<&str>),
        device: &str,
    ) -> Result<Value, Failure> {
        let usage = |message: String| Failure::new(FailureKind::Usage, message);
        let (seed, fleet) = sheet_of(words, fleet)?;
        let at = at.ok_or_else(|| {
            usage(
                "this device is in no fleet; name a device or relay of the fleet that is recovered with --at HOST:PORT"
                    .into(),
            )
        })?;
        let key = key.map(hearth_link::key_from_text).transpose().map_err(|error| usage(format!("--key: {error}")))?;
        let node = self.local.node()?;
        let to =
            allowed(at).ok_or_else(|| usage(format!("`{at}` is not `host:port`; the recovery sheet shows relays")))?;
        let (host, port) = (to.host.clone(), to.port);
        EgressGate::new(vec![to], Arc::clone(&node))
            .permit(&host, port, Purpose::Node)
            .map_err(|error| Failure::new(FailureKind::Denied, error))?;
        let way = Way { at, key, fleet, name: device };
        self.runtime
            .block_on(self.peers.recover(&seed, way))
            .map_err(|error| Failure::new(FailureKind::Failed, with_causes(&error)))?;
        self.fleet()
    }

    fn join(&self, code: &str, at: &str, device: &str, own: Option<&str>) -> Result<Value, Failure> {
        let usage = |message: String| Failure::new(FailureKind::Usage, message);
        let code = code.parse().map_err(|error: hearth_core::fleet::words::WrongWords| usage(error.to_string()))?;
        let node = self.local.node()?;
        let shared = node.shared();
        match (shared.membership(), own) {
            (None, _) => {}
            (Some(membership), Some(own)) if membership.fleet.name() == own => {
                if !membership.fleet.is_admin(&shared.identity.device) {
                    return Err(FleetError::NotAdmin.into());
                }
            }
            (Some(membership), _) => return Err(FleetError::InOne(membership.fleet.name().to_owned()).into()),
        }
        let to = allowed(at).ok_or_else(|| {
            usage("write where the other device listens as `host:port`, as `hearth fleet invite` shows it".into())
        })?;
        let (host, port) = (to.host.clone(), to.port);
        EgressGate::new(vec![to], Arc::clone(&node))
            .permit(&host, port, Purpose::Node)
            .map_err(|error| Failure::new(FailureKind::Denied, error))?;
        let joined = match own {
            None => self.runtime.block_on(self.peers.join(&code, at, device)),
            Some(own) => {
                let founded = match shared.membership() {
                    Some(_) => None,
                    None => Some(shared.fleet_to_found(own, device)?),
                };
                self.runtime.block_on(self.peers.be_guest(&code, at, founded))
            }
        };
        joined.map_err(|error| Failure::new(FailureKind::Failed, error.to_string()))?;
        self.fleet()
    }
}

/// The addresses of this machine that others may reach when it listens there, those of networks at home first.
fn addresses(listen: std::net::IpAddr) -> Vec<std::net::IpAddr> {
    if !listen.is_unspecified() {
        return vec![listen];
    }
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else { return Vec::new() };
    let mut found: Vec<std::net::IpAddr> = networks
        .values()
        .flat_map(sysinfo::NetworkData::ip_networks)
        .map(|network| network.addr)
        .filter(|ip| match ip {
            std::net::IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
            // An IPv6 socket takes both kinds.
            std::net::IpAddr::V6(ip) => listen.is_ipv6() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
        })
        .collect();
    // Somebody else's loopback is not ours; it is named only where there is nothing else.
    if found.iter().any(|ip| !ip.is_loopback()) {
        found.retain(|ip| !ip.is_loopback());
    }
    let at_home = |ip: &std::net::IpAddr| matches!(ip, std::net::IpAddr::V4(ip) if ip.is_private());
    found.sort_by_key(|ip| (!at_home(ip), ip.is_ipv6(), *ip));
    found.dedup();
    found
}

impl Running for AtWork {
    fn answers(&self) -> Arc<dyn Answers> {
        Arc::clone(&self.answers) as Arc<dyn Answers>
    }

    fn device_key(&self) -> String {
        self.device_key.clone()
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.answers.stop.cancel();
        for task in self.fleet.drain(..) {
            // It holds the egress gate, and with it the node; it ends at its next await.
            while !task.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let Some(upkeep) = self.upkeep.take() {
            let _ = upkeep.join();
        }
        if let Ok(node) = self.answers.local.node() {
            node.audit(Event::Stopped)?;
        }
        self.answers.local.close();
        Ok(())
    }
}

fn key_text(identity: &hearth_store::Identity) -> String {
    hearth_link::identity::key_text(&identity.signing.verifying_key())
}

fn library(config: &Config) -> Option<&Path> {
    match config.embed.backend {
        Backend::Tract => None,
        Backend::Auto | Backend::Ort => config.embed.onnxruntime.as_ref().map(crate::config::AbsolutePath::as_path),
    }
}

fn limits(config: &Config) -> Limits {
    Limits { bytes: config.capture.max_file_size.get(), time: config.capture.read_timeout.duration() }
}

/// The model in the program, or the one that the configuration pins.
fn model(config: &Config) -> Result<Model, Failure> {
    let Some(path) = &config.embed.model else { return Ok(Model::bundled()) };
    let failed = |message: String| Failure::new(FailureKind::Failed, message);
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| failed(format!("{} cannot be read: {error}; correct `embed.model`", path.display())))
    };
    let onnx = read(path.as_path())?;
    let tokenizer = read(&path.as_path().with_file_name("tokenizer.json"))?;
    let Some(pin) = &config.embed.model_sha256 else {
        return Err(failed(
            "`embed.model` is set but `embed.model-sha256` is not; a model is used only when it is pinned".into(),
        ));
    };
    let expected = Digests { onnx: *pin.bytes(), ..Digests::of(&[], &tokenizer) };
    Model::from_bytes(onnx, &tokenizer, Some(expected)).map_err(|error| failed(error.to_string()))
}

fn settings(config: &Config) -> Result<Settings, Failure> {
    let defaults = Settings::default();
    if config.embed.backend == Backend::Ort && config.embed.onnxruntime.is_none() {
        let message = "`embed.backend` is `ort` but `embed.onnxruntime` names no library; name it by its absolute path";
        return Err(Failure::new(FailureKind::Usage, message));
    }
    let calm = config.capture.settle.duration();
    Ok(Settings {
        limits: limits(config),
        watching: Watching {
            calm,
            calm_big: calm * 15,
            rescan_every: config.capture.scan_every.duration(),
            ..Watching::default()
        },
        policy: crate::commands::redact::policy(config),
        onnxruntime: library(config).map(Path::to_path_buf),
        embed_threads: config.embed.threads.map_or(defaults.embed_threads, crate::config::Threads::get),
        model: config.embed.model.is_some().then(|| model(config)).transpose()?,
        ..defaults
    })
}

/// What capturing these folders would take and hide, from a quick look.
fn sample(folders: &[PathBuf], config: &Config) -> Sample {
    let begun = Instant::now();
    let (rules, limits) = (Rules::with_policy(crate::commands::redact::policy(config)), limits(config));
    let source = Files::new(folders, &Options::default());
    let redact = |name: &[u8]| rules.redact(Raw::new(display_name(name))).as_str().to_owned();
    let (mut sample, mut hidden) = (Sample::default(), BTreeMap::<String, u64>::new());
    for found in source.scan(None) {
        if begun.elapsed() > SAMPLE_TIME || sample.files >= SAMPLE_FILES {
            break;
        }
        let left_alone = match found {
            Found::Seen(candidate) => match source.read(&candidate, &limits) {
                Ok(captured) => {
                    sample.files += 1;
                    for (class, count) in rules.redact(captured.text).counts().iter() {
                        *hidden.entry(class.as_str().into()).or_default() += u64::from(count);
                    }
                    if sample.captured.len() < SAMPLE_NAMES {
                        sample.captured.push(redact(&candidate.name));
                    }
                    continue;
                }
                Err(skip) => skip,
            },
            Found::Skipped(skip) => skip,
        };
        if sample.left_alone.len() < SAMPLE_NAMES {
            sample.left_alone.push((redact(&left_alone.name), left_alone.reason.to_string()));
        }
    }
    sample.hidden = hidden.into_iter().collect();
    sample.hidden.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sample
}
