//! Real programs that are a fleet, on loopback.
#![expect(clippy::disallowed_methods, reason = "a test speaks with its own processes on loopback")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test tells its figures, and a device that failed its log"
)]

mod broker;
mod device;
mod direct;
mod distant;
mod guest;
mod lan;
mod live;
mod powercut;
mod recovery;
mod relay;
mod residency;
