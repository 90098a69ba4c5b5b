//! `cargo xtask bench`: the figures of `docs/figures.md`, from real processes of the release build.
//!
//! It says what it saw and judges nothing but its own failures: a slow machine is not a wrong program.

mod dice;
mod figure;
mod files;
mod kills;
mod memory;
mod notes;
mod prose;
mod quality;
mod questions;
mod redact;
mod search;
mod small;
mod spread;

use crate::product::Product;
use crate::product::child::Interrupts;
use crate::product::folder::Folder;
use crate::tee;
use crate::tree::Tree;
use clap::{Args, ValueEnum};
use figure::Figure;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measure what docs/figures.md says, on this machine
///
/// Prints a table: what, the goal, whether it was met, and what was measured. Ends with 0 however slow the machine is, and with 1
/// when a bench could not be run. Everything together takes about an hour on two cores.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    names: Vec<Name>,
    /// Write the figures to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many passages the search goes through
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    passages: u32,
    /// Keep the searched passages in this folder, or go on with those that are there
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Take real text from below this folder instead of the system's documentation; may be given more than once
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
}

/// One bench.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Name {
    /// A thousand notes: time to be found, memory, starts (5 minutes)
    Notes,
    /// Ten thousand small files at once: memory
    Small,
    /// nDCG@10 on Cranfield, where its files are (2 minutes)
    Quality,
    /// Speed of redaction, and what it finds where the labelled rows are
    Redact,
    /// Time of a search in a hundred thousand passages (30 minutes)
    Search,
    /// Says what counts the kills
    Kills,
}

impl Name {
    const fn word(self) -> &'static str {
        match self {
            Self::Notes => "notes",
            Self::Small => "small",
            Self::Quality => "quality",
            Self::Redact => "redact",
            Self::Search => "search",
            Self::Kills => "kills",
        }
    }
}

/// Why a bench has no figures.
enum Halt {
    /// What it needs is not on this machine; the sentence says what.
    Absent(String),
    /// It went wrong.
    Broken(String),
}

impl From<String> for Halt {
    fn from(sentence: String) -> Self {
        Self::Broken(sentence)
    }
}

type Measured = Result<Vec<Figure>, Halt>;

/// What every bench works with.
struct Site<'a> {
    tree: &'a Tree,
    interrupts: &'a Interrupts,
    /// Removed in the end.
    folder: &'a Path,
    /// A copy of the program: a build that ends meanwhile does not change what is measured.
    hearth: PathBuf,
    /// How many threads embed.
    threads: usize,
}

/// The most threads that the agent embeds with unless it is told otherwise.
const THREADS_MAX: usize = 4;

impl Bench {
    /// Builds, measures one bench after the other, and prints the table.
    pub(crate) fn run(&self, tree: &Tree) -> Result<ExitCode, String> {
        println!("building in release; the first time takes some minutes");
        if !tee::gate(tree.cargo().args(["build", "--release", "--package", "hearth-agent", "--bins"]))?.is_clean() {
            return Err("the build failed; its message is above".into());
        }
        let interrupts = Interrupts::listen()?;
        let folder = Folder::temporary("bench", false)?;
        let hearth = folder.path().join("hearth");
        std::fs::copy(tree.program("hearth"), &hearth).map_err(|error| format!("cannot copy the program: {error}"))?;
        let site =
            Site { tree, interrupts: &interrupts, folder: folder.path(), hearth, threads: cores().min(THREADS_MAX) };
        let (mut measured, mut absent, mut broken) = (Vec::new(), Vec::new(), false);
        let names = if self.names.is_empty() { Name::value_variants() } else { &self.names };
        for name in names {
            println!("\n== {} ==", name.word());
            match self.bench(*name, &site) {
                Ok(figures) => measured.push((name.word(), figures)),
                Err(_) if interrupts.came() => return Err("interrupted; everything that was started has ended".into()),
                Err(Halt::Absent(sentence)) => {
                    println!("{}: {sentence}", name.word());
                    // Who asks for everything gets what there is; who named it does not get it.
                    broken |= !self.names.is_empty();
                    absent.push((name.word(), sentence));
                }
                Err(Halt::Broken(sentence)) => {
                    println!("{}: {sentence}", name.word());
                    broken = true;
                    absent.push((name.word(), sentence));
                }
            }
        }
        let machine = machine();
        println!("\n== figures ==\n{machine}");
        for line in figure::table(&measured) {
            println!("{line}");
        }
        if let Some(file) = &self.json {
            let document = figure::document(&measured, &machine, &absent);
            std::fs::write(file, format!("{document:#}\n"))
                .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
        Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn bench(&self, name: Name, site: &Site<'_>) -> Measured {
        match name {
            Name::Notes => notes::measure(site),
            Name::Small => small::measure(site),
            Name::Quality => quality::measure(site),
            Name::Redact => redact::measure(site, &self.from),
            Name::Search => search::measure(site, self.passages, self.data.as_deref(), &self.from),
            Name::Kills => Ok(kills::say()),
        }
    }
}

impl Site<'_> {
    /// An agent of its own for one bench.
    fn product(&self, bench: &str) -> Product {
        self.product_in(&self.folder.join(bench))
    }

    /// An agent whose data lie in a folder.
    fn product_in(&self, place: &Path) -> Product {
        let product = Product::new(self.tree, place).with_hearth(self.hearth.clone());
        product.with_setting("HEARTH_EMBED_THREADS", &self.threads.to_string())
    }

    /// Data that are not part of the repository, in the folder `shared` beside the checkout.
    fn shared(&self, name: &str) -> Result<PathBuf, Halt> {
        let place = self.tree.root().with_file_name("shared").join("data").join(name);
        if place.is_dir() {
            return Ok(place);
        }
        Err(Halt::Absent(format!(
            "not measured: its data are not part of the repository; put them into ../shared/data/{name}"
        )))
    }

    /// Waits, unless somebody wants to end.
    fn wait(&self, time: Duration) -> Result<(), String> {
        if self.interrupts.wait(time) { Err("interrupted".into()) } else { Ok(()) }
    }
}

fn make_folder(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path).map_err(|error| format!("cannot make {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The machine in a few words, so that figures of two machines are not taken for those of one.
fn machine() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name: &str| about.lines().find(|line| line.starts_with(name))?.split_once(": ").map(|(_, value)| value);
    let widest = ["avx512f", "avx2", "asimd"].into_iter().find(|flag| {
        let flags = field("flags").or(field("Features")).unwrap_or_default();
        flags.split(' ').any(|word| word == *flag)
    });
    let model = field("model name").unwrap_or("a processor without a name");
    format!("{} cores of {model} ({}, {})", cores(), std::env::consts::ARCH, widest.unwrap_or("no wide registers"))
}
