//! What is counted about a filter, for logs, metrics and the operator.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{Failure, Verdict};

/// What became of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its verdict was followed.
    Enforced,
    /// Its verdict was only counted.
    Shadowed,
}

/// Upper bounds of the parts that call times are counted in, seconds: from a look at a field to a budget used up.
pub const CALL_BOUNDS: [f64; 12] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1,
];
/// The same in nanoseconds.
const CALL_LIMITS: [u64; 12] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    100_000_000,
];

/// Counters of one filter; they survive its reloads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls.
    pub calls: AtomicU64,
    /// Verdicts to go on.
    pub forwards: AtomicU64,
    /// Verdicts with an answer.
    pub answers: AtomicU64,
    /// Verdicts to hold.
    pub delays: AtomicU64,
    /// Verdicts to forget.
    pub drops: AtomicU64,
    /// Verdicts to close the connection.
    pub closes: AtomicU64,
    /// Verdicts other than going on that were counted and not followed.
    pub shadowed: AtomicU64,
    /// Calls that failed.
    pub failures: AtomicU64,
    /// Time spent in calls, nanoseconds.
    pub nanos: AtomicU64,
    /// Calls by their time: in each part of [`CALL_BOUNDS`], and above.
    pub times: [AtomicU64; CALL_BOUNDS.len() + 1],
    last_failure: Mutex<Option<(SystemTime, String)>>,
    /// Second since 1970 and lines in it, packed.
    voice: AtomicU64,
}

/// Lines about one filter that its host logs in a second, at most.
const LINES_PER_SECOND: u64 = 10;

impl Counters {
    /// Counts a verdict.
    pub(super) fn decided(&self, verdict: &Verdict, decision: Decision, took: Duration) {
        let counter = match verdict {
            Verdict::Forward => &self.forwards,
            Verdict::Answer(_) => &self.answers,
            Verdict::Delay(_) => &self.delays,
            Verdict::Drop => &self.drops,
            Verdict::Close(_) => &self.closes,
        };
        add(counter, 1);
        if decision == Decision::Shadowed && *verdict != Verdict::Forward {
            add(&self.shadowed, 1);
        }
        self.called(took);
    }

    /// Counts a failure and keeps its text.
    pub(super) fn failed(&self, failure: &Failure, took: Duration) {
        add(&self.failures, 1);
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((SystemTime::now(), failure.to_string()));
        drop(last);
        self.called(took);
    }

    fn called(&self, took: Duration) {
        add(&self.calls, 1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.nanos, nanos);
        let at = CALL_LIMITS.partition_point(|limit| *limit < nanos);
        if let Some(part) = self.times.get(at) {
            add(part, 1);
        }
    }

    /// Whether one more line about it may go into the log this second.
    pub(super) fn may_log(&self) -> bool {
        let second = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let packed = self.voice.load(Ordering::Relaxed);
        let lines = if packed >> 8 == second { packed & 0xff } else { 0 };
        if lines >= LINES_PER_SECOND {
            return false;
        }
        self.voice
            .store((second << 8) | (lines.saturating_add(1)), Ordering::Relaxed);
        true
    }

    /// When it failed last, and how.
    pub fn last_failure(&self) -> Option<(SystemTime, String)> {
        self.last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
