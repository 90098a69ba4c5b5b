//! What every source must do, as one set of checks that runs against any of them.
//!
//! A source brings a [`World`]: something small that it captures and that the checks may change. [`check`] panics with a
//! sentence at the first promise that is not kept. It is for tests; nothing in the product calls it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Candidate, Captured, Change, Cursor, Found, Known, Limits, Reconcile, Skip, Source, Watching, display_name,
    name_order,
};

/// Something small that a source captures, which the checks script.
///
/// A label is one of `"00"` to `"99"`; what was put under it first has the lower name if its label is lower.
pub trait World {
    /// A new source over this world, as after a restart.
    fn source(&self) -> Box<dyn Source>;
    /// Puts a thing there, or changes it; returns its name.
    fn put(&mut self, label: &str, text: &str) -> Vec<u8>;
    /// Takes a thing away.
    fn remove(&mut self, label: &str);
    /// Gives a thing another label and returns its new name, or `None` where nothing can be renamed.
    fn rename(&mut self, from: &str, to: &str) -> Option<Vec<u8>>;
    /// Adds what must be left alone; returns names with the codes of the reasons.
    fn spoil(&mut self) -> Vec<(Vec<u8>, &'static str)>;
}

/// How long a check waits for the system to notify a change before it fails. Nothing is faster for it.
const PATIENCE: Duration = Duration::from_secs(60);
const THINGS: usize = 40;

/// Checks a source; `world` makes an empty world each time.
pub fn check<W: World>(world: impl Fn() -> W) {
    every_thing_is_found_once_and_in_order(&mut world());
    a_scan_can_be_taken_up_anywhere(&mut world());
    what_is_found_can_be_read(&mut world());
    limits_hold(&mut world());
    nothing_else_can_be_read(&mut world());
    a_change_is_one_change(&mut world());
    a_rename_moves_and_a_removal_is_gone(&mut world());
    what_is_left_alone_has_its_reason(&mut world());
    a_watch_tells_changes_as_they_happen(&mut world());
    a_slow_listener_misses_nothing(&mut world());
}

fn every_thing_is_found_once_and_in_order(world: &mut impl World) {
    assert_eq!(scan(world, None), [], "an empty world has nothing in it");
    let names = fill(world);
    let found: Vec<_> = scan(world, None).iter().map(|found| found.name().to_vec()).collect();
    assert_eq!(found.len(), names.len(), "each thing is found once");
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), names, "what was put there is what is found");
    assert!(found.is_sorted_by(|a, b| name_order(a, b).is_lt()), "a scan goes in the order of names");
    assert_eq!(scan(world, None), scan(world, None), "a second look finds the same versions");
}

fn a_scan_can_be_taken_up_anywhere(world: &mut impl World) {
    fill(world);
    let all = scan(world, None);
    for (nth, found) in all.iter().enumerate() {
        let rest = scan(world, Some(&Cursor::after(found)));
        assert_eq!(rest, all[nth + 1..], "taken up after {}", display_name(found.name()));
    }
    let source = world.source();
    let mut some = source.scan(None);
    assert_eq!(some.next().as_ref(), all.first(), "a scan is pulled one by one and may be dropped");
}

fn what_is_found_can_be_read(world: &mut impl World) {
    fill(world);
    let mut hashes = BTreeSet::new();
    for candidate in candidates(world) {
        let captured =
            read(world, &candidate, &Limits::default()).unwrap_or_else(|skip| panic!("it can be read: {skip}"));
        assert_eq!(captured.fingerprint, candidate.fingerprint, "what was read is the version that was found");
        assert_eq!(captured.modified, candidate.modified, "both say when it changed");
        assert!(!captured.text.is_empty(), "there is text in it");
        let again = read(world, &candidate, &Limits::default()).expect("it was read before");
        assert_eq!(again.content_hash, captured.content_hash, "the same bytes have the same hash");
        hashes.insert(captured.content_hash);
    }
    assert_eq!(hashes.len(), THINGS, "different bytes have different hashes");
}

fn limits_hold(world: &mut impl World) {
    world.put("00", "some words");
    let candidate = candidates(world).remove(0);
    for (limits, code) in [
        (Limits { bytes: 3, ..Limits::default() }, "too-large"),
        (Limits { time: Duration::ZERO, ..Limits::default() }, "timed-out"),
    ] {
        let skip = read(world, &candidate, &limits).err().unwrap_or_else(|| panic!("a limit holds: {code}"));
        assert_eq!((skip.reason.code(), &skip.name), (code, &candidate.name));
    }
}

fn nothing_else_can_be_read(world: &mut impl World) {
    world.put("00", "some words");
    let mut candidate = candidates(world).remove(0);
    candidate.name = b"/nowhere/else".to_vec();
    candidate.path = None;
    let skip = read(world, &candidate, &Limits::default()).expect_err("a name that is not the source's own is refused");
    assert_eq!(skip.reason.code(), "out-of-scope");

    world.put("01", "words");
    let gone = candidates(world).remove(1);
    world.remove("01");
    let skip = read(world, &gone, &Limits::default()).expect_err("what is gone cannot be read");
    assert_eq!(skip.reason.code(), "vanished");
}

fn a_change_is_one_change(world: &mut impl World) {
    fill(world);
    let known = known(world);
    assert_eq!(reconcile(world, &known), [], "nothing changed");
    let name = world.put("07", "other words than before");
    match reconcile(world, &known).as_slice() {
        [Change::Seen(candidate)] => assert_eq!(candidate.name, name),
        other => panic!("one thing changed, and the scan says {other:?}"),
    }
}

