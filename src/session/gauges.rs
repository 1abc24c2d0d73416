//! What goes up and down with a session: counted while it lives, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Core, State};
use crate::metrics::list;

/// What waits in sessions now.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Commands that a filter's delay holds.
    pub held: AtomicU64,
    /// Commands that wait for a route.
    pub parked: AtomicU64,
}

/// The share of one session in [`Waiting`].
#[derive(Debug)]
pub(super) struct Share {
    waiting: Arc<Waiting>,
    held: u64,
    parked: u64,
}

impl Share {
    /// Nothing waits.
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        Self {
            waiting,
            held: 0,
            parked: 0,
        }
    }

    fn set(&mut self, held: u64, parked: u64) {
        for (counter, old, new) in [
            (&self.waiting.held, &mut self.held, held),
            (&self.waiting.parked, &mut self.parked, parked),
        ] {
            if *old != new {
                // Wraps around on the way down, and back.
                counter.fetch_add(new.wrapping_sub(*old), Ordering::Relaxed);
                *old = new;
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

impl State {
    /// Brings the share of this session up to date; called once per turn.
    pub(super) fn count_waiting(&mut self) {
        if self.parked.is_empty() && self.filters.held.is_empty() {
            return self.share.set(0, 0);
        }
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let parked = self
            .parked
            .values()
            .fold(0, |sum: u64, waiting| sum.saturating_add(count(waiting.len())));
        self.share.set(count(self.filters.held.len()), parked);
    }
}

/// A link that counts as open until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    core: Arc<Core>,
    broker: Arc<str>,
}

impl Counted {
    /// A link to this broker.
    pub(super) fn new(core: &Arc<Core>, broker: &Arc<str>) -> Self {
        core.observers.metrics.tally.add(list::LINKS, &[broker], 1.0);
        Self {
            core: Arc::clone(core),
            broker: Arc::clone(broker),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.core
            .observers
            .metrics
            .tally
            .add(list::LINKS, &[&self.broker], -1.0);
    }
}
