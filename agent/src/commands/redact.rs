//! `hearth redact`: text in, redacted text out, as a stream.
//!
//! It needs no data folder and keeps nothing. Under a policy the text is read whole, for all of it may have to be dropped.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use hearth_text::{
    Counts, Policy, Raw, Rules, jsonl,
    operators::{Action, Operators, Outcome as Became, Row, Tally, TokenKey},
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    ask::{Failure, FailureKind},
    cli::{Ended, Outcome, Shell, Trouble, marks},
    config::{Config, IpPolicy, Packs},
};

/// The longest line of JSON that is read.
const LINE_MAX: u64 = 256 << 20;

/// Hide secrets and personal data in text
///
/// Reads a file or standard input and writes the text without them. Passwords, keys and tokens are always hidden; what else
/// is, the configuration says, or --packs.
#[derive(Debug, Args)]
pub struct Redact {
    /// The file; standard input when absent or -
    file: Option<PathBuf>,
    /// Read lines {"text"} and write lines {"text","spans"}, offsets in characters of the input
    #[arg(long)]
    jsonl: bool,
    /// Hide the numbers of these too: all, none, locale, or codes of countries with commas between them; general stands for dates, coordinates
    /// and links. With all, every network and hardware address is hidden as well
    #[arg(long)]
    packs: Option<Packs>,
    /// Do with each finding what this policy says; text is read whole, since all of it may have to be dropped
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// As if the text came from this source
    #[arg(long, default_value = "pipe", requires = "policy")]
    source: String,
    /// As if it went to this destination
    #[arg(long, default_value = "output", requires = "policy")]
    destination: String,
    /// A file with 64 hexadecimal digits from which pseudonyms are made; without it they are masks
    #[arg(long, value_name = "FILE", requires = "policy")]
    token_key: Option<PathBuf>,
    /// Say how many of each class got which action, on standard error
    #[arg(long)]
    explain: bool,
}

impl Redact {
    /// Reads, hides and writes.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let policy = match self.packs.map(Packs::on_this_machine) {
            Some(hearth_text::Packs::ALL) => Policy::ALL,
            Some(packs) => Policy { packs, ..policy(shell.config()?) },
            None => policy(shell.config()?),
        };
        let rules = Rules::with_policy(policy);
        let treated = match &self.policy {
            Some(file) => {
                let table = super::policy::read(shell, file)?;
                let route = super::policy::route(shell, &table, &self.source, &self.destination);
                Some((table, route, operators(shell, self.token_key.as_deref())?))
            }
            None => None,
        };
        let file = match self.file.as_deref() {
            None => None,
            Some(path) if path.as_os_str() == "-" => None,
            Some(path) => Some(File::open(shell.absolute(path)).map_err(|error| {
                let said = format!("cannot read {}: {error}", marks::plain(&path.display().to_string()));
                Failure::new(FailureKind::NotFound, said)
            })?),
        };
        let Shell { input, out, .. } = shell;
        let input: &mut dyn BufRead = match file {
            Some(file) => &mut BufReader::with_capacity(1 << 18, file),
            None => input,
        };
        if let Some((table, route, mut operators)) = treated {
            let row = table.row(route);
            let mut all = Tally::default();
            let mut dropped = None;
            if self.jsonl {
                lines(input, out.as_mut(), &mut |line| {
                    let (answer, tally) = jsonl::redact_line_under(&rules, &row, &mut operators, line)?;
                    all.merge(&tally);
                    Ok(answer)
                })?;
            } else {
                let (outcome, tally) = rules.redact_under(whole(input)?, &row, &mut operators);
                all = tally;
                match outcome {
                    Became::Said(text) => out.write_all(text.as_str().as_bytes())?,
                    Became::Dropped(class) => dropped = Some(class),
                }
            }
            if let Some(class) = dropped {
                shell.notice(&format!(
                    "nothing is given: the text holds something of class {class}, which the policy drops"
                ));
            }
            if self.explain {
                explain(
                    shell,
                    &format!("policy {}, {} to {}", table.version(), self.source, self.destination),
                    &row,
                    &all,
                );
            }
            return Ok(if dropped.is_none() { Outcome::Done } else { Outcome::Nothing });
        }
        let mut all = Counts::default();
        if self.jsonl {
            lines(input, out.as_mut(), &mut |line| {
                let (answer, counts) = jsonl::redact_and_count(&rules, line)?;
                all.merge(&counts);
                Ok(answer)
            })?;
        } else {
            stream(&rules, input, out.as_mut(), &mut all)?;
        }
        if self.explain {
            for (class, n) in all.iter() {
                shell.remark(format!("{n:>8}  {class}: {}", Action::Mask));
            }
        }
        Ok(Outcome::Done)
    }
}

