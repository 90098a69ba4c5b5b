//! What happens to a span once it is found: kept, cut short, exchanged, named, locked away, masked, or its whole record dropped.
//!
//! A [`Row`] says what happens to which class, [`Operators`] holds the keys, [`Rules::redact_under`](crate::Rules::redact_under) does it.
//! Nothing here finds anything, reads a clock or draws randomness; keys and entropy are handed in.
//!
//! # What does not compile
//!
//! Only personal data can be brought back later; a vault and a token ask for [`Personal`], which is made of no credential:
//! ```
//! # use hearth_text::{Class, operators::Personal};
//! assert!(Personal::new(Class::Email, "alice@example.org").is_some());
//! assert!(Personal::new(Class::Password, "hunter2").is_none());
//! ```
//! ```compile_fail,E0451
//! # use hearth_text::{Class, operators::Personal};
//! let smuggled = Personal { class: Class::Password, text: "hunter2" };
//! ```
//! A record that was dropped has no text to go on with; the two cases are told apart before anything can be stored:
//! ```
//! # use hearth_text::{Raw, Redacted, Rules, operators::{Operators, Outcome, Row}};
//! fn store(note: &Redacted) {}
//! match Rules::standard().redact_under(Raw::new("milk"), &Row::DROP, &mut Operators::default()).0 {
//!     Outcome::Said(note) => store(&note),
//!     Outcome::Dropped(_) => {}
//! }
//! ```
//! ```compile_fail,E0308
//! # use hearth_text::{Raw, Redacted, Rules, operators::{Operators, Row}};
//! fn store(note: &Redacted) {}
//! store(&Rules::standard().redact_under(Raw::new("milk"), &Row::DROP, &mut Operators::default()).0);
//! ```
//! What was brought back from the vault cannot be shown by accident:
//! ```compile_fail,E0277
//! # fn show(value: hearth_text::operators::Revealed) {
//! println!("{value}");
//! # }
//! ```

use std::{collections::BTreeMap, fmt};

use crate::class::Class;

mod action;
mod apply;
mod marks;
mod normal;
mod shape;
mod token;
mod vault;

pub(crate) use action::CLASSES;
pub use action::{Action, Row, Unsuited};
pub use apply::Outcome;
pub use token::{Token, TokenKey};
pub use vault::{MemoryShelf, NotKept, NotRevealed, Revealed, SealedValue, Shelf, Vault, VaultKey};

/// A value of a class that is no credential.
#[derive(Clone, Copy)]
pub struct Personal<'t> {
    class: Class,
    text: &'t str,
}

impl<'t> Personal<'t> {
    /// Takes a value, unless it is a credential.
    pub const fn new(class: Class, text: &'t str) -> Option<Self> {
        if class.is_secret() { None } else { Some(Self { class, text }) }
    }

    /// Of what class it is.
    pub const fn class(self) -> Class {
        self.class
    }

    const fn text(self) -> &'t str {
        self.text
    }
}

impl fmt::Debug for Personal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Personal({})", self.class)
    }
}

/// What the operators need to do their work. Without a key there are no tokens, without a vault nothing is locked away: what asks
/// for them is masked, which is stricter.
#[derive(Debug, Default)]
pub struct Operators {
    key: Option<TokenKey>,
    epoch: u32,
    home: Option<String>,
    vault: Option<Vault>,
}

impl Operators {
    /// Operators that make tokens under this key. Another epoch makes other tokens; those of all epochs are known again.
    pub const fn with_key(key: TokenKey, epoch: u32) -> Self {
        Self { key: Some(key), epoch, home: None, vault: None }
    }

    /// Says to which calling code telephone numbers without one belong, such as `49` or `+1`.
    #[must_use]
    pub fn at_home_in(mut self, calling_code: &str) -> Self {
        let digits: String = calling_code.chars().filter(char::is_ascii_digit).collect();
        self.home = (!digits.is_empty()).then_some(digits);
        self
    }

    /// Adds a vault.
    #[must_use]
    pub fn with_vault(mut self, vault: Vault) -> Self {
        self.vault = Some(vault);
        self
    }

    /// The vault, to reveal from it or to shred it.
    pub const fn vault(&mut self) -> Option<&mut Vault> {
        self.vault.as_mut()
    }

    /// The token of a value: what to search for when a person is looked for.
    pub fn token(&self, value: Personal<'_>) -> Option<Token> {
        Some(self.key.as_ref()?.token(self.epoch, value, self.home.as_deref()))
    }
}

/// How many spans of each class got which action. Numbers only.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally(BTreeMap<(Class, Action), u64>);

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, class: Class, action: Action) {
        *self.0.entry((class, action)).or_insert(0) += 1;
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (cell, n) in &other.0 {
            *self.0.entry(*cell).or_insert(0) += n;
        }
    }

    /// Returns how many spans of `class` got `action`.
    pub fn of(&self, class: Class, action: Action) -> u64 {
        self.0.get(&(class, action)).copied().unwrap_or(0)
    }

    /// Returns what was counted, heaviest class first.
    pub fn iter(&self) -> impl Iterator<Item = (Class, Action, u64)> + '_ {
        self.0.iter().map(|((class, action), n)| (*class, *action, *n))
    }
}
