//! Ten thousand small files at once: memory is bounded by what is worked on, not by what waits.

use super::memory::Memory;
use super::{Figure, Measured, Site, make_folder, write};
use crate::product::child::Child;
use std::time::Instant;

const FILES: usize = 10_000;

pub(super) fn measure(site: &Site<'_>) -> Measured {
    let product = site.product("small");
    let notes = site.folder.join("small/notes");
    make_folder(&notes)?;
    for number in 0..FILES {
        write(&notes.join(format!("{number}.txt")), "the same few words\n")?;
    }
    let mut command = product.hearth();
    command.args(["index", "--json"]).arg(&notes);
    let (index, mut peak) = (Child::start("`hearth index`", command)?, 0.0_f64);
    let start = Instant::now();
    index.finish(site.interrupts, |index| {
        // One that is just ending has no memory any more.
        peak = Memory::of(index.id()).map_or(peak, |memory| peak.max(memory.peak));
    })?;
    let took = start.elapsed().as_secs_f64();
    let items = product.status()?.items;
    if items != FILES as u64 {
        return Err(format!("{items} of {FILES} files were captured").into());
    }
    let what = "10,000 small files at once, memory at its peak, model included";
    Ok(vec![Figure::new(what, peak, "MB").noting(format!("{took:.1} s"))])
}
