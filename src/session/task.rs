//! The session's own task: reads the client, keeps time, ends the session.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

use super::drain::Leaving;
use super::incoming::Incoming;
use super::memory::From as Side;
use super::state::STUCK_LIMIT;
use super::{End, Session};
use crate::config::Limits;
use crate::metrics::{Traffic, list};
use crate::protocol::{DecodeError, Frame};
use crate::route::Named;
use crate::socket::{Inbox, Progress, ReadError};
use crate::telemetry::Outcome;

/// How long a client may take to close after the proxy has said its last.
const PARTING_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);
/// How often a session that is not read since memory is short looks again.
const MEMORY_LOOK: std::time::Duration = std::time::Duration::from_secs(1);
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
    session.tell(&end);
}

impl Session {
    /// Counts an end, and says why it came; of what a client can do at will, once in a while.
    fn tell(&self, end: &End) {
        let peer = self.peer;
        let counts = &self.core.counts;
        let (count, what, why) = match end {
            End::Gone(how) => return debug!(%peer, reason = how, "the client is gone"),
            End::Closed(reason) => return debug!(%peer, reason, "closed: a filter or a limit says so"),
            End::Drained => return debug!(%peer, "closed: the proxy is leaving"),
            End::Malformed(what) => (&counts.malformed, &**what, "closed: not a command"),
            End::Oversized(what) => (&counts.oversized, &**what, "closed: a command is too large"),
            End::FrameLate => (
                &counts.frame_late,
                "timeouts.frame",
                "closed: a command took too long to come",
            ),
            End::Stalled => (
                &counts.stalled,
                "timeouts.stalled",
                "closed: the client reads nothing",
            ),
            End::Idle => (&counts.idle, "timeouts.idle", "closed: silent for too long"),
        };
        if let Some(left_out) = count.note() {
            info!(%peer, error = what, left_out, "{why}");
        }
    }

    /// What is open has been abandoned, and the connection is one that ended.
    fn account_for(&self, end: &End) {
        let (reason, outcome) = match end {
            End::Gone(_) => ("gone", Outcome::Abandoned),
            End::Malformed(_) => ("malformed", Outcome::Abandoned),
            End::Oversized(_) => ("oversized", Outcome::Abandoned),
            End::FrameLate => ("frame-late", Outcome::Abandoned),
            End::Stalled => ("stalled", Outcome::Abandoned),
            End::Idle => ("idle", Outcome::Abandoned),
            End::Drained => ("drained", Outcome::Abandoned),
            End::Closed(_) => ("filter", Outcome::Closed),
        };
        self.lock().abandon(outcome);
        let tally = &self.core.observers.metrics.tally;
        tally.count(list::CONNECTIONS_CLOSED, &[reason]);
        tally.add(list::CONNECTIONS, &[&self.place.door.name()], -1.0);
    }

