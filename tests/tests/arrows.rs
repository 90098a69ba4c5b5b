//! Which crate may lean on which, and what each room may do.
//!
//! Manifests and sources are read as they lie in the repository; nothing is compiled and nothing outside is read.
#![forbid(unsafe_code)]

#[path = "arrows/manifests.rs"]
mod manifests;
#[path = "arrows/sources.rs"]
mod sources;

use manifests::{Kind, Manifest};
use sources::Source;
use std::path::Path;

/// The arrows of the design: a crate, and the crates of ours that it may name.
const ARROWS: [(&str, &[&str]); 11] = [
    ("hearth-core", &[]),
    ("hearth-simd", &[]),
    ("hearth-text", &["hearth-core", "hearth-simd"]),
    ("hearth-link", &["hearth-core"]),
    ("hearth-search", &["hearth-core", "hearth-simd", "hearth-text"]),
    ("hearth-store", &["hearth-core"]),
    ("hearth-agent", &["hearth-core", "hearth-link", "hearth-search", "hearth-store", "hearth-text"]),
    ("hearth-coordinator", &["hearth-core", "hearth-link"]),
    ("hearth-tests", &[]),
    ("hearth-fuzz", &["hearth-core", "hearth-link", "hearth-store", "hearth-text"]),
    ("xtask", &[]),
];

#[test]
fn every_arrow_is_in_the_table() {
    for manifest in Manifest::all() {
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == manifest.name)
            .unwrap_or_else(|| panic!("{} is not in the table of arrows; a new crate needs a decision", manifest.name));
        for dependency in manifest.dependencies.iter().filter(|it| ARROWS.iter().any(|(name, _)| *name == it.name)) {
            // The tests may lean on anything while they run; nothing leans on them.
            let of_tests = manifest.name == "hearth-tests" && dependency.kind == Kind::Dev;
            assert!(
                of_tests || allowed.contains(&dependency.name.as_str()),
                "{} may not lean on {} ({:?}); write the decision in docs/adr/ first",
                manifest.name,
                dependency.name,
                dependency.kind
            );
        }
    }
}

#[test]
fn every_crate_of_the_table_exists() {
    let manifests = Manifest::all();
    for (name, _) in ARROWS {
        assert!(manifests.iter().any(|manifest| manifest.name == name), "{name} is in the table and nowhere else");
    }
}

#[test]
fn a_pure_crate_brings_no_clock_no_socket_and_no_randomness_along() {
    let banned =
        ["tokio", "rand", "getrandom", "quinn", "hyper", "axum", "sled", "notify", "rustix", "sysinfo", "jiff"];
    for manifest in Manifest::all() {
        if !["hearth-core", "hearth-simd", "hearth-text", "hearth-search"].contains(&manifest.name.as_str()) {
            continue;
        }
        for dependency in manifest.dependencies.iter().filter(|it| it.kind == Kind::Normal) {
            assert!(!banned.contains(&dependency.name.as_str()), "{} leans on {}", manifest.name, dependency.name);
        }
    }
}

#[test]
fn versions_stand_in_one_list() {
    for manifest in Manifest::all() {
        for dependency in &manifest.dependencies {
            assert!(
                dependency.from_workspace,
                "{} names its own version of {}; put it in the root Cargo.toml and write `workspace = true`",
                manifest.name, dependency.name
            );
        }
    }
}

#[test]
fn lints_and_edition_are_the_workspaces() {
    for manifest in Manifest::all() {
        assert!(manifest.inherits_lints, "{} lacks `[lints] workspace = true`", manifest.name);
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            assert!(manifest.inherits(key), "{} lacks `{key}.workspace = true`", manifest.name);
        }
    }
}

#[test]
fn unsafe_has_one_room() {
    for source in Source::all() {
        if source.is_under("simd") || source.is_under("agent/src/os") {
            continue;
        }
        source.assert_lacks_word("unsafe", "`unsafe` lives in simd/ and agent/src/os/");
    }
}

