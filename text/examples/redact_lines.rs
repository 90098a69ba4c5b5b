//! Redacts lines of `{"text"}` on standard input; with `--speed FILE`, says how fast a file is read.

use std::io::{BufRead, Write};

use hearth_text::{Policy, Raw, Rules, jsonl};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rules =
        if arguments.iter().any(|a| a == "--all") { Rules::with_policy(Policy::ALL) } else { Rules::standard() };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if let Some(at) = arguments.iter().position(|a| a == "--speed") {
        let path = arguments.get(at + 1).ok_or("name a file after --speed")?;
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        let bytes = text.len();
        rules.redact(Raw::new("warm"));
        let start = std::time::Instant::now();
        let redacted = rules.redact(Raw::new(text));
        let seconds = start.elapsed().as_secs_f64();
        let counts = serde_json::to_string(redacted.counts())?;
        writeln!(out, "{:.0} MB/s over {bytes} bytes, hidden: {counts}", bytes as f64 / seconds / 1e6)?;
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", jsonl::redact_line(&rules, &line?)?)?;
    }
    Ok(())
}
