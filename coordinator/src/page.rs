//! The fleet as people and programs see it: one HTML page, and the same as JSON.
//!
//! Everything is written on the server. The page needs no script, and nothing in it comes from elsewhere.

use askama::Template;
use hearth_core::{
    DeviceId, Moment,
    status::{Capture, DiskKind, StatusReport},
};
use hearth_link::{Mqtt, mqtt};
use serde::Serialize;

use crate::{
    health::{self, Problem, Seen, State, Urgency},
    relay::host::Served,
};

/// The fleet at one moment.
#[derive(Debug)]
pub struct View {
    /// When it was looked at.
    pub now: Moment,
    /// What is wrong, the most urgent first.
    pub problems: Vec<Problem>,
    /// Every trusted device.
    pub nodes: Vec<Seen>,
    /// What the relay keeps.
    pub relayed: Vec<Served>,
    /// How it stands with the broker, when devices may come through one.
    pub broker: Option<ByBroker>,
}

/// How it stands with the broker through which devices may come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ByBroker {
    /// What it is called.
    pub address: String,
    /// Whether it can be used now.
    pub connected: bool,
    /// The same as a sentence, with the reason.
    pub state: String,
    /// How many links go through it now.
    pub links: usize,
    /// Whether it could not be used when it was last tried.
    #[serde(skip)]
    pub failed: bool,
}

impl ByBroker {
    /// How it stands now.
    pub fn of(mqtt: &Mqtt) -> Self {
        Self::standing(mqtt.address(), &mqtt.state(), mqtt.links())
    }

    fn standing(address: String, state: &mqtt::State, links: usize) -> Self {
        let connected = matches!(state, mqtt::State::Connected);
        let failed = matches!(state, mqtt::State::Waiting(_));
        Self { address, connected, state: state.to_string(), links, failed }
    }

    fn in_words(&self) -> String {
        let Self { address, links, .. } = self;
        match (self.connected, links) {
            (false, _) => format!("{address}: {}", self.state),
            (true, 1) => format!("{address}: connected, one device is linked through it"),
            (true, links) => format!("{address}: connected, {links} devices are linked through it"),
        }
    }

    /// What the owner should know of it.
    pub fn problem(&self) -> Option<String> {
        let state = &self.state;
        self.failed.then(|| format!("no device can come through the broker, others are served: {state}"))
    }
}

/// What `/v1/nodes` answers. Its keys do not change; new ones may join them.
#[derive(Serialize)]
struct Answer<'a> {
    now_millis: Moment,
    problems: &'a [Problem],
    nodes: Vec<NodeAnswer<'a>>,
    relay: RelayAnswer,
    broker: Option<&'a ByBroker>,
}

#[derive(Serialize)]
struct RelayAnswer {
    fleets: Vec<FleetAnswer>,
}

#[derive(Serialize)]
struct FleetAnswer {
    fleet: String,
    devices: usize,
    bytes: u64,
    segments: u64,
    keys: u64,
    erased: u64,
}

#[derive(Serialize)]
struct NodeAnswer<'a> {
    device: DeviceId,
    name: &'a str,
    state: State,
    last_seen_millis: Option<Moment>,
    age_seconds: Option<u64>,
    report: Option<&'a StatusReport>,
}

impl View {
    /// The fleet as JSON.
    pub fn to_json(&self) -> String {
        let nodes = self.nodes.iter().map(|seen| NodeAnswer {
            device: seen.device,
            name: &seen.name,
            state: seen.state,
            last_seen_millis: seen.last.as_ref().map(|node| node.kept_at),
            age_seconds: seen.last.as_ref().map(|node| self.now.since(node.kept_at).as_secs()),
            report: seen.last.as_ref().map(|node| &node.report),
        });
        let fleets = self.relayed.iter().map(|served| FleetAnswer {
            fleet: served.fleet.to_string(),
            devices: served.devices,
            bytes: served.usage.bytes,
            segments: served.usage.segments,
            keys: served.usage.keys,
            erased: served.usage.erased,
        });
        let relay = RelayAnswer { fleets: fleets.collect() };
        let (now_millis, problems, nodes) = (self.now, &self.problems, nodes.collect());
        let answer = Answer { now_millis, problems, nodes, relay, broker: self.broker.as_ref() };
        serde_json::to_string_pretty(&answer).expect("a view has only names and numbers")
    }

    /// The fleet as a page.
    pub fn to_html(&self) -> String {
        let rows: Vec<Row> = self.nodes.iter().map(|seen| Row::of(seen, self.now)).collect();
        let relayed: Vec<Relayed> = self.relayed.iter().map(Relayed::of).collect();
        let page = Page {
            title: self.title(),
            heading: self.heading(),
            problems: &self.problems,
            rows: &rows,
            relayed: &relayed,
            broker: self.broker.as_ref().map(ByBroker::in_words),
            now: clock_text(self.now),
            version: env!("CARGO_PKG_VERSION"),
        };
        page.render().expect("a page is written to memory")
    }

