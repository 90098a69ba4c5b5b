//! What the owner set, checked once, where it stands.
//!
//! Layers, each stronger than the one before: built-in values, `/etc/hearth/hearth.toml` and `conf.d`, the user's
//! `hearth/hearth.toml` and `conf.d`, `HEARTH_<SECTION>_<KEY>` in the environment, flags. [`load`] reads them all and says every
//! mistake with its line; it changes nothing and watches nothing. After it, the types are the proof.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

mod mistake;
mod units;

pub use mistake::{Mistake, Mistakes};
pub use units::{AbsolutePath, Hex32, HostPort, Listen, Loopback, NotSo, Packs, Size, Span, Threads, UserName};

macro_rules! settings {
    ($($(#[doc = $about_section:literal])+ $section:ident: $Section:ident {
        $($(#[doc = $about:literal])+ $key:ident: $type:ty = $default:expr, shown $shape:literal;)+
    })+) => {
        /// Every setting.
        #[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct Config {
            $($(#[doc = $about_section])+ pub $section: $Section,)+
        }

        $(
            $(#[doc = $about_section])+
            #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
            pub struct $Section {
                $($(#[doc = $about])+ #[serde(skip_serializing_if = "unset")] pub $key: $type,)+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)+ }
                }
            }
        )+

        impl Config {
            /// Sets one setting; says whether there is one of that name.
            fn set<'de, D: Deserializer<'de>>(&mut self, section: &str, key: &str, value: D) -> Result<bool, D::Error> {
                $($(
                    if section == stringify!($section) && is_key(key, stringify!($key)) {
                        self.$section.$key = Deserialize::deserialize(value)?;
                        return Ok(true);
                    }
                )+)+
                Ok(false)
            }

            /// Every setting with its value as TOML has it; `None` when it is not set.
            fn values(&self) -> Vec<Option<String>> {
                vec![$($(written(&self.$section.$key),)+)+]
            }
        }

        /// Every setting there is, in the order of the reference.
        pub fn settings() -> Vec<Setting> {
            let values = Config::default().values();
            let mut rows = Vec::new();
            $({
                let about_section = concat!($($about_section),+);
                $(rows.push((stringify!($section), stringify!($key), concat!($($about),+), $shape, about_section));)+
            })+
            rows.into_iter()
                .zip(values)
                .map(|((section, key, about, shape, about_section), default)| Setting {
                    section,
                    key: key.replace('_', "-"),
                    about: about.trim(),
                    about_section: about_section.trim(),
                    shape,
                    default,
                })
                .collect()
        }
    };
}

settings! {
    /// What is read from this machine, and how carefully.
    capture: Capture {
        /// How long a file must have been quiet before it is read.
        settle: Span = Span::seconds(2), shown "span";
        /// Larger files are left alone.
        max_file_size: Size = Size::bytes(50_000_000), shown "size";
        /// The longest that reading one file may take.
        read_timeout: Span = Span::seconds(60), shown "span";
        /// How often everything is looked over again, in case a change went unseen.
        scan_every: Span = Span::seconds(3600), shown "span";
    }
    /// What is hidden besides passwords, keys and tokens, which always are.
    redaction: Redaction {
        /// Hide e-mail addresses, phone numbers, cards, bank accounts, social security numbers and wallets.
        personal: bool = true, shown "true or false";
        /// Which network addresses are hidden.
        ip: IpPolicy = IpPolicy::Public, shown "none, public or every";
        /// Whose national identity, tax, health and vehicle numbers are hidden: locale is the country where this machine is at home, general hides dates, coordinates and links.
        packs: Packs = Packs::Locale, shown "locale, all, none, or countries: de,fr,general";
    }
    /// How vectors are made.
    embed: Embed {
        /// What computes them.
        backend: Backend = Backend::Auto, shown "auto, tract or ort";
        /// An ONNX Runtime library for the backend `ort`.
        onnxruntime: Option<AbsolutePath> = None, shown "absolute path";
        /// How many threads embed; as many as fit the machine, when not set.
        threads: Option<Threads> = None, shown "1 to 1024";
        /// Another model file in place of the built-in one.
        model: Option<AbsolutePath> = None, shown "absolute path";
        /// The SHA-256 of that model file; it is refused when altered.
        model_sha256: Option<Hex32> = None, shown "64 hexadecimal digits";
    }
    /// The search page.
    page: Page {
        /// Where it listens: an address of this machine alone.
        listen: Loopback = Loopback::PAGE, shown "loopback address and port";
    }
    /// The coordinator this node reports to.
    coordinator: Coordinator {
        /// Where it is; nothing is reported when not set.
        address: Option<HostPort> = None, shown "host and port";
        /// Its public key, by which it is recognised.
        key: Option<Hex32> = None, shown "64 hexadecimal digits";
        /// How often this node reports.
        report_every: Span = Span::seconds(60), shown "span";
    }
    /// The other nodes of this node's fleet; nothing listens while it is in none.
    fleet: Fleet {
        /// Where this node listens for the others (UDP).
        listen: Listen = Listen::FLEET, shown "address and port";
        /// Find the others on the local network, and be found there (mDNS; no names are shown).
        lan: bool = true, shown "true or false";
    }
    /// An MQTT broker by which nodes, relays and the coordinator are reached where nothing else leads there. It sees sizes and times, nothing else.
    broker: Broker {
        /// Where it is; none is used when not set.
        address: Option<HostPort> = None, shown "host and port";
        /// How the way to it is protected; `none` only where nobody else is on the network.
        tls: BrokerTls = BrokerTls::System, shown "system, file or none";
        /// The certificates (PEM) by which it is recognised, when `tls` is `file`.
        ca: Option<AbsolutePath> = None, shown "absolute path";
        /// Who this node is to it.
        user: Option<UserName> = None, shown "user name";
        /// A file with the password, which only its owner may read.
        password_file: Option<AbsolutePath> = None, shown "absolute path";
        /// Which version of MQTT is spoken.
        mqtt: MqttVersion = MqttVersion::V311, shown "3.1.1 or 5";
    }
    /// The log of the daemon, on standard error. It never holds text, names or queries.
    log: Log {
        /// How much is said.
        level: Level = Level::Info, shown "error, warn, info, debug or trace";
        /// How it is written; `auto` is text on a terminal and JSON lines elsewhere.
        format: LogFormat = LogFormat::Auto, shown "auto, text or json";
    }
}

/// Which network addresses are hidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IpPolicy {
    /// None of them.
    None,
    /// Those that the internet knows; private and loopback ones stay.
    Public,
    /// All of them, hardware addresses too.
    Every,
}

/// What computes vectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// ONNX Runtime when a library is named, else tract.
    Auto,
    /// The built-in engine.
    Tract,
    /// ONNX Runtime.
    Ort,
}

/// How the way to a broker is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BrokerTls {
    /// TLS, with the certificates that the system trusts.
    System,
    /// TLS, with the certificates in a file.
    File,
    /// Nothing; user name and password can be read on the way.
    None,
}

/// Which version of MQTT is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum MqttVersion {
    /// What every broker speaks.
    #[serde(rename = "3.1.1")]
    V311,
    /// The newer one.
    #[serde(rename = "5")]
    V5,
}

/// How much the log says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// What went wrong.
    Error,
    /// What may go wrong, too.
    Warn,
    /// What happened, too.
    Info,
    /// How it happened, too.
    Debug,
    /// Everything.
    Trace,
}

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON lines elsewhere.
    Auto,
    /// Text.
    Text,
    /// JSON lines.
    Json,
}

