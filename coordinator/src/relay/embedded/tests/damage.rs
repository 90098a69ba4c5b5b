//! What is damaged is told, what still reads is kept, and what is lost is asked for again.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
};

use hearth_core::segment::Segment;

use super::{kill::contains, *};
use crate::relay::conformance::{Author, Change, STAMP, document};

const FLEET: FleetId = FleetId::from_bytes([1; 16]);
const SEGMENTS: u8 = 12;

pub(super) fn bytes_below(path: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).expect("a folder") {
        let path = entry.expect("read").path();
        if path.is_dir() { all.extend(bytes_below(&path)) } else { all.extend(fs::read(path).expect("read")) }
    }
    all
}

fn fleet_dir(data: &Path) -> PathBuf {
    data.join("relay").join(HEXLOWER.encode(FLEET.as_bytes()))
}

fn body(n: u8) -> Vec<u8> {
    format!("<the body of document {n} in its segment>").repeat(8).into_bytes()
}

fn key(n: u8) -> Vec<u8> {
    format!("<the wrapped key of document {n}>").into_bytes()
}

/// A fleet with two logs of six segments each, in turn, and keys of the documents in them, of which the last is erased.
struct Fleet {
    data: tempfile::TempDir,
    logs: [Log; 2],
    orders: Vec<ToStore>,
}

impl Fleet {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let engine = open(data.path());
        engine.keep_chain(&FLEET, b"chain").expect("kept");
        let mut authors = [Author::new(FLEET, 1), Author::new(FLEET, 2)];
        let logs = [authors[0].log(), authors[1].log()];
        let mut orders = Vec::new();
        for n in 0..SEGMENTS {
            engine.keep_keys(&FLEET, &[(document(n), key(n))]).expect("kept");
            let changes =
                [Some(Change::Body(document(n), body(n))), (n + 1 == SEGMENTS).then_some(Change::Gone(document(n)))];
            let order = authors[usize::from(n) % 2].next(&changes.into_iter().flatten().collect::<Vec<_>>());
            assert_eq!(engine.append(&FLEET, std::slice::from_ref(&order)).expect("appended"), [Appended::Taken]);
            orders.push(order);
        }
        assert!(fleet_dir(data.path()).join("log/0002.seg").exists(), "there are several files");
        Self { data, logs, orders }
    }

    fn path(&self, name: &str) -> PathBuf {
        fleet_dir(self.data.path()).join(name)
    }

    /// Where some bytes stand in the fleet's files of this kind.
    fn find(&self, folder: &str, bytes: &[u8]) -> (PathBuf, usize) {
        let mut found = fs::read_dir(self.path(folder)).expect("a folder").filter_map(|entry| {
            let path = entry.expect("read").path();
            let at = fs::read(&path).expect("read").windows(bytes.len()).position(|window| window == bytes)?;
            Some((path, at))
        });
        found.next().expect("it is there")
    }

    fn flip(&self, folder: &str, bytes: &[u8], after: usize) {
        let (path, at) = self.find(folder, bytes);
        let mut content = fs::read(&path).expect("read");
        content[at + after] ^= 4;
        write_in_place(&path, &content);
    }

    fn grow(&self, name: &str, more: &[u8]) {
        let mut file = OpenOptions::new().append(true).open(self.path(name)).expect("opened");
        file.write_all(more).expect("written");
    }

    fn newest(&self, folder: &str) -> String {
        let names = fs::read_dir(self.path(folder)).expect("a folder").map(|entry| entry.expect("read").file_name());
        format!("{folder}/{}", names.max().expect("a file").to_str().expect("ASCII"))
    }

    /// How many segments of each log are there, and how many keys; each as it was.
    fn left(&self, engine: &Embedded) -> ([usize; 2], usize) {
        let mut counts = [0; 2];
        for (count, (log, turn)) in counts.iter_mut().zip(self.logs.iter().zip(0..)) {
            let read = engine.read(&FLEET, log, 0, u64::MAX, u64::MAX).expect("read");
            for (bytes, order) in read.iter().zip(self.orders.iter().skip(turn).step_by(2)) {
                let (bytes, order) =
                    (Segment::open(bytes).expect("whole"), Segment::open(&order.bytes).expect("whole"));
                assert_eq!(bytes.digest(), order.digest());
            }
            *count = read.len();
            let held = engine.held(&FLEET).expect("read").into_iter().find(|held| held.log == *log);
            assert_eq!(held.map_or(0, |held| held.chain.number), read.len() as u64, "what is said is there");
        }
        let keys = (0..SEGMENTS).filter(|n| {
            let found = engine.keys(&FLEET, &[document(*n)]).expect("read");
            assert!(found.is_empty() || found == [key(*n)]);
            !found.is_empty()
        });
        (counts, keys.count())
    }
}

