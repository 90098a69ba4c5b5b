//! The audit log on disk: sealed entries, each synced before what it tells of goes on.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use hearth_core::{
    Moment, SpaceId,
    audit::{Entry, Event, Tip},
    seal::SpaceKey,
};

use crate::{StoreError, entropy};

const ENTRY_MAX: usize = 64 << 10;

/// This node's audit log.
pub struct AuditLog {
    file: File,
    offset: u64,
    tip: Tip,
    space: SpaceId,
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuditLog({} entries)", self.tip.seq)
    }
}

impl AuditLog {
    /// Opens the log. A torn last entry is cut off; a broken chain is left for [`read`](Self::read) to name.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(dir: &Path, space: SpaceId, root: &SpaceKey) -> Result<Self, StoreError> {
        let path = dir.join("log");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("opening the audit log"))?;
        let cipher = XChaCha20Poly1305::new(&root.derive(space, "hearth/audit/1").into());
        let mut log = Self { file, offset: 0, tip: Tip::default(), space, cipher };
        let bytes = fs::read(&path).map_err(StoreError::io("reading the audit log"))?;
        let (mut offset, mut tip) = (0, Tip::default());
        for (end, entry) in log.entries(&bytes) {
            offset = end;
            if let Some(entry) = entry {
                tip = Tip { seq: entry.seq + 1, head: entry.digest() };
            }
        }
        (log.offset, log.tip) = (offset, tip);
        log.file.set_len(log.offset).map_err(StoreError::io("cutting a torn entry off the audit log"))?;
        Ok(log)
    }

    /// Writes an entry and waits until the disk has it.
    ///
    /// # Errors
    /// When it cannot; what it would tell of must then not happen.
    pub fn append(&mut self, at: Moment, event: Event) -> Result<Entry, StoreError> {
        let mut tip = self.tip;
        let entry = tip.append(at, self.space, event);
        let nonce: [u8; 24] = entropy();
        let plain = entry.encode();
        let sealed = self.cipher.encrypt(&nonce.into(), Payload { msg: &plain, aad: b"" }).expect("an entry is small");
        let mut frame = Vec::with_capacity(sealed.len() + 32);
        frame.extend(u32::try_from(24 + sealed.len()).expect("an entry is small").to_le_bytes());
        frame.extend(nonce);
        frame.extend(sealed);
        let what = "writing the audit log";
        self.file.write_all_at(&frame, self.offset).map_err(StoreError::io(what))?;
        self.file.sync_data().map_err(StoreError::io(what))?;
        self.offset += frame.len() as u64;
        self.tip = tip;
        Ok(entry)
    }

    /// Every entry, and the sentence that says where the chain breaks, when it does.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<(Vec<Entry>, Option<String>), StoreError> {
        let mut bytes = vec![0; usize::try_from(self.offset).expect("an audit log fits in memory")];
        self.file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("reading the audit log"))?;
        let (mut entries, mut tip, mut broken) = (Vec::new(), Tip::default(), None);
        for (_, entry) in self.entries(&bytes) {
            match entry {
                Some(entry) => {
                    if let Err(why) = tip.follow(&entry) {
                        broken.get_or_insert_with(|| why.to_string());
                        tip = Tip { seq: entry.seq + 1, head: entry.digest() };
                    }
                    entries.push(entry);
                }
                None => {
                    broken.get_or_insert_with(|| hearth_core::audit::Broken { seq: tip.seq }.to_string());
                }
            }
        }
        Ok((entries, broken))
    }

    /// The whole frames in `bytes`: where each ends, and its entry unless it does not open.
    fn entries<'b>(&'b self, bytes: &'b [u8]) -> impl Iterator<Item = (u64, Option<Entry>)> + 'b {
        let mut at = 0;
        std::iter::from_fn(move || {
            let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
            let frame = bytes.get(at + 4..at + 4 + length).filter(|frame| (24..ENTRY_MAX).contains(&frame.len()))?;
            at += 4 + length;
            let (nonce, sealed) = frame.split_first_chunk::<24>()?;
            let plain = self.cipher.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: b"" }).ok();
            Some((at as u64, plain.and_then(|plain| minicbor::decode(&plain).ok())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId::from_bytes([1; 16]);

    fn open(dir: &Path) -> AuditLog {
        AuditLog::open(dir, SPACE, &SpaceKey::from_bytes([2; 32])).expect("opened")
    }

    #[test]
    fn entries_last_hold_together_and_a_flipped_byte_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        for n in 0..3 {
            log.append(Moment::from_millis(n), Event::Exported { items: n }).expect("written");
        }
        drop(log);
        let mut log = open(dir.path());
        log.append(Moment::from_millis(9), Event::Stopped).expect("written");
        let (entries, broken) = log.read().expect("read");
        assert_eq!((entries.len(), broken), (4, None));

        let path = dir.path().join("log");
        let good = fs::read(&path).expect("read");
        let mut bytes = good.clone();
        let second = 4 + u32::from_le_bytes(bytes[..4].try_into().expect("four")) as usize;
        bytes[second + 40] ^= 1;
        fs::write(&path, &bytes).expect("damaged");
        let (_, broken) = open(dir.path()).read().expect("read");
        assert!(broken.as_deref().is_some_and(|why| why.contains("audit entry 1 ")), "{broken:?}");

        fs::write(&path, &good[..good.len() - 3]).expect("torn");
        let mut log = open(dir.path());
        log.append(Moment::from_millis(9), Event::Stopped).expect("written");
        let (entries, broken) = log.read().expect("read");
        assert_eq!((entries.len(), broken), (4, None), "a torn entry was never acknowledged");
    }

    #[test]
    fn an_audit_log_shows_how_long_it_is_and_nothing_it_says() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        let event = Event::Denied { reason: "heron".into(), count: 3 };
        let entry = log.append(Moment::from_millis(1), event).expect("written");
        assert_eq!(format!("{log:?}"), "AuditLog(1 entries)");
        assert_eq!(log.read().expect("read"), (vec![entry], None));
        let bytes = fs::read(dir.path().join("log")).expect("read");
        assert!(!bytes.windows(5).any(|window| window == b"heron"), "nor does its file");
        let other = AuditLog::open(dir.path(), SPACE, &SpaceKey::from_bytes([3; 32])).expect("opened");
        let (entries, broken) = other.read().expect("read");
        assert_eq!(entries, [], "with another key");
        assert!(broken.is_some_and(|why| why.starts_with("audit entry 0 ")));
    }

    #[test]
    fn an_entry_of_another_log_is_named_though_it_opens() {
        let (ours, theirs) = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder")).into();
        open(ours.path()).append(Moment::from_millis(1), Event::Stopped).expect("written");
        let mut log = open(theirs.path());
        for n in 0..2 {
            log.append(Moment::from_millis(n), Event::Exported { items: n }).expect("written");
        }
        let path = ours.path().join("log");
        let foreign = fs::read(theirs.path().join("log")).expect("read");
        fs::write(&path, [fs::read(&path).expect("read"), foreign].concat()).expect("written");
        let (entries, broken) = open(ours.path()).read().expect("read");
        assert_eq!(entries.len(), 3);
        assert!(broken.is_some_and(|why| why.starts_with("audit entry 1 ")), "where the first foreign one stands");
    }
}