#[test]
fn every_crate_root_forbids_unsafe() {
    for source in Source::all().iter().filter(|source| source.is_crate_root()) {
        let wanted = match source.path.as_str() {
            "simd/src/lib.rs" => continue,
            // Its one module of system calls says `expect(unsafe_code)` with a reason; `forbid` would not let it.
            "agent/src/lib.rs" => ["#![deny(unsafe_code)]", "#![forbid(unsafe_code)]"],
            _ => ["#![forbid(unsafe_code)]"; 2],
        };
        assert!(wanted.iter().any(|it| source.code.contains(it)), "{} lacks `{}`", source.path, wanted[0]);
    }
}

/// What opens or uses an outbound socket.
const OUTBOUND: [&str; 14] = [
    "TcpStream::connect",
    "TcpSocket",
    "UdpSocket",
    "Socket::new",
    ".send_to(",
    "Endpoint",
    "TcpStream::connect_timeout",
    "Connector",
    "client::legacy",
    "rustix::net",
    "reqwest",
    "ureq",
    "ToSocketAddrs",
    "lookup_host",
];

/// Who may, and why.
const OUTBOUND_ALLOWED: [(&str, &str); 9] = [
    ("link/src", "carries frames between device and coordinator; the agent's gate hands it the permission"),
    ("agent/src/egress", "the default-deny gate itself, which tells the audit of every socket"),
    ("agent/src/fleet/mod.rs", "asks the gate about the coordinator's address, then lets link connect to it"),
    ("agent/src/fleet/peers.rs", "asks the gate about each node's address, then lets link connect to it"),
    ("agent/src/fleet/joining.rs", "is called once the gate was asked about the address, then lets link connect to it"),
    (
        "agent/src/fleet/recovering.rs",
        "is called once the gate was asked about the address, then lets link connect to it",
    ),
    (
        "agent/src/fleet/waking.rs",
        "asks the gate about each network's address of all, then sends the packet that wakes",
    ),
    ("agent/src/bench/federation.rs", "connects two processes of its own on loopback"),
    ("xtask/src/product/mod.rs", "asks the demo's own coordinator on loopback for its list of nodes"),
];

#[test]
fn nothing_connects_but_through_the_gate() {
    for source in Source::all().iter().filter(|source| source.is_shipped()) {
        if OUTBOUND_ALLOWED.iter().any(|(place, _)| source.is_under(place)) {
            continue;
        }
        for pattern in OUTBOUND {
            source.assert_lacks(pattern, "outbound sockets are opened in link/ and agent/src/egress only");
        }
    }
}

#[test]
fn only_link_brings_a_transport_along() {
    for manifest in Manifest::all().iter().filter(|manifest| manifest.name != "hearth-link") {
        for dependency in manifest.dependencies.iter().filter(|it| it.kind == Kind::Normal) {
            let transport =
                ["quinn", "quinn-proto", "rustls", "tokio-rustls", "rumqttc", "reqwest", "ureq", "socket2", "mdns-sd"];
            assert!(!transport.contains(&dependency.name.as_str()), "{} leans on {}", manifest.name, dependency.name);
        }
    }
}

#[test]
fn each_place_that_may_connect_exists() {
    for (place, _) in OUTBOUND_ALLOWED {
        let exists = Source::all().iter().any(|source| source.is_under(place));
        assert!(exists, "{place} may connect and does not exist; take it off the table");
    }
}

#[test]
fn search_computes_on_bytes_it_is_handed() {
    for source in Source::all().iter().filter(|source| source.is_under("agent/search/src")) {
        for pattern in ["std::fs", "fs::", "net::", "process::", "env::var", "tokio::", "File::open", "File::create"] {
            source.assert_lacks(pattern, "search touches neither disk nor network; take bytes or a trait");
        }
    }
}

#[test]
fn the_store_neither_awaits_nor_connects() {
    for manifest in Manifest::all().iter().filter(|manifest| manifest.name == "hearth-store") {
        for dependency in manifest.dependencies.iter().filter(|it| it.kind == Kind::Normal) {
            let banned = ["tokio", "quinn", "hyper", "axum", "hearth-text", "hearth-link"];
            assert!(!banned.contains(&dependency.name.as_str()), "{} leans on {}", manifest.name, dependency.name);
        }
    }
    for source in Source::all().iter().filter(|source| source.is_under("agent/store/src")) {
        for pattern in ["net::", "async fn", ".await", "process::", "env::var"] {
            source.assert_lacks(pattern, "the store keeps what it is handed on this disk and does nothing else");
        }
    }
}

