//! What may happen ten thousand times a second is told once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often one cause is told.
const EVERY: Duration = Duration::from_secs(5);

/// The turns of one log line: at most one in five seconds, which says how many were left out.
///
/// One of these belongs to one cause. The first time is always told; those left out are counted in the next line.
#[derive(Debug, Default)]
pub struct Sometimes(Mutex<Turns>);

#[derive(Debug, Default)]
struct Turns {
    told: Option<Instant>,
    left_out: u64,
}

impl Sometimes {
    /// One that has told nothing yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Turns {
            told: None,
            left_out: 0,
        }))
    }

    /// Whether it is time for a line: then, how many were left out since the last. Put that into the line.
    pub fn turn(&self) -> Option<u64> {
        let now = Instant::now();
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.told.is_some_and(|told| now.duration_since(told) < EVERY) {
            turns.left_out = turns.left_out.saturating_add(1);
            return None;
        }
        turns.told = Some(now);
        Some(std::mem::take(&mut turns.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_line_says_how_many_were_left_out() {
        let sometimes = Sometimes::new();
        assert_eq!(sometimes.turn(), Some(0), "the first is told");
        for _ in 0..7 {
            assert_eq!(sometimes.turn(), None);
        }
        tokio::time::advance(EVERY).await;
        assert_eq!(sometimes.turn(), Some(7));
        tokio::time::advance(EVERY).await;
        assert_eq!(sometimes.turn(), Some(0), "each is counted once");
    }
}
