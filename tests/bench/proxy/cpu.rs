//! What processes cost, as the system counts it.

use std::fs;
use std::process::{Command, Stdio};
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

/// Whether this machine counts instructions, which virtual ones often do not.
pub(crate) fn counts_instructions() -> bool {
    instructions(std::process::id(), 0.1).is_some()
}

/// Instructions a second of a process, measured for so long; `None` where nothing counts them.
pub(crate) fn instructions(pid: u32, seconds: f64) -> Option<f64> {
    let output = Command::new("perf")
        .args(["stat", "-x", ";", "-e", "instructions", "-p", &pid.to_string()])
        .args(["--", "sleep", &seconds.to_string()])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    // A line like `123456;;instructions;...`; `<not supported>` is no number.
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("instructions"))?;
    let count: f64 = line.split(';').next()?.trim().parse().ok()?;
    Some(count / seconds)
}
