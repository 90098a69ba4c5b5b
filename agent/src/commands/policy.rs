//! `hearth policy`: what a policy of redaction says, what it would change, and putting it in force.
//!
//! It shows actions and numbers, never text. What tables say is computed in the text crate, who may change them in [`who`](crate::who).

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use hearth_text::{
    Class, Raw, Rules,
    policy::{DESTINATIONS, Diff, Forecast, Group, Route, SOURCES, Seen, Table},
};
use serde::{Deserialize, Serialize};

use super::{redact, table};
use crate::{
    ask::{Ask, Failure, FailureKind, Status},
    cli::{Ended, Outcome, Shell, Trouble, count, grouped, marks},
    who::{Deed, Who},
};

/// Larger inputs of a dry run are refused: they are read whole.
const INPUT_MAX: u64 = 256 << 20;

/// Check, compare and try out what happens to what redaction finds
///
/// A policy is a TOML file; docs/redaction.md shows one. Only actions and numbers are shown, never text.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct PolicyCommand {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Read a policy and say what is wrong with it, where
    Check {
        /// The policy; the one in force when absent
        file: Option<PathBuf>,
    },
    /// Show every change that a policy would make
    Diff(Against),
    /// Count what would be treated otherwise of what was counted before
    WhatIf {
        #[command(flatten)]
        against: Against,
        /// Counts as `hearth policy dry-run --json` writes them
        #[arg(long, value_name = "FILE")]
        seen: PathBuf,
    },
    /// Search files or standard input and count what would be treated otherwise
    ///
    /// Nothing is written and nothing is kept.
    DryRun {
        #[command(flatten)]
        against: Against,
        /// Files to search; standard input when there are none
        input: Vec<PathBuf>,
        /// As if it came from this source
        #[arg(long, default_value = "files")]
        source: String,
        /// As if it went to this destination
        #[arg(long, default_value = "here")]
        destination: String,
    },
    /// Count what would be treated otherwise of what this node holds
    ///
    /// The node keeps numbers by class, not by source, and no hidden value: a class whose treatment depends on the source is said to.
    Simulate(Against),
    /// Put a policy in force, for this user
    ///
    /// Loosening asks again: at a terminal, or by the fingerprint that `hearth policy diff` shows. What is captured is masked whatever a
    /// policy says, so far.
    Set {
        /// The policy
        file: PathBuf,
        /// The fingerprint of the changes, when they loosen anything
        #[arg(long, value_name = "FINGERPRINT")]
        yes_loosen: Option<String>,
    },
    /// List classes, groups, sources, destinations and actions
    Names,
}

#[derive(Debug, Args)]
struct Against {
    /// The policy that might be
    file: PathBuf,
    /// Compare with this one instead of the one in force
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// Changes as a program reads them.
#[derive(Debug, Serialize)]
struct Changes {
    now: String,
    then: String,
    looser: usize,
    tighter: usize,
    fingerprint: String,
    changes: Vec<Alike>,
}

#[derive(Debug, Serialize)]
struct Alike {
    sources: String,
    classes: String,
    destinations: String,
    from: &'static str,
    to: &'static str,
    loosens: bool,
}

/// What was found, and what would become of it.
#[derive(Debug, Serialize)]
struct Counted {
    seen: Vec<Cell>,
    looser: u64,
    tighter: u64,
    unchanged: u64,
    changes: Vec<Foreseen>,
    /// Classes whose treatment depends on what is not counted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    undecided: BTreeMap<String, u64>,
}

/// One count.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cell {
    source: String,
    class: Class,
    destination: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Foreseen {
    source: String,
    class: Class,
    destination: String,
    from: &'static str,
    to: &'static str,
    count: u64,
}

/// Only the counts of a dry run are read back.
#[derive(Debug, Deserialize)]
struct CountsFile {
    seen: Vec<Cell>,
}

impl PolicyCommand {
    /// Reads, compares, shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        match self.order {
            Order::Check { file } => check(shell, file.as_deref()),
            Order::Diff(against) => {
                let (now, then) = against.read(shell)?;
                diff(shell, &now, &then)
            }
            Order::WhatIf { against, seen } => {
                let (now, then) = against.read(shell)?;
                let cells: CountsFile = serde_json::from_str(&text_of(shell, &seen)?).map_err(|error| {
                    let said = format!(
                        "{} holds no counts, at line {}; write them with `hearth policy dry-run --json`",
                        shown(&seen),
                        error.line()
                    );
                    Trouble::usage(said)
                })?;
                counted(shell, &now, &then, cells.seen, BTreeMap::new())
            }
            Order::DryRun { against, input, source, destination } => {
                let (now, then) = against.read(shell)?;
                route(shell, &then, &source, &destination);
                let cells = search(shell, &input, &source, &destination)?;
                counted(shell, &now, &then, cells, BTreeMap::new())
            }
            Order::Simulate(against) => {
                let (now, then) = against.read(shell)?;
                simulate(shell, &now, &then)
            }
            Order::Set { file, yes_loosen } => set(shell, &file, yes_loosen.as_deref()),
            Order::Names => names(shell),
        }
    }
}