    /// What stands above the problems.
    fn heading(&self) -> &'static str {
        if self.problems.iter().any(|problem| problem.urgency == Urgency::Bad) { "What is wrong" } else { "To look at" }
    }

    fn title(&self) -> String {
        let bad = self.problems.iter().filter(|problem| problem.urgency == Urgency::Bad).count();
        let warnings = self.problems.len() - bad;
        match (self.nodes.len(), bad, warnings) {
            (0, 0, 0) => "No device is trusted yet".into(),
            (_, 0, 0) => "All is well".into(),
            (_, 0, 1) => "One thing to look at".into(),
            (_, 0, warnings) => format!("{warnings} things to look at"),
            (_, 1, _) => "One thing is wrong".into(),
            (_, bad, _) => format!("{bad} things are wrong"),
        }
    }
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page<'a> {
    title: String,
    heading: &'static str,
    problems: &'a [Problem],
    rows: &'a [Row],
    relayed: &'a [Relayed],
    broker: Option<String>,
    now: String,
    version: &'a str,
}

impl Page<'_> {
    /// A problem's sentence; a device without a name is called by the beginning of its id.
    fn short(problem: &Problem) -> String {
        let Some(id) = problem.device.map(|device| device.to_string()) else { return problem.sentence.clone() };
        problem.sentence.replace(&id, &format!("{}…", &id[..12]))
    }
}

/// A fleet whose relay this is, in words.
struct Relayed {
    fleet: String,
    devices: String,
    keeps: String,
    erased: u64,
}

impl Relayed {
    fn of(served: &Served) -> Self {
        let plural = |n: u64, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
        let usage = &served.usage;
        Self {
            fleet: served.fleet.to_string(),
            devices: plural(served.devices as u64, "device", "devices"),
            keeps: format!(
                "{} in {}",
                health::bytes(usage.bytes),
                plural(usage.segments, "sealed segment", "sealed segments")
            ),
            erased: usage.erased,
        }
    }
}

/// One node, in words.
struct Row {
    name: String,
    device: String,
    state: &'static str,
    /// How long ago it was heard of, and when.
    seen: Option<(String, String)>,
    facts: Option<Facts>,
}

struct Facts {
    cpu: Gauge,
    load: String,
    memory: Gauge,
    disks: Vec<Gauge>,
    warmest: Option<String>,
    held: String,
    waiting: u64,
    capture: &'static str,
    agent: String,
    os: String,
    uptime: String,
}

/// A part of a whole: a bar for the eye, and the words for everybody.
struct Gauge {
    percent: Option<u64>,
    words: String,
}

impl Row {
    fn of(seen: &Seen, now: Moment) -> Self {
        let state = match seen.state {
            State::Fresh => "fresh",
            State::Late => "late",
            State::Lost => "lost",
            State::Never => "never seen",
        };
        let last = seen.last.as_ref();
        Self {
            name: seen.name.clone(),
            device: seen.device.to_string(),
            state,
            seen: last
                .map(|node| (format!("{} ago", health::duration(now.since(node.kept_at))), clock_text(node.kept_at))),
            facts: last.map(|node| Facts::of(&node.report)),
        }
    }

    /// The state as a word that a style sheet can select.
    fn class(&self) -> &'static str {
        if self.state == "never seen" { "never" } else { self.state }
    }
}

impl Facts {
    fn of(report: &StatusReport) -> Self {
        let used = report.cpu.used_percent.map(|used| used.get().round().clamp(0.0, 100.0));
        let cores = report.cpu.cores;
        let plural = if cores == 1 { "" } else { "s" };
        let cpu = Gauge {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 100")]
            percent: used.map(|used| used as u64),
            words: used.map_or_else(
                || format!("{cores} core{plural}, not measured yet"),
                |used| format!("{used:.0} % of {cores} core{plural}"),
            ),
        };
        let memory = part(report.memory.used_bytes, report.memory.total_bytes, "");
        let disks = report.disks.iter().map(|disk| {
            let kind = match disk.kind {
                DiskKind::Hdd => "disk ",
                DiskKind::Ssd => "flash ",
                DiskKind::Unknown => "",
            };
            part(disk.total_bytes.saturating_sub(disk.free_bytes), disk.total_bytes, kind)
        });
        let warmest =
            report.temperatures.iter().max_by(|left, right| left.celsius.get().total_cmp(&right.celsius.get()));
        let [one, five, fifteen] = report.load_average.map(|load| format!("{:.2}", load.get()));
        Self {
            cpu,
            load: format!("{one} · {five} · {fifteen}"),
            memory,
            disks: disks.collect(),
            warmest: warmest.map(|sensor| format!("{:.0} °C ({})", sensor.celsius.get(), sensor.label)),
            held: format!("{} items, {} passages", report.counters.items, report.counters.chunks),
            waiting: report.counters.jobs_pending,
            capture: match report.capture {
                Capture::Open => "capturing",
                Capture::Paused => "paused",
                Capture::Private => "private",
                Capture::Idle => "no session open",
            },
            agent: report.agent_version.to_string(),
            os: report.os.to_string(),
            uptime: health::duration(std::time::Duration::from_secs(report.uptime_seconds)),
        }
    }
}

