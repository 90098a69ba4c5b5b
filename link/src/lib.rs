//! How frames travel between a device and the coordinator.
//!
//! A link is a QUIC connection on which each side has proven that it holds the private half of a key that the other side trusts, or a
//! pipe in memory that behaves the same. What a frame means is not known here, nothing is stored, and no key is made.
#![forbid(unsafe_code)]

pub mod close;
pub mod frame;
mod halves;
mod hello;
pub mod identity;
pub mod lan;
pub mod memory;
pub mod pipe;
pub mod quic;
mod tls;

pub use close::{Close, LinkError};
pub use ed25519_dalek::VerifyingKey;
pub use frame::FRAME_MAX;
pub use halves::{Closer, Receiving, Sending};
pub use identity::{Identity, NotAKey, Trust, key_from_text, key_text};
pub use lan::{Heard, Lan, LanError};
pub use pipe::{Limits, Pipe};
pub use quic::{Connector, Knock, Link, Listener};
