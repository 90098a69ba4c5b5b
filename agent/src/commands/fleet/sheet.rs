//! `hearth fleet recovery-sheet` and `hearth fleet recover`: the fleet on a sheet of paper, and back.
//!
//! The words are made here and shown here: neither the daemon nor a file of ours ever has them, but for the moment in which a device
//! recovers.

use std::{fmt::Write as _, io::BufRead as _};

use clap::Args;
use data_encoding::HEXLOWER;
use hearth_core::{
    DeviceId,
    fleet::{
        FleetId,
        recovery::{NotRecovered, SHARES_MAX, Seed, Share},
        sheet::{self, Holder},
    },
};
use hearth_store::entropy;
use jiff::{Timestamp, civil::Date};
use serde_json::json;
use zeroize::Zeroizing;

use super::called;
use crate::{
    ask::{
        Ask,
        fleet::{About, Order, Secret, Shown},
    },
    cli::{Ended, Outcome, Shell, Trouble, count},
    node::with_causes,
};

/// What is typed to recover is never longer: sixteen shares on lines of their own.
const WORDS_MAX: u64 = 16 << 10;
/// So many relays stand on a sheet.
const RELAYS_SHOWN: usize = 3;

/// Print a sheet of paper from which the fleet can be recovered
///
/// Its 24 words can make any device an admin and read all that the fleet shares, when no admin is left or every device is lost. With
/// --shares it is several sheets, of which so many are needed. It goes to standard output: send it to a printer, or to a file that you
/// print and delete. A new sheet makes the one before worthless; `hearth fleet revoke "recovery sheet"` does so without a new one.
#[derive(Debug, Args)]
pub(super) struct RecoverySheet {
    /// How many shares to print, one a page
    #[arg(long, value_name = "N", requires = "needed", value_parser = clap::value_parser!(u8).range(2..=i64::from(SHARES_MAX)))]
    shares: Option<u8>,
    /// How many of them it takes
    #[arg(long, value_name = "K", requires = "shares", value_parser = clap::value_parser!(u8).range(2..=i64::from(SHARES_MAX)))]
    needed: Option<u8>,
}

/// Make this device an admin by the recovery sheet
///
/// The words are read from standard input: the 24 of a whole sheet, or shares, one on a line. On a device of the fleet that is all. A
/// device that is in no fleet names with --at a device or relay of the fleet that is to be recovered; it comes in as an admin, and then
/// what was shared comes to it.
#[derive(Debug, Args)]
pub(super) struct Recover {
    /// Where a device or relay of the fleet listens
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<String>,
    /// The public key of what must answer there
    #[arg(long, requires = "at")]
    key: Option<String>,
    /// The fleet's id, as it stands on the sheet
    #[arg(long, value_name = "ID")]
    fleet: Option<FleetId>,
    /// Approve this order instead, which waits for admins who are lost
    #[arg(long, value_name = "ORDER", conflicts_with = "at")]
    approve: Option<String>,
    /// What to call this device if it comes in [default: its host name]
    #[arg(long = "as", value_name = "NAME")]
    device: Option<String>,
}

