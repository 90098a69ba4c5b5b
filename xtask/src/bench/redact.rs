//! How fast text is redacted, and how much of what must be hidden is.
//!
//! Speed is measured on real text of this machine by the clock, the start of the program and the reading of the file included.
//! What is found is judged by the scorer that lies beside the labelled rows; neither is part of the repository.

use super::spread::Spread;
use super::{Figure, Halt, Measured, Site, files, make_folder, write};
use crate::product::Product;
use crate::product::child::{Child, wrapped};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// As much text is redacted, where there is as much.
const BYTES: usize = 40_000_000;
const RUNS: usize = 3;

pub(super) fn measure(site: &Site<'_>, from: &[PathBuf]) -> Measured {
    let place = site.folder.join("redact");
    make_folder(&place)?;
    let (mut plain, mut lines, mut taken) = (String::new(), String::new(), 0);
    for text in files::list(site.tree, from)?.iter().filter_map(|file| files::text(file)) {
        if plain.len() >= BYTES {
            break;
        }
        lines.push_str(&format!("{}\n", json!({"text": text})));
        plain.push_str(&text);
        taken += 1;
    }
    let (stream, jsonl) = (place.join("text"), place.join("text.jsonl"));
    write(&stream, &plain)?;
    write(&jsonl, &lines)?;
    let megabytes = plain.len() as f64 / 1e6;
    println!("{megabytes:.1} MB in {taken} files, each way {RUNS} times");
    let product = site.product("redact");
    let mut figures = Vec::new();
    for (what, arguments, file) in [
        ("redaction of a stream, one thread", &["redact"][..], &stream),
        ("redaction of JSON lines, one thread", &["redact", "--jsonl"], &jsonl),
    ] {
        let seconds = Spread::of(time(site, &product, arguments, file)?)?;
        let note = format!("{megabytes:.1} MB in {:.2} s, median of {RUNS}", seconds.median());
        figures.push(Figure::new(what, megabytes / seconds.median(), "MB/s").noting(note));
    }
    figures.extend(engine(site, &place, &plain)?);
    match judge(site, &product) {
        Ok(judged) => figures.extend(judged),
        Err(Halt::Absent(sentence)) => println!("what is found: {sentence}"),
        Err(broken) => return Err(broken),
    }
    Ok(figures)
}

/// The engine by itself, on the text as it is and with a labelled row planted every 25 kB: processor time of one thread.
fn engine(site: &Site<'_>, place: &Path, plain: &str) -> Measured {
    let clean = place.join("clean");
    write(&clean, plain)?;
    let mut files = vec![clean];
    match site.shared("redaction-dev") {
        Ok(corpus) => {
            let rows = rows(&corpus.join("corpus.jsonl"))?;
            let (planted, dense) = (place.join("planted"), place.join("dense"));
            write(&planted, &plant(plain, &rows))?;
            write(&dense, &rows.join("\n"))?;
            files.extend([planted, dense]);
        }
        Err(Halt::Absent(sentence)) => println!("planted text: {sentence}"),
        Err(broken) => return Err(broken),
    }
    let mut figures = Vec::new();
    for (way, goals) in [("", [500.0, 400.0, 20.0]), ("--plain", [150.0, 150.0, 20.0])] {
        let mut cargo = site.tree.cargo();
        cargo.args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "hearth-text",
            "--example",
            "redact_speed",
            "--",
            "--json",
        ]);
        cargo.args((!way.is_empty()).then_some(way)).arg("5").args(&files);
        let said = Child::start("the bench of the engine", cargo)?.finish(site.interrupts, |_| ())?;
        let kinds = ["as it is", "with rows planted", "of labelled rows alone"];
        for ((line, kind), goal) in said.lines().zip(kinds).zip(goals) {
            let report: Value = serde_json::from_str(line)
                .map_err(|error| format!("the bench of the engine speaks no JSON: {error}"))?;
            let of = |key: &str| report[key].as_f64().ok_or_else(|| format!("the bench of the engine says no `{key}`"));
            let without = if way.is_empty() { "" } else { ", without vector instructions" };
            let note = format!("{:.1} MB, median of 5; 4 KiB: p99 {:.0} us", of("megabytes")?, of("record_p99_us")?);
            figures.push(
                Figure::new(format!("engine on text {kind}{without}"), of("rate")?, "MB/s").at_least(goal).noting(note),
            );
            if kind == kinds[0] && way.is_empty() {
                figures.push(Figure::new("tables of the engine are made", of("start_ms")?, "ms").at_most(100.0));
            }
        }
    }
    Ok(figures)
}

