//! What goes wrong around a node: files that are no text, disks without room, clocks, damage and mistyped orders.
//!
//! Each is answered with a sentence and loses nothing. What capture decides about one file is tested beside it; here the whole
//! program is asked.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use hearth_agent::{
    ask::{Answers, Ask, Found, Indexed, Mode, Query, Status},
    node::{Node, Settings},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Far beyond what anything here takes; a program that reaches it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

struct Home {
    dir: tempfile::TempDir,
    data: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("notes")).expect("made");
        Self { data: dir.path().join("data"), dir }
    }

    fn notes(&self) -> PathBuf {
        self.dir.path().join("notes")
    }

    fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.notes().join(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    fn configure(&self, text: impl AsRef<[u8]>) {
        let folder = self.dir.path().join(".config/hearth");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("hearth.toml"), text).expect("written");
    }

    fn without_configuration(&self) {
        fs::remove_dir_all(self.dir.path().join(".config")).expect("removed");
    }

    fn hearth<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
        self.dress(command.arg("--data").arg(&self.data).args(args));
        command
    }

    fn dress(&self, command: &mut Command) {
        command.env_clear().env("HOME", self.dir.path()).env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        finish(self.hearth(args).spawn().expect("the program runs"), |_| {})
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("one JSON document")
    }

    /// What is answered, whatever the exit status says of it: finding nothing and a failed check have their own.
    fn answer(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", said(&output)))
    }

    fn index(&self) -> Value {
        self.json(&["index", self.notes().to_str().expect("UTF-8")])
    }

    /// Paths that are found by word.
    fn found(&self, words: &str) -> Vec<String> {
        let found = self.answer(&["search", "--mode", "keyword", words]);
        let hits = found["hits"].as_array().expect("hits");
        hits.iter().map(|hit| hit["path"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn node(&self) -> Node {
        Node::open(&self.data, Settings { embed_threads: 1, ..Settings::default() }).expect("opened")
    }
}

/// Waits for a program, looking at it now and then; one that does not end is killed and said.
fn finish(mut child: Child, mut look: impl FnMut(u32)) -> Output {
    let mut stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes).expect("read")
    });
    let err = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes).expect("read")
    });
    let begun = Instant::now();
    let status = loop {
        look(child.id());
        if let Some(status) = child.try_wait().expect("waited for") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).expect("killed");
            panic!("it hung; it said {}", String::from_utf8_lossy(&err.join().expect("read")));
        }
        thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: out.join().expect("read"), stderr: err.join().expect("read") }
}

