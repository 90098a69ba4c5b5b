//! The real program, as a process: killed at any moment it loses and doubles nothing, and no planted secret is anywhere.
#![expect(clippy::print_stdout, reason = "a test tells its figures")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks at a program that is at work, so that looking does not slow it down.
const LOOK_EVERY: Duration = Duration::from_millis(100);

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("notes")).expect("made");
        Self { dir }
    }

    fn notes(&self) -> PathBuf {
        self.dir.path().join("notes")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn hearth(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
        command.env_clear().env("HOME", self.dir.path()).env("PATH", "/usr/bin:/bin").arg("--data").arg(self.data());
        command.args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.hearth(args).output().expect("the program runs")
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON document")
    }

    fn up(&self) -> Daemon {
        let mut command = self.hearth(&["up", "--yes", "--listen", "127.0.0.1:0", "--folder"]);
        let mut child =
            command.arg(self.notes()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let (tell, ready) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = child.stderr.take().expect("piped");
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let log = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = BufReader::new(stderr).read_to_end(&mut bytes);
            bytes
        });
        Daemon { child, ready, log: Some(log) }
    }

    /// Waits until the daemon has nothing left to do.
    fn settle(&self) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.json(&["status"]);
            let sources = self.json(&["source"]);
            let scanned = sources["sources"][0]["scanned_at"].is_u64();
            if scanned && status["activity"] == "idle" && status["pending"] == 0 {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it never came to rest: {status}");
            thread::sleep(LOOK_EVERY);
        }
    }
}

struct Daemon {
    child: Child,
    ready: mpsc::Receiver<String>,
    log: Option<thread::JoinHandle<Vec<u8>>>,
}

impl Daemon {
    fn ready(&self) -> Value {
        let line = self.ready.recv_timeout(PATIENCE).expect("a line that says it is ready");
        serde_json::from_str(&line).expect("JSON")
    }

    fn kill(mut self) -> Vec<u8> {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
        self.log.take().expect("taken once").join().expect("read")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Items by their path: how many there are of it, and their text.
fn items(home: &Home, number: usize) -> BTreeMap<String, Vec<String>> {
    let out = home.dir.path().join(format!("export-{number}.jsonl"));
    home.json(&["export", out.to_str().expect("UTF-8")]);
    let mut items: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string(&out).expect("an export").lines() {
        let item: Value = serde_json::from_str(line).expect("JSON");
        let path = item["item"]["path"].as_str().expect("a path").to_owned();
        items.entry(path).or_default().push(item["text"].as_str().expect("text").to_owned());
    }
    fs::remove_file(out).expect("removed");
    items
}

/// A real tree: this program's own sources and pages.
fn plant_tree(notes: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    for (from, ending) in [("core/src", "rs"), ("docs", "md")] {
        for entry in fs::read_dir(root.join(from)).expect("listed").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == ending) {
                let name = format!("{}-{}", from.replace('/', "-"), entry.file_name().to_string_lossy());
                fs::copy(&path, notes.join(name)).expect("copied");
            }
        }
    }
}

/// Kills at random moments while a real tree is captured and changed; after each, what was there is there, once.
fn survive_kills(kills: usize) {
    let home = Home::new();
    plant_tree(&home.notes());
    let mut dice = Dice(2026);
    let mut before: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut touched: Vec<PathBuf> = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0..kills {
        let daemon = home.up();
        // One in five is killed before it is ready.
        if dice.below(5) > 0 {
            let begun = Instant::now();
            daemon.ready();
            slowest = slowest.max(begun.elapsed());
            for _ in 0..dice.below(4) {
                let path = home.notes().join(format!("written-{}.md", dice.below(12)));
                match dice.below(3) {
                    0 => drop(fs::remove_file(&path)),
                    _ => fs::write(&path, format!("# Note\n\nNumber {number} says {} in passing.\n", dice.below(1000)))
                        .expect("written"),
                }
                touched.push(path);
            }
        }
        // The moment of the kill is what is tried here; nothing is waited for.
        thread::sleep(Duration::from_millis(dice.below(1_500)));
        daemon.kill();

        let checked = home.json(&["doctor"]);
        for check in checked["checks"].as_array().expect("checks") {
            assert!(check["ok"] == true || check["name"] == "disk", "kill {number}: {check}");
        }
        let after = items(&home, number);
        for (path, texts) in &after {
            assert_eq!(texts.len(), 1, "kill {number}: {path} is there {} times", texts.len());
        }
        for (path, texts) in &before {
            if !touched.iter().any(|touched| touched.to_str() == Some(path)) {
                assert_eq!(after.get(path), Some(texts), "kill {number}: {path} was lost or changed");
            }
        }
        before = after;
    }
    let daemon = home.up();
    daemon.ready();
    let status = home.settle();
    assert_eq!(status["embedded"], status["chunks"]);
    let kept = items(&home, kills);
    let on_disk = fs::read_dir(home.notes()).expect("listed").count();
    assert_eq!(kept.len(), on_disk, "everything that is on disk is captured, and nothing else");
    for (path, texts) in kept {
        assert_eq!(texts.len(), 1, "{path}");
        if path.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("read");
            let redacted = hearth_text::Rules::standard().redact(hearth_text::Raw::new(text));
            assert!(texts[0] == redacted.as_str(), "{path} is whole, but for its secrets");
        }
    }
    println!("{kills} kills, ready again after {} ms at most", slowest.as_millis());
}

