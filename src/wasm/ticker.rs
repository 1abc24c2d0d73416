//! The clock by which guests run out of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// How long one tick is.
const TICK: Duration = Duration::from_millis(1);
/// Ticks after the last call could have ended, before the thread lies down.
const LINGER: u64 = 1_000;

/// A thread that counts milliseconds for the engine while calls may be running, and sleeps otherwise: an idle proxy is
/// not woken a thousand times a second.
///
/// Ticks are counted, not time: on a machine so loaded that the thread oversleeps, guests get longer rather than being
/// stopped for what is not their fault.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// A call has begun since the last tick.
    used: AtomicBool,
    /// The thread lies down, or is about to.
    asleep: AtomicBool,
    stop: AtomicBool,
    /// Ticks of the longest budget there is.
    longest: AtomicU64,
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("filter-ticker".to_owned())
            .spawn(move || of_thread.run(&engine))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Ticks of a budget: the deadline of a call that may take that long. It may begin anywhere between two ticks, so one
    /// more than fits. Calls of this length are waited for from now on.
    pub(super) fn ticks(&self, budget: Duration) -> u64 {
        let ticks = u64::try_from(budget.as_micros().div_ceil(TICK.as_micros()))
            .unwrap_or(u64::MAX)
            .clamp(1, 3_600_000)
            .saturating_add(1);
        self.shared.longest.fetch_max(ticks, Ordering::SeqCst);
        ticks
    }

    /// A call begins: the clock must run until it is over.
    pub(super) fn begin(&self) {
        let shared = &*self.shared;
        // The common case: another call of this millisecond has said it already.
        if shared.used.load(Ordering::Relaxed) {
            return;
        }
        shared.used.store(true, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It ends within a tick; whether it panicked does not matter any more.
            drop(thread.join());
        }
    }
}

impl Shared {
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread does nothing but sleep and count"
    )]
    fn run(&self, engine: &Engine) {
        let mut left = 0_u64;
        while !self.stop.load(Ordering::SeqCst) {
            if self.used.swap(false, Ordering::SeqCst) {
                left = self.longest.load(Ordering::SeqCst).saturating_add(LINGER);
            }
            if left == 0 {
                self.lie_down();
                continue;
            }
            thread::sleep(TICK);
            engine.increment_epoch();
            left = left.saturating_sub(1);
        }
    }

    /// Sleeps until a call begins. It announces that first: a call that begins meanwhile either is seen here or wakes it.
    fn lie_down(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        if !self.used.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}
