//! What may live on some devices of the fleet and nowhere else.

use crate::device::{Device, until};

/// Three devices; the NAS wrote of a boiler, which lives where it was captured.
fn three() -> [Device; 3] {
    let mut devices = ["nas", "laptop", "phone"].map(Device::new);
    devices[0].write("boiler.md", "The boiler was serviced in October by Lindqvist.");
    devices[1].write("bread.md", "Rye bread wants sourdough and caraway.");
    devices.iter_mut().for_each(Device::up);
    let [nas, laptop, phone] = &devices;
    nas.json(&["fleet", "create", "home", "--as", "nas"]);
    laptop.join(nas);
    phone.join(nas);
    for device in [nas, phone] {
        device.comes_to_find("sourdough", &["bread"]);
    }
    devices
}

/// Waits until this device has so many items of others.
fn comes_to_have(device: &Device, items: u64) {
    until(&format!("{} has {items} of others", device.name), || {
        let status = device.json(&["status"]);
        if status["from_fleet"] == items { Ok(()) } else { Err(status["from_fleet"].to_string()) }
    });
}

#[test]
fn what_lives_in_a_residency_is_on_its_homes_and_moves_as_its_owner_says() {
    let [mut nas, laptop, phone] = three();
    assert!(laptop.refused(&["fleet", "residency", "set", "study", "laptop"]).contains("only an admin"));
    assert!(nas.refused(&["session", "share", "--all", "--in", "study"]).contains("no residency of this name"));
    nas.json(&["fleet", "residency", "set", "study", "laptop"]);
    assert!(nas.refused(&["session", "share", "--all", "--in", "study"]).contains("no home of that residency"));
    nas.json(&["fleet", "residency", "set", "study", "nas", "laptop"]);
    nas.json(&["session", "share", "--all", "--in", "study"]);
    laptop.comes_to_find("Lindqvist", &["boiler"]);
    std::fs::create_dir(nas.dir.path().join("letters")).expect("made");
    // What comes after it, in the log that all have, has come: so would this, if it were to.
    nas.json(&[
        "session",
        "open",
        "--purpose",
        "letters",
        "--folder",
        nas.dir.path().join("letters").to_str().expect("text"),
    ]);
    std::fs::write(nas.dir.path().join("letters/tax.md"), "The tax letter lies in the blue folder.").expect("written");
    phone.comes_to_find("blue", &["tax"]);
    assert!(phone.finds("Lindqvist").is_empty());

    // To everybody, and back: the phone loses it, also after it was edited meanwhile.
    nas.json(&["session", "share", "--all"]);
    phone.comes_to_find("Lindqvist", &["boiler"]);
    nas.write("boiler.md", "The boiler is to be replaced by a heat pump.");
    phone.comes_to_find("pump", &["boiler"]);
    nas.json(&["session", "share", "--all", "--in", "study"]);
    phone.comes_to_find("pump", &[]);
    laptop.comes_to_find("pump", &["boiler"]);
    comes_to_have(&phone, 1);

    // It goes on where it lives, over a restart, and is forgotten everywhere from anywhere.
    nas.kill();
    nas.up();
    nas.write("meter.md", "The meter reads 4711.");
    laptop.comes_to_find("4711", &["meter"]);
    let id = laptop.json(&["search", "pump"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    laptop.json(&["forget", "--item", &id, "--yes"]);
    nas.comes_to_find("pump", &[]);

    // Taken away, it lives on its own device alone.
    nas.json(&["fleet", "residency", "remove", "study"]);
    laptop.comes_to_find("4711", &[]);
    assert_eq!(nas.finds("4711"), ["meter"]);
    assert!(phone.finds("4711").is_empty());
}

impl Device {
    /// Waits until this device has a note that another shares with all from now on.
    fn comes_to_find_after_it(&self, other: &Self) {
        let folder = other.dir.path().join("for all");
        std::fs::create_dir(&folder).expect("made");
        other.json(&["session", "open", "--purpose", "for all", "--folder", folder.to_str().expect("text")]);
        std::fs::write(folder.join("marker.md"), "A marker that comes after it.").expect("written");
        self.comes_to_find("marker", &["marker"]);
    }
}

#[test]
fn who_becomes_a_home_gets_what_is_there_and_who_is_none_any_more_nothing_new() {
    let [nas, laptop, phone] = three();
    nas.json(&["fleet", "residency", "set", "study", "nas", "laptop"]);
    nas.json(&["session", "share", "--all", "--in", "study"]);
    laptop.comes_to_find("Lindqvist", &["boiler"]);
    comes_to_have(&phone, 1);
    nas.json(&["fleet", "residency", "set", "study", "nas", "phone"]);
    phone.comes_to_find("Lindqvist", &["boiler"]);
    nas.write("meter.md", "The meter reads 4711.");
    phone.comes_to_find("4711", &["meter"]);
    // What all have and was written after it has come: so would this, if it were to.
    laptop.comes_to_find_after_it(&nas);
    assert!(laptop.finds("4711").is_empty());
}
