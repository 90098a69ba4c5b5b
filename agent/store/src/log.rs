//! The segment log on disk: append, sign, `fdatasync`, and only then acknowledge.
//!
//! `<data>/log/<author>/<incarnation>/NNNN.seg`: each file is a row of `[length][CRC-32C][segment]`. A torn tail, behind which nothing is
//! whole, was never acknowledged and is cut off. A log that cannot be continued (damage before its end, a write that failed, a folder put back from
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
    segment::{BYTES_MAX, Chain, Draft, GENESIS, Head, Segment},
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

/// Marks the incarnations of logs that the fleet may have; a life's own number is a time in milliseconds and stays below it.
const OF_FLEET: u64 = 1 << 56;

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
    /// Our logs that the fleet, or a part of it, may have.
    #[n(8)]
    shared: Vec<Shared>,
    /// No other begins below this, whatever the clock says.
    #[n(9)]
    shared_floor: u64,
}

/// How far a log of ours has got that a fleet, or a part of it, may have.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Shared {
    #[cbor(n(0), with = "minicbor::bytes")]
    fleet: [u8; 16],
    #[n(1)]
    incarnation: u64,
    #[n(2)]
    number: u64,
    #[n(3)]
    seq: u64,
    #[cbor(n(4), with = "minicbor::bytes")]
    head: [u8; 32],
    /// Which part.
    #[n(5)]
    residency: u16,
}

impl Shared {
    fn chain(&self, author: [u8; 32]) -> Chain {
        Chain { author, incarnation: self.incarnation, number: self.number, seq: self.seq, head: self.head }
    }

    fn follow(&mut self, segment: &Segment) -> Result<(), StoreError> {
        let mut chain = self.chain(segment.head().author);
        chain.follow(segment)?;
        (self.number, self.seq, self.head) = (chain.number, chain.seq, chain.head);
        Ok(())
    }
}

/// The end of the log, where it grows.
#[derive(Debug)]
struct End {
    file: File,
    file_no: u32,
    ordinal: u32,
    offset: u64,
    chain: Chain,
    shared: Vec<Shared>,
}

impl End {
    fn shared(&mut self, incarnation: u64) -> Option<&mut Shared> {
        self.shared.iter_mut().find(|shared| shared.incarnation == incarnation)
    }
}

/// This node's log, where it grows.
#[derive(Debug)]
pub struct Log {
    root: PathBuf,
    key: SigningKey,
    /// What a node names that is in no fleet.
    alone: [u8; 16],
    reader: Arc<LogReader>,
    end: Option<End>,
    /// No log that the fleet may have begins below this any more.
    shared_floor: u64,
    since_tip: u32,
    notices: Vec<String>,
}

/// This node's log for those who only read it; they never wait for a write.
#[derive(Debug, Default)]
pub struct LogReader {
    lives: RwLock<Vec<Life>>,
    offsets: Mutex<HashMap<(usize, u32), Offsets>>,
    /// Held alone while a file is put in another one's place, so that nobody looks into one file for what lies in the other.
    files: RwLock<()>,
}

/// Where the segments of a file begin.
type Offsets = Arc<Vec<u64>>;

