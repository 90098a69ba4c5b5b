//! Values with a unit or a shape, each checked where it is read: a span of time, a size, an address, a key.
//!
//! A value of these types cannot be wrong later. Nothing here knows which setting it belongs to.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// Why a text is not such a value. It says how to write it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotSo(String);

/// Reads a value from a TOML string; a bare number is refused with the way to write it.
struct Written<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = NotSo>> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! written {
    ($name:ident, $pattern:expr, $about:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(Written(std::marker::PhantomData))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $about })
            }
        }
    };
}

/// A span of time, written with its unit: `500ms`, `60s`, `30m`, `2h`, `1d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(Duration);

written!(Span, "^[0-9]+(ms|s|m|h|d)$", "A span of time: a whole number and ms, s, m, h or d");

/// The longest span: ten thousand days. Longer ones are slips, and sums of moments must not overflow.
const SPAN_MAX: Duration = Duration::from_secs(10_000 * 86_400);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// In whole milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).expect("a span is at most ten thousand days")
    }
}

impl FromStr for Span {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        let text = text.trim();
        let (digits, unit) = number_and_unit(text);
        let Ok(number) = digits.parse::<u64>() else {
            return Err(NotSo(format!(
                "{} is not a span of time; write a whole number and a unit, such as 30m",
                quoted(text)
            )));
        };
        let (millis, written) = match unit.to_lowercase().as_str() {
            "ms" | "msec" | "millis" | "milliseconds" => (1, "ms"),
            "s" | "sec" | "secs" | "second" | "seconds" => (1_000, "s"),
            "m" | "min" | "mins" | "minute" | "minutes" => (60_000, "m"),
            "h" | "hr" | "hrs" | "hour" | "hours" => (3_600_000, "h"),
            "d" | "day" | "days" => (86_400_000, "d"),
            "w" | "week" | "weeks" => {
                return Err(NotSo(format!(
                    "{} is not a unit of time here; write {}d",
                    quoted(unit),
                    number.saturating_mul(7)
                )));
            }
            "" => {
                return Err(NotSo(format!("{number} has no unit; write {number}s, {number}m, {number}h or {number}d")));
            }
            _ => return Err(NotSo(format!("{} is not a unit of time; the units are ms, s, m, h and d", quoted(unit)))),
        };
        if text != format!("{digits}{written}") {
            return Err(NotSo(format!(
                "{} is not how a span of time is written; write {number}{written}",
                quoted(text)
            )));
        }
        let span = number.checked_mul(millis).map(Duration::from_millis).filter(|span| *span <= SPAN_MAX);
        span.map(Self).ok_or_else(|| NotSo(format!("{text} is too long; the longest span is 10000d")))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis();
        let (unit, size) = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
            .into_iter()
            .find(|(_, size)| millis >= *size && millis.is_multiple_of(*size))
            .unwrap_or(if millis == 0 { ("s", 1_000) } else { ("ms", 1) });
        write!(f, "{}{unit}", millis / size)
    }
}

/// A number of bytes, written with its unit: `900KB`, `50MB`, `64MiB`, `2GB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size(u64);

written!(
    Size,
    "^[0-9]+(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$",
    "A size: a whole number and B, KB, MB, GB, TB, KiB, MiB, GiB or TiB"
);

