//! libFuzzer around one target, which the environment names.
//!
//! Built and started by `cargo xtask fuzz`; the targets are in `hearth-fuzz`.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use hearth_fuzz::Target;
use libfuzzer_sys::fuzz_target;

/// Names the target.
const VARIABLE: &str = "HEARTH_FUZZ_TARGET";

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(VARIABLE).expect("`cargo xtask fuzz` names a target");
    hearth_fuzz::named(&name).expect("a target of the table")
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
