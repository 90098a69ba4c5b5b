//! Two devices on a network of their own, in network namespaces: they find each other with new addresses and nobody in between.
//!
//! Needs root and `ip`; where either is missing, it says so and is left out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::device::{self, Device};

fn ip(args: &str) -> bool {
    let output = Command::new("ip").args(args.split_whitespace()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Two namespaces with a cable between them, gone when dropped.
struct Cable {
    /// What tells its names from those of others.
    id: String,
    names: [String; 2],
}

impl Cable {
    fn new() -> Option<Self> {
        // Several tests may run in one process. An interface's name has 15 letters at most.
        static CABLES: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}x{}", std::process::id(), CABLES.fetch_add(1, Ordering::SeqCst));
        let names = [format!("hearth-a{id}"), format!("hearth-b{id}")];
        let cable = Self { id: id.clone(), names };
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
        let id = &self.id;
        for (nth, (side, name)) in ["ha", "hb"].iter().zip(&self.names).enumerate() {
            assert!(ip(&format!("-n {name} addr flush dev {side}{id} scope global")));
            assert!(ip(&format!("-n {name} addr add 10.77.{net}.{}/24 dev {side}{id}", nth + 1)));
        }
    }

    /// The address of a side's network card.
    fn card(&self, side: usize) -> String {
        let (id, letter) = (&self.id, ["ha", "hb"][side]);
        let args = ["netns", "exec", &self.names[side], "cat", &format!("/sys/class/net/{letter}{id}/address")];
        let output = Command::new("ip").args(args).output().expect("there is `ip`");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&format!("netns delete {name}"));
        }
    }
}

/// How long it takes until it is so.
fn until(what: &str, mut look: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    device::until(what, || if look() { Ok(()) } else { Err("not yet".into()) });
    begun.elapsed()
}

/// Two devices, one on each side of a cable: the NAS shares a note with the fleet that it founds, and the laptop comes into it and finds it.
fn joined(cable: &Cable) -> [Device; 2] {
    let [a, b] = &cable.names;
    let (mut nas, mut laptop) = (Device::on(a, "nas"), Device::on(b, "laptop"));
    nas.write("boiler.md", "The boiler was serviced in October.");
    nas.up();
    laptop.up();
    nas.comes_to_find("boiler", &["boiler"]);
    let begun = Instant::now();
    nas.json(&["fleet", "create", "home", "--as", "nas"]);
    nas.json(&["session", "share", "--all"]);
    let invited = nas.json(&["fleet", "invite"]);
    let (code, at) = (invited["code"].as_str().expect("words"), invited["at"][0].as_str().expect("an address"));
    assert_eq!(at, "10.77.1.1:7845");
    let mut joining =
        laptop.hearth(&["join", "--at", at, "--as", "laptop"]).stdin(Stdio::piped()).spawn().expect("started");
    joining.stdin.take().expect("piped").write_all(code.as_bytes()).expect("written");
    assert!(joining.wait().expect("it ends").success());
    laptop.comes_to_find("boiler", &["boiler"]);
    println!("joined and found after {} ms", begun.elapsed().as_millis());
    [nas, laptop]
}

#[test]
fn two_devices_on_one_network_find_each_other_under_new_addresses() {
    let Some(cable) = Cable::new() else {
        return println!("left out: it needs root and `ip` to make two network namespaces");
    };
    let [mut nas, mut laptop] = joined(&cable);

    // Both come back somewhere else, and neither address that is remembered leads anywhere.
    nas.stop();
    laptop.stop();
    cable.number(2);
    nas.write("fence.md", "The fence wants oak posts.");
    nas.up();
    nas.comes_to_find("posts", &["fence"]);
    laptop.up();
    let linked = until("they are linked", || laptop.link_to(&nas) == "linked");
    let found = until("what is new is found", || laptop.finds("posts") == ["fence"]);
    println!("found on the network after {} ms, its note {} ms later", linked.as_millis(), found.as_millis());
}

/// Ends well once a packet came that wakes the card whose address it is given, and badly when none comes.
const SLEEPER: &str = "
import socket, sys
card = bytes.fromhex(sys.argv[1].replace(':', ''))
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(('', 9))
heard.settimeout(120)
print('asleep', flush=True)
while heard.recv(200) != b'\\xff' * 6 + card * 16:
    pass
";

#[test]
fn a_search_wakes_who_sleeps_and_finds_what_it_has() {
    let Some(cable) = Cable::new() else {
        return println!("left out: it needs root and `ip` to make two network namespaces");
    };
    let [mut nas, laptop] = joined(&cable);
    laptop.is_linked_to(&nas);
    nas.json(&["session", "share", "--all", "--live"]);
    until("the laptop has it no more, and finds it", || {
        laptop.json(&["status"])["from_fleet"] == 0 && laptop.finds("boiler") == ["boiler"]
    });
    // The laptop asks how it is woken as soon as they are linked; it says so when it is asked to wake it.
    nas.stop();
    let card = cable.card(0);
    let mut sleeper = Command::new("ip")
        .args(["netns", "exec", &cable.names[0], "/usr/bin/python3", "-c", SLEEPER, &card])
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is Python");
    let mut line = String::new();
    BufReader::new(sleeper.stdout.take().expect("piped")).read_line(&mut line).expect("it says that it sleeps");
    until("the laptop has noticed", || laptop.link_to(&nas) != "linked");
    assert!(laptop.finds("boiler").is_empty());
    let mut searching = laptop.hearth(&["search", "boiler", "--wake", "--mode", "keyword", "--json"]);
    let searching = searching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    assert!(sleeper.wait().expect("it ends").success(), "the packet came");
    nas.up();
    let output = searching.wait_with_output().expect("it ends");
    let (found, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_str(&found).expect("one JSON document");
    assert_eq!(found["hits"][0]["title"], "boiler", "{found}");
    assert!(said.contains("waking nas: how long it takes is not known yet"), "{said}");
    assert_eq!(
        laptop.json(&["search", "boiler", "--wake"])["hits"][0]["title"],
        "boiler",
        "who is awake is not waited for"
    );
}
