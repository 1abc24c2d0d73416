//! How often what went wrong at the edge, and when it was last told.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::Sometimes;

/// One cause: how often it was met, and the turns of its log line.
#[derive(Debug, Default)]
pub struct Count {
    met: AtomicU64,
    told: Sometimes,
}

impl Count {
    /// How often it was met.
    pub fn total(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// It was met once more.
    pub fn add(&self) {
        self.met.fetch_add(1, Ordering::Relaxed);
    }

    /// It was met once more; whether it is time for a log line, and then how many were left out since the last.
    pub fn note(&self) -> Option<u64> {
        self.add();
        self.told.turn()
    }
}

/// What is counted of clients at the edge of a proxy, since its start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: Count,
    /// Accepts that failed because descriptors or the system's memory ran out.
    pub exhausted: Count,
    /// Connections that were lost before they could be accepted.
    pub aborted: Count,
    /// Connections that waited because `limits.connections` were open.
    pub waited_for_all: Count,
    /// Connections that waited because `connections` of their listener were open.
    pub waited_for_listener: Count,
    /// Connections that waited because `limits.openings` were in progress, all of them young.
    pub waited_for_openings: Count,
    /// Connections closed while it was not known what they speak, to make room for others.
    pub openings_cut: Count,
    /// Connections closed because too many came from their address.
    pub refused_by_address: Count,
    /// Connections closed because their user has too many.
    pub refused_by_user: Count,
    /// Sessions closed because a frame was above `limits.frame`.
    pub oversized: Count,
    /// Sessions closed because of what is not a command.
    pub malformed: Count,
    /// Sessions closed because a frame took longer than `timeouts.frame`.
    pub frame_late: Count,
    /// Large frames, of clients and of brokers, that waited for memory.
    pub memory_waits: Count,
    /// Sessions that were not read for a while because queues were too long in all.
    pub memory_holds: Count,
    /// Links to brokers that were given up because an answer took longer than `timeouts.frame`.
    pub answer_late: Count,
    /// Sessions closed because nothing was heard of the client.
    pub idle: Count,
    /// Sessions closed because the client took no bytes.
    pub stalled: Count,
}
