//! Requests on their way through the chain: who signed them, what the filters say, and what goes on to a broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use super::dispatch::Course;
use super::held::{Held, Stage};
use super::request::Request;
use super::{Session, State};
use crate::auth::{Identity, Refusal, Seal};
use crate::config::Config;
use crate::filter::{
    Answer, Asked, Chain, Names, Outcome as Verdict, Parts, Phase, Signed, Subject, Way, names, quiet_code,
    waits_for_messages,
};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Frame, Head, Index, response};
use crate::route::{max_hold, max_wait, wait_after_hold};
use crate::telemetry::{Context, Outcome};

/// How long a connection that a filter closes may take to get its last answers out.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// What stays with a request while filters decide about it.
#[derive(Debug)]
pub(super) struct Ticket {
    /// When the client must have been answered.
    pub(super) deadline: Instant,
    /// The same once it was held: long polls may then use what clients allow in all.
    pub(super) deadline_held: Instant,
    /// How long it may be held at most.
    pub(super) hold_until: Instant,
    /// Who signed it.
    pub(super) identity: Identity,
    /// Whether a change breaks a signature.
    pub(super) seal: Seal,
    /// The trace that is written into it.
    trace: Option<Box<Context>>,
    /// As the client sent it, of heartbeats.
    own: Option<(Head, Frame)>,
}

/// Whether nobody wants to see this request or its answer, and it may go on with its bytes.
fn passes_untouched(state: &State, chain: &Chain, code: Code, config: &Config) -> bool {
    // Sends must not overtake others that are held, even when the chain that holds them is gone.
    config.credentials.is_none()
        && state.filters.held.is_empty()
        && (chain.members().is_empty()
            || (state.filters.names.is_none()
                && !chain.wants(Phase::Request, code, false)
                && !keeps_request(chain, code)))
}

impl Session {
    /// Judges a request that may pass as far as its code goes.
    pub(super) fn judge(
        self: &Arc<Self>,
        state: &mut State,
        config: &Config,
        (head, frame, course): (Head, Frame, Course),
        now: Instant,
    ) {
        let chain = self.meet(state);
        if passes_untouched(state, &chain, head.code, config) {
            self.tap_request(state, (&head, &frame), None);
            let (head, frame) = self.stamped(config, (head, frame));
            let (head, frame) = self.with_trace(state, (head, frame));
            let wait = max_wait(head.code, &head.fields(&frame), &config.timeouts.commands);
            let request = Request {
                deadline: now + wait,
                // The chain in force when its answer arrives may be another one.
                asked: waits_for_messages(head.code).then(|| Asked::of(&head, &frame)),
                head,
                frame,
                own: None,
            };
            return self.dispatch(state, request, course);
        }
        let index = head.fields(&frame).index();
        let mut ticket = ticket(config, (&head, &frame, &index), now);
        ticket.trace = self.trace_for(state, &head, &ticket);
        state.note_user(head.opaque, ticket.identity.user());
        let credentials = config.credentials.as_deref();
        let refusal = credentials.and_then(|keys| keys.refusal(&ticket.identity));
        // A client that is refused its routes reports a missing topic, and somebody looks for that. It gets them, as
        // nobody in particular, and reads why it is refused from the first command for a broker.
        if let Some(refusal) = refusal.filter(|_| head.code != rq::GET_ROUTEINFO_BY_TOPIC) {
            debug!(peer = %self.peer, code = head.code.0, error = %refusal, "refused");
            let remark = format!("gimbal: {refusal}");
            return state.answer_error((&head, frame.kind()), Outcome::Refused, Refusal::CODE, &remark);
        }
        if let Some(user) = ticket.identity.user()
            && !self.count_user(state, user, (&head, &frame))
        {
            return;
        }
        self.tap_request(state, (&head, &frame), ticket.identity.user());
        let subject = self.subject(state, (head, frame), &ticket).with_index(index);
        if state.filters.holds_lane_of(&subject) {
            return state.hold(Held::behind(subject, ticket));
        }
        self.ask(state, &chain, 0, (Box::new(subject), ticket));
    }

    /// The command under decision.
    pub(super) fn subject(
        &self,
        state: &mut State,
        (head, frame): (Head, Frame),
        ticket: &Ticket,
    ) -> Subject {
        let signed = match (ticket.seal, ticket.identity.user()) {
            (Seal::Unsigned, _) => Signed::No,
            (Seal::Signed, Some(_verified)) => Signed::Renewable,
            (Seal::Signed, None) | (Seal::Token, _) => Signed::Final,
        };
        let client = state.filters.client_of((&head, &frame), ticket.identity.user());
        let hold = ticket.hold_until.saturating_duration_since(Instant::now());
        Subject::request(Way::Request, head, frame, client)
            .with_names(state.filters.names.clone())
            .with_signature(signed)
            .with_limits(hold, self.core.config.load().filters.body_limit)
    }

