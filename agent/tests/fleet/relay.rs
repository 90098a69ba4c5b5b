//! Devices that are never awake together, and a relay between them that keeps what it cannot read.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    device::{Device, PATIENCE, copy, dice, free_port, holds_none_of, until},
    direct::pair,
};

/// A coordinator in a folder of its own.
pub(crate) struct Coordinator {
    dir: tempfile::TempDir,
    port: u16,
    trusted: Vec<String>,
    pub(crate) arguments: Vec<String>,
    running: Option<(Child, String)>,
    pub(crate) key: String,
}

impl Coordinator {
    pub(crate) fn new(trusted: &[&Device]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let trusted = trusted.iter().map(|device| device.key.clone()).collect();
        let port = free_port();
        Self { dir, port, trusted, arguments: Vec::new(), running: None, key: String::new() }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn up(&mut self) {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_hearth")).with_file_name("hearth-coordinator"));
        command.env_clear().env("HEARTH_LOG", "debug").args(["serve", "--http", "127.0.0.1:0", "--quic", &self.at()]);
        command.arg("--data").arg(self.data()).args(self.trusted.iter().flat_map(|key| ["--trust", key.as_str()]));
        command.args(&self.arguments);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).expect("a file");
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = spawned.expect("the coordinator starts; `cargo build --release --workspace --bins` builds it");
        let (tell, told) = mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line).map(|_| tell.send(line));
        });
        self.running = Some((child, String::new()));
        let ready = told.recv_timeout(PATIENCE).expect("it says that it is ready");
        let ready: Value = serde_json::from_str(&ready).expect("JSON");
        self.key = ready["key"].as_str().expect("a key").to_owned();
        let http = ready["http"].as_str().expect("an address").trim_start_matches("http://").trim_end_matches('/');
        if let Some((_, address)) = &mut self.running {
            http.clone_into(address);
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// What its page says of the relay.
    pub(crate) fn shown(&self) -> Value {
        let (_, http) = self.running.as_ref().expect("it runs");
        let mut stream = TcpStream::connect(http).expect("it listens");
        write!(stream, "GET /v1/nodes HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n").expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- the coordinator\n{log}");
        }
    }
}

impl Device {
    pub(crate) fn uses(&self, relay: &Coordinator) {
        self.uses_at(relay, &relay.at());
    }

    pub(crate) fn uses_at(&self, relay: &Coordinator, address: &str) {
        self.json(&["fleet", "relay", "add", address, "--key", &relay.key]);
    }

    /// Waits until every passage has its vector, made here or elsewhere.
    pub(crate) fn has_embedded_all(&self) {
        until(&format!("{} has all vectors", self.name), || {
            let status = self.json(&["status"]);
            if status["embedded"] == status["chunks"] { Ok(()) } else { Err(status.to_string()) }
        });
    }

    /// Waits until the relay has signed to have all of this device's log, and this device has all that the relay has.
    pub(crate) fn is_done_with_the_relay(&self) {
        until(&format!("the relay has signed to have all of {}", self.name), || {
            let relay = self.json(&["fleet"])["fleet"]["relays"][0].clone();
            let link = &relay["link"];
            let done = relay["unsigned"] == 0 && relay["signed_at"].is_u64() && link["behind"] == 0;
            if done { Ok(()) } else { Err(relay.to_string()) }
        });
    }
}

/// Two devices of a fleet that find each other only through the relay, both asleep.
pub(crate) fn apart() -> (Device, Device, Coordinator) {
    let (mut nas, mut laptop) = pair();
    let mut relay = Coordinator::new(&[&nas]);
    relay.up();
    nas.uses(&relay);
    nas.is_done_with_the_relay();
    until("the laptop has heard of the relay", || {
        let fleet = laptop.json(&["fleet"])["fleet"]["relays"].clone();
        if fleet[0]["signed_at"].is_u64() { Ok(()) } else { Err(fleet.to_string()) }
    });
    for device in [&mut nas, &mut laptop] {
        device.has_embedded_all();
        device.kill();
        device.moves();
    }
    (nas, laptop, relay)
}

