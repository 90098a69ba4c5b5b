//! What was typed into shells: bash, zsh and fish histories, one item a day.
//!
//! An item holds the commands that one history file has of one day (UTC, so that travelling renames nothing); bash without
//! times has batches instead, cut where the commands themselves say so, so that neither what is added at the end nor what
//! bash drops at the beginning moves a cut. What is no longer in a history file is no longer an item: deleting a line there
//! deletes it here. A command that begins with a space is never captured, one that was given in a time that is left out neither,
//! and one that is repeated at once counts once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use hearth_core::Moment;
use hearth_text::Raw;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Candidate, Captured, Change, Cursor, Fingerprint, Format, Found, Limits, Skip, SkipReason, Source, Watch,
    WatchError, Watching,
    files::{open_regular, read_limited},
    format, name_order, path_name, watch,
};

/// A shell whose history is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// fish.
    Fish,
    /// zsh.
    Zsh,
}

impl Shell {
    /// Every shell.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Fish, Self::Zsh];

    /// Where its history lies below the home folder, unless it was told otherwise.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::Bash => &[".bash_history", ".local/state/bash/history", ".config/bash/history"],
            Self::Fish => &[".local/share/fish/fish_history"],
            Self::Zsh => &[
                ".zsh_history",
                ".zhistory",
                ".histfile",
                ".config/zsh/.zsh_history",
                ".local/state/zsh/history",
                ".local/share/zsh/history",
            ],
        }
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bash => "bash",
            Self::Fish => "fish",
            Self::Zsh => "zsh",
        })
    }
}

/// The source of shell histories.
#[derive(Clone)]
pub struct History {
    files: Arc<[(Shell, PathBuf)]>,
    leaves_out: Arc<dyn Fn(Moment) -> bool + Send + Sync>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("History").field(&self.files).finish()
    }
}

impl History {
    /// The histories below a home folder, where shells put them; those that are not there are no error.
    pub fn of_home(home: &Path) -> Self {
        Self::new(
            Shell::ALL.into_iter().flat_map(|shell| shell.files().iter().map(move |file| (shell, home.join(file)))),
        )
    }

    /// These histories.
    pub fn new(files: impl IntoIterator<Item = (Shell, PathBuf)>) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by(|a, b| name_order(&prefix(a.0, &a.1), &prefix(b.0, &b.1)));
        files.dedup();
        Self { files: files.into(), leaves_out: Arc::new(|_| false) }
    }

    /// The same histories, but for commands that were given at a moment which `leaves_out` picks. A command without a time stays.
    #[must_use]
    pub fn leaving_out(self, leaves_out: impl Fn(Moment) -> bool + Send + Sync + 'static) -> Self {
        Self { leaves_out: Arc::new(leaves_out), ..self }
    }

    /// The history files.
    pub fn files(&self) -> impl Iterator<Item = (Shell, &Path)> {
        self.files.iter().map(|(shell, path)| (*shell, path.as_path()))
    }

    fn load(&self, shell: Shell, path: &Path, limits: &Limits) -> Result<Vec<(Candidate, String)>, Skip> {
        let name = prefix(shell, path);
        let skip = |reason| Skip { name: name.clone(), reason, folder: true };
        let (file, before) = match open_regular(path) {
            Ok(opened) => opened,
            Err(reason) => return Err(skip(reason)),
        };
        let bytes = match read_limited(&file, before.size, limits) {
            Ok(bytes) => bytes,
            Err(SkipReason::Empty) => return Ok(Vec::new()),
            Err(reason) => return Err(skip(reason)),
        };
        let modified = u64::try_from(before.mtime_ns / 1_000_000).unwrap_or(0);
        let mut commands = parse(shell, &bytes);
        commands.retain(|command| {
            command.at.is_none_or(|at| !(self.leaves_out)(Moment::from_millis(at.saturating_mul(1000))))
        });
        let batches = batches(commands);
        let mut found: Vec<(Candidate, String)> = batches
            .into_iter()
            .map(|(label, batch)| {
                let name = [name.as_slice(), b"/", label.as_bytes()].concat();
                let digest = Sha256::digest(&batch.text);
                let mut inode = [0; 8];
                inode.copy_from_slice(&digest[..8]);
                let modified = batch.last.map_or(modified, |seconds| seconds.saturating_mul(1000));
                let size = batch.text.len() as u64;
                let fingerprint =
                    Fingerprint { dev: 0, inode: u64::from_le_bytes(inode), size, mtime_ns: 0, ctime_ns: 0 };
                let candidate = Candidate {
                    name,
                    path: Some(path.to_owned()),
                    modified: Moment::from_millis(modified),
                    bytes: size,
                    fingerprint,
                };
                (candidate, batch.text)
            })
            .collect();
        found.sort_by(|a, b| name_order(&a.0.name, &b.0.name));
        Ok(found)
    }
}