    /// Asks the members of the chain from number `from` on, and does what they say.
    pub(super) fn ask(
        self: &Arc<Self>,
        state: &mut State,
        chain: &Arc<Chain>,
        from: usize,
        (subject, ticket): (Box<Subject>, Ticket),
    ) {
        let opaque = subject.head().opaque;
        let mut outcome = chain.decide(subject, from);
        state.note_trail(opaque, Phase::Request, outcome.take_trail());
        match outcome {
            Verdict::Forward(subject) => self.release(state, chain, *subject, ticket),
            Verdict::Answer {
                mut subject,
                answer,
                by,
                is_verdict,
            } => {
                self.note_names(state, &mut subject);
                if let Some(own) = ticket.own {
                    self.beat_refused(state, own, is_verdict);
                }
                self.answer_of_filter(state, chain, *subject, (&answer, by));
            }
            Verdict::Delay {
                mut subject,
                wait,
                next,
            } => {
                self.note_names(state, &mut subject);
                let stage = match next {
                    Some(next) => Stage::Next(Arc::clone(chain), next),
                    None => Stage::NothingNew,
                };
                state.hold(Held::new(*subject, ticket, wait, stage));
            }
            Verdict::Drop(_) => {
                debug!(peer = %self.peer, "a filter dropped a one-way command");
                state.end(opaque, Some(Outcome::Dropped));
            }
            Verdict::Close { subject, reason } => {
                let asked = (subject.head(), subject.kind());
                state.answer_error(asked, Outcome::Closed, response::SYSTEM_ERROR, &reason);
                self.close(state, reason);
            }
        }
    }

    /// The chain has let the request pass: names are mapped, what was changed is signed again, and it goes on.
    pub(super) fn release(
        self: &Arc<Self>,
        state: &mut State,
        chain: &Chain,
        mut subject: Subject,
        ticket: Ticket,
    ) {
        self.note_names(state, &mut subject);
        let code = subject.request_code();
        let names = subject.names().cloned();
        let keeps = names.is_some() || keeps_request(chain, code);
        let asked = keeps.then(|| subject.to_asked());
        let original = (subject.head().clone(), subject.kind());
        match self.written(subject, names.as_ref(), &ticket) {
            Ok((head, frame, index)) => self.admit(
                state,
                &index,
                Request {
                    head,
                    frame,
                    deadline: ticket.deadline,
                    asked,
                    own: ticket.own,
                },
            ),
            Err((code, remark)) => {
                if let Some(own) = ticket.own {
                    self.beat_refused(state, own, true);
                }
                debug!(peer = %self.peer, code = original.0.code.0, error = remark, "a changed request cannot go on");
                state.answer_error((&original.0, original.1), Outcome::Refused, code, &remark);
            }
        }
    }

    /// The request as its broker gets it; or the code and remark for the client.
    pub(super) fn written(
        &self,
        subject: Subject,
        names: Option<&Names>,
        ticket: &Ticket,
    ) -> Result<(Head, Frame, Index), (Code, String)> {
        let code = subject.request_code();
        let config = self.core.config.load();
        let stamp = self.stamp(&config, code, ticket);
        let code = quiet_code(code);
        let ours = |what: String| (code, format!("gimbal: {what}"));
        let Parts {
            head,
            frame,
            index,
            mut is_changed,
            command,
            ..
        } = subject.into_parts().map_err(ours)?;
        let trace = ticket.trace.as_deref();
        let is_ours = stamp.is_some() || trace.is_some();
        if names.is_none() && !is_ours && (!is_changed || ticket.seal == Seal::Unsigned) {
            return self.fitting(head, frame, index);
        }
        let mut command = match command {
            Some(command) => Arc::unwrap_or_clone(command),
            None => Command::decode(&frame).map_err(|error| ours(error.to_string()))?,
        };
        if let Some(names) = names {
            let mapped = names::request_to_broker(&names.mapping, &self.reserved(), &mut command);
            is_changed |= mapped.map_err(|error| (response::MESSAGE_ILLEGAL, format!("gimbal: {error}")))?;
        }
        if let Some(stamp) = stamp {
            is_changed |= stamp.put(&mut command, frame.len());
        }
        if let Some(trace) = trace {
            is_changed |= self.put_trace(trace, &mut command);
        }
        if !is_changed {
            let index = index.unwrap_or_else(|| head.fields(&frame).index());
            return Ok((head, frame, index));
        }
        ticket
            .seal
            .renew(config.credentials.as_deref(), &ticket.identity, &mut command)
            .map_err(|error| ours(error.to_string()))?;
        let frame = command.encode().map_err(|error| ours(error.to_string()))?;
        let head = Head::scan(&frame).map_err(|error| ours(error.to_string()))?;
        self.fitting(head, frame, None)
    }

