//! Decides how each node is, and what is wrong with the fleet.
//!
//! Pure functions of what was reported and of the time; the page and its JSON twin say what they say.

use std::{collections::BTreeMap, time::Duration};

use hearth_core::{DeviceId, Moment, status::Label};
use serde::Serialize;

use crate::fleet::Node;

/// How recently a node was heard of, against how often it means to report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It reports as it said.
    Fresh,
    /// It missed a report or a few.
    Late,
    /// It has been silent for so long that somebody should look.
    Lost,
    /// It is trusted and was never heard of.
    Never,
}

/// A node counts as fresh for twice its interval and this much more: networks and disks take their time.
const GRACE: Duration = Duration::from_secs(10);

/// A node counts as late for ten intervals, and at least this long: machines restart.
const LATE_MIN: Duration = Duration::from_secs(300);

/// A node that claims to report more rarely is still held to this.
const EVERY_MAX: Duration = Duration::from_secs(3600);

/// A moment that lies further ahead is a clock that was set back, not a report from the future.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// The state of a node that was last heard of at `kept_at` and means to report each `every`.
pub fn state(now: Moment, kept_at: Moment, every: Duration) -> State {
    let every = every.min(EVERY_MAX);
    let age = now.since(kept_at);
    if kept_at.since(now) > AHEAD_MAX {
        State::Late
    } else if age <= every * 2 + GRACE {
        State::Fresh
    } else if age <= (every * 10).max(LATE_MIN) {
        State::Late
    } else {
        State::Lost
    }
}

/// One node as it is shown.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// Which device.
    pub device: DeviceId,
    /// What people call it: the name in the list of trusted keys, or else its host name, or else its id.
    pub name: String,
    /// How recently it was heard of.
    pub state: State,
    /// Its last word, if it ever spoke.
    pub last: Option<Node>,
}

/// How urgent a problem is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// Something does not work.
    Bad,
    /// Something will not work soon, or not everywhere.
    Warning,
}

/// Something that the owner should know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// How urgent it is.
    pub urgency: Urgency,
    /// The device that it is about; absent when it is about the coordinator.
    pub device: Option<DeviceId>,
    /// What is wrong and what to do, as a sentence.
    pub sentence: String,
}

/// Every trusted device with its last word, those in trouble first and then by name. Words of devices that are trusted no more are left out.
pub fn seen(now: Moment, trusted: &BTreeMap<DeviceId, Option<Label>>, nodes: Vec<Node>) -> Vec<Seen> {
    let mut words: BTreeMap<DeviceId, Node> = nodes.into_iter().map(|node| (node.device, node)).collect();
    let mut seen: Vec<Seen> = trusted
        .iter()
        .map(|(&device, given)| {
            let last = words.remove(&device);
            let host = last.as_ref().and_then(|node| node.report.name.as_ref());
            let name = given.as_ref().or(host).map_or_else(|| device.to_string(), ToString::to_string);
            let state = last.as_ref().map_or(State::Never, |node| {
                state(now, node.kept_at, Duration::from_secs(node.report.report_every_seconds.into()))
            });
            Seen { device, name, state, last }
        })
        .collect();
    seen.sort_by(|left, right| {
        let key = |seen: &Seen| (seen.state == State::Fresh, seen.name.to_lowercase(), seen.device);
        key(left).cmp(&key(right))
    });
    seen
}

/// A disk with less than this part free is nearly full.
const FREE_PERCENT_MIN: u64 = 5;

/// More of the memory in use than this leaves nothing for the next program.
const MEMORY_PERCENT_MAX: u64 = 95;

/// Above this most processors slow down to save themselves.
const CELSIUS_MAX: f32 = 90.0;

/// Clocks that differ by more confuse what is "late" and "last".
const SKEW_MAX: Duration = Duration::from_secs(120);

/// What is wrong, the most urgent first; empty when all is well. `notices` are about the coordinator itself.
pub fn problems(now: Moment, seen: &[Seen], notices: &[String]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = notices
        .iter()
        .map(|notice| Problem { urgency: Urgency::Bad, device: None, sentence: notice.clone() })
        .collect();
    let newest =
        seen.iter().filter_map(|seen| seen.last.as_ref()).map(|node| version(&node.report.agent_version)).max();
    for node in seen {
        of_node(now, node, newest.as_ref(), &mut problems);
    }
    problems.sort_by_key(|problem| problem.urgency);
    problems
}