/// One setting, for the reference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its section.
    pub section: &'static str,
    /// Its key in the section.
    pub key: String,
    /// What it is for.
    pub about: &'static str,
    /// What its section is for.
    pub about_section: &'static str,
    /// What may be written.
    pub shape: &'static str,
    /// The built-in value as TOML has it; not set, when absent.
    pub default: Option<String>,
}

impl Setting {
    /// `section.key`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("HEARTH_{}_{}", self.section, self.key.replace('-', "_")).to_uppercase()
    }
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It is built in.
    Default,
    /// It stands in this file, in this line.
    File(PathBuf, usize),
    /// It is in this environment variable.
    Environment(String),
    /// It was given by this flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A setting given by a flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flag {
    /// The flag, such as `--listen`.
    pub flag: &'static str,
    /// The setting, such as `page.listen`.
    pub setting: &'static str,
    /// What was given.
    pub value: String,
}

/// Where settings are looked for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The folder of the whole machine, `/etc/hearth`.
    pub system: Option<PathBuf>,
    /// The folder of the user, `$XDG_CONFIG_HOME/hearth`.
    pub user: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Flags.
    pub flags: Vec<Flag>,
}

/// Settings, each with its origin.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loaded {
    /// The settings in force.
    pub config: Config,
    /// The files that were read, weakest first.
    pub files: Vec<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Every setting with its value as TOML has it (`None` when not set) and where that comes from.
    pub fn rows(&self) -> Vec<(Setting, Option<String>, Origin)> {
        let values = self.config.values();
        let origin = |setting: &Setting| self.origins.get(&setting.name()).cloned().unwrap_or(Origin::Default);
        settings()
            .into_iter()
            .zip(values)
            .map(|(setting, value)| {
                let origin = origin(&setting);
                (setting, value, origin)
            })
            .collect()
    }
}

