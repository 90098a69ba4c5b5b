//! Two people with a fleet each, who share a relay and nothing else.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::{
    device::{Device, holds_none_of, until},
    relay::Coordinator,
};

/// What `hearth join` says with this code.
fn joining(device: &Device, code: &str, arguments: &[&str]) -> Output {
    let mut child = device
        .hearth(&[&["join", "--as", device.name], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(code.as_bytes()).expect("written");
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code_for_a_person(device: &Device) -> String {
    device.json(&["fleet", "invite", "--person"])["code"].as_str().expect("words").to_owned()
}

fn guests(device: &Device) -> Value {
    device.json(&["fleet"])["fleet"]["guests"].clone()
}

#[test]
fn a_person_with_a_fleet_of_their_own_shares_the_relay_and_not_a_word() {
    let (mut nas, mut bobs, mut phone) = (Device::new("nas"), Device::new("bobs"), Device::new("phone"));
    nas.write("boiler.md", "The boiler was serviced in October by Lindqvist.");
    bobs.write("diary.md", "Dear diary, the surprise party is at the boathouse.");
    for device in [&mut nas, &mut bobs, &mut phone] {
        device.up();
    }
    nas.found();
    let mut relay = Coordinator::new(&[&nas]);
    relay.up();
    assert!(nas.refused(&["fleet", "invite", "--person"]).contains("this fleet has none"), "nothing to share yet");
    nas.uses(&relay);
    nas.is_done_with_the_relay();

    // Each kind of code says what it is for, and stays good.
    let (code, at) = (code_for_a_person(&nas), nas.at());
    let mistaken = joining(&bobs, &code, &["--at", &at]);
    assert!(!mistaken.status.success() && said(&mistaken).contains("hearth join --own NAME"), "{}", said(&mistaken));
    assert!(bobs.json(&["fleet"])["fleet"].is_null(), "it is in no fleet");
    let joined = joining(&bobs, &code, &["--at", &at, "--own", "bob"]);
    assert!(joined.status.success(), "{}", said(&joined));
    let own = bobs.json(&["fleet"])["fleet"].clone();
    assert_eq!((&own["name"], own["devices"].as_array().map(Vec::len)), (&"bob".into(), Some(1)), "{own}");
    assert_eq!(own["relays"][0]["address"], relay.at(), "{own}");
    assert_eq!(guests(&nas)[0]["id"], own["id"]);
    assert!(nas.notices().contains("a fleet of somebody else"), "{}", nas.notices());
    // Who lost the answer asks again; another name is another fleet, of which a device has one.
    let again = joining(&bobs, &code_for_a_person(&nas), &["--at", &at, "--own", "bob"]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(guests(&nas).as_array().map(Vec::len), Some(1));
    let other = joining(&bobs, &code_for_a_person(&nas), &["--at", &at, "--own", "robert"]);
    assert!(said(&other).contains("in the fleet `bob` already"), "{}", said(&other));
    let device = joining(&phone, &nas.code(), &["--at", &at, "--own", "bob"]);
    assert!(!device.status.success() && said(&device).contains("hearth fleet invite --person"), "{}", said(&device));
    assert!(phone.json(&["fleet"])["fleet"].is_null(), "who was not let in has begun nothing");

    // The operator named the NAS alone, and the guest's devices meet at the relay.
    bobs.json(&["session", "share", "--all"]);
    phone.join(&bobs);
    phone.comes_to_find("boathouse", &["diary"]);
    bobs.is_done_with_the_relay();
    bobs.kill();
    phone.kill();
    phone.moves();
    bobs.moves();
    phone.up();
    phone.write("list.md", "Balloons for the boathouse, forty of them.");
    phone.comes_to_find("balloons", &["list"]);
    phone.is_done_with_the_relay();
    phone.kill();
    bobs.up();
    bobs.comes_to_find("balloons", &["list"]);
    assert!(bobs.finds("boiler").is_empty() && nas.finds("boathouse").is_empty());
    let secret = ["boathouse", "balloons", "diary", "Lindqvist"];
    assert!(holds_none_of(&[relay.data(), nas.data()], &secret[..3]) > 0);
    assert!(holds_none_of(&[bobs.data()], &secret) > 0);
    let fleets = relay.shown()["relay"]["fleets"].clone();
    assert_eq!(fleets.as_array().map(Vec::len), Some(2), "{fleets}");

    // Who asked it in asks it out; the guest keeps its fleet and its things.
    nas.json(&["fleet", "guest", "remove", "bob", "--yes"]);
    until("the relay does not take the guest any more", || {
        let relays = bobs.json(&["fleet"])["fleet"]["relays"].to_string();
        if relays.contains("whose guest this one was") { Ok(()) } else { Err(relays) }
    });
    assert!(nas.refused(&["fleet", "guest", "remove", "bob", "--yes"]).contains("no guest of this name"));
    assert_eq!(bobs.finds("boathouse"), ["diary", "list"]);
    nas.write("after.md", "The chimney sweep comes on Monday.");
    nas.is_done_with_the_relay();
}
