//! One answer made of the answers of several brokers.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::time::Instant;

use super::link_task::is_success;
use super::request::Request;
use super::{Session, State};
use crate::filter::Asked;
use crate::protocol::body::{QueueSet, encode_lock_answer};
use crate::protocol::{Command, Frame, Head, Kind, response};
use crate::telemetry::Outcome;

/// What is being put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gathering {
    /// A heartbeat at every broker.
    Heartbeat,
    /// An unregistration at every broker.
    Unregister,
    /// A query by key at every broker of a topic.
    Query,
    /// Queue locks at several brokers.
    Lock,
    /// Queue unlocks at several brokers.
    Unlock,
}

/// Answers on their way to becoming one.
#[derive(Debug)]
pub(super) struct Gather {
    pub(super) what: Gathering,
    pub(super) head: Head,
    pub(super) kind: Kind,
    /// Brokers that have not answered.
    pub(super) waiting: usize,
    /// Decoded answers, with the name of the broker.
    pub(super) answers: Vec<(Arc<str>, Command)>,
    pub(super) deadline: Instant,
    pub(super) asked: Option<Arc<Asked>>,
    /// Identical requests that want the same answer.
    pub(super) followers: Vec<(Head, Kind)>,
}

impl Gather {
    /// A gather of answers from `waiting` brokers.
    pub(super) fn new(what: Gathering, request: &Request, waiting: usize) -> Self {
        Self {
            what,
            head: request.head.clone(),
            kind: request.frame.kind(),
            waiting,
            answers: Vec::new(),
            deadline: request.deadline,
            asked: request.asked.clone(),
            followers: Vec::new(),
        }
    }
}

impl Session {
    /// A broker's part has come, or will not come.
    pub(super) fn gathered(
        self: &Arc<Self>,
        state: &mut State,
        id: u64,
        broker: &Arc<str>,
        part: Option<&Frame>,
    ) {
        let Some(gather) = state.gathers.get_mut(&id) else {
            return;
        };
        gather.waiting = gather.waiting.saturating_sub(1);
        let missed = gather.what == Gathering::Heartbeat && !part.is_some_and(is_success);
        if let Some(answer) = part.and_then(|frame| Command::decode(frame).ok()) {
            gather.answers.push((Arc::clone(broker), answer));
        }
        if missed {
            self.beat_again(state, broker);
        }
        self.finish_if_complete(state, id);
    }

    /// Answers the client when every part is in.
    pub(super) fn finish_if_complete(self: &Arc<Self>, state: &mut State, id: u64) {
        if state.gathers.get(&id).is_some_and(|gather| gather.waiting == 0) {
            self.finish(state, id);
        }
    }

    /// Answers the client with what there is.
    pub(super) fn finish(self: &Arc<Self>, state: &mut State, id: u64) {
        let Some(gather) = state.gathers.remove(&id) else {
            return;
        };
        let answer = self.combine(state, &gather);
        if answer.code != response::SUCCESS {
            state.forget_query(id);
        }
        if let Some(beat) = state.beat.as_mut().filter(|beat| beat.gather == id) {
            beat.answered = Some((Instant::now(), answer.clone()));
        }
        self.answer_gather(state, gather, answer);
    }

    /// Answers everybody who asked.
    pub(super) fn answer_gather(self: &Arc<Self>, state: &mut State, gather: Gather, mut answer: Command) {
        let Gather {
            head,
            kind,
            followers,
            mut asked,
            answers,
            ..
        } = gather;
        if answers.is_empty() && answer.code != response::SUCCESS {
            // An error of Gimbal's own is for the client alone.
            asked = None;
        }
        let outcome = if answers.is_empty() && answer.code != response::SUCCESS {
            Outcome::Failed
        } else {
            Outcome::Answered
        };
        for (head, _kind) in std::iter::once((head, kind)).chain(followers) {
            if head.is_oneway() {
                state.end(head.opaque, Some(Outcome::Forwarded));
                continue;
            }
            answer.opaque = head.opaque;
            state.will_end(head.opaque, outcome);
            self.deliver_command(state, asked.as_ref(), &answer);
        }
    }

    fn combine(&self, state: &State, gather: &Gather) -> Command {
        let succeeded = || {
            gather
                .answers
                .iter()
                .map(|(_, answer)| answer)
                .filter(|a| a.code == response::SUCCESS)
        };
        let Some(mut answer) = succeeded()
            .next()
            .or(gather.answers.first().map(|(_, a)| a))
            .cloned()
        else {
            let remark = "gimbal: no broker answered in time";
            let nobody = Command::answer(&gather.head, gather.kind, response::SERVICE_NOT_AVAILABLE);
            return match gather.what {
                Gathering::Unregister | Gathering::Unlock => {
                    Command::answer(&gather.head, gather.kind, response::SUCCESS)
                }
                _ => nobody.with_remark(remark),
            };
        };
        match gather.what {
            Gathering::Heartbeat => {
                if let Some(lowest) = succeeded().map(|answer| answer.version).min() {
                    answer.version = lowest;
                    self.core.directory.saw_broker_version(lowest);
                }
                without_v2(&mut answer);
            }
            Gathering::Lock => {
                let sets = succeeded().filter_map(|answer| QueueSet::decode(&answer.body).ok());
                answer.body = encode_lock_answer(&sets.flat_map(QueueSet::locked).collect::<Vec<_>>()).into();
            }
            Gathering::Query => Self::merge_query(state, gather, &mut answer),
            Gathering::Unregister | Gathering::Unlock => {}
        }
        answer
    }

    /// Puts the messages of all brokers into one answer, and the latest index times.
    fn merge_query(state: &State, gather: &Gather, answer: &mut Command) {
        let mut body = BytesMut::new();
        for (broker, part) in &gather.answers {
            if part.code == response::SUCCESS {
                body.extend_from_slice(&state.with_our_hosts(broker, &part.body));
            }
        }
        answer.body = body.freeze();
        for field in ["indexLastUpdateTimestamp", "indexLastUpdatePhyoffset"] {
            let values = gather
                .answers
                .iter()
                .filter_map(|(_, part)| part.field(field)?.parse::<i64>().ok());
            if let Some(latest) = values.max() {
                answer.set_field(field, latest.to_string());
            }
        }
    }
}

/// Takes away what would make a client send short heartbeats: behind one address they cannot be kept apart by broker.
fn without_v2(answer: &mut Command) {
    answer.remove_field("IS_SUPPORT_HEART_BEAT_V2");
}
