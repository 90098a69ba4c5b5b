//! The log through a full disk, full files, damage, and what a newer hearth wrote.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use hearth_core::{
    DocumentId, Moment,
    delta::{Kind, SealedChange, Tombstone},
    seal::Sealed,
    segment::{BadSegment, Chain, Draft, Segment},
};
use hearth_store::{Log, Position, StoreError};

const NOW: Moment = Moment::from_millis(1_000);
const LATER: Moment = Moment::from_millis(2_000);

fn try_open(dir: &Path) -> Result<Log, StoreError> {
    Log::open(dir, SigningKey::from_bytes(&[1; 32]), [0; 16], NOW)
}

fn open(dir: &Path) -> Log {
    try_open(dir).expect("opened")
}

fn tombstone(n: u8) -> Tombstone {
    Tombstone { document: DocumentId::from_bytes([n; 16]) }
}

fn try_append(log: &mut Log, n: u8) -> Result<Position, StoreError> {
    let mut draft = log.draft(LATER)?;
    draft.push(tombstone(n));
    Ok(log.append(draft, LATER)?.0)
}

fn append(log: &mut Log, n: u8) -> Position {
    try_append(log, n).expect("appended")
}

/// Appends half a megabyte.
fn try_append_much(log: &mut Log, n: u8) -> Result<Position, StoreError> {
    let mut draft = log.draft(NOW)?;
    let document = DocumentId::from_bytes([n; 16]);
    draft.push(SealedChange { kind: Kind::Document, document, epoch: 0, body: Sealed::from_bytes(vec![n; 512 << 10]) });
    Ok(log.append(draft, NOW)?.0)
}

/// A segment that somebody else signed.
fn foreign(n: u8) -> Segment {
    let key = SigningKey::from_bytes(&[2; 32]);
    let mut draft = Draft::after(Chain::begin(key.verifying_key().to_bytes(), 77));
    draft.push(tombstone(n));
    draft.close(&key, [0; 16], NOW)
}

/// What the log says from a place on, and what it says about damage.
fn replayed(log: &Log, from: Position) -> (Vec<u8>, Vec<String>) {
    let mut seen = Vec::new();
    let each = |_, segment: Segment| {
        seen.extend(segment.changes().filter_map(|(_, change)| change.map(|c| c.document.as_bytes()[0])));
        Ok(())
    };
    let notices = log.reader().replay(from, each).expect("replayed");
    (seen, notices)
}

fn author(dir: &Path) -> PathBuf {
    fs::read_dir(dir).expect("listed").flatten().next().expect("an author").path()
}

fn lives(dir: &Path) -> Vec<PathBuf> {
    let mut lives: Vec<PathBuf> = fs::read_dir(author(dir)).expect("listed").flatten().map(|e| e.path()).collect();
    lives.retain(|path| path.is_dir());
    lives.sort();
    lives
}

fn file(dir: &Path, life: usize, number: u32) -> PathBuf {
    lives(dir)[life].join(format!("{number:04}.seg"))
}

/// Writes bytes behind a log file, in a frame that is whole.
fn add_frame(path: &Path, bytes: &[u8]) {
    let mut frame = u32::try_from(bytes.len()).expect("small").to_le_bytes().to_vec();
    frame.extend(crc32c::crc32c(bytes).to_le_bytes());
    frame.extend(bytes);
    add(path, &frame);
}

fn add(path: &Path, bytes: &[u8]) {
    let opened = fs::OpenOptions::new().append(true).open(path);
    opened.and_then(|mut file| file.write_all(bytes)).expect("written");
}

fn of_a_newer_hearth() -> Vec<u8> {
    let mut bytes = foreign(9).encode();
    // `[head, …]`: an array's byte, two for the head's length, one for its array, then its version.
    assert_eq!(bytes[..5], [0x83, 0x58, bytes[2], 0x8c, 1]);
    bytes[4] = 2;
    bytes
}

/// Opens an empty log whose file takes no byte: it is the device that is always full.
fn on_a_full_disk(dir: &Path) -> Log {
    drop(open(dir));
    let (path, tip) = (file(dir, 0, 0), author(dir).join("tip"));
    let mut noted = fs::read(&tip).expect("a note of the end");
    let inode = |path: &Path| minicbor::to_vec(fs::metadata(path).expect("there").ino()).expect("a number");
    let known = inode(&path);
    let at = noted.windows(known.len()).rposition(|bytes| bytes == known).expect("the file's number is noted");
    fs::remove_file(&path).and_then(|()| symlink("/dev/full", &path)).expect("swapped");
    noted.splice(at..at + known.len(), inode(&path));
    fs::write(&tip, noted).expect("written");
    let log = open(dir);
    assert_eq!(log.notices(), [""; 0], "it takes it for its own");
    log
}

