//! What people set about a broker, and the broker that follows from it.
//!
//! Devices and coordinators are told of their broker in the same words. A password is in a file that only its owner may read: whoever is on
//! the same machine sees what a program was called with.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::broker::{Broker, NotABroker, Secret, Tls, Version};

/// What is set about a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Its name or address, and maybe its port.
    pub address: String,
    /// How the way to it is protected.
    pub protection: Protection,
    /// The certificates by which it is recognised (PEM).
    pub ca: Option<PathBuf>,
    /// The name by which it knows the program.
    pub user: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// Which version of MQTT is spoken.
    pub version: Version,
}

/// How the way to a broker is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protection {
    /// By TLS, as the authorities of the system say.
    #[default]
    System,
    /// By TLS, as the certificates in a file say.
    File,
    /// Not at all.
    None,
}

/// Why settings make no broker.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] NotABroker),
    /// Certificates of a file are asked for.
    #[error("its TLS is to go by a file of certificates and its `ca` names none; name the file")]
    NoCa,
    /// A file is named that does not count.
    #[error("its `ca` counts only when its `tls` is `file`; set it so, or leave `ca` out")]
    IdleCa,
    /// A password is nobody's.
    #[error("a password file is named and no user; set both")]
    NoUser,
    /// The file with the password cannot be read.
    #[error("its password cannot be read from {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "its password in {0} can be read by others; `chmod 600` it, and change the password if somebody may have seen it"
    )]
    Open(PathBuf),
    /// The file holds something else.
    #[error("{0} holds no password that a broker takes; write it there, alone")]
    NoPassword(PathBuf),
}

impl Settings {
    /// The broker, with the password that its file holds now. It blocks.
    ///
    /// # Errors
    /// When the settings do not fit together, or the password cannot be had.
    pub fn broker(&self) -> Result<Broker, Unfit> {
        let tls = match (self.protection, &self.ca) {
            (Protection::System, None) => Tls::Roots,
            (Protection::None, None) => Tls::Plain,
            (Protection::File, Some(ca)) => Tls::CaFile(ca.clone()),
            (Protection::File, None) => return Err(Unfit::NoCa),
            (Protection::System | Protection::None, Some(_)) => return Err(Unfit::IdleCa),
        };
        let mut broker = Broker::at(&self.address, tls)?;
        broker.user = match (&self.user, &self.password_file) {
            (None, None) => None,
            (Some(user), None) => Some((user.clone(), Secret::new(""))),
            (Some(user), Some(file)) => Some((user.clone(), password_in(file)?)),
            (None, Some(_)) => return Err(Unfit::NoUser),
        };
        broker.version = self.version;
        Ok(broker)
    }
}

/// A password is never longer, in bytes; that is what MQTT takes.
const PASSWORD_MAX: u64 = 65_535;

/// Reads a password from a file that only its owner may read; a line's end behind it does not count.
fn password_in(path: &Path) -> Result<Secret, Unfit> {
    let failed = |source| Unfit::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & others(path) != 0 {
        return Err(Unfit::Open(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(PASSWORD_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() as u64 > PASSWORD_MAX {
        return Err(Unfit::NoPassword(path.to_owned()));
    }
    Ok(Secret::new(password))
}

/// Who must not be able to read it. systemd puts a credential where only its service gets, and gives it leave by an access list, which shows
/// as leave for the group.
fn others(path: &Path) -> u32 {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    others_beside(path, credentials.as_deref())
}

fn others_beside(path: &Path, credentials: Option<&Path>) -> u32 {
    if credentials.is_some_and(|folder| path.parent() == Some(folder)) { 0o007 } else { 0o077 }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn settings() -> Settings {
        Settings {
            address: "mqtt.example.org".into(),
            protection: Protection::System,
            ca: None,
            user: None,
            password_file: None,
            version: Version::V3,
        }
    }

    #[test]
    fn settings_that_do_not_fit_are_a_sentence() {
        let ca = Some(PathBuf::from("/etc/ca.pem"));
        for (case, settings, says) in [
            ("no broker", Settings { address: "mqtt://host".into(), ..settings() }, "does not name a broker"),
            ("no file", Settings { protection: Protection::File, ..settings() }, "names none"),
            ("a file in vain", Settings { ca: ca.clone(), ..settings() }, "counts only when"),
            ("the same", Settings { ca: ca.clone(), protection: Protection::None, ..settings() }, "counts only when"),
            ("nobody's password", Settings { password_file: ca.clone(), ..settings() }, "and no user"),
            (
                "a password that is not there",
                Settings { user: Some("ember".into()), password_file: Some("/nowhere/secret".into()), ..settings() },
                "cannot be read from /nowhere/secret",
            ),
        ] {
            let refused = settings.broker().expect_err(case).to_string();
            assert!(refused.contains(says), "{case}: {refused}");
        }
        let whole = Settings { ca, protection: Protection::File, user: Some("ember".into()), ..settings() };
        let broker = whole.broker().expect("all of it fits");
        assert!(matches!(&broker.tls, Tls::CaFile(path) if path.ends_with("ca.pem")));
        assert_eq!(broker.user.expect("a user").1.as_str(), "");
    }

    #[test]
    fn a_password_is_taken_from_a_file_that_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        for (case, content, mode, expected) in [
            ("as editors write it", "sesame \r\n", 0o600, Ok("sesame ")),
            ("as a service sees it", "sesame", 0o400, Ok("sesame")),
            ("open to the group", "sesame", 0o640, Err("can be read by others")),
            ("open to all", "sesame", 0o604, Err("can be read by others")),
            ("empty", "\n", 0o600, Err("holds no password")),
            ("longer than MQTT takes", &"x".repeat(70_000), 0o600, Err("holds no password")),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, content).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            match (password_in(&path), expected) {
                (Ok(password), Ok(expected)) => assert_eq!(password.as_str(), expected, "{case}"),
                (Err(refused), Err(says)) => assert!(refused.to_string().contains(says), "{case}: {refused}"),
                (read, _) => panic!("{case}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_credential_of_systemds_may_look_open_to_its_group_and_nothing_else_may() {
        let folder = Path::new("/run/credentials/hearth-coordinator.service");
        for (case, path, credentials, others) in [
            ("a credential", folder.join("broker-password"), Some(folder), 0o007),
            ("a file elsewhere", "/etc/hearth/broker.password".into(), Some(folder), 0o077),
            ("no service", folder.join("broker-password"), None, 0o077),
        ] {
            assert_eq!(others_beside(&path, credentials), others, "{case}");
        }
    }
}
