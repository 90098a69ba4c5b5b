//! A coordinator to which devices come through an MQTT broker: as they come directly, and while the broker dies.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use ed25519_dalek::SigningKey;
use hearth_core::fleet::{
    chain::Fleet,
    letter::Letter as FleetLetter,
    link::{Action, Device, Link as ChainLink, Relay, SignedLink},
};
use hearth_link::{
    LinkError, Mqtt, Protocol, Trust, VerifyingKey,
    mqtt::{Protection, Settings, Tls, Version, tag_of_coordinator},
    session::letters,
};

use super::{
    Close, Identity, Limits, Moment, Options, Pipe, Program, Running, device, key_from_text, key_text, mosquitto,
    options, report,
};
use mosquitto::{Mosquitto, USER};

#[tokio::test]
async fn reports_come_through_a_broker_and_a_direct_link_takes_the_place_of_that() {
    let stage = Stage::new();
    let running = Running::start(stage.options(Version::V3)).await;
    let (mqtt, key) = (stage.device(&running, Version::V5), key_of(&running));
    let mut link = mqtt.call(&key, Protocol::Report).await.expect("trusted");
    report(&mut link, 41).await;
    let shown = running.nodes().await;
    assert_eq!(shown["nodes"][0]["report"]["counters"]["items"], 41);
    assert_eq!((&shown["broker"]["connected"], &shown["broker"]["links"]), (&true.into(), &1.into()), "{shown}");

    let mut direct = running.connect().await.expect("trusted");
    assert!(matches!(link.receive().await, Err(LinkError::Closed(Close::Replaced))));
    report(&mut direct, 42).await;
    running.end().await;
}

#[tokio::test]
async fn who_is_not_trusted_is_refused_through_a_broker_too_and_loses_its_link() {
    let stage = Stage::new();
    let file = stage.data.path().join("trusted");
    fs::write(&file, key_text(&device().public())).expect("written");
    let options = Options { trusted: vec![], trust_file: Some(file.clone()), ..stage.options(Version::V5) };
    let running = Running::start(options).await;
    let (mqtt, key) = (stage.device(&running, Version::V3), key_of(&running));
    let mut link = mqtt.call(&key, Protocol::Report).await.expect("trusted");
    report(&mut link, 1).await;
    fs::write(&file, "").expect("written");
    running.reload.send(()).await.expect("it runs");
    assert!(matches!(link.receive().await, Err(LinkError::Closed(Close::NotTrusted))));
    assert!(matches!(mqtt.call(&key, Protocol::Report).await, Err(LinkError::Refused(_))));
    running.end().await;
}

#[tokio::test]
async fn who_reports_from_the_mailbox_of_something_else_is_not_heard() {
    let stage = Stage::new();
    let running = Running::start(stage.options(Version::V3)).await;
    let mqtt = stage.device_with(device(), [5; 16], Version::V3);
    let mut link = mqtt.call(&key_of(&running), Protocol::Report).await.expect("its key is trusted");
    assert!(matches!(link.receive().await, Err(LinkError::Closed(Close::NotTrusted))));
    running.end().await;
}

#[tokio::test]
async fn a_fleet_is_introduced_through_a_broker_and_its_devices_write_from_their_mailboxes_in_it() {
    let stage = Stage::new();
    let running = Running::start(stage.options(Version::V3)).await;
    let key = key_of(&running);
    let fleet = fleet_of_the_device(&key);
    for (case, tag, served) in [("of another fleet", [5; 16], 0), ("its own", fleet.id().tag(), 1)] {
        let mqtt = stage.device_with(device(), tag, Version::V3);
        let (mut sending, mut receiving) = letters(mqtt.call(&key, Protocol::Fleet).await.expect("trusted"));
        for letter in [FleetLetter::Known { port: 0, digest: [0; 16] }, FleetLetter::Chain(fleet.encode())] {
            sending.send(&letter.encode()).await.expect("taken");
        }
        let asked = receiving.receive().await.expect("it asks for the chain");
        assert!(matches!(FleetLetter::decode(&asked), Ok(FleetLetter::Known { .. })), "{case}");
        let next = receiving.receive().await;
        if served == 1 {
            let greeting = next.expect("the session begins");
            FleetLetter::decode(&greeting).expect("as with every other side");
        } else {
            assert!(matches!(next, Err(LinkError::Closed(Close::NotTrusted))), "{case}: {next:?}");
        }
    }
    let shown = running.nodes().await;
    assert_eq!(shown["relay"]["fleets"][0]["fleet"], fleet.id().to_string());
    running.end().await;
}

#[tokio::test]
async fn a_broker_that_is_killed_or_not_there_yet_keeps_nobody_from_coming_directly() {
    let mut stage = Stage::new();
    stage.broker.kill();
    // It starts without its broker.
    let running = Running::start(stage.options(Version::V3)).await;
    let (mqtt, key) = (stage.device(&running, Version::V3), key_of(&running));
    for round in 0..3 {
        let mut direct = running.connect().await.expect("trusted");
        report(&mut direct, 10 * round).await;
        let told = running.until(|shown| shown["problems"].to_string().contains("no device can come through")).await;
        assert_eq!(told["broker"]["connected"], false, "{told}");
        assert!(running.get("/", "localhost").await.contains("no device can come through the broker"));
        drop(direct);

        stage.broker.start_again();
        running.until(|shown| shown["broker"]["connected"] == true).await;
        // It dies while a report is under way, and the next one is taken.
        let mut link = comes(&mqtt, &key).await;
        report(&mut link, 10 * round + 1).await;
        stage.broker.kill();
        assert!(matches!(link.receive().await, Err(LinkError::Broker(_))), "the device is not left hanging");
        assert_eq!(running.nodes().await["nodes"][0]["report"]["counters"]["items"], 10 * round + 1);
    }
    running.end().await;
}

