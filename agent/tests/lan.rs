//! Two devices on a network of their own, in network namespaces: they find each other with new addresses and nobody in between.
//!
//! Needs root and `ip`; where either is missing, it says so and is left out.
#![expect(clippy::print_stderr, reason = "a device that failed shows its log")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn ip(args: &str) -> bool {
    let output = Command::new("ip").args(args.split_whitespace()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Two namespaces with a cable between them, gone when dropped.
struct Cable {
    names: [String; 2],
}

impl Cable {
    fn new() -> Option<Self> {
        let id = std::process::id();
        let names = [format!("hearth-a{id}"), format!("hearth-b{id}")];
        let cable = Self { names };
        let [a, b] = &cable.names;
        let made = [
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("link add ha{id} netns {a} type veth peer name hb{id} netns {b}"),
        ];
        if !made.iter().all(|order| ip(order)) {
            return None;
        }
        for (side, name) in ["ha", "hb"].iter().zip(&cable.names) {
            assert!(ip(&format!("-n {name} link set lo up")));
            assert!(ip(&format!("-n {name} link set {side}{id} up")));
        }
        cable.number(1);
        Some(cable)
    }

    /// Gives both sides addresses, the old ones are gone.
    fn number(&self, net: u8) {
        let id = std::process::id();
        for (nth, (side, name)) in ["ha", "hb"].iter().zip(&self.names).enumerate() {
            assert!(ip(&format!("-n {name} addr flush dev {side}{id} scope global")));
            assert!(ip(&format!("-n {name} addr add 10.77.{net}.{}/24 dev {side}{id}", nth + 1)));
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&format!("netns delete {name}"));
        }
    }
}

struct Device {
    dir: tempfile::TempDir,
    space: String,
    name: &'static str,
    daemon: Option<Child>,
}

impl Device {
    fn new(space: &str, name: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("notes")).expect("made");
        Self { dir, space: space.to_owned(), name, daemon: None }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn hearth(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space, env!("CARGO_BIN_EXE_hearth")]);
        command.env("HOME", self.dir.path()).env_remove("XDG_CONFIG_HOME").env_remove("HEARTH_DATA");
        command.env("HEARTH_CAPTURE_SETTLE", "50ms").arg("--data").arg(self.data()).args(args).stdin(Stdio::null());
        command
    }

    fn up(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).expect("a file");
        let mut command = self.hearth(&["up", "--yes", "--listen", "127.0.0.1:0", "--folder"]);
        command.arg(self.dir.path().join("notes")).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the program starts");
        let (tell, ready) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        self.daemon = Some(child);
        ready.recv_timeout(PATIENCE).expect("it says that it is ready");
    }

    fn stop(&mut self) {
        self.run(&["stop"]);
        if let Some(mut daemon) = self.daemon.take() {
            daemon.wait().expect("reaped");
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        self.hearth(args).output().expect("the program runs")
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{} {args:?}: {said}", self.name);
        serde_json::from_slice(&output.stdout).expect("one JSON document")
    }

    fn finds(&self, word: &str) -> bool {
        self.json(&["search", word, "--mode", "keyword"])["hits"].as_array().is_some_and(|hits| !hits.is_empty())
    }

    fn is_linked(&self) -> bool {
        self.json(&["fleet"]).to_string().contains("\"linked\"")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.name, fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

/// How long it takes until it is so.
fn until(what: &str, mut look: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "it never came about that {what}");
        thread::sleep(LOOK_EVERY);
    }
    begun.elapsed()
}

#[test]
fn two_devices_on_one_network_find_each_other_under_new_addresses() {
    let Some(cable) = Cable::new() else {
        return println!("left out: it needs root and `ip` to make two network namespaces");
    };
    let [a, b] = &cable.names;
    let (mut nas, mut laptop) = (Device::new(a, "nas"), Device::new(b, "laptop"));
    fs::write(nas.dir.path().join("notes/boiler.md"), "The boiler was serviced in October.").expect("written");
    nas.up();
    laptop.up();
    until("the note is captured", || nas.finds("boiler"));
    nas.json(&["fleet", "create", "home", "--as", "nas"]);
    nas.json(&["session", "share", "--all"]);
    let invited = nas.json(&["fleet", "invite"]);
    let (code, at) = (invited["code"].as_str().expect("words"), invited["at"][0].as_str().expect("an address"));
    assert_eq!(at, "10.77.1.1:7845");
    let begun = Instant::now();
    let mut joining =
        laptop.hearth(&["join", "--at", at, "--as", "laptop"]).stdin(Stdio::piped()).spawn().expect("started");
    joining.stdin.take().expect("piped").write_all(code.as_bytes()).expect("written");
    assert!(joining.wait().expect("it ends").success());
    until("what the NAS has is found on the laptop", || laptop.finds("boiler"));
    println!("joined and found after {} ms", begun.elapsed().as_millis());

    // Both come back somewhere else, and neither address that is remembered leads anywhere.
    nas.stop();
    laptop.stop();
    cable.number(2);
    fs::write(nas.dir.path().join("notes/fence.md"), "The fence wants oak posts.").expect("written");
    nas.up();
    until("the new note is captured", || nas.finds("posts"));
    laptop.up();
    let linked = until("they are linked", || laptop.is_linked());
    let found = until("what is new is found", || laptop.finds("posts"));
    println!("found on the network after {} ms, its note {} ms later", linked.as_millis(), found.as_millis());
}
