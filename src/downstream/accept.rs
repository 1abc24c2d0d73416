//! Accepts that fail: of one connection, which costs nobody else anything, or because something has run out.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use crate::session::Counts;

/// The first pause; each further one in a row is twice as long.
const FIRST: Duration = Duration::from_millis(10);
/// The longest: one descriptor that comes free is one client that waits no longer.
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait after accepts that failed. Until then clients wait in the system's backlog: no descriptor is kept
/// spare for turning them away, since they would only come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// An accept succeeded.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// An accept failed: waits if others would fail too.
    ///
    /// # Cancel safety
    /// Dropping the future ends the pause.
    pub(super) async fn after(&mut self, error: &io::Error, counts: &Counts) {
        if is_of_one(error) {
            counts.aborted.add();
            debug!(%error, "a connection was lost before it was accepted");
            return;
        }
        if let Some(left_out) = counts.exhausted.note() {
            warn!(%error, left_out, "cannot accept; trying again");
        }
        sleep(self.pause()).await;
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST);
        pause
    }
}

/// Whether the next accept may well succeed: the system reports what became of the connection at hand.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::Interrupted
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_start_again() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(backoff.pause(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_connection_does_not_pause_and_lack_of_descriptors_does() {
        let counts = Counts::default();
        let mut backoff = Backoff::default();
        let start = tokio::time::Instant::now();
        backoff.after(&ErrorKind::ConnectionAborted.into(), &counts).await;
        assert_eq!((start.elapsed(), counts.aborted.total()), (Duration::ZERO, 1));
        backoff.after(&io::Error::from_raw_os_error(24), &counts).await;
        assert!(start.elapsed() >= FIRST && counts.exhausted.total() == 1);
    }
}
