//! A process that is killed while it appends has kept what it acknowledged and none of the keys that it erased.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{File, OpenOptions},
    io::Write,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hearth_core::segment::Segment;

use super::*;
use crate::relay::conformance::{Author, Change};

const FLEET: FleetId = FleetId::from_bytes([1; 16]);
/// Names the folder for the process that is to be killed.
const FOLDER: &str = "HEARTH_RELAY_TO_KILL";
const AUTHORS: u8 = 2;

fn document(n: u32) -> DocumentId {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
    id[4..8].copy_from_slice(&n.to_be_bytes());
    DocumentId::from_bytes(id)
}

fn record(n: u32) -> Vec<u8> {
    format!("<the wrapped key of document {n}>").into_bytes()
}

/// What a process said: `k N` a key is kept, `x N` a document is about to be erased, `e N` it is, `s A N` author A's log has N segments.
#[derive(Debug, Default)]
struct Said {
    keys: BTreeSet<u32>,
    erasing: BTreeSet<u32>,
    erased: BTreeSet<u32>,
    segments: BTreeMap<u8, u64>,
}

impl Said {
    fn read(data: &Path) -> Self {
        let text = fs::read_to_string(data.join("said")).unwrap_or_default();
        let mut said = Self::default();
        // A line that the kill cut off says nothing.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<u32> = line.split(' ').skip(1).map(|word| word.parse().expect("a number")).collect();
            match line.as_bytes()[0] {
                b'k' => drop(said.keys.insert(words[0])),
                b'x' => drop(said.erasing.insert(words[0])),
                b'e' => drop(said.erased.insert(words[0])),
                _ => drop(said.segments.insert(u8::try_from(words[0]).expect("few"), words[1].into())),
            }
        }
        said
    }

    fn count(&self) -> u64 {
        self.keys.len() as u64 + self.segments.values().sum::<u64>()
    }
}

/// Not a test by itself: what the others start as a process of its own and kill.
#[test]
fn a_process_to_be_killed() {
    let Some(data) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let mut out = OpenOptions::new().create(true).append(true).open(data.join("said")).expect("opened");
    let mut say = |line: String| out.write_all(format!("{line}\n").as_bytes()).expect("said");
    let said = Said::read(&data);
    let engine = open(&data);
    engine.keep_chain(&FLEET, b"chain").expect("kept");
    let mut authors: Vec<_> = (0..AUTHORS).map(|seed| Author::new(FLEET, seed)).collect();
    for held in engine.held(&FLEET).expect("read") {
        let author = authors.iter_mut().find(|author| author.log() == held.log).expect("ours");
        author.chain = held.chain;
    }
    let mut next = said.keys.last().map_or(0, |last| last + 10);
    loop {
        let made: Vec<u32> = (next..next + 5).collect();
        next += 5;
        engine.keep_keys(&FLEET, &made.iter().map(|n| (document(*n), record(*n))).collect::<Vec<_>>()).expect("kept");
        made.iter().for_each(|n| say(format!("k {n}")));
        let mut orders = Vec::new();
        for n in &made {
            let author = &mut authors[*n as usize % usize::from(AUTHORS)];
            let mut changes = vec![Change::Body(document(*n), format!("<the body of document {n}>").into_bytes())];
            if n % 7 == 0 && *n >= 3 {
                say(format!("x {}", n - 3));
                changes.push(Change::Gone(document(n - 3)));
            }
            orders.push(author.next(&changes));
        }
        let answers = engine.append(&FLEET, &orders).expect("appended");
        assert!(answers.iter().all(|answer| *answer == Appended::Taken));
        made.iter().filter(|n| *n % 7 == 0 && **n >= 3).for_each(|n| say(format!("e {}", n - 3)));
        for (n, author) in (0_u8..).zip(&authors) {
            say(format!("s {n} {}", author.chain.number));
        }
        if next.is_multiple_of(35) {
            engine.tidy(&FLEET).expect("tidied");
        }
    }
}

/// Ends with whoever holds it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait()); // SIGKILL
    }
}

fn start(data: &Path) -> Running {
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", "relay::embedded::tests::kill::a_process_to_be_killed", "--nocapture"]);
    command.env(FOLDER, data).stdout(Stdio::null()).stderr(File::create(data.join("errors")).expect("a file"));
    Running(command.spawn().expect("started"))
}

fn assert_kept(data: &Path, round: u64) {
    let said = Said::read(data);
    let engine = open(data);
    assert_eq!(engine.notices(), [""; 0], "round {round}");
    for n in 0..AUTHORS {
        let author = Author::new(FLEET, n);
        let segments = engine.read(&FLEET, &author.log(), 0, u64::MAX, u64::MAX).expect("read");
        assert!(segments.len() as u64 >= said.segments.get(&n).copied().unwrap_or(0), "round {round}: {said:?}");
        let mut chain = author.chain;
        for bytes in &segments {
            chain.follow(&Segment::open(bytes).expect("whole")).expect("without a gap");
        }
        let held = engine.held(&FLEET).expect("read").into_iter().find(|held| held.log.author == log_of(n).author);
        assert_eq!(held.map_or(0, |held| held.chain.number), chain.number, "round {round}");
    }
    for n in &said.keys {
        let found = engine.keys(&FLEET, &[document(*n)]).expect("read");
        if said.erased.contains(n) {
            assert_eq!(found, [b""; 0], "round {round}: key {n} was erased");
        } else if !said.erasing.contains(n) {
            assert_eq!(found, [record(*n)], "round {round}: key {n} was kept");
        }
    }
    let everything = super::damage::bytes_below(&data.join("relay").join(HEXLOWER.encode(FLEET.as_bytes())));
    for n in &said.erased {
        assert!(!contains(&everything, &record(*n)), "round {round}: key {n} is still on the disk");
    }
}

fn log_of(author: u8) -> Log {
    Author::new(FLEET, author).log()
}

pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn rounds(rounds: u64, seed: u64) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut before = 0;
    for round in 0..rounds {
        let mut child = start(data.path());
        // Kill it at another moment each time, but not before it said something.
        let wait = Duration::from_micros((round + seed).wrapping_mul(7_919) % 40_000);
        let limit = Instant::now() + Duration::from_secs(60);
        while Said::read(data.path()).count() <= before {
            let ended = child.0.try_wait().expect("asked").map(|_| fs::read_to_string(data.path().join("errors")));
            assert!(ended.is_none() && Instant::now() < limit, "round {round}: {ended:?}");
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(wait);
        drop(child);
        assert_kept(data.path(), round);
        before = Said::read(data.path()).count();
    }
    assert!(before > rounds, "it did something");
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_what_was_erased_is_not() {
    rounds(20, 0);
}

#[test]
#[ignore = "soak: 1,000 kills take minutes"]
fn nothing_is_lost_in_a_thousand_kills() {
    for seed in 0..50 {
        rounds(20, seed * 1_000_003);
    }
}
