//! How far a session is.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// How far a session is, for those who look at it from outside.
#[derive(Debug)]
pub struct Progress {
    /// How many of our segments the other is not known to have on its disk.
    pub waiting: AtomicU64,
    /// Keys that came could not be kept or opened: what comes behind them is asked for again after so many milliseconds. 0: they are there.
    pub(super) lacks_keys: AtomicU64,
    /// Whether nothing waits for the disk or to be sent.
    pub idle: AtomicBool,
    /// Bytes of letters that went out, their headers included.
    pub sent: AtomicU64,
    /// Bytes of letters that came in.
    pub received: AtomicU64,
    /// When the other was last heard, in milliseconds since 1970 by this machine's clock; 0 before that.
    pub heard: AtomicU64,
    /// When something of the other's last came to be stored, or both had greeted, alike; 0 before that.
    pub came: AtomicU64,
    /// How often something had to be asked for, after the greeting.
    pub asked: AtomicU64,
    /// How often the other side asked to wait.
    pub put_off: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        // Before the greeting nothing is known.
        let (waiting, idle) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
        Self {
            waiting,
            lacks_keys: zero(),
            idle,
            sent: zero(),
            received: zero(),
            heard: zero(),
            came: zero(),
            asked: zero(),
            put_off: zero(),
        }
    }
}