impl Source for History {
    fn id(&self) -> &'static str {
        "shell-history"
    }

    fn scan(&self, after: Option<&Cursor>) -> Box<dyn Iterator<Item = Found> + Send> {
        let (history, after) = (self.clone(), after.map(|cursor| cursor.name().to_vec()));
        let scan = (0..self.files.len()).flat_map(move |nth| {
            let (shell, path) = &history.files[nth];
            // One file is in memory at a time, and of it only what the items are called.
            match history.load(*shell, path, &Limits::default()) {
                Ok(items) => items.into_iter().map(|(candidate, _)| Found::Seen(candidate)).collect(),
                Err(skip) if skip.reason == SkipReason::Vanished => Vec::new(),
                Err(skip) => vec![Found::Skipped(skip)],
            }
        });
        Box::new(scan.filter(move |found| after.as_ref().is_none_or(|after| name_order(found.name(), after).is_gt())))
    }

    fn read(&self, what: &Candidate, limits: &Limits) -> Result<Captured, Skip> {
        let skip = |reason| Skip::new(&what.name, reason);
        let of_file = |(shell, path): &&(Shell, PathBuf)| super::lies_in(&what.name, &prefix(*shell, path));
        let (shell, path) = self.files.iter().find(of_file).ok_or_else(|| skip(SkipReason::OutOfScope))?;
        let items = self.load(*shell, path, limits).map_err(|found| skip(found.reason))?;
        let (found, text) =
            items.into_iter().find(|(found, _)| found.name == what.name).ok_or_else(|| skip(SkipReason::Vanished))?;
        let label = found.name.rsplit(|byte| *byte == b'/').next().map(String::from_utf8_lossy).unwrap_or_default();
        let title = match label.strip_prefix("undated-") {
            Some(_) => format!("{shell} history"),
            None => format!("{shell} history, {label}"),
        };
        Ok(Captured {
            format: Format::History(*shell),
            title: Some(Raw::new(title)),
            content_hash: Sha256::digest(&text).into(),
            text: Raw::new(text),
            modified: found.modified,
            fingerprint: found.fingerprint,
        })
    }

    fn watch(&self, how: &Watching) -> Result<Watch, WatchError> {
        let mut ward = Ward { history: self.clone(), last: HashMap::new() };
        for (shell, path) in self.files.iter() {
            ward.look(*shell, path);
        }
        watch::start(ward, how)
    }
}

/// The name under which the items of one history file lie.
fn prefix(shell: Shell, path: &Path) -> Vec<u8> {
    [shell.to_string().as_bytes(), &path_name(path)].concat()
}

/// A watched history: what its items were when they were last looked at.
struct Ward {
    history: History,
    last: HashMap<PathBuf, BTreeMap<Vec<u8>, Fingerprint>>,
}

impl Ward {
    fn look(&mut self, shell: Shell, path: &Path) -> Vec<Change> {
        let items = match self.history.load(shell, path, &Limits::default()) {
            Ok(items) => items,
            Err(skip) if skip.reason == SkipReason::Vanished => Vec::new(),
            Err(skip) => return vec![Change::Skipped(skip)],
        };
        let now: BTreeMap<_, _> = items.iter().map(|(found, _)| (found.name.clone(), found.fingerprint)).collect();
        let before = self.last.insert(path.to_owned(), now.clone()).unwrap_or_default();
        let gone = before
            .keys()
            .filter(|name| !now.contains_key(*name))
            .map(|name| Change::Gone { name: name.clone(), folder: false });
        let new = items.into_iter().filter(|(found, _)| before.get(&found.name) != Some(&found.fingerprint));
        new.map(|(found, _)| Change::Seen(found)).chain(gone).collect()
    }
}

impl watch::Ward for Ward {
    fn folders(&self) -> Vec<PathBuf> {
        let folders: BTreeSet<PathBuf> =
            self.history.files().filter_map(|(_, path)| Some(path.parent()?.to_owned())).collect();
        folders.into_iter().filter(|folder| folder.is_dir()).collect()
    }

    fn admits(&self, path: &Path, is_dir: bool) -> bool {
        !is_dir && self.history.files().any(|(_, file)| file == path)
    }

