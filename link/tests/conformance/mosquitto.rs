//! A broker of the test's own: mosquitto on free ports of this machine, with a certificate and a password made for it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use hearth_link::mqtt::{Broker, Secret, Tls, Version};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Who may use the broker, and by which password.
pub(crate) const USER: (&str, &str) = ("ember", "correct horse battery staple");

/// A running broker. Dropped, it ends.
pub(crate) struct Mosquitto {
    folder: tempfile::TempDir,
    ca: Vec<u8>,
    sealed: u16,
    plain: u16,
    process: Child,
}

impl Mosquitto {
    /// Starts a broker that lets its one user do everything.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a broker whose access list says this; an empty one allows everything.
    pub(crate) fn start_with(access: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the broker");
        let ca = certificates(folder.path());
        fs::write(folder.path().join("access"), access).expect("a file for the broker");
        let made = Command::new(program("mosquitto_passwd"))
            .args(["-b", "-c"])
            .arg(folder.path().join("passwords"))
            .args([USER.0, USER.1])
            .status();
        assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd makes a password");
        // Between asking for free ports and using them somebody else may take one.
        let mut why = String::new();
        for _ in 0..20 {
            let [sealed, plain] = free_ports();
            fs::write(folder.path().join("settings"), settings(folder.path(), [sealed, plain], !access.is_empty()))
                .expect("a file for the broker");
            match run(&folder.path().join("settings")) {
                Ok(process) => return Self { folder, ca, sealed, plain, process },
                Err(said) => why = said,
            }
        }
        panic!("mosquitto does not start: {why}");
    }

    /// The broker by its encrypted port.
    pub(crate) fn sealed(&self, version: Version) -> Broker {
        self.broker(self.sealed, Tls::Ca(self.ca.clone()), version)
    }

    /// The broker by its open port.
    pub(crate) fn plain(&self, version: Version) -> Broker {
        self.broker(self.plain, Tls::Plain, version)
    }

    fn broker(&self, port: u16, tls: Tls, version: Version) -> Broker {
        let mut broker = Broker::at(&format!("localhost:{port}"), tls).expect("an address");
        broker.user = Some((USER.0.into(), Secret::new(USER.1)));
        broker.version = version;
        broker
    }

    /// Kills the broker as if the power had gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was ours");
    }

    /// Lets the broker keep its connections and do nothing.
    pub(crate) fn freeze(&mut self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the broker runs");
    }

    /// Starts it again at the same ports, with nothing remembered.
    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.folder.path().join("settings")).expect("the ports were its own a moment ago");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An authority that was made just now and that nobody trusts.
pub(crate) fn another_authority() -> Vec<u8> {
    certificates(tempfile::tempdir().expect("a folder").path())
}

fn settings(folder: &Path, [sealed, plain]: [u16; 2], has_access_list: bool) -> String {
    let folder = folder.display();
    let access = if has_access_list { format!("acl_file {folder}/access\n") } else { String::new() };
    // Started by root, it would become another user, who cannot read this folder.
    format!(
        "user root\npersistence false\nallow_anonymous false\npassword_file {folder}/passwords\n{access}\
         log_dest stderr\nlog_type all\n\
         listener {plain} 127.0.0.1\n\
         listener {sealed} 127.0.0.1\ncertfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n"
    )
}

/// Starts it, and returns once it says that it runs.
fn run(settings: &Path) -> Result<Child, String> {
    let mut process = Command::new(program("mosquitto"))
        .arg("-c")
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut said = BufReader::new(process.stderr.take().expect("it was asked for"));
    let mut line = String::new();
    let mut before = String::new();
    while said.read_line(&mut line).is_ok_and(|count| count > 0) {
        if line.contains("running") {
            // Whoever logs into a pipe that nobody reads would stop.
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return Ok(process);
        }
        before.push_str(&std::mem::take(&mut line));
    }
    let _ = process.wait();
    Err(before)
}

fn program(name: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    // Debian has it where only root looks.
    let places = std::env::split_paths(&folders).chain(["/usr/sbin".into()]);
    places
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("this test needs the MQTT broker mosquitto; on Debian: apt-get install mosquitto"))
}

fn free_ports() -> [u16; 2] {
    // Both at once, so that they differ.
    let held =
        [(); 2].map(|()| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("loopback has ports"));
    held.map(|socket| socket.local_addr().expect("bound").port())
}

/// Makes an authority and a certificate for `localhost`, and returns the authority's.
fn certificates(folder: &Path) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
    let broker = params.signed_by(&key, &issuer).expect("a certificate");
    fs::write(folder.join("broker.pem"), broker.pem()).expect("a file for the broker");
    fs::write(folder.join("broker.key"), key.serialize_pem()).expect("a file for the broker");
    ca.pem().into_bytes()
}
