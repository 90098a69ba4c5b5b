//! Coverage-guided runs of the fuzz targets: libFuzzer on stable Rust.
//!
//! The compiler counts which edges of the program an input takes (LLVM's `sancov` pass, `-C passes` and `-C llvm-args`, which are stable); libFuzzer
//! comes with the crate `libfuzzer-sys` and needs a C++ compiler. Sanitizers would need a nightly compiler; what they find is what safe
//! Rust does not do. The targets and their seeds are `tests/fuzz`; `tests/fuzz/driver` is a workspace of its own with a lock file of its
//! own, and nothing else builds it.

use crate::gates::left_out;
use crate::packages;
use crate::tally::Tally;
use crate::tee;
use crate::tree::Tree;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Look for inputs on which a fuzz target does not hold
///
/// What is found lies in the target folder, and what reaches new code is kept there for the next run. An input that was found belongs
/// beside the seeds in `tests/data`, where every test run tries it again.
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// Only targets whose name contains this
    name: Option<String>,
    /// How long each one is run
    #[arg(long, default_value_t = SECONDS)]
    seconds: u64,
    /// Put up to this many of the inputs that reach code which no seed reaches beside the seeds
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    keep: usize,
}

/// How long a target is run when nobody says.
const SECONDS: u64 = 60;

/// An input that takes longer is a finding.
const INPUT_SECONDS: u64 = 10;

/// A target that needs more memory is a finding.
const MEMORY_MB: u64 = 2048;

/// A longer input is not kept as a seed.
const SEED_MAX: u64 = 4 << 10;

/// What tells the compiler to count edges and to show comparisons.
const COUNTED: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Names the target to the driver.
const VARIABLE: &str = "HEARTH_FUZZ_TARGET";

impl Fuzz {
    /// All targets, for as long as goes without saying, whose name contains `name`.
    pub(crate) fn soak(name: Option<String>) -> Self {
        Self { name, seconds: SECONDS, keep: 0 }
    }

    /// Runs the targets and closes with the counts.
    pub(crate) fn run(&self, tree: &Tree) -> Result<ExitCode, String> {
        let tally = self.tally(tree)?;
        println!("{tally}");
        Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs the targets one after another; each counts as a test.
    pub(crate) fn tally(&self, tree: &Tree) -> Result<Tally, String> {
        let targets: Vec<Target> = all(tree)?
            .into_iter()
            .filter(|target| self.name.as_ref().is_none_or(|name| target.name.contains(name.as_str())))
            .collect();
        if targets.is_empty() {
            println!("no fuzz target is named like this");
            return Ok(Tally::default());
        }
        if let Err(sentence) = packages::ensure(&[&packages::CPP], "libFuzzer") {
            return Ok(left_out("the fuzz targets", &sentence));
        }
        let place = Place { root: tree.target().join("fuzz") };
        let driver = place.build(tree)?;
        let mut tally = Tally::default();
        for target in &targets {
            let held = place.run(tree, &driver, target, self.seconds)?;
            tally += if held { Tally::pass() } else { Tally::fail() };
            if held && self.keep > 0 {
                place.keep(tree, &driver, target, self.keep)?;
            }
        }
        Ok(tally)
    }
}

/// A target, as the table in `tests/fuzz` has it.
struct Target {
    part: String,
    name: String,
    most: u64,
}

impl Target {
    fn seeds(&self, tree: &Tree) -> PathBuf {
        tree.root().join("tests/data").join(&self.part).join("fuzz").join(&self.name)
    }
}

/// Asks the table. It is printed by an example, so that the chores lean on nothing of the product.
fn all(tree: &Tree) -> Result<Vec<Target>, String> {
    let output = tree
        .cargo()
        .args(["run", "--release", "--quiet", "-p", "hearth-fuzz", "--example", "targets"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("the table of fuzz targets does not compile; its message is above".to_owned());
    }
    let rows = String::from_utf8_lossy(&output.stdout).into_owned();
    let target = |row: &str| {
        let mut words = row.split_whitespace().map(str::to_owned);
        Some(Target { part: words.next()?, name: words.next()?, most: words.next()?.parse().ok()? })
    };
    rows.lines().map(|row| target(row).ok_or_else(|| format!("`{row}` is no row of the table of targets"))).collect()
}

/// Where everything lies that is not committed.
struct Place {
    root: PathBuf,
}

impl Place {
    /// Builds the driver. With a target triple of its own, so that what runs while building (macros, build scripts) is not counted.
    fn build(&self, tree: &Tree) -> Result<PathBuf, String> {
        let triple = host(tree)?;
        let built = tee::gate(
            tree.cargo()
                .args(["build", "--release", "--manifest-path", "tests/fuzz/driver/Cargo.toml", "--target", &triple])
                .arg("--target-dir")
                .arg(&self.root)
                .env("RUSTFLAGS", COUNTED.join(" ")),
        )?;
        if !built.is_clean() {
            return Err("the fuzz driver was not built; the message is above".to_owned());
        }
        Ok(self.root.join(triple).join("release/hearth-fuzz-driver"))
    }

    fn folder(&self, what: &str, target: &Target) -> Result<PathBuf, String> {
        let folder = self.root.join(what).join(&target.name);
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(folder)
    }

    /// Runs a target; says whether it held.
    fn run(&self, tree: &Tree, driver: &Path, target: &Target, seconds: u64) -> Result<bool, String> {
        let (corpus, found) = (self.folder("corpus", target)?, self.folder("found", target)?);
        let mut command = driven(driver, target);
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", target.most))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MB}"))
            // A slash at its end makes it a folder.
            .arg(format!("-artifact_prefix={}/", found.display()))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .arg(corpus)
            .arg(target.seeds(tree));
        let held = tee::gate(&mut command)?.is_clean();
        if !held {
            println!(
                "{}: an input does not hold; it lies in {} and belongs beside the seeds in {}",
                target.name,
                found.display(),
                target.seeds(tree).display()
            );
        }
        Ok(held)
    }

