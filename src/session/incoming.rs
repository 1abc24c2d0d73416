//! What comes in on one socket of a session: frames, for large ones memory first, each within its time.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::memory::From;
use crate::protocol::Frame;
use crate::socket::{Inbox, ReadError, Reservation, Stream};

/// The inbox of one socket, and what its frame in progress waits for.
pub(super) struct Incoming {
    inbox: Inbox,
    from: From,
    /// Since when the first frame that is not complete has been coming.
    since: Option<Instant>,
    waiting: Option<Waiting>,
}

type Waiting = Pin<Box<dyn Future<Output = Option<Reservation>> + Send>>;

impl Incoming {
    pub(super) fn new(inbox: Inbox, from: From) -> Self {
        Self {
            inbox: inbox.reserving(),
            from,
            since: None,
            waiting: None,
        }
    }

    /// The next complete frame.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        let frame = self.inbox.next_frame()?;
        if frame.is_some() {
            self.since = None;
        }
        Ok(frame)
    }

    /// Everything complete has been taken, and more is read or is not for now. While it is not, no frame is late; when it
    /// is and memory is wanted, it is asked for.
    pub(super) fn settle(&mut self, session: &Session, is_read: bool) {
        if !is_read || !self.inbox.is_partial() {
            self.since = None;
            // What is not read needs no place among those who wait.
            self.waiting = None;
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        let Some(bytes) = self.inbox.wants().filter(|_| self.waiting.is_none()) else {
            return;
        };
        let purse = session.purse(self.from);
        if let Some(reservation) = purse.try_reserve(bytes) {
            self.inbox.grant(reservation);
            return;
        }
        if let Some(left_out) = session.core.counts.memory_waits.note() {
            let from = match self.from {
                From::Client => "client",
                From::Broker => "broker",
            };
            tracing::info!(peer = %session.peer, from, bytes, left_out, "a large command waits for memory");
        }
        self.waiting = Some(Box::pin(purse.clone().reserve(bytes)));
    }

    /// When the frame in progress is late.
    pub(super) fn late_at(&self, limit: Duration) -> Option<Instant> {
        self.since.map(|since| since + limit)
    }

    /// Waits for memory if it is wanted, then for bytes, and reads once; whether anything was there.
    ///
    /// # Cancel safety
    /// Nothing is lost, the place among those who wait for memory neither.
    pub(super) async fn read(&mut self, socket: &Stream) -> Result<bool, ReadError> {
        if let Some(waiting) = &mut self.waiting {
            let reservation = waiting.await;
            self.waiting = None;
            if let Some(reservation) = reservation {
                self.inbox.grant(reservation);
                // From here on it is the peer's time.
                self.since = Some(Instant::now());
            }
        }
        socket.readable().await.map_err(ReadError::Io)?;
        self.inbox.fill(socket)
    }
}
