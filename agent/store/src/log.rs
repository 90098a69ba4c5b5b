//! The segment log on disk: append, sign, `fdatasync`, and only then acknowledge.
//!
//! `<data>/log/<author>/<incarnation>/NNNN.seg`: each file is a row of `[length][CRC-32C][segment]`. A torn tail was never
//! acknowledged and is cut off. A log that cannot be continued (damage before its end, a write that failed, a folder put back from
//! a backup) is left as it is, and a new incarnation begins.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock},
};

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use hearth_core::{
    Moment,
    delta::Logged,
    segment::{BYTES_MAX, Chain, Draft, Segment},
};
use minicbor::{Decode, Encode};

use crate::{StoreError, write_atomic};

const FILE_BYTES: u64 = 16 << 20;
const FRAME: u64 = 8;
/// So many segments of others are written with one sync.
const FOREIGN_BATCH: usize = 64;
/// How many segments are appended before the place of the end is noted; that many are read again after a crash.
const TIP_EVERY: u32 = 64;

/// Where a segment lies: positions grow along the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Position(#[n(0)] u64);

impl Position {
    /// The first segment there can be.
    pub const BEGIN: Self = Self(0);

    fn new(life: usize, file: u32, ordinal: u32) -> Self {
        let life = u64::try_from(life).expect("a log has few incarnations");
        assert!(
            life < 1 << 20 && file < 1 << 24 && ordinal < 1 << 20,
            "a log stays within 2^20 incarnations, 2^24 files"
        );
        Self(life << 44 | u64::from(file) << 20 | u64::from(ordinal))
    }

    /// As one number, for an index's commit.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Back from [`as_u64`](Self::as_u64).
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    const fn life(self) -> usize {
        (self.0 >> 44) as usize
    }

    #[expect(clippy::cast_possible_truncation, reason = "24 bits are cut out of the number")]
    const fn file(self) -> u32 {
        (self.0 >> 20) as u32 & 0xff_ffff
    }

    #[expect(clippy::cast_possible_truncation, reason = "20 bits are cut out of the number")]
    const fn ordinal(self) -> u32 {
        self.0 as u32 & 0xf_ffff
    }
}

/// One life of the log.
#[derive(Clone, Debug)]
struct Life {
    incarnation: u64,
    dir: PathBuf,
}

/// Where the end was, noted now and then so that opening need not read everything.
#[derive(Clone, Debug, Encode, Decode)]
struct Tip {
    #[n(0)]
    incarnation: u64,
    #[n(1)]
    file: u32,
    #[n(2)]
    ordinal: u32,
    #[n(3)]
    offset: u64,
    #[n(4)]
    number: u64,
    #[n(5)]
    seq: u64,
    #[cbor(n(6), with = "minicbor::bytes")]
    head: [u8; 32],
    /// The file's number in its file system: a copy put back from a backup has another.
    #[n(7)]
    inode: u64,
}

/// The end of the log, where it grows.
#[derive(Debug)]
struct End {
    file: File,
    file_no: u32,
    ordinal: u32,
    offset: u64,
    chain: Chain,
}

/// This node's log, where it grows.
#[derive(Debug)]
pub struct Log {
    root: PathBuf,
    key: SigningKey,
    fleet: [u8; 16],
    reader: Arc<LogReader>,
    end: Option<End>,
    since_tip: u32,
    notices: Vec<String>,
}

/// This node's log for those who only read it; they never wait for a write.
#[derive(Debug, Default)]
pub struct LogReader {
    lives: RwLock<Vec<Life>>,
    offsets: Mutex<HashMap<(usize, u32), Offsets>>,
}

/// Where the segments of a file begin.
type Offsets = Arc<Vec<u64>>;