/// The units of [`Size`], largest first where two fit.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl Size {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// As a number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        let text = text.trim();
        let (digits, unit) = number_and_unit(text);
        let Ok(number) = digits.parse::<u64>() else {
            return Err(NotSo(format!(
                "{} is not a size; write a whole number and a unit, such as 50MB",
                quoted(text)
            )));
        };
        if unit.is_empty() {
            return Err(NotSo(format!("{number} has no unit; write {number}MB, {number}KB or {number}B")));
        }
        let known = |name: &str| SIZES.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name));
        let Some((written, size)) = known(unit).or_else(|| known(&format!("{unit}B"))) else {
            return Err(NotSo(format!(
                "{} is not a unit of size; the units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB",
                quoted(unit)
            )));
        };
        if text != format!("{digits}{written}") {
            return Err(NotSo(format!("{} is not how a size is written; write {number}{written}", quoted(text))));
        }
        number.checked_mul(*size).map(Self).ok_or_else(|| NotSo(format!("{text} is more than any file can have")))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |size: u64| self.0 >= size && self.0.is_multiple_of(size);
        let (unit, size) = SIZES.into_iter().find(|(_, size)| fits(*size)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

/// An address on this machine only, such as `127.0.0.1:7842`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loopback(SocketAddr);

written!(Loopback, r"^(127\.[0-9.]+|\[::1\]):[0-9]{1,5}$", "A loopback address and a port");

impl Loopback {
    /// The page's usual address.
    pub const PAGE: Self = Self(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7842));

    /// As the standard library's type.
    pub const fn socket(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Loopback {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address: SocketAddr = named.as_deref().unwrap_or(text).parse().map_err(|_| {
            NotSo(format!("{} is not an address and a port; write for example 127.0.0.1:7842", quoted(text)))
        })?;
        if !address.ip().is_loopback() {
            return Err(NotSo(format!(
                "{} can be reached from other machines; the page is for this machine alone, so write 127.0.0.1:{} or [::1]:{}",
                address,
                address.port(),
                address.port()
            )));
        }
        Ok(Self(address))
    }
}

impl fmt::Display for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The packs of numbers that are hidden: those of some countries, or of the one where this machine is at home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packs {
    /// That of the country which the locale names.
    Locale,
    /// These.
    These(hearth_text::Packs),
}

written!(Packs, "^[a-z]+( *, *[a-z]+)*$", "locale, all, none, or codes of countries with commas between them");

impl Packs {
    /// The packs themselves, on this machine.
    pub fn on_this_machine(self) -> hearth_text::Packs {
        match self {
            Self::Locale => crate::locale::of_machine()
                .map_or(hearth_text::Packs::NONE, |locale| hearth_text::Packs::of_locale(&locale)),
            Self::These(packs) => packs,
        }
    }
}

impl FromStr for Packs {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        if text == "locale" {
            return Ok(Self::Locale);
        }
        text.parse().map(Self::These).map_err(|wrong: hearth_text::NoPack| {
            NotSo(format!("{wrong}; or locale alone, for the country where this machine is at home"))
        })
    }
}

impl fmt::Display for Packs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locale => f.write_str("locale"),
            Self::These(packs) => packs.fmt(f),
        }
    }
}

/// An address of this machine and a port, such as `0.0.0.0:7845`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen(SocketAddr);

written!(Listen, r"^([0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$", "An address of this machine and a port");

impl Listen {
    /// Where nodes of a fleet usually listen: on every address.
    pub const FLEET: Self = Self(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 7845));

    /// As the standard library's type.
    pub const fn socket(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Listen {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        text.parse().map(Self).map_err(|_| {
            NotSo(format!(
                "{} is not an address and a port; write 0.0.0.0:7845 for every address, or one of this machine's",
                quoted(text)
            ))
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A host and a port, such as `nas.local:7843`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    host: String,
    port: u16,
}

written!(HostPort, r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$", "A host and a port");

impl HostPort {
    /// The host: a name or an address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        let wrong = || NotSo(format!("{} is not a host and a port; write for example nas.local:7843", quoted(text)));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if !named && bracketed.is_none_or(|ip| ip.parse::<std::net::Ipv6Addr>().is_err()) {
            return Err(wrong());
        }
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A name by which somebody else knows this node: 1 to 256 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserName(String);

written!(UserName, "^.{1,256}$", "A user name");

impl UserName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        let fits = (1..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotSo("a user name has 1 to 256 characters, none of them a control character".into()))
        }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 32 bytes as 64 hexadecimal digits: a public key or a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hex32([u8; 32]);

written!(Hex32, "^[0-9a-f]{64}$", "64 hexadecimal digits, lower case");

impl Hex32 {
    /// The 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Hex32 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Hex32 {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(|| {
            NotSo(format!(
                "{} is not 64 hexadecimal digits; copy the whole of it",
                quoted(&text.chars().take(70).collect::<String>())
            ))
        })
    }
}

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A path that does not depend on where the program was started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AbsolutePath(PathBuf);

written!(AbsolutePath, "^/", "An absolute path");

impl AbsolutePath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for AbsolutePath {
    type Err = NotSo;