/// No sensible configuration is larger.
const FILE_MAX: u64 = 1 << 20;

/// Reads all layers.
///
/// # Errors
/// Every mistake that was found, each with its place.
pub fn load(places: &Places) -> Result<Loaded, Mistakes> {
    let mut loaded = Loaded::default();
    let mut mistakes = Vec::new();
    for folder in places.system.iter().chain(&places.user) {
        for path in files(folder, &mut mistakes) {
            read_file(&path, &mut loaded, &mut mistakes);
        }
    }
    for setting in settings() {
        if let Some(text) = places.environment.get(&setting.variable()) {
            let origin = Origin::Environment(setting.variable());
            set_text(&mut loaded, &setting, text, &origin, &mut mistakes);
        }
    }
    unknown_variables(&places.environment, &mut mistakes);
    for flag in &places.flags {
        let setting = settings().into_iter().find(|setting| setting.name() == flag.setting);
        let setting = setting.expect("a flag names a setting of the table");
        set_text(&mut loaded, &setting, &flag.value, &Origin::Flag(flag.flag), &mut mistakes);
    }
    if mistakes.is_empty() {
        together(&loaded, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(loaded) } else { Err(Mistakes(mistakes)) }
}

/// The JSON Schema of a configuration file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Config)
}

/// The table of `docs/configuration.md`, made from the types.
pub fn reference() -> String {
    let mut out = String::new();
    let mut section = "";
    for setting in settings() {
        if setting.section != section {
            section = setting.section;
            out += &format!("\n## [{section}]\n\n{}\n\n", setting.about_section);
            out += "| key | what may be written | default | what it is for | variable |\n|---|---|---|---|---|\n";
        }
        let default = setting.default.as_ref().map_or("not set".to_owned(), |value| format!("`{value}`"));
        let (key, variable) = (&setting.key, setting.variable());
        out += &format!("| `{key}` | {} | {default} | {} | `{variable}` |\n", setting.shape, setting.about);
    }
    out
}

