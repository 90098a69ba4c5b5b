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
    let left = log.prune(&[old[0], new], |_, _| true).expect("there is room");
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
    log.prune(&positions, |_, change| change.document == gone).expect("pruned");
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

fn append_shared(log: &mut Log, fleet: [u8; 16], n: u8) -> Segment {
    append_shared_at(log, fleet, n, NOW)
}

fn append_shared_at(log: &mut Log, fleet: [u8; 16], n: u8, now: Moment) -> Segment {
    let mut draft = log.draft_shared(fleet, 0, now).expect("a draft");
    draft.push(Tombstone { document: DocumentId::from_bytes([n; 16]) });
    log.append(draft, now).expect("appended").1
}

#[test]
fn what_the_fleet_may_have_is_a_log_of_its_own_beside_what_stays() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    append(&mut log, 0);
    let first = append_shared(&mut log, [7; 16], 1);
    append(&mut log, 2);
    drop(log);
    let mut log = open(dir.path());
    let second = append_shared(&mut log, [7; 16], 3);
    append(&mut log, 4);
    assert_eq!((first.head().number, second.head().number), (0, 1), "without gaps, across a restart");
    assert_eq!(second.head().incarnation, first.head().incarnation);
    assert_eq!((first.head().fleet, first.head().residency), ([7; 16], 0));
    assert_eq!(documents(&log, Position::BEGIN), [0, 1, 2, 3, 4], "in order of arrival");
    assert_eq!(log.reader.count(), 1, "one life");

    let other = append_shared(&mut log, [8; 16], 5);
    assert!(other.head().incarnation > second.head().incarnation, "another fleet, another log");
    log.begin_shared_anew(other.head().incarnation + 5).expect("noted");
    let anew = append_shared(&mut log, [8; 16], 6);
    assert_eq!((anew.head().number, anew.head().incarnation), (0, other.head().incarnation + 6));
    drop(log);
    let mut log = open(dir.path());
    let on = append_shared(&mut log, [8; 16], 7);
    assert_eq!((on.head().number, on.head().incarnation), (1, anew.head().incarnation));
}

#[test]
fn each_residency_is_a_log_of_its_own_and_what_is_renewed_is_newer_than_all() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    let append = |log: &mut Log, residency, n| {
        let mut draft = log.draft_shared([7; 16], residency, NOW).expect("a draft");
        draft.push(Tombstone { document: DocumentId::from_bytes([n; 16]) });
        let head = log.append(draft, NOW).expect("appended").1.head().clone();
        assert_eq!(head.residency, residency);
        (head.incarnation, head.number)
    };
    let (all, study) = (append(&mut log, 0, 1), append(&mut log, 2, 2));
    assert!(study.0 > all.0 && (all.1, study.1) == (0, 0));
    drop(log);
    let mut log = open(dir.path());
    assert_eq!(
        (append(&mut log, 0, 3), append(&mut log, 2, 4)),
        ((all.0, 1), (study.0, 1)),
        "each goes on, without gaps"
    );
    log.renew_shared(0, 0).expect("noted");
    drop(log);
    // The clock that was set back makes nothing older.
    let mut log = Log::open(dir.path(), SigningKey::from_bytes(&[1; 32]), [0; 16], Moment::START).expect("opened");
    let renewed = append(&mut log, 0, 5);
    assert!(renewed.0 > study.0 && renewed.1 == 0, "{renewed:?} {study:?}");
    assert_eq!(append(&mut log, 2, 6), (study.0, 2), "the other is as it was");
    log.renew_shared(0, renewed.0 + 7).expect("noted");
    let after = append(&mut log, 0, 7);
    assert_eq!(after, (renewed.0 + 8, 0), "newer than one that is known");
    // A folder that was put back: every log is as old as the one that shows it.
    log.begin_shared_anew(study.0).expect("noted");
    let (anew, other) = (append(&mut log, 0, 8), append(&mut log, 2, 9));
    assert!(anew.0 > after.0 && other.0 > anew.0 && (anew.1, other.1) == (0, 0), "{anew:?} {other:?}");
    assert_eq!(log.reader.count(), 1, "one life");
    assert_eq!(documents(&log, Position::BEGIN), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn our_own_of_an_earlier_life_may_come_back_and_disturb_nothing() {
    let (dir, lost) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let before = {
        let mut log = Log::open(lost.path(), SigningKey::from_bytes(&[1; 32]), [0; 16], Moment::START).expect("opened");
        [1, 2].map(|n| append_shared_at(&mut log, [7; 16], n, Moment::START))
    };
    let mut log = open(dir.path());
    let grows = append_shared(&mut log, [7; 16], 3);
    assert!(log.append_foreign(std::slice::from_ref(&grows), NOW).is_err(), "the log that grows here");
    let came = log.append_foreign(&before, NOW).expect("appended");
    assert_eq!(log.reader().read_bytes(came[1]).expect("read"), before[1].encode());
    drop(log);
    let mut log = open(dir.path());
    assert_eq!(log.reader.count(), 1, "the log goes on");
    assert_eq!(append_shared(&mut log, [7; 16], 4).head().number, 1);
    assert_eq!(documents(&log, Position::BEGIN), [3, 1, 2, 4]);
}

#[test]
fn a_draft_of_a_log_that_does_not_grow_any_more_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    let mut draft = log.draft_shared([7; 16], 0, NOW).expect("a draft");
    draft.push(Tombstone { document: DocumentId::from_bytes([1; 16]) });
    log.begin_shared_anew(0).expect("nothing to note");
    let grows = log.draft_shared([7; 16], 0, NOW).expect("a draft").incarnation();
    assert_eq!(grows, draft.incarnation(), "what ended long ago changes nothing");
    log.begin_shared_anew(grows).expect("noted");
    assert!(log.append(draft, NOW).is_err());
    assert!(documents(&log, Position::BEGIN).is_empty(), "nothing was written");
}

#[test]
fn who_reads_while_it_grows_and_is_pruned_never_gets_another_segment() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut log = open(dir.path());
    let positions: Vec<Position> = (0..20).map(|n| append(&mut log, n)).collect();
    let (reader, stop) = (log.reader(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    for (number, position) in (0_u64..).zip(&positions) {
                        assert_eq!(reader.read(*position).expect("it is there").head().number, number);
                    }
                }
            });
        }
        for n in 20..120 {
            append(&mut log, n);
            if n % 4 == 0 {
                log.prune(&positions[..4], |_, change| change.document.as_bytes()[0] == n / 8).expect("pruned");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}
