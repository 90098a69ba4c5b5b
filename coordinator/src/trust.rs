//! Which devices may report: keys named when the coordinator starts, keys in a file that may change meanwhile, and devices of fleets that
//! the relay serves.
//!
//! The file has one key a line, with a name behind it for people; `#` begins a comment.
//!
//! ```text
//! 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c  attic-pi
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use hearth_core::{DeviceId, status::Label};
use hearth_link::{NotAKey, VerifyingKey, key_from_text};
use tokio::sync::watch;

/// Why a list of trusted keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoTrust {
    /// The file cannot be read.
    #[error("cannot read the trusted keys in {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not a key.
    #[error("line {line} of {path} is not a trusted key: {source}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: NotAKey,
    },
    /// More than a coordinator can serve.
    #[error("{path} names more than the {TRUSTED_MAX} devices that one coordinator serves")]
    TooMany {
        /// The file.
        path: PathBuf,
    },
}

/// One coordinator serves no more devices.
pub const TRUSTED_MAX: usize = 1024;

/// The devices that may report, now.
#[derive(Debug)]
pub struct TrustList {
    named: Vec<VerifyingKey>,
    file: Option<PathBuf>,
    devices: RwLock<BTreeMap<DeviceId, Option<Label>>>,
    /// Devices of fleets that the relay serves.
    members: RwLock<BTreeMap<DeviceId, Option<Label>>>,
    changes: watch::Sender<u64>,
}

impl TrustList {
    /// Trusts `named`, and what `file` says.
    pub fn new(named: Vec<VerifyingKey>, file: Option<PathBuf>) -> Result<Self, NoTrust> {
        let list =
            Self { named, file, devices: RwLock::default(), members: RwLock::default(), changes: watch::channel(0).0 };
        list.reload()?;
        Ok(list)
    }

    /// Reads the file again. If it cannot be used, nothing changes.
    pub fn reload(&self) -> Result<(), NoTrust> {
        let mut devices: BTreeMap<DeviceId, Option<Label>> =
            self.named.iter().map(|key| (DeviceId::of_key(key), None)).collect();
        if let Some(path) = &self.file {
            devices.extend(read(path)?);
        }
        *self.devices.write().unwrap_or_else(PoisonError::into_inner) = devices;
        self.changes.send_modify(|change| *change += 1);
        Ok(())
    }

    /// Whether the operator named this device.
    pub fn names(&self, device: &DeviceId) -> bool {
        read_lock(&self.devices).contains_key(device)
    }

    /// Whether this device may report: the operator named it, or it belongs to a fleet that is served.
    pub fn knows(&self, device: &DeviceId) -> bool {
        self.names(device) || read_lock(&self.members).contains_key(device)
    }

    /// Every device that may report, with the name that the file gives it, or else its fleet.
    pub fn devices(&self) -> BTreeMap<DeviceId, Option<Label>> {
        let mut all = read_lock(&self.members).clone();
        for (device, name) in read_lock(&self.devices).iter() {
            let known = all.entry(*device).or_default();
            if name.is_some() {
                known.clone_from(name);
            }
        }
        all
    }

    /// The devices of fleets that are served are these from now on.
    pub fn set_members(&self, members: BTreeMap<DeviceId, Option<Label>>) {
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
        self.changes.send_modify(|change| *change += 1);
    }

    /// Tells when the list has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn read_lock<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> Result<BTreeMap<DeviceId, Option<Label>>, NoTrust> {
    let text = fs::read_to_string(path).map_err(|source| NoTrust::Io { path: path.to_owned(), source })?;
    let mut devices = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (key, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let key =
            key_from_text(key).map_err(|source| NoTrust::Line { path: path.to_owned(), line: index + 1, source })?;
        devices.insert(DeviceId::of_key(&key), Label::cut(name));
        if devices.len() > TRUSTED_MAX {
            return Err(NoTrust::TooMany { path: path.to_owned() });
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use hearth_link::{Identity, key_text};

    use super::*;

    #[test]
    fn a_file_of_keys_is_read_line_by_line() {
        let keys = [1, 2, 3].map(|seed| Identity::from_seed(&[seed; 32]).public());
        let [one, two, three] = keys.map(|key| key_text(&key));
        let data = tempfile::tempdir().expect("a folder");
        let path = data.path().join("trusted");
        fs::write(&path, format!("# ours\n\n{one}  attic pi\n  {two}\t# no name\n#{three}\n")).expect("written");
        let list = TrustList::new(vec![], Some(path)).expect("well formed");
        let names: Vec<_> = keys.iter().map(|key| list.devices().get(&DeviceId::of_key(key)).cloned()).collect();
        assert_eq!(names, [Some(Label::cut("attic pi")), Some(None), None]);
    }

    #[test]
    fn a_file_that_cannot_be_used_names_the_line_and_changes_nothing() {
        let key = Identity::from_seed(&[1; 32]).public();
        let data = tempfile::tempdir().expect("a folder");
        let path = data.path().join("trusted");
        fs::write(&path, key_text(&key)).expect("written");
        let list = TrustList::new(vec![], Some(path.clone())).expect("well formed");
        let changes = list.changes();
        fs::write(&path, format!("{}\nnot a key\n", key_text(&key))).expect("written");
        let refused = list.reload().expect_err("line 2").to_string();
        assert!(refused.contains("line 2 of ") && refused.contains("64 hexadecimal digits"), "{refused}");
        assert!(list.knows(&DeviceId::of_key(&key)) && !changes.has_changed().expect("it lives"));
        fs::write(&path, "").expect("written");
        list.reload().expect("an empty list is a list");
        assert!(!list.knows(&DeviceId::of_key(&key)) && changes.has_changed().expect("it lives"));
    }
}
