//! Worker threads: each runs the sessions given to it, on a runtime of its own.
//!
//! All tasks of a session stay on one thread, so its lock is never contended and waking one of its tasks from another
//! costs no system call.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// The workers of a proxy. Dropping them ends their threads and whatever still runs there.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
    stop: CancellationToken,
}

impl Workers {
    /// Starts `count` threads, at least one.
    pub fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut handles = Vec::new();
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            std::thread::Builder::new()
                .name(format!("gimbal-worker-{number}"))
                .spawn(move || runtime.block_on(stop.cancelled()))?;
        }
        Ok(Self {
            handles,
            next: AtomicUsize::new(0),
            stop,
        })
    }

    /// The worker whose turn it is.
    pub fn next(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        // `start` makes at least one.
        self.handles
            .get(turn % self.handles.len().max(1))
            .unwrap_or_else(|| self.first())
    }

    #[expect(clippy::indexing_slicing, reason = "start makes at least one")]
    fn first(&self) -> &Handle {
        &self.handles[0]
    }
}

impl Workers {
    /// Ends the threads and whatever still runs on them.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}
