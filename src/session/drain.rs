//! Leaving without losing anything: parked pulls are answered, the rest is finished, then the connection closes.

use std::collections::VecDeque;
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

/// Clients beat this often (`heartbeatBrokerInterval`), and now and then in between, when a group or a topic is new.
const BEAT_INTERVAL: Duration = Duration::from_secs(30);
/// Just before the next beat is the best moment to lose their connection.
const JUST_BEFORE_BEAT: Duration = Duration::from_millis(28_500);
/// Beats closer together than this are one, sent to several brokers.
const ONE_BEAT: Duration = Duration::from_millis(500);
/// How long no poll is answered before the client is let go: time for it to ask again after the last answer.
const HUSH: Duration = Duration::from_millis(150);
/// How long to wait for a moment in which nothing else is open.
const HUSH_LIMIT: Duration = Duration::from_secs(1);
/// Beats remembered.
const BEATS_KEPT: usize = 16;
/// Java clients from this version on beat as soon as they have a new connection (`V5_2_0`).
const BEATS_ON_CONNECT_SINCE: i32 = 453;
/// Java clients above this version follow `GO_AWAY` (`V5_3_1`).
const GO_AWAY_ABOVE: i32 = 475;

/// A client that was told to go away moves to a new connection and closes this one itself; when it says nothing for
/// this long, it is closed here.
pub(super) const LINGER: Duration = Duration::from_secs(3);

/// How far a session is with leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Leaving {
    /// It stays.
    #[default]
    No,
    /// It leaves as soon as nothing but polls is open; until then the client is served, but for the answers to polls,
    /// since this moment.
    Soon(Instant),
    /// Nothing new is waited for.
    Now,
}

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
            self.part_soon(&mut state);
        }
        self.flush_client(&mut state);
    }

    /// The moment has come, or the time is over.
    pub(super) fn expire_drain(&self, state: &mut State, now: Instant) {
        let Some((leave_at, deadline)) = state.leave_at else {
            return;
        };
        if deadline <= now {
            Self::leave(state);
        } else if leave_at <= now {
            self.part_soon(state);
        }
        let lingers = state.sent_away.map(|at| at + LINGER).filter(|until| *until > now);
        state.due_by(if state.leaving == Leaving::Now {
            lingers.unwrap_or(deadline.max(now))
        } else if let Leaving::Soon(since) = state.leaving {
            let next = [since + HUSH, since + HUSH_LIMIT];
            next.into_iter()
                .find(|at| *at > now)
                .unwrap_or(now)
                .min(deadline.max(now))
        } else {
            leave_at
        });
    }

    /// The moment has come: clients that know `GO_AWAY` hear it from now on, all others are let go at the next quiet moment.
    fn part_soon(&self, state: &mut State) {
        if self.sends_away(state) {
            Self::leave(state);
        } else if state.leaving == Leaving::No {
            let now = Instant::now();
            state.leaving = Leaving::Soon(now);
            state.due_by(now + HUSH);
        }
    }

    /// Lets the client go if its moment is now.
    ///
    /// Old Java clients do not notice that a poll was lost with its connection until it times out, half a minute later. So
    /// they lose none: for a moment no poll is answered, so that all of them are here; then no answer goes out at all until
    /// the last is here, so that nobody has a reason to ask anything; then all go out, polls are told that there is nothing
    /// new, and the connection is closed in the same segment.
    /// A client that follows `GO_AWAY` is known to its brokers by a new connection already; two of it would be taken for
    /// two members of its groups.
    pub(super) fn let_go(&self, state: &mut State) {
        if let Leaving::Soon(since) = state.leaving {
            let past = Instant::now().duration_since(since);
            if past < HUSH || (past < HUSH_LIMIT && !state.has_polls_alone()) {
                return;
            }
            Self::leave(state);
            #[cfg(target_os = "linux")]
            if let Err(error) = self.socket.options().set_tcp_cork(true) {
                tracing::debug!(%error, "the last answers and the end go one by one");
            }
        }
        if state.leaving == Leaving::Now && state.sent_away.is_some() && !state.is_busy() {
            for slot in state.links.values_mut() {
                slot.retired = true;
                slot.wake.notify_one();
            }
        }
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
        state.leaving = Leaving::Now;
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

impl State {
    /// Whether answers are kept back, to go out together with the end.
    pub(super) fn keeps_answers(&self, now: Instant) -> bool {
        matches!(self.leaving, Leaving::Soon(since) if now.duration_since(since) >= HUSH)
    }

    /// Whether nothing is open but what may be answered early.
    fn has_polls_alone(&self) -> bool {
        let mut open = self.links.values().flat_map(|slot| slot.link.open_requests());
        self.lookups == 0
            && self.gathers.is_empty()
            && self.parked.is_empty()
            && self.filters.holds_polls_alone()
            && open.all(|pending| is_parked(pending.code))
    }
}

/// Codes that brokers hold for long and that may be answered early.
pub(super) fn is_parked(code: Code) -> bool {
    is_pull(code) || code == rq::NOTIFICATION
}

/// When it is best for this client to go. Which of its last beats the clock made is not known; before the earliest that
/// one of them may announce is soon enough.
fn leave_at(state: &State, now: Instant) -> Instant {
    match &state.beat {
        Some(beat) if !beats_on_connect(&beat.own.0) => state.beats.before_next(now).unwrap_or(now),
        _ => now,
    }
}

/// When a client beat lately.
#[derive(Debug, Default)]
pub(super) struct Beats(VecDeque<Instant>);

impl Beats {
    /// It beats now; those to several brokers at a time are one.
    pub(super) fn note(&mut self, now: Instant) {
        if self
            .0
            .back()
            .is_some_and(|last| now.duration_since(*last) < ONE_BEAT)
        {
            return;
        }
        while self.0.len() >= BEATS_KEPT || self.0.front().is_some_and(|at| *at + JUST_BEFORE_BEAT <= now) {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// Just before the earliest moment at which the next may come.
    fn before_next(&self, now: Instant) -> Option<Instant> {
        let due = self.0.iter().find(|at| **at + BEAT_INTERVAL > now)?;
        Some((*due + JUST_BEFORE_BEAT).max(now))
    }
}

fn beats_on_connect(head: &Head) -> bool {
    head.language == Language::JAVA && head.version >= BEATS_ON_CONNECT_SINCE
}

/// The answer that makes a client ask again from where it was.
fn nothing_new(pending: &Pending) -> Command {
    empty_answer(pending.code, pending.kind, pending.opaque, pending.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_goes_before_the_earliest_beat_that_its_last_ones_may_announce() {
        let start = Instant::now();
        let mut beats = Beats::default();
        // The clock's at 1 s, and one of a producer that started later.
        beats.note(start + S);
        beats.note(start + S + S / 10);
        beats.note(start + 3 * S);
        assert_eq!(
            beats.before_next(start + 10 * S),
            Some(start + S + JUST_BEFORE_BEAT)
        );
        beats.note(start + 31 * S);
        assert_eq!(
            beats.before_next(start + 40 * S),
            Some(start + 31 * S + JUST_BEFORE_BEAT)
        );
        let almost = start + 60 * S;
        assert_eq!(beats.before_next(almost), Some(almost));
        assert_eq!(beats.before_next(start + 90 * S), None);
    }
}