/// Without another inode, as damage is.
fn write_in_place(path: &Path, content: &[u8]) {
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .expect("written");
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("read").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_dir(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

fn forget_index(fleet: &Fleet) {
    fs::remove_dir_all(fleet.data.path().join("relay/index")).expect("removed");
}

#[test]
fn what_still_reads_is_kept_and_what_is_lost_is_told_and_taken_again() {
    type Damage = fn(&Fleet);
    let rows: [(&str, Damage, [usize; 2], usize, usize); 20] = [
        ("nothing", |_| {}, [6, 6], 11, 0),
        ("a torn tail", |it| it.grow(&it.newest("log"), &[200, 1, 0, 0, 1, 2, 3, 4, 0x83, 0x58, 9]), [6, 6], 11, 0),
        ("a torn head of a frame", |it| it.grow(&it.newest("log"), &[200, 1]), [6, 6], 11, 0),
        ("zeros behind the end", |it| it.grow(&it.newest("log"), &[0; 4000]), [6, 6], 11, 0),
        ("a torn key", |it| it.grow(&it.newest("keys"), &[60, 0, 0, 0, 1, 2, 3, 4, 5]), [6, 6], 11, 0),
        (
            "an unfinished file beside",
            |it| fs::write(it.path("log/0001.seg.new"), b"half").expect("written"),
            [6, 6],
            11,
            0,
        ),
        ("the index is gone", forget_index, [6, 6], 11, 0),
        (
            "the index is noise",
            |it| fs::write(it.data.path().join("relay/index/db"), [0xA5; 9000]).expect("written"),
            [6, 6],
            11,
            0,
        ),
        ("a flipped bit in a segment", |it| it.flip("log", &body(4), 30), [2, 6], 11, 1),
        ("a flipped bit in the first segment", |it| it.flip("log", &body(0), 30), [0, 6], 11, 1),
        ("a flipped bit in the newest of a log", |it| it.flip("log", &body(10), 30), [5, 6], 11, 1),
        (
            "a flipped bit in a segment, and no index",
            |it| {
                it.flip("log", &body(4), 30);
                forget_index(it);
            },
            [2, 6],
            11,
            1,
        ),
        (
            "a flipped bit in a length, and no index",
            |it| {
                let (path, at) = it.find("log", &it.orders[4].bytes);
                let mut content = fs::read(&path).expect("read");
                content[at - 7] ^= 1;
                write_in_place(&path, &content);
                forget_index(it);
            },
            [2, 6],
            11,
            1,
        ),
        (
            "a file of segments is cut short",
            |it| {
                let (path, at) = it.find("log", &it.orders[4].bytes);
                OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(at as u64 + 9)).expect("cut");
            },
            [2, 2],
            11,
            2,
        ),
        (
            "a file of segments is gone",
            |it| fs::remove_file(it.find("log", &it.orders[0].bytes).0).expect("removed"),
            [0, 0],
            11,
            1,
        ),
        (
            "a file is a copy",
            |it| {
                let path = it.path("log/0001.seg");
                fs::copy(&path, it.path("copy")).expect("copied");
                fs::rename(it.path("copy"), path).expect("moved");
            },
            [6, 6],
            11,
            0,
        ),
        ("a flipped bit in a key", |it| it.flip("keys", &key(4), 9), [6, 6], 10, 1),
        (
            "a flipped bit in a key, and no index",
            |it| {
                it.flip("keys", &key(4), 9);
                forget_index(it);
            },
            [6, 6],
            10,
            1,
        ),
        (
            "a file of keys is cut short",
            |it| {
                let (path, at) = it.find("keys", &key(4));
                OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(at as u64 + 9)).expect("cut");
            },
            [6, 6],
            9,
            2,
        ),
        (
            "half a fleet that was being forgotten",
            |it| copy_dir(&it.path(""), &it.data.path().join("relay/ab.gone")),
            [6, 6],
            11,
            0,
        ),
    ];
    for (case, damage, logs, keys, notices) in rows {
        let fleet = Fleet::new();
        damage(&fleet);
        let engine = open(fleet.data.path());
        // Some damage shows only when it is read.
        for log in &fleet.logs {
            engine.read(&FLEET, log, 0, u64::MAX, u64::MAX).expect(case);
        }
        assert_eq!(fleet.left(&engine), (logs, keys), "{case}: {:?}", engine.notices());
        assert_eq!(engine.notices().len(), notices, "{case}: {:?}", engine.notices());

        let again = engine.append(&FLEET, &fleet.orders).expect(case);
        assert!(again.iter().all(|answer| *answer != Appended::Gap), "{case}: {again:?}");
        let records: Vec<_> = (0..SEGMENTS).map(|n| (document(n), key(n))).collect();
        engine.keep_keys(&FLEET, &records).expect(case);
        assert_eq!(fleet.left(&engine), ([6, 6], 11), "{case}: all is there again");
        let more = Author::new(FLEET, 9).body(document(60), b"more");
        assert_eq!(engine.append(&FLEET, &[more]).expect(case), [Appended::Taken]);
        let claims = fleet.logs.map(|log| engine.claim(&FLEET, &log, STAMP).expect(case));
        drop(engine);
        forget_index(&fleet);
        let engine = open(fleet.data.path());
        assert_eq!(fleet.left(&engine), ([6, 6], 11), "{case}: and with a new index");
        assert_eq!(
            fleet.logs.map(|log| engine.claim(&FLEET, &log, STAMP).expect(case)),
            claims,
            "{case}: the same tree"
        );
        assert!(notices > 0 || engine.notices().is_empty(), "{case}: {:?}", engine.notices());
    }
}

