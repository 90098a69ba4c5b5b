//! What may happen to a span, from nothing to the end of the whole record, in one order.
//!
//! Of two actions the stricter holds, always. What a class cannot be given is raised to the next stricter action that it can.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::class::Class;

/// What happens to a span. The order is the lattice: later is stricter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Action {
    /// It stays as it is.
    Keep,
    /// A little of it stays: the last four digits, the domain of an address.
    Partial,
    /// Another number of the same form stands in its place, one that nobody was ever given.
    Fpe,
    /// A keyed token stands in its place, the same one for the same value.
    Pseudonym,
    /// A token stands in its place, and the value is kept apart, sealed, until its key is destroyed.
    Vault,
    /// Its class stands in its place, and nothing else.
    Mask,
    /// The record that holds it is not kept at all.
    Drop,
}

impl Action {
    /// Every action, from the loosest to the strictest.
    pub const ALL: [Self; 7] =
        [Self::Keep, Self::Partial, Self::Fpe, Self::Pseudonym, Self::Vault, Self::Mask, Self::Drop];

    /// Returns the word that policies and reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Partial => "partial",
            Self::Fpe => "fpe",
            Self::Pseudonym => "pseudonym",
            Self::Vault => "vault",
            Self::Mask => "mask",
            Self::Drop => "drop",
        }
    }

    /// Returns the action of that name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// Returns the stricter of the two.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        self.max(other)
    }

    /// Tells whether spans of this class can be given this action.
    pub const fn suits(self, class: Class) -> bool {
        match self {
            Self::Mask | Self::Drop => true,
            _ if class.is_secret() => false,
            Self::Partial => {
                matches!(
                    class,
                    Class::CreditCard | Class::Iban | Class::UsSsn | Class::Phone | Class::Imei | Class::Email
                )
            }
            Self::Fpe => matches!(class, Class::CreditCard | Class::Iban),
            Self::Keep | Self::Pseudonym | Self::Vault => true,
        }
    }

    /// Returns this action, or the next stricter one that spans of this class can be given.
    #[must_use]
    pub fn raised(self, class: Class) -> Self {
        Self::ALL.into_iter().find(|action| *action >= self && action.suits(class)).unwrap_or(Self::Drop)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many classes there are.
pub(crate) const CLASSES: usize = Class::ALL.len();

/// Why a class is not given an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsuited {
    /// It would leave a way back to a credential, or part of it.
    #[error("`{class}` is a credential, and credentials leave no way back: write `mask` or `drop`, not `{action}`")]
    Credential {
        /// Of what class.
        class: Class,
        /// What was asked for.
        action: Action,
    },
    /// The class has no form that could be kept.
    #[error("`{action}` is not known for `{class}`; write `{raised}`, the next stricter action")]
    Form {
        /// Of what class.
        class: Class,
        /// What was asked for.
        action: Action,
        /// What may be written.
        raised: Action,
    },
}

/// One action for each class: what a policy says of one source and one destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Row(pub(crate) [Action; CLASSES]);

impl Row {
    /// Nothing that holds anything hidden is kept. What is unknown gets this.
    pub const DROP: Self = Self([Action::Drop; CLASSES]);
    /// Everything that is found is masked, as without a policy.
    pub const MASK: Self = Self([Action::Mask; CLASSES]);

    /// One action for all classes, raised where a class cannot be given it.
    pub fn of(action: Action) -> Self {
        let mut row = Self::MASK;
        for class in Class::ALL {
            row.0[*class as usize] = action.raised(*class);
        }
        row
    }

    /// Gives a class an action.
    ///
    /// # Errors
    /// When the class cannot be given it; a credential is masked or dropped and nothing else.
    pub fn set(&mut self, class: Class, action: Action) -> Result<(), Unsuited> {
        if !action.suits(class) {
            return Err(match class.is_secret() {
                true => Unsuited::Credential { class, action },
                false => Unsuited::Form { class, action, raised: action.raised(class) },
            });
        }
        self.0[class as usize] = action;
        Ok(())
    }

    /// Of each class the stricter of two actions: for text that goes both ways.
    #[must_use]
    pub fn stricter(mut self, other: &Self) -> Self {
        for (action, other) in self.0.iter_mut().zip(other.0) {
            *action = action.stricter(other);
        }
        self
    }

    /// What happens to spans of this class: one look-up.
    pub fn action(&self, class: Class) -> Action {
        self.0[class as usize]
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(Class::ALL.iter().map(|class| (class.as_str(), self.action(*class)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_action() -> impl Strategy<Value = Action> {
        prop::sample::select(Action::ALL.to_vec())
    }
    fn any_class() -> impl Strategy<Value = Class> {
        prop::sample::select(Class::ALL.to_vec())
    }

    #[test]
    fn the_order_is_the_one_of_the_design() {
        assert!(Action::ALL.is_sorted());
        let words: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.join(" < "), "keep < partial < fpe < pseudonym < vault < mask < drop");
        for action in Action::ALL {
            assert_eq!(Action::named(action.as_str()), Some(action));
        }
        assert_eq!(Action::named("hash"), None);
    }

    #[test]
    fn a_credential_is_masked_or_dropped_whatever_is_asked() {
        for class in Class::ALL.iter().copied().filter(|class| class.is_secret()) {
            for action in Action::ALL {
                let mut row = Row::MASK;
                let set = row.set(class, action);
                assert_eq!(set.is_ok(), action >= Action::Mask, "{class} {action}");
                assert!(row.action(class) >= Action::Mask && Row::of(action).action(class) >= Action::Mask);
            }
        }
        let mut row = Row::MASK;
        let refused = row.set(Class::Password, Action::Vault).expect_err("no way back");
        assert_eq!(
            refused.to_string(),
            "`password` is a credential, and credentials leave no way back: write `mask` or `drop`, not `vault`"
        );
        let refused = row.set(Class::Phone, Action::Fpe).expect_err("no form that nobody has");
        assert_eq!(refused.to_string(), "`fpe` is not known for `phone`; write `pseudonym`, the next stricter action");
    }

    proptest! {
        #[test]
        fn the_stricter_is_a_lattice(a in any_action(), b in any_action(), c in any_action()) {
            prop_assert_eq!(a.stricter(b), b.stricter(a));
            prop_assert_eq!(a.stricter(b).stricter(c), a.stricter(b.stricter(c)));
            prop_assert_eq!(a.stricter(a), a);
            prop_assert_eq!(Action::Keep.stricter(a), a);
            prop_assert_eq!(Action::Drop.stricter(a), Action::Drop);
            prop_assert!(a.stricter(b) >= a && a.stricter(b) >= b);
        }

        #[test]
        fn a_row_of_two_ways_is_as_strict_as_either(a in any_action(), b in any_action(), class in any_class()) {
            let both = Row::of(a).stricter(&Row::of(b));
            prop_assert_eq!(&both, &Row::of(b).stricter(&Row::of(a)));
            prop_assert_eq!(both.action(class), a.raised(class).stricter(b.raised(class)));
        }

        #[test]
        fn raising_never_loosens_and_keeps_the_order(a in any_action(), b in any_action(), class in any_class()) {
            prop_assert!(a.raised(class) >= a && a.raised(class).suits(class));
            prop_assert_eq!(a.raised(class).raised(class), a.raised(class));
            prop_assert_eq!(a.stricter(b).raised(class), a.raised(class).stricter(b.raised(class)));
        }
    }
}
