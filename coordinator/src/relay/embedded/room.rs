//! One fleet's files, open: found as a crash left them, appended to, erased from.
//!
//! Whoever changes a room holds it alone. When something fails, the room is dropped; the next one begins with what the disk has.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use hearth_core::{
    DeviceId, DocumentId,
    delta::Kind,
    fleet::FleetId,
    segment::{BYTES_MAX, BadSegment, Outline, Segment},
    sync::{Held, Log, frame::KEY_MAX},
};

use super::{
    Shared, Stop,
    ledger::{self, Ledger, Rows, Spot, Tally},
    shelf::{Found, Piece, Pieces, Shape, Shelf, file_path, payload_at, push_frame},
};
use crate::relay::engine::{Appended, Failed, ToStore, Usage};

/// The beginning of every segment: an array of three, of which the first is a head of at least 24 bytes.
const SEGMENT: &[u8] = &[0x83, 0x58];
/// Of so many frames the index is written at once.
const FRAMES_AT_ONCE: usize = 1024;
/// Before a key record stands its document.
const DOCUMENT: usize = 16;

/// When files are followed by others; a test has smaller ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) log: u64,
    pub(super) keys: u64,
}

impl Sizes {
    /// An erased key costs writing one file of keys anew, so these are small.
    pub(super) const DISK: Self = Self { log: 16 << 20, keys: 256 << 10 };

    const fn log(self) -> Shape {
        Shape { ending: LOG_ENDING, roll: self.log, least: 64, most: BYTES_MAX, opening: SEGMENT }
    }

    const fn keys(self) -> Shape {
        Shape { ending: "key", roll: self.keys, least: DOCUMENT, most: DOCUMENT + KEY_MAX, opening: &[] }
    }
}

const LOG_ENDING: &str = "seg";

/// One fleet, open.
#[derive(Debug)]
pub(super) struct Room {
    fleet: FleetId,
    log: Shelf,
    keys: Shelf,
    tally: Tally,
}

impl Room {
    /// Opens a fleet: cuts off what a crash left unfinished and takes into the index what it lacks. With `doubt`, the index is
    /// made anew from the files.
    pub(super) fn open(shared: &Shared, fleet: FleetId, doubt: bool) -> Result<Self, Stop> {
        let dir = shared.dir(&fleet);
        let mut room = Self {
            fleet,
            log: Shelf::new(dir.join("log"), shared.sizes.log()),
            keys: Shelf::new(dir.join("keys"), shared.sizes.keys()),
            tally: Tally::default(),
        };
        let mut ledger = if doubt {
            ledger::clear(&shared.index, &fleet)?;
            let mut ledger = Ledger::go_on(&shared.index, fleet, Tally::default())?;
            ledger.commit()?;
            ledger
        } else {
            Ledger::read(&shared.index, fleet)?
        };
        // Keys first: what the log erases must be found among them.
        room.catch_up(shared, &mut ledger, Rows::Keys)?;
        room.catch_up(shared, &mut ledger, Rows::Log)?;
        room.tally = ledger.tally;
        Ok(room)
    }

