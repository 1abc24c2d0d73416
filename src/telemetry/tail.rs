//! The live tail: finished commands for whoever is looking, and no cost while nobody is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::broadcast;

use super::Record;

/// Records kept for a reader that is slow; it is told how many it missed.
const BACKLOG: usize = 1_024;

/// Where finished commands are told. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Tail {
    sender: broadcast::Sender<Arc<Record>>,
    /// Somebody may be looking: asked for every command, so that it must cost no lock.
    is_watched: Arc<AtomicBool>,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
            is_watched: Arc::default(),
        }
    }
}

impl Tail {
    /// Everything told from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Record>> {
        let reader = self.sender.subscribe();
        self.is_watched.store(true, Ordering::Relaxed);
        reader
    }

    /// Whether anybody is looking; a record need not be made when nobody is.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Tells of a command.
    pub fn tell(&self, record: Arc<Record>) {
        if self.sender.send(record).is_err() {
            // Nobody is looking any more, unless somebody has just come.
            self.is_watched.store(false, Ordering::Relaxed);
            if self.sender.receiver_count() > 0 {
                self.is_watched.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::record;

    #[tokio::test]
    async fn a_tail_is_watched_while_somebody_looks() {
        let tail = Tail::default();
        assert!(!tail.is_watched());
        let mut reader = tail.subscribe();
        assert!(tail.is_watched());
        tail.tell(Arc::new(record()));
        assert_eq!(*reader.recv().await.unwrap(), record());
        drop(reader);
        tail.tell(Arc::new(record()));
        assert!(!tail.is_watched());
    }
}
