//! Handing requests to brokers: one by name, one part to each of several, or to the one that must be found out.

use std::sync::Arc;

use super::filtering::framed;
use super::gather::{Gather, Gathering};
use super::request::{Request, has_records, is_pull, is_send};
use super::{Session, State};
use crate::auth::{Identity, Seal};
use crate::protocol::body::{ConsumerGroup, QueueSet, encode_lock_answer};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, response};
use crate::route::{HalfMessage, Plan};
use crate::telemetry::Outcome;
use crate::upstream::{Phase, Reply};

impl Session {
    /// Hands a request to a broker by name. From here on it is answered by its deadline, whatever happens.
    pub(super) fn forward(self: &Arc<Self>, state: &mut State, broker: &str, request: Request, reply: Reply) {
        let id = self.link(state, broker);
        let Some(slot) = state.links.get_mut(&id) else {
            return;
        };
        let code = request.head.code;
        let reads_only =
            slot.link.phase == Phase::Ready && slot.link.address.as_ref().is_some_and(|(_, master)| !master);
        if reads_only && is_send(code) {
            self.core.directory.suspect(broker);
            let remark = format!("gimbal: broker {broker} has no master now");
            return state.answer_error(
                request.asked(),
                Outcome::Failed,
                response::SERVICE_NOT_AVAILABLE,
                &remark,
            );
        }
        let reply = match reply {
            Reply::Client if needs_look(code, self.place.door.rewrites_store_hosts()) => Reply::Look,
            other => other,
        };
        let pending = request.pending(reply);
        let due = pending.as_ref().map(|pending| pending.deadline);
        let (opaque, broker) = (request.head.opaque, Arc::clone(&slot.link.broker));
        slot.link.send(request.head, request.frame, pending);
        if let Some(due) = due {
            state.due_by(due);
        } else {
            state.note_broker(opaque, &broker);
            state.end(opaque, None);
        }
    }

    /// Hands the same request to several brokers; their answers come together in `gather`.
    pub(super) fn forward_part(
        self: &Arc<Self>,
        state: &mut State,
        broker: &str,
        request: Request,
        gather: u64,
    ) {
        let id = self.link(state, broker);
        let pending = request.pending(Reply::Gather(gather));
        if let Some(slot) = state.links.get_mut(&id) {
            slot.link.send(request.head, request.frame, pending);
        }
    }

    pub(super) fn forward_queues(self: &Arc<Self>, state: &mut State, request: &Request) {
        let Ok(set) = QueueSet::decode(request.frame.body()) else {
            let remark = "gimbal: the body is not a set of queues";
            return state.answer_error(request.asked(), Outcome::Failed, response::SYSTEM_ERROR, remark);
        };
        let directory = &self.core.directory;
        let parts = set.by_broker(&|name, topic, queue| directory.known(topic)?.static_owner(name, queue));
        let mut parts: Vec<_> = parts
            .into_iter()
            .filter(|(broker, _)| !broker.is_empty())
            .collect();
        if parts.len() == 1
            && let Some((broker, _)) = parts.pop()
        {
            return self.forward(state, &broker, request.clone(), Reply::Client);
        }
        if parts.is_empty() {
            // As a broker answers: nothing was asked for, and nothing is held.
            let nothing = Command::answer(&request.head, request.frame.kind(), response::SUCCESS);
            if request.head.is_oneway() {
                return state.end(request.head.opaque, Some(Outcome::Answered));
            }
            return state.answer_as(Outcome::Answered, &nothing.with_body(encode_lock_answer(&[])));
        }
        let what = match request.head.code {
            rq::LOCK_BATCH_MQ => Gathering::Lock,
            _ => Gathering::Unlock,
        };
        let parts = parts
            .into_iter()
            .map(|(broker, body)| Ok((broker, self.with_part(request, body)?)));
        let parts: Vec<_> = match parts.collect::<Result<_, String>>() {
            Ok(parts) => parts,
            Err(why) => {
                let remark = format!("gimbal: the queues are on several brokers: {why}");
                return state.answer_error(request.asked(), Outcome::Failed, response::SYSTEM_ERROR, &remark);
            }
        };
        let gather = state.add_gather(Gather::new(what, request, parts.len()));
        for (broker, part) in parts {
            self.forward_part(state, &broker, part, gather);
        }
        self.finish_if_complete(state, gather);
    }

    /// The request with a part of its body, signed again if it is signed.
    fn with_part(&self, request: &Request, body: Vec<u8>) -> Result<Request, String> {
        let seal = Seal::of(&request.head.fields(&request.frame));
        if seal == Seal::Unsigned {
            let frame = request.frame.with_body(body.into());
            return Ok(Request {
                frame: frame.map_err(|error| error.to_string())?,
                ..request.clone()
            });
        }
        let config = self.core.config.load();
        let keys = config.credentials.as_deref();
        let identity = keys.map_or(Identity::Unsigned, |keys| {
            keys.verify(&request.head, &request.frame)
        });
        let mut command = Command::decode(&request.frame).map_err(|error| error.to_string())?;
        command.body = body.into();
        seal.renew(keys, &identity, &mut command)
            .map_err(|error| error.to_string())?;
        let (head, frame) = framed(&command)?;
        Ok(Request {
            head,
            frame,
            ..request.clone()
        })
    }

    pub(super) fn forward_transaction(self: &Arc<Self>, state: &mut State, request: Request) {
        let fields = request.head.fields(&request.frame);
        let half = HalfMessage::named_in(&fields);
        let known = half.and_then(|half| self.core.transactions.broker(&half));
        match known
            .map(|broker| broker.to_string())
            .or_else(|| self.only_broker())
        {
            Some(broker) => self.forward(state, &broker, request, Reply::Client),
            None => self.nobody(
                state,
                &request,
                "the broker of this half message is not known; it will check again",
            ),
        }
    }

    pub(super) fn forward_registration(self: &Arc<Self>, state: &mut State, request: Request, group: &str) {
        if let Some(broker) = self.registered_at(state, group).or_else(|| self.only_broker()) {
            return self.forward(state, &broker, request, Reply::Client);
        }
        let topic = format!("%RETRY%{group}");
        self.with_route(state, topic.clone(), request, Plan::AnyOfTopic(topic));
    }

    /// A broker that holds this client's own registration in the group: it holds those of the whole group.
    fn registered_at(&self, state: &State, group: &str) -> Option<String> {
        let consumers = state.beat.iter().flat_map(|beat| beat.heartbeat.consumers());
        let topics = consumers
            .filter(|consumer| consumer.group_name == group)
            .flat_map(ConsumerGroup::topics);
        let routes = topics.filter_map(|topic| self.core.directory.known(topic));
        let mut brokers = routes.flat_map(|route| route.brokers()).map(|broker| broker.name);
        brokers.find(|name| state.is_ready(name))
    }

    /// The only broker there is, when there is only one: naming nobody is then naming it.
    pub(super) fn only_broker(&self) -> Option<String> {
        self.core.directory.only_broker()
    }

    /// Any broker at all: one already in use rather than another.
    pub(super) fn any_broker(&self, state: &State) -> Option<String> {
        let brokers = self.core.directory.brokers();
        brokers
            .iter()
            .find(|name| state.is_ready(name))
            .or(brokers.first())
            .cloned()
    }
}

/// Whether an answer may hold something that names a broker or its slaves.
fn needs_look(code: Code, rewrites_store_hosts: bool) -> bool {
    is_pull(code) || (rewrites_store_hosts && (is_send(code) || has_records(code)))
}
