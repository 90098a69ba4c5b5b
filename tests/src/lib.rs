//! Rules that hold for the whole tree, and later fleets in a bottle and golden data.
//!
//! Nothing leans on this crate. The simulator and the end-to-end tests are not here yet.
#![forbid(unsafe_code)]
