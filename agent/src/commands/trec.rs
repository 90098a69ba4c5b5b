//! Many queries from a file, their results in TREC run form.
//!
//! The run appears whole under its name or not at all. Ids are written as they came; one that the form cannot hold is refused.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    ask::{Ask, BatchFound, BatchQuery, Failure, FailureKind, Mode},
    cli::{Ended, Outcome, Shell, Trouble, count},
};

/// The longest line of a file of queries.
const LINE_MAX: u64 = 1 << 20;

/// How many queries are asked at once, and how many bytes of them.
const PART_QUERIES: usize = 256;
const PART_BYTES: usize = 1 << 20;

/// What a batch did.
#[derive(Debug, Serialize)]
struct Done {
    queries: u64,
    rows: u64,
    took_ms: f64,
}

/// Answers every query of `batch` and writes the run.
pub(super) fn run(shell: &mut Shell<'_>, batch: &Path, run: &Path, limit: usize, mode: Mode, tag: &str) -> Ended {
    if !writable(tag) {
        return Err(Trouble::usage("the name of a run must be one word"));
    }
    let file = fs::File::open(batch).map_err(|error| cannot("read the queries", batch, &error))?;
    let mut queries = Queries::new(BufReader::new(file));
    let mut out = Aside::new(run).map_err(|error| cannot("write the run", run, &error))?;
    let mut done = Done { queries: 0, rows: 0, took_ms: 0.0 };
    let busy = shell.busy("searching");
    while let Some(part) = queries.part()? {
        done.queries += part.len() as u64;
        let asked: Vec<String> = part.iter().map(|query| query.id.clone()).collect();
        let found: BatchFound = shell.ask(Ask::SearchBatch { queries: part, limit, mode })?;
        if !found.runs.iter().map(|(id, _)| id).eq(&asked) {
            return Err(Trouble::failed("the answers do not belong to the queries; run `hearth doctor`"));
        }
        done.took_ms += found.took_ms;
        for (query, documents) in &found.runs {
            done.rows += rows(out.file(), query, documents, limit, tag)?;
        }
        busy.say(format!("searching: {}", count(done.queries, "query", "queries")));
    }
    drop(busy);
    if done.queries == 0 {
        return Err(Trouble::usage("there are no queries in the file; write one {\"id\": …, \"text\": …} a line"));
    }
    out.finish().map_err(|error| cannot("write the run", run, &error))?;
    if shell.json {
        shell.document(&done)?;
    } else {
        let said = (count(done.queries, "query", "queries"), count(done.rows, "row", "rows"));
        shell.remark(format!("{}, {} in {:.1} s", said.0, said.1, done.took_ms / 1000.0));
    }
    Ok(if done.rows == 0 { Outcome::Nothing } else { Outcome::Done })
}

/// Writes the rows of one query, one row a document.
fn rows(
    out: &mut dyn Write,
    query: &str,
    documents: &[(String, f32)],
    limit: usize,
    tag: &str,
) -> Result<u64, Trouble> {
    let mut seen = HashSet::new();
    let mut rank = 0;
    for (document, score) in documents {
        if !writable(document) {
            return Err(Trouble::failed(
                "an item's id holds white space or is empty, which the TREC form cannot hold; import it under an id of one word",
            ));
        }
        if rank < limit && seen.insert(document) {
            rank += 1;
            writeln!(out, "{query} Q0 {document} {rank} {score} {tag}")?;
        }
    }
    Ok(rank as u64)
}

/// Whether a column of the form can hold it.
fn writable(id: &str) -> bool {
    !id.is_empty() && !id.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Queries out of JSON lines.
struct Queries<R> {
    lines: R,
    number: u64,
    seen: HashSet<String>,
}

impl<R: BufRead> Queries<R> {
    fn new(lines: R) -> Self {
        Self { lines, number: 0, seen: HashSet::new() }
    }

    /// The next queries, as many as are asked at once.
    fn part(&mut self) -> Result<Option<Vec<BatchQuery>>, Trouble> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while part.len() < PART_QUERIES && bytes < PART_BYTES {
            let Some(query) = self.next()? else { break };
            bytes += query.text.len() + query.id.len();
            part.push(query);
        }
        Ok((!part.is_empty()).then_some(part))
    }

    fn next(&mut self) -> Result<Option<BatchQuery>, Trouble> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.lines).take(LINE_MAX + 1).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.len() as u64 > LINE_MAX {
                return Err(self.wrong("is longer than 1 MiB; shorten that query"));
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let query: BatchQuery = serde_json::from_slice(&line).map_err(|error| {
                self.wrong(&format!("is not a query ({error}); write {{\"id\": \"…\", \"text\": \"…\"}}"))
            })?;
            if !writable(&query.id) {
                return Err(self.wrong("has an id that is empty or holds white space, which the TREC form cannot hold; give it an id of one word"));
            }
            if !self.seen.insert(query.id.clone()) {
                return Err(self.wrong("has the id of an earlier query; give each its own"));
            }
            return Ok(Some(query));
        }
    }

    fn wrong(&self, what: &str) -> Trouble {
        Trouble::usage(format!("line {} {what}", self.number))
    }
}

