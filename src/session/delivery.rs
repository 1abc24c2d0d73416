//! Responses on their way to the client: names as it knows them, then the response hooks, last filter first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::filtering::framed;
use super::link_task::own;
use super::{Session, State};
use crate::filter::messages::Acknowledge;
use crate::filter::{Asked, Outcome, Phase, Subject, Way, names};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Frame, Head, response};
use crate::telemetry::Outcome::{Closed, Failed};
use crate::upstream::Reply;

/// How long an acknowledgement of Gimbal's own may take.
const ACK_LIMIT: Duration = Duration::from_secs(3);

impl Session {
    /// Hands an answer to the client, whose opaque it carries already; `link` is where it came from.
    pub(super) fn deliver(
        self: &Arc<Self>,
        state: &mut State,
        asked: Option<&Arc<Asked>>,
        link: Option<u32>,
        (frame, opaque, code): (Frame, i32, Code),
    ) {
        let slot = link.and_then(|id| state.links.get(&id));
        if let Some(broker) = slot.map(|slot| Arc::clone(&slot.link.broker)) {
            state.note_broker(opaque, &broker);
        }
        match asked {
            None => {
                self.tap_response(state, (&frame, opaque), link);
                state.give(opaque, code, frame);
            }
            Some(asked) => match self.with_names_of_client(asked, frame) {
                Ok(frame) => {
                    self.tap_response(state, (&frame, opaque), link);
                    self.respond(state, asked, link, (frame, opaque, code));
                }
                Err(answer) => state.answer_as(Failed, &answer),
            },
        }
    }

    /// The same of an answer that is decoded.
    pub(super) fn deliver_command(
        self: &Arc<Self>,
        state: &mut State,
        asked: Option<&Arc<Asked>>,
        answer: &Command,
    ) {
        if asked.is_none() && !self.core.tap.is_on() {
            return state.answer(answer);
        }
        match answer.encode() {
            Ok(frame) => self.deliver(state, asked, None, (frame, answer.opaque, answer.code)),
            Err(_too_long) => state.answer(answer),
        }
    }

    /// The answer with names as the client knows them; an error in its place when they cannot be mapped, since another
    /// tenant's names must not get out.
    fn with_names_of_client(&self, asked: &Asked, frame: Frame) -> Result<Frame, Box<Command>> {
        let Some(names) = &asked.names else {
            return Ok(frame);
        };
        let failed = |opaque, why: String| {
            warn!(peer = %self.peer, code = asked.code.0, error = why, "names in an answer cannot be mapped");
            let mut answer = Command::answer(&asked.head, asked.frame.kind(), response::SYSTEM_ERROR);
            answer.opaque = opaque;
            Box::new(answer.with_remark(format!("gimbal: names in the answer cannot be mapped: {why}")))
        };
        let mut command =
            Command::decode(&frame).map_err(|error| failed(asked.head.opaque, error.to_string()))?;
        let (topic, group) = (asked.topic(), asked.group());
        let question = names::Asked {
            code: asked.code,
            topic: topic.as_deref(),
            group: group.as_deref(),
        };
        match names::response_to_client(&names.mapping, &self.reserved(), &question, &mut command) {
            Ok(true) => command
                .encode()
                .map_err(|error| failed(command.opaque, error.to_string())),
            Ok(false) => Ok(frame),
            Err(error) => Err(failed(command.opaque, error.to_string())),
        }
    }

    fn respond(
        self: &Arc<Self>,
        state: &mut State,
        asked: &Arc<Asked>,
        link: Option<u32>,
        (frame, opaque, code): (Frame, i32, Code),
    ) {
        let chain = self.meet(state);
        if !chain.wants(Phase::Response, asked.code, false) {
            return state.give(opaque, code, frame);
        }
        let Ok(head) = Head::scan(&frame) else {
            return state.give(opaque, code, frame);
        };
        let broker = link.and_then(|id| Some(Arc::clone(&state.links.get(&id)?.link.broker)));
        let mut client = Arc::clone(&state.filters.client);
        if client.user != asked.user {
            Arc::make_mut(&mut client).user.clone_from(&asked.user);
        }
        let question = (head.clone(), frame.kind());
        let subject = Subject::response(Way::Response, head, frame, Arc::clone(asked), client)
            .with_broker(broker)
            .with_limits(Duration::ZERO, self.core.config.load().filters.body_limit);
        let mut outcome = chain.respond(Box::new(subject), usize::MAX);
        state.note_trail(opaque, Phase::Response, outcome.take_trail());
        let (refusal, outcome) = match outcome {
            Outcome::Forward(mut subject) => {
                self.note_names(state, &mut subject);
                match subject.into_parts() {
                    Ok(parts) => {
                        for message in parts.acknowledge {
                            self.acknowledge(state, link, asked, &message);
                        }
                        return state.give(parts.head.opaque, parts.head.code, parts.frame);
                    }
                    Err(why) => (format!("gimbal: {why}"), Failed),
                }
            }
            Outcome::Close { reason, .. } => {
                self.close(state, reason.clone());
                (reason, Closed)
            }
            // A response is neither answered, held nor dropped: `respond` has put answers in its place.
            Outcome::Answer { .. } | Outcome::Delay { .. } | Outcome::Drop(_) => {
                ("gimbal: no verdict".to_owned(), Failed)
            }
        };
        let answer = Command::answer(&question.0, question.1, response::SYSTEM_ERROR);
        state.answer_as(outcome, &answer.with_remark(refusal));
    }

    /// Acknowledges a message that a filter took out of a pop, or the broker would give it to the group again.
    fn acknowledge(&self, state: &mut State, link: Option<u32>, asked: &Asked, message: &Acknowledge) {
        let Some(slot) = link.and_then(|id| state.links.get_mut(&id)) else {
            return;
        };
        let mut command = Command::request(rq::ACK_MESSAGE, fastrand::i32(i32::MIN..0));
        command.language = asked.head.language;
        command.version = asked.head.version;
        command.set_field("consumerGroup", message.group.as_str());
        command.set_field("topic", message.topic.as_str());
        command.set_field("queueId", message.queue_id.to_string());
        command.set_field("extraInfo", message.extra_info.as_str());
        command.set_field("offset", message.offset.to_string());
        command.set_field("bname", &*slot.link.broker);
        let mapped = asked
            .names
            .as_ref()
            .map(|names| names::request_to_broker(&names.mapping, &self.reserved(), &mut command));
        self.sign_for(&mut command, asked.user.as_deref());
        match (mapped, framed(&command)) {
            (None | Some(Ok(_)), Ok((head, frame))) => {
                let deadline = Instant::now() + ACK_LIMIT;
                let pending = own(&head, &frame, Reply::Nobody, deadline);
                slot.link.send(head, frame, Some(pending));
                slot.flush(Instant::now());
                state.due_by(deadline);
            }
            (Some(Err(error)), _) => warn!(%error, "a removed message cannot be acknowledged"),
            (_, Err(error)) => warn!(error, "a removed message cannot be acknowledged"),
        }
    }
}
