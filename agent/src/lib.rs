//! One device: the daemon and the `hearth` command.
//!
//! All IO of a node happens here; what is decided is decided in `hearth-core`.
#![forbid(unsafe_code)]

pub mod ask;
pub mod capture;
pub mod fleet;
pub mod node;
pub mod store;