    fn ledger<'a>(&self, shared: &'a Shared) -> Result<Ledger<'a>, Stop> {
        Ledger::go_on(&shared.index, self.fleet, self.tally.clone())
    }

    /// What the index says of the fleet, to be read.
    pub(super) fn read<'a>(&self, shared: &'a Shared) -> Result<Ledger<'a>, Stop> {
        self.ledger(shared)
    }

    /// What the fleet's rows take.
    pub(super) fn usage(&self, shared: &Shared) -> Result<Usage, Stop> {
        let ledger = self.ledger(shared)?;
        let files = [ledger.files(Rows::Log)?, ledger.files(Rows::Keys)?].concat();
        Ok(Usage {
            bytes: files.iter().map(|found| found.len).sum(),
            segments: ledger.segments(),
            keys: self.tally.keys,
            erased: self.tally.erased,
        })
    }

    const fn shelf(&mut self, rows: Rows) -> &mut Shelf {
        match rows {
            Rows::Log => &mut self.log,
            Rows::Keys => &mut self.keys,
        }
    }

    /// Compares the files with what the index has of them, and reads what it lacks.
    fn catch_up(&mut self, shared: &Shared, ledger: &mut Ledger<'_>, rows: Rows) -> Result<(), Stop> {
        let what = "reading a fleet's files";
        let files = self.shelf(rows).files().map_err(Failed::io(what))?;
        let known = ledger.files(rows)?;
        for was in &known {
            let grows = known.last() == Some(was);
            match files.iter().find(|file| file.number == was.number) {
                Some(now) if now.inode == was.inode && (now.len == was.len || grows && now.len > was.len) => {}
                Some(now) if now.inode == was.inode && now.len < was.len => {
                    let lost = was.len - now.len;
                    return Err(Stop::Doubt(Some(format!(
                        "{lost} bytes at the end of {} are gone; the fleet's devices send again what they still have",
                        self.shelf(rows).path(was.number).display()
                    ))));
                }
                // Written anew, and the index did not hear of it.
                Some(_) => return Err(Stop::Doubt(None)),
                None => {
                    return Err(Stop::Doubt(Some(format!(
                        "{} is gone; the fleet's devices send again what they still have",
                        self.shelf(rows).path(was.number).display()
                    ))));
                }
            }
        }
        let Some(last) = files.last().copied() else { return Ok(()) };
        let mut end = last.len;
        for file in &files {
            let from = match known.iter().find(|was| was.number == file.number) {
                Some(was) if was.len == file.len => continue,
                Some(was) => was.len,
                None => 0,
            };
            // What a crash left may be in the system's memory only; the index is never ahead of the disk.
            self.shelf(rows).sync(file.number).map_err(Failed::io(what))?;
            let is_last = file.number == last.number;
            let read = self.replay(shared, ledger, rows, *file, from, is_last)?;
            if is_last {
                end = read;
            }
        }
        self.shelf(rows).end_with(last.number, end).map_err(Failed::io("cutting off an unfinished end"))?;
        Ok(())
    }

    /// Takes a file into the index from an offset on. Returns where it ends, without what was never finished.
    fn replay(
        &mut self,
        shared: &Shared,
        ledger: &mut Ledger<'_>,
        rows: Rows,
        file: Found,
        from: u64,
        is_last: bool,
    ) -> Result<u64, Stop> {
        let shelf = self.shelf(rows);
        let bytes = shelf.bytes(file.number, from).map_err(Failed::io("reading a fleet's files"))?;
        let (shape, path) = (shelf.shape, shelf.path(file.number));
        let mut end = from + bytes.len() as u64;
        let (mut erased, mut damaged, mut frames) = (BTreeSet::new(), 0_u64, 0);
        for piece in Pieces::new(&bytes, shape) {
            match piece {
                Piece::Frame { at, payload, sure } => {
                    let len = u32::try_from(payload.len()).expect("no longer than its shape lets it");
                    let spot = Spot { file: file.number, offset: from + at, len };
                    let good = match rows {
                        Rows::Log => self.replay_segment(ledger, payload, sure, spot, &mut erased)?,
                        Rows::Keys => replay_key(ledger, payload, file.number, &mut erased)?,
                    };
                    damaged += u64::from(!good);
                    frames += 1;
                    if frames % FRAMES_AT_ONCE == 0 && erased.is_empty() {
                        let len = spot.offset + 8 + payload.len() as u64;
                        ledger.has_file(rows, Found { len, ..file });
                        ledger.commit()?;
                    }
                }
                Piece::Damage { at, last, complete } => {
                    let unfinished = last && is_last;
                    if unfinished {
                        end = from + at;
                    }
                    damaged += u64::from(!unfinished || complete);
                }
            }
        }
        if damaged > 0 {
            shared.tell(format!(
                "{} is damaged in {damaged} {}; what still reads is kept, and the fleet's devices send again what they still have",
                path.display(),
                if damaged == 1 { "place" } else { "places" }
            ));
        }
        ledger.has_file(rows, Found { len: end, ..file });
        self.purge(ledger, &erased)?;
        ledger.commit()?;
        Ok(end)
    }

    fn replay_segment(
        &self,
        ledger: &mut Ledger<'_>,
        payload: &[u8],
        sure: bool,
        spot: Spot,
        erased: &mut BTreeSet<DocumentId>,
    ) -> Result<bool, Stop> {
        let Some(outline) = self.outline(payload, sure)? else { return Ok(false) };
        for document in buried(&outline) {
            ledger.erase(document)?;
            erased.insert(*document);
        }
        ledger.admit(&outline, spot)?;
        Ok(true)
    }

    /// What a segment in a file says; `None` when it is not one that was appended here.
    fn outline(&self, payload: &[u8], sure: bool) -> Result<Option<Outline>, Failed> {
        let outline = match Outline::read(payload) {
            Ok(outline) => outline,
            Err(newer @ BadSegment::Newer(_)) => return Err(newer.into()),
            Err(_) => return Ok(None),
        };
        // Behind damage, what looks like a segment may be what somebody wrote into the body of another.
        let ours = outline.head().fleet == *self.fleet.as_bytes() && (sure || Segment::open(payload).is_ok());
        Ok(ours.then_some(outline))
    }

    /// Appends segments; see the trait.
    pub(super) fn append(&mut self, shared: &Shared, orders: &[ToStore]) -> Result<Vec<Appended>, Stop> {
        let what = "appending segments";
        let outlines = orders.iter().map(|order| self.check(order)).collect::<Result<Vec<_>, _>>()?;
        let mut ledger = self.ledger(shared)?;
        let (mut answers, mut frames, mut erased) = (Vec::with_capacity(orders.len()), Vec::new(), BTreeSet::new());
        for (order, outline) in orders.iter().zip(&outlines) {
            let (next, seq, head) = ledger.awaits(&order.at.log)?;
            let number = outline.head().number;
            match number.cmp(&next) {
                Ordering::Equal if (outline.head().first_seq, outline.head().prev) == (seq, head) => {}
                Ordering::Less => {
                    answers.push(Appended::Had(self.had(shared, &mut ledger, &order.at.log, number, &frames)?));
                    continue;
                }
                Ordering::Equal | Ordering::Greater => {
                    answers.push(Appended::Gap);
                    continue;
                }
            }
            for document in buried(outline) {
                ledger.erase(document)?;
                erased.insert(*document);
            }
            let bytes = pruned(&ledger, outline, &order.bytes)?;
            let (file, offset) = match self.log.end(frames.len()) {
                Some(end) => end,
                None => {
                    self.write(&mut ledger, &mut frames)?;
                    (self.log.roll().map_err(Failed::io(what))?, 0)
                }
            };
            let len = push_frame(&mut frames, &[bytes.as_deref().unwrap_or(&order.bytes)]);
            let taken = ledger.admit(outline, Spot { file, offset, len })?;
            answers.push(if taken { Appended::Taken } else { return Err(Stop::Doubt(None)) });
        }
        if answers.contains(&Appended::Taken) {
            self.write(&mut ledger, &mut frames)?;
            self.purge(&mut ledger, &erased)?;
            ledger.commit()?;
            self.tally = ledger.tally;
        }
        Ok(answers)
    }

    fn write(&mut self, ledger: &mut Ledger<'_>, frames: &mut Vec<u8>) -> Result<(), Stop> {
        if !frames.is_empty() {
            let found = self.log.append(frames).map_err(Failed::io("appending segments"))?;
            ledger.has_file(Rows::Log, found);
            frames.clear();
        }
        Ok(())
    }

    /// An order must be what it says: what is written down is believed later.
    fn check(&self, order: &ToStore) -> Result<Outline, Failed> {
        let outline = Outline::read(&order.bytes)?;
        let (head, at) = (outline.head(), &order.at);
        let is_it = outline.chain() == at.chain
            && head.residency == at.residency
            && head.prev == order.after
            && head.fleet == *self.fleet.as_bytes()
            && at.log == log_of(&outline);
        if is_it { Ok(outline) } else { Err(Failed::Mistaken) }
    }

    /// A log as it was right after a segment that is here, or that is about to be written.
    fn had(
        &mut self,
        shared: &Shared,
        ledger: &mut Ledger<'_>,
        log: &Log,
        number: u64,
        pending: &[u8],
    ) -> Result<Held, Stop> {
        let spot = ledger.spot(log, number)?.ok_or(Stop::Doubt(None))?;
        let written = match self.log.end(0) {
            Some((file, end)) if file == spot.file => end,
            _ => u64::MAX,
        };
        let bytes = match spot.offset.checked_sub(written).and_then(|at| usize::try_from(at).ok()) {
            Some(at) => pending.get(at + 8..at + 8 + spot.len as usize).map(<[u8]>::to_vec),
            None => segment_at(&shared.dir(&self.fleet), spot)?,
        };
        let outline = bytes.and_then(|bytes| Outline::read(&bytes).ok()).ok_or(Stop::Doubt(None))?;
        if log_of(&outline) != *log || outline.head().number != number {
            return Err(Stop::Doubt(None));
        }
        Ok(Held { log: *log, residency: outline.head().residency, chain: outline.chain() })
    }

    /// Keeps key records; see the trait.
    pub(super) fn keep_keys(&mut self, shared: &Shared, records: &[(DocumentId, Vec<u8>)]) -> Result<(), Stop> {
        let what = "keeping document keys";
        let mut ledger = self.ledger(shared)?;
        let newest: BTreeMap<DocumentId, &Vec<u8>> = records.iter().map(|(document, key)| (*document, key)).collect();
        let known = self.keys(shared, &newest.keys().copied().collect::<Vec<_>>())?;
        let mut frames = Vec::new();
        for (document, record) in newest {
            if ledger.is_erased(&document)? || known.get(&document) == Some(record) {
                continue;
            }
            let (file, _) = match self.keys.end(frames.len()) {
                Some(end) => end,
                None => {
                    self.write_keys(&mut ledger, &mut frames)?;
                    (self.keys.roll().map_err(Failed::io(what))?, 0)
                }
            };
            push_frame(&mut frames, &[document.as_bytes(), record]);
            ledger.has_key(&document, file)?;
        }
        if !frames.is_empty() {
            self.write_keys(&mut ledger, &mut frames)?;
            ledger.commit()?;
            self.tally = ledger.tally;
        }
        Ok(())
    }

    fn write_keys(&mut self, ledger: &mut Ledger<'_>, frames: &mut Vec<u8>) -> Result<(), Stop> {
        if !frames.is_empty() {
            let found = self.keys.append(frames).map_err(Failed::io("keeping document keys"))?;
            ledger.has_file(Rows::Keys, found);
            frames.clear();
        }
        Ok(())
    }

    /// The newest key record of each of these documents that has one.
    pub(super) fn keys(
        &self,
        shared: &Shared,
        documents: &[DocumentId],
    ) -> Result<BTreeMap<DocumentId, Vec<u8>>, Stop> {
        let ledger = self.ledger(shared)?;
        let mut files: BTreeMap<u32, BTreeSet<DocumentId>> = BTreeMap::new();
        for document in documents {
            if let Some(file) = ledger.key_files(document)?.last() {
                files.entry(*file).or_default().insert(*document);
            }
        }
        let mut keys = BTreeMap::new();
        for (file, wanted) in files {
            let bytes = self.keys.bytes(file, 0).map_err(Failed::io("reading document keys"))?;
            for (document, record) in key_records(&bytes, self.keys.shape) {
                if wanted.contains(&document) {
                    keys.insert(document, record.to_vec());
                }
            }
            if !wanted.iter().all(|document| keys.contains_key(document)) {
                return Err(Stop::Doubt(None));
            }
        }
        Ok(keys)
    }

    /// Destroys the keys of erased documents: each file that holds one is written anew without it, and the old one overwritten.
    fn purge(&mut self, ledger: &mut Ledger<'_>, erased: &BTreeSet<DocumentId>) -> Result<(), Stop> {
        let mut files: BTreeSet<u32> = BTreeSet::new();
        for document in erased {
            files.extend(ledger.key_files(document)?);
        }
        for file in files {
            self.rewrite_keys(ledger, file, |document, _| !erased.contains(document))?;
        }
        Ok(())
    }

    /// Writes a file of keys anew with those that are to stay: `stays` is told whether a record is the document's newest in this file.
    fn rewrite_keys(
        &mut self,
        ledger: &mut Ledger<'_>,
        file: u32,
        stays: impl Fn(&DocumentId, bool) -> bool,
    ) -> Result<u64, Stop> {
        let bytes = self.keys.bytes(file, 0).map_err(Failed::io("reading document keys"))?;
        let records: Vec<_> = key_records(&bytes, self.keys.shape).collect();
        let newest: BTreeMap<DocumentId, usize> =
            records.iter().enumerate().map(|(at, (document, _))| (*document, at)).collect();
        let (mut frames, mut kept) = (Vec::new(), BTreeSet::new());
        for (at, (document, record)) in records.iter().enumerate() {
            if stays(document, newest[document] == at) {
                push_frame(&mut frames, &[document.as_bytes(), record]);
                kept.insert(*document);
            }
        }
        if frames.len() == bytes.len() {
            return Ok(0);
        }
        let found = self.keys.replace(file, &frames, true).map_err(Failed::io("erasing document keys"))?;
        ledger.has_file(Rows::Keys, found);
        for document in newest.keys().filter(|document| !kept.contains(document)) {
            ledger.lacks_key(document, file)?;
        }
        Ok((bytes.len() - frames.len()) as u64)
    }

    /// The files that may hold what was erased, and how much was when they were asked for; none when nothing was.
    pub(super) fn to_tidy(&self, shared: &Shared) -> Result<(Vec<(Rows, u32)>, Tally), Stop> {
        let ledger = self.ledger(shared)?;
        let mut files = Vec::new();
        for (rows, needed) in [(Rows::Keys, self.tally.stale > 0), (Rows::Log, self.tally.untidied > 0)] {
            if needed {
                files.extend(ledger.files(rows)?.into_iter().map(|found| (rows, found.number)));
            }
        }
        Ok((files, self.tally.clone()))
    }

    /// Takes out of one file what was erased; returns how many bytes that gave back.
    pub(super) fn tidy(&mut self, shared: &Shared, rows: Rows, file: u32) -> Result<u64, Stop> {
        let mut ledger = self.ledger(shared)?;
        let freed = match rows {
            Rows::Keys => {
                let bytes = self.keys.bytes(file, 0).map_err(Failed::io("reading document keys"))?;
                let mut elsewhere = BTreeSet::new();
                for (document, _) in key_records(&bytes, self.keys.shape) {
                    if ledger.key_files(&document)?.last() != Some(&file) {
                        elsewhere.insert(document);
                    }
                }
                self.rewrite_keys(&mut ledger, file, |document, newest| newest && !elsewhere.contains(document))?
            }
            Rows::Log => self.tidy_log(&mut ledger, file)?,
        };
        if freed > 0 {
            ledger.commit()?;
            self.tally = ledger.tally;
        }
        Ok(freed)
    }

    fn tidy_log(&mut self, ledger: &mut Ledger<'_>, file: u32) -> Result<u64, Stop> {
        let bytes = self.log.bytes(file, 0).map_err(Failed::io("reading a fleet's files"))?;
        let (mut frames, mut moves, mut any) = (Vec::with_capacity(bytes.len()), Vec::new(), false);
        for piece in Pieces::new(&bytes, self.log.shape) {
            // What does not read may hold what was erased, and is of use to nobody.
            let read = match piece {
                Piece::Frame { at, payload, sure } => {
                    self.outline(payload, sure)?.map(|outline| (at, payload, outline))
                }
                Piece::Damage { .. } => None,
            };
            let Some((at, payload, outline)) = read else {
                any = true;
                continue;
            };
            let pruned = pruned(ledger, &outline, payload)?;
            any |= pruned.is_some();
            let offset = frames.len() as u64;
            let len = push_frame(&mut frames, &[pruned.as_deref().unwrap_or(payload)]);
            let was = u32::try_from(payload.len()).expect("no longer than its shape lets it");
            moves.push((outline, Spot { file, offset: at, len: was }, Spot { file, offset, len }));
        }
        if !any {
            return Ok(0);
        }
        let found = self.log.replace(file, &frames, false).map_err(Failed::io("tidying a fleet's files"))?;
        ledger.has_file(Rows::Log, found);
        for (outline, from, to) in moves {
            ledger.moved(&outline, from, to)?;
        }
        // A hash may be longer than the change that it stands for; that it was done counts.
        Ok((bytes.len() as u64).saturating_sub(frames.len() as u64).max(1))
    }

    /// All files were tidied since they were asked for.
    pub(super) fn tidied(&mut self, shared: &Shared, before: &Tally) -> Result<(), Stop> {
        let mut ledger = self.ledger(shared)?;
        ledger.tally.untidied = ledger.tally.untidied.saturating_sub(before.untidied);
        ledger.tally.stale = ledger.tally.stale.saturating_sub(before.stale);
        ledger.commit()?;
        self.tally = ledger.tally;
        Ok(())
    }
}

