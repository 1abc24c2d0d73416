//! What the generator is told, and what it reports: one line of JSON each way.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::frames::Traffic;

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) target: SocketAddr,
    pub(crate) binary: bool,
    pub(crate) traffic: Traffic,
    pub(crate) connections: usize,
    /// Connections beside those that sent one heartbeat and one command, and then nothing.
    pub(crate) idle: usize,
    /// Commands in flight on each connection, when there is no `rate`.
    pub(crate) depth: u64,
    /// Commands a second in all: sent when their time has come, whatever was answered.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    /// The proxy and the sink; what they use in the time measured is reported.
    pub(crate) processes: Vec<u32>,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Commands answered in the time measured.
    pub(crate) commands: u64,
    pub(crate) seconds: f64,
    /// Processor time of the generator, and of the processes asked for, seconds.
    pub(crate) own: f64,
    pub(crate) used: Vec<f64>,
    /// Wake-ups of those processes.
    pub(crate) wakeups: Vec<u64>,
    /// Their memory at the end, with all connections open, bytes.
    pub(crate) resident: Vec<u64>,
    /// Idle connections that could be opened.
    pub(crate) idle: usize,
    /// From the time that a command was to be sent to its answer, microseconds: p50, p99, p99.9.
    pub(crate) latency: Option<[f64; 3]>,
    /// Why the figures mean nothing.
    pub(crate) void: Option<String>,
}

impl Sample {
    /// Processor time for each command of the process `at`, microseconds.
    pub(crate) fn each(&self, at: usize) -> f64 {
        per(self.used[at], self.commands)
    }

    /// The same of the generator.
    pub(crate) fn own_each(&self) -> f64 {
        per(self.own, self.commands)
    }

    pub(crate) fn per_second(&self) -> f64 {
        float(self.commands) / self.seconds
    }
}

fn per(seconds: f64, commands: u64) -> f64 {
    seconds * 1e6 / float(commands.max(1))
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench stay far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