    async fn serve(self: &Arc<Self>, inbox: Inbox) -> End {
        let mut incoming = Incoming::new(inbox, Side::Client);
        let mut drain = self.core.drain.clone();
        let mut filters = self.core.filters.generations();
        filters.mark_unchanged();
        self.chain_changed();
        let mut leaving = false;
        let mut timer = pin!(sleep_until(
            Instant::now() + self.core.config.load().timeouts.idle
        ));
        let mut woken = pin!(self.wake.notified());
        loop {
            // Who changes the chain or lets the proxy leave wakes every session.
            if filters.has_changed().unwrap_or_default() {
                filters.mark_unchanged();
                self.chain_changed();
            }
            if !leaving && drain.has_changed().unwrap_or(true) {
                let Some(deadline) = *drain.borrow_and_update() else {
                    return End::Drained;
                };
                leaving = true;
                self.begin_drain(deadline);
            }
            let status = match self.turn(&mut incoming) {
                Ok(status) => status,
                Err(end) => return end,
            };
            if let Some(due) = status.due
                && due < timer.deadline()
            {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                read = incoming.read(&self.socket), if status.reading => {
                    if let Err(error) = read {
                        return error.into();
                    }
                }
                ready = self.socket.writable(), if status.blocked => {
                    if let Err(error) = ready {
                        return End::Gone(error.to_string());
                    }
                }
                () = woken.as_mut() => woken.set(self.wake.notified()),
                () = timer.as_mut() => {
                    match self.expire(&incoming) {
                        Ok(next) => timer.as_mut().reset(next),
                        Err(end) => return end,
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
    fn turn(self: &Arc<Self>, incoming: &mut Incoming) -> Result<Status, End> {
        let config = self.core.config.load();
        let mut state = self.lock();
        let now = Instant::now();
        let full = |state: &super::State| state.is_full(&config.limits);
        // While leaving, nothing more is read, except to tell clients to go elsewhere.
        let taking = |state: &super::State| state.leaving != Leaving::Now || self.sends_away(state);
        loop {
            while !full(&state) && taking(&state) {
                let Some(frame) = incoming.next_frame()? else {
                    break;
                };
                self.take(&mut state, frame, now)?;
            }
            let was_full = full(&state);
            state.flush_links(now);
            // What has been read already will not make the socket readable again.
            if !was_full || full(&state) {
                break;
            }
        }
        self.let_go(&mut state);
        state.reap();
        let blocked = match self.write_client(&mut state, &config.limits) {
            Ok(progress) => progress == Progress::Blocked,
            Err(error) => return Err(End::Gone(error.to_string())),
        };
        if state.is_drained(now, self.sends_away(&state)) {
            return Err(match state.closed.take() {
                Some(reason) => End::Closed(reason),
                None => End::Drained,
            });
        }
        // A client that does not read its answers is not read either.
        let mut reading = taking(&state) && !full(&state) && state.client.len() <= config.limits.queue;
        // Who has nothing waiting costs next to nothing, and is read whatever others do.
        if state.on_its_way() > 0 && self.core.memory.is_full() {
            if reading && !state.held {
                self.note_memory_hold();
            }
            reading = false;
            // Others make room without a word.
            state.due_by(now + MEMORY_LOOK);
        }
        state.held = !reading;
        incoming.settle(self, reading);
        let late = incoming.late_at(config.timeouts.frame);
        Ok(Status {
            reading,
            blocked,
            due: state.due.into_iter().chain(late).min(),
        })
    }

    /// Takes one command of the client.
    fn take(self: &Arc<Self>, state: &mut super::State, frame: Frame, now: Instant) -> Result<(), End> {
        let (head, names) = Named::scan(&frame).map_err(ReadError::Decode)?;
        state.heard = now;
        state.carried.bytes_in = state.carried.bytes_in.saturating_add(frame.len() as u64);
        let commands = &self.core.observers.metrics.commands;
        commands.moved(Traffic::FromClient, frame.len());
        if head.is_response() {
            self.client_answered(state, &head, frame);
        } else {
            state.carried.requests = state.carried.requests.saturating_add(1);
            state.pace.count(now);
            let course = state.begin(&head, &frame, &names, now);
            self.request(state, (head, frame, course), now);
        }
        Ok(())
    }

    /// Writes to the client from another task; what does not fit is left to the session's own.
    pub(super) fn flush_client(&self, state: &mut super::State) {
        let config = self.core.config.load();
        match self.write_client(state, &config.limits) {
            Ok(Progress::Done) => {}
            // A failed socket is seen by the session's own task as well.
            Ok(Progress::Blocked) | Err(_) => self.wake.notify_one(),
        }
    }

    /// Writes what the client takes, and lets brokers be read again when that made room.
    fn write_client(&self, state: &mut super::State, limits: &Limits) -> std::io::Result<Progress> {
        if state.keeps_answers(Instant::now()) {
            return Ok(Progress::Done);
        }
        let pushed = state.client.take_pushed();
        state.ledger.sent(Traffic::ToClient, pushed);
        let before = state.client.len();
        let progress = state.client.flush(&self.socket);
        if matches!(progress, Ok(Progress::Blocked)) {
            let now = Instant::now();
            let taken = before.saturating_sub(state.client.len());
            if state.reader.is_blocked(taken, now) {
                let patience = self.core.config.load().timeouts.stalled.min(STUCK_LIMIT);
                state.due_by(now + patience);
            }
        } else {
            state.reader.stalled_since = None;
        }
        if state.reader.links_wait && !self.has_enough(state, limits) {
            state.reader.links_wait = false;
            self.client_room.notify_waiters();
        }
        let queued = state.queued();
        state.told.tell(queued);
        progress
    }

    /// Whether so much waits for the client that its brokers are not read.
    pub(super) fn has_enough(&self, state: &super::State, limits: &Limits) -> bool {
        let waiting = state.client.len();
        waiting > limits.queue || (waiting > 0 && self.core.memory.is_full())
    }

    fn note_memory_hold(&self) {
        if let Some(left_out) = self.core.counts.memory_holds.note() {
            let queued = self.core.memory.queued();
            info!(
                queued,
                left_out, "queues are full in all: clients with something waiting are not read"
            );
        }
    }

    /// Ends what has waited too long; when to look again, or why the session ends.
    fn expire(self: &Arc<Self>, incoming: &Incoming) -> Result<Instant, End> {
        let now = Instant::now();
        let config = self.core.config.load_full();
        let timeouts = &config.timeouts;
        let late_at = incoming.late_at(timeouts.frame);
        if late_at.is_some_and(|at| at <= now) {
            return Err(End::FrameLate);
        }
        let due = {
            let mut state = self.lock();
            let idle_at = state.heard + timeouts.idle;
            if idle_at <= now {
                return Err(End::Idle);
            }
            state.due = None;
            if let Some(since) = state.reader.stalled_since {
                let is_short = self.core.memory.is_short();
                let patience = if is_short { STUCK_LIMIT } else { timeouts.stalled };
                let end = since + patience.min(timeouts.stalled);
                if end <= now {
                    return Err(End::Stalled);
                }
                state.due_by(end.min(now + STUCK_LIMIT));
            }
            self.expire_requests(&mut state, now);
            if let Some(next) = self.expire_held(&mut state, now) {
                state.due_by(next);
            }
            state.flush_links(now);
            self.expire_drain(&mut state, now);
            state.due_by(idle_at);
            state.due
        };
        let next = due.into_iter().chain(late_at).min();
        Ok(next.unwrap_or(now + FAR))
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
            ReadError::Decode(error @ DecodeError::Length { length: 4.., .. }) => {
                Self::Oversized(error.to_string())
            }
            ReadError::Decode(error) => Self::Malformed(error.to_string()),
            other => Self::Gone(other.to_string()),
        }
    }
}