impl Log {
    /// Opens the log under `dir`, checks what was written since the end was last noted, and cuts off a torn tail.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or a newer program wrote it.
    pub fn open(dir: &Path, key: SigningKey, fleet: [u8; 16], now: Moment) -> Result<Self, StoreError> {
        let root = dir.join(HEXLOWER.encode(key.verifying_key().as_bytes()));
        DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(StoreError::io("creating the log"))?;
        let mut lives = BTreeMap::new();
        for entry in fs::read_dir(&root).map_err(StoreError::io("reading the log"))?.flatten() {
            let name = entry.file_name();
            if let Some(incarnation) =
                name.to_str().filter(|n| n.len() == 16).and_then(|n| u64::from_str_radix(n, 16).ok())
            {
                lives.insert(incarnation, entry.path());
            }
        }
        let lives: Vec<Life> = lives.into_iter().map(|(incarnation, dir)| Life { incarnation, dir }).collect();
        let mut log = Self {
            root,
            key,
            fleet,
            reader: Arc::new(LogReader { lives: RwLock::new(lives), offsets: Mutex::default() }),
            end: None,
            since_tip: 0,
            notices: Vec::new(),
        };
        log.end = log.find_end()?;
        let begun = if log.end.is_none() { log.begin(now) } else { Ok(()) };
        match begun.and_then(|()| log.note_tip()) {
            // It can be read all the same, and is begun again with the first write.
            Err(error) if error.is_full() => log.notices.push(error.to_string()),
            other => other?,
        }
        Ok(log)
    }

    /// What a person should know about how the log was found, as sentences.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Begins the next segment.
    ///
    /// # Errors
    /// When a write failed before and no new incarnation can be begun yet.
    pub fn draft(&mut self, now: Moment) -> Result<Draft, StoreError> {
        if self.end.is_none() {
            self.begin(now)?;
        }
        Ok(Draft::after(self.end.as_ref().expect("begun above").chain.clone()))
    }

    /// Which life of the log is being written, for the places of sealed bodies.
    ///
    /// # Errors
    /// When a write failed before and no new incarnation can be begun yet.
    pub fn incarnation(&mut self, now: Moment) -> Result<u64, StoreError> {
        self.draft(now).map(|_| self.reader.last().expect("a draft has a life").incarnation)
    }

    /// Signs a draft, writes it and waits until the disk has it.
    ///
    /// # Errors
    /// When it could not be written: nothing was acknowledged, and what was written before is untouched.
    pub fn append(&mut self, draft: Draft, now: Moment) -> Result<(Position, Segment), StoreError> {
        let segment = draft.close(&self.key, self.fleet, now);
        let positions = self.write_or_end(std::slice::from_ref(&segment))?;
        let end = self.end.as_mut().expect("just written to");
        end.chain.follow(&segment)?;
        self.note_tip_now_and_then(1)?;
        Ok((positions[0], segment))
    }

    /// Writes segments of others, verbatim, and waits until the disk has all of them. Whether they are to be believed was decided
    /// before: here only a segment of our own is turned away.
    ///
    /// # Errors
    /// When they could not be written: none was acknowledged, and what was written before is untouched.
    pub fn append_foreign(&mut self, segments: &[Segment], now: Moment) -> Result<Vec<Position>, StoreError> {
        let own = self.key.verifying_key().to_bytes();
        if segments.iter().any(|segment| segment.head().author == own) {
            return Err(StoreError::Damaged("a segment that is said to be another's"));
        }
        if self.end.is_none() {
            self.begin(now)?;
        }
        let mut positions = Vec::with_capacity(segments.len());
        for batch in segments.chunks(FOREIGN_BATCH) {
            positions.extend(self.write_or_end(batch)?);
        }
        self.note_tip_now_and_then(u32::try_from(segments.len()).unwrap_or(u32::MAX))?;
        Ok(positions)
    }

    fn write_or_end(&mut self, segments: &[Segment]) -> Result<Vec<Position>, StoreError> {
        let result = self.write(segments);
        if result.is_err() {
            // What the disk has of it is unknown; this life ends here.
            self.end = None;
            let _ = fs::remove_file(self.tip_path());
        }
        result
    }

    fn note_tip_now_and_then(&mut self, written: u32) -> Result<(), StoreError> {
        self.since_tip = self.since_tip.saturating_add(written);
        if self.since_tip >= TIP_EVERY { self.note_tip() } else { Ok(()) }
    }

