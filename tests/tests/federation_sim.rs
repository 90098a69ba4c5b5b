//! A thousand fleets in bad weather, each twice.
//!
//! A run is a function of its seed. A failing seed is printed with the command that runs it alone; nothing else is needed to see the
//! same again.
#![forbid(unsafe_code)]

#[path = "../src/sim/mod.rs"]
mod sim;

use std::ops::Range;

/// The command that runs one seed alone.
fn replay(seed: u64) -> String {
    format!(
        "FEDERATION_SEED={seed} cargo test --release -p hearth-tests --test federation_sim -- --ignored one_seed --nocapture"
    )
}

/// What befell these fleets, so that a mild sky is noticed.
#[test]
fn the_weather_is_bad_enough() {
    let mut met: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for seed in 0..60 {
        let figures = sim::run(seed).unwrap_or_else(|broken| panic!("{broken}\n  again: {}", replay(seed))).figures;
        for (what, count) in figures.named() {
            *met.entry(what).or_default() += count;
        }
    }
    println!("{met:#?}");
    for what in [
        "crashes",
        "forks",
        "keys",
        "Overrun",
        "BadSegment",
        "Malformed",
        "OutOfPlace",
        "Silent",
        "Unknown",
        "Clock",
        "Restored",
        "Damaged",
    ] {
        assert!(met.get(what).is_some_and(|count| *count > 0), "{what} never happened: {met:?}");
    }
}

/// Runs these seeds on two threads; what went wrong, with how to see it again.
fn run(seeds: Range<u64>) -> Vec<String> {
    let half = |parity| {
        let seeds = seeds.clone().filter(move |seed| seed % 2 == parity);
        let wrong = seeds.filter_map(|seed| {
            let once =
                || std::panic::catch_unwind(|| sim::run(seed)).unwrap_or_else(|_| Err(format!("seed {seed} panicked")));
            let broken = match (once(), once()) {
                (Ok(one), Ok(other)) if one == other => return None,
                (Err(one), Err(other)) if one == other => one,
                (one, other) => format!("seed {seed} ran in two ways: {one:?} and {other:?}"),
            };
            Some(format!("{broken}\n  again: {}", replay(seed)))
        });
        wrong.collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        let mut wrong = half(0);
        wrong.extend(odd.join().expect("a thread that only computes"));
        wrong
    })
}

#[test]
fn a_thousand_fleets_come_to_hold_the_same_and_lose_nothing() {
    let wrong = run(0..1000);
    assert!(wrong.is_empty(), "{} of 1000 seeds failed:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "soak: FEDERATION_SEEDS more fleets, 20,000 when it is not set"]
fn many_more_fleets() {
    let many = std::env::var("FEDERATION_SEEDS").ok().and_then(|many| many.parse().ok()).unwrap_or(20_000);
    let wrong = run(1000..1000 + many);
    assert!(wrong.is_empty(), "{} of {many} seeds failed:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "soak: one seed, FEDERATION_SEED, with what happened in it"]
fn one_seed() {
    let seed = std::env::var("FEDERATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    match sim::tell(seed, true) {
        Ok(outcome) => println!("{outcome:#?}"),
        Err(broken) => panic!("{broken}"),
    }
}