/// All of the input; what is no UTF-8 is replaced.
fn whole(input: &mut dyn BufRead) -> Result<Raw, Trouble> {
    let mut bytes = Vec::new();
    input.take(LINE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LINE_MAX {
        return Err(Trouble::usage("the input is longer than 256 MiB; split it, or leave --policy out"));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    bytes.zeroize();
    Ok(Raw::new(text))
}

/// Operators with the key of this file, which its owner alone may read.
fn operators(shell: &Shell<'_>, file: Option<&Path>) -> Result<Operators, Trouble> {
    let Some(file) = file else { return Ok(Operators::default()) };
    let path = shell.absolute(file);
    let shown = marks::plain(&file.display().to_string());
    let unread = |error: io::Error| {
        Trouble::from(Failure::new(FailureKind::NotFound, format!("cannot read {shown}: {error}; name another file")))
    };
    let mode = std::fs::metadata(&path).map_err(unread)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Trouble::usage(format!("others may read {shown}, and it holds a key; `chmod 600` it")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(unread)?);
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok().map(Zeroizing::new);
    let key: Option<[u8; 32]> = bytes.and_then(|bytes| bytes[..].try_into().ok());
    let key = key.ok_or_else(|| {
        Trouble::usage(format!(
            "{shown} holds no key; write 64 hexadecimal digits, as `openssl rand -hex 32` makes them"
        ))
    })?;
    Ok(Operators::with_key(TokenKey::from_bytes(key), 0))
}

/// The policy that the settings make.
pub fn policy(config: &Config) -> Policy {
    let redaction = &config.redaction;
    Policy {
        personal: redaction.personal,
        public_ip: redaction.ip != IpPolicy::None,
        every_ip: redaction.ip == IpPolicy::Every,
        packs: redaction.packs.on_this_machine(),
        names: false,
    }
}

/// Says on standard error how many of each class got which action.
fn explain(shell: &mut Shell<'_>, head: &str, row: &Row, tally: &Tally) {
    shell.remark(marks::plain(head));
    for (class, action, n) in tally.iter() {
        let asked = row.action(class);
        let why = if asked == action { String::new() } else { format!(" (the policy says {asked})") };
        shell.remark(format!("{n:>8}  {class}: {action}{why}"));
    }
}

fn lines(
    input: &mut dyn BufRead,
    out: &mut dyn io::Write,
    redact: &mut dyn FnMut(&str) -> Result<String, jsonl::Error>,
) -> Result<(), Trouble> {
    let mut input = BufReader::with_capacity(1 << 18, input);
    let mut out = io::BufWriter::with_capacity(1 << 18, out);
    for number in 1_u64.. {
        // Whoever feeds lines one by one waits for each answer.
        if input.buffer().is_empty() {
            out.flush()?;
        }
        let mut line = Vec::new();
        if input.by_ref().take(LINE_MAX + 1).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let wrong = |what: &str| Trouble::usage(format!("line {number} {what}"));
        if line.len() as u64 > LINE_MAX {
            return Err(wrong("is longer than 256 MiB; split it"));
        }
        let line = String::from_utf8(line).map_err(|_| wrong("is not UTF-8"))?;
        if line.trim().is_empty() {
            continue;
        }
        let redacted = redact(line.trim()).map_err(|error| wrong(&error.to_string()))?;
        writeln!(out, "{redacted}")?;
    }
    Ok(out.flush()?)
}

fn stream(rules: &Rules, input: &mut dyn BufRead, out: &mut dyn io::Write, all: &mut Counts) -> Result<(), Trouble> {
    let mut stream = rules.stream();
    let mut held = Vec::new();
    loop {
        let piece = input.fill_buf()?;
        let read = piece.len();
        held.extend_from_slice(piece);
        input.consume(read);
        let whole = if read == 0 { held.len() } else { whole_characters(&held) };
        let text = String::from_utf8_lossy(&held[..whole]).into_owned();
        held.drain(..whole);
        if !text.is_empty() {
            let said = stream.push(Raw::new(text));
            all.merge(said.counts());
            out.write_all(said.as_str().as_bytes())?;
        }
        if read == 0 {
            break;
        }
    }
    let said = stream.finish();
    all.merge(said.counts());
    out.write_all(said.as_str().as_bytes())?;
    Ok(out.flush()?)
}

/// How many bytes lie before a character that has only begun.
fn whole_characters(bytes: &[u8]) -> usize {
    let begun = (1..=bytes.len().min(3)).find(|back| bytes[bytes.len() - back] & 0xC0 != 0x80);
    match begun {
        Some(back) => {
            let length = match bytes[bytes.len() - back] {
                0xC2..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF4 => 4,
                _ => 1,
            };
            if length > back { bytes.len() - back } else { bytes.len() }
        }
        None => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reader that hands out what it has in pieces of a size.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.fill_buf()?.len().min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.consume(n);
            Ok(n)
        }
    }

    impl BufRead for Dripping<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            Ok(&self.0[..self.0.len().min(self.1)])
        }
        fn consume(&mut self, n: usize) {
            self.0 = &self.0[n..];
        }
    }

    proptest! {
        #[test]
        fn text_in_pieces_comes_out_as_the_whole(text in "\\PC{0,60}", size in 1_usize..9) {
            let rules = Rules::standard();
            let mut out = Vec::new();
            stream(&rules, &mut Dripping(text.as_bytes(), size), &mut out, &mut Counts::default()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let whole = rules.redact(Raw::new(text));
            prop_assert_eq!(String::from_utf8_lossy(&out), whole.as_str());
        }

        #[test]
        fn bytes_that_are_no_text_do_not_stop_it(bytes in prop::collection::vec(any::<u8>(), 0..60), size in 1_usize..9) {
            let rules = Rules::standard();
            let mut out = Vec::new();
            stream(&rules, &mut Dripping(&bytes, size), &mut out, &mut Counts::default()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(String::from_utf8(out).is_ok());
        }
    }
}
