//! The `hearth-coordinator` program.
#![forbid(unsafe_code)]

mod arenas;

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use hearth_coordinator::{Options, Ready, Trouble, folder, relay::Allowance, serve};
use hearth_link::{
    VerifyingKey, key_from_text, key_text,
    mqtt::{Protection, Settings, Version},
};
use miette::{IntoDiagnostic, WrapErr};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing_subscriber::EnvFilter;

/// Keep the last word of each device of a fleet, and show the fleet on one page
#[derive(Debug, Parser)]
#[command(name = "hearth-coordinator", version, max_term_width = 100)]
struct Command {
    #[command(subcommand)]
    what: What,
    /// How to write the log to stderr; `text` on a terminal and `json` elsewhere unless it is named
    #[arg(long, global = true, value_enum, value_name = "FORM")]
    log: Option<Log>,
}

#[derive(Debug, Subcommand)]
enum What {
    Serve(Box<Serve>),
    Key(Key),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Log {
    Text,
    Json,
}

/// Run the coordinator until it is told to end
///
/// SIGTERM and Ctrl-C end it in good order. SIGHUP makes it read the file of trusted keys again; a device that is no longer in it loses its
/// link at once.
#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where devices connect (UDP)
    #[arg(long, default_value = "127.0.0.1:7843", value_name = "ADDRESS")]
    quic: SocketAddr,
    #[command(flatten)]
    broker: Broker,
    /// Where the page is served; only addresses of this machine are allowed
    #[arg(long, default_value = "127.0.0.1:7844", value_name = "ADDRESS")]
    http: SocketAddr,
    /// The public key of a device that may report; may be given more than once
    #[arg(long, value_parser = key_from_text, value_name = "KEY")]
    trust: Vec<VerifyingKey>,
    /// A file of such keys, one a line, each with a name behind it
    #[arg(long, value_name = "FILE")]
    trust_file: Option<PathBuf>,
    /// How much of this disk one fleet may take that uses the coordinator as its relay, such as 500MiB or 2TiB
    #[arg(long, default_value = "50GiB", value_parser = bytes_from_text, value_name = "SIZE")]
    relay_quota: u64,
    /// How much one fleet may send to be kept, in a second and for long; eight times as much at once
    #[arg(long, default_value = "32MiB", value_parser = bytes_from_text, value_name = "SIZE")]
    relay_rate: u64,
}