/// The segments of a log that lie where the index says; it ends with the first that does not.
pub(super) fn segments(
    shared: &Shared,
    fleet: &FleetId,
    log: &Log,
    numbers: std::ops::Range<u64>,
    budget: u64,
) -> Result<Vec<Arc<[u8]>>, Stop> {
    let dir = shared.dir(fleet);
    let end = numbers.end.min(ledger::next_of(&shared.index, fleet, log)?);
    let (mut segments, mut size) = (Vec::new(), 0);
    for number in numbers.start..end {
        let spot = ledger::spot_of(&shared.index, fleet, log, number)?.ok_or(Stop::Doubt(None))?;
        size += u64::from(spot.len);
        if size > budget && !segments.is_empty() {
            break;
        }
        let bytes = segment_at(&dir, spot)?.ok_or(Stop::Doubt(None))?;
        let is_it = Outline::read(&bytes).is_ok_and(|it| log_of(&it) == *log && it.head().number == number);
        if !is_it {
            return Err(Stop::Doubt(None));
        }
        segments.push(bytes.into());
    }
    Ok(segments)
}

fn segment_at(dir: &Path, spot: Spot) -> Result<Option<Vec<u8>>, Failed> {
    let path: PathBuf = file_path(&dir.join("log"), LOG_ENDING, spot.file);
    payload_at(&path, spot.offset, spot.len).map_err(Failed::io("reading a fleet's files"))
}

