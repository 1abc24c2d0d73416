//! The live tail: finished commands for whoever is looking, and no cost while nobody is.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::Record;

/// Records kept for a reader that is slow; it is told how many it missed.
const BACKLOG: usize = 1_024;

/// Where finished commands are told. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Tail {
    sender: broadcast::Sender<Arc<Record>>,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
        }
    }
}

impl Tail {
    /// Everything told from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Record>> {
        self.sender.subscribe()
    }

    /// Whether anybody is looking; a record need not be made when nobody is.
    pub fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Tells of a command.
    pub fn tell(&self, record: Arc<Record>) {
        // Nobody may be looking any more.
        drop(self.sender.send(record));
    }
}
