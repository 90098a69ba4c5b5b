//! What a device says about itself, and how the coordinator answers.
//!
//! A [`StatusReport`] is health and counts: the only words in it are [`Label`]s, which cannot hold a path and cannot be long, and every
//! list has a length it never exceeds. Captured text, titles, file paths and user names have no field here and never get one.

use std::{fmt, ops::Deref};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};

use crate::Moment;

/// The version of [`Letter`] that this program writes, and the newest that it reads.
pub const VERSION: u16 = 1;

/// The longest letter, encoded. The greatest report that its own bounds allow stays below it, as a test shows.
pub const LETTER_MAX: usize = 8 * 1024;

/// Why bytes are not a letter between a device and the coordinator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotALetter {
    /// More bytes than any letter has.
    #[error("the message has {0} bytes, more than the {LETTER_MAX} that a letter may have")]
    TooLong(usize),
    /// The other side speaks a later version of this format.
    #[error("the message is of version {0}, and this program reads up to version {VERSION}; update it")]
    Newer(u16),
    /// The bytes are something else.
    #[error("the message is not a letter of hearth: {0}")]
    Malformed(String),
}

/// One message on the status stream.
#[derive(Clone, PartialEq, Debug)]
pub enum Letter {
    /// From the device: how it is.
    Report(Box<StatusReport>),
    /// From the coordinator: a report was written down, and may be forgotten by its sender.
    Receipt(Receipt),
}

/// How one device is, at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct StatusReport {
    /// What its owner calls the machine (its host name); never part of its identity.
    #[n(0)]
    pub name: Option<Label>,
    /// The operating system and its version.
    #[n(1)]
    pub os: Label,
    /// The kernel's version, where there is one.
    #[n(2)]
    pub kernel: Option<Label>,
    /// The version of the agent that speaks.
    #[n(3)]
    pub agent_version: Label,
    /// Seconds since the machine was started.
    #[n(4)]
    pub uptime_seconds: u64,
    /// Names this boot of the machine: it changes with each start, so that an order for the last one is not obeyed.
    #[n(5)]
    pub boot: BootId,
    /// Runnable tasks over the last 1, 5 and 15 minutes.
    #[n(6)]
    pub load_average: [Finite; 3],
    /// The processor.
    #[n(7)]
    pub cpu: Cpu,
    /// The working memory.
    #[n(8)]
    pub memory: Memory,
    /// The storage, in the order in which the system lists it. Where it is mounted is a path and stays on the device.
    #[n(9)]
    pub disks: Few<Disk, DISKS_MAX>,
    /// What the sensors say.
    #[n(10)]
    pub temperatures: Few<Temperature, TEMPERATURES_MAX>,
    /// How much the device holds and how much it still has to do.
    #[n(11)]
    pub counters: Counters,
    /// Whether it captures.
    #[n(12)]
    pub capture: Capture,
    /// When the device made this report, by its own clock.
    #[n(13)]
    pub sent_at: Moment,
    /// Seconds until it means to report again: what "late" is measured by.
    #[n(14)]
    pub report_every_seconds: u32,
}

/// More disks than this are not reported.
pub const DISKS_MAX: usize = 16;

/// More sensors than this are not reported.
pub const TEMPERATURES_MAX: usize = 32;

/// The processor of a device.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, Encode, Decode)]
#[cbor(map)]
pub struct Cpu {
    /// Logical processors.
    #[n(0)]
    pub cores: u16,
    /// How busy all of them were since the last report, from 0 to 100; absent until it was measured.
    #[n(1)]
    pub used_percent: Option<Finite>,
}

/// The working memory of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Encode, Decode)]
#[cbor(map)]
pub struct Memory {
    /// All of it.
    #[n(0)]
    pub total_bytes: u64,
    /// What could not be given to a new program.
    #[n(1)]
    pub used_bytes: u64,
}