/// What a program told a person, line breaks made spaces.
fn said(output: &Output) -> String {
    let text = format!("{} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why each path was left alone.
fn reasons(indexed: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    indexed["skipped"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|skip| (text(&skip["path"]), text(&skip["reason"])))
        .collect()
}

fn command(program: &str, args: &[&OsStr]) -> bool {
    Command::new(program).args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A mounted folder; gone with its owner.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        command("umount", &["-l".as_ref(), self.0.as_os_str()]);
    }
}

fn ask<T: DeserializeOwned>(node: &Node, ask: Ask) -> T {
    serde_json::from_value(node.answer(ask).expect("answered")).expect("the answer's type")
}

fn keyword(node: &Node, words: &str) -> Found {
    ask(node, Ask::Search(Query { text: words.into(), limit: 10, mode: Mode::Keyword, ..Query::default() }))
}

#[test]
fn what_is_no_text_is_left_alone_with_a_reason_and_the_rest_is_found() {
    let home = Home::new();
    let notes = home.notes();
    home.write("plain.md", "a heron in the reeds\n");
    home.write("binary.md", (0..=255).cycle().take(10_000).collect::<Vec<u8>>());
    // Fifty million zeros in fifty thousand bytes, were it unpacked: a gzip header is enough to be told.
    home.write("bomb.gz", [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 50_000]].concat());
    home.write("empty.md", "");
    fs::File::create(notes.join("sparse.md")).and_then(|file| file.set_len(1 << 40)).expect("made");
    assert!(command("mkfifo", &[notes.join("pipe.md").as_os_str()]), "a named pipe");
    let _socket = UnixListener::bind(notes.join("socket.md")).expect("a socket");
    symlink(".", notes.join("loop")).expect("linked");
    symlink("there", notes.join("here")).and_then(|()| symlink("here", notes.join("there"))).expect("linked");
    let device = command("mknod", &[notes.join("device.md").as_os_str(), "c".as_ref(), "1".as_ref(), "5".as_ref()]);

    let indexed = home.index();
    assert_eq!(indexed["items"], 1, "{indexed}");
    let reasons = reasons(&indexed);
    for (name, sentence) in [
        ("binary.md", "binary"),
        ("bomb.gz", "gzip archive"),
        ("empty.md", "empty"),
        ("sparse.md", "more than the limit"),
        ("pipe.md", "named pipe"),
        ("socket.md", "socket"),
        ("loop", "symbolic link"),
        ("here", "symbolic link"),
        ("there", "symbolic link"),
        ("device.md", "device"),
    ] {
        if name == "device.md" && !device {
            eprintln!("skipped: a device cannot be made here, which needs root");
            continue;
        }
        let path = notes.join(name).display().to_string();
        let told = reasons.iter().find(|(known, _)| *known == path).map(|(_, reason)| reason.as_str());
        assert!(told.is_some_and(|reason| reason.contains(sentence)), "{name}: {told:?} in {reasons:?}");
        let why = said(&home.run(&["why", &path]));
        assert!(why.contains("left alone"), "{name}: {why}");
    }
    assert_eq!(home.found("heron"), [notes.join("plain.md").display().to_string()]);
}

#[test]
fn a_path_that_cannot_be_read_or_is_gone_hides_nothing_else() {
    let home = Home::new();
    home.write("plain.md", "a heron in the reeds\n");
    // A path longer than the system takes: even root cannot read it by its name.
    let mut below = fs::File::open(home.notes()).expect("opened");
    for _ in 0..25 {
        let step = PathBuf::from(format!("/proc/self/fd/{}", below.as_raw_fd())).join("x".repeat(200));
        fs::create_dir(&step).expect("made");
        below = fs::File::open(&step).expect("opened");
    }
    fs::write(format!("/proc/self/fd/{}/deep.md", below.as_raw_fd()), "otter\n").expect("written");
    let indexed = home.index();
    assert_eq!(indexed["items"], 1, "{indexed}");
    assert!(reasons(&indexed).iter().any(|(_, reason)| reason.contains("too long")), "{indexed}");

    let gone = home.write("gone.md", "a kingfisher\n");
    home.index();
    assert_eq!(home.found("kingfisher").len(), 1);
    fs::remove_file(&gone).expect("removed");
    let missing = home.run(&["index", gone.to_str().expect("UTF-8")]);
    assert!(!missing.status.success() && said(&missing).contains("cannot index"), "{}", said(&missing));
    assert_eq!(home.found("heron").len(), 1);
    assert!(Command::new("rm").arg("-rf").arg(home.notes()).status().expect("rm").success());
}

