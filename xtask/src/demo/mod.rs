//! `cargo xtask demo`: the whole product at work on one machine, in a temporary folder.
//!
//! It starts the programs a person would start and asks them through the same commands. Everything it started is ended on
//! every way out; nothing outside the temporary folder is written.

mod questions;

use crate::product::child::{Child, Interrupts};
use crate::product::folder::Folder;
use crate::product::{Agent, Coordinator, Product, Status};
use crate::tee;
use crate::tree::Tree;
use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Show hearth at work: capture a folder, redact, embed, search, and see the node in the fleet
///
/// Starts the coordinator and one agent on loopback in a temporary folder and stays up until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// What to capture [default: this repository's docs, and what of /usr/share/doc ends within a minute]
    folder: Option<PathBuf>,
    /// Keep the temporary folder
    #[arg(long)]
    keep: bool,
    /// End after the searches instead of waiting for Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Ask this instead of the built-in questions; may be given more than once
    #[arg(long, value_name = "QUERY")]
    query: Vec<String>,
}

/// How long the default folders are captured; a folder that was named is captured to its end.
const CAPTURE_MAX: Duration = Duration::from_secs(60);
/// How often progress is asked for.
const GLANCE: Duration = Duration::from_millis(500);
/// How long the agent may take until its first report has reached the coordinator.
const REPORT_MAX: Duration = Duration::from_secs(20);

impl Demo {
    /// Builds, starts, captures, searches, and ends what it started.
    pub(crate) fn run(&self, tree: &Tree) -> Result<ExitCode, String> {
        let captured = self.captured(tree)?;
        println!("building in release; the first time takes some minutes");
        let programs = ["build", "--release", "--package", "hearth-agent", "--package", "hearth-coordinator"];
        if !tee::gate(tree.cargo().args(programs).arg("--bins"))?.is_clean() {
            return Err("the build failed; its message is above".into());
        }
        let interrupts = Interrupts::listen()?;
        let place = Folder::temporary("demo", self.keep)?;
        let product = Product::new(tree, place.path());
        let outcome = self.show(&product, &captured, &interrupts);
        if self.keep {
            println!("kept: {}", place.path().display());
        }
        match outcome {
            Err(_) if interrupts.came() => Err("interrupted; everything that was started has ended".into()),
            Err(sentence) => Err(sentence),
            Ok(()) => Ok(ExitCode::SUCCESS),
        }
    }

    fn captured(&self, tree: &Tree) -> Result<Vec<PathBuf>, String> {
        let Some(named) = &self.folder else {
            let shipped = Path::new("/usr/share/doc");
            let mut folders = vec![tree.root().join("docs")];
            folders.extend(shipped.is_dir().then(|| shipped.to_owned()));
            return Ok(folders);
        };
        let full = named.canonicalize().map_err(|error| format!("cannot capture {}: {error}", named.display()))?;
        if full.is_dir() { Ok(vec![full]) } else { Err(format!("{} is not a folder; name one", named.display())) }
    }

    fn show(&self, product: &Product, captured: &[PathBuf], interrupts: &Interrupts) -> Result<(), String> {
        // The agent's key comes first: the coordinator is told whom to trust when it starts.
        let device = product.identity()?;
        let (mut coordinator_child, coordinator) = product.start_coordinator(&device, interrupts)?;
        let (first, others) = captured.split_at(1);
        let (mut agent_child, agent) = product.start_agent(first, Some(&coordinator), interrupts)?;
        println!("capturing {}", list(captured));
        let mut children = [&mut agent_child, &mut coordinator_child];
        let mut progress = Progress::start();
        // What is asked about comes first, whole: many more files would keep its vectors waiting.
        let mut outcome = self.capture(product, &mut progress, &mut children, interrupts)?;
        for folder in others {
            product.capture(folder)?;
            outcome = self.capture(product, &mut progress, &mut children, interrupts)?;
        }
        tell(&outcome, &progress);
        let questions = if self.query.is_empty() { self.questions(captured) } else { self.query.clone() };
        let hits = search(product, &questions)?;
        show_fleet(product, &coordinator, &mut children, interrupts)?;
        show_addresses(&agent, &coordinator);
        if hits == 0 {
            return Err("none of the searches found anything; name a folder with text in it".into());
        }
        if !self.exit {
            println!("up until Ctrl-C");
            loop {
                if interrupts.wait(GLANCE) {
                    break;
                }
                alive(&mut children)?;
            }
        }
        println!("ending");
        for child in children {
            child.end();
        }
        Ok(())
    }

