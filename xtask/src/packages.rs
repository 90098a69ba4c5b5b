//! Debian packages that a lane leans on.
//!
//! Installs only as root and only after saying what; otherwise it names them. It never touches other systems' package managers.

use crate::tree::succeeds;
use std::process::Command;

/// Something a lane needs on the machine, the command that shows it is there, and the packages that bring it.
pub(crate) struct Need {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// A command that succeeds when it is there.
    pub(crate) probe: &'static [&'static str],
    /// The Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
}

/// Python with pip, which fetches the pinned ONNX Runtime wheel.
pub(crate) const PIP: Need = Need {
    what: "Python with pip",
    probe: &["python3", "-m", "pip", "--version"],
    packages: &["python3", "python3-pip"],
};
/// Node with npm, which runs the page tests.
pub(crate) const NODE: Need =
    Need { what: "Node with npm", probe: &["npm", "--version"], packages: &["nodejs", "npm"] };
/// The browser that the page tests drive.
pub(crate) const CHROMIUM: Need =
    Need { what: "Chromium", probe: &["/usr/bin/chromium", "--version"], packages: &["chromium"] };
/// The MQTT broker that the tests of `link` start for themselves. Debian has it where only root looks.
pub(crate) const MOSQUITTO: Need = Need {
    what: "the MQTT broker mosquitto",
    probe: &["sh", "-c", "PATH=$PATH:/usr/sbin; command -v mosquitto && command -v mosquitto_passwd"],
    packages: &["mosquitto"],
};
/// A C++ compiler, of which libFuzzer is made.
pub(crate) const CPP: Need = Need { what: "a C++ compiler", probe: &["c++", "--version"], packages: &["g++"] };

/// Makes sure that all of `needs` are there; the error is a sentence that names what is missing and how to get it.
pub(crate) fn ensure(needs: &[&Need], lane: &str) -> Result<(), String> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    if !is_root() || !succeeds(Command::new("apt-get").arg("--version")) {
        return Err(format!(
            "{lane} needs {}, which is not here; on Debian, run as root: {by_hand}",
            names.join(" and ")
        ));
    }
    println!("{lane} needs {}: installing the Debian packages {}", names.join(" and "), packages.join(", "));
    apt(&["update", "-q"])?;
    apt(&[&["install", "-q", "-y", "--no-install-recommends"], packages.as_slice()].concat())?;
    match self::missing(needs).first() {
        None => Ok(()),
        Some(need) => {
            Err(format!("{} is still not here after `{by_hand}`; `{}` fails", need.what, need.probe.join(" ")))
        }
    }
}

fn missing<'a>(needs: &[&'a Need]) -> Vec<&'a Need> {
    needs.iter().filter(|need| !succeeds(Command::new(need.probe[0]).args(&need.probe[1..]))).copied().collect()
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    println!("$ apt-get {}", arguments.join(" "));
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .map_err(|error| format!("cannot run apt-get: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get {} ended with {status}", arguments.join(" "))) }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
