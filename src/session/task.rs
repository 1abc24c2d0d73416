//! The session's own task: reads the client, keeps time, ends the session.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::{End, Session};
use crate::metrics::{Traffic, list};
use crate::protocol::Head;
use crate::socket::{Inbox, Progress, ReadError};
use crate::telemetry::Outcome;

/// How long a client may take to close after the proxy has said its last.
const PARTING_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);
/// How far ahead the timer is set when nothing is due.
const FAR: std::time::Duration = std::time::Duration::from_hours(1);

/// Serves one client until it leaves, is idle too long, or the proxy has drained it.
///
/// # Cancel safety
/// Dropping the future closes the client's connection and all its links.
pub async fn run(session: Arc<Session>, inbox: Inbox) {
    let tally = &session.core.observers.metrics.tally;
    let door = session.place.door.name();
    tally.count(list::CONNECTIONS_OPENED, &[&door]);
    tally.add(list::CONNECTIONS, &[&door], 1.0);
    let end = session.serve(inbox).await;
    session.take_leave();
    let mut tasks = {
        let mut state = session.lock();
        state.links.clear();
        std::mem::take(&mut state.tasks)
    };
    // The brokers must see this client gone before it comes back.
    tasks.shutdown().await;
    session.account_for(&end);
    if matches!(end, End::Drained | End::Closed(_)) {
        session.part().await;
    }
    match end {
        End::Malformed(what) => debug!(peer = %session.peer, error = what, "closed: not a command"),
        End::Gone(how) => debug!(peer = %session.peer, reason = how, "the client is gone"),
        End::Idle => debug!(peer = %session.peer, "closed: silent for too long"),
        End::Closed(reason) => debug!(peer = %session.peer, reason, "closed: a filter says so"),
        End::Drained => debug!(peer = %session.peer, "closed: the proxy is leaving"),
    }
}

impl Session {
    /// What is open has been abandoned, and the connection is one that ended.
    fn account_for(&self, end: &End) {
        let (reason, outcome) = match end {
            End::Gone(_) => ("gone", Outcome::Abandoned),
            End::Malformed(_) => ("malformed", Outcome::Abandoned),
            End::Idle => ("idle", Outcome::Abandoned),
            End::Drained => ("drained", Outcome::Abandoned),
            End::Closed(_) => ("filter", Outcome::Closed),
        };
        self.lock().abandon(outcome);
        let tally = &self.core.observers.metrics.tally;
        tally.count(list::CONNECTIONS_CLOSED, &[reason]);
        tally.add(list::CONNECTIONS, &[&self.place.door.name()], -1.0);
    }

    async fn serve(self: &Arc<Self>, mut inbox: Inbox) -> End {
        let mut drain = self.core.drain.clone();
        let mut filters = self.core.filters.generations();
        filters.mark_unchanged();
        self.chain_changed();
        let mut leaving = false;
        let mut timer = pin!(sleep_until(
            Instant::now() + self.core.config.load().timeouts.idle
        ));
        loop {
            let status = match self.turn(&mut inbox) {
                Ok(status) => status,
                Err(end) => return end,
            };
            if let Some(due) = status.due
                && due < timer.deadline()
            {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                ready = self.socket.readable(), if status.reading => {
                    if let Err(error) = ready.map_err(ReadError::Io).and_then(|()| inbox.fill(&self.socket)) {
                        return error.into();
                    }
                }
                ready = self.socket.writable(), if status.blocked => {
                    if let Err(error) = ready {
                        return End::Gone(error.to_string());
                    }
                }
                () = self.wake.notified() => {}
                () = timer.as_mut() => {
                    let Some(next) = self.expire() else { return End::Idle };
                    timer.as_mut().reset(next);
                }
                Ok(()) = filters.changed() => self.chain_changed(),
                changed = drain.changed(), if !leaving => {
                    if changed.is_err() {
                        return End::Drained;
                    }
                    if let Some(deadline) = *drain.borrow_and_update() {
                        leaving = true;
                        self.begin_drain(deadline);
                    }
                }
            }
        }
    }

