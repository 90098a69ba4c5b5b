//! What can be ordered on the command line: each subcommand a struct that can run.
//!
//! A command translates: from flags to a question, from the answer to words. What the answer is, is decided elsewhere.

pub mod audit;
pub mod bench;
pub mod config;
pub mod doctor;
pub mod features;
pub mod fleet;
pub mod forget;
pub mod formats;
pub mod hold;
pub mod identity;
pub mod index;
pub mod manual;
pub mod policy;
pub mod redact;
pub mod schema;
pub mod search;
pub mod session;
pub mod show;
pub mod source;
pub mod state;
pub mod status;
pub mod stop;
pub mod transfer;
pub mod trec;
pub mod up;
pub mod why;

use crate::cli::{Shell, count, marks};
use std::collections::BTreeMap;

/// The last column of a table is broken into lines of at least this; where that is too much, it stands below its row.
const LAST_COLUMN_MIN: usize = 24;

/// Rows of a small table: columns are as wide as their widest entry, the last one takes what is left of the line.
fn table(shell: &mut Shell<'_>, heads: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| marks::columns(cell));
        cells.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let last = heads.len() - 1;
    let widths: Vec<usize> = (0..last).map(wide).collect();
    let line = |cells: &[String], end: &str| {
        let mut out = String::new();
        for (cell, width) in cells[..last].iter().zip(&widths) {
            out += cell;
            out += &" ".repeat(width.saturating_sub(marks::columns(cell)) + 2);
        }
        out + end
    };
    let indent: usize = widths.iter().map(|width| width + 2).sum();
    let room = shell.width().saturating_sub(indent);
    let below = room < LAST_COLUMN_MIN.min(wide(last));
    let (indent, room) = if below { (4, shell.width() - 4) } else { (indent, room) };
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let head = shell.paint().dim(line(&heads, if below { "" } else { &heads[last] }).trim_end());
    shell.line(head)?;
    for row in rows {
        let mut parts = marks::lines(&row[last], room, 20).into_iter();
        let beside = if below { None } else { parts.next() };
        shell.line(line(row, &beside.unwrap_or_default()))?;
        parts.try_for_each(|part| shell.line(format!("{}{part}", " ".repeat(indent))))?;
    }
    Ok(())
}

/// `2 email, 1 password`.
fn by_class<N: Copy + Into<u64>>(counts: &BTreeMap<String, N>) -> String {
    let mut counts: Vec<(u64, &String)> = counts.iter().map(|(class, n)| ((*n).into(), class)).collect();
    counts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let said: Vec<String> = counts
        .iter()
        .map(|(n, class)| format!("{} {}", crate::cli::grouped(*n), class.replace(['_', '-'], " ")))
        .collect();
    said.join(", ")
}

/// `3 items`.
fn items(n: u64) -> String {
    count(n, "item", "items")
}

/// `3 passages`.
fn passages(n: u64) -> String {
    count(n, "passage", "passages")
}
