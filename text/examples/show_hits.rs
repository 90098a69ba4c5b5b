//! Shows where a file's hits stand; for looking at noise on text that is no secret. With `--all`, every class is on.

use std::io::Write;

use hearth_text::{Policy, Raw, Rules};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name a file")?;
    let class = std::env::args().nth(2).ok_or("name a class")?;
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    let all = std::env::args().any(|argument| argument == "--all");
    let rules = if all { Rules::with_policy(Policy::ALL) } else { Rules::standard() };
    let (_, spans) = rules.redact_with_spans(Raw::new(text.as_str()));
    let mut out = std::io::stdout().lock();
    for span in spans.iter().filter(|span| class == "any" || span.class.as_str() == class) {
        let before: String = text[..span.start].chars().rev().take(50).collect::<Vec<_>>().into_iter().rev().collect();
        let hidden: String = text[span.start..span.end].chars().take(70).collect();
        writeln!(out, "{} {:?}", span.class, format!("{before}⟦{hidden}⟧"))?;
    }
    Ok(())
}
