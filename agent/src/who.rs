//! Who may bring back, unlock, write out or change what a policy of redaction holds.
//!
//! Nobody, unless a line here says so, and no line outweighs a refusal. It decides; asking again and writing down are the shell's.

use hearth_text::Class;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The user to whom the data folder belongs.
    Owner,
    /// A program that the owner let in, such as a plugin or a page.
    Program,
    /// Another device of the fleet.
    Device,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// To see one value that the vault keeps.
    Reveal(Class),
    /// To open the vault.
    Unlock,
    /// To write out what is stored, as it is stored.
    Export,
    /// To put another policy in force.
    Change {
        /// Whether less would be hidden anywhere.
        loosens: bool,
        /// Whether these very changes were confirmed a second time.
        confirmed: bool,
    },
}

/// Why it may not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// There is no way back, for anybody.
    #[error("credentials are not kept, so there is nothing to reveal; look where the credential was issued")]
    Credential,
    /// Somebody else may.
    #[error("only the owner of this node may do that; ask as the user whose data folder it is")]
    NotYours,
    /// It has to be said twice.
    #[error("less would be hidden; confirm the changes by their fingerprint")]
    Unconfirmed,
}

impl Who {
    /// Tells whether this may be done.
    ///
    /// # Errors
    /// Says why not.
    pub const fn may(self, deed: Deed) -> Result<(), Refused> {
        match (self, deed) {
            (_, Deed::Reveal(class)) if class.is_secret() => Err(Refused::Credential),
            (Self::Owner, Deed::Change { loosens: true, confirmed: false }) => Err(Refused::Unconfirmed),
            (Self::Owner, Deed::Reveal(_) | Deed::Unlock | Deed::Export | Deed::Change { .. }) => Ok(()),
            (Self::Program | Self::Device, _) => Err(Refused::NotYours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_may_and_loosens_only_when_asked_twice() {
        let change = |loosens, confirmed| Deed::Change { loosens, confirmed };
        for (who, deed, answer) in [
            (Who::Owner, Deed::Reveal(Class::Email), Ok(())),
            (Who::Owner, Deed::Reveal(Class::Password), Err(Refused::Credential)),
            (Who::Owner, Deed::Unlock, Ok(())),
            (Who::Owner, Deed::Export, Ok(())),
            (Who::Owner, change(false, false), Ok(())),
            (Who::Owner, change(true, false), Err(Refused::Unconfirmed)),
            (Who::Owner, change(true, true), Ok(())),
            (Who::Program, Deed::Reveal(Class::Email), Err(Refused::NotYours)),
            (Who::Program, change(false, false), Err(Refused::NotYours)),
            (Who::Device, Deed::Unlock, Err(Refused::NotYours)),
            (Who::Device, Deed::Export, Err(Refused::NotYours)),
            (Who::Device, change(true, true), Err(Refused::NotYours)),
        ] {
            assert_eq!(who.may(deed), answer, "{who:?} {deed:?}");
        }
    }
}