#[test]
fn what_one_captured_the_other_finds_though_they_are_never_awake_together() {
    let (mut nas, mut laptop, relay) = apart();
    nas.up();
    nas.write("heating.md", "The heating engineer comes on the ninth of March.");
    nas.comes_to_find("engineer", &["heating"]);
    nas.has_embedded_all();
    nas.is_done_with_the_relay();
    nas.kill();
    laptop.up();
    laptop.comes_to_find("engineer", &["heating"]);
    laptop.has_embedded_all();
    let found = laptop.json(&["search", "when will somebody look after the radiators", "-n", "1"]);
    assert_eq!(found["hits"][0]["title"], "heating", "{found}");
    let shown = laptop.json(&["show", found["hits"][0]["id"].as_str().expect("an id")]);
    assert!(shown["text"].as_str().expect("text").contains("ninth of March"));
    laptop.write("answer.md", "The laptop answers through the relay: bring a ladder.");
    laptop.comes_to_find("ladder", &["answer"]);
    laptop.is_done_with_the_relay();
    laptop.kill();
    nas.up();
    nas.comes_to_find("ladder", &["answer"]);
    let fleets = relay.shown()["relay"]["fleets"].clone();
    assert_eq!((fleets.as_array().map(Vec::len), &fleets[0]["devices"]), (Some(1), &2.into()), "{fleets}");
}