impl RecoverySheet {
    pub(super) fn run(self, shell: &mut Shell<'_>) -> Ended {
        let split = self.shares.zip(self.needed);
        if split.is_some_and(|(shares, needed)| needed > shares) {
            return Err(Trouble::usage("more shares are needed than there are; choose a --needed up to --shares"));
        }
        let shown: Shown = shell.ask(Ask::Fleet(Order::Show))?;
        let had_one = shown.fleet.as_ref().is_some_and(|fleet| fleet.sheet.is_some());
        let seed = Seed::from_bytes(entropy());
        let holder = Holder::of(&seed);
        let (key, wrap_key) = (HEXLOWER.encode(&holder.key()), HEXLOWER.encode(&holder.wrap_key()));
        let shown: Shown = shell.ask(Ask::Fleet(Order::AddSheet { key, wrap_key }))?;
        let fleet = shown.fleet.ok_or_else(|| Trouble::failed("this node has left its fleet meanwhile"))?;
        let zone = shell.world.zone.clone();
        let made = Timestamp::from_millisecond(i64::try_from(shell.world.now.as_millis()).unwrap_or(i64::MAX));
        let on = made.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone).date();
        let printed = shares_of(&seed, &fleet, split).map(|shares| {
            let about = Sheet { fleet: &fleet, id: DeviceId::of_key_bytes(&holder.key()), on };
            if shell.json { about.document(&seed, &shares) } else { about.pages(&seed, &shares) }
        });
        let printed = printed.map_err(|error| Trouble::failed(with_causes(&error)))?;
        shell.out.write_all(printed.as_bytes()).and_then(|()| shell.out.flush()).map_err(|error| {
            Trouble::failed(format!("the sheet could not be written, so nobody can read it: {error}; make another one"))
        })?;
        shell.remark(match split {
            None => "what was just written is the key to the whole fleet: keep it on paper, away from the devices, and delete what else has it".into(),
            Some((shares, needed)) => format!(
                "what was just written are {shares} pages, any {needed} of which are the key to the whole fleet: give each to somebody else, and delete what else has them"
            ),
        });
        if fleet.sheet.as_ref().is_none_or(|sheet| sheet.id != DeviceId::of_key_bytes(&holder.key())) {
            shell.remark("it counts once more admins have approved it; `hearth fleet` shows how, and that it does");
        } else if had_one {
            shell.remark("the sheet before is worth nothing any more: destroy it");
        }
        Ok(Outcome::Done)
    }
}

fn shares_of(seed: &Seed, fleet: &About, split: Option<(u8, u8)>) -> Result<Vec<Share>, NotRecovered> {
    let Some((shares, needed)) = split else { return Ok(Vec::new()) };
    let rows: Zeroizing<Vec<[u8; 32]>> = Zeroizing::new((1..needed).map(|_| entropy()).collect());
    seed.split(fleet.id.parse().unwrap_or(FleetId::NONE), shares, &rows)
}

/// What stands on a sheet beside its words.
struct Sheet<'a> {
    fleet: &'a About,
    id: DeviceId,
    on: Date,
}

