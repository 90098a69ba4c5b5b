//! Every committed seed of every target, once. `cargo xtask fuzz` looks for more.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use hearth_fuzz::{TARGETS, data};

/// The longest seed: a fuzzer changes a short one more to the point.
const SEED_MAX: u64 = 66 << 10;
/// All seeds together.
const SEEDS_MAX: u64 = 1 << 20;

fn listed(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect();
    found.sort();
    found
}

#[test]
fn every_committed_seed_holds_what_its_target_asks_for() {
    for target in TARGETS {
        let seeds = listed(&target.seeds());
        assert!(seeds.len() >= 2, "{} has {} seeds", target.name, seeds.len());
        for seed in seeds {
            let bytes = fs::read(&seed).expect("a seed can be read");
            // The output of a failing test says which seed it was, behind what did not hold.
            assert!(catch_unwind(|| (target.run)(&bytes)).is_ok(), "{}: {}", target.name, seed.display());
        }
    }
}

#[test]
fn each_folder_of_seeds_has_a_target_and_each_target_another_folder() {
    let named: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(named.len(), TARGETS.len(), "a target is found by its name");
    let folders: BTreeSet<PathBuf> = listed(&data()).iter().flat_map(|part| listed(&part.join("fuzz"))).collect();
    let wanted: BTreeSet<PathBuf> = TARGETS.iter().map(hearth_fuzz::Target::seeds).collect();
    assert_eq!(folders, wanted);
}

#[test]
fn seeds_are_few_and_small() {
    let mut all = 0;
    for seed in TARGETS.iter().flat_map(|target| listed(&target.seeds())) {
        let length = fs::metadata(&seed).expect("a seed is a file").len();
        assert!(length <= SEED_MAX, "{} has {length} bytes", seed.display());
        all += length;
    }
    assert!(all <= SEEDS_MAX, "{all} bytes");
}
