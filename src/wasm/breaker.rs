//! Leaving a filter alone that does nothing but fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that make a filter rest, when they came within [`WINDOW`].
const IN_A_ROW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_mins(1);

/// Counts failures in a row. One success starts the count over, so a client that has found a command at which the filter
/// trips cannot make it rest for everybody, as long as it works for others.
///
/// After a rest one call probes; while it does, and when it fails, the next rest runs, twice as long, up to a minute.
#[derive(Debug)]
pub(super) struct Breaker {
    start: Instant,
    /// Milliseconds since `start` until which the filter rests, and 1 more; 0 when it does not.
    until: AtomicU64,
    /// Failures in a row; read without the lock to learn that there is nothing to clear.
    row: AtomicU64,
    history: Mutex<History>,
}

#[derive(Debug, Default)]
struct History {
    failures: u32,
    first: Option<Instant>,
    rest: Duration,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            until: AtomicU64::new(0),
            row: AtomicU64::new(0),
            history: Mutex::default(),
        }
    }

    /// Whether the filter may be called; if not, how long it rests yet.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        if self.until.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Result<(), Duration> {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.until.load(Ordering::Acquire);
        if until == 0 {
            return Ok(());
        }
        let at = self.millis(now);
        if at < until {
            return Err(Duration::from_millis(until.saturating_sub(at)));
        }
        // This call probes. Others wait for as long as they would if it failed.
        self.rest(&mut history, now);
        Ok(())
    }

    /// A call went well.
    pub(super) fn succeeded(&self) {
        if self.row.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        *history = History::default();
        self.row.store(0, Ordering::Relaxed);
        self.until.store(0, Ordering::Release);
    }

    /// A call failed.
    pub(super) fn failed(&self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(&self, now: Instant) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        self.row.store(1, Ordering::Relaxed);
        if !history.rest.is_zero() {
            // The rest that the probe began goes on.
            return;
        }
        let is_recent = |first: &Instant| now.saturating_duration_since(*first) < WINDOW;
        if !history.first.as_ref().is_some_and(is_recent) {
            history.first = Some(now);
            history.failures = 0;
        }
        history.failures = history.failures.saturating_add(1);
        if history.failures >= IN_A_ROW {
            self.rest(&mut history, now);
        }
    }

    fn rest(&self, history: &mut History, now: Instant) {
        history.rest = match history.rest {
            Duration::ZERO => FIRST_REST,
            before => before.saturating_mul(2).min(LONGEST_REST),
        };
        let until = self.millis(now.checked_add(history.rest).unwrap_or(now));
        self.until.store(until.saturating_add(1), Ordering::Release);
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(breaker: &Breaker, ms: u64) -> Instant {
        breaker.start + Duration::from_millis(ms)
    }

    fn fail_often(breaker: &Breaker, ms: u64) {
        for _ in 0..IN_A_ROW {
            breaker.failed_at(at(breaker, ms));
        }
    }

    #[test]
    fn ten_failures_in_a_row_make_it_rest_and_one_call_probes_after_it() {
        let breaker = Breaker::new();
        fail_often(&breaker, 0);
        assert!(breaker.admit_at(at(&breaker, 500)).is_err());
        assert!(breaker.admit_at(at(&breaker, 1_001)).is_ok(), "the probe");
        assert!(breaker.admit_at(at(&breaker, 1_002)).is_err(), "only one");
        breaker.succeeded();
        assert!(breaker.admit_at(at(&breaker, 1_003)).is_ok());
        assert!(breaker.admit().is_ok());
    }

    #[test]
    fn rests_double_up_to_a_minute() {
        let breaker = Breaker::new();
        fail_often(&breaker, 0);
        let mut now = 0;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(breaker.admit_at(at(&breaker, now + seconds * 1_000 - 1)).is_err());
            now += seconds * 1_000 + 1;
            assert!(breaker.admit_at(at(&breaker, now)).is_ok(), "after {seconds} s");
            breaker.failed_at(at(&breaker, now));
        }
    }

    #[test]
    fn a_success_between_or_a_slow_drip_does_not_make_it_rest() {
        let breaker = Breaker::new();
        for _ in 0..50 {
            for _ in 1..IN_A_ROW {
                breaker.failed_at(at(&breaker, 0));
            }
            breaker.succeeded();
        }
        assert!(breaker.admit().is_ok());
        for n in 0..50 {
            breaker.failed_at(at(&breaker, n * 2_000));
        }
        assert!(breaker.admit().is_ok());
    }
}
