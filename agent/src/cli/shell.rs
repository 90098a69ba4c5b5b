//! Where a command runs: its streams, its surroundings, and the way to whoever answers.
//!
//! Results go to `out`, everything else to `err`. Nothing here reads the process's own environment; [`World::here`] does, once.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hearth_core::Moment;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;
use serde::{Serialize, de::DeserializeOwned};

use super::{Agent, marks, progress};
use crate::{
    ask::{Answers, Ask, Failure, FailureKind},
    client,
    config::{self, Config, Flag, Loaded, Mistakes, Places},
};

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Whoever answered says so, or it was asked wrongly.
    #[error(transparent)]
    Asked(#[from] Failure),
    /// The configuration has mistakes.
    #[error("the configuration has mistakes")]
    Config(#[from] Mistakes),
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

impl Trouble {
    /// It was asked wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Usage, message).into()
    }

    /// It went wrong.
    pub fn failed(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Failed, message).into()
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Asked(failure) => failure.kind.exit_code(),
            Self::Config(_) => FailureKind::Usage.exit_code(),
            Self::Output(_) => FailureKind::Failed.exit_code(),
        }
    }
}

/// How a command ended that did what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There is something to show for it: 0.
    Done,
    /// It looked, and something is not in order: 1.
    Amiss,
    /// It looked, and there is nothing: 3.
    Nothing,
}

impl Outcome {
    /// The exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Amiss => 1,
            Self::Nothing => 3,
        }
    }
}

/// What a command ends with.
pub type Ended = Result<Outcome, Trouble>;

/// The surroundings of a command.
#[derive(Clone, Debug)]
pub struct World {
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The folder that relative paths begin in.
    pub here: PathBuf,
    /// The folder of the machine's configuration.
    pub system: PathBuf,
    /// What time it is.
    pub now: Moment,
    /// Where that is.
    pub zone: TimeZone,
    /// Whether a person types the input.
    pub input_is_terminal: bool,
    /// Whether a person reads the results.
    pub out_is_terminal: bool,
    /// Whether a person reads the rest.
    pub err_is_terminal: bool,
    /// How many columns they see.
    pub width: usize,
}

impl World {
    /// This process's surroundings.
    pub fn here() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let columns = rustix::termios::tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_col)).unwrap_or(0);
        Self {
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            here: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            system: PathBuf::from("/etc/hearth"),
            now: Moment::START + now,
            zone: TimeZone::system(),
            input_is_terminal: io::stdin().is_terminal(),
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            width: if columns == 0 { 80 } else { columns },
        }
    }

    /// The value of an environment variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The home folder.
    pub fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// A folder of the XDG base directories, by its variable or below home.
    fn xdg(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| Some(self.home()?.join(below_home)))
    }

    /// Whether colour is wanted on a stream.
    fn colour(&self, is_terminal: bool) -> bool {
        let forced = self.variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let dumb = self.variable("TERM") == Some("dumb");
        self.variable("NO_COLOR").is_none() && (forced || (is_terminal && !dumb))
    }
}

/// Puts colour on text, or leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    /// With colour, or without.
    pub const fn new(on: bool) -> Self {
        Self(on)
    }

    /// Stands out.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Stands back.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What was looked for.
    pub fn found(self, text: &str) -> String {
        self.with("1;33", text)
    }

    /// In order.
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// To be looked at.
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// To be known.
    pub fn notice(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Where a command runs.
pub struct Shell<'a> {
    /// The rest of the agent.
    pub agent: &'a dyn Agent,
    /// The surroundings.
    pub world: World,
    /// For results.
    pub out: Box<dyn Write + 'a>,
    /// For everything else.
    pub err: Box<dyn Write + 'a>,
    /// What is typed or piped in.
    pub input: Box<dyn BufRead + 'a>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    loaded: Option<Loaded>,
    answers: Option<Box<dyn Answers>>,
}

impl<'a> Shell<'a> {
    /// A place to run with these streams.
    pub fn new(
        agent: &'a dyn Agent,
        world: World,
        out: Box<dyn Write + 'a>,
        err: Box<dyn Write + 'a>,
        input: Box<dyn BufRead + 'a>,
    ) -> Self {
        Self { agent, world, out, err, input, data: None, json: false, quiet: false, loaded: None, answers: None }
    }

    /// Colour for results.
    pub fn paint(&self) -> Paint {
        Paint(self.world.colour(self.world.out_is_terminal))
    }

    /// Colour for everything else.
    pub fn paint_err(&self) -> Paint {
        Paint(self.world.colour(self.world.err_is_terminal))
    }

    /// How wide results may be.
    pub fn width(&self) -> usize {
        self.world.width.clamp(40, 100)
    }