impl Against {
    fn read(&self, shell: &mut Shell<'_>) -> Result<(Table, Table), Trouble> {
        let now = match &self.against {
            Some(file) => read(shell, file)?,
            None => in_force(shell)?.0,
        };
        Ok((now, read(shell, &self.file)?))
    }
}

/// Reads and compiles a policy.
pub(super) fn read(shell: &Shell<'_>, file: &Path) -> Result<Table, Trouble> {
    parse(&text_of(shell, file)?, file)
}

fn parse(text: &str, file: &Path) -> Result<Table, Trouble> {
    Table::parse(text).map_err(|bad| {
        let lines: Vec<String> = bad.mistakes.iter().map(|mistake| format!("{}, {mistake}", shown(file))).collect();
        Trouble::usage(lines.join("\n"))
    })
}

/// The route of a policy; remarks when the policy does not know it.
pub(super) fn route(shell: &mut Shell<'_>, policy: &Table, source: &str, destination: &str) -> Route {
    let route = policy.route(source, destination);
    if !route.is_known() {
        let (source, destination) = (marks::plain(source), marks::plain(destination));
        shell.notice(&format!(
            "the policy does not know {source} or {destination}, so whatever is found is dropped; `hearth policy names` lists what it may know"
        ));
    }
    route
}

/// The policy in force, and the file it stands in: the user's, else the machine's, else what is built in.
fn in_force(shell: &Shell<'_>) -> Result<(Table, Option<PathBuf>), Trouble> {
    let places = shell.places(Vec::new());
    for folder in [places.user, places.system].into_iter().flatten() {
        let file = folder.join("policy.toml");
        if file.exists() {
            return Ok((read(shell, &file)?, Some(file)));
        }
    }
    Ok((Table::standard(), None))
}

fn text_of(shell: &Shell<'_>, file: &Path) -> Result<String, Trouble> {
    fs::read_to_string(shell.absolute(file)).map_err(|error| {
        Failure::new(FailureKind::NotFound, format!("cannot read {}: {error}; name another file", shown(file))).into()
    })
}

fn shown(file: &Path) -> String {
    marks::plain(&file.display().to_string())
}

fn check(shell: &mut Shell<'_>, file: Option<&Path>) -> Ended {
    let (policy, file) = match file {
        Some(file) => (read(shell, file)?, Some(file.to_path_buf())),
        None => in_force(shell)?,
    };
    let file = file.as_deref().map(shown);
    if shell.json {
        let said =
            serde_json::json!({ "ok": true, "file": file, "version": policy.version(), "cells": policy.cells() });
        shell.document(&said)?;
    } else {
        let file = file.unwrap_or_else(|| "the built-in policy".into());
        shell.line(format!(
            "{file} is in order: version {}, {} sources, {} destinations, {} cells",
            policy.version(),
            policy.sources().count(),
            policy.destinations().count(),
            grouped(policy.cells() as u64)
        ))?;
    }
    Ok(Outcome::Done)
}

