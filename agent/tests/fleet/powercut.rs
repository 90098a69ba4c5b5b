//! Power cuts: whatever was not made sure of by an `fsync` is gone, and nothing that was acknowledged is.
//!
//! A kill alone proves little, for the kernel still writes what a killed program wrote. Here a small library (`powercut.c`) puts aside
//! what the program made sure of, and after each kill that is all there is.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::device::{Device, dice, until};

/// The library, built by the compiler that links the program.
struct Library {
    dir: tempfile::TempDir,
}

impl Library {
    fn build() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fleet/powercut.c");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(dir.path().join("powercut.so")).arg(source);
        let status = cc.args(["-ldl", "-lpthread"]).status();
        assert!(status.expect("there is a C compiler, which links Rust programs, too").success());
        Self { dir }
    }
}

/// A device whose power can fail.
struct OnMains {
    device: Device,
    shadow: PathBuf,
}

impl OnMains {
    fn new(name: &'static str, library: &Library) -> Self {
        let mut device = Device::new(name);
        let root = fs::canonicalize(device.dir.path()).expect("it is there").join("data");
        let shadow = root.with_file_name("shadow");
        fs::create_dir(&shadow).expect("made");
        let text = |path: PathBuf| path.to_str().expect("text").to_owned();
        device.settings = vec![
            ("LD_PRELOAD", text(library.dir.path().join("powercut.so"))),
            ("POWERCUT_ROOT", text(root)),
            ("POWERCUT_SHADOW", text(shadow.clone())),
        ];
        Self { device, shadow }
    }

    /// From now on nothing is made sure of, whatever the disk says.
    fn disk_lies(&self) {
        fs::write(self.shadow.join("lies"), "").expect("written");
    }

    /// Kills the program, and puts its folder back as the disk has it.
    fn power_fails(&mut self) {
        self.device.kill();
        let names = fs::read_to_string(self.shadow.join("names")).expect("something was made sure of");
        let mut files = HashMap::new();
        let mut folders = vec![self.device.data()];
        for line in names.lines() {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("a kind, an identity and a path");
            let (kind, identity, path) = (word(), word(), word());
            let path = self.device.data().join(path.trim_start_matches('/'));
            match kind {
                "d" => folders.push(path),
                _ => drop(files.insert(path, self.shadow.join(identity))),
            }
        }
        for folder in &folders {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("made");
        }
        // Written over in place: a file that stays is the same file.
        for (path, aside) in &files {
            let content = fs::read(aside).unwrap_or_default();
            let mut open = fs::OpenOptions::new();
            let file = open.write(true).create(true).truncate(true).mode(0o600).open(path).expect("opened");
            std::io::Write::write_all(&mut &file, &content).expect("written");
        }
        let mut looked_into = folders;
        while let Some(folder) = looked_into.pop() {
            for entry in fs::read_dir(&folder).expect("listed").flatten() {
                if entry.file_type().expect("known").is_file() && !files.contains_key(&entry.path()) {
                    fs::remove_file(entry.path()).expect("removed");
                }
            }
        }
    }
}

/// Two devices on mains that share everything.
fn pair(library: &Library) -> [OnMains; 2] {
    let [mut nas, mut laptop] = ["nas", "laptop"].map(|name| OnMains::new(name, library));
    nas.device.up();
    laptop.device.up();
    nas.device.found();
    laptop.device.join(&nas.device);
    nas.device.is_linked_to(&laptop.device);
    [nas, laptop]
}

/// Writes a note and waits until it was acknowledged: by the NAS to its owner, and by the laptop to the NAS.
fn acknowledged(nas: &Device, laptop: &Device, name: &str, word: &str) {
    nas.write(&format!("{name}.md"), &format!("Written so as not to be lost: {word}."));
    nas.comes_to_find(word, &[name]);
    until("the laptop has said that it has everything", || {
        let fleet = nas.json(&["fleet"]);
        let devices = fleet["fleet"]["devices"].as_array().cloned().unwrap_or_default();
        let link = devices.iter().find(|device| device["name"] == laptop.name).expect("a member")["link"].clone();
        if link["behind"] == 0 { Ok(()) } else { Err(link.to_string()) }
    });
}

fn survive_power_cuts(rounds: u64) {
    let library = Library::build();
    let [mut nas, mut laptop] = pair(&library);
    let mut roll = dice();
    for round in 0..rounds {
        let (name, word) = (format!("note {round}"), format!("quux{round}"));
        acknowledged(&nas.device, &laptop.device, &name, &word);
        // The author first loses what it said to its owner, or the other what it said to the author.
        let (first, second) = if roll(2) == 0 { (&mut nas, &mut laptop) } else { (&mut laptop, &mut nas) };
        first.power_fails();
        second.power_fails();
        first.device.up();
        assert_eq!(first.device.finds(&word), [name.as_str()], "{} lost it in round {round}", first.device.name);
        second.device.up();
    }
    for device in [&nas.device, &laptop.device] {
        for round in 0..rounds {
            device.comes_to_find(&format!("quux{round}"), &[&format!("note {round}")]);
        }
        assert!(!device.notices().contains("two different logs"), "{}: {}", device.name, device.notices());
    }
    println!("{} power cuts: nothing that was acknowledged is lost", 2 * rounds);
}

#[test]
fn ten_power_cuts_lose_nothing_that_was_acknowledged() {
    survive_power_cuts(5);
}

#[test]
#[ignore = "soak: each cut takes about a second"]
fn a_thousand_power_cuts_lose_nothing_that_was_acknowledged() {
    survive_power_cuts(500);
}

/// The control: on a disk that lies, what was acknowledged is lost, and it is seen.
#[test]
fn without_fsync_the_same_cut_loses_it() {
    let library = Library::build();
    let [mut nas, mut laptop] = pair(&library);
    acknowledged(&nas.device, &laptop.device, "before", "honest");
    laptop.disk_lies();
    acknowledged(&nas.device, &laptop.device, "after", "lies");
    nas.power_fails();
    laptop.power_fails();
    laptop.device.up();
    assert_eq!(laptop.device.finds("honest"), ["before"]);
    assert!(laptop.device.finds("lies").is_empty(), "the harness sees no loss where there must be one");
}
