//! How fast text is redacted: `redact_speed [--all] [--plain] [--json] ROUNDS FILE …`.
//!
//! Each file is redacted again and again in pieces of 64 KiB. Processor time of the one thread counts, copies of the input left out, and of the
//! rounds the median. Then records of 4 KiB, one by one; and how much memory is resident, all that was read put aside. `--plain`
//! goes without vector instructions.

use std::{fs, io::Write, time::Duration};

use hearth_text::{Policy, Raw, Rules};
use serde_json::json;

const PIECE: usize = 64 << 10;
const RECORD: usize = 4 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let has = |option: &str| options.iter().any(|given| given == option);
    let mut rules = if has("--all") { Rules::with_policy(Policy::ALL) } else { Rules::standard() };
    if has("--plain") {
        rules = rules.plainly();
    }
    let (rounds, files) = words.split_first().ok_or("say how many rounds, and name files")?;
    let rounds: usize = rounds.parse()?;

    let before = resident()?;
    let begun = on_processor();
    let _ = rules.redact(Raw::new("the tables are made with the first text"));
    let start = on_processor() - begun;
    let memory = resident()?.saturating_sub(before);

    let mut out = std::io::stdout().lock();
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
        let pieces = pieces(&text, PIECE);
        let mut hidden = 0;
        let mut taken = Vec::new();
        for _ in 0..rounds {
            let raws: Vec<Raw> = pieces.iter().map(|piece| Raw::new(*piece)).collect();
            let begun = on_processor();
            hidden = raws.into_iter().map(|raw| rules.redact_with_spans(raw).1.len()).sum();
            taken.push(on_processor() - begun);
        }
        let mut records: Vec<Duration> = Vec::new();
        for record in pieces_of_records(&text) {
            let raw = Raw::new(record);
            let begun = on_processor();
            let redacted = rules.redact(raw);
            records.push(on_processor() - begun);
            drop(redacted);
        }
        taken.sort();
        records.sort();
        let megabytes = text.len() as f64 / 1e6;
        let rate = megabytes / taken[rounds / 2].as_secs_f64();
        let late = records.get(records.len() * 99 / 100).map_or(0.0, |late| late.as_secs_f64() * 1e6);
        let line = if has("--json") {
            json!({
                "file": file, "megabytes": megabytes, "rate": rate, "hidden": hidden, "record_p99_us": late,
                "start_ms": start.as_secs_f64() * 1e3, "memory_mib": memory as f64 / 1_048_576.0,
            })
            .to_string()
        } else {
            format!("{rate:7.0} MB/s  {hidden:6} hidden in {megabytes:5.1} MB  4 KiB p99 {late:5.0} us  {file}")
        };
        writeln!(out, "{line}")?;
    }
    if !has("--json") {
        writeln!(out, "tables made in {:.1} ms, {:.1} MiB", start.as_secs_f64() * 1e3, memory as f64 / 1_048_576.0)?;
    }
    Ok(())
}

fn pieces(text: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(rest.floor_char_boundary(size));
        pieces.push(piece);
        rest = left;
    }
    pieces
}

/// Ten thousand records at most, from all over the text.
fn pieces_of_records(text: &str) -> impl Iterator<Item = &str> {
    let records = pieces(text, RECORD);
    let step = (records.len() / 10_000).max(1);
    records.into_iter().step_by(step)
}

/// Bytes of memory that this process has resident.
fn resident() -> Result<usize, Box<dyn std::error::Error>> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).ok_or("the kernel counts pages")?.parse::<usize>()? * rustix::param::page_size())
}

/// How long this thread has run.
fn on_processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
