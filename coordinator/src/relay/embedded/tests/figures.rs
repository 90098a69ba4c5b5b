//! What it costs, printed: `cargo test -p hearth-coordinator --lib figures -- --ignored --nocapture`.

use std::time::Instant;

use super::*;
use crate::relay::conformance::{Author, document};

const FLEET: FleetId = FleetId::from_bytes([1; 16]);

fn engine(data: &Path) -> Embedded {
    let begun = Instant::now();
    let engine = Embedded::open(data).expect("opened");
    println!("  opened in {:?}", begun.elapsed());
    engine
}

fn orders(author: &mut Author, count: usize, size: usize) -> Vec<ToStore> {
    (0..=255).cycle().take(count).map(|n| author.body(document(n), &vec![n; size])).collect()
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn size_of(path: &Path) -> u64 {
    let of = |entry: fs::DirEntry| {
        if entry.path().is_dir() { size_of(&entry.path()) } else { entry.metadata().expect("read").len() }
    };
    fs::read_dir(path).expect("a folder").map(|entry| of(entry.expect("read"))).sum()
}

#[test]
#[ignore = "soak: figures of large batches"]
fn figures_of_large_batches() {
    let data = tempfile::tempdir_in(".").expect("a folder on a disk");
    let engine = engine(data.path());
    engine.keep_chain(&FLEET, b"chain").expect("kept");
    let orders = orders(&mut Author::new(FLEET, 1), 64 * 16, 64 << 10);
    let begun = Instant::now();
    for batch in orders.chunks(64) {
        engine.append(&FLEET, batch).expect("appended");
    }
    let took = begun.elapsed().as_secs_f64();
    println!("  64 segments of 64 KiB at once: {:.0} segments/s, {:.0} MiB/s", 1024.0 / took, 64.0 / took);
    let begun = Instant::now();
    let read = engine.read(&FLEET, &Author::new(FLEET, 1).log(), 0, u64::MAX, u64::MAX).expect("read");
    println!("  read: {:.0} segments/s", read.len() as f64 / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    for order in orders.iter().take(200) {
        engine.append(&FLEET, std::slice::from_ref(order)).expect("asked");
    }
    println!("  had: {:?} each", begun.elapsed() / 200);
}

#[test]
#[ignore = "soak: figures of 100,000 segments"]
fn figures_of_many_segments() {
    const COUNT: usize = 100_000;
    let data = tempfile::tempdir_in(".").expect("a folder on a disk");
    let open = engine(data.path());
    open.keep_chain(&FLEET, b"chain").expect("kept");
    let orders = orders(&mut Author::new(FLEET, 1), COUNT, 200);
    let begun = Instant::now();
    for batch in orders.chunks(64) {
        open.append(&FLEET, batch).expect("appended");
    }
    println!("  {COUNT} small segments, 64 at once: {:.0}/s", COUNT as f64 / begun.elapsed().as_secs_f64());
    drop(open);
    let index = data.path().join("relay/index");
    println!("  files {} KiB, index {} KiB", (size_of(data.path()) - size_of(&index)) >> 10, size_of(&index) >> 10);
    drop(engine(data.path()));
    fs::remove_dir_all(&index).expect("removed");
    println!("  with no index:");
    let open = engine(data.path());
    assert_eq!(open.usage(&FLEET).expect("counted").segments, COUNT as u64);
    println!("  {} KiB resident", resident());
}

#[test]
#[ignore = "soak: figures of 2,500 fleets"]
fn figures_of_many_fleets() {
    let data = tempfile::tempdir_in(".").expect("a folder on a disk");
    let fleets: Vec<_> = (0_u32..2500)
        .map(|n| {
            let mut id = [9; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            FleetId::from_bytes(id)
        })
        .collect();
    let (open, before) = (engine(data.path()), resident());
    let begun = Instant::now();
    for fleet in &fleets {
        open.keep_chain(fleet, &[1; 800]).expect("kept");
        let orders: Vec<_> = (1..=4).map(|seed| Author::new(*fleet, seed).body(document(seed), &[seed; 200])).collect();
        open.append(fleet, &orders).expect("appended");
    }
    println!("  2,500 fleets with 10,000 logs begun in {:?}", begun.elapsed());
    println!("  {before} KiB resident before, {} KiB after", resident());
    drop(open);
    let before = resident();
    let open = engine(data.path());
    let begun = Instant::now();
    for fleet in &fleets {
        assert_eq!(open.held(fleet).expect("read").len(), 4);
    }
    println!(
        "  asked each for its logs in {:?}; {before} KiB before it was opened, {} KiB after",
        begun.elapsed(),
        resident()
    );
}
