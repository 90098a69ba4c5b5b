//! The relay: it keeps the sealed segments of fleets for devices that are not awake together, and can open none of them.
//!
//! [`engine`] is what keeps them, [`embedded`] keeps them in files of this machine, [`steady`] opens it again when it must; [`host`] is what is
//! done with them, `known` who belongs to what, [`sessions`] how devices come to it.

#[cfg(test)]
pub(crate) mod conformance;
pub mod embedded;
pub mod engine;
pub mod host;
mod known;
pub mod sessions;
pub mod steady;

pub use engine::Engine;
pub use host::{Allowance, Relay};
pub use steady::Steady;
