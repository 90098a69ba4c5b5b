//! Makes texts that are as slow to read as can be, and says how fast each is: `redact_hostile [--all] [--pairs N] [--only WORD]`.
//!
//! The words are all those that the engine's own source and tables write between quotes, so that a new one is tried as soon as it is
//! there: repeated with many things behind them, and in pairs drawn at random. The slowest are printed, worst first.

use std::{collections::BTreeSet, fs, io::Write, path::Path, time::Duration};

use hearth_text::{Policy, Raw, Rules};

/// So much of each text is made: more than a window and the longest key.
const LENGTH: usize = 48 << 10;
/// What was this fast once is not measured again.
const FAST: f64 = 40.0;
/// So many of the slowest are printed.
const SHOWN: usize = 40;
/// What stands behind a word before it comes again.
const BEHIND: [&str; 16] = [
    "",
    " ",
    "=",
    "\n",
    ": ",
    "=x1 ",
    "\":\"",
    "-",
    "_",
    "a$a$",
    ":a1@b.c",
    " 1234567 ",
    "A1",
    "(",
    "'",
    "/0.0.0.0:1 ",
];
/// What has no word in it.
const OTHERS: [&str; 40] = [
    "\0",
    "\t",
    "é",
    "\u{10ffff}",
    "0",
    "0 ",
    "1.1.1.1 ",
    "+49 30 ",
    "4111 1111 1111 1111 ",
    "DE89 ",
    "DE89 3704 0044 0532 0130 0",
    "::1 ",
    "a:",
    "a:b@",
    "://a:b@",
    "a@b.c",
    "a@b.c ",
    "eyJ.",
    "eyJhbGciOiJIUzI1NiJ9.e30.",
    "AKIA",
    "AKIAIOSFODNN7EXAMPL3",
    "$1$",
    "${",
    "{{",
    "\\\"",
    "\"'`",
    "\"\"\"",
    "[({<",
    ")]}>",
    "| sudo -S ",
    "echo x | sudo -S",
    "curl -u a:b ",
    "-----BEGIN PRIVATE KEY-----\n",
    "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n",
    "abandon ability able about above absent ",
    "cookie: a=b;",
    "cookie: session=a1b2c3d4e5;",
    "12:34:56 ",
    "2001:db8::1 ",
    "a=1&b=2;c=3,",
];

struct Text {
    name: String,
    text: String,
}

fn repeated(name: &str) -> Text {
    let mut text = name.repeat(LENGTH / name.len() + 1);
    text.truncate(text.floor_char_boundary(LENGTH));
    Text { name: name.to_owned(), text }
}

/// Every word between quotes in the files below `folder`.
fn words(folder: &Path, found: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            words(&path, found)?;
        } else if path.file_name().is_some_and(|name| name != "tests.rs")
            && path.extension().is_some_and(|ending| ending == "rs" || ending == "toml")
        {
            for line in fs::read_to_string(&path)?.lines().take_while(|line| *line != "#[cfg(test)]") {
                let line = line.trim_start();
                if !["//", "include", "good", "bad", "examples"].iter().any(|lead| line.starts_with(lead)) {
                    quoted(line, found);
                }
            }
        }
    }
    Ok(())
}

/// The words between the quotes of one line.
fn quoted(line: &str, found: &mut BTreeSet<String>) {
    let mut signs = line.chars();
    while signs.any(|sign| sign == '"') {
        let mut word = String::new();
        while let Some(sign) = signs.next().filter(|sign| *sign != '"') {
            word.push(match sign {
                '\\' => match signs.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(other) => other,
                    None => break,
                },
                _ => sign,
            });
        }
        if (1..=64).contains(&word.len()) {
            found.insert(word);
        }
    }
}

/// Numbers that chance could have drawn, the same ones each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % most
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| arguments.iter().position(|a| a == flag).and_then(|at| arguments.get(at + 1));
    let pairs: usize = after("--pairs").map_or(Ok(2000), |n| n.parse())?;
    let policy = if arguments.iter().any(|a| a == "--all") { Policy::ALL } else { Policy::STANDARD };
    let rules = Rules::with_policy(policy);

    let mut found = BTreeSet::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    words(&here.join("src"), &mut found)?;
    words(&here.join("rules"), &mut found)?;
    found.extend(OTHERS.map(str::to_owned));
    let found: Vec<String> = found.into_iter().collect();

    let mut texts: Vec<Text> = (0..=127_u8).map(|byte| repeated(&char::from(byte).to_string())).collect();
    for other in OTHERS {
        texts.extend(BEHIND.iter().map(|behind| repeated(&format!("{other}{behind}"))));
    }
    let mut chance = Chance(7);
    for word in &found {
        let any = BEHIND[chance.below(BEHIND.len())];
        texts.extend(["", any].iter().map(|behind| repeated(&format!("{word}{behind}"))));
    }
    for _ in 0..pairs {
        let (a, b) = (&found[chance.below(found.len())], &found[chance.below(found.len())]);
        let (c, d) = (BEHIND[chance.below(BEHIND.len())], BEHIND[chance.below(BEHIND.len())]);
        texts.push(repeated(&format!("{a}{c}{b}{d}")));
    }
    // A long line that ends in what is read backwards, and one that never ends.
    if let Some(only) = after("--only") {
        texts.retain(|text| text.name.contains(only.as_str()));
    }

    rules.redact(Raw::new("password=warm"));
    let mut slow = Vec::new();
    for Text { name, text } in &texts {
        let once = rate(&rules, text);
        slow.push((if once < FAST { once.max(rate(&rules, text)) } else { once }, name));
    }
    slow.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out = std::io::stdout();
    for (rate, name) in slow.iter().take(SHOWN) {
        writeln!(out, "{rate:7.1} MB/s  {name:?}")?;
    }
    for bar in [20.0, 25.0, 30.0] {
        let below = slow.iter().filter(|(rate, _)| *rate < bar).count();
        writeln!(out, "{below:7} of {} texts are below {bar} MB/s", slow.len())?;
    }
    Ok(())
}

fn rate(rules: &Rules, text: &str) -> f64 {
    let raw = Raw::new(text);
    let begun = on_processor();
    let _ = rules.redact_with_spans(raw);
    text.len() as f64 / 1e6 / (on_processor() - begun).as_secs_f64()
}

/// How long this thread has run.
fn on_processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
