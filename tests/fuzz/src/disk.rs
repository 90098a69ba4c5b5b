//! Files of the data folder that were damaged, cut or swapped: the log, the audit log, sealed blocks, pages of keys.
//!
//! Each input becomes a file in a folder of its own; on a disk in memory (`TMPDIR`) that takes no time.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DocumentId, Moment, SpaceId,
    audit::Event,
    delta::Tombstone,
    seal::SpaceKey,
    segment::{BYTES_MAX, BadSegment, Segment},
};
use hearth_store::{AuditLog, BlockFile, BlockWriter, Keys, Log, Position, StoreError};

use crate::forms::parts;

const NOW: Moment = Moment::from_millis(1_000);
const SPACE: SpaceId = SpaceId::from_bytes([4; 16]);

fn root() -> SpaceKey {
    SpaceKey::from_bytes([6; 32])
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The key whose log it is.
pub fn author() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn opened(dir: &Path) -> Result<Log, StoreError> {
    Log::open(dir, author(), [0; 16], NOW)
}

fn only(dir: &Path) -> PathBuf {
    let folders = fs::read_dir(dir).expect("listed").flatten().map(|entry| entry.path());
    folders.filter(|path| path.is_dir()).min().expect("a folder")
}

fn replayed(log: &Log) -> Result<Vec<(Position, Vec<u8>)>, StoreError> {
    let mut seen = Vec::new();
    log.reader().replay(Position::BEGIN, |position, segment: Segment| {
        seen.push((position, segment.encode()));
        Ok(())
    })?;
    Ok(seen)
}

/// A frame as it lies in a file of the log.
pub fn framed(segment: &[u8]) -> Vec<u8> {
    let length = u32::try_from(segment.len()).expect("small");
    [&length.to_le_bytes()[..], &crc32c::crc32c(segment).to_le_bytes(), segment].concat()
}

/// The whole frames of a file by their lengths, and of each whether it is a segment with the right checksum.
fn frames(file: &[u8]) -> Vec<(&[u8], bool)> {
    let (mut found, mut rest) = (Vec::new(), file);
    while let Some((header, more)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes(*header.first_chunk().expect("four bytes")) as usize;
        let crc = u32::from_le_bytes(*header.last_chunk().expect("four bytes"));
        if length == 0 || length > BYTES_MAX || length > more.len() {
            break;
        }
        let (segment, after) = more.split_at(length);
        found.push((segment, crc32c::crc32c(segment) == crc && Segment::open(segment).is_ok()));
        rest = after;
    }
    found
}

/// A file of the log. With a first byte of 0 it is the rest as it is; otherwise the rest is [`parts`], each of which becomes a whole frame,
/// but the last, which is a torn one.
pub fn log(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let file = match how {
        0 => rest.to_vec(),
        _ => {
            let parts = parts(rest);
            let (torn, whole) = parts.split_last().map_or((&[][..], &[][..]), |(torn, whole)| (*torn, whole));
            whole.iter().flat_map(|part| framed(part)).chain(torn.iter().copied()).collect()
        }
    };
    let dir = folder();
    drop(opened(dir.path()).expect("an empty folder"));
    let path = only(&only(dir.path())).join("0000.seg");
    // Written into, so that it is the file whose end was noted.
    OpenOptions::new().write(true).open(&path).and_then(|mut to| to.write_all(&file)).expect("written");

    let newer = |why: &StoreError| matches!(why, StoreError::Segment(BadSegment::Newer(_)));
    let mut log = match opened(dir.path()) {
        Ok(log) => log,
        Err(why) => {
            assert!(newer(&why), "{why}");
            assert!(fs::read(&path).is_ok_and(|left| left == file), "what a newer hearth wrote is left to it");
            return;
        }
    };
    let known = match replayed(&log) {
        Ok(known) => known,
        Err(why) => return assert!(newer(&why), "{why}"),
    };
    let sound: Vec<&[u8]> = frames(&file).into_iter().filter(|(_, sound)| *sound).map(|(segment, _)| segment).collect();
    assert_eq!(sound, known.iter().map(|(_, segment)| &segment[..]).collect::<Vec<_>>(), "nothing whole is lost");
    for (position, segment) in &known {
        assert!(log.reader().read_bytes(*position).is_ok_and(|read| read == *segment));
    }

    let mut draft = log.draft(NOW).expect("a draft");
    draft.push(Tombstone { document: DocumentId::from_bytes([9; 16]) });
    let (position, segment) = log.append(draft, NOW).expect("there is room");
    assert!(log.reader().read(position).is_ok_and(|read| read == segment), "what was acknowledged is there");
    drop(log);
    let again = replayed(&opened(dir.path()).expect("it was opened before")).expect("it was read before");
    assert_eq!(again[..known.len()], known);
    assert_eq!(again[known.len()..], [(position, segment.encode())], "and is there after a start");
}

/// The audit log. With a first byte of 0 the rest is the file; otherwise every byte turns another one of a file that is sound.
pub fn audit(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let dir = folder();
    let path = dir.path().join("log");
    if *how == 0 {
        fs::write(&path, rest).expect("written");
    } else {
        let mut log = AuditLog::open(dir.path(), SPACE, &root()).expect("an empty folder");
        for items in 0..3 {
            log.append(NOW, Event::Exported { items }).expect("there is room");
        }
        drop(log);
        let mut file = fs::read(&path).expect("read");
        for turn in rest.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([turn[0], turn[1]])) % file.len();
            file[at] ^= turn[2];
        }
        fs::write(&path, file).expect("written");
    }
    let mut log = AuditLog::open(dir.path(), SPACE, &root()).expect("damage is not hidden by refusing to open");
    let (before, broken) = log.read().expect("read");
    let entry = log.append(NOW, Event::Exported { items: 9 }).expect("there is room");
    drop(log);
    let log = AuditLog::open(dir.path(), SPACE, &root()).expect("opened");
    let (after, still) = log.read().expect("read");
    assert_eq!((&after[..before.len()], &after[before.len()..]), (&before[..], &[entry][..]));
    assert!(broken.is_none() || still.is_some(), "what is broken stays broken");
}