#[test]
fn twenty_kills_lose_and_double_nothing() {
    survive_kills(20);
}

#[test]
#[ignore = "soak: 200 kills take minutes"]
fn two_hundred_kills_lose_and_double_nothing() {
    survive_kills(200);
}

/// Fifty secrets of twelve kinds, made up; each with the part that must be nowhere.
fn canaries() -> Vec<(String, String)> {
    let mut dice = Dice(50);
    let letters = |dice: &mut Dice, alphabet: &[u8], count: usize| -> String {
        (0..count)
            .map(|_| char::from(alphabet[usize::try_from(dice.below(alphabet.len() as u64)).expect("small")]))
            .collect()
    };
    let (upper, alnum, hex) = (
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        b"0123456789abcdef",
    );
    (0..50)
        .map(|number| {
            let dice = &mut dice;
            match number % 12 {
                0 => {
                    let s = format!("AKIA{}", letters(dice, upper, 16));
                    (format!("aws_access_key_id = {s}"), s)
                }
                1 => {
                    let s = format!("ghp_{}", letters(dice, alnum, 36));
                    (format!("export GITHUB_TOKEN={s}"), s)
                }
                2 => {
                    let s = letters(dice, alnum, 20);
                    (format!("password: \"{s}9x\""), s)
                }
                3 => {
                    let s = letters(dice, alnum, 18);
                    (format!("postgres://admin:{s}@db.internal:5432/app"), s)
                }
                4 => {
                    let s = letters(dice, alnum, 43);
                    (format!("Authorization: Bearer {s}"), s)
                }
                5 => {
                    let s = letters(dice, alnum, 64);
                    (format!("-----BEGIN RSA PRIVATE KEY-----\n{s}\n{s}\n-----END RSA PRIVATE KEY-----"), s)
                }
                6 => {
                    let s = letters(dice, alnum, 43);
                    (format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{s}"), s)
                }
                7 => {
                    let s = format!("xoxb-{}-{}", letters(dice, b"123456789", 12), letters(dice, alnum, 24));
                    (format!("slack token {s}"), s)
                }
                8 => {
                    let s = format!("sk_live_{}", letters(dice, alnum, 24));
                    (format!("STRIPE_KEY={s}"), s)
                }
                9 => {
                    let s = letters(dice, hex, 40);
                    (format!("api_secret: {s}"), s)
                }
                10 => {
                    let s = format!("{}@canary-{number}.example.com", letters(dice, b"abcdefgh", 9));
                    (format!("write to {s} about it"), s)
                }
                _ => {
                    let s = format!("glpat-{}", letters(dice, alnum, 20));
                    (format!("gitlab: {s}"), s)
                }
            }
        })
        .collect()
}

fn bytes_below(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).expect("listed").flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            all.extend(bytes_below(&entry.path()));
        } else if kind.is_file() {
            all.push((entry.path(), fs::read(entry.path()).unwrap_or_default()));
        }
    }
    all
}

