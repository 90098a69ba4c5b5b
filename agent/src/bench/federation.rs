//! `hearth bench federation`: two devices, two processes, one link on loopback, and what it takes until both have everything.
//!
//! Each device gets a data folder with the logs of some authors; each lacks the newest part of half of them. What is sent is sealed,
//! signed, verified, opened, logged and synced as always: the processes run the session that the daemon runs.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DocumentId,
    delta::{Kind, SealedChange},
    fleet::{epoch::Document, link::Device},
    seal::{DocumentKey, Label, Place, Plain},
    segment::{Chain, Draft},
    sync::{Held, Log, ToStore},
};
use hearth_link::{
    Connector, Identity, Limits, Listener, Protocol, Trust, VerifyingKey,
    session::{self, Progress, Session, letters},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::usage;
use crate::{
    ask::{Failure, FailureKind},
    node::{Membership, Node, Settings, Shared, now, wrap_secret},
};

/// Bytes of a change's body before it is sealed.
const PAYLOAD: usize = 1_024;
/// Changes in a segment.
const SEGMENT: u64 = 256;
/// Between two looks at whether all is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// An end that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Failed, error.to_string())
}

/// A folder that goes with the measurement.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let name: [u8; 8] = hearth_store::entropy();
        let folder = std::env::temp_dir().join(format!("hearth-bench-{:016x}", u64::from_le_bytes(name)));
        std::fs::create_dir(&folder).map_err(failed)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sets two devices up, lets them meet, and says what it took.
pub(super) fn measure(items: u64, missing: u64, authors: u16) -> Result<Value, Failure> {
    let authors = u64::from(authors);
    if missing > items / 2 {
        return Err(usage("each device can lack at most half of all changes; lower `--missing`"));
    }
    let scratch = Scratch::new()?;
    let folders = ["a", "b"].map(|name| scratch.0.join(name));
    let begun = Instant::now();
    let (segments, sent) = prepare(&folders, items, missing, authors)?;
    let prepared = begun.elapsed();

    let mut listening = spawn(&folders[0], segments, None)?;
    let mut lines = BufReader::new(listening.stdout.take().ok_or_else(|| failed("the process has no output"))?);
    let at = line(&mut lines)?;
    let at = at["at"].as_str().and_then(|at| at.parse().ok()).ok_or_else(|| failed("the process said nothing"))?;
    let mut calling = spawn(&folders[1], segments, Some(at))?;
    let mut answers = BufReader::new(calling.stdout.take().ok_or_else(|| failed("the process has no output"))?);
    let (caller, listener) = (line(&mut answers)?, line(&mut lines)?);
    for child in [&mut calling, &mut listening] {
        if !child.wait().map_err(failed)?.success() {
            return Err(failed("one of the two processes failed; what it said is above"));
        }
    }
    let number = |end: &Value, key: &str| end[key].as_f64().unwrap_or_default();
    let both = |key: &str| number(&caller, key) + number(&listener, key);
    let wire = both("sent_bytes");
    let payload = sent as f64 * PAYLOAD as f64;
    let per_change = if sent == 0 { both("cpu_us") } else { both("cpu_us") / sent as f64 };
    Ok(json!({
        "wall_s": number(&caller, "wall_s"),
        "wire_bytes": wire,
        "payload_bytes": payload,
        "wire_ratio": if sent == 0 { Value::Null } else { json!(wire / payload) },
        "cpu_us_per_delta": per_change,
        "cpu_us": both("cpu_us"),
        "rounds": 1.0 + number(&caller, "asked").max(number(&listener, "asked")),
        "rss_bytes": number(&caller, "rss_bytes").max(number(&listener, "rss_bytes")),
        "items": items,
        "missing_each": missing,
        "authors": authors,
        "deltas_sent": sent,
        "prepare_s": prepared.as_secs_f64(),
    }))
}

