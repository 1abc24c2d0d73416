//! Leaving without losing anything: parked pulls are answered, the rest is finished, then the connection closes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::held::empty_answer;
use super::request::is_pull;
use super::{Session, State};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Head, Language};
use crate::telemetry::Outcome;
use crate::upstream::Pending;

/// Clients beat every 30 s; just before that is the best moment to lose their connection.
const JUST_BEFORE_BEAT: Duration = Duration::from_millis(28_500);
/// Java clients from this version on beat as soon as they have a new connection (`V5_2_0`).
const BEATS_ON_CONNECT_SINCE: i32 = 453;
/// Java clients above this version follow `GO_AWAY` (`V5_3_1`).
const GO_AWAY_ABOVE: i32 = 475;

/// A client that was told to go away moves to a new connection and closes this one itself; when it says nothing for
/// this long, it is closed here.
pub(super) const LINGER: Duration = Duration::from_secs(3);

impl Session {
    /// The proxy leaves; this session has until `deadline`.
    pub(super) fn begin_drain(self: &Arc<Self>, deadline: Instant) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.closed.is_some() {
            return;
        }
        let leave_at = leave_at(&state, now).min(deadline);
        state.due_by(leave_at);
        state.leave_at = Some((leave_at, deadline));
        if leave_at <= now {
            Self::leave(&mut state);
        }
        self.flush_client(&mut state);
    }

    /// The moment has come, or the time is over.
    pub(super) fn expire_drain(state: &mut State, now: Instant) {
        let Some((leave_at, deadline)) = state.leave_at else {
            return;
        };
        if leave_at <= now {
            Self::leave(state);
        }
        let lingers = state.sent_away.map(|at| at + LINGER).filter(|until| *until > now);
        state.due_by(if state.draining {
            lingers.unwrap_or(deadline.max(now))
        } else {
            leave_at
        });
    }

    /// Whether this client is told to go away rather than closed: only where the operator says that another instance
    /// takes this address already, and only clients that know what it means.
    pub(super) fn sends_away(&self, state: &State) -> bool {
        let knows_it = |(language, version)| language == Language::JAVA && version > GO_AWAY_ABOVE;
        self.core.config.load().drain.go_away && state.closed.is_none() && state.speaks.is_some_and(knows_it)
    }

    /// Answers parked pulls with nothing new, so that their clients ask again elsewhere. A parked pop may take
    /// messages any moment and is let run.
    pub(super) fn leave(state: &mut State) {
        state.draining = true;
        state.give_up_polls();
        let ids: Vec<u32> = state.links.keys().copied().collect();
        for id in ids {
            let Some(slot) = state.links.get_mut(&id) else {
                continue;
            };
            for lost in slot.link.take_if(&|pending| is_parked(pending.code)) {
                state.answer_as(Outcome::Answered, &nothing_new(&lost.pending));
            }
        }
    }
}

/// Codes that brokers hold for long and that may be answered early.
fn is_parked(code: Code) -> bool {
    is_pull(code) || code == rq::NOTIFICATION
}

/// When it is best for this client to go.
fn leave_at(state: &State, now: Instant) -> Instant {
    match &state.beat {
        Some(beat) if !beats_on_connect(&beat.own.0) => (beat.at + JUST_BEFORE_BEAT).max(now),
        _ => now,
    }
}

fn beats_on_connect(head: &Head) -> bool {
    head.language == Language::JAVA && head.version >= BEATS_ON_CONNECT_SINCE
}

/// The answer that makes a client ask again from where it was.
fn nothing_new(pending: &Pending) -> Command {
    empty_answer(pending.code, pending.kind, pending.opaque, pending.offset)
}