/// The log that a segment says it is of.
fn log_of(outline: &Outline) -> Log {
    let head = outline.head();
    Log { author: DeviceId::of_key_bytes(&head.author), incarnation: head.incarnation }
}

/// The documents that a segment says are gone.
fn buried(outline: &Outline) -> impl Iterator<Item = &DocumentId> {
    outline.changes().iter().flatten().filter(|(kind, _)| *kind == Kind::Tombstone).map(|(_, document)| document)
}

/// A segment without its changes of erased documents; `None` when it has none.
fn pruned(ledger: &Ledger<'_>, outline: &Outline, bytes: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    let mut gone = BTreeSet::new();
    for (kind, document) in outline.changes().iter().flatten() {
        if *kind != Kind::Tombstone && ledger.is_erased(document)? {
            gone.insert(*document);
        }
    }
    if gone.is_empty() {
        return Ok(None);
    }
    let mut segment = Segment::open(bytes).map_err(Failed::Segment)?;
    segment.prune(|change| change.kind != Kind::Tombstone && gone.contains(&change.document));
    Ok(Some(segment.encode()))
}

fn replay_key(
    ledger: &mut Ledger<'_>,
    payload: &[u8],
    file: u32,
    erased: &mut BTreeSet<DocumentId>,
) -> Result<bool, Stop> {
    let Some((document, _)) = key_record(payload) else { return Ok(false) };
    if ledger.is_erased(&document)? {
        erased.insert(document);
    }
    ledger.has_key(&document, file)?;
    Ok(true)
}

fn key_record(payload: &[u8]) -> Option<(DocumentId, &[u8])> {
    let (document, record) = payload.split_first_chunk::<DOCUMENT>()?;
    Some((DocumentId::from_bytes(*document), record))
}

fn key_records(bytes: &[u8], shape: Shape) -> impl Iterator<Item = (DocumentId, &[u8])> {
    Pieces::new(bytes, shape).filter_map(|piece| match piece {
        Piece::Frame { payload, .. } => key_record(payload),
        Piece::Damage { .. } => None,
    })
}