    /// Copies some of the inputs that reach what no seed reaches beside the seeds.
    fn keep(&self, tree: &Tree, driver: &Path, target: &Target, most: usize) -> Result<(), String> {
        let (merged, seeds) = (self.folder("merged", target)?, target.seeds(tree));
        let failed = |error: std::io::Error| format!("cannot choose seeds for {}: {error}", target.name);
        for old in listed(&merged).map_err(failed)? {
            std::fs::remove_file(old).map_err(failed)?;
        }
        let mut known = 0;
        for seed in listed(&seeds).map_err(failed)? {
            let name = seed.file_name().expect("a file has a name").to_owned();
            std::fs::copy(&seed, merged.join(name)).map_err(failed)?;
            known += 1;
        }
        let merging = ["-merge=1", "-verbosity=0"];
        let mut command = driven(driver, target);
        command.args(merging).arg(&merged).arg(self.folder("corpus", target)?);
        if !tee::gate(&mut command)?.is_clean() {
            return Err(format!("the inputs of {} could not be merged; the message is above", target.name));
        }
        let mut fresh = Vec::new();
        for path in listed(&merged).map_err(failed)? {
            let name = path.file_name().expect("a file has a name").to_owned();
            let length = std::fs::metadata(&path).map_err(failed)?.len();
            if !seeds.join(&name).exists() && length <= SEED_MAX {
                fresh.push((length, path));
            }
        }
        fresh.sort();
        // Short ones and long ones: the long ones got further.
        let step = fresh.len().div_ceil(most).max(1);
        for (_, path) in fresh.iter().skip(step / 2).step_by(step) {
            let name = path.file_name().expect("a file has a name").to_string_lossy();
            let short = name.get(..12).unwrap_or(&name);
            std::fs::copy(path, seeds.join(format!("found-{short}"))).map_err(failed)?;
        }
        println!(
            "{}: {known} seeds, {} more reach something new, {} kept",
            target.name,
            fresh.len(),
            fresh.iter().skip(step / 2).step_by(step).count()
        );
        Ok(())
    }
}

fn driven(driver: &Path, target: &Target) -> Command {
    let mut command = Command::new(driver);
    command.env(VARIABLE, &target.name);
    // Targets of the store make a folder for each input, and what the disk has of it does not matter.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        command.env("TMPDIR", memory);
    }
    command
}

fn listed(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

/// The triple of this machine.
fn host(tree: &Tree) -> Result<String, String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc)
        .current_dir(tree.root())
        .arg("-vV")
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let triple = said.lines().find_map(|line| line.strip_prefix("host: "));
    triple.map(str::to_owned).ok_or_else(|| "rustc does not say for which machine it builds".to_owned())
}