/// A file of sealed blocks: the first byte says of how many bytes (times 40), the rest turns bytes of it, or is the file when that is 0.
pub fn blocks(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first() else { return };
    let key = [3; 32];
    let dir = folder();
    let path = dir.path().join("blocks");
    let mut plain = Vec::new();
    if *size == 0 {
        fs::write(&path, rest).expect("written");
    } else {
        plain.resize(usize::from(*size) * 40, *size);
        let mut writer = BlockWriter::create(&path, &key).expect("created");
        writer.write_all(&plain).expect("written");
        writer.finish().expect("finished");
        let mut file = fs::read(&path).expect("read");
        for turn in rest.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([turn[0], turn[1]])) % file.len();
            match turn[2] {
                0 => file.truncate(at.max(1)),
                by => file[at] ^= by,
            }
        }
        fs::write(&path, file).expect("written");
    }
    let Ok(file) = BlockFile::open(&path, &key) else { return };
    assert_eq!(file.len(), plain.len(), "a file that opens is as long as what was written");
    if let Ok(read) = file.read(0..file.len()) {
        assert!(read == plain, "what is read is what was written");
    }
    assert!(file.read(0..file.len() + 1).is_err());
    let middle = file.len() / 2;
    if let Ok(read) = file.read(middle..file.len()) {
        assert!(read == plain[middle..]);
    }
}

/// A page of document keys.
pub fn keys(bytes: &[u8]) {
    let dir = folder();
    let open = || Keys::open(dir.path().to_owned(), root()).expect("opened");
    fs::write(dir.path().join("00"), bytes).expect("written");
    let mut keys = open();
    let known = keys.reader().all().expect("read");
    for (document, space, slot) in &known {
        // It stands there; whether it opens is another question.
        let _ = keys.reader().get(*slot, *space, *document);
    }
    // Pages are filled one after another; enough of them that one comes to lie on this page.
    let made: Vec<_> = (0..4_u8)
        .map(|n| {
            let document = DocumentId::from_bytes([n; 16]);
            let (key, slot) = keys.create(SPACE, document);
            (document, key, slot)
        })
        .collect();
    keys.sync().expect("there is room");
    let mut keys = open();
    for (document, key, slot) in &made {
        assert!(keys.reader().get(*slot, SPACE, *document).is_ok_and(|read| read.as_ref() == Some(key)));
    }
    let all = keys.reader().all().expect("read");
    assert!(known.iter().all(|it| all.contains(it)), "what was there is still there");
    keys.erase(made.iter().map(|(_, _, slot)| *slot)).expect("erased");
    for (document, _, slot) in &made {
        assert!(matches!(keys.reader().get(*slot, SPACE, *document), Ok(None)), "an erased key is gone");
    }
    assert_eq!(open().reader().all().expect("read"), known, "and no other");
}
