//! Who this node is: its signing key and the root secret of what it keeps, made once and never shown.

use std::{fs, path::Path};

use ed25519_dalek::SigningKey;
use hearth_core::{DeviceId, SpaceId, seal::SpaceKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Folder, StoreError, write_atomic};

/// Fresh entropy from the operating system.
///
/// # Panics
/// When the system has none to give; nothing safe can be done then.
pub fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives entropy");
    bytes
}

/// The keys of one node.
pub struct Identity {
    /// Signs the log.
    pub signing: SigningKey,
    /// The node's id.
    pub device: DeviceId,
    /// The one space of today; every key and record names it.
    pub space: SpaceId,
    /// The root secret of the space on this node.
    pub root: SpaceKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.device)
    }
}

impl Identity {
    /// Reads the keys, or makes them in a folder that has never had any.
    ///
    /// # Errors
    /// When they are damaged, or gone while sealed data is there.
    pub fn open(folder: &Folder) -> Result<Self, StoreError> {
        let dir = folder.part("identity");
        let (device, storage) = (dir.join("device.key"), dir.join("storage.key"));
        if !(device.exists() && storage.exists()) {
            let used = fs::read_dir(folder.part("log")).is_ok_and(|mut entries| entries.next().is_some());
            if used {
                return Err(StoreError::NoKeys(folder.root().into()));
            }
            // The storage key first: with a device key there, everything is there.
            for path in [&storage, &device] {
                write_atomic(path, &*Zeroizing::new(entropy::<32>()))?;
            }
        }
        Self::load(&dir)
    }

    /// Reads the keys of a folder that another process may hold; `None` when it has none.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn read(root: &Path) -> Result<Option<Self>, StoreError> {
        let dir = root.join("identity");
        if dir.join("device.key").exists() { Self::load(&dir).map(Some) } else { Ok(None) }
    }

    fn load(dir: &Path) -> Result<Self, StoreError> {
        let (device, storage) = (dir.join("device.key"), dir.join("storage.key"));
        let signing = SigningKey::from_bytes(&*secret(&device)?);
        let space = Sha256::new().chain_update(b"hearth/space/1").chain_update(signing.verifying_key()).finalize();
        let space = SpaceId::from_bytes(space[..16].try_into().expect("a digest has more than 16 bytes"));
        let root = SpaceKey::from_bytes(*secret(&storage)?);
        Ok(Self { device: DeviceId::of_key(&signing.verifying_key()), signing, space, root })
    }

    /// The fleet of a node that joined none: its own.
    pub fn fleet(&self) -> [u8; 16] {
        *self.device.as_bytes()
    }
}

fn secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let bytes = Zeroizing::new(fs::read(path).map_err(StoreError::io("reading the node's keys"))?);
    let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| StoreError::Damaged("a key of this node"))?;
    Ok(Zeroizing::new(*bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_private_and_never_anew_over_sealed_data() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(&home.path().join("data")).expect("created");
        let first = Identity::open(&folder).expect("made");
        let again = Identity::open(&folder).expect("read");
        assert_eq!((first.device, first.space), (again.device, again.space));
        for name in ["device.key", "storage.key"] {
            let mode = fs::metadata(folder.part("identity").join(name)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::create_dir(folder.part("log").join("somebody")).expect("made");
        fs::remove_file(folder.part("identity/device.key")).expect("removed");
        assert!(matches!(Identity::open(&folder), Err(StoreError::NoKeys(_))));
    }
}
