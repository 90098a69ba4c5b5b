//! What is decided, and nothing that is done.
//!
//! Every rule of hearth that can be stated without a clock, a disk or a socket lives here, as values and state machines:
//! the time and the entropy come in, a verdict comes out. No IO, no async, no randomness of its own, no `unsafe`.
#![forbid(unsafe_code)]

pub mod audit;
pub mod crdt;
pub mod delta;
pub mod egress;
pub mod equivocation;
pub mod fleet;
pub mod hlc;
pub mod id;
pub mod job;
pub mod merkle;
pub mod moment;
pub mod receipt;
pub mod schema;
pub mod seal;
pub mod segment;
pub mod session;
pub mod signed;
pub mod status;
pub mod sync;

pub use id::{ChunkId, DeviceId, DocumentId, ItemId, JobId, SessionId, SpaceId};
pub use moment::Moment;
