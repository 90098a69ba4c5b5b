//! The engine in files: the rules of every engine, and what only it can suffer.

mod damage;
mod figures;
mod kill;
mod model;

use super::*;
use crate::relay::conformance;

/// Small files, so that a test has many of them.
const SMALL: Sizes = Sizes { log: 2000, keys: 300 };

fn open(data: &Path) -> Embedded {
    Embedded::with_sizes(data, SMALL).expect("opened")
}

#[test]
fn it_does_what_every_engine_must_do() {
    conformance::check(|data| Box::new(Embedded::open(data).expect("opened")));
}

#[test]
fn it_does_so_with_files_of_any_size() {
    conformance::check(|data| Box::new(open(data)));
}