impl Sheet<'_> {
    /// For programs.
    fn document(&self, seed: &Seed, shares: &[Share]) -> Zeroizing<String> {
        let words = shares.is_empty().then(|| seed.words().to_string());
        let needed = shares.first().map(Share::threshold);
        let shares: Vec<_> =
            shares.iter().map(|share| json!({ "number": share.index(), "words": share.words().to_string() })).collect();
        let relays: Vec<_> =
            self.fleet.relays.iter().map(|relay| json!({ "address": relay.address, "key": relay.key })).collect();
        let document = json!({
            "fleet": { "id": self.fleet.id, "name": self.fleet.name },
            "sheet": self.id,
            "made_on": self.on.to_string(),
            "words": words,
            "needed": needed,
            "shares": shares,
            "relays": relays,
        });
        Zeroizing::new(format!("{document:#}\n"))
    }

    /// For a printer: 80 columns, and one page for each secret.
    fn pages(&self, seed: &Seed, shares: &[Share]) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity((shares.len() + 1) * 6_000));
        if shares.is_empty() {
            self.page(&mut out, "RECOVERY SHEET", "Its words:", &seed.words());
        }
        for share in shares {
            if share.index() > 1 {
                out.push('\u{c}');
            }
            let of = format!("RECOVERY SHEET, SHARE {} OF {}", share.index(), shares.len());
            let its = format!(
                "Any {} of the {} shares are the sheet. The words of this one:",
                share.threshold(),
                shares.len()
            );
            self.page(&mut out, &of, &its, &share.words());
        }
        out
    }

    fn page(&self, out: &mut String, title: &str, its: &str, words: &str) {
        let About { id, name, .. } = self.fleet;
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let whole = its.starts_with("Its");
        let mut put = |line: &str| {
            out.push_str(line);
            out.push('\n');
        };
        put(&format!("hearth {title}"));
        put("");
        put(&format!("Fleet   {name}"));
        put(&format!("        {id}"));
        put(&format!("Sheet   {}", self.id));
        put(&format!("Made    {}", self.on));
        put("");
        if whole {
            put("Whoever has these words can change this fleet and read all that it shares.");
        } else {
            put("Alone this page says nothing. With the others it can change this fleet and");
            put("read all that it shares.");
        }
        put("Keep it on paper, away from the devices. A newer sheet makes it worthless.");
        put("");
        put(its);
        put("");
        for line in columns(words, if whole { 3 } else { 4 }).iter() {
            put(line);
        }
        put("");
        put("When no device is left that may change the fleet");
        put("");
        put("  On a device that is still in it, run this and type the words:");
        put("");
        put("      hearth fleet recover");
        put("");
        put("When every device is lost");
        put("");
        put("  Install hearth on a new one, start it with `hearth up`, and run this:");
        put("");
        put(&format!("      hearth fleet recover --fleet {id} \\"));
        put("          --at HOST:PORT");
        put("");
        put("  HOST:PORT is where a device of the fleet or one of its relays listens.");
        let relays = &self.fleet.relays;
        if relays.is_empty() {
            put("  The fleet had no relay when this was printed.");
        }
        for relay in relays.iter().take(RELAYS_SHOWN) {
            put("");
            put(&format!(
                "          --at {} \\",
                relay.address.chars().filter(|c| !c.is_control()).collect::<String>()
            ));
            put(&format!("          --key {}", relay.key));
        }
        if let Some(more @ 1..) = relays.len().checked_sub(RELAYS_SHOWN) {
            put("");
            put(&format!("  And {}.", count(more as u64, "other relay", "other relays")));
        }
        put("");
        put("Then");
        put("");
        put("  `hearth fleet revoke` each device that is lost, and print a new sheet.");
    }
}

/// Words with their numbers, in so many columns that are read from top to bottom.
fn columns(words: &str, columns: usize) -> Zeroizing<Vec<String>> {
    let words: Vec<&str> = words.split(' ').collect();
    let rows = words.len().div_ceil(columns);
    let row = |row: usize| {
        let mut line = String::with_capacity(80);
        for at in (row..words.len()).step_by(rows) {
            let _ = write!(line, "      {:2} {:8}", at + 1, words[at]);
        }
        line.truncate(line.trim_end().len());
        line
    };
    Zeroizing::new((0..rows).map(row).collect())
}

impl Recover {
    pub(super) fn run(self, shell: &mut Shell<'_>) -> Ended {
        let (seed, of) = read_words(shell)?;
        if let Some((wanted, of)) = self.fleet.zip(of).filter(|(wanted, of)| wanted != of) {
            return Err(Trouble::usage(format!(
                "the shares are of the fleet {of}, and --fleet says {wanted}; leave it out"
            )));
        }
        let order = Order::Recover {
            words: Secret(seed.words().to_string()),
            fleet: self.fleet.or(of).map(|fleet| fleet.to_string()),
            at: self.at,
            key: self.key,
            device: called(self.device),
            approve: self.approve.clone(),
        };
        drop(seed);
        let busy = shell.busy("recovering");
        let shown: Result<Shown, Trouble> = shell.ask(Ask::Fleet(order));
        drop(busy);
        let shown = shown?;
        super::show(shell, &shown)?;
        if !shell.json && self.approve.is_none() {
            shell.remark("this device is an admin of the fleet now; compare its id above with the sheet's");
            shell.remark(
                "`hearth fleet revoke DEVICE` takes out each device that is lost; the words were typed, so `hearth fleet recovery-sheet` \
                 prints new ones",
            );
        }
        Ok(Outcome::Done)
    }
}