/// One file system of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Encode, Decode)]
#[cbor(map)]
pub struct Disk {
    /// What it is made of.
    #[n(0)]
    pub kind: DiskKind,
    /// Whether it can be pulled out.
    #[n(1)]
    pub removable: bool,
    /// All of it.
    #[n(2)]
    pub total_bytes: u64,
    /// What is left to write on.
    #[n(3)]
    pub free_bytes: u64,
}

/// What a disk is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum DiskKind {
    /// Turning platters.
    #[n(0)]
    Hdd,
    /// Flash.
    #[n(1)]
    Ssd,
    /// The system does not say.
    #[n(2)]
    Unknown,
}

/// What one sensor says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, Encode, Decode)]
#[cbor(map)]
pub struct Temperature {
    /// What the system calls the sensor.
    #[n(0)]
    pub label: Label,
    /// Degrees Celsius.
    #[n(1)]
    pub celsius: Finite,
}

/// How much a device holds and how much it still has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, Encode, Decode)]
#[cbor(map)]
pub struct Counters {
    /// Things captured and not forgotten.
    #[n(0)]
    pub items: u64,
    /// Passages that can be found.
    #[n(1)]
    pub chunks: u64,
    /// Pieces of work that wait.
    #[n(2)]
    pub jobs_pending: u64,
}

/// Whether a device captures, over all of its sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Capture {
    /// At least one session is open.
    #[n(0)]
    Open,
    /// The owner paused it for a while.
    #[n(1)]
    Paused,
    /// The owner is private: nothing is captured until told otherwise.
    #[n(2)]
    Private,
    /// No session is open.
    #[n(3)]
    Idle,
}

/// The coordinator's word that a report is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// [`StatusReport::sent_at`] of the report that is meant.
    #[n(0)]
    pub sent_at: Moment,
    /// When it was kept, by the coordinator's clock.
    #[n(1)]
    pub kept_at: Moment,
}

impl Letter {
    /// The letter as bytes: its version, its kind, its body. The same letter is always the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let mut encoder = Encoder::new(&mut bytes);
        let written = encoder.array(3).and_then(|encoder| encoder.u16(VERSION)).and_then(|encoder| match self {
            Self::Report(report) => encoder.u8(0)?.encode(report.as_ref()),
            Self::Receipt(receipt) => encoder.u8(1)?.encode(receipt),
        });
        written.expect("a vector takes whatever is written to it");
        bytes
    }

    /// Reads a letter that came from elsewhere; anything but one whole letter is turned away.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotALetter> {
        if bytes.len() > LETTER_MAX {
            return Err(NotALetter::TooLong(bytes.len()));
        }
        let mut decoder = Decoder::new(bytes);
        let malformed = |error: decode::Error| NotALetter::Malformed(error.to_string());
        if decoder.array().map_err(malformed)? != Some(3) {
            return Err(NotALetter::Malformed("it is not a version, a kind and a body".into()));
        }
        match decoder.u16().map_err(malformed)? {
            0 => return Err(NotALetter::Malformed("there is no version 0".into())),
            version if version > VERSION => return Err(NotALetter::Newer(version)),
            _ => {}
        }
        let letter = match decoder.u8().map_err(malformed)? {
            0 => Self::Report(Box::new(decoder.decode().map_err(malformed)?)),
            1 => Self::Receipt(decoder.decode().map_err(malformed)?),
            kind => return Err(NotALetter::Malformed(format!("there is no kind {kind}"))),
        };
        match decoder.position() == bytes.len() {
            true => Ok(letter),
            false => Err(NotALetter::Malformed("something follows it".into())),
        }
    }
}

