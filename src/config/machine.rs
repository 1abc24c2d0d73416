//! What the machine or container gives this process.

use std::fs;

/// When nothing is known, bytes.
const UNKNOWN: usize = 4 << 30;

/// Memory that this process may use, bytes: the least of what the machine has and what its control groups allow.
pub(super) fn memory() -> usize {
    let groups = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    // Outside a container the root has no limit of its own: that of the service is one level down.
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().filter_map(|line| line.strip_prefix("0::"));
    let own = own.map(|path| format!("/sys/fs/cgroup{}/memory.max", path.trim_end_matches('/')));
    let files = groups.into_iter().map(str::to_owned).chain(own);
    let limits = files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<usize>().ok());
    let total = fs::read_to_string("/proc/meminfo").ok();
    let total = total.as_deref().and_then(total_of);
    limits.chain(total).min().unwrap_or(UNKNOWN)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_of(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        let text = "MemFree:   17 kB\nMemTotal:       16384 kB\nBuffers: 1 kB\n";
        assert_eq!(total_of(text), Some(16 << 20));
        assert_eq!(total_of("nothing of the kind"), None);
        assert!(memory() > 1 << 20);
    }
}