#[derive(Debug, Args)]
struct Broker {
    /// An MQTT broker through which devices come besides that cannot connect directly, as host:port
    #[arg(long, value_name = "ADDRESS")]
    broker: Option<String>,
    /// How the way to the broker is protected: by the system's authorities, by those of --broker-ca, or not at all
    #[arg(long, requires = "broker", value_enum, default_value = "system", value_name = "HOW")]
    broker_tls: BrokerTls,
    /// The certificates (PEM) by which the broker is recognised
    #[arg(long, requires = "broker", value_name = "FILE")]
    broker_ca: Option<PathBuf>,
    /// Who the coordinator is to the broker
    #[arg(long, requires = "broker", value_name = "NAME")]
    broker_user: Option<String>,
    /// A file with the password, which only its owner may read; the systemd credential `broker-password` where none is named
    #[arg(long, requires = "broker_user", value_name = "FILE")]
    broker_password_file: Option<PathBuf>,
    /// Which version of MQTT is spoken
    #[arg(long, requires = "broker", value_enum, default_value = "3.1.1", value_name = "VERSION")]
    broker_mqtt: MqttVersion,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BrokerTls {
    System,
    File,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MqttVersion {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

impl Broker {
    /// What was set, if a broker was named.
    fn settings(self) -> Option<Settings> {
        // What a service is given besides: the folder is named by systemd.
        let credential = || {
            let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("broker-password");
            path.exists().then_some(path)
        };
        Some(Settings {
            address: self.broker?,
            protection: match self.broker_tls {
                BrokerTls::System => Protection::System,
                BrokerTls::File => Protection::File,
                BrokerTls::None => Protection::None,
            },
            ca: self.broker_ca,
            password_file: self.broker_password_file.or_else(|| self.broker_user.is_some().then(credential).flatten()),
            user: self.broker_user,
            version: match self.broker_mqtt {
                MqttVersion::V311 => Version::V3,
                MqttVersion::V5 => Version::V5,
            },
        })
    }
}

/// Print the coordinator's public key, which devices pin
///
/// The key is made if there is none yet.
#[derive(Debug, Args)]
struct Key {
    #[command(flatten)]
    data: Data,
}

#[derive(Debug, Args)]
struct Data {
    /// The data folder; it is made if there is none
    #[arg(long, env = "HEARTH_COORDINATOR_DATA", value_name = "DIR")]
    data: PathBuf,
}

fn main() -> ExitCode {
    let command = Command::parse();
    write_log(command.log);
    let done = match command.what {
        What::Serve(serve) => {
            arenas::limit();
            serve.run()
        }
        What::Key(key) => key.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            // Nobody can be told that nobody can be told.
            let _ = writeln!(io::stderr(), "{report:?}");
            ExitCode::FAILURE
        }
    }
}

impl Serve {
    fn run(self) -> miette::Result<()> {
        let options = Options {
            data: self.data.data,
            quic: self.quic,
            broker: self.broker.settings(),
            http: self.http,
            trusted: self.trust,
            trust_file: self.trust_file,
            allowance: Allowance {
                bytes: self.relay_quota,
                per_second: self.relay_rate,
                burst: self.relay_rate.saturating_mul(8),
            },
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().into_diagnostic()?;
        let served = runtime.block_on(serve_until_signalled(options));
        // A store that hangs does not keep the program from ending.
        runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        served
    }
}

async fn serve_until_signalled(options: Options) -> miette::Result<()> {
    let shutdown = CancellationToken::new();
    let (reload, reloads) = tokio::sync::mpsc::channel(1);
    let mut signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<io::Result<Vec<_>>>()
        .into_diagnostic()
        .wrap_err("cannot listen for signals")?;
    let ending = shutdown.clone();
    tokio::spawn(async move {
        let [terminate, interrupt, hangup] = &mut signals[..] else { return };
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                // One reload that waits is as good as many.
                _ = hangup.recv() => { let _ = reload.try_send(()); }
            }
        }
        ending.cancel();
    });
    serve(options, say_ready, reloads, shutdown).await.map_err(in_full)
}

impl Key {
    fn run(self) -> miette::Result<()> {
        let identity = folder::identity(&self.data.data).map_err(|error| in_full(error.into()))?;
        writeln!(io::stdout(), "{}", key_text(&identity.public())).into_diagnostic()
    }
}

/// Reads a size: a number and B, KiB, MiB, GiB or TiB.
fn bytes_from_text(text: &str) -> Result<u64, String> {
    let said = text.trim();
    let digits = said.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(said.len());
    let unit = match said[digits..].trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1_u64 << 40,
        _ => return Err("write a number and B, KiB, MiB, GiB or TiB, such as 50GiB".into()),
    };
    let number = said[..digits].parse::<u64>().ok().filter(|number| *number > 0);
    number.and_then(|number| number.checked_mul(unit)).ok_or_else(|| "the number is none, or too large".into())
}

/// For a person a few lines; for a program one line of JSON, after which everything listens.
fn say_ready(ready: &Ready) {
    let said = if io::stdout().is_terminal() {
        let Ready { key, quic, broker, http, trusted } = ready;
        let broker =
            broker.as_ref().map(|broker| format!("or come through:     {broker} (MQTT)\n")).unwrap_or_default();
        format!(
            "The fleet page:      {http}\nDevices connect to:  {quic} (UDP)\n{broker}and pin this key:    {key}\n\
             Trusted devices:     {trusted}\n"
        )
    } else {
        serde_json::to_string(ready).expect("addresses and a key are JSON") + "\n"
    };
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(said.as_bytes()).and_then(|()| out.flush()) {
        error!(%error, "cannot write to stdout; the addresses are in this log");
    }
}

/// The whole chain of causes, for people.
fn in_full(trouble: Trouble) -> miette::Report {
    Err::<(), _>(trouble).into_diagnostic().expect_err("it is an error")
}

fn write_log(form: Option<Log>) {
    let filter = EnvFilter::try_from_env("HEARTH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let is_terminal = io::stderr().is_terminal();
    match form.unwrap_or(if is_terminal { Log::Text } else { Log::Json }) {
        Log::Text => builder.with_ansi(is_terminal).init(),
        Log::Json => builder.json().init(),
    }
    // Panics of the store are caught and told as errors; here they only go to the log, in its form.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "a part of the program failed");
    }));
}
