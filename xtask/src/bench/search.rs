//! A search in a hundred thousand passages of real text, with the model warm, through the socket of a running agent.
//!
//! The text is copied, file by file, into a folder that the agent captures, until there are as many passages as were asked for.
//! With a folder to keep it, what is there already is gone on with.

use super::memory::Memory;
use super::spread::Spread;
use super::{Figure, Measured, Site, files, make_folder, questions, write};
use crate::product::Status;
use crate::product::child::Child;
use crate::product::door::Door;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MODES: [&str; 3] = ["hybrid", "vector", "keyword"];
const QUESTIONS: usize = 240;
/// The first questions load the model and fill what fills; they are not counted.
const WARM_UP: usize = 20;
/// How often the agent is asked how far it is.
const GLANCE: Duration = Duration::from_secs(1);
/// So many looks without anything new mean that all files were captured: a new one rests for two seconds before it is read.
const CALM: usize = 8;
/// How often progress is printed.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// Bytes of a passage, until it is known.
const PASSAGE_BYTES: f64 = 250.0;
/// The least that is added at once.
const LOT_MIN: f64 = 100_000.0;

pub(super) fn measure(site: &Site<'_>, passages: u32, data: Option<&Path>, from: &[PathBuf]) -> Measured {
    let place = match data {
        Some(data) => {
            make_folder(data)?;
            data.canonicalize().map_err(|error| format!("cannot use {}: {error}", data.display()))?
        }
        None => site.folder.join("search"),
    };
    let mut feed = Feed::new(place.join("files"), files::list(site.tree, from)?)?;
    let product = site.product_in(&place);
    let door = product.door();
    let (mut agent, _) = product.start_agent(&[feed.folder.clone()], None, site.interrupts)?;
    fill(site, &door, &mut agent, &mut feed, u64::from(passages))?;
    let status = embed(site, &door, &mut agent)?;

    let questions = questions::from_files(&door, &feed.written, QUESTIONS);
    println!("asking {} questions in {} modes", questions.len(), MODES.len());
    for question in questions.iter().take(WARM_UP) {
        door.search(question, "hybrid")?;
    }
    let mut figures = Vec::new();
    for mode in MODES {
        let took = ask(&door, &questions, mode)?;
        let what = format!("a search at {} passages, model warm, {mode}, 95th percentile", status.chunks);
        let note = format!(
            "median {:.1}, 99th {:.1}, slowest {:.1}; {} questions over the socket",
            took.median(),
            took.percentile(99),
            took.largest(),
            took.count()
        );
        let figure = Figure::new(what, took.percentile(95), "ms").noting(note);
        figures.push(if mode == "hybrid" && passages >= 100_000 { figure.at_most(50.0) } else { figure });
    }
    agent.check()?;
    let memory = Memory::of(agent.id())?;
    let about = format!("{} files, {:.1} MB on disk as they were", status.items, feed.bytes as f64 / 1e6);
    figures.push(Figure::new("memory after these searches", memory.resident, "MB").noting(about));
    Ok(figures)
}

/// Adds files until there are so many passages.
fn fill(site: &Site<'_>, door: &Door, agent: &mut Child, feed: &mut Feed, passages: u64) -> Result<(), String> {
    loop {
        let status = captured(site, door, agent)?;
        println!("{} files, {} passages captured", status.items, status.chunks);
        if status.chunks >= passages {
            return Ok(());
        }
        let each = if status.chunks == 0 { PASSAGE_BYTES } else { feed.bytes as f64 / status.chunks as f64 };
        // Not quite enough, so that the last lots are small and not many too many are embedded.
        let lot = ((passages - status.chunks) as f64 * each * 0.9).max(LOT_MIN);
        if !feed.more(lot)? {
            let found = status.chunks;
            return Err(format!(
                "this machine's documentation makes {found} passages; name more text with --from, or fewer --passages"
            ));
        }
    }
}

/// Waits until nothing new was captured for a while.
fn captured(site: &Site<'_>, door: &Door, agent: &mut Child) -> Result<Status, String> {
    let mut before = door.status()?;
    let mut calm = 0;
    while calm < CALM {
        agent.check()?;
        site.wait(GLANCE)?;
        let status = door.status()?;
        calm = if (status.items, status.chunks) == (before.items, before.chunks) { calm + 1 } else { 0 };
        before = status;
    }
    Ok(before)
}

