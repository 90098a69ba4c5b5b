//! `hearth search`: one query for a person, or a file of them for a judge.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use hearth_core::SessionId;

use super::{by_class, trec};
use crate::{
    ask::{
        Ask, Filter, Found, Hit, Mode, Query,
        fleet::{Link, Order, Shown, Woken},
    },
    cli::{Ended, Outcome, Shell, Trouble, marks, when},
    fleet::waking,
};

/// Find what was captured, by meaning and by word
///
/// Answers come from this machine, and from devices of its fleet that are awake and let it find what they keep to themselves; the query goes
/// to no one else, and with --here to nobody. Ends with 3 when nothing was found.
#[derive(Debug, Args)]
pub struct Search {
    /// What to look for
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    query: Vec<String>,
    /// How many items to show [default: 10, of a batch 100]
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: Option<u32>,
    /// By what to find
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    mode: Mode,
    /// Only from this source, such as files
    #[arg(long)]
    source: Option<String>,
    /// Only at or below this path
    #[arg(long)]
    path: Option<PathBuf>,
    /// Only of this format, such as markdown
    #[arg(long)]
    format: Option<String>,
    /// Only from this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only what changed since: 2026-03-24, or 7d for so long ago
    #[arg(long, value_name = "WHEN")]
    after: Option<when::When>,
    /// Only what changed before
    #[arg(long, value_name = "WHEN")]
    before: Option<when::When>,
    /// Only on this machine: other devices of the fleet are not asked
    #[arg(long)]
    here: bool,
    /// Wake the devices that sleep, and show what they have, too, once they are there
    ///
    /// What is here is shown at once. Waking needs Wake-on-LAN to be on in the device's firmware and system, and takes up to three minutes.
    #[arg(long, conflicts_with = "here")]
    wake: bool,
    /// Show what each score is made of and where each hit comes from
    #[arg(long)]
    explain: bool,
    /// Answer every query of a file with one {"id","text"} a line
    #[arg(long, value_name = "FILE.jsonl", requires = "run", conflicts_with_all = ["source", "path", "format", "session", "after", "before", "here", "wake", "explain"])]
    batch: Option<PathBuf>,
    /// Where to write the batch's results, in TREC run form
    #[arg(long, value_name = "OUT.trec", requires = "batch")]
    run: Option<PathBuf>,
    /// The name of the run, its last column
    #[arg(long, value_name = "NAME", default_value = "hearth", requires = "batch")]
    tag: String,
}

impl Search {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        if let (Some(batch), Some(run)) = (&self.batch, &self.run) {
            let (batch, run) = (shell.absolute(batch), shell.absolute(run));
            let limit = self.limit.map_or(100, |n| n as usize);
            return trec::run(shell, &batch, &run, limit, self.mode, &self.tag);
        }
        let text = self.query.join(" ");
        if text.trim().is_empty() {
            return Err(Trouble::usage("there is nothing to look for; write some words after `hearth search`"));
        }
        let (now, zone) = (shell.world.now, shell.world.zone.clone());
        let query = Query {
            text,
            limit: self.limit.map_or(10, |n| n as usize),
            mode: self.mode,
            filter: Filter {
                source: self.source,
                path: self.path.map(|path| shell.absolute(&path)),
                format: self.format,
                session: self.session,
                after: self.after.map(|when| when.moment(now, &zone)),
                before: self.before.map(|when| when.moment(now, &zone)),
            },
            here: self.here,
        };
        let mut found: Found = shell.ask(Ask::Search(query.clone()))?;
        if self.wake {
            if !shell.json {
                list(shell, &found, self.explain)?;
            }
            if !wake(shell)? && !shell.json {
                return Ok(outcome(&found));
            }
            found = shell.ask(Ask::Search(query))?;
        }
        if shell.json {
            shell.document(&found)?;
        } else {
            list(shell, &found, self.explain)?;
        }
        Ok(outcome(&found))
    }
}

const fn outcome(found: &Found) -> Outcome {
    if found.hits.is_empty() { Outcome::Nothing } else { Outcome::Done }
}

fn list(shell: &mut Shell<'_>, found: &Found, explain: bool) -> std::io::Result<()> {
    for (rank, hit) in found.hits.iter().enumerate() {
        if rank > 0 {
            shell.line("")?;
        }
        show(shell, rank + 1, hit, explain)?;
    }
    summary(shell, found);
    Ok(())
}

