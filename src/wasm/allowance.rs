//! When a guest is out of time: by the processor time it has used, since a thread that waits for a processor uses none.

use std::time::{Duration, Instant};

use wasmtime::UpdateDeadline;

/// On a machine so busy that a guest hardly runs, it is stopped after this many budgets all the same, or after
/// [`LEAST_WAIT`], whichever is longer: a worker thread serves many clients.
const BUDGETS_WAITED: u32 = 20;
/// See [`BUDGETS_WAITED`].
const LEAST_WAIT: Duration = Duration::from_millis(500);

/// The time of one call.
///
/// The engine's clock counts milliseconds whoever runs. When it says that the budget is over, the processor time of this
/// thread is noted and the guest gets its budget once more; it is stopped when it has really used that. So a guest is
/// stopped after one to two budgets of its own time, and a call that is within its budget costs no look at any clock.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    budget: Duration,
    ticks: u64,
    first: Option<(Instant, Option<Duration>)>,
}

impl Allowance {
    /// A call begins that may take this long, which is so many ticks.
    pub(super) fn begin(&mut self, budget: Duration, ticks: u64) {
        *self = Self {
            budget,
            ticks,
            first: None,
        };
    }

    /// The ticks are over.
    #[expect(
        clippy::disallowed_methods,
        reason = "a guest runs in real time, whatever clock a test pauses"
    )]
    pub(super) fn is_over(&mut self) -> UpdateDeadline {
        let (now, used) = (Instant::now(), processor_time());
        let Some((since, before)) = self.first else {
            self.first = Some((now, used));
            return UpdateDeadline::Continue(self.ticks);
        };
        let ran = used.zip(before).map(|(used, before)| used.saturating_sub(before));
        // The system brings its account up to date every few milliseconds only.
        let has_used = ran.is_none_or(|ran| ran >= self.budget / 2);
        let waited = now.duration_since(since) >= LEAST_WAIT.max(self.budget.saturating_mul(BUDGETS_WAITED));
        if has_used || waited {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Continue(self.ticks)
        }
    }
}

/// Processor time of this thread; `None` where the system does not say.
fn processor_time() -> Option<Duration> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    account.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped_after(allowance: &mut Allowance, mut between: impl FnMut()) -> usize {
        (1..200)
            .find(|_| {
                between();
                matches!(allowance.is_over(), UpdateDeadline::Interrupt)
            })
            .unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the guest here is this thread")]
    fn a_guest_that_runs_is_stopped_and_one_that_waits_is_not() {
        let budget = Duration::from_millis(20);
        let mut allowance = Allowance::default();
        allowance.begin(budget, 21);
        let run = || {
            let began = processor_time().unwrap_or_default();
            let wall = Instant::now();
            while processor_time().map_or(wall.elapsed(), |now| now.saturating_sub(began)) < budget {
                std::hint::spin_loop();
            }
        };
        let looks = stopped_after(&mut allowance, run);
        assert!(looks <= 3, "stopped at look {looks}");

        if processor_time().is_some() {
            allowance.begin(budget, 21);
            let looks = (0..5).filter(|_| matches!(allowance.is_over(), UpdateDeadline::Interrupt));
            assert_eq!(looks.count(), 0, "it has used nothing");
        }
    }
}