fn diff(shell: &mut Shell<'_>, now: &Table, then: &Table) -> Ended {
    let diff = Diff::between(now, then);
    if shell.json {
        let changes = diff.blocks().into_iter().map(|block| Alike {
            loosens: block.loosens(),
            sources: block.sources,
            classes: block.classes,
            destinations: block.destinations,
            from: block.from.as_str(),
            to: block.to.as_str(),
        });
        let said = Changes {
            now: now.version(),
            then: then.version(),
            looser: diff.looser(),
            tighter: diff.tighter(),
            fingerprint: diff.fingerprint(),
            changes: changes.collect(),
        };
        shell.document(&said)?;
    } else {
        blocks(&diff).into_iter().try_for_each(|line| shell.line(line))?;
        shell.line(summary(&diff))?;
    }
    Ok(if diff.is_empty() { Outcome::Nothing } else { Outcome::Done })
}

fn blocks(diff: &Diff) -> Vec<String> {
    diff.blocks().iter().map(ToString::to_string).collect()
}

fn summary(diff: &Diff) -> String {
    if diff.is_empty() {
        return "nothing would change".into();
    }
    let cells = |n: usize| count(n as u64, "cell", "cells");
    let said = format!("{} looser, {} tighter", cells(diff.looser()), cells(diff.tighter()));
    format!("{said}; fingerprint {}", diff.fingerprint())
}