#[test]
fn an_index_from_before_learns_what_came_since() {
    let fleet = Fleet::new();
    let (index, old) = (fleet.data.path().join("relay/index"), fleet.data.path().join("old"));
    let mut author = Author::new(FLEET, 3);
    let engine = open(fleet.data.path());
    engine.keep_keys(&FLEET, &[(document(50), key(50))]).expect("kept");
    drop(engine);
    copy_dir(&index, &old);
    let engine = open(fleet.data.path());
    engine
        .append(&FLEET, &[author.body(document(3), b"since"), author.next(&[Change::Gone(document(50))])])
        .expect("appended");
    engine.keep_keys(&FLEET, &[(document(51), key(51))]).expect("kept");
    let claim = engine.claim(&FLEET, &author.log(), STAMP).expect("read");
    drop(engine);
    fs::remove_dir_all(&index).expect("removed");
    fs::rename(&old, &index).expect("moved");
    let engine = open(fleet.data.path());
    assert_eq!(engine.claim(&FLEET, &author.log(), STAMP).expect("read"), claim);
    assert_eq!(engine.keys(&FLEET, &[document(50), document(51)]).expect("read"), [key(51)]);
    assert_eq!(fleet.left(&engine), ([6, 6], 11));
    assert_eq!(engine.notices(), [""; 0]);
}

#[test]
fn a_tombstone_that_is_on_the_disk_erases_keys_though_the_process_died_before_it_did() {
    let fleet = Fleet::new();
    let (index, old) = (fleet.data.path().join("relay/index"), fleet.data.path().join("old"));
    let keys = fleet.path("keys");
    copy_dir(&index, &old);
    copy_dir(&keys, &fleet.data.path().join("keys"));
    let mut author = Author::new(FLEET, 3);
    let engine = open(fleet.data.path());
    engine.append(&FLEET, &[author.next(&[Change::Gone(document(2))])]).expect("appended");
    drop(engine);
    // The disk as it was when the segment was synced and nothing else was done.
    fs::remove_dir_all(&index).expect("removed");
    fs::rename(&old, &index).expect("moved");
    for entry in fs::read_dir(fleet.data.path().join("keys")).expect("a folder") {
        let path = entry.expect("read").path();
        write_in_place(&keys.join(path.file_name().expect("a name")), &fs::read(&path).expect("read"));
    }
    let engine = open(fleet.data.path());
    assert_eq!(engine.keys(&FLEET, &[document(2), document(3)]).expect("read"), [key(3)]);
    assert!(!contains(&bytes_below(&fleet.path("")), &key(2)), "it is on the disk no more");
    assert_eq!(fleet.left(&engine), ([6, 6], 10));
}

