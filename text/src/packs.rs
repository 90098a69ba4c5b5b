//! Packs: numbers that states and offices give to people, companies and vehicles.
//!
//! Off unless asked for, since many are short numbers; each is held by its form, by check digits where it has them, and by
//! the words around it where it has none.

use crate::class::Span;

/// Finds what the packs know in `text[from..to]`.
pub(crate) fn find(_text: &[u8], _from: usize, _to: usize, _found: &mut Vec<Span>) {}