/// `hearth.toml`, then `conf.d/*.toml` by name. Files that are not there are not missed.
fn files(folder: &Path, mistakes: &mut Vec<Mistake>) -> Vec<PathBuf> {
    let mut found = vec![folder.join("hearth.toml")];
    let parts = folder.join("conf.d");
    match fs::read_dir(&parts) {
        Ok(entries) => {
            let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
            paths.sort();
            found.extend(paths);
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(error) => mistakes.push(Mistake::plain(format!("cannot look into {}: {error}", parts.display()))),
    }
    found
}

fn read_file(path: &Path, loaded: &mut Loaded, mistakes: &mut Vec<Mistake>) {
    let text = match read_text(path) {
        Ok(Some(text)) => text,
        Ok(None) => return,
        Err(error) => {
            mistakes.push(Mistake::plain(format!("cannot read {}: {error}", path.display())));
            return;
        }
    };
    loaded.files.push(path.to_owned());
    let table = match DeTable::parse(&text) {
        Ok(table) => table,
        Err(error) => {
            let said = error.message().to_owned();
            mistakes.push(Mistake::at(path, &text, error.span().unwrap_or(0..0), said, None));
            return;
        }
    };
    for (section, value) in table.into_inner() {
        read_section(path, &text, &section, value, loaded, mistakes);
    }
}

fn read_text(path: &Path) -> io::Result<Option<String>> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file; put a file there, or take it away"));
    }
    if meta.len() > FILE_MAX {
        return Err(io::Error::other("it is larger than 1 MiB, so it is no configuration"));
    }
    let text = fs::read(path)?;
    String::from_utf8(text).map(Some).map_err(|_| io::Error::other("it is not UTF-8; save it as UTF-8"))
}

fn read_section(
    path: &Path,
    text: &str,
    section: &Spanned<std::borrow::Cow<'_, str>>,
    value: Spanned<DeValue<'_>>,
    loaded: &mut Loaded,
    mistakes: &mut Vec<Mistake>,
) {
    let known = settings();
    let name = section.get_ref().as_ref();
    if !known.iter().any(|setting| setting.section == name) {
        let mut sections: Vec<_> = known.iter().map(|setting| setting.section).collect();
        sections.dedup();
        // `settle = "2s"` above the first section.
        let help = match known.iter().find(|setting| is_key(name, &setting.key.replace('-', "_"))) {
            Some(setting) => format!("`{}` belongs below [{}]", setting.key, setting.section),
            None => suggestion(name, &sections).map_or_else(
                || format!("the sections are {}", sections.join(", ")),
                |near| format!("did you mean [{near}]?"),
            ),
        };
        mistakes.push(Mistake::at(path, text, section.span(), format!("there is no section `{name}`"), Some(help)));
        return;
    }
    let span = value.span();
    let DeValue::Table(table) = value.into_inner() else {
        let help = Some(format!("write [{name}] on a line of its own and the settings below it"));
        mistakes.push(Mistake::at(path, text, span, format!("`{name}` is a section, not a value"), help));
        return;
    };
    for (key, value) in table {
        let (key_span, key, span) = (key.span(), key.get_ref().to_string(), value.span());
        match loaded.config.set(name, &key, value.into_deserializer()) {
            Ok(true) => {
                let line = text[..key_span.start].matches('\n').count() + 1;
                loaded.origins.insert(format!("{name}.{key}"), Origin::File(path.to_owned(), line));
            }
            Ok(false) => {
                let help = unknown_key(name, &key);
                mistakes.push(Mistake::at(
                    path,
                    text,
                    key_span,
                    format!("there is no setting `{name}.{key}`"),
                    Some(help),
                ));
            }
            Err(error) => {
                let said = format!("cannot use `{name}.{key}`: {}", error.message());
                mistakes.push(Mistake::at(path, text, span, said, None));
            }
        }
    }
}

/// A value given as text: a string if the setting takes one, else what TOML makes of it.
fn set_text(loaded: &mut Loaded, setting: &Setting, text: &str, origin: &Origin, mistakes: &mut Vec<Mistake>) {
    let mut set = |value: DeValue<'_>| {
        loaded.config.set(setting.section, &setting.key, Spanned::new(0..0, value).into_deserializer())
    };
    let outcome = match set(DeValue::String(text.into())) {
        Ok(_) => Ok(()),
        Err(error) => match DeValue::parse(text.trim()) {
            Ok(value) if !matches!(value.get_ref(), DeValue::String(_)) => set(value.into_inner()).map(|_| ()),
            _ => Err(error),
        },
    };
    match outcome {
        Ok(()) => {
            loaded.origins.insert(setting.name(), origin.clone());
        }
        Err(error) => mistakes.push(Mistake::plain(format!("cannot use {origin}: {}", error.message()))),
    }
}