#[test]
fn what_was_erased_is_nowhere_in_the_fleets_files() {
    let fleet = Fleet::new();
    let engine = open(fleet.data.path());
    let gone = SEGMENTS - 1;
    assert!(!contains(&bytes_below(&fleet.path("")), &key(gone)), "a key is gone when append returns");
    let mut author = Author::new(FLEET, 3);
    engine.append(&FLEET, &[author.next(&[Change::Gone(document(4))])]).expect("appended");
    assert!(!contains(&bytes_below(&fleet.path("")), &key(4)));
    assert!(contains(&bytes_below(&fleet.path("")), &body(4)), "bodies wait");
    assert!(engine.tidy(&FLEET).expect("tidied") > 0);
    let all = bytes_below(&fleet.path(""));
    assert!(!contains(&all, &body(4)) && !contains(&all, &key(4)));
    assert!(contains(&all, &body(5)) && contains(&all, &key(5)), "its neighbours stay");
    drop(engine);
    let all = bytes_below(&fleet.data.path().join("relay/index"));
    assert!(!contains(&all, b"<the"), "the index has neither bodies nor keys");
}

#[test]
fn an_entry_of_the_index_that_is_gone_or_noise_costs_nothing_but_time() {
    let fleet = Fleet::new();
    for kind in b"CFLSEK" {
        for noise in [None, Some(b"noise".to_vec())] {
            let entry = {
                let engine = open(fleet.data.path());
                let mut keys = Vec::new();
                engine.shared.index.scan(&[*kind], |key, _| keys.push(key.to_vec())).expect("read");
                let change = (keys.last().expect("there is one").clone(), noise.clone());
                engine.shared.index.apply(&[change].into()).expect("written");
                char::from(*kind)
            };
            let engine = open(fleet.data.path());
            assert_eq!(fleet.left(&engine), ([6, 6], 11), "{entry} {noise:?}");
            let again = engine.append(&FLEET, &fleet.orders).expect("asked");
            assert!(again.iter().all(|it| matches!(it, Appended::Had(_))), "{entry} {noise:?}");
            engine.keep_keys(&FLEET, &[(document(SEGMENTS - 1), key(SEGMENTS - 1))]).expect("asked");
            assert_eq!(fleet.left(&engine), ([6, 6], 11), "{entry} {noise:?}: what was erased stays erased");
            assert_eq!(engine.notices(), [""; 0]);
        }
    }
}

#[test]
fn an_end_of_a_log_from_before_is_noticed() {
    let fleet = Fleet::new();
    let engine = open(fleet.data.path());
    let mut author = Author::new(FLEET, 3);
    let ends = |engine: &Embedded| {
        let mut ends = index::Changes::new();
        engine
            .shared
            .index
            .scan(b"L", |key, value| drop(ends.insert(key.to_vec(), Some(value.to_vec()))))
            .expect("read");
        ends
    };
    engine.append(&FLEET, &[author.body(document(20), b"one")]).expect("appended");
    let before = ends(&engine);
    engine.append(&FLEET, &[author.body(document(21), b"two")]).expect("appended");
    engine.shared.index.apply(&before).expect("written");
    drop(engine);
    let held = open(fleet.data.path()).held(&FLEET).expect("read");
    assert!(held.iter().any(|held| held.chain == author.chain), "{held:?}");
}