/// What is found in the input, by class.
fn search(shell: &mut Shell<'_>, input: &[PathBuf], source: &str, destination: &str) -> Result<Vec<Cell>, Trouble> {
    let rules = Rules::with_policy(redact::policy(shell.config()?));
    let mut counts = BTreeMap::<Class, u64>::new();
    let mut look = |bytes: &[u8]| {
        for span in rules.redact_with_spans(Raw::new(String::from_utf8_lossy(bytes))).1 {
            *counts.entry(span.class).or_default() += 1;
        }
    };
    let too_long = |what: &str| Trouble::usage(format!("{what} is longer than 256 MiB; split it"));
    if input.is_empty() {
        let mut bytes = Vec::new();
        shell.input.by_ref().take(INPUT_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > INPUT_MAX {
            return Err(too_long("the input"));
        }
        look(&bytes);
    }
    for file in input {
        let path = shell.absolute(file);
        let unread = |error: std::io::Error| {
            Trouble::from(Failure::new(FailureKind::NotFound, format!("cannot read {}: {error}", shown(file))))
        };
        if fs::metadata(&path).map_err(unread)?.len() > INPUT_MAX {
            return Err(too_long(&shown(file)));
        }
        look(&fs::read(&path).map_err(unread)?);
    }
    let cell = |(class, count)| Cell { source: source.into(), class, destination: destination.into(), count };
    Ok(counts.into_iter().map(cell).collect())
}

fn simulate(shell: &mut Shell<'_>, now: &Table, then: &Table) -> Ended {
    let status: Status = shell.ask(Ask::Status)?;
    // Without its source, a count says something only where every source is treated alike.
    let diff = Diff::between(now, then);
    let (mut cells, mut undecided) = (Vec::new(), BTreeMap::new());
    for (word, count) in status.redactions {
        let Some(class) = Class::named(&word) else { continue };
        let mut treated: Vec<_> = SOURCES
            .iter()
            .map(|source| {
                (now.action(now.route(source, "here"), class), then.action(then.route(source, "here"), class))
            })
            .collect();
        treated.dedup();
        if treated.len() == 1 || !diff.changes().iter().any(|c| c.class == class && c.destination == "here") {
            cells.push(Cell { source: "files".into(), class, destination: "here".into(), count });
        } else {
            undecided.insert(word, count);
        }
    }
    counted(shell, now, then, cells, undecided)
}

/// Shows what would become of what was counted.
fn counted(
    shell: &mut Shell<'_>,
    now: &Table,
    then: &Table,
    cells: Vec<Cell>,
    undecided: BTreeMap<String, u64>,
) -> Ended {
    let mut seen = Seen::default();
    for cell in &cells {
        seen.add(&cell.source, cell.class, &cell.destination, cell.count);
    }
    let Forecast { rows, tighter, looser, unchanged } = Diff::between(now, then).forecast(&seen);
    let total = undecided.values().fold(seen.total(), |sum, n| sum.saturating_add(*n));
    if shell.json {
        let changes = rows.into_iter().map(|(change, count)| Foreseen {
            source: change.source,
            class: change.class,
            destination: change.destination,
            from: change.from.as_str(),
            to: change.to.as_str(),
            count,
        });
        let changes = changes.collect();
        shell.document(&Counted { seen: cells, looser, tighter, unchanged, changes, undecided })?;
    } else {
        if !rows.is_empty() {
            let row = |(change, n): &(hearth_text::policy::Change, u64)| {
                let way = if change.loosens() { "looser" } else { "tighter" };
                vec![
                    marks::plain(&change.source),
                    change.class.to_string(),
                    change.destination.clone(),
                    grouped(*n),
                    format!("{} -> {} ({way})", change.from, change.to),
                ]
            };
            let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
            table(shell, &["SOURCE", "CLASS", "DESTINATION", "SPANS", "WHAT WOULD CHANGE"], &rows)?;
        }
        for (class, n) in &undecided {
            shell.line(format!("{class}: {} may change, it depends on the source", count(*n, "span", "spans")))?;
        }
        let spans = |n: u64| count(n, "span", "spans");
        let said = (spans(looser), spans(tighter), spans(unchanged));
        shell.line(format!("{} looser, {} tighter, {} as now, of {}", said.0, said.1, said.2, grouped(total)))?;
    }
    Ok(if total == 0 { Outcome::Nothing } else { Outcome::Done })
}

fn set(shell: &mut Shell<'_>, file: &Path, yes_loosen: Option<&str>) -> Ended {
    let (now, _) = in_force(shell)?;
    // Read once: what is confirmed is what is written.
    let text = text_of(shell, file)?;
    let then = parse(&text, file)?;
    let diff = Diff::between(&now, &then);
    let fingerprint = diff.fingerprint();
    let mut confirmed = yes_loosen == Some(fingerprint.as_str());
    if diff.looser() > 0 && !confirmed {
        for line in blocks(&diff) {
            shell.remark(line);
        }
        shell.remark(summary(&diff));
        confirmed =
            yes_loosen.is_none() && shell.confirm("Less would be hidden. Put this policy in force?")? == Some(true);
    }
    Who::Owner.may(Deed::Change { loosens: diff.looser() > 0, confirmed }).map_err(|_| {
        Trouble::usage(format!(
            "nothing was changed: less would be hidden; if that is meant, add --yes-loosen {fingerprint}"
        ))
    })?;
    let folder = shell.places(Vec::new()).user.ok_or_else(|| {
        Trouble::usage("there is no home folder to keep the policy in; set XDG_CONFIG_HOME to an absolute path")
    })?;
    let place = folder.join("policy.toml");
    write(&folder, &place, &text).map_err(|error| {
        Trouble::failed(format!("cannot write {}: {error}; the policy in force is still the old one", shown(&place)))
    })?;
    if shell.json {
        shell.document(&serde_json::json!({ "file": shown(&place), "version": then.version() }))?;
    } else {
        shell.line(format!("{} is in force: version {}", shown(&place), then.version()))?;
    }
    Ok(Outcome::Done)
}

/// All of it or nothing, also when the power goes.
fn write(folder: &Path, place: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let fresh = place.with_extension("toml.new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, place)?;
    fs::File::open(folder)?.sync_all()
}

fn names(shell: &mut Shell<'_>) -> Ended {
    let groups: Vec<(&str, Vec<&str>)> =
        Group::EVERY.into_iter().map(|group| (group.as_str(), group.classes().map(Class::as_str).collect())).collect();
    let actions = hearth_text::operators::Action::ALL.map(hearth_text::operators::Action::as_str);
    if shell.json {
        let groups: BTreeMap<_, _> = groups.into_iter().collect();
        let said = serde_json::json!({
            "sources": SOURCES, "destinations": DESTINATIONS, "actions": actions, "groups": groups,
        });
        shell.document(&said)?;
        return Ok(Outcome::Done);
    }
    let mut rows = vec![
        vec!["sources".to_owned(), SOURCES.join(" ")],
        vec!["destinations".to_owned(), format!("{} residency:NAME; away", DESTINATIONS.join(" "))],
        vec!["actions".to_owned(), actions.join(" < ")],
    ];
    // `personal` is all the groups after it.
    let own = groups.into_iter().filter(|(group, _)| *group != Group::Personal.as_str());
    rows.extend(own.map(|(group, classes)| vec![group.to_owned(), classes.join(" ")]));
    table(shell, &["NAME", "WHAT MAY BE WRITTEN"], &rows)?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::cli::fake::{FakeAgent, Ran, run, world};

    const POLICY: &str = "version = 1\ndefault = 'mask'\n[[rule]]\nsources = ['files']\nclasses = ['email', 'password']\naction = 'drop'\n[[rule]]\nclasses = ['phone']\ndestinations = ['here', 'output']\naction = 'pseudonym'\n";

    fn at(folder: &Path, line: &[&str], input: &str, typing: bool) -> Ran {
        let mut world = world();
        world.here = folder.to_path_buf();
        world.environment.insert("XDG_CONFIG_HOME".into(), folder.join("conf").display().to_string());
        (world.input_is_terminal, world.err_is_terminal) = (typing, typing);
        run(&FakeAgent::default(), world, line, input)
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("p.toml"), POLICY).expect("it can be written");
        folder
    }

    #[test]
    fn a_policy_is_checked_compared_and_counted() {
        let folder = folder();
        std::fs::write(folder.path().join("bad.toml"), "version = 1\ndefault = 'hash'\n").expect("it can be written");
        let mut out = String::new();
        for (line, input) in [
            (&["policy", "check"][..], ""),
            (&["policy", "check", "p.toml"], ""),
            (&["policy", "check", "p.toml", "--json"], ""),
            (&["policy", "check", "bad.toml"], ""),
            (&["policy", "check", "none.toml"], ""),
            (&["policy", "diff", "p.toml"], ""),
            (&["policy", "diff", "p.toml", "--json"], ""),
            (&["policy", "diff", "p.toml", "--against", "p.toml"], ""),
            (&["policy", "dry-run", "p.toml"], "mail alice@firma.de or call +49 30 2345678; password=Tr0ub4dor"),
            (&["policy", "dry-run", "p.toml", "--source", "telepathy"], "alice@firma.de"),
            (&["policy", "dry-run", "p.toml", "--json"], "alice@firma.de"),
            (&["policy", "dry-run", "p.toml"], "buy milk"),
            (&["policy", "dry-run", "p.toml", "none.txt"], ""),
            (&["policy", "what-if", "p.toml", "--seen", "p.toml"], ""),
            (&["policy", "simulate", "p.toml"], ""),
            (&["redact", "--policy", "p.toml", "--explain"], "call +49 30 2345678 or alice@firma.de"),
            (
                &["redact", "--policy", "p.toml", "--source", "files", "--explain"],
                "call +49 30 2345678 or alice@firma.de",
            ),
            (
                &["redact", "--policy", "p.toml", "--jsonl", "--explain"],
                "{\"text\":\"call +49 30 2345678\"}\n{\"text\":\"milk\"}",
            ),
            (&["redact", "--policy", "p.toml", "--jsonl", "--source", "files"], "{\"text\":\"alice@firma.de\"}"),
            (&["redact", "--policy", "p.toml", "--token-key", "p.toml"], ""),
            (&["redact", "--explain"], ""),
        ] {
            let Ran { code, out: said, err } = at(folder.path(), line, input, false);
            out += &format!("$ hearth {}\n{said}", line.join(" "));
            err.lines().for_each(|line| out += &format!("2> {line}\n"));
            out += &format!("[{code}]\n\n");
            assert!(!said.contains("Tr0ub") && !err.contains("alice") && !err.contains("2345678"), "{err}");
        }
        insta::assert_snapshot!("policy", out);
    }

    #[test]
    fn counts_of_a_dry_run_are_read_back() {
        let folder = folder();
        let counts = at(folder.path(), &["policy", "dry-run", "p.toml", "--json"], "alice@firma.de", false);
        std::fs::write(folder.path().join("seen.json"), counts.out).expect("it can be written");
        let ran = at(folder.path(), &["policy", "what-if", "p.toml", "--seen", "seen.json"], "", false);
        assert!(ran.out.ends_with("0 spans looser, 1 span tighter, 0 spans as now, of 1\n"), "{ran:?}");
    }

    #[test]
    fn loosening_is_asked_twice_and_tightening_is_not() {
        let folder = folder();
        let place = folder.path().join("conf/hearth/policy.toml");
        let set =
            |line: &[&str], input: &str, typing| at(folder.path(), &[&["policy", "set"], line].concat(), input, typing);

        let refused = set(&["p.toml"], "", false);
        assert_eq!(refused.code, 2, "{refused:?}");
        let fingerprint = refused.err.trim().rsplit(' ').next().expect("it ends with the fingerprint").to_owned();
        assert!(refused.err.contains(&format!("fingerprint {fingerprint}\n")), "{refused:?}");
        assert_eq!(set(&["p.toml", "--yes-loosen", "0123456789abcdef"], "", false).code, 2, "of other changes");
        assert_eq!(set(&["p.toml"], "n\n", true).code, 2, "no");
        assert!(!place.exists(), "nothing was changed");

        assert_eq!(set(&["p.toml"], "y\n", true).code, 0, "yes");
        assert_eq!(std::fs::read_to_string(&place).expect("it is in force"), super::tests::POLICY);
        std::fs::remove_file(&place).expect("it is there");
        assert_eq!(set(&["p.toml", "--yes-loosen", &fingerprint], "", false).code, 0);

        std::fs::write(folder.path().join("tight.toml"), "version = 1\ndefault = 'drop'\n").expect("it can be written");
        assert_eq!(set(&["tight.toml"], "", false).code, 0, "tightening is instant");
        assert_eq!(at(folder.path(), &["policy", "diff", "tight.toml"], "", false).code, 3, "it is in force");
    }

    #[test]
    fn a_key_makes_pseudonyms_that_a_second_time_changes_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder();
        let key = folder.path().join("key");
        std::fs::write(&key, "07".repeat(32)).expect("it can be written");
        let line = ["redact", "--policy", "p.toml", "--token-key", "key"];
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&key, open).expect("it is ours");
        let refused = at(folder.path(), &line, "", false);
        assert!(refused.code == 2 && refused.err.contains("`chmod 600` it"), "{refused:?}");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("it is ours");

        let once = at(folder.path(), &line, "call +49 30 2345678 now", false);
        assert!(once.out.starts_with("call <phone:") && once.out.ends_with("> now"), "{once:?}");
        assert_eq!(at(folder.path(), &line, &once.out, false).out, once.out);
    }
}