/// Waits until every passage has a vector, and says now and then how far it is.
fn embed(site: &Site<'_>, door: &Door, agent: &mut Child) -> Result<Status, String> {
    let (start, mut said) = (Instant::now(), Duration::ZERO);
    let first = door.status()?.embedded;
    loop {
        let status = door.status()?;
        if status.pending == 0 && status.idle {
            println!("{} passages embedded", status.embedded);
            return Ok(status);
        }
        let took = start.elapsed();
        if took >= said + SAY_EVERY {
            said = took;
            let speed = (status.embedded - first) as f64 / took.as_secs_f64();
            let left = (status.chunks - status.embedded) as f64 / speed / 60.0;
            println!("{} of {} passages embedded, {speed:.0}/s, {left:.0} min left", status.embedded, status.chunks);
        }
        agent.check()?;
        site.wait(GLANCE)?;
    }
}

fn ask(door: &Door, questions: &[String], mode: &str) -> Result<Spread, String> {
    let mut took = Vec::new();
    for question in questions {
        let begun = Instant::now();
        let answer = door.search(question, mode)?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
        if let Some(sentence) = answer["missing"][0].as_str() {
            return Err(format!("a search could not ask everything: {sentence}"));
        }
    }
    Spread::of(took)
}

/// Files on their way into the folder that is captured.
struct Feed {
    folder: PathBuf,
    waiting: std::vec::IntoIter<PathBuf>,
    written: Vec<PathBuf>,
    bytes: usize,
}

impl Feed {
    /// Whatever was written by an earlier run is taken for written.
    fn new(folder: PathBuf, files: Vec<PathBuf>) -> Result<Self, String> {
        make_folder(&folder)?;
        let mut feed = Self { folder, waiting: files.into_iter(), written: Vec::new(), bytes: 0 };
        let mut there = Vec::new();
        for entry in std::fs::read_dir(&feed.folder).into_iter().flatten().flatten() {
            there.push(entry.path());
        }
        there.sort();
        for file in there {
            feed.bytes += files::text(&file).map_or(0, |text| text.len());
            feed.written.push(file);
        }
        let mut known = 0;
        while known < feed.written.len() && feed.next().is_some() {
            known += 1;
        }
        Ok(feed)
    }

    fn next(&mut self) -> Option<(PathBuf, String)> {
        self.waiting.by_ref().find_map(|file| files::text(&file).map(|text| (file, text)))
    }

    /// Writes files of about so many bytes; `false` when there are none left.
    fn more(&mut self, bytes: f64) -> Result<bool, String> {
        let before = self.bytes;
        while ((self.bytes - before) as f64) < bytes {
            let Some((file, text)) = self.next() else { break };
            let kind = file.extension().and_then(|extension| extension.to_str()).unwrap_or("txt");
            let copy = self.folder.join(format!("{:06}.{kind}", self.written.len()));
            write(&copy, &text)?;
            self.bytes += text.len();
            self.written.push(copy);
        }
        Ok(self.bytes > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::folder::Folder;

    #[test]
    fn a_feed_that_was_broken_off_goes_on_where_it_was() {
        let place = Folder::temporary("feed", false).expect("the temporary folder can be written");
        let sources: Vec<PathBuf> = (0..6).map(|number| place.path().join(format!("source{number}.md"))).collect();
        for (number, source) in sources.iter().enumerate() {
            std::fs::write(source, format!("{number} ").repeat(300)).expect("the folder is ours");
        }
        let folder = place.path().join("files");
        let start = || Feed::new(folder.clone(), sources.clone()).expect("the folder is ours");
        let mut feed = start();
        assert!(feed.more(1000.0).expect("there is room"));
        assert_eq!((feed.written.len(), feed.bytes), (2, 1200));
        let mut again = start();
        assert_eq!((again.written.len(), again.bytes), (2, 1200));
        assert!(again.more(1.0).expect("there is room"));
        assert!(std::fs::read_to_string(folder.join("000002.md")).expect("written").starts_with("2 2"));
        assert!(again.more(1e9).expect("there is room"));
        assert!(!again.more(1.0).expect("nothing is left"));
    }
}
