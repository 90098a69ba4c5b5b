//! Devices that are lost, replaced and leave: the fleet comes back from a sheet of paper, and nobody keeps what is not theirs.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::{
    device::{Device, holds_none_of, until},
    direct::pair,
    relay::apart,
};

impl Device {
    /// Runs a command to which something is typed.
    fn types(&self, args: &[&str], typed: &str) -> Output {
        let mut child = self
            .hearth(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("written");
        child.wait_with_output().expect("it ends")
    }

    fn recovers(&self, args: &[&str], words: &str) {
        let output = self.types(&[&["fleet", "recover"], args].concat(), words);
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
    }

    fn cannot_recover(&self, args: &[&str], words: &str, why: &str) {
        let output = self.types(&[&["fleet", "recover"], args].concat(), words);
        let said = String::from_utf8_lossy(&output.stderr);
        // Long sentences are broken into lines.
        let said = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(!output.status.success() && said.contains(why), "{}: {said}", self.name);
        let first = words.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        assert!(first.is_empty() || !said.contains(&first), "the words are not said again");
    }

    fn words_of_a_sheet(&self) -> String {
        self.json(&["fleet", "recovery-sheet"])["words"].as_str().expect("words").to_owned()
    }

    fn shares_of_a_sheet(&self, shares: &str, needed: &str) -> Vec<String> {
        let sheet = self.json(&["fleet", "recovery-sheet", "--shares", shares, "--needed", needed]);
        let shares = sheet["shares"].as_array().expect("a list").iter();
        shares.map(|share| share["words"].as_str().expect("words").to_owned()).collect()
    }

    fn fleet(&self) -> Value {
        self.json(&["fleet"])["fleet"].clone()
    }

    fn has_heard_of_the_sheet_of(&self, other: &Self) {
        until(&format!("{} has heard of the sheet", self.name), || {
            let (here, there) = (self.fleet()["sheet"]["id"].clone(), other.fleet()["sheet"]["id"].clone());
            if here == there && here.is_string() { Ok(()) } else { Err(here.to_string()) }
        });
    }

    fn member(&self, name: &str) -> Option<Value> {
        let devices = self.fleet()["devices"].as_array().cloned().unwrap_or_default();
        devices.into_iter().find(|device| device["name"] == name && device["standing"] == "member")
    }

    fn is_told_that_it_is_out(&self) {
        until(&format!("{} is told", self.name), || {
            let fleet = self.fleet().to_string();
            if fleet.contains("not in the fleet any more") { Ok(()) } else { Err(fleet) }
        });
    }
}

#[test]
fn when_the_admin_is_lost_another_device_of_the_fleet_takes_over_by_words_or_shares() {
    let (mut nas, mut laptop) = pair();
    assert!(laptop.refused(&["fleet", "recovery-sheet"]).contains("only an admin"));
    let old = nas.words_of_a_sheet();
    let older = nas.shares_of_a_sheet("3", "2");
    let shares = nas.shares_of_a_sheet("3", "2");
    laptop.has_heard_of_the_sheet_of(&nas);
    nas.kill();
    assert!(laptop.refused(&["fleet", "revoke", "nas", "--yes"]).contains("only an admin"));

    let cut = shares[1].rsplit_once(' ').expect("words").0;
    for (typed, why) in [
        (String::new(), "no words were given"),
        (old.clone(), "no recovery sheet of these words"),
        ("zoo ".repeat(24), "not those of a recovery sheet"),
        ("zoo ".repeat(23), "there are 23 words"),
        (shares[0].clone(), "1 different shares were given and 2 are needed"),
        (format!("{}\n{}", shares[0], older[1]), "do not belong together"),
        (format!("{}\n{}", older[0], older[1]), "no recovery sheet of these words"),
        (
            format!("{}\n{cut}", shares[0]),
            "line 2 is not a share: the words are not those that were written down: there are 39 words",
        ),
    ] {
        laptop.cannot_recover(&[], &typed, why);
    }
    let both = format!("{}\n{}\n", shares[2], shares[0]);
    laptop.cannot_recover(&["--at", "127.0.0.1:7845"], &both, "leave out --at");
    laptop.recovers(&[], &both);
    laptop.cannot_recover(&[], &both, "is an admin of the fleet already");
    laptop.json(&["fleet", "revoke", "nas", "--yes"]);
    assert!(laptop.member("nas").is_none() && laptop.member("laptop").expect("here")["admin"] == true);
    assert_eq!(laptop.finds("boiler"), ["boiler"], "what the lost one shared is there");

    // It rules, and whoever comes to it later reads what there was.
    let mut desktop = Device::new("desktop");
    desktop.up();
    desktop.join(&laptop);
    desktop.comes_to_find("boiler", &["boiler"]);
    nas.up();
    nas.is_told_that_it_is_out();
    for device in [&mut nas, &mut laptop, &mut desktop] {
        device.kill();
        let words: Vec<String> = [&old, &shares[0], &shares[2]]
            .iter()
            .map(|words| words.split(' ').take(4).collect::<Vec<_>>().join(" "))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        holds_none_of(&[device.data(), device.dir.path().join("log")], &words);
    }
}

#[test]
fn a_fresh_device_comes_back_by_the_sheet_from_a_device_that_is_left() {
    let (mut nas, laptop) = pair();
    nas.json(&["fleet", "rotate"]);
    let words = nas.words_of_a_sheet();
    laptop.has_heard_of_the_sheet_of(&nas);
    let id = nas.fleet()["id"].as_str().expect("an id").to_owned();
    nas.kill();
    let mut fresh = Device::new("fresh");
    fresh.write("tea.md", "The tea is on the upper shelf.");
    assert!(
        String::from_utf8_lossy(&fresh.types(&["fleet", "recover", "--at", &laptop.at()], &words).stderr)
            .contains("no daemon is running")
    );
    fresh.up();
    let other = "flt-00000000000000000000000000000001";
    fresh.cannot_recover(&[], &words, "name a device or relay of the fleet");
    fresh.cannot_recover(&["--at", &laptop.at(), "--fleet", other], &words, "the sheet is of flt-0000");
    fresh.cannot_recover(&["--at", &laptop.at(), "--key", &fresh.key], &words, "");
    let not_it = "abandon ".repeat(23) + "art";
    fresh.cannot_recover(&["--at", &laptop.at()], &not_it, "does not know this recovery sheet");
    assert!(fresh.fleet().is_null() && laptop.fleet()["devices"].as_array().expect("a list").len() == 2);

    fresh.recovers(&["--at", &laptop.at(), "--fleet", &id, "--as", "fresh"], &words);
    fresh.comes_to_find("boiler", &["boiler"]);
    fresh.comes_to_find("sourdough", &["bread"]);
    assert!(laptop.notices().contains("with the recovery sheet"), "{}", laptop.notices());
    fresh.json(&["session", "share", "--all"]);
    laptop.comes_to_find("shelf", &["tea"]);
    fresh.json(&["fleet", "revoke", "nas", "--yes"]);
    fresh.json(&["fleet", "revoke", "recovery sheet", "--yes"]);
    until("the laptop has heard of it", || match laptop.fleet()["sheet"] {
        Value::Null => Ok(()),
        ref sheet => Err(sheet.to_string()),
    });
    let mut late = Device::new("late");
    late.up();
    late.cannot_recover(&["--at", &laptop.at()], &words, "does not know this recovery sheet");
    assert!(late.fleet().is_null());
}

#[test]
fn when_every_device_is_lost_the_relay_gives_back_what_was_shared() {
    let (mut nas, mut laptop, relay) = apart();
    nas.up();
    let words = nas.words_of_a_sheet();
    nas.write("last.md", "The last thing written was about tulips.");
    nas.comes_to_find("tulips", &["last"]);
    nas.is_done_with_the_relay();
    nas.kill();
    laptop.kill();
    let mut fresh = Device::new("fresh");
    fresh.up();
    fresh.recovers(&["--at", &relay.at(), "--key", &relay.key, "--as", "fresh"], &words);
    for (word, title) in [("boiler", "boiler"), ("sourdough", "bread"), ("tulips", "last")] {
        fresh.comes_to_find(word, &[title]);
    }
    fresh.json(&["fleet", "revoke", "nas", "--yes"]);
    fresh.json(&["fleet", "revoke", "laptop", "--yes"]);
    fresh.is_done_with_the_relay();
    // The lost ones turn up again.
    nas.up();
    until("the NAS is not taken any more", || {
        let relay = nas.fleet()["relays"][0]["link"].to_string();
        if relay.contains("does not take this device") { Ok(()) } else { Err(relay) }
    });
}

#[test]
fn another_device_is_made_an_admin_and_the_last_one_stays_one() {
    let (nas, laptop) = pair();
    assert!(nas.refused(&["fleet", "admin", "remove", "nas"]).contains("only admin"));
    assert!(nas.refused(&["fleet", "leave", "--yes"]).contains("only admin"));
    assert!(laptop.refused(&["fleet", "admin", "add", "laptop"]).contains("only an admin"));
    nas.json(&["fleet", "admin", "add", "laptop"]);
    until("the laptop is an admin", || match laptop.member("laptop") {
        Some(device) if device["admin"] == true => Ok(()),
        other => Err(format!("{other:?}")),
    });
    laptop.json(&["fleet", "admin", "remove", "nas"]);
    until("the NAS is none", || match nas.member("nas") {
        Some(device) if device["admin"] == false => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(nas.refused(&["fleet", "rotate"]).contains("only an admin"));
}

#[test]
fn a_device_that_replaces_another_takes_its_name_and_the_other_is_out() {
    let (nas, laptop) = pair();
    assert!(nas.refused(&["fleet", "invite", "--replaces", "laptop"]).contains("add --yes"));
    assert!(nas.refused(&["fleet", "invite", "--replaces", "nobody", "--yes"]).contains("no device of the fleet"));
    assert!(nas.refused(&["fleet", "invite", "--replaces", "nas", "--yes"]).contains("another admin"));
    let before = nas.member("laptop").expect("a member")["id"].clone();
    let epoch = nas.fleet()["epoch"].as_u64().expect("a number");
    let invited = nas.json(&["fleet", "invite", "--replaces", "laptop", "--yes"]);
    let mut other = Device::new("other");
    other.up();
    let joined = other.types(&["join", "--at", &nas.at(), "--as", "other"], invited["code"].as_str().expect("words"));
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    other.comes_to_find("boiler", &["boiler"]);
    other.comes_to_find("sourdough", &["bread"]);
    let now = nas.member("laptop").expect("a member")["id"].clone();
    assert!(now != before && nas.member("other").is_none() && nas.fleet()["epoch"] == epoch + 1);
    assert!(nas.notices().contains("in the place of laptop"), "{}", nas.notices());
    laptop.is_told_that_it_is_out();
    nas.write("after.md", "Only for those who stay: the key is under the pot.");
    other.comes_to_find("pot", &["after"]);
    assert!(laptop.finds("pot").is_empty());
}

#[test]
fn a_device_that_leaves_keeps_its_own_and_nothing_else_and_may_go_elsewhere() {
    let (mut nas, mut laptop) = pair();
    laptop.json(&["session", "share", "--all"]);
    assert!(laptop.refused(&["fleet", "leave"]).contains("add --yes"));
    let keys_before = laptop.json(&["status"])["from_fleet"].clone();
    assert_eq!(keys_before, 1);
    let left = laptop.run(&["fleet", "leave", "--yes"]);
    let said = String::from_utf8_lossy(&left.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(left.status.success() && said.contains("`hearth fleet revoke laptop`"), "{said}");
    let is_alone = |laptop: &Device| {
        assert!(laptop.fleet().is_null(), "it is in no fleet");
        assert!(laptop.finds("boiler").is_empty());
        assert_eq!(laptop.finds("sourdough"), ["bread"]);
        let status = laptop.json(&["status"]);
        assert_eq!((&status["from_fleet"], &status["items"]), (&0.into(), &1.into()));
    };
    is_alone(&laptop);
    nas.write("after.md", "Written after it: the gate squeaks.");
    nas.comes_to_find("gate", &["after"]);
    assert_eq!(nas.finds("sourdough"), ["bread"], "what it shared stays with the others");
    assert!(laptop.finds("gate").is_empty());
    laptop.kill();
    holds_none_of(&[laptop.data(), laptop.dir.path().join("log")], &["Lindqvist", "boiler"]);
    assert!(!laptop.data().join("identity/fleet").exists() && !laptop.data().join("identity/fleet-left").exists());
    // Not even from its log does anything come back.
    assert!(laptop.run(&["state", "rebuild"]).status.success());
    laptop.up();
    is_alone(&laptop);
    nas.json(&["fleet", "revoke", "laptop", "--yes"]);
    nas.kill();

    let mut elsewhere = Device::new("elsewhere");
    elsewhere.up();
    elsewhere.found();
    laptop.join(&elsewhere);
    elsewhere.comes_to_find("sourdough", &["bread"]);
    laptop.write("new.md", "Written elsewhere: the lamp flickers.");
    elsewhere.comes_to_find("lamp", &["new"]);
    assert!(elsewhere.finds("boiler").is_empty());
    assert_eq!(elsewhere.fleet()["erased"], 0);
    laptop.kill();
    assert!(laptop.run(&["state", "rebuild"]).status.success());
    laptop.up();
    assert_eq!(laptop.finds("sourdough"), ["bread"]);
    laptop.is_linked_to(&elsewhere);
    elsewhere.write("more.md", "Written later elsewhere: the drawer sticks.");
    laptop.comes_to_find("drawer", &["more"]);
}

/// Two admins, of whom both must agree from now on.
fn two_admins() -> (Device, Device) {
    let (nas, laptop) = pair();
    nas.json(&["fleet", "admin", "add", "laptop"]);
    until("the laptop is an admin", || match laptop.member("laptop") {
        Some(device) if device["admin"] == true => Ok(()),
        other => Err(format!("{other:?}")),
    });
    (nas, laptop)
}

fn waiting(device: &Device) -> Vec<Value> {
    device.fleet()["waiting"].as_array().cloned().unwrap_or_default()
}

#[test]
fn what_needs_two_admins_waits_for_the_second_and_takes_the_key_along() {
    let (mut nas, mut laptop) = two_admins();
    let mut phone = Device::new("phone");
    phone.up();
    phone.join(&nas);
    assert!(nas.refused(&["fleet", "threshold", "3"]).contains("has 2 admins"));
    nas.json(&["fleet", "threshold", "2"]);
    until("the laptop has heard of it", || match laptop.fleet()["threshold"].as_u64() {
        Some(2) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let epoch = nas.fleet()["epoch"].as_u64().expect("a number");
    nas.json(&["fleet", "revoke", "phone", "--yes"]);
    assert!(nas.member("phone").is_some(), "one admin is not enough");
    let order = waiting(&nas)[0].clone();
    assert_eq!((&order["order"], &order["lacks"], &order["asked"]), (&"revoke phone".into(), &1.into(), &false.into()));
    let id = order["id"].as_str().expect("an id").to_owned();
    // It outlives both, and is passed on.
    nas.kill();
    nas.up();
    until("the laptop is asked", || match waiting(&laptop).first() {
        Some(order) if order["id"] == id.as_str() && order["asked"] == true => Ok(()),
        other => Err(format!("{other:?}")),
    });
    laptop.kill();
    laptop.up();
    assert!(laptop.refused(&["fleet", "approve", "00000000"]).contains("no order of this id"));
    laptop.json(&["fleet", "approve", &id]);
    assert!(laptop.member("phone").is_none() && waiting(&laptop).is_empty());
    until("the NAS has it too", || match nas.member("phone") {
        None => Ok(()),
        Some(phone) => Err(phone.to_string()),
    });
    assert!(waiting(&nas).is_empty() && !nas.notices().contains("came first"), "{}", nas.notices());
    assert_eq!((nas.fleet()["epoch"].as_u64(), laptop.fleet()["epoch"].as_u64()), (Some(epoch + 1), Some(epoch + 1)));
    phone.is_told_that_it_is_out();
    nas.write("after.md", "Only for those who stay: the shed has a new lock.");
    laptop.comes_to_find("shed", &["after"]);

    // Of two orders the one that is approved ends the other.
    nas.json(&["fleet", "rotate"]);
    laptop.json(&["fleet", "admin", "remove", "laptop"]);
    until("both wait", || match waiting(&nas).len() {
        2 => Ok(()),
        n => Err(n.to_string()),
    });
    let orders = waiting(&nas);
    let remove = orders.iter().find(|order| order["order"] == "admin remove laptop").expect("it waits");
    nas.json(&["fleet", "approve", remove["id"].as_str().expect("an id")]);
    assert!(waiting(&nas).is_empty() && nas.notices().contains("`rotate` waited"), "{}", nas.notices());
}

/// A key that nobody here has (RFC 8032 §7.1).
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn two_admins_who_changed_the_fleet_apart_choose_what_goes_on() {
    let (mut nas, mut laptop) = two_admins();
    laptop.kill();
    nas.json(&["fleet", "rotate"]);
    nas.kill();
    laptop.up();
    laptop.json(&["fleet", "relay", "add", "127.0.0.1:9", "--key", KEY]);
    nas.up();
    for device in [&nas, &laptop] {
        until("the fork is seen", || if device.fleet()["forked"] == true { Ok(()) } else { Err("no".into()) });
    }
    let sides = nas.fleet()["sides"].as_array().cloned().unwrap_or_default();
    let ours = sides.iter().find(|side| side["orders"] == "rotate").expect("a side");
    assert_eq!((sides.len(), &ours["by"][0]), (2, &"nas".into()), "{sides:?}");
    assert!(laptop.refused(&["fleet", "resolve", "00000000"]).contains("no side of this id"));
    laptop.json(&["fleet", "resolve", ours["id"].as_str().expect("an id")]);
    for device in [&nas, &laptop] {
        until("it goes on", || match device.fleet() {
            fleet
                if fleet["forked"] == false
                    && fleet["epoch"] == 2
                    && fleet["relays"].as_array().is_some_and(Vec::is_empty) =>
            {
                Ok(())
            }
            fleet => Err(fleet.to_string()),
        });
    }
    nas.write("after.md", "Written after it: the well is dry.");
    laptop.comes_to_find("well", &["after"]);
    laptop.write("also.md", "Written there: the pump hums.");
    nas.comes_to_find("pump", &["also"]);
}

#[test]
fn where_two_admins_must_agree_and_one_is_lost_the_sheet_is_the_other() {
    let (nas, mut laptop) = two_admins();
    let words = nas.words_of_a_sheet();
    nas.json(&["fleet", "threshold", "2"]);
    laptop.kill();
    nas.json(&["fleet", "revoke", "laptop", "--yes"]);
    assert!(nas.member("laptop").is_some());
    nas.cannot_recover(&[], &words, "is an admin of the fleet already");
    nas.cannot_recover(&["--approve", "00000000"], &words, "no order of this id");
    let id = waiting(&nas)[0]["id"].as_str().expect("an id").to_owned();
    nas.recovers(&["--approve", &id], &words);
    assert!(nas.member("laptop").is_none() && waiting(&nas).is_empty());
    laptop.up();
    laptop.is_told_that_it_is_out();
}

#[test]
fn a_device_that_left_comes_back_by_a_new_code() {
    let (mut nas, mut laptop) = pair();
    laptop.json(&["fleet", "leave", "--yes"]);
    laptop.write("away.md", "Written while it was away: the bell rings.");
    laptop.comes_to_find("bell", &["away"]);
    laptop.join(&nas);
    laptop.comes_to_find("boiler", &["boiler"]);
    nas.comes_to_find("bell", &["away"]);
    laptop.write("bread.md", "Rye bread wants patience and caraway.");
    nas.comes_to_find("patience", &["bread"]);
    nas.comes_to_find("sourdough", &[]);
    for device in [&mut nas, &mut laptop] {
        device.kill();
        device.up();
    }
    laptop.is_linked_to(&nas);
    for device in [&nas, &laptop] {
        assert!(!device.notices().contains("two different logs"), "{}: {}", device.name, device.notices());
        assert_eq!(device.json(&["status"])["items"], 3);
    }
}
