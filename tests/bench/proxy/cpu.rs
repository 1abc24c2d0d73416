//! What processes cost, as the system counts it.

use std::fs;
use std::time::Duration;

/// Processor time that a process has used since it started, its threads added up; threads that ended count too where
/// the system keeps them.
pub(crate) fn used(pid: u32) -> Duration {
    // Nanoseconds from the scheduler, for threads that live; the ticks of `stat` are a hundredth of a second.
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let live: u64 = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(live)
}

/// How often the threads of a process gave up the processor because they had nothing to do: its wake-ups.
pub(crate) fn wakeups(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
        .filter_map(|text| value(&text, "voluntary_ctxt_switches:"))
        .sum()
}

/// Memory of a process that is in RAM, bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    value(&status, "VmRSS:").unwrap_or_default() * 1_024
}

fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
