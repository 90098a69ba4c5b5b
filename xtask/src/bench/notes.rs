//! A thousand notes in a folder that the agent is told to capture: how soon they are found, and at what cost.
//!
//! One agent goes through it in this order: it captures, embeds, rests, starts again five times, and is asked. The bare
//! embedding of the same passages comes last, when it has ended.

use super::memory::Memory;
use super::prose::{Prose, mark};
use super::spread::Spread;
use super::{Figure, Measured, Site, make_folder, questions, write};
use crate::product::Product;
use crate::product::child::{Child, wrapped};
use crate::product::door::Door;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const NOTES: usize = 1000;
const SEED: u64 = 1;
/// How often the agent is asked while notes come in by the hundred, and while it embeds for minutes.
const OFTEN: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(200);
/// Embedding threads let go of the model after a minute without work and look twice a minute.
const REST: Duration = Duration::from_secs(130);
/// How long an agent that has just started is left alone before its memory is read.
const CALM: Duration = Duration::from_secs(10);
const STARTS: usize = 5;
const QUESTIONS: usize = 200;
/// One in so many notes is embedded bare.
const SAMPLE: usize = 10;
/// How gently the agent's own embedding threads treat the machine; bare embedding has to be as gentle to compare.
const NICENESS: &str = "10";

pub(super) fn measure(site: &Site<'_>) -> Measured {
    let place = site.folder.join("notes");
    let folder = place.join("notes");
    make_folder(&folder)?;
    let mut prose = Prose::of(site.tree, SEED)?;
    let (mut files, mut bytes) = (Vec::new(), 0);
    for number in 0..NOTES {
        let (file, note) = (folder.join(format!("note-{number:04}.md")), prose.note(number));
        bytes += note.len();
        write(&file, &note)?;
        files.push(file);
    }
    let product = site.product("notes");
    let door = product.door();

    let (mut agent, _) = product.start_agent(&[folder], None, site.interrupts)?;
    let by_word = until_found_by_word(site, &door, &mut agent)?;
    println!("found by word after {by_word:.2} s");
    let (by_meaning, passages) = until_embedded(site, &door, &mut agent)?;
    let busy = Memory::of(agent.id())?;
    println!("found by meaning after {by_meaning:.1} s; resting for {} s", REST.as_secs());
    site.wait(REST)?;
    let rested = Memory::of(agent.id())?;
    agent.end();

    let (mut starts, mut agent) = (Vec::new(), None::<Child>);
    for _ in 0..STARTS {
        // The one before has to let go of the folder first.
        drop(agent.take());
        let (child, _) = product.start_agent(&[], None, site.interrupts)?;
        starts.push(child.age().as_secs_f64() * 1000.0);
        agent = Some(child);
    }
    let starts = Spread::of(starts)?;
    println!("{STARTS} starts, ready after {:.0} ms at most", starts.largest());
    site.wait(CALM)?;
    let mut agent = agent.ok_or_else(|| String::from("nothing was started"))?;
    let fresh = Memory::of(agent.id())?;
    let queries = query(&door, &files)?;
    let sample: Vec<String> = files.iter().step_by(SAMPLE).flat_map(|file| door.passages(file)).collect();
    agent.check()?;
    agent.end();
    println!("embedding {} of the passages bare, on {} threads", sample.len(), site.threads);
    let bare = passages as f64 / bare_speed(site, &product, &place, &sample)?;

    let megabytes = bytes as f64 / 1e6;
    let models = format!("{} copies of the model included", site.threads);
    let first = format!("{NOTES} notes ({megabytes:.2} MB, {passages} passages) found by word");
    Ok(vec![
        Figure::new(first, by_word, "s").at_most(5.0),
        Figure::new("the same found by meaning, in bare embedding times", by_meaning / bare, "×")
            .at_most(1.15)
            .noting(format!("{by_meaning:.1} s against {bare:.1} s on {} threads", site.threads)),
        Figure::new("memory while indexing them, at its peak", busy.peak, "MB").at_most(256.0).noting(models),
        Figure::new("memory at rest, models let go", rested.resident, "MB").at_most(60.0),
        Figure::new("memory after a start, nothing embedded since", fresh.resident, "MB"),
        Figure::new("ready after a start", starts.largest(), "ms")
            .at_most(300.0)
            .noting(format!("the slowest of {STARTS}; median {:.0} ms", starts.median())),
        Figure::new("a query, model warm, 95th percentile", queries.percentile(95), "ms").noting(format!(
            "median {:.1} ms of {}",
            queries.median(),
            queries.count()
        )),
    ])
}

/// Seconds from the start of `hearth up` until all notes are items and those asked for by their own word are found.
fn until_found_by_word(site: &Site<'_>, door: &Door, agent: &mut Child) -> Result<f64, String> {
    while door.status()?.items < NOTES as u64 {
        agent.check()?;
        site.wait(OFTEN)?;
    }
    for number in [0, NOTES / 2, NOTES - 1] {
        while hits(&door.search(&mark(number), "keyword")?) == 0 {
            agent.check()?;
            site.wait(OFTEN)?;
        }
    }
    Ok(agent.age().as_secs_f64())
}

/// Seconds from the same start until every passage has a vector, and how many there are.
fn until_embedded(site: &Site<'_>, door: &Door, agent: &mut Child) -> Result<(f64, u64), String> {
    loop {
        let status = door.status()?;
        if status.items == NOTES as u64 && status.pending == 0 {
            let took = agent.age().as_secs_f64();
            if status.embedded == status.chunks {
                return Ok((took, status.chunks));
            }
            return Err(format!("{} of {} passages were embedded", status.embedded, status.chunks));
        }
        agent.check()?;
        site.wait(SELDOM)?;
    }
}

/// Milliseconds of queries one after the other, once the first has loaded the model.
fn query(door: &Door, files: &[PathBuf]) -> Result<Spread, String> {
    let questions = questions::from_files(door, files, QUESTIONS);
    let first = questions.first().ok_or("no note gives a question")?;
    if hits(&door.search(first, "vector")?) == 0 {
        return Err("nothing is found by meaning".into());
    }
    let mut took = Vec::new();
    for question in &questions {
        let begun = Instant::now();
        door.search(question, "hybrid")?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Spread::of(took)
}

/// Passages a second of as many `hearth bench embed` at once as the agent has embedding threads.
fn bare_speed(site: &Site<'_>, product: &Product, place: &Path, passages: &[String]) -> Result<f64, String> {
    let mut running = Vec::new();
    for thread in 0..site.threads {
        let share = passages.iter().skip(thread).step_by(site.threads);
        let lines: String = share.map(|text| format!("{}\n", json!({"text": text}))).collect();
        let file = place.join(format!("bare-{thread}.jsonl"));
        write(&file, &lines)?;
        let mut command = product.hearth();
        command.args(["bench", "embed", "--json"]).arg(file);
        let mut nice = Command::new("nice");
        nice.args(["-n", NICENESS]);
        running.push(Child::start("`hearth bench embed`", wrapped(nice, &command))?);
    }
    let mut speed = 0.0;
    for child in running {
        let said = child.finish(site.interrupts, |_| ())?;
        let measured: Value =
            serde_json::from_str(&said).map_err(|error| format!("`hearth bench embed` speaks no JSON: {error}"))?;
        speed += measured[0]["texts_per_s"].as_f64().ok_or("`hearth bench embed` does not say how fast it was")?;
    }
    Ok(speed)
}

fn hits(answer: &Value) -> usize {
    answer["hits"].as_array().map_or(0, Vec::len)
}
