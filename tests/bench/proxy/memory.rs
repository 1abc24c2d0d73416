//! What a process keeps for clients that are connected and say nothing.

use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::cpu;
use super::frames::Traffic;
use super::job::{Job, float};
use super::plan::measure;
use super::subject::{Process, Subject, Upstream};

/// Idle connections; each takes two descriptors of a proxy.
const CONNECTIONS: u64 = 10_000;
/// Descriptors that a process needs for other things.
const OWN: u64 = 400;

/// Memory of one fresh process, bytes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) subject: String,
    /// Before anybody connected.
    pub(crate) idle: u64,
    /// How many connections were opened; each had sent a heartbeat and one command.
    pub(crate) connections: u64,
    pub(crate) connected: u64,
}

impl Memory {
    /// Bytes for each idle connection.
    pub(crate) fn each(&self) -> f64 {
        float(self.connected.saturating_sub(self.idle)) / float(self.connections.max(1))
    }
}

/// How many connections this system's descriptors allow, at most ten thousand.
fn allowed() -> u64 {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    (descriptors.saturating_sub(OWN) / 2).min(CONNECTIONS)
}

/// Weighs a subject that has just been started.
pub(crate) fn weigh(subject: &Subject, upstream: &Upstream) -> Option<Memory> {
    let proxy = subject.process.as_ref().map(Process::id)?;
    // What the start needed and nothing else does is given back by then.
    thread::sleep(Duration::from_secs(1));
    let idle = cpu::resident(proxy);
    let sample = measure(&Job {
        target: subject.address,
        binary: false,
        traffic: Traffic::Send,
        connections: 0,
        idle: usize::try_from(allowed()).unwrap(),
        depth: 1,
        rate: None,
        seconds: 1.0,
        processes: vec![upstream.process.id(), proxy],
    });
    Some(Memory {
        subject: subject.name.to_owned(),
        idle,
        connections: u64::try_from(sample.idle).unwrap(),
        connected: sample.resident[1],
    })
}
