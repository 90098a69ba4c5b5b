//! Devices and a relay that have nothing in common but a broker.

use crate::{
    broker::Mosquitto,
    device::{Device, free_port, until},
    direct::pair,
    relay::Coordinator,
};

/// Two devices of a fleet and its relay, the devices asleep. The fleet knows the relay by an address at which nothing listens, and so do the
/// devices the coordinator that they report to; nobody finds anybody but through the broker.
fn apart() -> (Device, Device, Coordinator, Mosquitto) {
    let (mut nas, mut laptop) = pair();
    let broker = Mosquitto::new();
    let mut relay = Coordinator::new(&[&nas]);
    relay.arguments = broker.arguments();
    relay.up();
    let nowhere = format!("127.0.0.1:{}", free_port());
    for (device, version) in [(&mut nas, "3.1.1"), (&mut laptop, "5")] {
        device.kill();
        broker.serves(device, version);
        device.settings.push(("HEARTH_COORDINATOR_ADDRESS", nowhere.clone()));
        device.settings.push(("HEARTH_COORDINATOR_KEY", relay.key.clone()));
        device.settings.push(("HEARTH_COORDINATOR_REPORT_EVERY", "1s".into()));
        device.up();
    }
    nas.uses_at(&relay, &nowhere);
    for device in [&mut nas, &mut laptop] {
        device.has_embedded_all();
        device.is_done_with_the_relay();
        device.kill();
        device.moves();
    }
    (nas, laptop, relay, broker)
}

impl Device {
    /// What `hearth fleet` says to people, however it is broken into lines.
    fn fleet_in_words(&self) -> String {
        let said = String::from_utf8(self.run(&["fleet"]).stdout).expect("text");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Kills the broker as soon as what was just written is on its way, and has it back.
    fn writes_while_the_broker_dies(&self, broker: &mut Mosquitto, name: &str, text: &str, word: &str) {
        self.write(&format!("{name}.md"), text);
        self.comes_to_find(word, &[name]);
        broker.kill();
        until("the device says that the broker is gone", || {
            let used = self.json(&["fleet"])["fleet"]["broker"].clone();
            if used["connected"] == false { Ok(()) } else { Err(used.to_string()) }
        });
        broker.up();
        self.is_done_with_the_relay();
    }
}

#[test]
fn what_one_captured_the_other_finds_though_only_a_broker_leads_to_the_relay_and_dies_on_the_way() {
    let (mut nas, mut laptop, relay, mut broker) = apart();
    nas.up();
    nas.is_done_with_the_relay();
    let link = nas.json(&["fleet"])["fleet"]["relays"][0]["link"].clone();
    assert_eq!(link["through_broker"], true, "{link}");
    let said = nas.fleet_in_words();
    assert!(said.contains("through the broker"), "{said}");
    let text = "The heating engineer comes on the ninth of March.";
    nas.writes_while_the_broker_dies(&mut broker, "heating", text, "engineer");
    nas.has_embedded_all();
    nas.is_done_with_the_relay();
    nas.kill();

    laptop.up();
    laptop.comes_to_find("engineer", &["heating"]);
    let text = "The laptop answers through the relay: bring a ladder.";
    laptop.writes_while_the_broker_dies(&mut broker, "answer", text, "ladder");
    laptop.kill();

    nas.up();
    nas.comes_to_find("ladder", &["answer"]);
    nas.kill();
    laptop.up();
    laptop.is_done_with_the_relay();
    assert_eq!(laptop.json(&["status"])["items"], 4, "no more, no less");
    until("the relay shows that both have reported, through the broker", || {
        let shown = relay.shown();
        let reported = shown["nodes"].as_array().map_or(0, Vec::len);
        if reported == 2 && shown["broker"]["connected"] == true { Ok(()) } else { Err(shown.to_string()) }
    });
}

#[test]
fn a_relay_that_has_a_broker_and_is_reached_directly_is_linked_directly() {
    let (nas, _laptop) = pair();
    let mut broker = Mosquitto::new();
    let mut relay = Coordinator::new(&[&nas]);
    relay.arguments = broker.arguments();
    broker.kill();
    relay.up();
    nas.uses(&relay);
    nas.is_done_with_the_relay();
    let link = nas.json(&["fleet"])["fleet"]["relays"][0]["link"].clone();
    assert_eq!(link["through_broker"], false, "{link}");
    let problems = relay.shown()["problems"].to_string();
    assert!(problems.contains("no device can come through the broker"), "{problems}");
}