#[test]
fn old_encodings_and_hostile_pages_are_read() {
    let home = Home::new();
    home.write("latin1.md", b"Der K\xe4se aus \xd6sterreich schmeckt gut, \xfcber alles\n");
    let utf16: Vec<u8> =
        [0xfeff].into_iter().chain("the lighthouse keeper".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    home.write("utf16.md", utf16);
    home.write("broken.md", b"half a walnut \xf0\x9f\x92 and the rest\n");
    let hostile = format!("{}pumpkin<script>alert('quince')</script><style>x", "<div>".repeat(200_000));
    home.write("hostile.html", hostile);
    assert_eq!(home.index()["items"], 4);
    for (words, name) in
        [("Österreich", "latin1.md"), ("lighthouse", "utf16.md"), ("walnut", "broken.md"), ("pumpkin", "hostile.html")]
    {
        assert_eq!(home.found(words), [home.notes().join(name).display().to_string()], "{words}");
    }
    assert!(home.found("quince").is_empty(), "a script is not what a page says");
}

#[test]
fn a_name_with_a_line_break_and_no_utf8_is_captured_and_does_not_break_the_terminal() {
    let home = Home::new();
    let name = OsStr::from_bytes(b"we\nird\x1b[31m\xff.md");
    let path = home.write(name, "a recipe with walnuts\n");
    assert_eq!(home.index()["items"], 1);
    for args in [&["search"[..].as_ref(), OsStr::new("walnuts")][..], &[OsStr::new("why"), path.as_os_str()][..]] {
        let output = home.run(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        assert!(!output.stdout.contains(&0x1b) && std::str::from_utf8(&output.stdout).is_ok(), "{args:?}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("we\\nird") && !text.contains("we\nird"), "{args:?}: {text}");
    }
    let id =
        home.json(&["search", "--mode", "keyword", "walnuts"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    assert!(said(&home.run(&["show", &id])).contains("walnuts"));
    let shown = home.json(&["show", &id]);
    let open: hearth_agent::ask::Shown = serde_json::from_value(shown).expect("an item with its text");
    assert_eq!(open.open.as_deref(), Some(path.as_path()), "its true path comes through whole");
    let why = Ask::Why { path };
    let text = serde_json::to_string(&why).expect("an order that can be sent");
    assert_eq!(serde_json::from_str::<Ask>(&text).expect("read"), why, "also over the socket");
}

#[test]
fn ten_thousand_files_at_once_take_bounded_memory() {
    let home = Home::new();
    for number in 0..10_000 {
        home.write(format!("{number}.txt"), "the same few words\n");
    }
    let notes = home.notes();
    let child = home.hearth(&["index", "--json", notes.to_str().expect("UTF-8")]).spawn().expect("the program runs");
    let mut peak = 0;
    let output = finish(child, |id| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
    });
    assert!(output.status.success(), "{}", said(&output));
    let indexed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(indexed["items"], 10_000, "{}", indexed["skipped"]);
    assert!((1..450 << 10).contains(&peak), "{peak} KiB at its peak, the model included");
    println!("10,000 files: {} MiB at the peak", peak >> 10);
    assert_eq!(home.json(&["status"])["items"], 10_000);
}

#[test]
fn a_full_disk_is_said_and_what_was_stored_stays() {
    let mut home = Home::new();
    let small = home.dir.path().join("small");
    fs::create_dir(&small).expect("made");
    let args = ["-t", "tmpfs", "-o", "size=2m", "tmpfs"].map(OsStr::new);
    let mounted = command("mount", &[&args[..], &[small.as_os_str()]].concat()).then(|| Mounted(small.clone()));
    home.data = small.join("data");
    home.write("first.md", "a heron in the reeds\n");
    home.index();

    // One passage each, as the disk is to be full before the vectors are made.
    let mut dice = Dice(7);
    for number in 0..40 {
        let noise: String =
            (0..120_000).map(|_| char::from(b'a' + u8::try_from(dice.below(26)).expect("a letter"))).collect();
        home.write(format!("big{number}.md"), noise);
    }
    let notes = home.notes();
    let output = if mounted.is_some() {
        home.run(&["index", notes.to_str().expect("UTF-8")])
    } else {
        let mut shell = Command::new("sh");
        let script = "trap '' XFSZ; ulimit -f 1500; exec \"$@\"";
        shell
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_hearth"), "--data"])
            .arg(&home.data)
            .arg("index")
            .arg(&notes);
        home.dress(&mut shell);
        finish(shell.spawn().expect("a shell"), |_| {})
    };
    let told = said(&output);
    assert!(told.contains("no space is left") || mounted.is_none() && told.contains("failed"), "{told}");
    assert!(!told.contains("panicked"), "{told}");

    if mounted.is_some() {
        let more = ["-o", "remount,size=64m"].map(OsStr::new);
        assert!(command("mount", &[&more[..], &[small.as_os_str()]].concat()), "room is made");
    }
    assert_eq!(home.found("heron"), [notes.join("first.md").display().to_string()]);
    for check in home.answer(&["doctor"])["checks"].as_array().expect("checks") {
        assert!(check["ok"] == true || check["name"] == "disk", "{check}");
    }
}

#[test]
fn on_a_full_disk_what_is_there_is_found_and_can_be_forgotten() {
    let mut home = Home::new();
    let small = home.dir.path().join("small");
    fs::create_dir(&small).expect("made");
    let args = ["-t", "tmpfs", "-o", "size=64m", "tmpfs"].map(OsStr::new);
    if !command("mount", &[&args[..], &[small.as_os_str()]].concat()) {
        eprintln!("skipped: a small disk cannot be mounted here, which needs root");
        return;
    }
    let _mounted = Mounted(small.clone());
    home.data = small.join("data");
    let heron = home.write("heron.md", "a heron in the reeds\n");
    let otter = home.write("otter.md", "an otter on the bank\n");
    home.index();

    let mut ballast = fs::File::create(small.join("ballast")).expect("made");
    for piece in [1 << 20, 4096, 1] {
        while ballast.write_all(&vec![1; piece]).is_ok() {}
    }
    let named = |path: &Path| [path.display().to_string()];
    assert_eq!(home.found("heron"), named(&heron));
    assert_eq!(home.json(&["status"])["items"], 2);
    let forgotten = home.answer(&["forget", "--item", heron.to_str().expect("UTF-8"), "--yes"]);
    assert_eq!(forgotten["items"], 1, "{forgotten}");
    assert!(home.found("heron").is_empty());
    assert_eq!(home.found("otter"), named(&otter));

    let more = ["-o", "remount,size=128m"].map(OsStr::new);
    assert!(command("mount", &[&more[..], &[small.as_os_str()]].concat()), "room is made");
    home.index();
    assert_eq!(home.found("heron"), named(&heron), "an order that names it brings it back");
    for check in home.answer(&["doctor"])["checks"].as_array().expect("checks") {
        assert!(check["ok"] == true || check["name"] == "disk", "{check}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_written_is_said_and_left_as_it_was() {
    let mut home = Home::new();
    home.write("first.md", "a heron in the reeds\n");
    home.index();
    let data = home.data.clone();
    let fixed = home.dir.path().join("fixed");
    fs::create_dir(&fixed).expect("made");
    if command("mount", &["--bind".as_ref(), data.as_os_str(), fixed.as_os_str()]) {
        let _mounted = Mounted(fixed.clone());
        assert!(command("mount", &["-o".as_ref(), "remount,ro,bind".as_ref(), fixed.as_os_str()]));
        home.data = fixed;
        for args in [&["search", "heron"][..], &["status"], &["up", "--yes", "--listen", "127.0.0.1:0"]] {
            let output = home.run(args);
            assert_eq!(output.status.code(), Some(4), "{args:?}: {}", said(&output));
            assert!(said(&output).contains("make the folder writable"), "{args:?}: {}", said(&output));
        }
    } else {
        eprintln!("skipped: a folder cannot be bound read-only here, which needs root; a file in its place is tested");
    }
    home.data = home.write("first.md", "a heron in the reeds\n").join("data");
    let output = home.run(&["status"]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    home.data = data;
    assert_eq!(home.found("heron").len(), 1);
}

#[test]
fn a_setting_that_cannot_be_used_is_shown_where_it_stands() {
    let home = Home::new();
    home.write("first.md", "a heron in the reeds\n");
    home.index();
    for (case, text, sentences) in [
        (
            "an unknown key",
            &b"[capture]\nsetle = \"2s\"\n"[..],
            &["hearth.toml:2:1", "─────", "did you mean `settle`"][..],
        ),
        ("a bad unit", b"[capture]\nsettle = \"2 parsecs\"\n", &["hearth.toml:2:10", "───────────", "the units"]),
        ("no UTF-8", b"\xff\n", &["save it as", "UTF-8"]),
        ("a model without its hash", b"[embed]\nmodel = \"/model.onnx\"\n", &["embed.model-sha256"]),
    ] {
        home.configure(text);
        let output = home.run(&["search", "heron"]);
        assert_eq!(output.status.code(), Some(2), "{case}: {}", said(&output));
        for sentence in sentences {
            assert!(said(&output).contains(sentence), "{case}: {}", said(&output));
        }
    }
    home.without_configuration();
    assert_eq!(home.found("heron").len(), 1);
}

#[test]
fn a_model_that_is_missing_or_altered_is_refused_and_nothing_is_lost() {
    let home = Home::new();
    home.write("first.md", "a heron in the reeds\n");
    home.index();
    let model = home.dir.path().join("model.onnx");
    for (case, sentence) in [("missing", "cannot be read"), ("altered", "its SHA-256 is not the expected one")] {
        if case == "altered" {
            fs::write(&model, "not what was pinned").expect("written");
            fs::write(home.dir.path().join("tokenizer.json"), "{}").expect("written");
        }
        home.configure(format!("[embed]\nmodel = \"{}\"\nmodel-sha256 = \"{}\"\n", model.display(), "0".repeat(64)));
        let output = home.run(&["search", "heron"]);
        assert!(!output.status.success(), "{case}");
        assert!(said(&output).contains(sentence) && !said(&output).contains("panicked"), "{case}: {}", said(&output));
        home.without_configuration();
        assert_eq!(home.found("heron").len(), 1, "{case}");
    }
}

/// Makes a program that runs with it believe that it is so many seconds later than it is.
const AHEAD: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    const char *ahead = getenv("AHEAD");
    if (result == 0 && clock == CLOCK_REALTIME && ahead) time->tv_sec += atol(ahead);
    return result;
}
"#;

#[test]
fn a_clock_set_back_stops_neither_capture_nor_forgetting() {
    let home = Home::new();
    let (source, library) = (home.dir.path().join("ahead.c"), home.dir.path().join("ahead.so"));
    fs::write(&source, AHEAD).expect("written");
    let built =
        command("cc", &["-shared".as_ref(), "-fPIC".as_ref(), "-o".as_ref(), library.as_os_str(), source.as_os_str()]);
    if !built {
        eprintln!("skipped: there is no C compiler here to set the clock of one program with");
        return;
    }
    let notes = home.notes();
    let at = |ahead: i64, args: &[&str]| {
        let mut command = home.hearth(args);
        command.env("LD_PRELOAD", &library).env("AHEAD", ahead.to_string());
        finish(command.spawn().expect("the program runs"), |_| {})
    };
    let index = ["index", notes.to_str().expect("UTF-8")];
    home.write("old.md", "an otter by the weir\n");
    let output = at(-86_400, &index);
    assert!(output.status.success(), "{}", said(&output));
    home.write("ahead.md", "a heron in the reeds\n");
    let output = at(86_400, &index);
    assert!(output.status.success(), "{}", said(&output));
    let stamp = |words: &str| {
        home.answer(&["search", "--mode", "keyword", words])["hits"][0]["lineage"]["captured_at"].as_u64()
    };
    let (early, late) = (stamp("otter").expect("a time"), stamp("heron").expect("a time"));
    assert!(late - early > 86_400_000, "the program believed the clock that was made for it");

    // The clock is right again: a day earlier than the newest entry.
    home.write("now.md", "a kingfisher on a branch\n");
    assert_eq!(home.index()["items"], 3);
    assert_eq!(home.found("kingfisher").len(), 1);
    let forgotten = home.run(&["forget", "--last", "10m", "--yes"]);
    assert!(forgotten.status.success(), "{}", said(&forgotten));
    assert!(home.found("kingfisher").is_empty(), "what was just captured is forgotten");
    assert_eq!(home.found("otter").len(), 1, "what is older stays");
    for check in home.answer(&["doctor"])["checks"].as_array().expect("checks") {
        assert!(check["ok"] == true || check["name"] == "disk", "{check}");
    }
}

#[test]
fn a_state_with_flipped_bits_is_set_aside_and_everything_is_still_found() {
    let home = Home::new();
    home.write("birds.md", "a heron in the reeds\n");
    home.write("bread.md", "knead the dough\n");
    let node = home.node();
    let indexed: Indexed = ask(&node, Ask::Index { paths: vec![home.notes()], again: false });
    assert_eq!(indexed.items, 2);
    node.close();
    let db = home.data.join("state/db");
    let whole = fs::read(&db).expect("read");
    let written: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let (mut dice, mut aside) = (Dice(2026), 0);
    for flip in 0..24 {
        let at = written[usize::try_from(dice.below(written.len() as u64)).expect("an index")];
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << dice.below(8);
        fs::write(&db, bytes).expect("damaged");
        let node = home.node();
        let status: Status = ask(&node, Ask::Status);
        aside += usize::from(status.notices.iter().any(|notice| notice.contains("set aside")));
        assert_eq!(status.items, 2, "flip {flip} at {at}: {:?}", status.notices);
        for words in ["heron", "dough"] {
            assert_eq!(keyword(&node, words).hits.len(), 1, "flip {flip} at {at}: {:?}", status.notices);
        }
        node.close();
    }
    assert!(aside > 0, "no flip kept the state from opening, so this shows nothing");
}

#[test]
fn corrupt_lines_of_an_import_are_named_and_the_rest_is_taken() {
    let home = Home::new();
    let file = home.dir.path().join("import.jsonl");
    fs::write(&file, b"{\"id\":\"one\",\"text\":\"a good otter\"}\n{bad\n\xff\xfe\n{\"id\":5}\n[]\n{\"id\":\"two\",\"text\":\"a heron\"}").expect("written");
    let name = file.to_str().expect("UTF-8");
    let imported = home.answer(&["import", name]);
    assert_eq!(imported["items"], 2, "{imported}");
    let lines: Vec<String> = reasons(&imported).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, ["line 2", "line 3", "line 4", "line 5"]);
    let again = home.run(&["import", name]);
    assert_eq!(again.status.code(), Some(1), "partly failed: {}", said(&again));
    for words in ["line 2: it is not JSON (column 2)", "4 lines were not imported"] {
        assert!(said(&again).contains(words), "{words}: {}", said(&again));
    }
    assert_eq!((home.found("otter").len(), home.found("heron").len()), (1, 1));
    let missing = home.run(&["import", "/nonexistent/file.jsonl"]);
    assert_eq!(missing.status.code(), Some(3), "{}", said(&missing));
}

#[test]
fn of_lines_with_one_id_the_last_is_kept_and_counts_once() {
    let home = Home::new();
    let file = home.dir.path().join("import.jsonl");
    let line = |id: &str, text: &str| serde_json::json!({ "id": id, "text": text }).to_string();
    let lines = [
        line("one", "an otter, ask ada@example.org"),
        line("two", "a stork"),
        line("one", "a heron"),
        line("one", "a heron"),
    ];
    fs::write(&file, lines.join("\n")).expect("written");
    let imported = home.json(&["import", file.to_str().expect("UTF-8")]);
    assert_eq!((&imported["items"], &imported["chunks"]), (&Value::from(2), &Value::from(2)), "{imported}");
    assert_eq!(imported["redactions"], serde_json::json!({}), "the line with the address was replaced");
    assert_eq!((home.found("otter").len(), home.found("heron").len()), (0, 1));
    assert_eq!(home.answer(&["status"])["items"], 2);
}

#[test]
fn a_line_longer_than_any_document_is_passed_over() {
    let home = Home::new();
    let file = home.dir.path().join("import.jsonl");
    let long = "x".repeat(33 << 20);
    fs::write(&file, format!("{{\"id\":\"a\",\"text\":\"{long}\"}}\n{{\"id\":\"b\",\"text\":\"a heron\"}}\n"))
        .expect("written");
    let imported = home.answer(&["import", file.to_str().expect("UTF-8")]);
    assert_eq!(imported["items"], 1, "{imported}");
    let reasons = reasons(&imported);
    assert!(reasons[0].0 == "line 1" && reasons[0].1.contains("33.6 MB"), "{reasons:?}");
    assert_eq!(home.found("heron").len(), 1);
}

#[test]
fn asking_who_a_node_is_makes_nothing() {
    let home = Home::new();
    let nobody = home.run(&["identity"]);
    assert_eq!(nobody.status.code(), Some(3), "{}", said(&nobody));
    assert!(said(&nobody).contains("there is no data folder") && !home.data.exists(), "{}", said(&nobody));
    let made = home.json(&["identity", "--make"]);
    assert_eq!(home.json(&["identity"]), made);
}

#[test]
fn while_capture_is_paused_a_path_waits_and_the_pause_is_named() {
    let home = Home::new();
    let kept = home.write("kept.md", "a heron in the reeds\n");
    home.index();
    home.json(&["pause"]);
    let new = home.write("new.md", "an otter\n");
    let why = |path: &Path| home.answer(&["why", path.to_str().expect("UTF-8")]);
    for (path, verdict) in [(&kept, "captured"), (&new, "waiting")] {
        let why = why(path);
        let because = why["because"].to_string();
        assert_eq!(why["verdict"], verdict, "{why}");
        assert!(because.contains("capture is paused") && because.contains("`hearth resume`"), "{why}");
    }
    let left = why(Path::new("/etc/passwd"));
    assert_eq!(left["verdict"], "skipped", "{left}");
    assert_eq!(left["because"].as_array().map(Vec::len), Some(1), "the pause is not why: {left}");
    home.json(&["resume"]);
    home.json(&["private"]);
    let private = why(&new);
    assert_eq!(private["verdict"], "skipped", "{private}");
    assert!(private["because"].to_string().contains("private mode is on"), "{private}");
}

#[test]
fn no_table_is_wider_than_a_terminal() {
    let home = Home::new();
    home.index();
    for args in [&["formats"][..], &["source"], &["session"], &["features"], &["doctor"], &["audit"]] {
        let output = home.run(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(!text.is_empty() && wide.is_empty(), "{args:?}: {wide:#?}");
    }
}

#[test]
fn a_mistyped_order_is_answered_with_what_to_write() {
    let home = Home::new();
    home.write("first.md", "a heron in the reeds\n");
    home.index();
    for (case, args, code, sentence) in [
        ("an unknown item", &["show", "nosuch"][..], 3, "`hearth search` shows ids"),
        ("an unknown item to open", &["open", "nosuch"], 3, "`hearth search` shows ids"),
        ("nothing to look for", &["search", ""], 2, "write some words"),
        ("blanks to look for", &["search", "  "], 2, "write some words"),
        ("no hits wanted", &["search", "-n", "0", "heron"], 2, "1..=10000"),
        ("more hits than there can be", &["search", "-n", "99999999999999999999", "heron"], 2, "too large"),
        ("fewer than none", &["search", "-n=-3", "heron"], 2, "1..=10000"),
        ("a bad span", &["pause", "5q"], 2, "the units are"),
        ("forgetting unasked", &["forget", "--query", "heron"], 2, "--dry-run"),
        ("a bad session", &["forget", "--session", "ses-99", "--yes"], 2, "32 hexadecimal digits"),
        ("a path that is not there", &["index", "/nonexistent"], 3, "cannot index"),
    ] {
        let output = home.run(args);
        assert_eq!(output.status.code(), Some(code), "{case}: {}", said(&output));
        assert!(said(&output).contains(sentence), "{case}: {}", said(&output));
    }
    let queries = home.dir.path().join("queries.jsonl");
    let run = home.dir.path().join("out.trec");
    fs::write(&queries, "{\"id\":\"a b\",\"text\":\"heron\"}\n").expect("written");
    let output =
        home.run(&["search", "--batch", queries.to_str().expect("UTF-8"), "--run", run.to_str().expect("UTF-8")]);
    let lines = fs::read_to_string(&run).unwrap_or_default();
    let whole = lines.lines().all(|line| line.split_whitespace().count() == 6);
    assert!(whole && (!output.status.success() || !lines.is_empty()), "{}: {lines}", said(&output));
    assert_eq!(home.found("heron").len(), 1);
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