#[test]
fn core_text_and_simd_are_pure() {
    let impure = [
        ("SystemTime", "time is handed in as a `Moment`"),
        ("Instant", "time is handed in as a `Moment`"),
        ("std::fs", "files are the shell's"),
        ("fs::", "files are the shell's"),
        ("TcpStream", "sockets are the shell's; addresses are values and welcome"),
        ("TcpListener", "sockets are the shell's"),
        ("UdpSocket", "sockets are the shell's"),
        ("UnixStream", "sockets are the shell's"),
        ("ToSocketAddrs", "names are looked up by the shell"),
        ("process::", "processes are the shell's"),
        ("thread::", "threads are the shell's"),
        ("env::", "settings are handed in"),
        ("io::stdin", "input is handed in"),
        ("tokio::", "nothing here awaits"),
        ("async fn", "nothing here awaits"),
        (".await", "nothing here awaits"),
        ("getrandom", "entropy is handed in"),
        ("thread_rng", "entropy is handed in"),
        ("OsRng", "entropy is handed in"),
        ("rand::", "entropy is handed in"),
    ];
    let rooms = ["core/src", "text/src", "simd/src"];
    for source in Source::all().iter().filter(|source| rooms.iter().any(|room| source.is_under(room))) {
        for (pattern, reason) in impure {
            source.assert_lacks(pattern, reason);
        }
    }
}

#[test]
fn the_coordinator_cannot_name_text() {
    for source in Source::all() {
        if source.is_under("coordinator") || source.is_under("link") || source.is_under("core") {
            source.assert_lacks("hearth_text", "only crates on a device know of text");
        }
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    const LINES_MAX: usize = 900;
    for source in Source::all() {
        assert!(source.lines <= LINES_MAX, "{} has {} lines; split it by what it does", source.path, source.lines);
    }
}

#[test]
fn names_are_nouns_of_the_domain() {
    for source in Source::all() {
        for vague in ["utils", "util", "common", "manager", "helpers", "misc"] {
            let named = source.path.split('/').any(|part| part == vague || part.strip_suffix(".rs") == Some(vague));
            assert!(!named, "{} is not one thing yet; name what it is", source.path);
        }
    }
}

#[test]
fn an_ignored_test_is_a_long_test() {
    for source in Source::all() {
        for (number, line) in source.text.lines().enumerate() {
            let line = line.trim();
            let ignored = line.starts_with("#[ignore") && !line.starts_with("#[ignore = \"soak: ");
            assert!(
                !ignored,
                "{}:{}: write `#[ignore = \"soak: …\"]`, which `cargo xtask soak` runs, or let the test run",
                source.path,
                number + 1
            );
        }
    }
}

#[test]
fn every_room_says_what_belongs_in_it() {
    let rooms = [
        "core",
        "simd",
        "text",
        "link",
        "agent",
        "agent/search",
        "agent/store",
        "coordinator",
        "wasm-plugins",
        "firmware-manifests",
        "ansible",
        "docs",
        "tests",
        "xtask",
    ];
    for room in rooms {
        let readme = sources::root().join(room).join("README.md");
        let text = std::fs::read_to_string(&readme).unwrap_or_default();
        assert!(text.lines().count() >= 3, "{room}/README.md does not say what belongs there");
    }
}

#[test]
fn the_table_reads_what_is_there() {
    let sources = Source::all();
    assert!(sources.iter().any(|source| source.path == "core/src/lib.rs"), "the core was not found");
    assert!(sources.iter().any(|source| source.path == "tests/tests/arrows.rs"), "this file was not found");
    assert!(!sources.iter().any(|source| source.path.starts_with("target/")), "build outputs were read");
    assert!(Path::new(sources::root()).join("Cargo.toml").is_file());
}
