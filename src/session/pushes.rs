//! Requests of brokers to the client, and the client's answers to them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::account::Open;
use super::filtering::framed;
use super::{Session, State};
use crate::filter::{Asked, Outcome, Phase, Subject, Way, names};
use crate::protocol::body::{MessageId, rewrite_store_hosts};
use crate::protocol::request as rq;
use crate::protocol::{Command, Frame, Head, response};
use crate::route::HalfMessage;
use crate::telemetry::Outcome as Ending;
use crate::telemetry::Outcome::{Closed, Denied, Dropped, Failed, Forwarded};

/// Brokers wait at most 10 s for an answer.
const PUSH_LIMIT: Duration = Duration::from_secs(15);
/// Open pushes per session; beyond it a broker's request is dropped, and the broker runs into its own time-out.
const PUSHES_KEPT: usize = 1_024;

/// A two-way request of a broker that the client has not answered.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) link: u32,
    /// The opaque the broker chose.
    pub(super) opaque: i32,
    /// What filters may want to know of it when the client answers.
    asked: Option<Arc<Asked>>,
    pub(super) deadline: Instant,
}

impl State {
    /// Ends pushes that the client has not answered in time.
    pub(super) fn expire_pushes(&mut self, now: Instant) {
        let late: Vec<i32> = self
            .pushes
            .extract_if(|_, push| push.deadline <= now)
            .map(|(opaque, _)| opaque)
            .collect();
        for opaque in late {
            self.answered_push(opaque, None);
        }
    }
}

impl Session {
    /// A request came in on link `id`: it is for this client, since the link is.
    pub(super) fn broker_asked(self: &Arc<Self>, state: &mut State, id: u32, head: &Head, frame: Frame) {
        self.meet(state);
        state.carried.pushes = state.carried.pushes.saturating_add(1);
        let broker = state.links.get(&id).map(|slot| Arc::clone(&slot.link.broker));
        let mut open = state.begin_push(broker.as_ref(), head, &frame);
        let frame = self.with_our_names(state, id, head, frame);
        let judged = match self.with_client_names(state, frame) {
            Some(frame) => {
                self.tap_push(state, &frame, broker.as_ref());
                self.judge_push(state, id, &mut open, frame)
            }
            None => Err(Failed),
        };
        let (frame, asked) = match judged {
            Ok(passed) => passed,
            Err(outcome) => return state.end_push(&open, outcome),
        };
        if head.is_oneway() {
            state.client.push(frame);
            return state.end_push(&open, Forwarded);
        }
        if state.pushes.len() >= PUSHES_KEPT {
            return state.end_push(&open, Failed);
        }
        // Several brokers may choose the same number.
        let mut wire = head.opaque;
        while state.pushes.contains_key(&wire) {
            wire = fastrand::i32(i32::MIN..0);
        }
        let patched = Head::scan(&frame)
            .ok()
            .and_then(|head| head.with_opaque(frame, wire).ok());
        let Some(patched) = patched else {
            return state.end_push(&open, Failed);
        };
        let deadline = Instant::now() + PUSH_LIMIT;
        let push = Push {
            link: id,
            opaque: head.opaque,
            asked,
            deadline,
        };
        state.pushes.insert(wire, push);
        state.wait_for_client(wire, open);
        state.due_by(deadline);
        state.client.push(patched);
    }

    /// The push with names as the client knows them; none when they cannot be mapped.
    fn with_client_names(&self, state: &State, frame: Frame) -> Option<Frame> {
        let Some(names) = &state.filters.names else {
            return Some(frame);
        };
        let mut command = Command::decode(&frame).ok()?;
        match names::push_to_client(&names.mapping, &self.reserved(), &mut command) {
            Ok(true) => command.encode().ok(),
            Ok(false) => Some(frame),
            Err(error) => {
                warn!(peer = %self.peer, code = command.code.0, %error, "a push whose names cannot be mapped is dropped");
                None
            }
        }
    }

    /// Asks the chain about a push: what goes to the client, and what must be remembered; `None` when it goes no further.
    fn judge_push(
        self: &Arc<Self>,
        state: &mut State,
        id: u32,
        open: &mut Open,
        frame: Frame,
    ) -> Result<(Frame, Option<Arc<Asked>>), Ending> {
        let chain = self.meet(state);
        let keeps = !open.is_oneway()
            && (state.filters.names.is_some() || chain.wants(Phase::Response, open.code(), true));
        if !keeps && !chain.wants(Phase::Request, open.code(), true) {
            return Ok((frame, None));
        }
        let Ok(head) = Head::scan(&frame) else {
            return Ok((frame, None));
        };
        let subject = Subject::request(Way::Push, head, frame, Arc::clone(&state.filters.client))
            .with_names(state.filters.names.clone())
            .with_limits(Duration::ZERO, self.core.config.load().filters.body_limit);
        let mut outcome = chain.decide(Box::new(subject), 0);
        open.note(Phase::Request, outcome.take_trail());
        match outcome {
            Outcome::Forward(mut subject) => {
                self.note_names(state, &mut subject);
                let asked = keeps.then(|| subject.to_asked());
                let parts = subject.into_parts().map_err(|_unwritable| Failed)?;
                Ok((parts.frame, asked))
            }
            Outcome::Answer {
                mut subject,
                answer,
                by,
                ..
            } => {
                // To the broker, as if the client had said so.
                self.note_names(state, &mut subject);
                let answer = answer.to_command(subject.head(), subject.kind());
                self.answer_push(state, id, (&subject.to_asked(), &answer), by);
                Err(Denied)
            }
            Outcome::Close { mut subject, reason } => {
                if !subject.is_oneway() {
                    let answer = Command::answer(subject.head(), subject.kind(), response::SYSTEM_ERROR)
                        .with_remark(reason.as_str());
                    self.answer_push(state, id, (&subject.to_asked(), &answer), 0);
                }
                self.close(state, reason);
                Err(Closed)
            }
            Outcome::Delay { .. } | Outcome::Drop(_) => Err(Dropped),
        }
    }