    /// Says goodbye: closing a socket with unread bytes in it would take the last answers back from the client.
    async fn part(&self) {
        if self.socket.close_write().is_err() {
            return;
        }
        let read_out = async {
            let mut inbox = Inbox::new(usize::MAX);
            while self.socket.readable().await.is_ok() && inbox.discard(&self.socket) {}
        };
        // The client has had its answers for this long; what it still says is for the next connection.
        drop(timeout(PARTING_LIMIT, read_out).await);
    }

    /// Takes what has been read, writes what can be written.
    fn turn(self: &Arc<Self>, inbox: &mut Inbox) -> Result<Status, End> {
        let config = self.core.config.load();
        let mut state = self.lock();
        let now = Instant::now();
        let full = |state: &super::State| state.is_full(config.limits.queue);
        // While leaving, nothing more is read, except to tell clients to go elsewhere.
        let taking = |state: &super::State| !state.draining || self.sends_away(state);
        loop {
            while !full(&state) && taking(&state) {
                let Some(frame) = inbox.next_frame()? else { break };
                let head = Head::scan(&frame).map_err(ReadError::Decode)?;
                state.heard = now;
                state.tally.bytes_in = state.tally.bytes_in.saturating_add(frame.len() as u64);
                self.core
                    .observers
                    .metrics
                    .commands
                    .moved(Traffic::FromClient, frame.len());
                if head.is_response() {
                    self.client_answered(&mut state, &head, frame);
                } else {
                    state.tally.requests = state.tally.requests.saturating_add(1);
                    state.pace.count(now);
                    self.request(&mut state, head, frame, now);
                }
            }
            let was_full = full(&state);
            state.flush_links(now);
            // What has been read already will not make the socket readable again.
            if !was_full || full(&state) {
                break;
            }
        }
        if state.is_drained(now, self.sends_away(&state)) {
            return Err(match state.closed.take() {
                Some(reason) => End::Closed(reason),
                None => End::Drained,
            });
        }
        let blocked = match self.write_client(&mut state, config.limits.queue) {
            Ok(progress) => progress == Progress::Blocked,
            Err(error) => return Err(End::Gone(error.to_string())),
        };
        // A client that does not read its answers is not read either.
        let reading = taking(&state) && !full(&state) && state.client.len() <= config.limits.queue;
        state.held = !reading;
        Ok(Status {
            reading,
            blocked,
            due: state.due,
        })
    }

    /// Writes to the client from another task; what does not fit is left to the session's own.
    pub(super) fn flush_client(&self, state: &mut super::State) {
        let limit = self.core.config.load().limits.queue;
        match self.write_client(state, limit) {
            Ok(Progress::Done) => {}
            // A failed socket is seen by the session's own task as well.
            Ok(Progress::Blocked) | Err(_) => self.wake.notify_one(),
        }
    }

    /// Writes what the client takes, and lets brokers be read again when that made room.
    fn write_client(&self, state: &mut super::State, limit: usize) -> std::io::Result<Progress> {
        let pushed = state.client.take_pushed();
        state.ledger.sent(Traffic::ToClient, pushed);
        let was_full = state.client.len() > limit;
        let progress = state.client.flush(&self.socket);
        if was_full && state.client.len() <= limit {
            self.client_room.notify_waiters();
        }
        progress
    }

    /// Ends what has waited too long; when to look again, or `None` when the client itself has been silent too long.
    fn expire(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let idle_at = {
            let mut state = self.lock();
            let idle_at = state.heard + self.core.config.load().timeouts.idle;
            if idle_at <= now {
                return None;
            }
            state.due = None;
            self.expire_requests(&mut state, now);
            if let Some(next) = self.expire_held(&mut state, now) {
                state.due_by(next);
            }
            state.flush_links(now);
            Self::expire_drain(&mut state, now);
            state.due_by(idle_at);
            state.due
        };
        Some(idle_at.unwrap_or(now + FAR))
    }
}

/// What the session's task waits for next.
struct Status {
    reading: bool,
    blocked: bool,
    due: Option<Instant>,
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Decode(error) => Self::Malformed(error.to_string()),
            other => Self::Gone(other.to_string()),
        }
    }
}