    fn is_rule(&self, _: &Path) -> bool {
        false
    }

    fn below(&self, _: &Path, _: &mut dyn FnMut(Candidate) -> bool) -> Vec<PathBuf> {
        Vec::new()
    }

    fn settled(&mut self, path: &Path) -> Vec<Change> {
        let shell = self.history.files().find(|(_, file)| *file == path).map(|(shell, _)| shell);
        shell.map_or_else(Vec::new, |shell| self.look(shell, path))
    }
}

/// One command, and when it was given if that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Command {
    /// In seconds since the Unix epoch.
    at: Option<u64>,
    text: String,
}

/// Reads a history file. What begins with a space is not in it any more.
fn parse(shell: Shell, bytes: &[u8]) -> Vec<Command> {
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect(); // a crash leaves zeros behind
    let commands = match shell {
        Shell::Bash => bash(&text_of(&bytes)),
        Shell::Fish => fish(&text_of(&bytes)),
        Shell::Zsh => zsh(&text_of(&unmetafy(&bytes))),
    };
    let mut kept: Vec<Command> = Vec::new();
    for command in commands {
        let text = format::clean(command.text);
        let hidden = text.starts_with([' ', '\t']);
        let text = text.trim_end();
        if !hidden && !text.is_empty() && kept.last().is_none_or(|last| last.text != text) {
            kept.push(Command { at: command.at, text: text.to_owned() });
        }
    }
    kept
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// bash: a line a command, or after a `#seconds` line all lines up to the next one.
///
/// When times were switched off later, commands without one follow; a line after a command that is complete is therefore a
/// command of its own, which is hidden if it begins with a space.
fn bash(text: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut at = None;
    let mut open = false;
    for line in text.lines() {
        let stamp =
            line.strip_prefix('#').filter(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(seconds) = stamp.and_then(|seconds| seconds.parse().ok()) {
            (at, open) = (Some(seconds), false);
            continue;
        }
        match commands.last_mut().filter(|_| open) {
            Some(command) => {
                command.text.push('\n');
                command.text.push_str(line);
                open = is_open(&command.text);
            }
            None => {
                commands.push(Command { at, text: line.to_owned() });
                open = at.is_some() && is_open(line);
            }
        }
    }
    commands
}

/// Tells whether a command goes on in the next line: an open quote, bracket or compound, a here-document, an operator at the end.
fn is_open(command: &str) -> bool {
    let (mut quote, mut depth, mut compounds) = (None, 0i32, 0i32);
    let mut heredocs: Vec<String> = Vec::new();
    let mut last = "";
    for line in command.split('\n') {
        last = line;
        if quote.is_none() && !heredocs.is_empty() {
            if line.trim_start_matches('\t') == heredocs[0] {
                heredocs.remove(0);
            }
            continue;
        }
        let mut word = String::new();
        let mut first = true;
        let mut chars = line.chars().peekable();
        loop {
            let c = chars.next();
            let breaks = quote.is_none() && c.is_none_or(|c| c.is_whitespace() || ";&|()<>".contains(c));
            if breaks && !word.is_empty() {
                match word.as_str() {
                    "if" | "for" | "while" | "until" | "select" | "case" | "{" if first => compounds += 1,
                    "fi" | "done" | "esac" | "}" if first => compounds -= 1,
                    _ => {}
                }
                first = first
                    && matches!(word.as_str(), "do" | "then" | "else" | "{" | "!" | "while" | "if" | "until" | "elif");
                word.clear();
            }
            let Some(c) = c else { break };
            match (quote, c) {
                (Some('\''), '\'') | (Some('"'), '"') | (Some('`'), '`') => quote = None,
                (Some('\''), _) => {}
                (_, '\\') => {
                    chars.next();
                    word.push('\\');
                }
                (Some(_), _) => {}
                (None, '\'' | '"' | '`') => {
                    quote = Some(c);
                    word.push(c);
                }
                (None, '#') if word.is_empty() => break,
                (None, '(') => (depth, first) = (depth + 1, true),
                (None, ')') => (depth, first) = ((depth - 1).max(0), true), // a pattern of `case` opens none
                (None, ';' | '&' | '|') => first = true,
                (None, '<') if chars.peek() == Some(&'<') => {
                    chars.next();
                    if chars.next_if_eq(&'<').is_none() {
                        chars.next_if_eq(&'-');
                        while chars.next_if(|c| *c == ' ').is_some() {}
                        let mut end = String::new();
                        while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !";&|()<>".contains(*c)) {
                            if !"'\"\\".contains(c) {
                                end.push(c);
                            }
                        }
                        if !end.is_empty() {
                            heredocs.push(end);
                        }
                    }
                }
                (None, c) if c.is_whitespace() || c == '<' || c == '>' => {}
                (None, c) => word.push(c),
            }
        }
    }
    let end = last.trim_end();
    let slashes = last.len() - last.trim_end_matches('\\').len();
    quote.is_some()
        || depth > 0
        || compounds > 0
        || !heredocs.is_empty()
        || slashes % 2 == 1
        || end.ends_with(['|'])
        || end.ends_with("&&")
}

/// zsh: `: seconds:duration;command`, or the bare command; a line that ends in a backslash goes on.
fn zsh(text: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut lines = text.split('\n');
    while let Some(line) = lines.next() {
        let mut entry = line.to_owned();
        while entry.ends_with('\\') {
            entry.pop();
            match lines.next() {
                Some(more) => {
                    entry.push('\n');
                    entry.push_str(more);
                }
                None => break,
            }
        }
        let stamped = entry.strip_prefix(": ").and_then(|rest| {
            let (times, command) = rest.split_once(';')?;
            let (start, took) = times.split_once(':')?;
            took.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
            Some(Command { at: Some(start.trim().parse().ok()?), text: command.to_owned() })
        });
        commands.push(stamped.unwrap_or(Command { at: None, text: entry }));
    }
    commands
}

/// Takes back what zsh does to bytes that mean something to itself: a mark, and the byte with its sixth bit flipped.
fn unmetafy(bytes: &[u8]) -> Vec<u8> {
    const META: u8 = 0x83;
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        out.push(match (*byte, rest.as_slice().first()) {
            (META, Some(_)) => rest.next().map_or(META, |hidden| hidden ^ 32),
            (byte, _) => byte,
        });
    }
    out
}