fn of_node(now: Moment, seen: &Seen, newest: Option<&Version>, problems: &mut Vec<Problem>) {
    let name = &seen.name;
    let mut tell = |urgency, sentence| problems.push(Problem { urgency, device: Some(seen.device), sentence });
    let Some(node) = &seen.last else {
        tell(
            Urgency::Warning,
            format!(
                "{name} is trusted and has never reported; is its agent running, and does it know this coordinator?"
            ),
        );
        return;
    };
    let ago = duration(now.since(node.kept_at));
    match seen.state {
        State::Lost => {
            tell(Urgency::Bad, format!("{name} has been silent for {ago}; is it switched on and connected?"));
            // What it said of itself back then helps nobody now.
            return;
        }
        State::Late => tell(Urgency::Warning, format!("{name} is late: its last report came {ago} ago")),
        State::Fresh | State::Never => {}
    }
    let report = &node.report;
    for (number, disk) in (1..).zip(report.disks.iter()) {
        if let Some(percent) = percent(disk.free_bytes, disk.total_bytes).filter(|&free| free < FREE_PERCENT_MIN) {
            let free = bytes(disk.free_bytes);
            tell(Urgency::Bad, format!("disk {number} of {name} is nearly full: {free} ({percent} %) are free"));
        }
    }
    let used = percent(report.memory.used_bytes, report.memory.total_bytes);
    if let Some(used) = used.filter(|&used| used > MEMORY_PERCENT_MAX) {
        tell(Urgency::Warning, format!("{name} has {used} % of its memory in use"));
    }
    let hottest = report.temperatures.iter().max_by(|left, right| left.celsius.get().total_cmp(&right.celsius.get()));
    if let Some(sensor) = hottest.filter(|sensor| sensor.celsius.get() >= CELSIUS_MAX) {
        tell(
            Urgency::Warning,
            format!("{name} is hot: {} says {:.0} °C; does its fan turn?", sensor.label, sensor.celsius.get()),
        );
    }
    let skew = node.kept_at.since(report.sent_at).max(report.sent_at.since(node.kept_at));
    if skew > SKEW_MAX {
        let skew = duration(skew);
        tell(
            Urgency::Warning,
            format!("the clock of {name} differs from this one by {skew}; does it synchronise its time?"),
        );
    }
    if newest.is_some_and(|newest| version(&report.agent_version) < *newest) {
        tell(
            Urgency::Warning,
            format!("{name} runs agent {}, and others of the fleet a later one", report.agent_version),
        );
    }
}

/// The part in percent, rounded down; `None` when there is no whole.
pub fn percent(part: u64, whole: u64) -> Option<u64> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    Some(u64::try_from(percent).unwrap_or(u64::MAX))
}

/// An amount of storage for people, in powers of a thousand as disks are sold.
pub fn bytes(count: u64) -> String {
    let (mut whole, mut tenths, mut unit) = (count, 0, "B");
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if whole < 1000 {
            break;
        }
        (whole, tenths, unit) = (whole / 1000, whole % 1000 / 100, larger);
    }
    if whole < 10 && unit != "B" { format!("{whole}.{tenths} {unit}") } else { format!("{whole} {unit}") }
}

/// A span for people, in its two largest units at most.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Numbers compare as numbers, so that 0.10 is later than 0.9.
type Version = Vec<u64>;