    /// Writes segments behind one another, with one sync.
    fn write(&mut self, segments: &[Segment]) -> Result<Vec<Position>, StoreError> {
        let what = "writing the log";
        let life = self.reader.count() - 1;
        let dir = self.reader.last().expect("whoever writes has begun a life").dir;
        let end = self.end.as_mut().expect("whoever writes has begun a life");
        if end.offset >= FILE_BYTES {
            let file_no = end.file_no + 1;
            end.file = create(&file_path(&dir, file_no)).map_err(StoreError::io(what))?;
            sync_dir(&dir).map_err(StoreError::io(what))?;
            (end.file_no, end.ordinal, end.offset) = (file_no, 0, 0);
        }
        let (mut frames, mut offsets) = (Vec::new(), Vec::with_capacity(segments.len()));
        for segment in segments {
            offsets.push(end.offset + frames.len() as u64);
            let bytes = segment.encode();
            frames.extend(u32::try_from(bytes.len()).expect("a segment is below 4 GiB").to_le_bytes());
            frames.extend(crc32c::crc32c(&bytes).to_le_bytes());
            frames.extend(bytes);
        }
        let written = end.file.write_all_at(&frames, end.offset).and_then(|()| end.file.sync_data());
        if let Err(error) = written {
            // Best effort: a reader cuts it off anyway, by its checksum.
            let _ = end.file.set_len(end.offset);
            return Err(StoreError::io(what)(error));
        }
        end.offset += frames.len() as u64;
        let mut positions = Vec::with_capacity(segments.len());
        for offset in offsets {
            positions.push(Position::new(life, end.file_no, end.ordinal));
            self.reader.grew(life, end.file_no, offset);
            end.ordinal += 1;
        }
        Ok(positions)
    }

    /// The position after the last segment.
    pub fn end(&self) -> Position {
        match &self.end {
            Some(end) => Position::new(self.reader.count() - 1, end.file_no, end.ordinal),
            None => Position::new(self.reader.count(), 0, 0),
        }
    }

    /// The position that follows one: where a reader that has handled it goes on.
    pub const fn after(position: Position) -> Position {
        Position(position.0 + 1)
    }

    /// For those who only read.
    pub fn reader(&self) -> Arc<LogReader> {
        Arc::clone(&self.reader)
    }