    /// The request, if brokers accept one of its size.
    fn fitting(
        &self,
        head: Head,
        frame: Frame,
        index: Option<Index>,
    ) -> Result<(Head, Frame, Index), (Code, String)> {
        let config = self.core.config.load();
        if frame.len() > config.limits.frame {
            let what = format!(
                "with what filters changed, the command has {} bytes; at most {} are accepted",
                frame.len(),
                config.limits.frame
            );
            return Err((response::MESSAGE_ILLEGAL, format!("gimbal: {what}")));
        }
        let index = index.unwrap_or_else(|| head.fields(&frame).index());
        Ok((head, frame, index))
    }

    /// Answers the client with what a filter says; those before it see the answer.
    fn answer_of_filter(
        self: &Arc<Self>,
        state: &mut State,
        chain: &Chain,
        mut subject: Subject,
        (answer, by): (&Answer, usize),
    ) {
        let command = answer.to_command(subject.head(), subject.kind());
        let opaque = command.opaque;
        state.will_end(opaque, Outcome::Denied);
        if !chain.wants(Phase::Response, subject.request_code(), false) || by == 0 {
            return state.answer(&command);
        }
        let asked = subject.to_asked();
        let client = Arc::clone(subject.client());
        let Ok((head, frame)) = framed(&command) else {
            return state.answer(&command);
        };
        let response = Subject::response(Way::Response, head, frame, asked, client)
            .with_limits(Duration::ZERO, self.core.config.load().filters.body_limit);
        let mut outcome = chain.respond(Box::new(response), by);
        state.note_trail(opaque, Phase::Response, outcome.take_trail());
        match outcome {
            Verdict::Close { subject, reason } => {
                let (head, kind) = (subject.head(), subject.kind());
                let refusal = Command::answer(head, kind, response::SYSTEM_ERROR);
                state.answer(&refusal.with_remark(reason.as_str()));
                self.close(state, reason);
            }
            Verdict::Forward(response) => match response.into_parts() {
                Ok(parts) => state.give(parts.head.opaque, parts.head.code, parts.frame),
                Err(_unwritable) => state.answer(&command),
            },
            // A response is neither answered, held nor dropped.
            Verdict::Answer { .. } | Verdict::Delay { .. } | Verdict::Drop(_) => state.answer(&command),
        }
    }

    /// Keeps names as a filter has just mapped them.
    pub(super) fn note_names(&self, state: &mut State, subject: &mut Subject) {
        if !subject.take_names_changed() {
            return;
        }
        let names = subject.names().cloned();
        // A request may be held so long that the filter has gone since.
        let chain = self.core.filters.chains().load();
        let is_there = |id| chain.members().iter().any(|member| member.id == id);
        if names.as_ref().is_none_or(|names| is_there(names.owner)) {
            state.filters.names = names;
        }
    }

    /// Ends the connection once what is in flight has been answered.
    pub(super) fn close(&self, state: &mut State, reason: String) {
        if state.closed.is_some() {
            return;
        }
        info!(peer = %self.peer, reason, "a filter closes the connection");
        self.end_soon(state, reason);
    }

    /// The same without a word in the log.
    pub(super) fn end_soon(&self, state: &mut State, reason: String) {
        if state.closed.is_some() {
            return;
        }
        let now = Instant::now();
        state.leave_at = Some((now, now + CLOSE_LIMIT));
        state.due_by(now + CLOSE_LIMIT);
        state.closed = Some(reason);
        Self::leave(state);
        self.wake.notify_one();
    }

    /// Topics that belong to brokers and clusters, whatever a mapping says.
    pub(super) fn reserved(&self) -> impl Fn(&str) -> bool {
        |topic| self.core.directory.is_own_topic(topic)
    }
}

/// Whether the request must be remembered for response hooks. Long polls always are: the chain in force when their answer
/// arrives may be another one.
fn keeps_request(chain: &Chain, code: Code) -> bool {
    chain.wants(Phase::Response, code, false) || waits_for_messages(code)
}

/// What stays with a request while filters decide about it.
pub(super) fn ticket(config: &Config, (head, frame, index): (&Head, &Frame, &Index), now: Instant) -> Ticket {
    let credentials = config.credentials.as_deref();
    let identity = credentials.map_or(Identity::Unsigned, |keys| keys.verify(head, frame));
    let fields = head.fields(frame).indexed(index);
    let wait = max_wait(head.code, &fields, &config.timeouts.commands);
    Ticket {
        deadline: now + wait,
        deadline_held: now + wait_after_hold(head.code, wait),
        hold_until: now + max_hold(head.code, &fields, wait),
        seal: Seal::of(&fields),
        trace: None,
        own: (head.code == rq::HEART_BEAT).then(|| (head.clone(), frame.clone())),
        identity,
    }
}

/// A command with the head of its frame.
pub(super) fn framed(command: &Command) -> Result<(Head, Frame), String> {
    let frame = command.encode().map_err(|error| error.to_string())?;
    let head = Head::scan(&frame).map_err(|error| error.to_string())?;
    Ok((head, frame))
}
