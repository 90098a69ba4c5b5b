//! How frames travel between a device and the coordinator.
//!
//! A link is a QUIC connection, or a conversation over an MQTT broker, on which each side has proven that it holds the private half of a
//! key that the other side trusts; or a pipe in memory that behaves the same. Nothing is stored here, and no key is made. What a frame means
//! is not known here either, but for [`session`], which carries `hearth_core::sync` from one disk to the other, and [`recovering`].
#![forbid(unsafe_code)]

mod budget;
pub mod close;
pub mod frame;
mod halves;
mod hello;
pub mod identity;
pub mod lan;
mod link;
pub mod memory;
pub mod mqtt;
mod offload;
pub mod pipe;
pub mod quic;
pub mod recovering;
mod reset;
pub mod session;
mod tls;
mod way;

pub use close::{Close, LinkError};
pub use ed25519_dalek::VerifyingKey;
pub use frame::FRAME_MAX;
pub use halves::{Closer, Receiving, Sending};
pub use identity::{Identity, NotAKey, Trust, key_from_text, key_text};
pub use lan::{Heard, Lan, LanError};
pub use link::Link;
pub use mqtt::{Broker, BrokerError, Mqtt};
pub use pipe::{Limits, Pipe};
pub use quic::{Connector, Knock, Listener};
pub use tls::Protocol;
