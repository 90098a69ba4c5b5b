//! Text before and after redaction, as two types that cannot be confused.
//!
//! [`Raw`] can only be consumed; [`Redacted`] is what may be stored, indexed, shown and sealed. There is no way from the
//! one to the other but [`Rules`](crate::Rules).

use std::fmt;

use zeroize::Zeroize;

use crate::class::Counts;

/// Captured text that nobody has looked over yet.
///
/// It has no `Display`, no `Serialize` and no `Clone`, and it is wiped from memory when it is dropped.
pub struct Raw(String);

impl Raw {
    /// Takes text in. From here on only redaction brings it out again.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns how many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Gives the text away unchanged, for the engine that found nothing to hide in it.
    pub(crate) fn into_clean(mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

/// Text that may be stored, searched and shown: what had to be hidden is hidden.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted {
    text: String,
    counts: Counts,
}

impl Redacted {
    pub(crate) fn new(text: String, counts: Counts) -> Self {
        Self { text, counts }
    }

    /// Takes back what was redacted before it was sealed and stored.
    ///
    /// This is the way back from sealed storage and from nowhere else: the caller vouches that these very bytes once were
    /// a `Redacted`. New text goes through [`Rules::redact`](crate::Rules::redact).
    pub fn from_store(text: String) -> Self {
        Self { text, counts: Counts::default() }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns how much was hidden, by class.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes it apart.
    pub fn into_parts(self) -> (String, Counts) {
        (self.text, self.counts)
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redacted({} bytes, {} hidden)", self.text.len(), self.counts.total())
    }
}

impl hearth_core::seal::Plain for Redacted {
    fn plain(&self) -> &[u8] {
        self.text.as_bytes()
    }
}