/// A file that is written beside its place and put there when it is whole.
struct Aside {
    place: PathBuf,
    aside: PathBuf,
    file: Option<BufWriter<fs::File>>,
}

impl Aside {
    fn new(place: &Path) -> std::io::Result<Self> {
        if place.is_dir() {
            return Err(std::io::Error::other("it is a folder; name a file in it"));
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(place.file_name().ok_or_else(|| std::io::Error::other("it is not the name of a file"))?);
        name.push(format!(".{}", std::process::id()));
        let aside = place.with_file_name(name);
        let file = BufWriter::new(fs::File::create(&aside)?);
        Ok(Self { place: place.to_owned(), aside, file: Some(file) })
    }

    fn file(&mut self) -> &mut BufWriter<fs::File> {
        self.file.as_mut().expect("it is open until it is finished")
    }

    fn finish(mut self) -> std::io::Result<()> {
        let file =
            self.file.take().expect("it is finished once").into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.aside, &self.place)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove.
        let _ = fs::remove_file(&self.aside);
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Trouble {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { FailureKind::NotFound } else { FailureKind::Failed };
    Failure::new(kind, format!("cannot {what}, {}: {error}", path.display())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let mut queries = Queries::new(text.as_bytes());
        let mut ids = Vec::new();
        while let Some(part) = queries.part().map_err(|trouble| trouble.to_string())? {
            ids.extend(part.into_iter().map(|query| query.id));
        }
        Ok(ids)
    }

    #[test]
    fn queries_are_read_line_by_line_and_a_slip_names_its_line() {
        let long = format!("{{\"id\":\"1\",\"text\":\"{}\"}}", "x".repeat(1 << 20));
        for (case, text, expected) in [
            ("two queries", "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"y\"}\n", Ok(vec!["a", "b"])),
            ("the other name of the id", "{\"_id\":\"q1\",\"text\":\"x\"}", Ok(vec!["q1"])),
            ("more than is needed", "{\"id\":\"a\",\"text\":\"x\",\"metadata\":{}}", Ok(vec!["a"])),
            ("empty lines and carriage returns", "\r\n{\"id\":\"a\",\"text\":\"x\"}\r\n\r\n", Ok(vec!["a"])),
            ("an id in other letters", "{\"id\":\"é-日\",\"text\":\"x\"}", Ok(vec!["é-日"])),
            ("nothing", "", Ok(vec![])),
            ("white space in an id", "{\"id\":\"a b\",\"text\":\"x\"}", Err("line 1 has an id")),
            ("an empty id", "{\"id\":\"\",\"text\":\"x\"}", Err("line 1 has an id")),
            (
                "the same id again",
                "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"a\",\"text\":\"y\"}",
                Err("line 2 has the id of an earlier query"),
            ),
            ("no text", "\n{\"id\":\"a\"}", Err("line 2 is not a query")),
            ("no JSON", "hello", Err("line 1 is not a query")),
            ("a line without end", long.as_str(), Err("line 1 is longer than 1 MiB")),
        ] {
            match (read(text), expected) {
                (Ok(ids), Ok(expected)) => assert_eq!(ids, expected, "{case}"),
                (Err(said), Err(part)) => assert!(said.contains(part), "{case}: {said}"),
                (got, _) => panic!("{case}: {got:?}"),
            }
        }
    }

    #[test]
    fn many_queries_are_asked_in_parts() {
        let text: String = (0..600).map(|n| format!("{{\"id\":\"{n}\",\"text\":\"x\"}}\n")).collect();
        let mut queries = Queries::new(text.as_bytes());
        let mut sizes = Vec::new();
        while let Ok(Some(part)) = queries.part() {
            sizes.push(part.len());
        }
        assert_eq!(sizes, [256, 256, 88]);
    }

    #[test]
    fn a_row_is_a_document_and_an_id_with_white_space_is_refused() {
        let documents =
            [("d/1".to_owned(), 0.75), ("d/2".to_owned(), 0.5), ("d/1".to_owned(), 0.25), ("d3".to_owned(), 0.125)];
        let mut out = Vec::new();
        assert_eq!(rows(&mut out, "q1", &documents, 2, "tag").ok(), Some(2));
        assert_eq!(String::from_utf8_lossy(&out), "q1 Q0 d/1 1 0.75 tag\nq1 Q0 d/2 2 0.5 tag\n");
        assert!(rows(&mut out, "q1", &[("a b".to_owned(), 1.0)], 2, "tag").is_err());
    }
}