#[test]
fn what_is_forgotten_is_gone_from_the_relay_and_from_who_wakes_later() {
    let (mut nas, mut laptop, mut relay) = apart();
    let keys = |relay: &Coordinator| relay.shown()["relay"]["fleets"][0]["keys"].as_u64().expect("a number");
    let before = keys(&relay);
    nas.up();
    let id = nas.json(&["search", "sourdough", "-n", "1"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    nas.json(&["forget", "--item", &id, "--yes"]);
    nas.is_done_with_the_relay();
    nas.kill();
    assert_eq!(keys(&relay), before - 1, "the relay destroyed the key before it signed");
    assert_eq!(relay.shown()["relay"]["fleets"][0]["erased"], 1);
    relay.kill();
    relay.up();
    laptop.up();
    laptop.comes_to_find("sourdough", &[]);
    // What it says of it comes later, and it stays awake until then; they meet through the relay alone.
    nas.up();
    until("the laptop has confirmed it, through the relay", || {
        let fleet = nas.json(&["fleet"])["fleet"].clone();
        let laptop = fleet["devices"].as_array().and_then(|all| all.iter().find(|device| device["name"] == "laptop"));
        match laptop.and_then(|laptop| laptop["unconfirmed"].as_u64()) {
            Some(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_device_that_the_relay_has_not_heard_of_shows_the_fleets_chain_and_one_that_was_taken_out_is_refused() {
    let (mut nas, mut laptop, mut relay) = apart();
    relay.kill();
    nas.up();
    let mut desktop = Device::new("desktop");
    desktop.up();
    desktop.join(&nas);
    nas.kill();
    desktop.kill();
    desktop.moves();
    relay.up();
    desktop.up();
    desktop.write("gpu.md", "The graphics card hums at night.");
    desktop.is_done_with_the_relay();
    desktop.comes_to_find("boiler", &["boiler"]);
    laptop.up();
    laptop.comes_to_find("hums", &["gpu"]);

    nas.up();
    nas.json(&["fleet", "revoke", "laptop", "--yes"]);
    until("the laptop is told by the relay", || {
        let relays = laptop.json(&["fleet"])["fleet"]["relays"].to_string();
        if relays.contains("not in the fleet any more") { Ok(()) } else { Err(relays) }
    });
    nas.write("after.md", "Only for those who stay: the new code is on the fridge.");
    desktop.comes_to_find("fridge", &["after"]);
    assert!(laptop.finds("fridge").is_empty());

    // A stranger with a fleet of its own, which nobody trusts here.
    let mut other = Device::new("other");
    other.up();
    other.found();
    other.uses(&relay);
    until("the stranger is refused", || {
        let relays = other.json(&["fleet"])["fleet"]["relays"].to_string();
        if relays.contains("not in the fleet any more") || relays.contains("does not trust") {
            Ok(())
        } else {
            Err(relays)
        }
    });
    assert_eq!(relay.shown()["relay"]["fleets"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_relay_that_is_used_no_more_is_told_so_and_starts_anew_when_it_is_named_again() {
    let (mut nas, _laptop, relay) = apart();
    nas.up();
    nas.is_done_with_the_relay();
    nas.json(&["fleet", "relay", "remove", &relay.at()]);
    until("the relay serves nobody", || {
        let fleets = relay.shown()["relay"]["fleets"].clone();
        if fleets == Value::Array(Vec::new()) { Ok(()) } else { Err(fleets.to_string()) }
    });
    assert_eq!(nas.json(&["fleet"])["fleet"]["relays"], Value::Array(Vec::new()));
    for wrong in ["127.0.0.1:0", "https://relay.example:7843", "relay.example"] {
        assert!(nas.refused(&["fleet", "relay", "add", wrong, "--key", &relay.key]).contains("is not `host:port`"));
    }
    nas.uses(&relay);
    nas.is_done_with_the_relay();
    assert!(!nas.notices().contains("does not have it any more"), "{}", nas.notices());
}

#[test]
fn a_relay_that_was_set_back_is_found_out_and_gets_everything_again() {
    let (mut nas, mut laptop, mut relay) = apart();
    relay.kill();
    let backup = relay.dir.path().join("backup");
    copy(&relay.data(), &backup);
    relay.up();
    nas.up();
    nas.write("late.md", "Written after the backup: the hedge was cut.");
    nas.comes_to_find("hedge", &["late"]);
    nas.is_done_with_the_relay();
    nas.kill();
    relay.kill();
    fs::remove_dir_all(relay.data()).expect("lost");
    copy(&backup, &relay.data());
    relay.up();
    nas.up();
    until("the owner is told", || match nas.notices() {
        said if said.contains("does not have it any more") => Ok(()),
        said => Err(said),
    });
    nas.is_done_with_the_relay();
    nas.kill();
    laptop.up();
    laptop.comes_to_find("hedge", &["late"]);
}

#[test]
fn a_fleet_that_takes_too_much_is_asked_to_wait_and_loses_nothing() {
    let (mut nas, mut laptop, mut relay) = apart();
    relay.kill();
    relay.arguments = ["--relay-quota", "64KiB"].map(String::from).to_vec();
    relay.up();
    nas.up();
    let mut roll = dice();
    for n in 0..40 {
        // Words that cannot be said any shorter.
        let mut text = format!("Note {n} about quux{n}.");
        for _ in 0..600 {
            let syllables = (0..3).map(|_| {
                ["ba", "ke", "lo", "mi", "nu", "ra", "se", "to"][usize::try_from(roll(8)).expect("a small number")]
            });
            text.extend([" "].into_iter().chain(syllables));
        }
        nas.write(&format!("long {n}.md"), &text);
    }
    nas.comes_to_find("quux39", &["long 39"]);
    until("the relay says that it is full", || {
        let notices = relay.shown()["problems"].to_string();
        if notices.contains("has filled its quota") { Ok(()) } else { Err(notices) }
    });
    let waiting = nas.json(&["fleet"])["fleet"]["relays"][0]["unsigned"].as_u64().expect("a number");
    assert!(waiting > 0);
    nas.kill();
    relay.kill();
    relay.arguments.clear();
    relay.up();
    nas.up();
    nas.is_done_with_the_relay();
    nas.kill();
    laptop.up();
    for n in 0..40 {
        laptop.comes_to_find(&format!("quux{n}"), &[&format!("long {n}")]);
    }
}

/// Hands datagrams on between devices and the relay, and keeps a copy of each.
struct Tap {
    at: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    stop: Arc<AtomicBool>,
}

impl Tap {
    fn before(relay: &str) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        front.set_read_timeout(Some(Duration::from_millis(5))).expect("set");
        let (at, relay) = (front.local_addr().expect("bound"), relay.parse::<SocketAddr>().expect("an address"));
        let (heard, stop) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicBool>::default());
        let (keep, stopped) = (Arc::clone(&heard), Arc::clone(&stop));
        thread::spawn(move || {
            let mut backs: HashMap<SocketAddr, UdpSocket> = HashMap::new();
            let mut datagram = vec![0; 65_536];
            while !stopped.load(Ordering::SeqCst) {
                if let Ok((length, from)) = front.recv_from(&mut datagram) {
                    keep.lock().expect("whole").extend_from_slice(&datagram[..length]);
                    let back = backs.entry(from).or_insert_with(|| {
                        let back = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
                        back.set_nonblocking(true).expect("set");
                        back
                    });
                    let _ = back.send_to(&datagram[..length], relay);
                }
                for (device, back) in &backs {
                    while let Ok(length) = back.recv(&mut datagram) {
                        keep.lock().expect("whole").extend_from_slice(&datagram[..length]);
                        let _ = front.send_to(&datagram[..length], device);
                    }
                }
            }
        });
        Self { at, heard, stop }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

#[test]
fn no_word_title_id_or_vector_of_what_is_shared_is_in_the_relays_files_log_or_on_the_wire() {
    let (mut nas, mut laptop) = (Device::new("nas"), Device::new("laptop"));
    let canary = "zanzibarquartz";
    nas.up();
    laptop.up();
    nas.found();
    laptop.join(&nas);
    let mut relay = Coordinator::new(&[&nas]);
    relay.up();
    let tap = Tap::before(&relay.at());
    nas.uses_at(&relay, &tap.at.to_string());
    nas.write(&format!("{canary} plan.md"), &format!("An ordinary sentence with {canary} in it."));
    nas.comes_to_find(canary, &[&format!("{canary} plan")]);
    nas.has_embedded_all();
    nas.is_done_with_the_relay();
    laptop.is_done_with_the_relay();
    let id = nas.json(&["search", canary, "-n", "1"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    let raw_id = id.split_once('-').map_or(id.as_str(), |(_, digits)| digits).to_owned();
    nas.kill();
    laptop.kill();
    relay.kill();
    let words = [canary, id.as_str(), raw_id.as_str(), "plan.md"];
    let looked_at = holds_none_of(&[relay.dir.path().to_owned()], &words);
    assert!(looked_at > 5, "{looked_at} files");
    let heard = tap.heard.lock().expect("whole");
    assert!(heard.len() > 5_000, "{} bytes were on the wire", heard.len());
    for word in words {
        assert!(!heard.windows(word.len()).any(|window| window == word.as_bytes()), "the wire carried {word}");
    }
    // Bytes of the id, and of the vectors as they lie: neither is anywhere in the relay's files.
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(raw_id.replace('-', "").as_bytes());
    if let Ok(bytes) = bytes {
        let mut folders = vec![relay.data()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("listed").flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    let file = fs::read(entry.path()).expect("read");
                    assert!(!file.windows(bytes.len()).any(|window| window == bytes), "{}", entry.path().display());
                }
            }
        }
    }
}

/// Kills a device or the relay again and again while notes go from one device to the other through the relay alone.
fn survive_kills(rounds: u64) {
    let (mut nas, mut laptop, mut relay) = apart();
    nas.up();
    laptop.up();
    let mut roll = dice();
    let (mut checked, mut mid_way) = (0, 0);
    for round in 0..rounds {
        let (name, word) = (format!("note {round}"), format!("quux{round}"));
        nas.write(&format!("{name}.md"), &format!("Written in round {round}: {word}."));
        if roll(4) == 0 {
            nas.comes_to_find(&word, &[&name]);
            nas.is_done_with_the_relay();
            // What the relay signed outlives everybody else's death, and its own.
            nas.kill();
            relay.kill();
            laptop.kill();
            relay.up();
            laptop.up();
            laptop.comes_to_find(&word, &[&name]);
            nas.up();
            checked += 1;
        } else {
            thread::sleep(Duration::from_millis(roll(400)));
            match roll(3) {
                0 => {
                    nas.kill();
                    nas.up();
                }
                1 => {
                    laptop.kill();
                    laptop.up();
                }
                _ => {
                    relay.kill();
                    relay.up();
                }
            }
            mid_way += 1;
        }
    }
    for round in 0..rounds {
        laptop.comes_to_find(&format!("quux{round}"), &[&format!("note {round}")]);
    }
    let (here, there) = (nas.json(&["status"]), laptop.json(&["status"]));
    let all = Some(rounds + 2);
    assert_eq!((here["items"].as_u64(), there["items"].as_u64()), (all, all), "no more, no less");
    println!(
        "{checked} rounds of kills after the relay signed, {mid_way} at any moment: nothing lost, nothing doubled"
    );
}

#[test]
fn thirty_kills_with_a_relay_between_lose_and_double_nothing() {
    survive_kills(30);
}

#[test]
#[ignore = "soak: each kill takes about a second"]
fn five_hundred_kills_with_a_relay_between_lose_and_double_nothing() {
    survive_kills(500);
}