/// `HEARTH_CAPTURE_SETLE` is a slip; other programs' `HEARTH_…` variables are none of our business.
fn unknown_variables(environment: &BTreeMap<String, String>, mistakes: &mut Vec<Mistake>) {
    let known = settings();
    let variables: Vec<String> = known.iter().map(Setting::variable).collect();
    for name in environment.keys().filter(|name| !variables.contains(name)) {
        let ours = known.iter().any(|setting| name.starts_with(&format!("HEARTH_{}_", setting.section.to_uppercase())));
        if ours {
            let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
            let help = suggestion(name, &variables).map_or_else(
                || "`hearth config show` lists every setting".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            mistakes.push(Mistake::plain(format!("there is no setting for ${name}")).helped(help));
        }
    }
}

/// What must hold between settings.
fn together(loaded: &Loaded, mistakes: &mut Vec<Mistake>) {
    let config = &loaded.config;
    let origin = |name: &str| loaded.origins.get(name).cloned().unwrap_or(Origin::Default);
    let mut lacks = |set: &str, lacking: &str, why: &str| {
        let said = format!("`{set}` is set ({}) and `{lacking}` is not", origin(set));
        mistakes.push(Mistake::plain(said).helped(why.to_owned()));
    };
    if config.embed.model.is_some() && config.embed.model_sha256.is_none() {
        lacks(
            "embed.model",
            "embed.model-sha256",
            "write what `sha256sum` says of the model file, so that an altered one is refused",
        );
    }
    if config.embed.model.is_none() && config.embed.model_sha256.is_some() {
        lacks(
            "embed.model-sha256",
            "embed.model",
            "name the model file, or take the SHA-256 out to use the built-in model",
        );
    }
    if config.embed.backend == Backend::Ort && config.embed.onnxruntime.is_none() {
        lacks(
            "embed.backend",
            "embed.onnxruntime",
            "name the ONNX Runtime library by its absolute path, or write backend = \"auto\"",
        );
    }
    if config.coordinator.address.is_some() && config.coordinator.key.is_none() {
        lacks(
            "coordinator.address",
            "coordinator.key",
            "write the key that the coordinator shows when it starts; without it nobody could tell it from an impostor",
        );
    }
}

fn unknown_key(section: &str, key: &str) -> String {
    let known = settings();
    let keys: Vec<&str> = known.iter().filter(|s| s.section == section).map(|s| s.key.as_str()).collect();
    if let Some(near) = suggestion(key, &keys) {
        return format!("did you mean `{near}`?");
    }
    match known.iter().find(|setting| setting.key == key) {
        Some(setting) => format!("`{key}` belongs below [{}]", setting.section),
        None => format!("the settings of [{section}] are {}", keys.join(", ")),
    }
}

/// The known name that was most likely meant.
fn suggestion<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase().replace('_', "-");
    let distance = |name: &str| edits(&given, &name.to_lowercase().replace('_', "-"));
    let near = known.iter().map(|name| (distance(name), *name)).min()?;
    (near.0 <= 1 + given.chars().count() / 4).then_some(near.1)
}

/// How many letters must be put in, taken out, changed or swapped with their neighbour to make one of the other.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(80).collect(), b.chars().take(80).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Whether `given`, in kebab case, is the field `key`.
fn is_key(given: &str, key: &str) -> bool {
    given.len() == key.len()
        && given.bytes().zip(key.bytes()).all(|(a, b)| a == b && a != b'_' || (a, b) == (b'-', b'_'))
}

/// Whether there is nothing to write, so that a written configuration can be read back.
fn unset<T: Serialize>(value: &T) -> bool {
    written(value).is_none()
}

/// A value as TOML has it. Strings, numbers and truth values are written alike in JSON.
fn written<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value).expect("settings are strings, numbers and truth values") {
        serde_json::Value::Null => None,
        value => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests;
