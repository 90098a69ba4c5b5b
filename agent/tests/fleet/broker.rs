//! Devices that cannot reach each other and meet through an MQTT broker.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    device::{Device, until},
    direct::pair,
};

/// A mosquitto of our own, with a password and nothing that outlives it.
pub(crate) struct Mosquitto {
    dir: tempfile::TempDir,
    port: u16,
    running: Option<Child>,
}

impl Mosquitto {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // The socket is let go at once; that somebody else takes the port in between is not worth guarding against.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let passwords = dir.path().join("passwords");
        let made =
            Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["hearth", "sesame"]).status();
        assert!(made.expect("mosquitto is installed: apt-get install mosquitto").success());
        let settings = format!(
            "listener {port} 127.0.0.1\nuser root\npersistence false\nallow_anonymous false\npassword_file {}\n",
            passwords.display()
        );
        fs::write(dir.path().join("settings"), settings).expect("written");
        let secret = dir.path().join("secret");
        fs::write(&secret, "sesame\n").expect("written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("set");
        let mut broker = Self { dir, port, running: None };
        broker.up();
        broker
    }

    pub(crate) fn up(&mut self) {
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
        let program = program.iter().find(|path| Path::new(path).exists()).expect("apt-get install mosquitto");
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.path().join("settings")).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(command.spawn().expect("it starts"));
        let at = ("127.0.0.1", self.port);
        until("mosquitto listens", || TcpStream::connect(at).map(drop).map_err(|error| error.to_string()));
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().expect("killed");
            running.wait().expect("reaped");
        }
    }

    fn secret(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    pub(crate) fn serves(&self, device: &mut Device, version: &str) {
        device.settings = vec![
            ("HEARTH_BROKER_ADDRESS", format!("127.0.0.1:{}", self.port)),
            ("HEARTH_BROKER_TLS", "none".into()),
            ("HEARTH_BROKER_USER", "hearth".into()),
            ("HEARTH_BROKER_PASSWORD_FILE", self.secret().display().to_string()),
            ("HEARTH_BROKER_MQTT", version.into()),
        ];
    }
}

impl Mosquitto {
    /// By which arguments a coordinator uses it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let (address, secret) = (format!("127.0.0.1:{}", self.port), self.secret().display().to_string());
        let given = [("--broker", &*address), ("--broker-tls", "none"), ("--broker-user", "hearth")];
        let given = given.into_iter().chain([("--broker-password-file", &*secret)]);
        given.flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two devices of a fleet that find each other only through the broker.
fn apart(version: &str) -> (Device, Device, Mosquitto) {
    let broker = Mosquitto::new();
    let (mut nas, mut laptop) = pair();
    for device in [&mut nas, &mut laptop] {
        device.kill();
        device.moves();
        broker.serves(device, version);
    }
    for device in [&mut nas, &mut laptop] {
        device.up();
    }
    (nas, laptop, broker)
}

#[test]
fn devices_that_cannot_reach_each_other_meet_through_a_broker_of_either_version() {
    for version in ["3.1.1", "5"] {
        let (nas, laptop, _broker) = apart(version);
        nas.write("heating.md", "The heating engineer comes on the ninth of March.");
        laptop.comes_to_find("engineer", &["heating"]);
        laptop.write("answer.md", "The laptop answers: bring a ladder.");
        nas.comes_to_find("ladder", &["answer"]);
        let used = nas.json(&["fleet"])["fleet"]["broker"].clone();
        assert_eq!(used["connected"], true, "{used}");
        // Taken out, it is cut off here as well.
        nas.json(&["fleet", "revoke", "laptop", "--yes"]);
        until("the link is gone", || if nas.link_to(&laptop) == "linked" { Err("linked".into()) } else { Ok(()) });
        nas.write("after.md", "Only for those who stay: the new code is on the fridge.");
        nas.comes_to_find("fridge", &["after"]);
        assert!(laptop.finds("fridge").is_empty());
    }
}

fn survive_kills(kills: usize) {
    let (nas, laptop, mut broker) = apart("3.1.1");
    nas.is_linked_to(&laptop);
    for round in 0..kills {
        nas.write(&format!("note {round}.md"), &format!("Written in round {round}: quux{round}."));
        laptop.write(&format!("reply {round}.md"), &format!("Answered in round {round}: corge{round}."));
        // Somewhere on the way.
        nas.comes_to_find(&format!("quux{round}"), &[&format!("note {round}")]);
        broker.kill();
        broker.up();
    }
    for round in 0..kills {
        laptop.comes_to_find(&format!("quux{round}"), &[&format!("note {round}")]);
        nas.comes_to_find(&format!("corge{round}"), &[&format!("reply {round}")]);
    }
    let all = Some(2 * kills as u64 + 2);
    let (here, there) = (nas.json(&["status"]), laptop.json(&["status"]));
    assert_eq!((here["items"].as_u64(), there["items"].as_u64()), (all, all), "no more, no less");
}

#[test]
fn a_broker_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    survive_kills(3);
}

#[test]
#[ignore = "soak: each kill takes some seconds, until both sides are back"]
fn a_broker_that_is_killed_twenty_times_loses_and_doubles_nothing() {
    survive_kills(20);
}

#[test]
fn a_broker_that_refuses_is_a_sentence_and_settings_that_do_not_fit_too() {
    let broker = Mosquitto::new();
    let mut nas = Device::new("nas");
    broker.serves(&mut nas, "3.1.1");
    fs::write(broker.secret(), "mellon").expect("written");
    nas.up();
    nas.found();
    until("it is told", || {
        let used = nas.json(&["fleet"])["fleet"]["broker"].to_string();
        if used.contains("password") { Ok(()) } else { Err(used) }
    });
    nas.kill();
    fs::set_permissions(broker.secret(), fs::Permissions::from_mode(0o644)).expect("set");
    assert!(nas.refused(&["up", "--yes", "--listen", "127.0.0.1:0"]).contains("can be read by others"));
    nas.settings.push(("HEARTH_BROKER_TLS", "file".into()));
    assert!(nas.refused(&["up", "--yes", "--listen", "127.0.0.1:0"]).contains("names none"));
}
