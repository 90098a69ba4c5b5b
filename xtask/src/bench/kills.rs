//! What SIGKILL loses and doubles is counted by a test; this only says which.

use super::Figure;

/// Says what counts the kills. There is nothing to time.
pub(super) fn say() -> Vec<Figure> {
    println!(
        "`cargo xtask soak two_hundred_kills` kills the agent 200 times at work and fails when anything is lost or doubled;"
    );
    println!("`cargo xtask test` does the same with 20 kills");
    Vec::new()
}