/// How often is looked who is awake.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Wakes who sleeps and waits for them; says whether anybody came.
fn wake(shell: &mut Shell<'_>) -> Result<bool, Trouble> {
    let woken: Woken = shell.ask(Ask::Fleet(Order::Wake))?;
    let mut waited_for = Vec::new();
    for device in woken.devices {
        let name = marks::plain(&device.name);
        match device.refused {
            Some(why) => shell.notice(&format!("{name} is not woken: {why}")),
            None => {
                shell.remark(format!("waking {name}: {}", waking::price(device.took_ms)));
                waited_for.push((device.id, name));
            }
        }
    }
    let (begun, all) = (Instant::now(), waited_for.len());
    let busy = shell.busy("waiting for them to wake");
    while !waited_for.is_empty() && begun.elapsed() < waking::WAKE_MAX {
        std::thread::sleep(LOOK_EVERY);
        let shown: Shown = shell.ask(Ask::Fleet(Order::Show))?;
        let devices = shown.fleet.map(|fleet| fleet.devices).unwrap_or_default();
        // It has greeted once it is known how far behind it is.
        let is_awake =
            |id| devices.iter().any(|it| it.id == id && matches!(it.link, Link::Linked { behind: Some(_), .. }));
        waited_for.retain(|(id, _)| !is_awake(*id));
    }
    drop(busy);
    for (_, name) in &waited_for {
        shell.notice(&format!(
            "{name} did not wake within three minutes; is Wake-on-LAN on in its firmware and system?"
        ));
    }
    Ok(waited_for.len() < all)
}

fn show(shell: &mut Shell<'_>, rank: usize, hit: &Hit, explain: bool) -> std::io::Result<()> {
    let (paint, width) = (shell.paint(), shell.width());
    let (now, zone) = (shell.world.now, shell.world.zone.clone());
    let number = format!("{rank:>2}  ");
    let indent = " ".repeat(number.len());
    let room = width - number.len();
    let time = when::ago(hit.lineage.modified_at, now, &zone);
    let title = marks::cut(&title(hit), room - marks::columns(&time) - 2);
    let gap = " ".repeat(room - marks::columns(&title) - marks::columns(&time));
    shell.line(format!("{}{}{gap}{}", paint.dim(&number), paint.bold(&title), paint.dim(&time)))?;
    shell.line(format!("{indent}{}", paint.dim(&marks::cut(&place(hit), room))))?;
    for line in marks::wrap_lines(&marks::pieces(&hit.snippet, &hit.highlights), room, 4, 8) {
        let shown: String =
            line.iter().map(|(marked, part)| if *marked { paint.found(part) } else { part.clone() }).collect();
        shell.line(format!("{indent}{shown}"))?;
    }
    if explain {
        for line in explanation(hit, now, &zone) {
            for row in marks::lines(&line, room - 2, 6) {
                shell.line(format!("{indent}  {}", paint.dim(&row)))?;
            }
        }
    }
    Ok(())
}

fn title(hit: &Hit) -> String {
    let title = marks::plain(&hit.title);
    if title.trim().is_empty() { hit.id.clone() } else { title }
}

/// Where it is: the device when it is another one, its path, else the name it came with; and the headings above the passage.
fn place(hit: &Hit) -> String {
    let mut name = hit.path.clone().unwrap_or_else(|| hit.id.clone());
    if let Some(device) = &hit.lineage.device {
        name = format!("{device}: {name}");
    }
    let place = if hit.lineage.heading.is_empty() { name } else { format!("{name} › {}", hit.lineage.heading) };
    marks::plain(&place)
}

fn explanation(hit: &Hit, now: hearth_core::Moment, zone: &jiff::tz::TimeZone) -> Vec<String> {
    let part = |name: &str, value: Option<f32>| {
        value.map_or_else(|| format!("not {name}"), |value| format!("{name} {value:.3}"))
    };
    let hidden = by_class(&hit.lineage.redactions);
    let lineage = [
        format!("from {}", marks::plain(&hit.lineage.source)),
        format!("by “{}”", marks::plain(&hit.lineage.purpose)),
        if hidden.is_empty() { "nothing hidden".into() } else { format!("hidden: {hidden}") },
        hit.lineage
            .model
            .as_deref()
            .map_or_else(|| "no vector asked".into(), |model| format!("vector by {}", marks::plain(model))),
        format!("captured {}", when::ago(hit.lineage.captured_at, now, zone)),
    ];
    vec![
        format!(
            "score {:.4}: {}, {}",
            hit.score,
            part("by word", hit.parts.keyword),
            part("by meaning", hit.parts.vector)
        ),
        lineage.join(" → "),
        format!("{} on {}, session {}", marks::plain(&hit.id), hit.node, hit.session),
    ]
}

fn summary(shell: &mut Shell<'_>, found: &Found) {
    let paint = shell.paint_err();
    let said = if found.hits.is_empty() {
        "nothing found; try other words, or `hearth status` to see what is captured".to_owned()
    } else {
        format!("{} in {:.0} ms", super::items(found.hits.len() as u64), found.took_ms)
    };
    let gap = if shell.world.err_is_terminal && !found.hits.is_empty() { "\n" } else { "" };
    shell.remark(format!("{gap}{}", paint.dim(&said)));
    for sentence in &found.missing {
        shell.notice(sentence);
    }
}
