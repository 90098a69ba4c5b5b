//! One device: the daemon and the `hearth` command.
//!
//! All IO of a node happens here; what is decided is decided in `hearth-core`.
#![deny(unsafe_code)]

pub mod ask;
pub mod bench;
pub mod capture;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod egress;
pub mod fleet;
pub mod locale;
pub mod machine;
pub mod node;
pub mod os;
pub mod page;
pub mod serve;
pub mod who;