#[test]
fn a_place_is_a_number_that_grows_along_the_log() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    let places: Vec<Position> = (0..3).map(|n| append(&mut log, n)).collect();
    for (place, next) in places.iter().zip(&places[1..]) {
        assert!(place.as_u64() < next.as_u64());
        assert_eq!(Log::after(*place), *next);
    }
    assert_eq!(places[0], Position::BEGIN);
    assert_eq!(Position::from_u64(places[2].as_u64()), places[2]);
    assert_eq!(replayed(&log, Log::after(places[0])).0, [1, 2]);
    assert_eq!(Log::after(places[2]), log.end());
}

#[test]
fn what_is_nowhere_in_the_log_is_not_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    let last = append(&mut log, 0);
    let reader = log.reader();
    let nothing = reader.read(Log::after(last)).expect_err("nothing is there yet");
    assert!(matches!(nothing, StoreError::Damaged("a place in the log")), "{nothing}");
    let nowhere = reader.read(Position::from_u64(1 << 44)).expect_err("there is one life");
    assert!(matches!(nowhere, StoreError::Damaged("a place in the log")), "{nowhere}");
    let no_file = reader.read(Position::from_u64(1 << 20)).expect_err("there is one file");
    assert!(matches!(no_file, StoreError::Io { what: "reading the log", .. }), "{no_file}");
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_and_the_log_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = on_a_full_disk(dir.path());
    let full = try_append(&mut log, 1).expect_err("no room");
    assert!(full.is_full(), "{full}");
    assert_eq!(
        full.to_string(),
        "no space is left for writing the log; free some disk space, nothing that was stored is lost"
    );
    assert_eq!(replayed(&log, Position::BEGIN), (vec![], vec![]));
    assert!(!author(dir.path()).join("tip").exists(), "the end is not where it was noted");

    let would_be = log.end();
    assert_eq!(append(&mut log, 2), would_be, "in a new life, which has room");
    assert_eq!(replayed(&log, Position::BEGIN).0, [2]);
    drop(log);
    assert_eq!(replayed(&open(dir.path()), Position::BEGIN).0, [2]);
}

#[test]
fn on_a_full_disk_nothing_of_others_is_acknowledged_either() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = on_a_full_disk(dir.path());
    let full = log.append_foreign(&[foreign(1)], LATER).expect_err("no room");
    assert!(full.is_full(), "{full}");
    log.append_foreign(&[foreign(2)], LATER).expect("in a new life, which has room");
    assert_eq!(replayed(&log, Position::BEGIN).0, [2]);
    assert_eq!(lives(dir.path()).len(), 2);
}

#[test]
fn a_log_that_is_opened_on_a_full_disk_can_be_read_and_says_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    append(&mut log, 3);
    drop(log);
    symlink("/dev/full", author(dir.path()).join("tip.new")).expect("linked");
    let mut log = open(dir.path());
    assert!(log.notices()[0].contains("no space is left"), "{:?}", log.notices());
    assert_eq!(replayed(&log, Position::BEGIN).0, [3]);
    append(&mut log, 4);
    assert_eq!(replayed(&log, Position::BEGIN).0, [3, 4], "and written again when there is room");
}

#[test]
fn a_full_file_is_followed_by_another_and_both_are_read_as_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    let places: Vec<Position> = (0..40).map(|n| try_append_much(&mut log, n).expect("appended")).collect();
    assert!(places.is_sorted());
    drop(log);
    let sizes = [0, 1].map(|number| fs::metadata(file(dir.path(), 0, number)).expect("there").len());
    assert!(sizes[0] > 16 << 20 && sizes[0] < 17 << 20 && sizes[1] > 1 << 20, "{sizes:?}");

    let mut log = open(dir.path());
    assert_eq!(log.notices(), [""; 0], "continued");
    append(&mut log, 40);
    let all: Vec<u8> = (0..=40).collect();
    assert_eq!(replayed(&log, Position::BEGIN), (all.clone(), vec![]));
    assert_eq!(replayed(&log, places[39]).0, [39, 40], "from within the second");
    let read = log.reader().read(places[35]).expect("read");
    assert!(read.changes().all(|(_, change)| change.is_some_and(|change| change.body == [35; 512 << 10])));

    drop(log);
    add(&file(dir.path(), 0, 1), &[7; 5]);
    let log = open(dir.path());
    assert_eq!((log.notices(), replayed(&log, Position::BEGIN)), (&[][..], (all, vec![])), "its torn tail is cut off");
}

