//! What a policy says: for each source, class and destination, one action.
//!
//! [`Table::parse`] reads a document and compiles it into an array that has a cell for everything; a look-up is one index. Who may change
//! a policy, or reveal what it locked away, is decided elsewhere; nothing here reads a file.

mod axes;
mod diff;
mod document;
mod table;

pub use axes::{DESTINATIONS, Group, SOURCES};
pub use diff::{Block, Change, Diff, Forecast, Seen};
pub use document::{BadPolicy, Mistake};
pub use table::{Route, Table};