/// What the socket says to an order, byte for byte.
fn over_the_socket(home: &Home, order: &Value) -> Vec<u8> {
    let mut stream = UnixStream::connect(home.data().join("hearth.sock")).expect("a socket");
    let body = order.to_string();
    write!(
        stream,
        "POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("asked");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("answered");
    bytes
}

#[test]
fn no_planted_secret_is_on_disk_in_logs_or_on_the_socket() {
    let home = Home::new();
    let canaries = canaries();
    assert!(canaries.len() == 50);
    let ordinary = "the otters of the lower mill pond came back in spring";
    for (number, (text, secret)) in canaries.iter().enumerate() {
        // Pushed across the borders of whatever is cut into pieces.
        let filler = "Some quiet words stand here before the thing that matters. ".repeat(number * 7);
        let name =
            if number % 12 == 1 || number % 12 == 7 { format!("{number}-{secret}.md") } else { format!("{number}.md") };
        fs::write(home.notes().join(name), format!("# Note {number}\n\n{filler}\n{text}\n\n{ordinary}.\n"))
            .expect("written");
    }
    let history: String = canaries
        .iter()
        .filter(|(text, _)| !text.contains('\n'))
        .map(|(text, _)| format!("curl -H '{text}' x\n"))
        .collect();
    fs::write(home.dir.path().join(".bash_history"), history).expect("written");

    let daemon = home.up();
    daemon.ready();
    home.json(&["session", "open", "--purpose", "history", "--source", "shell-history"]);
    let status = home.settle();
    assert!(status["items"].as_u64().expect("a count") >= 50, "{status}");

    let mut seen = Vec::new();
    for order in [
        serde_json::json!({"ask":"status"}),
        serde_json::json!({"ask":"search","text":"otters token password","limit":50,"mode":"hybrid"}),
        serde_json::json!({"ask":"sessions"}),
        serde_json::json!({"ask":"audit","last":1000}),
        serde_json::json!({"ask":"show","id":home.notes().join("2.md")}),
    ] {
        seen.push(("socket".to_owned(), over_the_socket(&home, &order)));
    }
    assert!(seen[1].1.windows(6).any(|window| window == b"otters"), "what is not secret is found");
    seen.push(("log".into(), daemon.kill()));
    seen.extend(bytes_below(&home.data()).into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)));
    for (place, bytes) in &seen {
        for (number, (_, secret)) in canaries.iter().enumerate() {
            let there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!there, "secret {number} of kind {} can be read in {place}", number % 12);
        }
        if place != "socket" {
            assert!(
                !bytes.windows(12).any(|window| window == b"otters of th"),
                "an ordinary sentence can be read in {place}"
            );
        }
    }
}

#[test]
fn a_second_daemon_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    fs::write(home.notes().join("a.md"), "# A\n\nA note about sailing.\n").expect("written");
    let daemon = home.up();
    daemon.ready();
    let second = home.run(&["up", "--yes", "--listen", "127.0.0.1:0"]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("daemon"), "{}", String::from_utf8_lossy(&second.stderr));
    home.settle();
    let found = home.json(&["search", "sailing"]);
    assert_eq!(found["hits"].as_array().map(Vec::len), Some(1), "{found}");

    // What happens to files is followed.
    fs::write(home.notes().join("b.md"), "# B\n\nAnother note, about beekeeping.\n").expect("written");
    let begun = Instant::now();
    while home.json(&["status"])["items"] != 2 {
        assert!(begun.elapsed() < PATIENCE, "a new file is captured");
    }
    // What is forgotten stays forgotten, though its file is there and everything is scanned again.
    let path = home.notes().join("a.md");
    let forgot = home.run(&["forget", "--yes", "--item", path.to_str().expect("UTF-8")]);
    assert!(forgot.status.success(), "{}", String::from_utf8_lossy(&forgot.stderr));
    home.json(&["pause"]);
    home.json(&["resume"]);
    fs::write(home.notes().join("c.md"), "# C\n\nA third note, about glaciers.\n").expect("written");
    while home.json(&["status"])["items"] != 2 {
        assert!(begun.elapsed() < PATIENCE, "a third file is captured");
    }
    assert_eq!(home.run(&["search", "--mode", "keyword", "sailing"]).status.code(), Some(3), "no hits");
    fs::write(&path, "# A\n\nA note about sailing, and now about rowing too.\n").expect("written");
    while home.json(&["status"])["items"] != 3 {
        assert!(begun.elapsed() < PATIENCE, "it comes back once it changes");
    }
    let stopped = home.run(&["stop"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    drop(daemon);
    let found = home.json(&["search", "bees and honey"]);
    assert!(!found["hits"].as_array().expect("hits").is_empty(), "without a daemon the folder answers: {found}");
}