fn version(label: &Label) -> Version {
    let numbers = label.as_str().split(['.', '-', '+']).take(3);
    numbers.map(|number| number.parse().unwrap_or_default()).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use hearth_core::status::{
        BootId, Capture, Counters, Cpu, Disk, DiskKind, Few, Finite, Memory, StatusReport, Temperature,
    };

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_state_follows_from_the_age_of_the_last_word() {
        let half_minute = Duration::from_secs(30);
        let day = Duration::from_secs(86_400);
        for (case, age_seconds, every, expected) in [
            ("just now", 0, half_minute, State::Fresh),
            ("one report missed", 70, half_minute, State::Fresh),
            ("a moment later", 71, half_minute, State::Late),
            ("five minutes", 300, half_minute, State::Late),
            ("more than five minutes", 301, half_minute, State::Lost),
            ("a rare reporter has ten of its intervals", 6000, MINUTE * 10, State::Late),
            ("and no more", 6001, MINUTE * 10, State::Lost),
            ("a node that wants a day is held to an hour", 7211, day, State::Late),
            ("an interval of nothing", 10, Duration::ZERO, State::Fresh),
        ] {
            let now = at(1_000_000);
            let kept_at = now - Duration::from_secs(age_seconds);
            assert_eq!(state(now, kept_at, every), expected, "{case}");
        }
        let now = at(1_000_000);
        assert_eq!(state(now, now + MINUTE, half_minute), State::Fresh, "clocks are never quite the same");
        assert_eq!(state(now, now + MINUTE * 2, half_minute), State::Late, "the clock was set back");
    }

    #[test]
    fn every_kind_of_trouble_is_a_sentence_and_health_is_silence() {
        let now = at(1_000_000);
        type Change = fn(&mut Node);
        let rows: [(&str, Change, &str); 9] = [
            ("all is well", |_| {}, ""),
            ("late", |node| node.kept_at = at(999_800), "attic is late: its last report came 3 min ago"),
            ("lost", |node| node.kept_at = at(900_000), "attic has been silent for 1 d 3 h"),
            (
                "a full disk",
                |node| node.report.disks = Few::cut([disk(500, 100), disk(100, 4)]),
                "disk 2 of attic is nearly full: 4 B (4 %)",
            ),
            ("no memory left", |node| node.report.memory.used_bytes = 7_900_000_000, "98 % of its memory"),
            ("memory unknown", |node| node.report.memory = Memory { total_bytes: 0, used_bytes: 0 }, ""),
            (
                "heat",
                |node| node.report.temperatures = Few::cut([warm("gpu", 94.6), warm("cpu", 60.0)]),
                "gpu says 95 °C",
            ),
            ("another time", |node| node.report.sent_at = at(990_000), "differs from this one by 2 h 46 min"),
            ("a disk of nothing", |node| node.report.disks = Few::cut([disk(0, 0)]), ""),
        ];
        for (case, change, expected) in rows {
            let mut node = node(1, now);
            // What was said with the last word is as old as that word.
            change(&mut node);
            if node.kept_at != now {
                node.report.sent_at = node.kept_at;
            }
            let problems = problems(now, &seen(now, &trusting(&[1]), vec![node]), &[]);
            let told: Vec<_> = problems.iter().map(|problem| problem.sentence.as_str()).collect();
            match expected {
                "" => assert!(told.is_empty(), "{case}: {told:?}"),
                _ => assert!(told.len() == 1 && told[0].contains(expected), "{case}: {told:?}"),
            }
        }
    }

    #[test]
    fn an_older_agent_than_the_newest_of_the_fleet_is_named() {
        let now = at(1_000_000);
        let mut old = node(1, now);
        let mut new = node(2, now);
        old.report.agent_version = label("0.9.0");
        new.report.agent_version = label("0.10.0");
        let problems = problems(now, &seen(now, &trusting(&[1, 2]), vec![old, new]), &[]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].sentence.contains("runs agent 0.9.0"), "{problems:?}");
    }

    #[test]
    fn trouble_comes_first_and_what_is_not_trusted_is_not_shown() {
        let now = at(1_000_000);
        let mut lost = node(3, now - MINUTE * 600);
        lost.report.name = Some(label("zoo"));
        let seen = seen(now, &trusting(&[1, 3, 4]), vec![node(1, now), node(2, now), lost]);
        let shown: Vec<_> = seen.iter().map(|seen| (seen.name.as_str(), seen.state)).collect();
        let never = device(4).to_string();
        assert_eq!(shown, [(never.as_str(), State::Never), ("zoo", State::Lost), ("attic", State::Fresh)]);
        let told = problems(now, &seen, &["the store is gone".into()]);
        let urgencies: Vec<_> = told.iter().map(|problem| problem.urgency).collect();
        assert_eq!(urgencies, [Urgency::Bad, Urgency::Bad, Urgency::Warning]);
        assert_eq!(told[0].device, None);
    }

    #[test]
    fn amounts_and_spans_are_written_for_people() {
        for (count, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9999, "9.9 kB"),
            (12_345_678, "12 MB"),
            (1_500_000_000, "1.5 GB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
        for (seconds, expected) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(percent(u64::MAX, u64::MAX), Some(100));
        assert_eq!(percent(1, 0), None);
    }

    pub(crate) fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    pub(crate) fn device(seed: u8) -> DeviceId {
        DeviceId::from_bytes([seed; 16])
    }

    pub(crate) fn trusting(seeds: &[u8]) -> BTreeMap<DeviceId, Option<Label>> {
        seeds.iter().map(|&seed| (device(seed), None)).collect()
    }

    pub(crate) fn label(text: &str) -> Label {
        Label::cut(text).expect("readable")
    }

    fn disk(total_bytes: u64, free_bytes: u64) -> Disk {
        Disk { kind: DiskKind::Ssd, removable: false, total_bytes, free_bytes }
    }

    fn warm(sensor: &str, celsius: f32) -> Temperature {
        Temperature { label: label(sensor), celsius: Finite::new(celsius).expect("finite") }
    }

    /// A node that is well and reported at this moment.
    pub(crate) fn node(seed: u8, now: Moment) -> Node {
        let load = |value| Finite::new(value).expect("finite");
        let report = StatusReport {
            name: Some(label("attic")),
            os: label("Debian GNU Linux 12"),
            kernel: Some(label("6.1.0")),
            agent_version: label("0.1.0"),
            uptime_seconds: 90_000,
            boot: BootId::from_bytes([7; 16]),
            load_average: [load(0.5), load(0.25), load(0.1)],
            cpu: Cpu { cores: 4, used_percent: Some(load(12.5)) },
            memory: Memory { total_bytes: 8_000_000_000, used_bytes: 2_000_000_000 },
            disks: Few::cut([disk(500_000_000_000, 120_000_000_000)]),
            temperatures: Few::cut([warm("cpu thermal", 51.3)]),
            counters: Counters { items: 1200, chunks: 5400, jobs_pending: 2 },
            capture: Capture::Open,
            sent_at: now,
            report_every_seconds: 30,
        };
        Node { device: device(seed), report, kept_at: now }
    }
}