    /// A path as given, from the folder where the command was started.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        let path = self.world.here.join(path);
        // `..` and `.` are taken out by their letters: a link on the way keeps the name its owner gave it.
        std::path::absolute(&path).map_or(path.clone(), |path| {
            let mut out = PathBuf::new();
            for part in path.components() {
                match part {
                    std::path::Component::ParentDir => {
                        out.pop();
                    }
                    other => out.push(other),
                }
            }
            out
        })
    }

    /// The data folder.
    ///
    /// # Errors
    /// When nothing says where it is.
    pub fn data(&self) -> Result<PathBuf, Trouble> {
        let named = self.data.clone().or_else(|| self.world.variable("HEARTH_DATA").map(PathBuf::from));
        let found = named
            .map(|path| self.absolute(&path))
            .or_else(|| Some(self.world.xdg("XDG_DATA_HOME", ".local/share")?.join("hearth")));
        found.ok_or_else(|| Trouble::usage("there is no home folder to keep data in; name a folder with --data"))
    }

    /// Where settings are looked for.
    pub fn places(&self, flags: Vec<Flag>) -> Places {
        Places {
            system: Some(self.world.system.clone()),
            user: self.world.xdg("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("hearth")),
            environment: self.world.environment.clone(),
            flags,
        }
    }

    /// The settings, read at the first call.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn config(&mut self) -> Result<&Config, Trouble> {
        self.config_with(Vec::new())
    }

    /// The settings with flags on top, read at the first call.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn config_with(&mut self, flags: Vec<Flag>) -> Result<&Config, Trouble> {
        if self.loaded.is_none() {
            self.loaded = Some(config::load(&self.places(flags))?);
        }
        Ok(&self.loaded.as_ref().expect("just loaded").config)
    }

    /// Asks the daemon, or the folder when there is none.
    ///
    /// # Errors
    /// What the answer says.
    pub fn ask<T: DeserializeOwned>(&mut self, ask: Ask) -> Result<T, Trouble> {
        self.connect()?;
        let answers = self.answers.as_ref().expect("just connected");
        understood(answers.answer(ask)?)
    }

    /// Asks for something that takes time, and shows meanwhile what has come in. Only a person on a terminal sees it.
    ///
    /// # Errors
    /// What the answer says.
    pub fn ask_watched<T: DeserializeOwned>(&mut self, what: &'static str, ask: Ask) -> Result<T, Trouble> {
        let busy = self.busy(what);
        self.connect()?;
        let answers = self.answers.as_deref().expect("just connected");
        let answer = if busy.0.is_hidden() {
            answers.answer(ask)
        } else {
            progress::watched(answers, ask, progress::LOOK_EVERY, |text| busy.say(format!("{what}: {text}")))
        };
        understood(answer?)
    }

    /// Asks only a daemon; `None` when none runs.
    ///
    /// # Errors
    /// What the answer says.
    pub fn ask_daemon<T: DeserializeOwned>(&mut self, ask: Ask) -> Result<Option<T>, Trouble> {
        match client::Client::connect(&self.data()?)? {
            Some(client) => Ok(Some(understood(client.answer(ask)?)?)),
            None => Ok(None),
        }
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        if self.answers.is_none() {
            let data = self.data()?;
            let config = self.config()?.clone();
            self.answers = Some(client::reach(&data, || self.agent.open(&data, &config))?);
        }
        Ok(())
    }

    /// Writes one JSON document: in one line for programs, in several for people.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn document<T: Serialize>(&mut self, document: &T) -> io::Result<()> {
        let text = if self.world.out_is_terminal {
            serde_json::to_string_pretty(document)
        } else {
            serde_json::to_string(document)
        };
        writeln!(self.out, "{}", text.map_err(io::Error::other)?)
    }

    /// Writes a line of the result.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text.as_ref().trim_end())
    }

    /// Writes a remark beside the result, unless quiet. That nobody reads it is no trouble.
    pub fn remark(&mut self, text: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(self.err, "{}", text.as_ref());
        }
    }

    /// Writes a remark about something to look at, unless quiet.
    pub fn notice(&mut self, text: &str) {
        let line = format!("{} {}", self.paint_err().notice("!"), marks::plain(text));
        self.remark(line);
    }

    /// Shows that something takes time, until the result is dropped. Only a person on a terminal sees it.
    pub fn busy(&self, what: &'static str) -> Busy {
        let bar = ProgressBar::new_spinner();
        if self.quiet || !self.world.err_is_terminal {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style =
            ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}").expect("the template is well formed");
        bar.set_style(style);
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        Busy(bar)
    }

    /// Asks a yes or no of the person at the terminal; `None` when there is nobody to ask.
    ///
    /// # Errors
    /// When the streams are closed.
    pub fn confirm(&mut self, question: &str) -> io::Result<Option<bool>> {
        if !self.world.input_is_terminal || !self.world.err_is_terminal {
            return Ok(None);
        }
        write!(self.err, "{question} [y/N] ")?;
        self.err.flush()?;
        let mut line = String::new();
        io::Read::take(&mut self.input, 100).read_line(&mut line)?;
        Ok(Some(matches!(line.trim().to_lowercase().as_str(), "y" | "yes")))
    }
}

/// A sign that something takes time.
#[derive(Debug)]
pub struct Busy(ProgressBar);

impl Busy {
    /// Says how far it is.
    pub fn say(&self, text: String) {
        self.0.set_message(text);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn understood<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, Trouble> {
    serde_json::from_value(answer).map_err(|_| {
        Trouble::failed(
            "the answer was not understood; restart the daemon so that it and this command are of one version",
        )
    })
}

/// `1 item`, `2 items`, `12,345 items`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// A number with its thousands set apart.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes as a person reads it.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}