    fn questions(&self, captured: &[PathBuf]) -> Vec<String> {
        match self.folder {
            None => questions::ABOUT_HEARTH.map(String::from).to_vec(),
            Some(_) => questions::from_folders(captured),
        }
    }

    /// Shows progress until everything is searchable by meaning, or the minute of the default folders is over.
    fn capture(
        &self,
        product: &Product,
        progress: &mut Progress,
        children: &mut [&mut Child],
        interrupts: &Interrupts,
    ) -> Result<Captured, String> {
        let mut quiet = 0;
        loop {
            alive(children)?;
            let status = product.status()?;
            progress.show(&status);
            // Two quiet glances in a row: the first may fall between the walk and its first work.
            quiet = if status.idle && status.pending == 0 && status.items > 0 { quiet + 1 } else { 0 };
            let minute_over = progress.took() >= CAPTURE_MAX;
            if quiet >= 2 || (minute_over && self.folder.is_none()) {
                return Ok(Captured { status, whole: quiet >= 2 });
            }
            if minute_over && status.items == 0 {
                return Err("nothing was captured within a minute; does the folder hold text?".into());
            }
            if interrupts.wait(GLANCE) {
                return Err("interrupted".into());
            }
        }
    }
}

/// How far capture came.
struct Captured {
    status: Status,
    /// Whether there was no more to do.
    whole: bool,
}

fn tell(captured: &Captured, progress: &Progress) {
    let (status, took) = (&captured.status, progress.took().as_secs_f64());
    progress.end_line();
    let rest = if captured.whole { "" } else { "; the minute is over, the rest goes on in the background" };
    println!("{} items, {} chunks in {took:.1} s{rest}", status.items, status.chunks);
    let hidden: Vec<String> = status.redactions.iter().map(|(class, count)| format!("{count} {class}")).collect();
    println!("redacted: {}", if hidden.is_empty() { "nothing".into() } else { hidden.join(", ") });
}

fn alive(children: &mut [&mut Child]) -> Result<(), String> {
    children.iter_mut().try_for_each(|child| child.check())
}

/// One line that stays in place on a terminal, and a line now and then where there is none.
struct Progress {
    start: Instant,
    said: Duration,
}

impl Progress {
    const PAUSE: Duration = Duration::from_secs(5);

    fn start() -> Self {
        Self { start: Instant::now(), said: Duration::ZERO }
    }

    fn took(&self) -> Duration {
        self.start.elapsed()
    }

    /// Leaves the line that stays in place.
    #[expect(clippy::unused_self, reason = "whoever holds the line ends it")]
    fn end_line(&self) {
        if std::io::stdout().is_terminal() {
            println!();
        }
    }

    fn show(&mut self, status: &Status) {
        let took = self.took();
        let hidden: u64 = status.redactions.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = status.chunks as f64 / took.as_secs_f64().max(0.001);
        let line = format!(
            "{} items, {} chunks ({rate:.0}/s), {hidden} redactions, {} waiting",
            status.items, status.chunks, status.pending
        );
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[K{line}");
            // A closed terminal ends the demo by its signal, not here.
            let _ = std::io::stdout().flush();
        } else if took >= self.said + Self::PAUSE {
            println!("{line}");
            self.said = took;
        }
    }
}

/// Runs the searches and returns how many notes they found together.
fn search(product: &Product, questions: &[String]) -> Result<usize, String> {
    let mut found = 0;
    for question in questions {
        let answer = product.search(question)?;
        println!("\n{question}  ({} found, {:.1} ms)", answer.hits.len(), answer.took_ms);
        found += answer.hits.len();
        for hit in answer.hits.iter().take(3) {
            println!("  {:.3}  {}", hit.score, hit.title);
            println!("         {}", hit.snippet);
        }
    }
    println!();
    Ok(found)
}

fn show_fleet(
    product: &Product,
    coordinator: &Coordinator,
    children: &mut [&mut Child],
    interrupts: &Interrupts,
) -> Result<(), String> {
    let start = Instant::now();
    loop {
        alive(children)?;
        let nodes = product.nodes(coordinator)?;
        if nodes > 0 {
            println!("the coordinator knows {nodes} node");
            return Ok(());
        }
        if start.elapsed() >= REPORT_MAX {
            let seconds = REPORT_MAX.as_secs();
            return Err(format!("the agent's report did not reach the coordinator within {seconds} s"));
        }
        if interrupts.wait(GLANCE) {
            return Err("interrupted".into());
        }
    }
}

fn show_addresses(agent: &Agent, coordinator: &Coordinator) {
    println!("search page  {}", agent.page);
    println!("fleet page   {}", coordinator.page);
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ")
}