fn a_rename_moves_and_a_removal_is_gone(world: &mut impl World) {
    let names = fill(world);
    let before = known(world);
    let first = candidates(world).remove(0);
    let hash = read(world, &first, &Limits::default()).expect("it can be read").content_hash;
    if let Some(new) = world.rename("00", "98") {
        match reconcile(world, &before).as_slice() {
            [Change::Renamed { from, to }] => {
                assert_eq!((from, &to.name), (&first.name, &new));
                assert_eq!(read(world, to, &Limits::default()).expect("it can be read").content_hash, hash);
            }
            other => panic!("one thing was renamed, and the scan says {other:?}"),
        }
    }
    let before = known(world);
    let last = names.last().expect("the world was filled").clone();
    world.remove(&format!("{:02}", THINGS - 1));
    assert_eq!(reconcile(world, &before), [Change::Gone { name: last, folder: false }]);
}

fn what_is_left_alone_has_its_reason(world: &mut impl World) {
    let names = fill(world);
    let expected: BTreeMap<_, _> = world.spoil().into_iter().collect();
    let mut left: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for found in scan(world, None) {
        let skip = match found {
            Found::Skipped(skip) => skip,
            Found::Seen(candidate) => match read(world, &candidate, &Limits::default()) {
                Err(skip) => skip,
                Ok(_) => {
                    assert!(kept.insert(candidate.name), "each thing is found once");
                    continue;
                }
            },
        };
        assert!(skip.to_string().len() > display_name(&skip.name).len() + 10, "the reason is a sentence: {skip}");
        left.insert(skip.name, skip.reason.code());
    }
    assert_eq!(kept, names, "what is left alone keeps nothing else from being captured");
    for (name, code) in expected {
        assert_eq!(left.remove(&name), Some(code), "{}", display_name(&name));
    }
    assert!(left.is_empty(), "nothing else is left alone: {left:?}");
}

fn a_watch_tells_changes_as_they_happen(world: &mut impl World) {
    world.put("00", "first");
    let source = world.source();
    let watch = source.watch(&at_once()).expect("the system can watch");
    for (label, text) in [("01", "new"), ("00", "changed")] {
        let name = world.put(label, text);
        wait_for(&watch, |change| matches!(change, Change::Seen(candidate) if candidate.name == name));
    }
    let name = world.put("02", "soon gone");
    wait_for(&watch, |change| matches!(change, Change::Seen(candidate) if candidate.name == name));
    world.remove("02");
    wait_for(&watch, |change| matches!(change, Change::Gone { name: gone, .. } if *gone == name));
    let before = candidates(world).remove(0);
    if let Some(new) = world.rename("00", "50") {
        // A move into a folder that is not watched yet cannot be told from a new file; it then comes before the old one goes.
        let mut seen = false;
        wait_for(&watch, |change| match change {
            Change::Renamed { from, to } => {
                *from == before.name && to.name == new && to.fingerprint.same_content(&before.fingerprint)
            }
            Change::Seen(candidate) => {
                seen |= candidate.name == new;
                false
            }
            Change::Gone { name, .. } if *name == before.name => {
                assert!(seen, "what was moved is told at its new place first");
                true
            }
            _ => false,
        });
    }
}

fn a_slow_listener_misses_nothing(world: &mut impl World) {
    let source = world.source();
    let watch = source.watch(&Watching { capacity: 1, ..at_once() }).expect("the system can watch");
    let mut names = fill(world);
    while !names.is_empty() {
        match watch.recv_timeout(PATIENCE) {
            Ok(Change::Seen(candidate)) => {
                names.remove(&candidate.name);
            }
            Ok(Change::Rescan { .. }) => {
                for candidate in candidates(world) {
                    names.remove(&candidate.name);
                }
            }
            Ok(_) => {}
            Err(error) => panic!("{} changes were never told: {error}", names.len()),
        }
    }
    world.put("41", "told to nobody");
    world.put("42", "told to nobody");
    drop(watch); // while it waits to tell: this must return
}

fn at_once() -> Watching {
    Watching { calm: Duration::ZERO, calm_big: Duration::ZERO, ..Watching::default() }
}

fn wait_for(watch: &super::Watch, mut wanted: impl FnMut(&Change) -> bool) {
    let mut told = Vec::new();
    loop {
        match watch.recv_timeout(PATIENCE) {
            Ok(change) if wanted(&change) => return,
            Ok(change) => told.push(change),
            Err(error) => panic!("a change was never told ({error}); told were {told:?}"),
        }
    }
}

fn fill(world: &mut impl World) -> BTreeSet<Vec<u8>> {
    (0..THINGS).map(|nth| world.put(&format!("{nth:02}"), &format!("words number {nth}"))).collect()
}

fn scan(world: &impl World, after: Option<&Cursor>) -> Vec<Found> {
    world.source().scan(after).collect()
}

fn candidates(world: &impl World) -> Vec<Candidate> {
    let seen = |found| match found {
        Found::Seen(candidate) => Some(candidate),
        Found::Skipped(_) => None,
    };
    scan(world, None).into_iter().filter_map(seen).collect()
}

fn known(world: &impl World) -> Vec<Known> {
    candidates(world)
        .into_iter()
        .map(|candidate| Known { name: candidate.name, fingerprint: candidate.fingerprint })
        .collect()
}

fn reconcile(world: &impl World, known: &[Known]) -> Vec<Change> {
    let mut reconcile = Reconcile::new(known.to_vec(), None);
    let mut changes: Vec<Change> = scan(world, None).into_iter().filter_map(|found| reconcile.step(found)).collect();
    changes.extend(reconcile.finish());
    changes
}

fn read(world: &impl World, what: &Candidate, limits: &Limits) -> Result<Captured, Skip> {
    world.source().read(what, limits)
}