    fn from_str(text: &str) -> Result<Self, NotSo> {
        let path = PathBuf::from(text);
        if path.is_absolute() {
            Ok(Self(path))
        } else {
            Err(NotSo(format!("{} is not an absolute path; begin it with /", quoted(text))))
        }
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// How many threads; from 1 to 1024.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Threads(#[schemars(range(min = 1, max = 1024))] u16);

impl Threads {
    /// As a number.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<i64> for Threads {
    type Error = NotSo;

    fn try_from(number: i64) -> Result<Self, NotSo> {
        match u16::try_from(number) {
            Ok(threads @ 1..=1024) => Ok(Self(threads)),
            _ => Err(NotSo(format!("{number} is not a number of threads; write a number from 1 to 1024"))),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        i64::deserialize(from)?.try_into().map_err(de::Error::custom)
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `60 sec` is `60` and `sec`.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_span_is_written_in_one_way_and_every_other_way_is_told_how() {
        for (case, text, expected) in [
            ("milliseconds", "500ms", Ok(500)),
            ("seconds", "60s", Ok(60_000)),
            ("minutes", "30m", Ok(1_800_000)),
            ("hours", "2h", Ok(7_200_000)),
            ("days", "1d", Ok(86_400_000)),
            ("nothing at all", "0s", Ok(0)),
            ("a word for the unit", "60 sec", Err("write 60s")),
            ("minutes in full", "5minutes", Err("write 5m")),
            ("a capital", "5M", Err("write 5m")),
            ("no unit", "60", Err("write 60s, 60m, 60h or 60d")),
            ("weeks", "2w", Err("write 14d")),
            ("an unknown unit", "3 moons", Err("the units are ms, s, m, h and d")),
            ("a fraction", "1.5h", Err("the units are")),
            ("a sign", "-5s", Err("write a whole number and a unit")),
            ("nothing", "", Err("write a whole number and a unit")),
            ("too long", "99999999999d", Err("the longest span")),
            ("far too long", "99999999999999999999s", Err("write a whole number")),
        ] {
            let got = text.parse::<Span>();
            match expected {
                Ok(millis) => assert_eq!(got.map(Span::millis), Ok(millis), "{case}"),
                Err(part) => {
                    let said = got.expect_err(case).to_string();
                    assert!(said.contains(part), "{case}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_size_is_written_in_one_way_and_every_other_way_is_told_how() {
        for (case, text, expected) in [
            ("bytes", "7B", Ok(7)),
            ("decimal", "50MB", Ok(50_000_000)),
            ("binary", "64MiB", Ok(64 << 20)),
            ("small letters", "50mb", Err("write 50MB")),
            ("a space", "50 MB", Err("write 50MB")),
            ("one letter", "50M", Err("write 50MB")),
            ("no unit", "50", Err("write 50MB")),
            ("an unknown unit", "5 stones", Err("the units are")),
            ("no number", "MB", Err("such as 50MB")),
            ("too large", "99999999TiB", Err("more than any file")),
        ] {
            let got = text.parse::<Size>();
            match expected {
                Ok(bytes) => assert_eq!(got.map(Size::get), Ok(bytes), "{case}"),
                Err(part) => {
                    let said = got.expect_err(case).to_string();
                    assert!(said.contains(part), "{case}: {said}");
                }
            }
        }
    }

    #[test]
    fn the_page_is_for_this_machine_alone() {
        for (case, text, expected) in [
            ("the usual one", "127.0.0.1:7842", Ok("127.0.0.1:7842")),
            ("by name", "localhost:80", Ok("127.0.0.1:80")),
            ("version six", "[::1]:7842", Ok("[::1]:7842")),
            ("any port", "127.0.0.1:0", Ok("127.0.0.1:0")),
            ("every address", "0.0.0.0:7842", Err("reached from other machines")),
            ("the network's", "192.168.1.5:7842", Err("write 127.0.0.1:7842")),
            ("no port", "127.0.0.1", Err("an address and a port")),
        ] {
            match (text.parse::<Loopback>(), expected) {
                (Ok(address), Ok(shown)) => assert_eq!(address.to_string(), shown, "{case}"),
                (Err(said), Err(part)) => assert!(said.to_string().contains(part), "{case}: {said}"),
                (got, _) => panic!("{case}: {got:?}"),
            }
        }
    }

    #[test]
    fn hosts_keys_and_paths_are_checked() {
        assert_eq!(
            "nas.local:7843".parse::<HostPort>().map(|to| (to.host().to_owned(), to.port())),
            Ok(("nas.local".into(), 7843))
        );
        assert_eq!("[fe80::1]:9".parse::<HostPort>().map(|to| to.host().to_owned()), Ok("fe80::1".into()));
        for wrong in ["nas", "nas:0", "nas:99999", ":1", "a b:1", "fe80::1:9", "[nas]:1"] {
            assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
        }
        assert!("ab".repeat(32).parse::<Hex32>().is_ok());
        assert!("ab".repeat(31).parse::<Hex32>().is_err());
        assert!("lib/onnx.so".parse::<AbsolutePath>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_itself(millis in 0_u64..864_000_000_000, bytes in any::<u64>()) {
            let span = Span(Duration::from_millis(millis));
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
            let size = Size(bytes);
            prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,12}") {
            let _ = (text.parse::<Span>(), text.parse::<Size>(), text.parse::<Loopback>(), text.parse::<HostPort>(), text.parse::<Hex32>());
        }
    }
}
