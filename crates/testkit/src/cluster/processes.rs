//! All processes of a server: its first one, and those that it has started.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Stops the first process, so that none is added, and then the others.
pub(super) fn freeze(postmaster: u32) {
    send(postmaster, Signal::STOP);
    for child in children(postmaster) {
        send(child, Signal::STOP);
    }
}

/// The other way round.
pub(super) fn thaw(postmaster: u32) {
    for child in children(postmaster) {
        send(child, Signal::CONT);
    }
    send(postmaster, Signal::CONT);
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // One that has ended meanwhile needs no signal.
    let _ = kill_process(pid.expect("a process id"), signal);
}

fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent_of(pid) == Some(parent)).collect()
}

/// What `/proc/PID/stat` says behind the program's name, which stands in parentheses: a state, and the parent.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
