//! A device with a home of its own: the real program, its data folder, its notes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Far beyond what anything here takes; a wait that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A device with a home of its own.
pub(crate) struct Device {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) name: &'static str,
    /// Its public key, once it ran.
    pub(crate) key: String,
    /// Settings of its own, as variables.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// The network namespace it is in, if that is not ours: there it listens where everybody does.
    space: Option<String>,
    port: u16,
    daemon: Option<Child>,
}

impl Device {
    pub(crate) fn new(name: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("notes")).expect("made");
        let (key, settings, port) = (String::new(), Vec::new(), free_port());
        Self { dir, name, key, settings, space: None, port, daemon: None }
    }

    /// A device in a network namespace.
    pub(crate) fn on(space: &str, name: &'static str) -> Self {
        let mut device = Self::new(name);
        device.space = Some(space.to_owned());
        device
    }

    /// Listens elsewhere from its next start on: who knew where it was does not find it.
    pub(crate) fn moves(&mut self) {
        self.port = free_port();
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join("notes").join(name), text).expect("written");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.dir.path().join("notes").join(name)).expect("removed");
    }

    pub(crate) fn hearth(&self, args: &[&str]) -> Command {
        const HEARTH: &str = env!("CARGO_BIN_EXE_hearth");
        let mut command = match &self.space {
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space, HEARTH]).env_clear();
                command
            }
            None => {
                let mut command = Command::new(HEARTH);
                command.env_clear().env("HEARTH_FLEET_LISTEN", self.at());
                command
            }
        };
        command.env("HOME", self.dir.path()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HEARTH_CAPTURE_SETTLE", "50ms");
        command.envs(self.settings.iter().map(|(name, value)| (*name, value)));
        command.arg("--data").arg(self.data()).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.hearth(args).output().expect("the program runs")
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        // 3: nothing was found.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{} {args:?}: {said}", self.name);
        serde_json::from_slice(&output.stdout).expect("one JSON document")
    }

    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{} {args:?} was not refused", self.name);
        String::from_utf8(output.stderr).expect("text")
    }

    pub(crate) fn up(&mut self) {
        let mut command = self.hearth(&["up", "--yes", "--listen", "127.0.0.1:0", "--folder"]);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).expect("a file");
        let mut child = command
            .arg(self.dir.path().join("notes"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let (tell, ready) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        self.daemon = Some(child);
        let ready = ready.recv_timeout(PATIENCE).expect("it says that it is ready");
        let ready: Value = serde_json::from_str(&ready).expect("JSON");
        ready["device_key"].as_str().expect("a key").clone_into(&mut self.key);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("killed");
            daemon.wait().expect("reaped");
        }
    }

    /// Ends it as its owner does.
    pub(crate) fn stop(&mut self) {
        self.run(&["stop"]);
        if let Some(mut daemon) = self.daemon.take() {
            daemon.wait().expect("reaped");
        }
    }

    /// Stops it where it is, its links open; [`resume`](Self::resume) lets it go on.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let daemon = self.daemon.as_ref().expect("it runs").id().to_string();
        let status = Command::new("/bin/kill").args([signal, &daemon]).status().expect("there is `kill`");
        assert!(status.success());
    }

    /// Founds a fleet, with what was and is captured in it.
    pub(crate) fn found(&self) {
        self.json(&["fleet", "create", "home", "--as", self.name]);
        self.json(&["session", "share", "--all"]);
    }

    pub(crate) fn code(&self) -> String {
        self.json(&["fleet", "invite"])["code"].as_str().expect("words").to_owned()
    }

    /// Comes into the fleet of another device, and gives what it has.
    pub(crate) fn join(&self, other: &Self) {
        let mut child = self
            .hearth(&["join", "--at", &other.at(), "--as", self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("piped").write_all(other.code().as_bytes()).expect("written");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.json(&["session", "share", "--all"]);
    }

    /// Titles found by these words, sorted.
    pub(crate) fn finds(&self, words: &str) -> Vec<String> {
        let found = self.json(&["search", words, "--mode", "keyword"]);
        let hits = found["hits"].as_array().expect("a list").iter();
        let mut titles: Vec<String> = hits.map(|hit| hit["title"].as_str().expect("text").to_owned()).collect();
        titles.sort();
        titles
    }

    /// Waits until just these are found.
    pub(crate) fn comes_to_find(&self, words: &str, titles: &[&str]) {
        until(&format!("{} finds {titles:?} by `{words}`", self.name), || {
            let found = self.finds(words);
            if found == titles { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }

    pub(crate) fn link_to(&self, other: &Self) -> String {
        let fleet = self.json(&["fleet"]);
        let devices = fleet["fleet"]["devices"].as_array().cloned().unwrap_or_default();
        let device = devices.iter().find(|device| device["name"] == other.name);
        device.map_or_else(String::new, |device| device["link"]["state"].as_str().expect("a state").to_owned())
    }

    /// How many erasures the other one has not confirmed.
    pub(crate) fn owes_erasures(&self, other: &Self) -> u64 {
        let fleet = self.json(&["fleet"]);
        assert_eq!(fleet["fleet"]["erased"], 1);
        let devices = fleet["fleet"]["devices"].as_array().cloned().unwrap_or_default();
        let device = devices.iter().find(|device| device["name"] == other.name).expect("a member");
        device["unconfirmed"].as_u64().expect("a number")
    }

    pub(crate) fn is_linked_to(&self, other: &Self) {
        until(&format!("{} is linked to {}", self.name, other.name), || match self.link_to(other).as_str() {
            "linked" => Ok(()),
            state => Err(state.to_owned()),
        });
    }

    pub(crate) fn notices(&self) -> String {
        self.json(&["status"])["notices"].to_string()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- {}\n{log}", self.name);
        }
    }
}

/// The socket is let go at once; that somebody else takes the port in between is not worth guarding against.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    socket.local_addr().expect("bound").port()
}

pub(crate) fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(state) = look() {
        assert!(begun.elapsed() < PATIENCE, "it never came about that {what}; last: {state}");
        thread::sleep(LOOK_EVERY);
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("known");
        if kind.is_dir() {
            copy(&from, &to);
        } else if kind.is_file() {
            fs::copy(&from, &to).expect("copied");
        }
    }
}

/// Looks at every file below these paths for words that must not be there; says how many it looked at.
pub(crate) fn holds_none_of(paths: &[PathBuf], words: &[&str]) -> usize {
    let mut paths = paths.to_vec();
    let mut looked_at = 0;
    while let Some(path) = paths.pop() {
        let kind = fs::metadata(&path).expect("it is there").file_type();
        if kind.is_dir() {
            paths.extend(fs::read_dir(&path).expect("listed").flatten().map(|entry| entry.path()));
        } else if kind.is_file() {
            let bytes = fs::read(&path).expect("read");
            looked_at += 1;
            for word in words {
                let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                assert!(!found, "{} holds what was captured", path.display());
            }
        }
    }
    looked_at
}

/// A row of numbers that is the same in each run.
pub(crate) fn dice() -> impl FnMut(u64) -> u64 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    }
}