fn part(used: u64, total: u64, kind: &str) -> Gauge {
    let percent = health::percent(used, total);
    let words = match percent {
        Some(percent) => format!("{kind}{percent} % of {}", health::bytes(total)),
        None => "not known".into(),
    };
    Gauge { percent, words }
}

/// A moment as people write it, in UTC so that it means the same everywhere.
fn clock_text(moment: Moment) -> String {
    let millis = i64::try_from(moment.as_millis()).ok();
    millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()).map_or_else(
        || "at a time that no calendar knows".into(),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hearth_core::status::{Few, Label};

    use hearth_core::fleet::FleetId;
    use hearth_link::BrokerError;

    use super::*;
    use crate::{
        health::tests::{at, device, label, node, trusting},
        relay::engine::Usage,
    };

    #[test]
    fn the_page_of_a_fleet_in_trouble() {
        insta::assert_snapshot!(troubled().to_html());
    }

    #[test]
    fn the_page_of_a_fleet_that_is_well() {
        insta::assert_snapshot!(view(vec![node(1, at(1_763_000_000))], &trusting(&[1])).to_html());
    }

    #[test]
    fn the_page_of_an_empty_fleet() {
        insta::assert_snapshot!(view(vec![], &BTreeMap::new()).to_html());
    }

    #[test]
    fn the_fleet_as_json() {
        insta::assert_snapshot!(troubled().to_json());
    }

    #[test]
    fn a_name_cannot_become_markup() {
        let mut node = node(1, at(1_763_000_000));
        node.report.name = Some(label("<img src=x onerror=alert(1)>"));
        node.report.agent_version = label("\"><script>");
        let html = view(vec![node], &trusting(&[1])).to_html();
        assert!(!html.contains("<img") && !html.contains("<script"), "{html}");
    }

    #[test]
    fn the_title_says_first_what_is_wrong() {
        let problem = |urgency| Problem { urgency, device: None, sentence: "that".into() };
        let nodes = || health::seen(at(9), &trusting(&[1]), vec![]);
        for (expected, heading, problems) in [
            ("All is well", "To look at", vec![]),
            ("One thing to look at", "To look at", vec![Urgency::Warning]),
            ("2 things to look at", "To look at", vec![Urgency::Warning; 2]),
            ("One thing is wrong", "What is wrong", vec![Urgency::Bad, Urgency::Warning]),
            ("2 things are wrong", "What is wrong", vec![Urgency::Bad; 2]),
        ] {
            let view = View {
                now: at(9),
                problems: problems.into_iter().map(problem).collect(),
                nodes: nodes(),
                relayed: Vec::new(),
                broker: None,
            };
            assert_eq!((view.title().as_str(), view.heading()), (expected, heading));
        }
    }

    #[test]
    fn a_broker_that_cannot_be_used_is_a_problem_and_one_that_is_being_asked_is_none() {
        let refused = mqtt::State::Waiting(BrokerError::Password("mqtt.example.net:8883".into()));
        for (state, problem, words) in [
            (mqtt::State::Connecting, false, "mqtt.example.net:8883: the broker is being asked"),
            (mqtt::State::Connected, false, "mqtt.example.net:8883: connected, 2 devices are linked through it"),
            (refused, true, "does not accept this user and password; set those that its owner has given"),
        ] {
            let broker = by_broker(&state);
            assert_eq!(broker.problem().is_some(), problem, "{broker:?}");
            assert!(broker.in_words().ends_with(words), "{broker:?}");
        }
    }

    fn by_broker(state: &mqtt::State) -> ByBroker {
        ByBroker::standing("mqtt.example.net:8883".into(), state, 2)
    }

    fn relayed() -> Vec<Served> {
        let usage = Usage { bytes: 3_500_000_000, segments: 120_000, keys: 90_000, erased: 12 };
        vec![Served { fleet: FleetId::from_bytes([0xAB; 16]), devices: 3, usage }]
    }

    fn troubled() -> View {
        let now = at(1_763_000_000);
        let (mut full, mut lost) = (node(2, now), node(3, at(1_762_900_000)));
        full.report.name = Some(label("nas"));
        full.report.memory.total_bytes = 0;
        full.report.cpu.used_percent = None;
        full.report.disks =
            Few::cut(full.report.disks.iter().map(|disk| hearth_core::status::Disk { free_bytes: 9_000_000, ..*disk }));
        full.report.temperatures = Few::default();
        lost.report.name = None;
        let mut trusted: BTreeMap<DeviceId, Option<Label>> = trusting(&[1, 2, 3]);
        trusted.insert(device(4), Some(label("new laptop")));
        view(vec![node(1, now), full, lost], &trusted)
    }

    fn view(nodes: Vec<crate::Node>, trusted: &BTreeMap<DeviceId, Option<Label>>) -> View {
        let now = at(1_763_000_012);
        let nodes = health::seen(now, trusted, nodes);
        let relayed = if nodes.is_empty() { Vec::new() } else { relayed() };
        let broker = (!nodes.is_empty()).then(|| by_broker(&mqtt::State::Connected));
        View { now, problems: health::problems(now, &nodes, &[]), nodes, relayed, broker }
    }
}