impl Log {
    /// Opens the log under `dir`, checks what was written since the end was last noted, and cuts off a torn tail.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or a newer program wrote it.
    pub fn open(dir: &Path, key: SigningKey, alone: [u8; 16], now: Moment) -> Result<Self, StoreError> {
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
            alone,
            reader: Arc::new(LogReader { lives: RwLock::new(lives), ..LogReader::default() }),
            end: None,
            shared_floor: 0,
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

    /// Begins the next segment of what stays on this node.
    ///
    /// # Errors
    /// When a write failed before and no new incarnation can be begun yet.
    pub fn draft(&mut self, now: Moment) -> Result<Draft, StoreError> {
        Ok(Draft::after(self.end_or_begin(now)?.chain.clone()))
    }

    /// Begins the next segment of what this fleet may have, or only the homes of a residency; 0 is all of it. Each has a log of its own,
    /// since a log is followed without gaps.
    ///
    /// # Errors
    /// When a write failed before and no new incarnation can be begun yet.
    pub fn draft_shared(&mut self, fleet: [u8; 16], residency: u16, now: Moment) -> Result<Draft, StoreError> {
        let author = self.key.verifying_key().to_bytes();
        let grows = |shared: &&Shared| shared.fleet == fleet && shared.residency == residency;
        if let Some(shared) = self.end_or_begin(now)?.shared.iter().find(grows) {
            return Ok(Draft::after(shared.chain(author)).under(0, residency));
        }
        let life = self.reader.last().expect("begun above").incarnation;
        let incarnation = (OF_FLEET | life.max(now.as_millis())).max(self.shared_floor + 1);
        self.shared_floor = incarnation;
        let shared = Shared { fleet, incarnation, number: 0, seq: 0, head: GENESIS, residency };
        let chain = shared.chain(author);
        let grow = &mut self.end.as_mut().expect("begun above").shared;
        // Of another fleet there is nothing to go on with.
        grow.retain(|shared| shared.fleet == fleet);
        grow.push(shared);
        // Before anything is written to it: segments of ours that come back from others are told from it by its number alone.
        let noted = self.note_tip();
        if noted.is_err() {
            self.end.as_mut().expect("begun above").shared.pop();
        }
        noted.map(|()| Draft::after(chain).under(0, residency))
    }

    /// A log that the fleet may have is known elsewhere further than here: the next one begins, beyond `incarnation`.
    ///
    /// # Errors
    /// When it cannot be noted.
    pub fn begin_shared_anew(&mut self, incarnation: u64) -> Result<(), StoreError> {
        self.shared_floor = self.shared_floor.max(incarnation);
        let logs = self.end.iter().flat_map(|end| &end.shared);
        // What put one of them back put back all of them.
        let is_older = logs.map(|shared| shared.incarnation).any(|known| known <= incarnation);
        self.end_shared(|_| is_older)
    }

    /// What is written next for this residency is to be newer than everything that was shared, in this log or in that of an incarnation that
    /// is known: a log of its own begins with it.
    ///
    /// # Errors
    /// When it cannot be noted.
    pub fn renew_shared(&mut self, residency: u16, known: u64) -> Result<(), StoreError> {
        self.shared_floor = self.shared_floor.max(known);
        self.end_shared(|shared| shared.residency == residency)
    }

    fn end_shared(&mut self, ends: impl Fn(&Shared) -> bool) -> Result<(), StoreError> {
        let Some(end) = &mut self.end else { return Ok(()) };
        let before = end.shared.len();
        end.shared.retain(|shared| !ends(shared));
        // What is noted must not be gone on with after a crash.
        if end.shared.len() < before { self.note_tip() } else { Ok(()) }
    }

    fn end_or_begin(&mut self, now: Moment) -> Result<&End, StoreError> {
        if self.end.is_none() {
            self.begin(now)?;
        }
        Ok(self.end.as_ref().expect("begun above"))
    }

    /// Signs a draft, writes it and waits until the disk has it.
    ///
    /// # Errors
    /// When it could not be written: nothing was acknowledged, and what was written before is untouched.
    pub fn append(&mut self, draft: Draft, now: Moment) -> Result<(Position, Segment), StoreError> {
        let what = || StoreError::Damaged("a draft that is older than the log");
        let incarnation = draft.incarnation();
        let end = self.end.as_mut().ok_or_else(what)?;
        let stays = incarnation == end.chain.incarnation;
        let fleet = match end.shared(incarnation) {
            Some(shared) => shared.fleet,
            None if stays => self.alone,
            None => return Err(what()),
        };
        let segment = draft.close(&self.key, fleet, now);
        let positions = self.write_or_end(std::slice::from_ref(&segment))?;
        let end = self.end.as_mut().expect("just written to");
        match end.shared(incarnation) {
            Some(shared) => shared.follow(&segment)?,
            None => end.chain.follow(&segment)?,
        }
        self.note_tip_now_and_then(1)?;
        Ok((positions[0], segment))
    }

    /// Writes segments of others, verbatim, and waits until the disk has all of them. Whether they are to be believed was decided
    /// before: here only a segment of the logs that grow here is turned away. (Ours of an earlier life come back after a backup.)
    ///
    /// # Errors
    /// When they could not be written: none was acknowledged, and what was written before is untouched.
    pub fn append_foreign(&mut self, segments: &[Segment], now: Moment) -> Result<Vec<Position>, StoreError> {
        let own = self.key.verifying_key().to_bytes();
        let end = self.end_or_begin(now)?;
        let grows = |incarnation| {
            incarnation == end.chain.incarnation || end.shared.iter().any(|it| it.incarnation == incarnation)
        };
        if segments.iter().any(|segment| segment.head().author == own && grows(segment.head().incarnation)) {
            return Err(StoreError::Damaged("a segment that is said to be another's"));
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
            self.reader.grew(life, end.file_no, end.ordinal, offset);
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
        gone: impl Fn(&Head, &Logged<'_>) -> bool,
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
        gone: &impl Fn(&Head, &Logged<'_>) -> bool,
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
                let head = segment.head().clone();
                if segment.prune(|change| gone(&head, change)) {
                    bytes = segment.encode();
                }
            }
            anew.extend(u32::try_from(bytes.len()).expect("a segment is below 4 GiB").to_le_bytes());
            anew.extend(crc32c::crc32c(&bytes).to_le_bytes());
            anew.extend(bytes);
        }
        // The note of the end names offsets that are about to move.
        let _ = fs::remove_file(self.tip_path());
        let _alone = self.reader.files.write().expect("no holder panics");
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
            shared: end.shared.clone(),
            shared_floor: self.shared_floor,
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
        let mut shared = tip.shared;
        self.shared_floor = tip.shared_floor;
        let mut follow = |segment: &Segment| {
            let incarnation = segment.head().incarnation;
            match shared.iter_mut().find(|shared| shared.incarnation == incarnation) {
                _ if segment.head().author != author => true,
                Some(shared) => shared.follow(segment).is_ok(),
                None if incarnation == chain.incarnation => chain.follow(segment).is_ok(),
                None => true,
            }
        };
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
                    Ok(segment) if follow(&segment) => {}
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
            // What was torn off has nothing whole behind it.
            let is_torn =
                size == offset || !has_whole_frame(&mut file, offset).map_err(StoreError::io("reading the log"))?;
            if !more && is_torn {
                if size > offset {
                    file.set_len(offset)
                        .and_then(|()| file.sync_data())
                        .map_err(StoreError::io("cutting a torn tail off the log"))?;
                }
                return Ok(Some(End { file, file_no, ordinal, offset, chain, shared }));
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
        let incarnation = now.as_millis().clamp(last + 1, OF_FLEET - 1);
        let dir = self.root.join(format!("{incarnation:016x}"));
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(StoreError::io(what))?;
        let file = create(&file_path(&dir, 0)).map_err(StoreError::io(what))?;
        sync_dir(&dir).and_then(|()| sync_dir(&self.root)).map_err(StoreError::io(what))?;
        self.reader.lives.write().expect("no holder panics").push(Life { incarnation, dir });
        let chain = Chain::begin(self.key.verifying_key().to_bytes(), incarnation);
        self.end = Some(End { file, file_no: 0, ordinal: 0, offset: 0, chain, shared: Vec::new() });
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

    fn grew(&self, life: usize, file: u32, ordinal: u32, offset: u64) {
        let mut offsets = self.offsets.lock().expect("no holder panics");
        if let Some(known) = offsets.get_mut(&(life, file)) {
            // Who looked while it grew may have seen less; then it is looked at again.
            if known.len() == ordinal as usize {
                Arc::make_mut(known).push(offset);
            } else {
                offsets.remove(&(life, file));
            }
        }
    }

    /// Reads one segment and checks it.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(&self, position: Position) -> Result<Segment, StoreError> {
        Ok(Segment::open(&self.read_bytes(position)?)?)
    }

    /// Reads one segment as it is stored; whether it is what was signed is for the reader to check.
    ///
    /// # Errors
    /// When there is none, or the disk gives other bytes than were written.
    pub fn read_bytes(&self, position: Position) -> Result<Vec<u8>, StoreError> {
        let life = self.life(position.life())?;
        let path = file_path(&life.dir, position.file());
        let _shared = self.files.read().expect("no holder panics");
        let mut file = File::open(&path).map_err(StoreError::io("reading the log"))?;
        let offsets = self.offsets_of(position, &mut file)?;
        let offset = *offsets.get(position.ordinal() as usize).ok_or(StoreError::Damaged("a place in the log"))?;
        let bytes = read_frame(&mut file, offset).map_err(StoreError::io("reading the log"))?;
        bytes.ok_or(StoreError::Damaged("a segment of the log"))
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

/// Whether a whole frame lies at or behind an offset, as far as lengths lead there.
fn has_whole_frame(file: &mut File, offset: u64) -> io::Result<bool> {
    for at in frame_offsets(file)?.into_iter().filter(|at| *at >= offset) {
        if read_frame(file, at)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
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
mod tests;
