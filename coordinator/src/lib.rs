//! The coordinator: one small server for a fleet of devices.
//!
//! Devices that are trusted by their key report how they are; it writes that down and shows it on one page. It depends on nothing that
//! knows text, so it cannot see any. Enrolment, sign-in and the relaying of changes are not here yet.
#![forbid(unsafe_code)]

mod drawer;
pub mod fleet;
pub mod folder;
pub mod health;
pub mod page;
pub mod relay;
pub mod serve;
pub mod sessions;
pub mod store;
pub mod trust;
pub mod web;

pub use fleet::{Fleet, Node};
pub use serve::{Options, Ready, Trouble, serve};
