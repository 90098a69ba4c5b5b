//! Whose numbers are hidden: packs by country.
//!
//! A class belongs to the country that begins its name; dates, coordinates, links and numbers of devices belong to none and make a pack of their own.

use std::{fmt, str::FromStr};

use crate::class::Class;

/// The countries, by the codes that begin the names of their classes: ISO 3166-1, and `uk` as it is called.
pub(crate) const COUNTRIES: [&str; 35] = [
    "us", "ca", "uk", "de", "fr", "es", "it", "pt", "nl", "be", "ch", "at", "pl", "cz", "se", "no", "dk", "fi", "ie",
    "tr", "il", "in", "au", "nz", "sg", "kr", "jp", "cn", "th", "ph", "ng", "za", "br", "mx", "cl",
];

/// Dates, coordinates, links, device numbers.
const GENERAL: u64 = 1 << 63;

/// A set of packs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Packs(u64);

impl Packs {
    /// No pack at all.
    pub const NONE: Self = Self(0);
    /// Every pack there is.
    pub const ALL: Self = Self(u64::MAX);

    /// Tells whether there is no pack in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The packs of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The pack of the country that a locale such as `de_AT.UTF-8` names; none if it names none that is known.
    pub fn of_locale(locale: &str) -> Self {
        let territory = locale.split(['.', '@']).next().and_then(|locale| locale.split(['_', '-']).nth(1));
        territory.and_then(Self::of_country).unwrap_or(Self::NONE)
    }

    fn of_country(code: &str) -> Option<Self> {
        let code = code.to_ascii_lowercase();
        let code = if code == "gb" { "uk" } else { &code };
        COUNTRIES.iter().position(|country| *country == code).map(|at| Self(1 << at))
    }

    /// Tells whether the packs hold what is known of this class.
    pub(crate) fn have(self, class: Class) -> bool {
        self.0 == u64::MAX || self.0 & pack_of(class) != 0
    }
}

/// The pack to which a class belongs.
fn pack_of(class: Class) -> u64 {
    match class {
        Class::AbaRoutingNumber | Class::MedicalLicense => 1,
        _ => class
            .as_str()
            .split_once('_')
            .and_then(|(country, _)| COUNTRIES.iter().position(|code| *code == country))
            .map_or(GENERAL, |at| 1 << at),
    }
}

/// A word that names no pack.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no pack; write all, none, or codes of countries with commas between them: {list}, and general for dates, coordinates and links",
    list = COUNTRIES.join(", ")
)]
pub struct NoPack(String);

impl FromStr for Packs {
    type Err = NoPack;

    fn from_str(words: &str) -> Result<Self, NoPack> {
        words.split(',').map(str::trim).try_fold(Self::NONE, |packs, word| {
            let pack = match word {
                "all" => Self::ALL,
                "none" => Self::NONE,
                "general" => Self(GENERAL),
                code => Self::of_country(code).ok_or_else(|| NoPack(code.chars().take(24).collect()))?,
            };
            Ok(packs.and(pack))
        })
    }
}

impl From<bool> for Packs {
    fn from(all: bool) -> Self {
        if all { Self::ALL } else { Self::NONE }
    }
}

impl fmt::Display for Packs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("all"),
            Self::NONE => f.write_str("none"),
            Self(bits) => {
                let countries =
                    COUNTRIES.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, code)| *code);
                let words: Vec<&str> = countries.chain((bits & GENERAL != 0).then_some("general")).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}

impl fmt::Debug for Packs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packs({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_named_by_country() {
        for (words, shown) in [
            ("all", "all"),
            ("none", "none"),
            ("de", "de"),
            ("fr, DE", "de,fr"),
            ("gb,general", "uk,general"),
            ("se,none", "se"),
        ] {
            let packs: Packs = words.parse().expect(words);
            assert_eq!(packs.to_string(), shown, "{words}");
            assert_eq!(shown.parse(), Ok(packs), "what is shown can be read");
        }
        let refused = "de,atlantis".parse::<Packs>().expect_err("no country");
        assert!(refused.to_string().starts_with("`atlantis` is no pack; write all, none, or codes of countries"));
    }

    #[test]
    fn a_locale_names_a_country_or_nothing() {
        for (locale, shown) in [
            ("de_DE.UTF-8", "de"),
            ("de_AT@euro", "at"),
            ("en-GB", "uk"),
            ("C.UTF-8", "none"),
            ("de", "none"),
            ("xx_YY", "none"),
            ("", "none"),
        ] {
            assert_eq!(Packs::of_locale(locale).to_string(), shown, "{locale}");
        }
    }

    #[test]
    fn every_country_has_a_class_and_its_own_pack_alone_holds_it() {
        for code in COUNTRIES {
            let own: Packs = code.parse().expect("a country");
            let classes: Vec<Class> =
                Class::ALL.iter().copied().filter(|c| c.as_str().starts_with(&format!("{code}_"))).collect();
            assert!(!classes.is_empty(), "{code}");
            for class in classes {
                assert!(own.have(class) && Packs::ALL.have(class) && !Packs::NONE.have(class));
                let others =
                    COUNTRIES.iter().filter(|other| **other != code).map(|other| other.parse::<Packs>().expect("one"));
                assert!(!others.fold("general".parse().expect("one"), Packs::and).have(class), "{class}");
            }
        }
        assert!("general".parse::<Packs>().expect("one").have(Class::Date));
        assert!("us".parse::<Packs>().expect("one").have(Class::AbaRoutingNumber));
    }
}
