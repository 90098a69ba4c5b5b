//! The whole coordinator on loopback: real links, a real store, the real program.
#![forbid(unsafe_code)]

#[path = "whole/broker.rs"]
mod broker;
#[expect(dead_code, reason = "the tests of links need more of it")]
#[path = "../../link/tests/conformance/mosquitto.rs"]
mod mosquitto;

use std::{
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use hearth_coordinator::{Options, Ready, Trouble, serve};
use hearth_core::{
    Moment,
    status::{BootId, Capture, Counters, Cpu, Few, Finite, Label, Letter, Memory, StatusReport},
};
use hearth_link::{Close, Connector, Identity, Limits, Link, LinkError, Pipe, key_from_text, key_text};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_reported_node_is_shown_and_still_there_after_a_restart() {
    let data = tempfile::tempdir().expect("a folder");
    let first = Running::start(options(data.path())).await;
    let mut link = first.connect().await.expect("trusted");
    report(&mut link, 41).await;
    let shown = first.nodes().await;
    assert_eq!(shown["nodes"][0]["name"], "attic");
    assert_eq!(shown["nodes"][0]["device"], device().device().to_string());
    assert_eq!(shown["nodes"][0]["report"]["counters"]["items"], 41);
    assert!(first.get("/", "localhost").await.contains("<h1>"));
    let key = first.ready.key.clone();
    let (end, ()) = tokio::join!(link.receive(), first.end());
    assert!(matches!(end, Err(LinkError::Closed(Close::ShuttingDown))), "{end:?}");

    let second = Running::start(options(data.path())).await;
    assert_eq!(second.ready.key, key);
    assert_eq!(second.nodes().await["nodes"][0]["report"]["counters"]["items"], 41);
    let mut link = second.connect().await.expect("trusted");
    report(&mut link, 42).await;
    assert_eq!(second.nodes().await["nodes"][0]["report"]["counters"]["items"], 42);
    second.end().await;
}

#[tokio::test]
async fn the_newer_link_of_a_device_takes_the_place_of_the_older() {
    let data = tempfile::tempdir().expect("a folder");
    let running = Running::start(options(data.path())).await;
    let mut older = running.connect().await.expect("trusted");
    report(&mut older, 1).await;
    let mut newer = running.connect().await.expect("trusted");
    assert!(matches!(older.receive().await, Err(LinkError::Closed(Close::Replaced))));
    report(&mut newer, 2).await;
    running.end().await;
}

#[tokio::test]
async fn a_device_taken_from_the_list_loses_its_link_and_its_place_on_the_page() {
    let data = tempfile::tempdir().expect("a folder");
    let file = data.path().join("trusted");
    std::fs::write(&file, format!("{}  kitchen\n", key_text(&device().public()))).expect("written");
    let options = Options { trusted: vec![], trust_file: Some(file.clone()), ..options(data.path()) };
    let running = Running::start(options).await;
    let mut link = running.connect().await.expect("trusted");
    report(&mut link, 1).await;
    assert_eq!(running.nodes().await["nodes"][0]["name"], "kitchen");
    std::fs::write(&file, "").expect("written");
    running.reload.send(()).await.expect("it runs");
    assert!(matches!(link.receive().await, Err(LinkError::Closed(Close::NotTrusted))));
    assert!(matches!(running.connect().await, Err(LinkError::Refused(_))));
    assert_eq!(running.nodes().await["nodes"], serde_json::json!([]));
    running.end().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_a_sentence() {
    let data = tempfile::tempdir().expect("a folder");
    let open = Options { http: (Ipv4Addr::UNSPECIFIED, 0).into(), ..options(data.path()) };
    let refused = refusal(open).await;
    assert!(refused.contains("there is no sign-in yet, so only addresses of this machine are allowed"), "{refused}");

    let running = Running::start(options(data.path())).await;
    let second = refusal(options(data.path())).await;
    assert!(second.starts_with("another coordinator is running on the data folder"), "{second}");

    let other = tempfile::tempdir().expect("a folder");
    let same_port = Options { http: running.address(), ..options(other.path()) };
    assert!(refusal(same_port).await.starts_with("cannot serve the page on 127.0.0.1:"));
    let same_port = Options { quic: running.ready.quic, ..options(other.path()) };
    assert!(refusal(same_port).await.starts_with("cannot open a UDP socket on 127.0.0.1:"));
    running.end().await;
}

/// Without the limit, 10,000 idle devices take 20 MiB more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_program_limits_the_arenas_of_its_allocator_and_stays_the_process_it_was() {
    let data = tempfile::tempdir().expect("a folder");
    let program = Program::start(data.path());
    let of_process = |what: &str| std::fs::read(format!("/proc/{}/{what}", program.child.id())).expect("it runs");
    let environment = of_process("environ");
    assert!(environment.split(|byte| *byte == 0).any(|variable| variable == b"MALLOC_ARENA_MAX=2"));
    let words = of_process("cmdline");
    let mut words = words.split(|byte| *byte == 0);
    assert_eq!((words.next(), words.next()), (Some(PROGRAM.as_bytes()), Some(&b"serve"[..])));
}

#[tokio::test]
async fn a_page_from_elsewhere_gets_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let running = Running::start(options(data.path())).await;
    let answer = running.get("/v1/nodes", "rebound.example").await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(!answer.contains("nodes"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn the_program_keeps_what_it_confirmed_through_a_kill_and_ends_in_good_order() {
    let data = tempfile::tempdir().expect("a folder");
    let printed = Command::new(PROGRAM).args(["key", "--data"]).arg(data.path()).output().expect("it runs");
    let key = String::from_utf8(printed.stdout).expect("text").trim().to_owned();
    for items in 1..4 {
        let mut program = Program::start(data.path());
        assert_eq!(program.ready["key"], key.as_str());
        let at = program.ready["quic"].as_str().expect("an address").parse().expect("an address");
        let mut link = connector(&key).connect(at).await.expect("trusted");
        report(&mut link, items).await;
        program.child.kill().expect("it ran");
        program.child.wait().expect("it ended");
    }
    let mut program = Program::start(data.path());
    let http = program.ready["http"].as_str().expect("an address").to_owned();
    let shown = body(&get(address(&http), "/v1/nodes", "127.0.0.1").await);
    assert_eq!(shown["nodes"][0]["report"]["counters"]["items"], 3);
    let told = Command::new("kill").arg(program.child.id().to_string()).status().expect("every system has kill");
    assert!(told.success());
    assert!(program.child.wait().expect("it ended").success(), "SIGTERM is a good end");
    let mut log = String::new();
    program.child.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(log.contains("\"ended\""), "{log}");
}

#[test]
fn a_wrong_call_is_a_sentence_and_a_wrong_folder_too() {
    let data = tempfile::tempdir().expect("a folder");
    let file = data.path().join("file");
    std::fs::write(&file, "").expect("written");
    for (case, arguments, code, expected) in [
        ("no folder", vec!["serve"], 2, "--data"),
        ("no key", vec!["serve", "--data", "/nowhere", "--trust", "abc"], 2, "64 hexadecimal digits"),
        ("a file for a folder", vec!["key", "--data", file.to_str().expect("text")], 1, "check that it exists"),
    ] {
        let ended =
            Command::new(PROGRAM).args(arguments).env_remove("HEARTH_COORDINATOR_DATA").output().expect("it runs");
        let said: String = String::from_utf8_lossy(&ended.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(ended.status.code(), Some(code), "{case}: {said}");
        assert!(said.contains(expected), "{case}: {said}");
    }
}

#[test]
fn the_help() {
    let mut said = String::new();
    for arguments in [vec!["--help"], vec!["serve", "--help"], vec!["key", "--help"]] {
        let ended = Command::new(PROGRAM)
            .args(arguments)
            .env_remove("HEARTH_COORDINATOR_DATA")
            .env_remove("COLUMNS")
            .output()
            .expect("it runs");
        said += &String::from_utf8(ended.stdout).expect("text");
        said += "\n========\n";
    }
    insta::assert_snapshot!(said);
}

/// A wait that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAM: &str = env!("CARGO_BIN_EXE_hearth-coordinator");

struct Running {
    ready: Ready,
    reload: mpsc::Sender<()>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Trouble>>,
}

impl Running {
    async fn start(options: Options) -> Self {
        let shutdown = CancellationToken::new();
        let (reload, reloads) = mpsc::channel(1);
        let (tell, told) = oneshot::channel();
        let ending = shutdown.clone();
        let task = tokio::spawn(async move {
            let ready = |ready: &Ready| tell.send(ready.clone()).expect("the test waits");
            serve(options, ready, reloads, ending).await
        });
        Self { ready: told.await.expect("it starts"), reload, shutdown, task }
    }

    async fn connect(&self) -> Result<Link, LinkError> {
        connector(&self.ready.key).connect(self.ready.quic).await
    }

    fn address(&self) -> SocketAddr {
        address(&self.ready.http)
    }

    async fn get(&self, path: &str, host: &str) -> String {
        get(self.address(), path, host).await
    }

    async fn nodes(&self) -> serde_json::Value {
        body(&self.get("/v1/nodes", "localhost").await)
    }

    /// Looks until the page shows this.
    async fn until(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let looking = async {
            loop {
                let shown = self.nodes().await;
                if wanted(&shown) {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(shown) => shown,
            Err(_) => panic!("the page does not come to show what is waited for: {}", self.nodes().await),
        }
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.expect("no panic").expect("a good end");
    }
}

struct Program {
    child: Child,
    ready: serde_json::Value,
}

impl Program {
    fn start(data: &Path) -> Self {
        Self::start_with(data, &[], None)
    }

    fn start_with(data: &Path, arguments: &[&str], credentials: Option<&Path>) -> Self {
        let mut child = Command::new(PROGRAM)
            .envs(credentials.map(|folder| ("CREDENTIALS_DIRECTORY", folder)))
            .args(["serve", "--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--trust", &key_text(&device().public())])
            .arg("--data")
            .arg(data)
            .args(arguments)
            .env_remove("HEARTH_LOG")
            .env_remove("MALLOC_ARENA_MAX")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says when it is ready");
        Self { child, ready: serde_json::from_str(&line).expect("one line of JSON") }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn refusal(options: Options) -> String {
    let (_reload, reloads) = mpsc::channel(1);
    serve(options, |_| (), reloads, CancellationToken::new()).await.expect_err("refused").to_string()
}

fn options(data: &Path) -> Options {
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    Options {
        data: data.to_owned(),
        quic: any,
        broker: None,
        http: any,
        trusted: vec![device().public()],
        trust_file: None,
        allowance: Default::default(),
    }
}

fn device() -> Identity {
    Identity::from_seed(&[2; 32])
}

fn connector(coordinator: &str) -> Connector {
    Connector::new(device(), key_from_text(coordinator).expect("a key"), Limits::default())
}

/// Sends a report with this many items, and returns when it is confirmed.
async fn report(link: &mut Link, items: u64) {
    let sent_at = Moment::from_millis(1000 + items);
    let label = |text| Label::cut(text).expect("readable");
    let report = StatusReport {
        name: Some(label("attic")),
        os: label("Linux"),
        kernel: None,
        agent_version: label("0.1.0"),
        uptime_seconds: 1,
        boot: BootId::from_bytes([1; 16]),
        load_average: [Finite::default(); 3],
        cpu: Cpu { cores: 1, used_percent: None },
        memory: Memory { total_bytes: 2, used_bytes: 1 },
        disks: Few::default(),
        temperatures: Few::default(),
        counters: Counters { items, chunks: 0, jobs_pending: 0 },
        capture: Capture::Open,
        sent_at,
        report_every_seconds: 30,
    };
    link.send(&Letter::Report(Box::new(report)).to_bytes()).await.expect("sent");
    match Letter::from_bytes(&link.receive().await.expect("an answer")).expect("a letter") {
        Letter::Receipt(receipt) => assert_eq!(receipt.sent_at, sent_at),
        Letter::Report(_) => panic!("a report is no answer"),
    }
}

fn address(http: &str) -> SocketAddr {
    http.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "the test asks the page that it started on loopback")]
async fn get(at: SocketAddr, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

fn body(answer: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).expect("JSON")
}