/// fish: `- cmd:` and `when:` lines that look like YAML; `\n` and `\\` are its only escapes.
fn fish(text: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("- cmd: ").or_else(|| line.strip_prefix("- cmd:")) {
            let mut text = String::with_capacity(command.len());
            let mut chars = command.chars();
            while let Some(c) = chars.next() {
                match (c, c == '\\') {
                    (_, true) => match chars.next() {
                        Some('n') => text.push('\n'),
                        Some('\\') | None => text.push('\\'),
                        Some(other) => text.extend(['\\', other]),
                    },
                    (c, false) => text.push(c),
                }
            }
            commands.push(Command { at: None, text });
        } else if let (Some(seconds), Some(command)) = (line.strip_prefix("  when:"), commands.last_mut()) {
            command.at = seconds.trim().parse().ok();
        }
    }
    commands
}

/// The commands of one item.
#[derive(Default, Debug, PartialEq, Eq)]
struct Batch {
    text: String,
    last: Option<u64>,
}

/// Sorts commands into items: by day, or where they have no time, by themselves.
fn batches(commands: Vec<Command>) -> BTreeMap<String, Batch> {
    let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
    let (dated, undated): (Vec<_>, Vec<_>) = commands.into_iter().partition(|command| command.at.is_some());
    for command in dated {
        let seconds = command.at.unwrap_or_default();
        let day = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        let label = day
            .map_or_else(|| "unknown-day".to_owned(), |day| day.to_zoned(jiff::tz::TimeZone::UTC).date().to_string());
        let batch = batches.entry(label).or_default();
        batch.text.push_str(&command.text);
        batch.text.push('\n');
        batch.last = batch.last.max(Some(seconds));
    }
    let mut label = "undated-oldest".to_owned();
    let mut used = BTreeSet::new();
    for (nth, command) in undated.iter().enumerate() {
        if let Some(cut) = undated[nth..].first_chunk::<3>().and_then(cut_here)
            && used.insert(cut)
        {
            label = format!("undated-{cut:016x}");
        }
        let batch = batches.entry(label.clone()).or_default();
        batch.text.push_str(&command.text);
        batch.text.push('\n');
    }
    batches
}

/// Three commands in a row say whether a batch begins with them, and what it is called: about one in a hundred does.
fn cut_here(commands: &[Command; 3]) -> Option<u64> {
    let mut digest = Sha256::new();
    for command in commands {
        digest.update(command.text.as_bytes());
        digest.update([0]);
    }
    let mut number = [0; 8];
    number.copy_from_slice(&digest.finalize()[..8]);
    let number = u64::from_le_bytes(number);
    number.is_multiple_of(97).then_some(number)
}

#[cfg(test)]
mod tests;