#[test]
fn a_next_file_that_cannot_be_made_ends_a_life_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    fs::create_dir(file(dir.path(), 0, 1)).expect("in the way");
    let mut n = 0;
    let refused = loop {
        match try_append_much(&mut log, n) {
            Ok(_) => n += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, StoreError::Io { what: "writing the log", .. }), "{refused}");
    assert!(n > 30, "the first file took {n}");
    append(&mut log, 200);
    fs::remove_dir(file(dir.path(), 0, 1)).expect("out of the way");
    let (seen, _) = replayed(&log, Position::BEGIN);
    assert_eq!(seen, (0..n).chain([200]).collect::<Vec<u8>>());
    assert_eq!(lives(dir.path()).len(), 2);
}

#[test]
fn a_log_whose_next_file_cannot_be_opened_is_not_begun_anew() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    append(&mut open(dir.path()), 0);
    fs::create_dir(file(dir.path(), 0, 1)).expect("in the way");
    let refused = try_open(dir.path()).expect_err("what is there is no file");
    assert!(matches!(refused, StoreError::Io { what: "opening the log", .. }), "{refused}");
    assert_eq!(lives(dir.path()).len(), 1);
}

#[test]
fn whole_frames_that_do_not_continue_the_log_are_damage_before_its_end() {
    for (case, damage) in [
        ("no segment", (|path, _| add_frame(path, b"no segment")) as fn(&Path, &Segment)),
        ("a segment again", |path, segment| add_frame(path, &segment.encode())),
        ("a torn segment before a whole one", |path, segment| {
            let (segment, end) = (segment.encode(), fs::metadata(path).expect("there").len());
            add_frame(path, &segment);
            add_frame(path, &segment);
            let at = usize::try_from(end).expect("small") + 40;
            let mut bytes = fs::read(path).expect("read");
            bytes[at] ^= 1;
            fs::write(path, bytes).expect("damaged");
        }),
        ("a torn file before another", |path, _| {
            add(path, &[7; 5]);
            fs::write(path.with_file_name("0001.seg"), b"").expect("written");
        }),
    ] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut log = open(dir.path());
        let place = append(&mut log, 0);
        let segment = log.reader().read(place).expect("read");
        drop(log);
        damage(&file(dir.path(), 0, 0), &segment);
        let before = fs::read(file(dir.path(), 0, 0)).expect("read");

        let mut log = open(dir.path());
        assert_eq!(log.notices(), ["the log is damaged before its end; a new log begins beside it"], "{case}");
        append(&mut log, 1);
        assert_eq!(lives(dir.path()).len(), 2, "{case}");
        assert_eq!(fs::read(file(dir.path(), 0, 0)).expect("read"), before, "{case}: left as it is");
        assert!(replayed(&log, Position::BEGIN).0.ends_with(&[1]), "{case}");
    }
}

#[test]
fn a_damaged_segment_is_named_and_the_others_are_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    let places: Vec<Position> = (0..3).map(|n| append(&mut log, n)).collect();
    let path = file(dir.path(), 0, 0);
    let mut bytes = fs::read(&path).expect("read");
    let second = 8 + u32::from_le_bytes(bytes[..4].try_into().expect("four")) as usize;
    bytes[second + 20] ^= 1;
    fs::write(&path, &bytes).expect("damaged");

    let (seen, notices) = replayed(&log, Position::BEGIN);
    assert_eq!(seen, [0, 2]);
    assert_eq!(
        notices,
        ["segment 1 of log file 0000 is damaged; what it held is captured again where its source still has it"]
    );
    assert!(matches!(log.reader().read(places[1]), Err(StoreError::Damaged("a segment of the log"))));
    assert!(log.reader().read(places[2]).is_ok());
}

#[test]
fn what_a_newer_hearth_wrote_is_left_to_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    append(&mut log, 0);
    let path = file(dir.path(), 0, 0);
    add_frame(&path, &of_a_newer_hearth());
    let before = fs::read(&path).expect("read");

    let refused = log.reader().replay(Position::BEGIN, |_, _| Ok(())).expect_err("it is newer");
    assert!(matches!(refused, StoreError::Segment(BadSegment::Newer(2))), "{refused}");
    drop(log);
    let refused = try_open(dir.path()).expect_err("it is newer");
    assert!(refused.to_string().contains("update hearth on this node"), "{refused}");
    assert_eq!(fs::read(&path).expect("read"), before, "nothing of it was cut off");
    assert_eq!(lives(dir.path()).len(), 1, "and no other log begins beside it");
}

#[test]
fn a_reader_that_stops_is_told_no_more() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    for n in 0..3 {
        append(&mut log, n);
    }
    let mut seen = 0;
    let stopped = log.reader().replay(Position::BEGIN, |_, _| {
        seen += 1;
        Err(StoreError::Damaged("what it was for"))
    });
    assert!(matches!(stopped, Err(StoreError::Damaged("what it was for"))));
    assert_eq!(seen, 1);
}
