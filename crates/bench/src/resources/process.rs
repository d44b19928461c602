//! CPU time and memory of processes, from `/proc`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// A process id.
pub type Pid = u32;

/// What `/proc/PID/stat` says.
struct Stat {
    parent: Pid,
    /// Used by itself, user and system.
    own: Duration,
    /// Used by its children that have ended and been waited for.
    ended_children: Duration,
}

/// The process that started this one.
pub(super) fn parent(pid: Pid) -> Result<Pid> {
    Ok(Stat::read(pid)?.parent)
}

/// CPU time that a process has used.
pub(super) fn cpu_time(pid: Pid) -> Result<Duration> {
    Ok(Stat::read(pid)?.own)
}

/// CPU time that a process and its children have used, those included that have ended.
pub(super) fn cpu_time_with_children(pid: Pid) -> Result<Duration> {
    let stat = Stat::read(pid)?;
    let mut sum = stat.own + stat.ended_children;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse::<Pid>().ok()) else {
            continue;
        };
        // One that has ended meanwhile is counted by the next reading of its parent.
        if let Ok(other) = Stat::read(other)
            && other.parent == pid
        {
            sum += other.own;
        }
    }
    Ok(sum)
}

/// The most memory that a process has had resident since it began.
pub fn peak_memory_bytes(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
        .with_context(|| format!("{path} has no VmHWM"))?;
    Ok(kilobytes.trim().parse::<u64>()? * 1_024)
}

impl Stat {
    fn read(pid: Pid) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        Self::parse(&text).with_context(|| format!("{path}: {text}"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The program's name stands in parentheses and may contain any character.
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // The manual counts fields from 1, and the one after the name is the third.
        let ticks = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: from_ticks(ticks(14)? + ticks(15)?),
            ended_children: from_ticks(ticks(16)? + ticks(17)?),
        })
    }
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let text = "7 (a) b (c)) S 3 7 7 0 -1 4 1 2 3 4 100 50 30 20 20 0 1 0 9";
        let stat = Stat::parse(text).expect("it is whole");
        assert_eq!(stat.parent, 3);
        assert_eq!(stat.own, from_ticks(150));
        assert_eq!(stat.ended_children, from_ticks(50));
    }

    #[test]
    fn own_process_has_memory_and_a_parent() {
        let pid = std::process::id();
        assert!(peak_memory_bytes(pid).expect("it runs") > 0);
        assert!(parent(pid).expect("it runs") > 0);
    }
}