#[test]
fn what_failed_half_way_is_finished_by_whoever_asks_next() {
    let fleet = Fleet::new();
    let engine = open(fleet.data.path());
    let (path, _) = fleet.find("keys", &key(4));
    let in_the_way = path.with_extension("key.new");
    fs::create_dir(&in_the_way).expect("made");
    let burial = Author::new(FLEET, 3).next(&[Change::Gone(document(4))]);
    let failed = engine.append(&FLEET, std::slice::from_ref(&burial)).expect_err("the keys cannot be written anew");
    assert!(failed.to_string().contains("erasing document keys failed; check the disk"), "{failed}");
    let read = engine.read(&FLEET, &fleet.logs[0], 0, 9, u64::MAX).expect("others go on");
    assert_eq!(read.len(), 6);
    fs::remove_dir(&in_the_way).expect("removed");
    let again = engine.append(&FLEET, std::slice::from_ref(&burial)).expect("asked");
    assert_eq!(again, [Appended::Had(burial.at)], "it had come to the disk");
    assert_eq!(fleet.left(&engine), ([6, 6], 10));
    assert!(!contains(&bytes_below(&fleet.path("")), &key(4)));
}

#[test]
fn nothing_of_a_forgotten_fleet_is_left() {
    let fleet = Fleet::new();
    let engine = open(fleet.data.path());
    engine.forget(&FLEET).expect("forgotten");
    assert_eq!(ledger::fleets(&engine.shared.index).expect("read"), []);
    assert!(!fleet.path("").exists());
    let mut entries = 0;
    engine.shared.index.scan(b"", |_, _| entries += 1).expect("read");
    assert_eq!(entries, 0);
    // A process that died between: the folder is gone, the index has not heard of it.
    engine.keep_chain(&FLEET, b"anew").expect("kept");
    engine.append(&FLEET, &[Author::new(FLEET, 1).body(document(1), b"one")]).expect("appended");
    fs::rename(fleet.path(""), fleet.data.path().join("relay/01.gone")).expect("moved");
    drop(engine);
    let engine = open(fleet.data.path());
    assert_eq!(ledger::fleets(&engine.shared.index).expect("read"), []);
    assert!(!fleet.data.path().join("relay/01.gone").exists());
}

/// Flips a bit of every byte that `step` lands on.
fn flip_bits_of_the_index(step: usize) {
    let fleet = Fleet::new();
    let db = fleet.data.path().join("relay/index/db");
    let sound = fs::read(&db).expect("read");
    let used = sound.iter().rposition(|byte| *byte != 0).expect("not empty");
    for at in (0..used).step_by(step).chain([used]) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&db, &bytes).expect("written");
        let engine = open(fleet.data.path());
        assert_eq!(fleet.left(&engine), ([6, 6], 11), "byte {at}");
        assert!(engine.append(&FLEET, &fleet.orders).expect("asked").iter().all(|it| matches!(it, Appended::Had(_))));
        engine.keep_keys(&FLEET, &[(document(SEGMENTS - 1), key(SEGMENTS - 1))]).expect("asked");
        assert_eq!(fleet.left(&engine), ([6, 6], 11), "byte {at}: what was erased stays erased");
    }
}

#[test]
fn a_flipped_bit_in_the_index_costs_nothing_but_time() {
    flip_bits_of_the_index(1009);
}

#[test]
#[ignore = "soak: every seventh byte takes minutes"]
fn no_flipped_bit_in_the_index_costs_anything_but_time() {
    flip_bits_of_the_index(7);
}

#[test]
fn a_process_that_died_while_it_tidied_left_everything_where_it_can_be_found() {
    let fleet = Fleet::new();
    let (index, old) = (fleet.data.path().join("relay/index"), fleet.data.path().join("old"));
    let engine = open(fleet.data.path());
    engine.append(&FLEET, &[Author::new(FLEET, 3).next(&[Change::Gone(document(0))])]).expect("appended");
    drop(engine);
    copy_dir(&index, &old);
    let engine = open(fleet.data.path());
    assert!(engine.tidy(&FLEET).expect("tidied") > 0);
    drop(engine);
    // The files were put in their places, and the index did not hear of it.
    fs::remove_dir_all(&index).expect("removed");
    fs::rename(&old, &index).expect("moved");
    let engine = open(fleet.data.path());
    assert_eq!(fleet.left(&engine), ([6, 6], 10));
    assert_eq!(engine.notices(), [""; 0]);
}

