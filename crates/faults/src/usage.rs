//! What a program uses of the machine.

use std::{fmt, fs};

use reprise_testkit::process::Process;

/// What a program uses at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Memory that is in RAM.
    pub memory_kb: u64,
    /// Open files, connections among them.
    pub files: usize,
}

impl Usage {
    /// What a program of ours uses now.
    ///
    /// # Panics
    ///
    /// When it has ended, or elsewhere than on Linux.
    #[must_use]
    pub fn of(process: &Process) -> Self {
        let pid = process.id().expect("it runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
        let memory = status.lines().find_map(|line| {
            let kilobytes = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            kilobytes.parse().ok()
        });
        let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("Linux");
        Self {
            memory_kb: memory.expect("it has memory"),
            files: files.count(),
        }
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            memory_kb: self.memory_kb.max(other.memory_kb),
            files: self.files.max(other.files),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} MB, {} files",
            self.memory_kb / 1_024,
            self.files
        )
    }
}
