//! Redacts lines of `{"text"}` on standard input; with `--file FILE`, counts what a file holds (run it under `time`).

use std::io::{BufRead, Write};

use hearth_text::{Policy, Raw, Rules, jsonl};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rules =
        if arguments.iter().any(|a| a == "--all") { Rules::with_policy(Policy::ALL) } else { Rules::standard() };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if let Some(at) = arguments.iter().position(|a| a == "--file") {
        let path = arguments.get(at + 1).ok_or("name a file after --file")?;
        let redacted = rules.redact(Raw::new(String::from_utf8_lossy(&std::fs::read(path)?)));
        writeln!(out, "{}", serde_json::to_string(redacted.counts())?)?;
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", jsonl::redact_line(&rules, &line?)?)?;
    }
    Ok(())
}