    /// Answers a push in the client's place; filters below number `below` see the answer.
    fn answer_push(
        self: &Arc<Self>,
        state: &mut State,
        id: u32,
        (asked, answer): (&Arc<Asked>, &Command),
        below: usize,
    ) {
        let judged = framed(answer)
            .ok()
            .and_then(|answer| self.judge_push_answer(state, asked, answer, below));
        if let (Some(slot), Some((head, frame))) = (state.links.get_mut(&id), judged) {
            slot.link.send(head, frame, None);
            slot.flush(Instant::now());
        }
    }

    /// The client answered a push; answers to nothing are dropped, as the brokers do.
    pub(super) fn client_answered(self: &Arc<Self>, state: &mut State, head: &Head, frame: Frame) {
        let Some(push) = state.pushes.remove(&head.opaque) else {
            return;
        };
        let said = frame.clone();
        let answered = match &push.asked {
            Some(asked) => self.judge_push_answer(state, asked, (head.clone(), frame), usize::MAX),
            None => Some((head.clone(), frame)),
        };
        state.answered_push(head.opaque, Some((head.code, &said)));
        if let Some((head, frame)) = answered
            && let Some(slot) = state.links.get_mut(&push.link)
            && let Ok(frame) = head.with_opaque(frame, push.opaque)
        {
            slot.link.send(head, frame, None);
        }
    }

    /// Asks the members below number `below` about the client's answer to a push, and maps its names.
    fn judge_push_answer(
        self: &Arc<Self>,
        state: &mut State,
        asked: &Arc<Asked>,
        (head, frame): (Head, Frame),
        below: usize,
    ) -> Option<(Head, Frame)> {
        let chain = self.meet(state);
        let client = Arc::clone(&state.filters.client);
        let question = (head.clone(), frame.kind());
        let subject = Subject::response(Way::PushResponse, head, frame, Arc::clone(asked), client)
            .with_limits(Duration::ZERO, self.core.config.load().filters.body_limit);
        let mut outcome = chain.respond(Box::new(subject), below);
        if below == usize::MAX {
            state.note_push_trail(question.0.opaque, outcome.take_trail());
        }
        let parts = match outcome {
            Outcome::Forward(subject) => subject.into_parts().ok()?,
            Outcome::Close { reason, .. } => {
                let refusal = Command::answer(&question.0, question.1, response::SYSTEM_ERROR)
                    .with_remark(reason.as_str());
                self.close(state, reason);
                return framed(&refusal).ok();
            }
            // A response is neither answered, held nor dropped.
            Outcome::Answer { .. } | Outcome::Delay { .. } | Outcome::Drop(_) => return None,
        };
        let Some(names) = &asked.names else {
            return Some((parts.head, parts.frame));
        };
        let mut command = Command::decode(&parts.frame).ok()?;
        match names::push_answer_to_broker(&names.mapping, &self.reserved(), asked.code, &mut command) {
            Ok(_) => framed(&command).ok(),
            Err(error) => {
                warn!(peer = %self.peer, code = asked.code.0, %error, "names in the answer to a push cannot be mapped");
                None
            }
        }
    }

    /// Adds what the client needs to answer, and puts right what leads past us.
    fn with_our_names(&self, state: &State, id: u32, head: &Head, frame: Frame) -> Frame {
        let Some(slot) = state.links.get(&id) else {
            return frame;
        };
        let fields = head.fields(&frame);
        let is_check = head.code == rq::CHECK_TRANSACTION_STATE;
        if is_check {
            let half = HalfMessage::named_in(&fields);
            if let Some(half) = half {
                self.core
                    .transactions
                    .remember(half, Arc::clone(&slot.link.broker));
            }
        }
        // Clients copy the name into their answer; brokers before 5.1.0 leave it out.
        let lacks_name = is_check && fields.find("bname").is_none();
        let host = slot.store_host.filter(|_| {
            matches!(
                head.code,
                rq::CHECK_TRANSACTION_STATE | rq::CONSUME_MESSAGE_DIRECTLY | rq::PUSH_REPLY_MESSAGE_TO_CLIENT
            )
        });
        if !lacks_name && host.is_none() {
            return frame;
        }
        let Ok(mut command) = Command::decode(&frame) else {
            return frame;
        };
        if lacks_name {
            command.set_field("bname", &*slot.link.broker);
        }
        if let Some(host) = host {
            rewrite_hosts(&mut command, host);
        }
        command.encode().unwrap_or(frame)
    }
}

/// Replaces the broker's address wherever a push carries it.
fn rewrite_hosts(command: &mut Command, host: std::net::SocketAddr) {
    if command.code == rq::PUSH_REPLY_MESSAGE_TO_CLIENT {
        if command.field("storeHost").is_some() {
            command.set_field("storeHost", host.to_string());
        }
        return;
    }
    command.body = rewrite_store_hosts(&command.body, host);
    for field in ["offsetMsgId", "msgId"] {
        let ids = command
            .field(field)
            .filter(|id| leads_to_broker(command, field, id));
        if let Some(ids) = ids.map(|id| MessageId::with_host(id, host)) {
            command.set_field(field, ids);
        }
    }
}

/// Whether the field holds an offset message id; a check's `msgId` is the unique id, which looks the same.
fn leads_to_broker(command: &Command, field: &str, id: &str) -> bool {
    let is_check = command.code == rq::CHECK_TRANSACTION_STATE;
    (field == "offsetMsgId" || !is_check) && MessageId::parse(id).is_some()
}
