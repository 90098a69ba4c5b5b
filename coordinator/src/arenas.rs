//! How much memory is kept for threads that are idle.
//!
//! glibc gives nearly every thread that allocates an arena of its own, and keeps what each has ever held. With 10,000 idle devices that is
//! 20 MiB of 400. The only way to say how many there may be without unsafe code is the environment a program begins with
//! (`mallopt(3)`, `MALLOC_ARENA_MAX`).

/// With two, threads seldom wait for each other, and it takes no more memory than with one.
const MOST: &str = "2";

/// Begins the program anew with few arenas, unless its environment already says how many. The process stays the same one.
///
/// Where that is not possible (another C library, no `/proc`) it goes on as it is: more memory, nothing else.
pub(crate) fn limit() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt;

        const NAME: &str = "MALLOC_ARENA_MAX";
        if std::env::var_os(NAME).is_some() {
            return;
        }
        let mut words = std::env::args_os();
        let (Some(name), Ok(program)) = (words.next(), std::env::current_exe()) else { return };
        // `exec` returns only when it is refused.
        let refused = std::process::Command::new(program).arg0(name).args(words).env(NAME, MOST).exec();
        tracing::debug!(error = %refused, "not begun anew with fewer arenas");
    }
}