/// The texts of the labelled rows.
fn rows(corpus: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(corpus).map_err(|error| format!("cannot read {}: {error}", corpus.display()))?;
    let rows =
        text.lines().filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["text"].as_str()?.to_owned()));
    Ok(rows.collect())
}

/// The text with one row after another put in behind a line every 25 kB.
fn plant(text: &str, rows: &[String]) -> String {
    const EVERY: usize = 25_000;
    let mut planted = String::new();
    let mut rows = rows.iter().cycle();
    let mut since = 0;
    for line in text.split_inclusive('\n') {
        planted.push_str(line);
        since += line.len();
        if since >= EVERY
            && let Some(row) = rows.next()
        {
            planted.push_str(row);
            planted.push('\n');
            since = 0;
        }
    }
    planted
}

/// Seconds of each run.
fn time(site: &Site<'_>, product: &Product, arguments: &[&str], file: &Path) -> Result<Vec<f64>, String> {
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let mut hearth = product.hearth();
        hearth.args(arguments).arg(file);
        // Its output goes where nobody has to read it.
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" > /dev/null", "sh"]);
        let begun = Instant::now();
        Child::start("`hearth redact`", wrapped(shell, &hearth))?.finish(site.interrupts, |_| ())?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// What the scorer says of the labelled rows.
fn judge(site: &Site<'_>, product: &Product) -> Measured {
    let corpus = site.shared("redaction-dev")?;
    let mut scorer = Command::new("python3");
    // Everything switched on, as the rows are labelled with everything.
    let mut hearth = product.hearth();
    hearth.args(["redact", "--jsonl", "--packs", "all"]);
    scorer.arg(corpus.join("score.py")).args(["--json", "--"]);
    let said = Child::start("python3 with the scorer", wrapped(scorer, &hearth))?.finish(site.interrupts, |_| ())?;
    let report: Value = serde_json::from_str(&said).map_err(|error| format!("the scorer speaks no JSON: {error}"))?;
    Ok(figures(&report).ok_or_else(|| String::from("the scorer's report lacks what is expected in it"))?)
}

fn figures(report: &Value) -> Option<Vec<Figure>> {
    let mut figures = Vec::new();
    for (class, name) in
        [("secret", "secrets"), ("credit_card", "cards"), ("email", "e-mail addresses"), ("phone", "telephone numbers")]
    {
        let found = &report["classes"][class];
        let note = format!("{} spans, precision {:.2}", found["n"], found["precision"].as_f64()?);
        figures.push(Figure::new(format!("recall of {name}"), found["recall"].as_f64()?, "").noting(note));
    }
    let national = &report["national_ids"];
    let note = format!("{} spans of {} kinds", national["n"], national["classes"]);
    figures.push(Figure::new("recall of national numbers", national["recall"].as_f64()?, "").noting(note));
    let clean = &report["clean_rows_hit"];
    let note = format!("of {} rows that hold nothing", clean[1]);
    figures.push(Figure::new("clean rows in which something is hidden", clean[0].as_f64()?, "").noting(note));
    Some(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scorers_report_becomes_figures() {
        let class = json!({"n": 59, "precision": 1.0, "recall": 0.9, "f2": 0.92});
        let mut report = json!({
            "classes": {"secret": class, "credit_card": class, "email": class, "phone": class},
            "national_ids": {"n": 187, "recall": 0.94, "classes": 62},
            "clean_rows_hit": [32, 152],
        });
        let figures_of_all = figures(&report).expect("all is there");
        assert_eq!(figures_of_all.len(), 6);
        assert_eq!(figures_of_all[1].note, "59 spans, precision 1.00");
        assert_eq!(plant("a\n", &[]), "a\n");
        let planted = plant(&"line\n".repeat(12_000), &[String::from("one"), String::from("two")]);
        assert_eq!((planted.matches("one\n").count(), planted.matches("two\n").count()), (1, 1));
        report["classes"]["email"]["precision"] = Value::Null;
        assert!(figures(&report).is_none(), "a class that was not judged is no figure");
    }
}
