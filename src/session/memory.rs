//! The memory that commands on their way may take: of all sessions, and of one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::socket::{Budget, Purse};

/// How far a session's queues may move before the sum of all is told.
const STEP: usize = 64 << 10;

/// The memory of all sessions. Large frames of clients and of brokers have a quarter each, so that commands that wait
/// for their answers never stand in the way of these; queues may have half.
#[derive(Debug)]
pub struct Memory {
    clients: Budget,
    brokers: Budget,
    queued: AtomicUsize,
    queue_limit: AtomicUsize,
}

impl Memory {
    /// `bytes` in all.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            clients: Budget::new(bytes / 4),
            brokers: Budget::new(bytes / 4),
            queued: AtomicUsize::new(0),
            queue_limit: AtomicUsize::new(bytes / 2),
        })
    }

    /// Changes the size; what is in use stays so.
    pub fn resize(&self, bytes: usize) {
        self.clients.resize(bytes / 4);
        self.brokers.resize(bytes / 4);
        self.queue_limit.store(bytes / 2, Ordering::Relaxed);
    }

    /// What large frames of clients have.
    pub fn clients(&self) -> &Budget {
        &self.clients
    }

    /// What large frames of brokers have.
    pub fn brokers(&self) -> &Budget {
        &self.brokers
    }

    /// Bytes in the queues of all sessions, as far as they have told: each is at most 64 KiB ahead.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether so much is queued that who has something queued is not read.
    pub fn is_full(&self) -> bool {
        self.queued() > self.queue_limit.load(Ordering::Relaxed)
    }

    /// Whether anybody waits for memory.
    pub fn is_short(&self) -> bool {
        self.is_full() || self.clients.waiting() > 0 || self.brokers.waiting() > 0
    }
}

/// What one session has told of its queues. Dropping it takes that back.
#[derive(Debug)]
pub(super) struct Told {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Told {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// The session has this much in its queues now.
    pub(super) fn tell(&mut self, bytes: usize) {
        if bytes.abs_diff(self.bytes) < STEP && (bytes > 0 || self.bytes == 0) {
            return;
        }
        let sum = &self.memory.queued;
        sum.fetch_add(bytes, Ordering::Relaxed);
        sum.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.memory.queued.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What one session may have reserved for large frames; made when the first one comes.
#[derive(Debug, Default)]
pub(super) struct Purses {
    of_client: OnceLock<Purse>,
    of_brokers: OnceLock<Purse>,
}

/// Where a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Broker,
}

impl Purses {
    /// The purse for frames of this side; a session may have `most` bytes both ways together.
    pub(super) fn of(&self, from: From, memory: &Memory, most: usize) -> &Purse {
        let (purse, whole) = match from {
            From::Client => (&self.of_client, &memory.clients),
            From::Broker => (&self.of_brokers, &memory.brokers),
        };
        purse.get_or_init(|| Purse::new(most / 2, whole.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sessions_tell_comes_back_to_nothing() {
        let memory = Memory::new(1 << 20);
        let mut one = Told::new(Arc::clone(&memory));
        let mut two = Told::new(Arc::clone(&memory));
        one.tell(STEP - 1);
        assert_eq!(memory.queued(), 0, "small moves are not told");
        one.tell(300_000);
        two.tell(400_000);
        assert_eq!(memory.queued(), 700_000);
        assert!(memory.is_full() && memory.is_short());
        memory.resize(2 << 20);
        assert!(!memory.is_full());
        one.tell(0);
        assert_eq!(memory.queued(), 400_000);
        drop((one, two));
        assert_eq!(memory.queued(), 0);
    }
}
