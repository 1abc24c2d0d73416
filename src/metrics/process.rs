//! Figures of the process, as the system tells them under `/proc`.

use std::time::{Duration, SystemTime};

use super::list;
use super::sheet::{Sheet, to_f64};

/// Clock ticks per second in `/proc` (`USER_HZ`), the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
/// Fields after the name of the program in `/proc/self/stat`, which may hold anything.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const THREADS: usize = 17;
const START_TICKS: usize = 19;

/// Puts what is known on the sheet; elsewhere than on Linux, nothing is.
pub(super) fn collect(sheet: &mut Sheet) {
    if let Some(stat) = read("/proc/self/stat") {
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        if let (Some(user), Some(system)) = (field(USER_TICKS), field(SYSTEM_TICKS)) {
            sheet.put(
                list::PROCESS_CPU,
                &[],
                to_f64(user.saturating_add(system)) / TICKS,
            );
        }
        if let Some(threads) = field(THREADS) {
            sheet.count(list::PROCESS_THREADS, &[], threads);
        }
        if let (Some(ticks), Some(boot)) = (field(START_TICKS), boot_time()) {
            sheet.put(list::PROCESS_START, &[], boot + to_f64(ticks) / TICKS);
        }
    }
    if let Some(resident) = read("/proc/self/status").as_deref().and_then(resident_bytes) {
        sheet.count(list::PROCESS_MEMORY, &[], resident);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        sheet.count(
            list::PROCESS_DESCRIPTORS,
            &[],
            u64::try_from(open.count()).unwrap_or(u64::MAX),
        );
    }
    if let Some(limit) = read("/proc/self/limits").as_deref().and_then(descriptor_limit) {
        sheet.count(list::PROCESS_DESCRIPTOR_LIMIT, &[], limit);
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Seconds since 1970 at which the machine began.
fn boot_time() -> Option<f64> {
    let stat = read("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse::<u64>().ok().map(to_f64)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

fn descriptor_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}
