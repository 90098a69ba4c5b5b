//! How much memory a process holds, as Linux counts it.

/// Memory of one process, in megabytes of a million bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Memory {
    /// Now.
    pub(super) resident: f64,
    /// At its largest since the process began.
    pub(super) peak: f64,
}

impl Memory {
    /// Of a process that runs.
    pub(super) fn of(process: u32) -> Result<Self, String> {
        let path = format!("/proc/{process}/status");
        let status = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {path}, which Linux has for a running process: {error}"))?;
        Self::read(&status).ok_or_else(|| format!("{path} does not say how much memory is held"))
    }

    fn read(status: &str) -> Option<Self> {
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u32 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            Some(f64::from(kibibytes) * 1024.0 / 1e6)
        };
        Some(Self { resident: megabytes("VmRSS:")?, peak: megabytes("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_lines_that_name_it() {
        let status = "Name:\thearth\nVmPeak:\t  900000 kB\nVmHWM:\t  195313 kB\nVmRSS:\t   42969 kB\nThreads:\t9\n";
        let memory = Memory::read(status).expect("both lines are there");
        assert!((memory.peak - 200.0).abs() < 0.01 && (memory.resident - 44.0).abs() < 0.01, "{memory:?}");
        for (case, status) in [
            ("a process of the kernel", "Name:\tkthreadd\nThreads:\t1\n"),
            ("another unit", "VmHWM:\t 1 MB\nVmRSS:\t 1 MB\n"),
        ] {
            assert_eq!(Memory::read(status), None, "{case}");
        }
    }
}