fn spawn(folder: &Path, segments: u64, to: Option<SocketAddr>) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["bench", "federation-end", "--json", "--folder"]).arg(folder);
    command.args(["--segments", &segments.to_string()]);
    if let Some(to) = to {
        command.args(["--to", &to.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)
}

fn line(lines: &mut impl BufRead) -> Result<Value, Failure> {
    let mut line = String::new();
    lines.read_line(&mut line).map_err(failed)?;
    serde_json::from_str(&line).map_err(|_| failed("one of the two processes ended early; what it said is above"))
}

/// One author's log in the making.
struct Author {
    key: SigningKey,
    document: DocumentId,
    secret: DocumentKey,
    chain: Chain,
}

struct Payload(Vec<u8>);

impl Plain for Payload {
    fn plain(&self) -> &[u8] {
        &self.0
    }
}

/// Writes both folders; says how many segments there are in all, and how many changes will travel.
fn prepare(folders: &[PathBuf; 2], items: u64, missing: u64, authors: u64) -> Result<(u64, u64), Failure> {
    let nodes = [&folders[0], &folders[1]].map(|folder| Node::open(folder, Settings::default()));
    let [a, b] = nodes;
    let (a, b) = (a?, b?);
    let ends = [a.shared(), b.shared()];
    ends[0].found_fleet("bench", "a")?;
    let welcome = ends[0].add_device(&device(&ends[1].identity.signing, "b"))?;
    let fleet =
        welcome.open(&key_of(&ends[1].identity.signing), &key_of(&ends[0].identity.signing), now()).map_err(failed)?;
    ends[1].take_up(Membership::take_up(&ends[1].identity.signing, fleet, &welcome))?;
    let mut writers = Vec::new();
    for n in 0..authors {
        let key = SigningKey::from_bytes(&hearth_store::entropy());
        ends[0].add_device(&device(&key, &format!("author {n}")))?;
        let chain = Chain::begin(key_of(&key), 1);
        let document = DocumentId::from_bytes(hearth_store::entropy());
        writers.push(Author { key, document, secret: DocumentKey::from_entropy(hearth_store::entropy()), chain });
    }
    let membership = ends[0].membership().ok_or_else(|| failed("no fleet was founded"))?;
    ends[1].merge_chain(&membership.fleet)?;

    let mut segments = 0;
    let mut travel = 0;
    // The even ones' newest part is lacking in the second folder, the odd ones' in the first.
    let halves = [authors.div_ceil(2), authors / 2];
    for (n, author) in (0_u64..).zip(&mut writers) {
        let record = {
            let (epoch, secret) = membership.epoch().ok_or_else(|| failed("the fleet has no key"))?;
            let document = Document { space: membership.space(), id: author.document, key: &author.secret };
            secret.record(epoch, document, hearth_store::entropy()).encode()
        };
        for end in &ends {
            end.keep_keys(std::slice::from_ref(&record))?;
        }
        let lacking = usize::try_from(n % 2).expect("0 or 1");
        let (whole, late) = (share(items, authors, n), share(missing, halves[lacking], n / 2));
        travel += late;
        for (count, everywhere) in [(whole.saturating_sub(late), true), (late, false)] {
            let mut left = count;
            while left > 0 {
                let mut orders = Vec::new();
                while left > 0 && orders.len() < 16 {
                    let size = left.min(SEGMENT);
                    orders.push(author.write(size, &membership));
                    left -= size;
                }
                segments += orders.len() as u64;
                for (end, shared) in ends.iter().enumerate() {
                    if everywhere || end == lacking {
                        shared.receive(orders.clone())?;
                    }
                }
            }
        }
    }
    drop(ends);
    a.close();
    b.close();
    Ok((segments, travel))
}

/// The `n`th of `parts` nearly equal parts.
const fn share(whole: u64, parts: u64, n: u64) -> u64 {
    if parts == 0 {
        return 0;
    }
    whole / parts + if n < whole % parts { 1 } else { 0 }
}

fn key_of(key: &SigningKey) -> [u8; 32] {
    key.verifying_key().to_bytes()
}

fn device(key: &SigningKey, name: &str) -> Device {
    let wrap_key = wrap_secret(key).public();
    Device { key: key_of(key), wrap_key, name: name.into(), admin: false, expires: None }
}

impl Author {
    fn write(&mut self, count: u64, membership: &Membership) -> ToStore {
        let after = self.chain.head;
        let mut draft = Draft::after(self.chain.clone());
        let author = hearth_core::DeviceId::of_key(&self.key.verifying_key());
        let kind = Kind::Embedding;
        for _ in 0..count {
            let place = Place { author, incarnation: 1, seq: draft.next_seq(), part: 0 };
            let label = Label { space: membership.space(), document: self.document, kind };
            let mut payload = vec![0xA5; PAYLOAD];
            payload[..8].copy_from_slice(&place.seq.to_le_bytes());
            let body = self.secret.seal(place, label, &Payload(payload));
            draft.push(SealedChange { kind, document: self.document, epoch: 1, body });
        }
        let segment = draft.close(&self.key, *membership.id().as_bytes(), now());
        self.chain = Chain::right_after(&segment);
        let at = Held { log: Log { author, incarnation: 1 }, chain: self.chain.clone(), residency: 0 };
        ToStore { bytes: segment.encode().into(), at, after }
    }
}

/// One of the two devices: meets the other, and says what it took until both have everything.
pub(super) fn end(folder: &Path, segments: u64, to: Option<SocketAddr>) -> Result<Value, Failure> {
    let node = Node::open(folder, Settings::default())?;
    let shared = node.shared();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let result = runtime.block_on(meet(&shared, segments, to));
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(shared);
    node.close();
    result
}

async fn meet(shared: &Arc<Shared>, segments: u64, to: Option<SocketAddr>) -> Result<Value, Failure> {
    let identity = Identity::from_seed(&shared.identity.signing.to_bytes());
    let trust = {
        let shared = Arc::clone(shared);
        let knows = move |key: &VerifyingKey| {
            shared.membership().is_some_and(|membership| membership.fleet.is_member(&key.to_bytes(), now()))
        };
        Trust::by(knows)
    };
    // What opening the folder took is another matter.
    let spent = cpu();
    let begun = Instant::now();
    let (link, _listener) = match to {
        Some(to) => (Connector::among(identity, trust, Limits::default()).connect(to).await.map_err(failed)?, None),
        None => {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let listener =
                Listener::bind(at, &identity, trust, &[Protocol::Fleet], Limits::default()).map_err(failed)?;
            let at = listener.local_address().map_err(failed)?;
            say(&json!({ "at": at.to_string() }))?;
            let knock = listener.accept().await.ok_or_else(|| failed("nobody came"))?;
            (knock.welcome().await.map_err(failed)?, Some(listener))
        }
    };
    let (stop, progress) = (CancellationToken::new(), Arc::<Progress>::default());
    let session = Session {
        keeper: Arc::clone(shared),
        peer: link.device(),
        peer_key: link.peer().to_bytes(),
        port: 0,
        stop: stop.clone(),
        progress: Arc::clone(&progress),
        budget: None,
        questions: None,
    };
    let talk = tokio::spawn(session::run(session, letters(link), shared.listen(), Vec::new(), |_| {}));
    let mut done = None;
    loop {
        // Looked at first: the other end may have closed right after its last word, and all was here before that.
        let is_over = talk.is_finished();
        let here: u64 = shared.held()?.iter().map(|held| held.chain.number).sum();
        let idle = progress.idle.load(Ordering::SeqCst);
        if here >= segments && (idle || is_over) && progress.waiting.load(Ordering::SeqCst) == 0 {
            done.get_or_insert_with(|| (begun.elapsed(), cpu().saturating_sub(spent)));
            // The last acknowledgement is said before the link is closed.
            stop.cancel();
        }
        if is_over {
            break;
        }
        if begun.elapsed() > PATIENCE {
            return Err(failed(format!("after {} s {here} of {segments} segments are there", PATIENCE.as_secs())));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let ended = talk.await.map_err(failed)?;
    let (wall, cpu) = done.ok_or_else(|| failed(format!("the link ended early: {ended}")))?;
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(json!({
        "wall_s": wall.as_secs_f64(),
        "cpu_us": cpu.as_micros() as f64,
        "sent_bytes": read(&progress.sent),
        "received_bytes": read(&progress.received),
        "asked": read(&progress.asked),
        "rss_bytes": peak_memory(),
    }))
}

fn say(line: &Value) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(failed)
}

/// Processor time of this process, from `/proc/self/stat` (in ticks of 10 ms).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        for (whole, parts) in [(10_u64, 3_u64), (1_000_000, 32), (5, 8), (0, 4)] {
            assert_eq!((0..parts).map(|n| share(whole, parts, n)).sum::<u64>(), whole, "{whole} in {parts}");
        }
    }
}