/// The seed of what is typed, and the fleet that it is of, if it was shares.
fn read_words(shell: &mut Shell<'_>) -> Result<(Seed, Option<FleetId>), Trouble> {
    let typed = shell.world.input_is_terminal;
    if typed {
        shell.remark("the 24 words of the recovery sheet, or its shares, one on a line; an empty line ends them:");
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(WORDS_MAX).unwrap_or_default()));
    loop {
        let mut line = Zeroizing::new(String::new());
        let left = WORDS_MAX.saturating_sub(text.len() as u64);
        if std::io::Read::take(&mut shell.input, left).read_line(&mut line)? == 0 || typed && line.trim().is_empty() {
            break;
        }
        text.push_str(&line);
        // Nobody is kept waiting for an empty line.
        if let (true, Ok(read)) = (typed, sheet::read(&text)) {
            return Ok(read);
        }
    }
    if text.trim().is_empty() {
        return Err(Trouble::usage(
            "no words were given; they are read from standard input, so that they stand in no list of commands",
        ));
    }
    sheet::read(&text).map_err(|error| Trouble::usage(with_causes(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::fleet::{Link, Relay};

    fn fleet(relays: usize) -> About {
        let relay = |n: usize| Relay {
            id: DeviceId::from_bytes([7; 16]),
            address: format!("relay{n}.example.net:7843"),
            key: "5e".repeat(32),
            link: Link::None,
            signed_at: None,
            unsigned: 0,
        };
        About {
            id: FleetId::from_bytes([0xab; 16]).to_string(),
            name: "home".into(),
            epoch: 2,
            forked: false,
            sides: Vec::new(),
            erased: 0,
            threshold: 1,
            waiting: Vec::new(),
            devices: Vec::new(),
            sheet: None,
            relays: (1..=relays).map(relay).collect(),
            guests: Vec::new(),
            residencies: Vec::new(),
            broker: None,
        }
    }

    fn printed(relays: usize, split: Option<(u8, u8)>) -> String {
        let (fleet, seed) = (fleet(relays), Seed::from_bytes([3; 32]));
        let rows: Vec<[u8; 32]> = (1..split.map_or(1, |(_, needed)| needed)).map(|row| [row; 32]).collect();
        let shares = split.map_or(Vec::new(), |(shares, _)| {
            seed.split(FleetId::from_bytes([0xab; 16]), shares, &rows).expect("sound numbers")
        });
        let (id, on) = (DeviceId::from_bytes([9; 16]), jiff::civil::date(2026, 3, 24));
        Sheet { fleet: &fleet, id, on }.pages(&seed, &shares).to_string()
    }

    #[test]
    fn a_sheet_prints_well() {
        insta::assert_snapshot!("sheet", printed(1, None));
        insta::assert_snapshot!("share", printed(0, Some((3, 2))).split('\u{c}').nth(1).expect("a page"));
    }

    #[test]
    fn each_page_fits_paper_and_what_stands_on_it_is_read_back() {
        for (case, text, pages) in [
            ("a sheet", printed(0, None), 1),
            ("with many relays", printed(9, None), 1),
            ("shares", printed(9, Some((16, 16))), 16),
        ] {
            assert_eq!(text.split('\u{c}').count(), pages, "{case}");
            let mut words = String::new();
            for page in text.split('\u{c}') {
                assert!(page.lines().count() <= 58, "{case}: {} lines", page.lines().count());
                assert!(page.lines().all(|line| line.len() <= 80), "{case}: {page}");
                // As a person copies them: by their numbers.
                let mut numbered: Vec<(usize, &str)> = Vec::new();
                for line in page.lines().filter(|line| line.starts_with("       ") || line.starts_with("      1")) {
                    let parts: Vec<&str> = line.split_whitespace().collect();
                    let pairs = parts.chunks(2).map_while(|pair| Some((pair.first()?.parse().ok()?, *pair.get(1)?)));
                    numbered.extend(pairs);
                }
                numbered.sort_unstable();
                numbered.iter().for_each(|(_, word)| words = format!("{words}{word} "));
                words.push('\n');
            }
            assert_eq!(sheet::read(&words).map(|(seed, _)| seed), Ok(Seed::from_bytes([3; 32])), "{case}");
        }
    }
}