#[tokio::test]
async fn settings_of_a_broker_that_do_not_fit_are_a_sentence() {
    let stage = Stage::new();
    fs::set_permissions(stage.secret(), fs::Permissions::from_mode(0o644)).expect("set");
    let refused = super::refusal(stage.options(Version::V3)).await;
    assert!(refused.starts_with("`--broker`: ") && refused.contains("can be read by others"), "{refused}");
    let arguments = ["--broker", "localhost:1883", "--broker-tls", "file"];
    let data = stage.data.path().to_str().expect("text");
    let output = std::process::Command::new(super::PROGRAM).args(["serve", "--data", data]).args(arguments).output();
    let said = String::from_utf8(output.expect("it runs").stderr).expect("text");
    assert!(said.contains("`--broker`: its TLS is to go by a file"), "{said}");
}

#[tokio::test]
async fn the_program_reads_its_password_from_a_file_or_from_what_systemd_gives_it() {
    let stage = Stage::new();
    let Settings { address, .. } = stage.settings(Version::V3);
    let (ca, secret) = (stage.ca().display().to_string(), stage.secret().display().to_string());
    let credentials = stage.data.path().join("credentials");
    fs::create_dir(&credentials).expect("made");
    fs::copy(stage.secret(), credentials.join("broker-password")).expect("copied");
    let shared = ["--broker", &address, "--broker-tls", "file", "--broker-ca", &ca, "--broker-user", USER.0];
    for (case, named) in [("a file", vec!["--broker-password-file", &secret]), ("a credential", vec![])] {
        let data = tempfile::tempdir().expect("a folder");
        let credentials = named.is_empty().then_some(credentials.as_path());
        let program = Program::start_with(data.path(), &[&shared[..], &named].concat(), credentials);
        assert_eq!(program.ready["broker"], address.as_str());
        let key = key_from_text(program.ready["key"].as_str().expect("text")).expect("a key");
        let mqtt = stage.device_with(device(), tag_of_coordinator(&key), Version::V3);
        let mut link = comes(&mqtt, &key).await;
        report(&mut link, 7).await;
        let http = super::address(program.ready["http"].as_str().expect("an address"));
        let shown = super::body(&super::get(http, "/v1/nodes", "127.0.0.1").await);
        assert_eq!(shown["broker"]["connected"], true, "{case}: {shown}");
    }
}

/// Calls until somebody answers: the broker may not have either of both yet.
async fn comes(mqtt: &Mqtt, key: &VerifyingKey) -> super::Link {
    loop {
        match mqtt.call(key, Protocol::Report).await {
            Ok(link) => return link,
            Err(LinkError::NotListening | LinkError::Broker(_) | LinkError::Slow) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A broker, and what a coordinator and its devices need to use it.
struct Stage {
    broker: Mosquitto,
    data: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { broker: Mosquitto::start(), data: tempfile::tempdir().expect("a folder") };
        let Tls::Ca(ca) = stage.broker.sealed(Version::V3).tls else { panic!("it has a certificate of its own") };
        fs::write(stage.ca(), ca).expect("written");
        fs::write(stage.secret(), format!("{}\n", USER.1)).expect("written");
        fs::set_permissions(stage.secret(), fs::Permissions::from_mode(0o600)).expect("set");
        stage
    }

    fn ca(&self) -> PathBuf {
        self.data.path().join("ca.pem")
    }

    fn secret(&self) -> PathBuf {
        self.data.path().join("secret")
    }

    fn settings(&self, version: Version) -> Settings {
        let broker = self.broker.sealed(version);
        Settings {
            address: format!("{}:{}", broker.host, broker.port),
            protection: Protection::File,
            ca: Some(self.ca()),
            user: Some(USER.0.to_owned()),
            password_file: Some(self.secret()),
            version,
        }
    }

    fn options(&self, version: Version) -> Options {
        Options { broker: Some(self.settings(version)), ..options(self.data.path()) }
    }

    /// The device, where it writes its reports from.
    fn device(&self, running: &Running, version: Version) -> Mqtt {
        self.device_with(device(), tag_of_coordinator(&key_of(running)), version)
    }

    fn device_with(&self, identity: Identity, tag: [u8; 16], version: Version) -> Mqtt {
        let limits = Limits { greeting: Duration::from_secs(60), ..Limits::default() };
        Mqtt::open(self.broker.sealed(version), identity, Trust::only([]), tag, limits)
    }
}

fn key_of(running: &Running) -> VerifyingKey {
    key_from_text(&running.ready.key).expect("a key")
}

/// A fleet that the device founded, and whose relay is the holder of this key.
fn fleet_of_the_device(relay: &VerifyingKey) -> Fleet {
    let key = SigningKey::from_bytes(&[2; 32]);
    let founder = Device {
        key: key.verifying_key().to_bytes(),
        wrap_key: [2; 32],
        name: "attic".into(),
        admin: true,
        expires: None,
    };
    let at = Moment::from_millis(1_000);
    let first = ChainLink::first(at, "home", founder, 1).expect("a link");
    let mut fleet = Fleet::begin(SignedLink::by(&key, first.clone())).expect("a fleet");
    let place = Relay { key: relay.to_bytes(), address: "relay.example:7843".into(), region: String::new() };
    let second = first.then(at, Action::AddRelay(place)).expect("a link");
    fleet.handle(SignedLink::by(&key, second)).expect("it holds");
    fleet
}