    /// Replaces the changes that `gone` picks by their hashes, in these segments' files, each written anew and renamed over. A file that
    /// is damaged or cannot be read is left as it is; returns the segments that lie in such files.
    ///
    /// # Errors
    /// When the disk is full; the file that was being written is then as it was.
    pub fn prune(
        &mut self,
        segments: &[Position],
        gone: impl Fn(&Logged<'_>) -> bool,
    ) -> Result<Vec<Position>, StoreError> {
        let mut files: BTreeMap<(usize, u32), Vec<Position>> = BTreeMap::new();
        for position in segments {
            files.entry((position.life(), position.file())).or_default().push(*position);
        }
        let mut left = Vec::new();
        for ((life, file_no), positions) in files {
            let ordinals: Vec<u32> = positions.iter().map(|position| position.ordinal()).collect();
            match self.prune_file(life, file_no, &ordinals, &gone) {
                Err(error) if error.is_full() => return Err(error),
                Err(_) => left.extend(positions),
                Ok(()) => {}
            }
        }
        self.note_tip()?;
        Ok(left)
    }

    fn prune_file(
        &mut self,
        life: usize,
        file_no: u32,
        ordinals: &[u32],
        gone: &impl Fn(&Logged<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let what = "pruning the log";
        let path = file_path(&self.reader.life(life)?.dir, file_no);
        let mut file = File::open(&path).map_err(StoreError::io(what))?;
        let mut anew = Vec::new();
        for (ordinal, offset) in (0_u32..).zip(frame_offsets(&mut file).map_err(StoreError::io(what))?) {
            let bytes = read_frame(&mut file, offset).map_err(StoreError::io(what))?;
            let mut bytes = bytes.ok_or(StoreError::Damaged("a segment of the log"))?;
            if ordinals.contains(&ordinal) {
                let mut segment = Segment::open(&bytes)?;
                if segment.prune(gone) {
                    bytes = segment.encode();
                }
            }
            anew.extend(u32::try_from(bytes.len()).expect("a segment is below 4 GiB").to_le_bytes());
            anew.extend(crc32c::crc32c(&bytes).to_le_bytes());
            anew.extend(bytes);
        }
        // The note of the end names offsets that are about to move.
        let _ = fs::remove_file(self.tip_path());
        write_atomic(&path, &anew)?;
        self.reader.offsets.lock().expect("no holder panics").remove(&(life, file_no));
        if let Some(end) = self.end.as_mut().filter(|end| life + 1 == self.reader.count() && end.file_no == file_no) {
            end.file = OpenOptions::new().read(true).write(true).open(&path).map_err(StoreError::io(what))?;
            end.offset = anew.len() as u64;
        }
        Ok(())
    }

    /// Notes where the end is; called when the node goes to rest.
    ///
    /// # Errors
    /// When the note cannot be written; the log is whole without it.
    pub fn note_tip(&mut self) -> Result<(), StoreError> {
        self.since_tip = 0;
        let Some(end) = &self.end else { return Ok(()) };
        let tip = Tip {
            incarnation: end.chain.incarnation,
            file: end.file_no,
            ordinal: end.ordinal,
            offset: end.offset,
            number: end.chain.number,
            seq: end.chain.seq,
            head: end.chain.head,
            inode: end.file.metadata().map_err(StoreError::io("reading the log"))?.ino(),
        };
        write_atomic(&self.tip_path(), &minicbor::to_vec(tip).expect("writing to memory does not fail"))
    }

    fn tip_path(&self) -> PathBuf {
        self.root.join("tip")
    }

    /// Finds where the last life ends; `None` when it cannot be continued.
    fn find_end(&mut self) -> Result<Option<End>, StoreError> {
        let Some(life) = self.reader.last() else { return Ok(None) };
        let author = self.key.verifying_key().to_bytes();
        let tip = fs::read(self.tip_path()).ok().and_then(|bytes| minicbor::decode::<Tip>(&bytes).ok());
        // Without a note of this very file the end cannot be trusted to be the end: another copy of this log may have gone on.
        let Some(tip) = tip.filter(|tip| tip.incarnation == life.incarnation) else { return Ok(None) };
        let found = fs::metadata(file_path(&life.dir, tip.file)).map_or((0, 0), |meta| (meta.len(), meta.ino()));
        if found.0 < tip.offset || found.1 != tip.inode {
            self.notices.push(
                "the log is not the file it was; the data folder seems to come from a backup, so a new log begins beside it"
                    .into(),
            );
            return Ok(None);
        }
        let mut chain =
            Chain { author, incarnation: life.incarnation, number: tip.number, seq: tip.seq, head: tip.head };
        let (mut file_no, mut ordinal, mut offset) = (tip.file, tip.ordinal, tip.offset);
        loop {
            let path = file_path(&life.dir, file_no);
            let opened = OpenOptions::new().read(true).write(true).open(&path);
            let mut file = match opened {
                Ok(file) => file,
                // A life whose first file was never made: killed in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound && file_no == 0 => return Ok(None),
                Err(error) => return Err(StoreError::io("opening the log")(error)),
            };
            while let Some(bytes) = read_frame(&mut file, offset).map_err(StoreError::io("reading the log"))? {
                match Segment::open(&bytes) {
                    Ok(segment) if segment.head().author != author || chain.follow(&segment).is_ok() => {}
                    Err(newer @ hearth_core::segment::BadSegment::Newer(_)) => return Err(newer.into()),
                    _ => {
                        self.notices.push("the log is damaged before its end; a new log begins beside it".into());
                        return Ok(None);
                    }
                }
                ordinal += 1;
                offset += FRAME + bytes.len() as u64;
            }
            let size = file.metadata().map_err(StoreError::io("reading the log"))?.len();
            let more = file_path(&life.dir, file_no + 1).exists();
            if !more {
                if size > offset {
                    file.set_len(offset)
                        .and_then(|()| file.sync_data())
                        .map_err(StoreError::io("cutting a torn tail off the log"))?;
                }
                return Ok(Some(End { file, file_no, ordinal, offset, chain }));
            }
            if size > offset {
                self.notices.push("the log is damaged before its end; a new log begins beside it".into());
                return Ok(None);
            }
            (file_no, ordinal, offset) = (file_no + 1, 0, 0);
        }
    }

    /// Begins a new life of the log.
    fn begin(&mut self, now: Moment) -> Result<(), StoreError> {
        let what = "beginning the log";
        let last = self.reader.last().map_or(0, |life| life.incarnation);
        let incarnation = now.as_millis().max(last + 1);
        let dir = self.root.join(format!("{incarnation:016x}"));
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(StoreError::io(what))?;
        let file = create(&file_path(&dir, 0)).map_err(StoreError::io(what))?;
        sync_dir(&dir).and_then(|()| sync_dir(&self.root)).map_err(StoreError::io(what))?;
        self.reader.lives.write().expect("no holder panics").push(Life { incarnation, dir });
        let chain = Chain::begin(self.key.verifying_key().to_bytes(), incarnation);
        self.end = Some(End { file, file_no: 0, ordinal: 0, offset: 0, chain });
        Ok(())
    }
}

impl LogReader {
    fn life(&self, number: usize) -> Result<Life, StoreError> {
        let lives = self.lives.read().expect("no holder panics");
        lives.get(number).cloned().ok_or(StoreError::Damaged("a place in the log"))
    }

    fn last(&self) -> Option<Life> {
        self.lives.read().expect("no holder panics").last().cloned()
    }

    fn count(&self) -> usize {
        self.lives.read().expect("no holder panics").len()
    }

    fn grew(&self, life: usize, file: u32, offset: u64) {
        if let Some(known) = self.offsets.lock().expect("no holder panics").get_mut(&(life, file)) {
            Arc::make_mut(known).push(offset);
        }
    }

    /// Reads one segment and checks it.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(&self, position: Position) -> Result<Segment, StoreError> {
        let life = self.life(position.life())?;
        let path = file_path(&life.dir, position.file());
        let mut file = File::open(&path).map_err(StoreError::io("reading the log"))?;
        let offsets = self.offsets_of(position, &mut file)?;
        let offset = *offsets.get(position.ordinal() as usize).ok_or(StoreError::Damaged("a place in the log"))?;
        let bytes = read_frame(&mut file, offset).map_err(StoreError::io("reading the log"))?;
        Ok(Segment::open(&bytes.ok_or(StoreError::Damaged("a segment of the log"))?)?)
    }

    fn offsets_of(&self, position: Position, file: &mut File) -> Result<Arc<Vec<u64>>, StoreError> {
        let key = (position.life(), position.file());
        let known = self.offsets.lock().expect("no holder panics").get(&key).cloned();
        if let Some(known) = known.filter(|offsets| offsets.len() > position.ordinal() as usize) {
            return Ok(known);
        }
        let offsets = Arc::new(frame_offsets(file).map_err(StoreError::io("reading the log"))?);
        self.offsets.lock().expect("no holder panics").insert(key, Arc::clone(&offsets));
        Ok(offsets)
    }

    /// Calls `each` with every segment from `from` on, in order. Damage ends a life's part and is told in the returned sentences.
    ///
    /// # Errors
    /// What `each` returns, or when the log cannot be read.
    pub fn replay(
        &self,
        from: Position,
        mut each: impl FnMut(Position, Segment) -> Result<(), StoreError>,
    ) -> Result<Vec<String>, StoreError> {
        let mut notices = Vec::new();
        let lives = self.lives.read().expect("no holder panics").clone();
        for (number, life) in lives.iter().enumerate().skip(from.life()) {
            let here = number == from.life();
            let mut file_no = if here { from.file() } else { 0 };
            let mut ordinal = if here { from.ordinal() } else { 0 };
            while let Ok(mut file) = File::open(file_path(&life.dir, file_no)) {
                let offsets = frame_offsets(&mut file).map_err(StoreError::io("reading the log"))?;
                for (at, offset) in (0_u32..).zip(offsets).skip(ordinal as usize) {
                    let bytes = read_frame(&mut file, offset).map_err(StoreError::io("reading the log"))?;
                    match bytes.map(|bytes| Segment::open(&bytes)) {
                        Some(Ok(segment)) => each(Position::new(number, file_no, at), segment)?,
                        Some(Err(newer @ hearth_core::segment::BadSegment::Newer(_))) => return Err(newer.into()),
                        Some(Err(_)) | None => {
                            notices.push(format!(
                                "segment {at} of log file {file_no:04} is damaged; what it held is captured again where its source still has it"
                            ));
                        }
                    }
                }
                (file_no, ordinal) = (file_no + 1, 0);
            }
        }
        Ok(notices)
    }
}

fn file_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:04}.seg"))
}

fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.sync_all()?;
    Ok(file)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Where each whole frame of a file begins, read from their lengths alone.
fn frame_offsets(file: &mut File) -> io::Result<Vec<u64>> {
    let size = file.metadata()?.len();
    let (mut offsets, mut at) = (Vec::new(), 0);
    while at + FRAME <= size {
        let mut length = [0; 4];
        file.read_exact_at(&mut length, at)?;
        let length = u64::from(u32::from_le_bytes(length));
        if length == 0 || length > BYTES_MAX as u64 || at + FRAME + length > size {
            break;
        }
        offsets.push(at);
        at += FRAME + length;
    }
    Ok(offsets)
}

/// The segment's bytes at an offset; `None` at the end, or where what is there is not a whole frame.
fn read_frame(file: &mut File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let size = file.metadata()?.len();
    if offset + FRAME > size {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut header = [0; 8];
    file.read_exact(&mut header)?;
    let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
    let crc = u32::from_le_bytes(header[4..].try_into().expect("four bytes"));
    if length as usize > BYTES_MAX || offset + FRAME + u64::from(length) > size {
        return Ok(None);
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    Ok((crc32c::crc32c(&bytes) == crc && length > 0).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use hearth_core::{DocumentId, delta::Tombstone};

    use super::*;

    const NOW: Moment = Moment::from_millis(1_000);

    fn open(dir: &Path) -> Log {
        Log::open(dir, SigningKey::from_bytes(&[1; 32]), [0; 16], NOW).expect("opened")
    }

    fn append(log: &mut Log, n: u8) -> Position {
        let mut draft = log.draft(NOW).expect("a draft");
        draft.push(Tombstone { document: DocumentId::from_bytes([n; 16]) });
        log.append(draft, NOW).expect("appended").0
    }

    fn documents(log: &Log, from: Position) -> Vec<u8> {
        let mut seen = Vec::new();
        let each = |_, segment: Segment| {
            seen.extend(segment.changes().filter_map(|(_, change)| change.map(|c| c.document.as_bytes()[0])));
            Ok(())
        };
        log.reader().replay(from, each).expect("replayed");
        seen
    }

    fn only_file(dir: &Path) -> PathBuf {
        let author = fs::read_dir(dir).expect("listed").flatten().next().expect("an author").path();
        let life = fs::read_dir(author).expect("listed").flatten().find(|e| e.path().is_dir()).expect("a life").path();
        file_path(&life, 0)
    }

    #[test]
    fn what_was_appended_is_there_in_order_from_any_place() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        let positions: Vec<Position> = (0..5).map(|n| append(&mut log, n)).collect();
        drop(log);
        let mut log = open(dir.path());
        positions.iter().for_each(|position| drop(log.reader().read(*position).expect("read")));
        append(&mut log, 5);
        assert_eq!(documents(&log, Position::BEGIN), [0, 1, 2, 3, 4, 5]);
        assert_eq!(documents(&log, positions[3]), [3, 4, 5]);
        assert!(documents(&log, log.end()).is_empty());
        assert_eq!(log.reader.count(), 1, "one life: the log was continued");
    }

    #[test]
    fn a_damaged_file_is_left_as_it_is_and_the_others_are_pruned() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        let old: Vec<Position> = (0..3).map(|n| append(&mut log, n)).collect();
        let path = only_file(dir.path());
        let mut bytes = fs::read(&path).expect("read");
        let second = 8 + u32::from_le_bytes(bytes[..4].try_into().expect("four")) as usize;
        bytes[second + 20] ^= 1;
        fs::write(&path, &bytes).expect("damaged");
        fs::remove_file(log.tip_path()).expect("removed");
        drop(log);

        let mut log = open(dir.path());
        let new = append(&mut log, 9);
        assert_eq!(log.reader.count(), 2, "another life");
        let left = log.prune(&[old[0], new], |_| true).expect("there is room");
        assert_eq!(left, [old[0]]);
        assert_eq!(fs::read(&path).expect("read"), bytes, "left as it is");
        assert!(log.reader().read(new).expect("read").changes().all(|(_, change)| change.is_none()), "pruned");
        append(&mut log, 10);
        drop(log);
        assert_eq!(open(dir.path()).reader.count(), 2, "and the log goes on");
    }

    #[test]
    fn what_others_wrote_lies_between_our_own_and_our_chain_goes_on() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let theirs: Vec<Segment> = {
            let key = SigningKey::from_bytes(&[2; 32]);
            let mut chain = Chain::begin(key.verifying_key().to_bytes(), 77);
            let mut next = |n: u8| {
                let mut draft = Draft::after(chain.clone());
                draft.push(Tombstone { document: DocumentId::from_bytes([n; 16]) });
                let segment = draft.close(&key, [0; 16], NOW);
                chain.follow(&segment).expect("the next one");
                segment
            };
            (100..200).map(&mut next).collect()
        };
        let mut log = open(dir.path());
        append(&mut log, 0);
        let positions = log.append_foreign(&theirs, NOW).expect("appended");
        append(&mut log, 1);
        log.append_foreign(&theirs[..1], NOW).expect("whether it is known already is not for the log to say");
        drop(log);

        let mut log = open(dir.path());
        assert_eq!((log.reader.count(), log.notices()), (1, &[][..]), "one life, continued");
        let (own, _) = log.reader().read(append(&mut log, 2)).map(|own| (own.head().number, own)).expect("read");
        assert_eq!(own, 2, "the third of our own");
        let expected: Vec<u8> = [0].into_iter().chain(100..200).chain([1, 100, 2]).collect();
        assert_eq!(documents(&log, Position::BEGIN), expected);
        let read = log.reader().read(positions[41]).expect("read");
        assert_eq!(read.encode(), theirs[41].encode(), "verbatim");
        assert!(log.append_foreign(&[log.reader().read(Position::BEGIN).expect("read")], NOW).is_err(), "our own");
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_every_length_and_the_log_goes_on() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        append(&mut log, 0);
        log.note_tip().expect("noted");
        let (path, tip) = (only_file(dir.path()), log.tip_path());
        let noted = fs::read(&tip).expect("read");
        let whole = usize::try_from(fs::metadata(&path).expect("there").len()).expect("small");
        append(&mut log, 1);
        drop(log);
        let full = fs::read(&path).expect("read");
        for cut in whole..full.len() {
            // Written over, so that it stays the same file.
            fs::write(&path, &full[..cut]).and_then(|()| fs::write(&tip, &noted)).expect("cut");
            let mut log = open(dir.path());
            assert_eq!(documents(&log, Position::BEGIN), [0], "cut at {cut}");
            append(&mut log, 7);
            assert_eq!(log.reader.count(), 1, "cut at {cut}: one life, continued");
            drop(log);
            assert_eq!(documents(&open(dir.path()), Position::BEGIN), [0, 7], "cut at {cut}");
        }
    }

    #[test]
    fn a_copy_put_back_from_a_backup_begins_a_life_of_its_own() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        append(&mut log, 0);
        drop(log);
        let path = only_file(dir.path());
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).and_then(|_| fs::rename(&copy, &path)).expect("put back");
        let mut log = open(dir.path());
        assert!(log.notices()[0].contains("backup"), "{:?}", log.notices());
        append(&mut log, 9);
        assert_eq!((log.reader.count(), documents(&log, Position::BEGIN)), (2, vec![0, 9]));
    }

    #[test]
    fn damage_before_the_end_and_a_restored_backup_begin_a_new_life() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        (0..3).for_each(|n| {
            append(&mut log, n);
        });
        drop(log);
        let path = only_file(dir.path());
        let good = fs::read(&path).expect("read");

        let log = open(dir.path());
        drop(log);
        fs::write(&path, &good[..good.len() / 2]).expect("an older copy");
        let mut log = open(dir.path());
        assert!(log.notices()[0].contains("backup"), "{:?}", log.notices());
        append(&mut log, 9);
        assert_eq!(documents(&log, Position::BEGIN), [0, 9], "what is there of the old life, then the new one");
    }

    #[test]
    fn a_pruned_change_is_gone_from_the_disk_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        let positions: Vec<Position> = (0..4).map(|n| append(&mut log, n)).collect();
        let gone = DocumentId::from_bytes([1; 16]);
        log.prune(&positions, |change| change.document == gone).expect("pruned");
        append(&mut log, 8);
        assert_eq!(documents(&log, Position::BEGIN), [0, 2, 3, 8]);
        drop(log);
        let mut log = open(dir.path());
        assert_eq!(documents(&log, positions[1]), [2, 3, 8]);
        append(&mut log, 9);
        assert!(!fs::read(only_file(dir.path())).expect("read").windows(16).any(|window| window == [1; 16]));
    }

    #[test]
    fn a_clock_set_back_still_gives_a_later_life() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        append(&mut log, 0);
        log.end = None;
        log.begin(Moment::START).expect("begun");
        let lives = log.reader.lives.read().expect("no holder panics");
        assert!(lives[1].incarnation > lives[0].incarnation);
    }
}
