//! How many changes a core verifies in segments, against one signature a change, in one run.
//!
//! `cargo run --release -p hearth-core --example segments [ROUNDS]`. Rounds take turns, so that other work on the machine moves both alike;
//! the median round is shown, by processor time where the system tells it. Linux may count that in ticks of 4 ms and more, which is why each
//! measured piece goes on for half a second: shorter ones give round figures that mean nothing.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example talks to the person at the terminal")]
#![expect(clippy::disallowed_types, reason = "an example measures; the crate itself reads no clock")]

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DocumentId, Moment,
    delta::{Delta, Kind, Logged, SealedChange},
    seal::Sealed,
    segment::{Chain, Draft, Segment},
    signed::{Signable, Signed},
};

const BODY: usize = 1024;

/// A change that is signed by itself.
#[derive(Clone)]
struct Alone(Vec<u8>);

impl Signable for Alone {
    const CONTEXT: &'static str = "example/alone";
    fn signed_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn change(n: u64) -> SealedChange {
    let body = (0..BODY as u64).map(|at| (at.wrapping_mul(n + 1) >> 3).to_le_bytes()[0]).collect();
    let document = DocumentId::from_bytes(u128::from(n).to_be_bytes());
    SealedChange { kind: Kind::Document, document, epoch: 1, body: Sealed::from_bytes(body) }
}

fn log(key: &SigningKey, segments: usize, size: usize) -> Vec<Vec<u8>> {
    let mut chain = Chain::begin(key.verifying_key().to_bytes(), 1);
    let mut log = Vec::new();
    for _ in 0..segments {
        let mut draft = Draft::after(chain.clone());
        for _ in 0..size {
            draft.push(change(draft.next_seq()));
        }
        let segment = draft.close(key, [0; 16], Moment::START);
        chain.follow(&segment).expect("begun after it");
        log.push(segment.encode());
    }
    log
}

/// Nanoseconds of processor time of this thread, or of wall clock where the system does not tell.
fn spent(since: Instant) -> u128 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    told.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or_else(|| since.elapsed().as_nanos())
}

/// How long each measured piece goes on.
const PIECE: Duration = Duration::from_millis(500);

/// Changes a second by processor time and by wall clock; `work` is done again and again and says how many changes it verified.
#[expect(clippy::cast_precision_loss, reason = "figures are shown to three places")]
fn rate(start: Instant, mut work: impl FnMut() -> usize) -> [f64; 2] {
    let (before, begun, mut changes) = (spent(start), Instant::now(), 0);
    while begun.elapsed() < PIECE {
        changes += work();
    }
    let (spent, wall) = (spent(start) - before, begun.elapsed().as_nanos());
    [spent, wall].map(|nanos| changes as f64 * 1e9 / nanos.max(1) as f64)
}

/// The middle of each column.
fn median(rates: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|column| {
        let mut rates: Vec<f64> = rates.iter().map(|row| row[column]).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    })
}

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(9);
    let start = Instant::now();
    let key = SigningKey::from_bytes(&[1; 32]);
    let public = key.verifying_key();
    let sizes = [16, 64, 256, 1024];
    let logs: Vec<_> = sizes.iter().map(|size| log(&key, 8192 / size, *size)).collect();
    let alone: Vec<_> = (0..256).map(|n| Signed::by(&key, Alone(Delta::of(n, change(n)).encode()))).collect();

    let (mut one_by_one, mut in_segments) = (Vec::new(), vec![Vec::new(); sizes.len()]);
    for _ in 0..rounds {
        one_by_one.push(rate(start, || {
            for signed in &alone {
                let verified = signed.clone().verify(&public).expect("as signed");
                Logged::decode(verified.get().signed_bytes()).expect("as written");
            }
            alone.len()
        }));
        for (log, rates) in logs.iter().zip(&mut in_segments) {
            rates.push(rate(start, || {
                for bytes in log {
                    Segment::open(bytes).expect("as signed");
                }
                8192
            }));
        }
    }
    let [single, single_wall] = median(&one_by_one);
    println!("{BODY}-byte bodies, {rounds} rounds in turn, median, one core; by processor time, and by wall clock");
    println!("one signature a change: {single:>8.0} changes/s             {single_wall:>8.0} changes/s");
    for (size, rates) in sizes.iter().zip(&in_segments) {
        let [rate, wall] = median(rates);
        let (times, times_wall) = (rate / single, wall / single_wall);
        println!(
            "in segments of {size:>4}:    {rate:>8.0} changes/s, {times:>5.1} x    {wall:>8.0} changes/s, {times_wall:>5.1} x"
        );
    }
}
