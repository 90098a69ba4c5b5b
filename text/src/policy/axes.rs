//! The three sides of a table: where text comes from, what is found in it, where it goes.
//!
//! Names are what people write in policies and read in reports, and they do not change.

use crate::class::Class;

/// The kinds of sources. One of a kind is `kind:name`, such as `mail:work`.
pub const SOURCES: [&str; 13] = [
    "files",
    "notes",
    "shell-history",
    "journald",
    "browser",
    "mail",
    "chat",
    "clipboard",
    "git",
    "feed",
    "import",
    "plugin",
    "pipe",
];

/// The destinations that each device has: its own store, all devices of the fleet, answers to other devices, what the owner writes out,
/// and what `hearth redact` prints. A residency of the fleet is `residency:name`.
pub const DESTINATIONS: [&str; 5] = ["here", "fleet", "live", "export", "output"];

/// What stands for every source, class or destination.
pub(super) const ALL: &str = "*";
/// What stands for every destination on other devices.
pub(super) const AWAY: &str = "away";

/// The kind of a source: `mail` of `mail:work`.
pub(super) fn kind(source: &str) -> &str {
    source.split_once(':').map_or(source, |(kind, _)| kind)
}

/// Tells whether there can be a source of this name.
pub(super) fn is_source(name: &str) -> bool {
    SOURCES.contains(&kind(name)) && is_plain(name)
}

/// Tells whether there can be a destination of this name.
pub(super) fn is_destination(name: &str) -> bool {
    DESTINATIONS.contains(&name)
        || name.strip_prefix("residency:").is_some_and(|rest| !rest.is_empty() && is_plain(rest))
}

/// Tells whether a destination is on other devices.
pub(super) fn is_away(name: &str) -> bool {
    matches!(name, "fleet" | "live") || name.starts_with("residency:")
}

fn is_plain(name: &str) -> bool {
    name.len() <= 96 && !name.ends_with(':') && !name.contains('*') && !name.chars().any(char::is_control)
}

/// A group of classes that a policy can name at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Passwords, keys and tokens.
    Credentials,
    /// Everything but credentials.
    Personal,
    /// How to reach somebody.
    Contact,
    /// Who and where: people, their addresses, companies, places.
    Names,
    /// Cards, accounts and wallets.
    Payment,
    /// Addresses of machines and pages.
    Network,
    /// When and where.
    Moment,
    /// Numbers that authorities and insurers give: identity, tax, health, vehicles.
    Identity,
}

impl Group {
    /// Every group; each class but credentials is in `personal` and in one other.
    pub const EVERY: [Self; 8] = [
        Self::Credentials,
        Self::Personal,
        Self::Contact,
        Self::Names,
        Self::Payment,
        Self::Network,
        Self::Moment,
        Self::Identity,
    ];

    /// Returns the word that policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Personal => "personal",
            Self::Contact => "contact",
            Self::Names => "names",
            Self::Payment => "payment",
            Self::Network => "network",
            Self::Moment => "moment",
            Self::Identity => "identity",
        }
    }

    /// Returns the group of that name.
    pub fn named(word: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|group| group.as_str() == word)
    }

    /// Tells whether a class is in it.
    pub const fn holds(self, class: Class) -> bool {
        match self {
            Self::Credentials => class.is_secret(),
            Self::Personal => !class.is_secret(),
            Self::Contact => {
                matches!(class, Class::Email | Class::Phone | Class::PhMobileNumber | Class::TrPhoneNumber)
            }
            Self::Names => {
                matches!(class, Class::Person | Class::Address | Class::Organization | Class::Location)
            }
            Self::Payment => matches!(
                class,
                Class::CreditCard | Class::Iban | Class::CryptoWallet | Class::AbaRoutingNumber | Class::UsBankNumber
            ),
            Self::Network => matches!(class, Class::Ip | Class::Mac | Class::Url | Class::Domain | Class::Imei),
            Self::Moment => {
                matches!(class, Class::Dob | Class::Date | Class::Geo | Class::UkPostcode | Class::DePlz)
            }
            Self::Identity => {
                !(class.is_secret()
                    || Self::Contact.holds(class)
                    || Self::Names.holds(class)
                    || Self::Payment.holds(class)
                    || Self::Network.holds(class)
                    || Self::Moment.holds(class))
            }
        }
    }

    /// The classes in it, heaviest first.
    pub fn classes(self) -> impl Iterator<Item = Class> {
        Class::ALL.iter().copied().filter(move |class| self.holds(*class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_in_its_groups_and_no_group_has_the_name_of_a_class() {
        for class in Class::ALL {
            let groups: Vec<Group> = Group::EVERY.into_iter().filter(|group| group.holds(*class)).collect();
            match class.is_secret() {
                true => assert_eq!(groups, [Group::Credentials], "{class}"),
                false => assert!(groups.len() == 2 && groups[0] == Group::Personal, "{class}: {groups:?}"),
            }
        }
        for group in Group::EVERY {
            assert_eq!(Group::named(group.as_str()), Some(group));
            assert_eq!(Class::named(group.as_str()), None);
        }
    }

    #[test]
    fn names_of_sources_and_destinations_are_known_by_their_kind() {
        for (name, source, destination) in [
            ("mail", true, false),
            ("mail:work", true, false),
            ("mail:", false, false),
            ("mial:work", false, false),
            ("here", false, true),
            ("residency:study", false, true),
            ("residency:", false, false),
            ("residency", false, false),
            ("here:there", false, false),
            ("mail:*", false, false),
        ] {
            assert_eq!((is_source(name), is_destination(name)), (source, destination), "{name}");
        }
    }
}
