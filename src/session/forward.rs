//! Handing requests to brokers: one by name, one part to each of several, or to the one that must be found out.

use std::sync::Arc;

use super::gather::{Gather, Gathering};
use super::request::{Request, has_records, is_pull, is_send};
use super::{Session, State};
use crate::protocol::body::{ConsumerGroup, QueueSet, encode_lock_answer};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, response};
use crate::route::{HalfMessage, Plan};
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
            return state.answer_error(request.asked(), response::SERVICE_NOT_AVAILABLE, &remark);
        }
        let reply = match reply {
            Reply::Client if needs_look(code, self.place.door.rewrites_store_hosts()) => Reply::Look,
            other => other,
        };
        let pending = request.pending(reply);
        let due = pending.as_ref().map(|pending| pending.deadline);
        slot.link.send(request.head, request.frame, pending);
        if let Some(due) = due {
            state.due_by(due);
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
            return state.answer_error(request.asked(), response::SYSTEM_ERROR, remark);
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
            if !request.head.is_oneway() {
                state.answer(&nothing.with_body(encode_lock_answer(&[])));
            }
            return;
        }
        let what = match request.head.code {
            rq::LOCK_BATCH_MQ => Gathering::Lock,
            _ => Gathering::Unlock,
        };
        let gather = state.add_gather(Gather::new(what, request, parts.len()));
        for (broker, body) in parts {
            let Ok(frame) = request.frame.with_body(body.into()) else {
                continue;
            };
            let part = Request {
                frame,
                ..request.clone()
            };
            self.forward_part(state, &broker, part, gather);
        }
        self.finish_if_complete(state, gather);
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