#[test]
fn the_file_that_held_an_erased_key_is_overwritten_too() {
    let fleet = Fleet::new();
    let (path, _) = fleet.find("keys", &key(4));
    let mut old = File::open(path).expect("opened");
    let engine = open(fleet.data.path());
    engine.append(&FLEET, &[Author::new(FLEET, 3).next(&[Change::Gone(document(4))])]).expect("appended");
    let mut bytes = Vec::new();
    old.read_to_end(&mut bytes).expect("read");
    assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn a_newer_index_is_refused_and_left() {
    let fleet = Fleet::new();
    index::write_version(&fleet.data.path().join("relay"), index::SCHEMA + 1);
    let refused = Embedded::open(fleet.data.path()).expect_err("newer");
    assert!(matches!(refused, Failed::Newer { found: 2, known: 1 }), "{refused}");
    index::write_version(&fleet.data.path().join("relay"), index::SCHEMA);
    assert_eq!(fleet.left(&open(fleet.data.path())), ([6, 6], 11));
}

#[test]
fn a_second_engine_on_the_folder_is_refused() {
    let fleet = Fleet::new();
    let _first = open(fleet.data.path());
    let refused = Embedded::open(fleet.data.path()).expect_err("held");
    assert!(matches!(refused, Failed::Busy { .. }), "{refused}");
}

#[test]
fn a_body_that_holds_a_forged_segment_is_not_read_as_one_behind_damage() {
    let fleet = Fleet::new();
    let mut victim = Author::new(FLEET, 1);
    victim.chain = fleet.orders[10].at.chain.clone();
    let next = victim.body(document(40), b"never sent");
    let mut forged = next.bytes.to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1; // not what was signed
    let mut inner = Vec::new();
    push_frame(&mut inner, &[&forged]);
    let mut author = Author::new(FLEET, 3);
    let carrier = author.next(&[Change::Body(document(41), inner.clone())]);
    let engine = open(fleet.data.path());
    engine.append(&FLEET, &[carrier.clone(), author.body(document(42), b"behind it")]).expect("appended");
    drop(engine);
    let (path, at) = fleet.find("log", &carrier.bytes);
    let mut content = fs::read(&path).expect("read");
    content[at - 8] ^= 1; // its length, so that what is inside is looked at
    write_in_place(&path, &content);
    forget_index(&fleet);
    let engine = open(fleet.data.path());
    assert_eq!(fleet.left(&engine), ([6, 6], 11));
    assert_eq!(engine.held(&FLEET).expect("read").len(), 2, "the log that begins with the damage has no beginning");
    assert_eq!(engine.append(&FLEET, &[carrier]).expect("appended"), [Appended::Taken]);
    let read = engine.read(&FLEET, &author.log(), 0, 9, u64::MAX).expect("read");
    assert_eq!(read.len(), 2, "what waited behind it counts again");
}

#[test]
fn a_damaged_chain_is_an_error_and_a_damaged_proof_a_notice() {
    let fleet = Fleet::new();
    let engine = open(fleet.data.path());
    fs::write(fleet.path("proofs").join("07".repeat(16)), b"noise").expect("written");
    assert_eq!(engine.proofs(&FLEET).expect("read"), []);
    assert_eq!(engine.notices().len(), 1);
    fs::write(fleet.path("chain"), b"noise").expect("written");
    let refused = engine.chain(&FLEET).expect_err("damaged").to_string();
    assert!(refused.contains("a fleet's chain is damaged; put it back"), "{refused}");
}

#[test]
fn only_so_many_fleets_stay_open() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let engine = open(data.path());
    for n in 0..100 {
        let fleet = FleetId::from_bytes([n; 16]);
        engine.keep_chain(&fleet, b"chain").expect("kept");
        let order = Author::new(fleet, 1).body(document(n), b"one");
        assert_eq!(engine.append(&fleet, &[order]).expect("appended"), [Appended::Taken]);
    }
    assert!(engine.desk.len() <= 64, "{}", engine.desk.len());
    for n in 0..100 {
        assert_eq!(engine.usage(&FleetId::from_bytes([n; 16])).expect("counted").segments, 1);
    }
}
