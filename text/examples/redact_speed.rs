//! Redacts files again and again in pieces of 64 KiB and says how fast: `redact_speed [--all] ROUNDS FILE …`.
//!
//! Processor time of the one thread counts, copies of the input left out, and of the rounds the median.

use std::{io::Write, time::Duration};

use hearth_text::{Policy, Raw, Rules};

const PIECE: usize = 64 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = arguments.first().is_some_and(|a| a == "--all");
    if all {
        arguments.remove(0);
    }
    let rules = if all { Rules::with_policy(Policy::ALL) } else { Rules::standard() };
    let (rounds, files) = arguments.split_first().ok_or("say how many rounds, and name files")?;
    let rounds: usize = rounds.parse()?;
    for file in files {
        let text = String::from_utf8_lossy(&std::fs::read(file)?).into_owned();
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.floor_char_boundary(PIECE));
            pieces.push(piece);
            rest = left;
        }
        let mut taken = Vec::new();
        let mut hidden = 0;
        for _ in 0..rounds {
            let raws: Vec<Raw> = pieces.iter().map(|piece| Raw::new(*piece)).collect();
            let begun = on_processor();
            hidden = 0;
            for raw in raws {
                hidden += rules.redact_with_spans(raw).1.len();
            }
            taken.push(on_processor() - begun);
        }
        taken.sort();
        let rate = text.len() as f64 / 1e6 / taken[rounds / 2].as_secs_f64();
        writeln!(
            std::io::stdout(),
            "{rate:7.0} MB/s  {hidden:6} hidden in {:5.1} MB  {file}",
            text.len() as f64 / 1e6
        )?;
    }
    Ok(())
}

/// How long this thread has run.
fn on_processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
