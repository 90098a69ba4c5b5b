//! How two nodes come to hold the same logs.
//!
//! Each says where its copy of every log ends ([`frontier`]), sends what the other lacks, verbatim, and hears when it is on the
//! other's disk ([`frame`], [`peer`]). Whom to believe and who may have what is asked of [`trust`]; two segments with one number are
//! a [`proof`] against their author. [`breaker`], [`bucket`] and [`damping`] say when, how often and how much. [`keeper`] is what a session asks of
//! whoever has the disk. Nothing here sends, stores or waits.

pub mod breaker;
pub mod bucket;
pub mod damping;
pub mod flow;
pub mod frame;
pub mod frontier;
pub mod keeper;
pub mod peer;
pub mod proof;
pub mod trust;

pub use frame::Frame;
pub use frontier::{Frontier, Log, Mark};
pub use keeper::{Grown, Keeper, ToSend, ToStore};
pub use peer::{Config, Effect, Held, Input, News, Peer};
pub use proof::Proof;
pub use trust::{Standing, Trust};