/// A few words that name a thing: at most [`Label::BYTES_MAX`] bytes on one line, and never a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode)]
#[serde(try_from = "String")]
#[cbor(transparent)]
pub struct Label(#[n(0)] String);

/// Why a text is not a [`Label`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a label is one line of 1 to {} bytes without `/` and `\\`", Label::BYTES_MAX)]
pub struct NotALabel;

impl Label {
    /// The most bytes a label has.
    pub const BYTES_MAX: usize = 64;

    /// Makes a label of whatever the system gave: unfit characters become spaces, runs of spaces one, and the rest is cut off.
    ///
    /// `None` when nothing readable is left.
    pub fn cut(text: &str) -> Option<Self> {
        let mut kept = String::new();
        let clean = text.chars().map(|c| if fits(c) { c } else { ' ' }).collect::<String>();
        for word in clean.split(' ').filter(|word| !word.is_empty()) {
            if !kept.is_empty() {
                kept.push(' ');
            }
            kept.push_str(word);
        }
        let end = (0..=kept.len().min(Self::BYTES_MAX)).rev().find(|&end| kept.is_char_boundary(end)).unwrap_or(0);
        kept.truncate(end);
        let kept = kept.trim_end();
        (!kept.is_empty()).then(|| Self(kept.to_owned()))
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Separators of paths, control characters, and the invisible ones that turn a line around.
fn fits(c: char) -> bool {
    !(c == '/'
        || c == '\\'
        || c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'))
}

impl TryFrom<String> for Label {
    type Error = NotALabel;
    fn try_from(text: String) -> Result<Self, NotALabel> {
        let whole = !text.is_empty() && text.len() <= Self::BYTES_MAX && text.chars().all(fits);
        if whole { Ok(Self(text)) } else { Err(NotALabel) }
    }
}

impl<'b, C> Decode<'b, C> for Label {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = decoder.position();
        let text = decoder.str()?;
        if text.len() > Self::BYTES_MAX {
            return Err(decode::Error::message(NotALabel).at(at));
        }
        Self::try_from(text.to_owned()).map_err(|error| decode::Error::message(error).at(at))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A measured number: never infinite and never "not a number", which JSON could not say.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default, Serialize, Deserialize, Encode)]
#[serde(try_from = "f32")]
#[cbor(transparent)]
pub struct Finite(#[n(0)] f32);

/// Why a number is not [`Finite`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a measured number is finite")]
pub struct NotFinite;

impl Finite {
    /// Takes what was measured, or `None` if it is not a number that can be told.
    pub fn new(value: f32) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number.
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for Finite {
    type Error = NotFinite;
    fn try_from(value: f32) -> Result<Self, NotFinite> {
        Self::new(value).ok_or(NotFinite)
    }
}

impl<'b, C> Decode<'b, C> for Finite {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = decoder.position();
        Self::new(decoder.f32()?).ok_or_else(|| decode::Error::message(NotFinite).at(at))
    }
}

/// Names one boot of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct BootId(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

/// Why a text is not a [`BootId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a boot id is 32 hexadecimal digits")]
pub struct NotABootId;

impl BootId {
    /// Makes a boot id out of its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::str::FromStr for BootId {
    type Err = NotABootId;

    /// Reads 32 hexadecimal digits, with or without the hyphens of a UUID.
    fn from_str(text: &str) -> Result<Self, NotABootId> {
        let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'-').collect();
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).map_err(|_| NotABootId)?;
        bytes.try_into().map(Self::from_bytes).map_err(|_| NotABootId)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(self.as_bytes()))
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BootId {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A list that never has more than `MAX` members, however many were sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Few<T, const MAX: usize>(Vec<T>);

/// Why a list is not a [`Few`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the list has more members than the {0} that are allowed")]
pub struct TooMany(usize);

impl<T, const MAX: usize> Few<T, MAX> {
    /// Keeps the first `MAX` members.
    pub fn cut(members: impl IntoIterator<Item = T>) -> Self {
        Self(members.into_iter().take(MAX).collect())
    }
}

impl<T, const MAX: usize> Default for Few<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for Few<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for Few<T, MAX> {
    type Error = TooMany;
    fn try_from(members: Vec<T>) -> Result<Self, TooMany> {
        if members.len() <= MAX { Ok(Self(members)) } else { Err(TooMany(MAX)) }
    }
}

impl<C, T: Encode<C>, const MAX: usize> Encode<C> for Few<T, MAX> {
    fn encode<W: encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.0.encode(encoder, context)
    }
}

impl<'b, C, T: Decode<'b, C>, const MAX: usize> Decode<'b, C> for Few<T, MAX> {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        let at = decoder.position();
        let mut members = Vec::new();
        for member in decoder.array_iter_with(context)? {
            if members.len() == MAX {
                return Err(decode::Error::message(TooMany(MAX)).at(at));
            }
            members.push(member?);
        }
        Ok(Self(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_letter_reads_back_as_itself_in_both_shapes() {
        for letter in [Letter::Report(Box::new(greatest())), Letter::Receipt(receipt())] {
            assert_eq!(Letter::from_bytes(&letter.to_bytes()), Ok(letter));
        }
        let json = serde_json::to_string(&greatest()).expect("a report is JSON");
        assert_eq!(serde_json::from_str::<StatusReport>(&json).expect("its own JSON"), greatest());
    }

    #[test]
    fn the_greatest_report_is_still_a_letter() {
        let length = Letter::Report(Box::new(greatest())).to_bytes().len();
        assert!(length <= LETTER_MAX, "{length}");
    }

    #[test]
    fn what_is_not_one_whole_letter_of_ours_is_turned_away_with_its_reason() {
        let good = Letter::Receipt(receipt()).to_bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (case, bytes, reason) in [
            ("nothing", vec![], "end of input"),
            ("a later version", with(1, 2), "version 2"),
            ("version 0", with(1, 0), "no version 0"),
            ("a kind nobody knows", with(2, 9), "no kind 9"),
            ("not three parts", with(0, 0x82), "a version, a kind and a body"),
            ("cut short", good[..good.len() - 1].to_vec(), "end of input"),
            ("something after it", [&good[..], &[0]].concat(), "something follows"),
            ("too long", vec![0; LETTER_MAX + 1], "more than the 8192"),
        ] {
            let refused = Letter::from_bytes(&bytes).expect_err(case);
            assert!(refused.to_string().contains(reason), "{case}: {refused}");
        }
    }

    #[test]
    fn a_label_is_short_single_line_and_never_a_path() {
        for (case, text, expected) in [
            ("a name", "attic-pi", Some("attic-pi")),
            ("a path", "/home/ada/notes.md", Some("home ada notes.md")),
            ("a path of the other kind", r"C:\Users\ada", Some("C: Users ada")),
            ("a name with a stroke", "Debian GNU/Linux 12", Some("Debian GNU Linux 12")),
            ("lines", "one\ntwo\u{0}", Some("one two")),
            ("letters that turn a line around", "a\u{202E}b", Some("a b")),
            ("nothing readable", " \n\t/", None),
            ("nothing", "", None),
        ] {
            assert_eq!(Label::cut(text).as_ref().map(Label::as_str), expected, "{case}");
        }
        assert_eq!(Label::cut(&"ü".repeat(100)).map(|label| label.as_str().len()), Some(64));
        for unfit in ["", "/etc", "a\nb", &"x".repeat(65)] {
            assert_eq!(Label::try_from(unfit.to_owned()), Err(NotALabel), "{unfit:?}");
        }
    }

    #[test]
    fn a_list_longer_than_agreed_and_a_number_that_is_none_do_not_decode() {
        let seventeen = minicbor::to_vec([7u8; 17]).expect("a vector takes all");
        assert!(minicbor::decode::<Few<u8, 16>>(&seventeen).is_err());
        assert!(minicbor::decode::<Few<u8, 17>>(&seventeen).is_ok());
        assert!(serde_json::from_str::<Few<u8, 2>>("[1,2,3]").is_err());
        for none in [f32::NAN, f32::INFINITY] {
            let bytes = minicbor::to_vec(none).expect("a vector takes all");
            assert!(minicbor::decode::<Finite>(&bytes).is_err(), "{none}");
            assert_eq!(Finite::new(none), None);
        }
    }

    #[test]
    fn a_boot_id_is_read_with_and_without_hyphens() {
        let id = BootId::from_bytes([0xAB; 16]);
        assert_eq!("abababab-abab-abab-abab-abababababab\n".trim().parse(), Ok(id));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("abab".parse::<BootId>(), Err(NotABootId));
    }

    #[test]
    fn labels_boot_ids_and_empty_lists_are_shown_as_they_are() {
        let label = Label::cut("attic pi").expect("readable");
        assert_eq!((label.to_string().as_str(), format!("{label:?}").as_str()), ("attic pi", "\"attic pi\""));
        let boot = BootId::from_bytes([0xab; 16]);
        assert_eq!(format!("{boot:?}"), "ab".repeat(16));
        assert!(Few::<u8, 2>::default().is_empty());
        assert_eq!(&*Few::<u8, 2>::cut([1, 2, 3]), [1, 2]);
    }

    #[test]
    fn a_label_that_others_wrote_is_held_to_the_same_rules() {
        for (case, text, taken) in [
            ("a name", "attic-pi".to_owned(), true),
            ("the longest", "x".repeat(64), true),
            ("too long", "x".repeat(65), false),
            ("a path", "/etc".to_owned(), false),
            ("nothing", String::new(), false),
        ] {
            let cbor = minicbor::to_vec(&text).expect("a vector takes all");
            assert_eq!(minicbor::decode::<Label>(&cbor).is_ok(), taken, "{case}");
            let json = serde_json::to_string(&text).expect("text");
            assert_eq!(serde_json::from_str::<Label>(&json).is_ok(), taken, "{case}, as JSON");
        }
        assert_eq!(NotALabel.to_string(), r"a label is one line of 1 to 64 bytes without `/` and `\`");
        assert!(
            serde_json::from_str::<BootId>("\"abab\"").is_err_and(|why| why.to_string().contains("32 hexadecimal"))
        );
        assert!(serde_json::from_str::<Finite>("1e39").is_err_and(|why| why.to_string().contains("finite")));
    }

    proptest! {
        #[test]
        fn whatever_arrives_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Letter::from_bytes(&bytes);
        }

        #[test]
        fn a_letter_with_flipped_bytes_never_panics_and_never_breaks_a_bound(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = Letter::Report(Box::new(greatest())).to_bytes();
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(Letter::Report(report)) = Letter::from_bytes(&bytes) {
                prop_assert!(report.disks.len() <= DISKS_MAX && report.temperatures.len() <= TEMPERATURES_MAX);
                prop_assert!(report.os.as_str().len() <= Label::BYTES_MAX && !report.os.as_str().contains('/'));
                prop_assert!(report.load_average.iter().all(|load| load.get().is_finite()));
            }
        }

        #[test]
        fn every_cut_label_is_one_that_would_be_taken(text in "\\PC{0,90}|.{0,90}") {
            if let Some(label) = Label::cut(&text) {
                prop_assert_eq!(Label::try_from(label.as_str().to_owned()), Ok(label));
            }
        }
    }

    fn receipt() -> Receipt {
        Receipt { sent_at: Moment::from_millis(5), kept_at: Moment::from_millis(6) }
    }

    /// As large as its bounds let a report become.
    fn greatest() -> StatusReport {
        let label = Label::cut(&"x".repeat(Label::BYTES_MAX)).expect("readable");
        let most = Finite::new(f32::MAX).expect("finite");
        let disk = Disk { kind: DiskKind::Unknown, removable: true, total_bytes: u64::MAX, free_bytes: u64::MAX };
        StatusReport {
            name: Some(label.clone()),
            os: label.clone(),
            kernel: Some(label.clone()),
            agent_version: label.clone(),
            uptime_seconds: u64::MAX,
            boot: BootId::from_bytes([255; 16]),
            load_average: [most; 3],
            cpu: Cpu { cores: u16::MAX, used_percent: Some(most) },
            memory: Memory { total_bytes: u64::MAX, used_bytes: u64::MAX },
            disks: Few::cut([disk; DISKS_MAX + 1]),
            temperatures: Few::cut(vec![Temperature { label, celsius: most }; TEMPERATURES_MAX + 1]),
            counters: Counters { items: u64::MAX, chunks: u64::MAX, jobs_pending: u64::MAX },
            capture: Capture::Idle,
            sent_at: Moment::from_millis(u64::MAX),
            report_every_seconds: u32::MAX,
        }
    }
}
