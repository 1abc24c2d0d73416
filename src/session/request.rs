//! A request of the client: may it pass, where does it belong, off it goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::gather::{Gather, Gathering};
use super::{Session, State};
use crate::protocol::body::{QueueSet, TopicRoute};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Frame, Head, Kind, response};
use crate::route::{HalfMessage, LookupError, Plan, max_wait, plan, refusal};
use crate::upstream::{Pending, Phase, Reply};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) frame: Frame,
    /// When the client must have been answered.
    pub(super) deadline: Instant,
}

impl Request {
    /// What an answer needs to know of the request.
    pub(super) fn asked(&self) -> (&Head, Kind) {
        (&self.head, self.frame.kind())
    }

    /// The note kept until the answer comes; none for one-way commands.
    pub(super) fn pending(&self, reply: Reply) -> Option<Pending> {
        let is_pull = is_pull(self.head.code);
        (!self.head.is_oneway()).then(|| Pending {
            code: self.head.code,
            opaque: self.head.opaque,
            kind: self.frame.kind(),
            reply,
            deadline: self.deadline,
            offset: is_pull
                .then(|| self.head.fields(&self.frame).int("queueOffset"))
                .flatten(),
        })
    }
}

/// Whether the code is a send: only a master takes it.
pub(super) fn is_send(code: Code) -> bool {
    matches!(
        code,
        rq::SEND_MESSAGE
            | rq::SEND_MESSAGE_V2
            | rq::SEND_BATCH_MESSAGE
            | rq::SEND_REPLY_MESSAGE
            | rq::SEND_REPLY_MESSAGE_V2
    )
}

/// Whether the code is a pull, which the broker may hold.
pub(super) fn is_pull(code: Code) -> bool {
    matches!(code, rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE)
}

impl Session {
    /// Takes one request of the client.
    pub(super) fn request(self: &Arc<Self>, state: &mut State, head: Head, frame: Frame, now: Instant) {
        let config = self.core.config.load();
        if self.turned_away(state, &head, frame.kind()) {
            return;
        }
        let allow = &config.allow;
        if let Some(remark) = refusal(head.code, allow.admin, allow.request_reply, &allow.codes) {
            self.answer_error(
                state,
                (&head, frame.kind()),
                response::REQUEST_CODE_NOT_SUPPORTED,
                &remark,
            );
            return;
        }
        // Filters decide here: interest by code, then the chain, then its verdict. A command that nobody is
        // interested in goes on with its bytes untouched.
        let fields = head.fields(&frame);
        let wait = max_wait(head.code, &fields, &config.timeouts.commands);
        let plan = plan(head.code, &fields, frame.body());
        self.dispatch(
            state,
            Request {
                head,
                frame,
                deadline: now + wait,
            },
            plan,
        );
    }

    fn dispatch(self: &Arc<Self>, state: &mut State, request: Request, plan: Plan) {
        match plan {
            Plan::TopicRoute => self.answer_topic_route(state, request),
            Plan::ClusterInfo => self.answer_cluster_info(state, request),
            Plan::NameServer { every } => self.ask_name_server(state, request, every),
            Plan::Heartbeat => self.heartbeat(state, request),
            Plan::Unregister => self.unregister(state, request),
            other => match self.place.broker.clone() {
                Some(port) => self.dispatch_on_port(state, request, &other, &port),
                None => self.dispatch_on_shared(state, request, other),
            },
        }
    }

    /// On a broker's own port the port decides, unless the request names another broker that exists.
    fn dispatch_on_port(self: &Arc<Self>, state: &mut State, request: Request, plan: &Plan, port: &Arc<str>) {
        match plan {
            Plan::Broker(name) if **name != **port && self.core.directory.knows(name) => {
                self.forward(state, name, request, Reply::Client);
            }
            _ => self.forward(state, port, request, Reply::Client),
        }
    }

    fn dispatch_on_shared(self: &Arc<Self>, state: &mut State, request: Request, plan: Plan) {
        match plan {
            Plan::Broker(name) => {
                self.note_send(state, &request);
                self.forward(state, &name, request, Reply::Client);
            }
            Plan::StaticQueue { ref topic, .. } | Plan::AnyOfTopic(ref topic) | Plan::Query { ref topic } => {
                let topic = topic.clone();
                self.with_route(state, topic, request, plan);
            }
            Plan::Send { ref topic, .. } => {
                let topic = topic.clone();
                if state.note_topic(&topic) {
                    debug!(peer = %self.peer, topic, "a send on the shared address names no broker");
                }
                self.with_route(state, topic, request, plan);
            }
            Plan::Unnamed { ref topic } => match self.only_broker() {
                Some(broker) => self.forward(state, &broker, request, Reply::Client),
                None => match topic.clone() {
                    Some(topic) => self.with_route(state, topic, request, plan),
                    None => self.nobody(state, &request, "it names neither a broker nor a topic"),
                },
            },
            Plan::Registration { group } => self.forward_registration(state, request, &group),
            Plan::Queues => self.forward_queues(state, &request),
            Plan::Transaction => self.forward_transaction(state, request),
            Plan::TopicRoute
            | Plan::ClusterInfo
            | Plan::NameServer { .. }
            | Plan::Heartbeat
            | Plan::Unregister => {}
        }
    }

    /// Goes on with a request whose topic route was asked for.
    pub(super) fn routed(
        self: &Arc<Self>,
        state: &mut State,
        route: Result<&TopicRoute, &LookupError>,
        request: Request,
        plan: Plan,
    ) {
        let route = match route {
            Ok(route) => route,
            Err(LookupError::Unknown) => return self.without_route(state, request, plan),
            Err(error) => {
                let remark = format!("gimbal: {error}");
                return self.answer_error(state, request.asked(), response::SERVICE_NOT_AVAILABLE, &remark);
            }
        };
        let broker = match &plan {
            Plan::StaticQueue { mock, queue, .. } => route.static_owner(mock, *queue),
            Plan::Query { .. } => return self.query(state, request, route),
            Plan::AnyOfTopic(_) => self.any_of(state, route),
            Plan::Send { queue, .. } => writable(route, *queue),
            _ => only(route),
        };
        match broker {
            // The answer to a send that named nobody tells where a half message went.
            Some(broker) => self.forward(state, &broker, request, Reply::Look),
            None => self.nobody(state, &request, "its topic is on several brokers"),
        }
    }

    /// The topic has no route: a send may create it, anything else is asked of the only broker or refused.
    fn without_route(self: &Arc<Self>, state: &mut State, request: Request, plan: Plan) {
        match plan {
            Plan::Send {
                template: Some(template),
                queue,
                ..
            } => {
                let again = Plan::Send {
                    topic: template.clone(),
                    template: None,
                    queue,
                };
                self.with_route(state, template, request, again);
            }
            _ => match self.only_broker() {
                Some(broker) => self.forward(state, &broker, request, Reply::Look),
                None => {
                    let remark = "gimbal: no name server has a route of this topic";
                    self.answer_error(state, request.asked(), response::TOPIC_NOT_EXIST, remark);
                }
            },
        }
    }

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
            let remark = format!("gimbal: broker {broker} has no master now");
            return self.answer_error(state, request.asked(), response::SERVICE_NOT_AVAILABLE, &remark);
        }
        let reply = match reply {
            Reply::Client if needs_look(code, slot.store_host.is_some()) => Reply::Look,
            other => other,
        };
        let pending = request.pending(reply);
        if pending.is_some() {
            let deadline = request.deadline;
            slot.link.send(request.head, request.frame, pending);
            state.due_by(deadline);
        } else {
            slot.link.send(request.head, request.frame, None);
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

    fn forward_queues(self: &Arc<Self>, state: &mut State, request: &Request) {
        let Ok(set) = QueueSet::decode(request.frame.body()) else {
            let remark = "gimbal: the body is not a set of queues";
            return self.answer_error(state, request.asked(), response::SYSTEM_ERROR, remark);
        };
        let directory = &self.core.directory;
        let parts = set.by_broker(&|name, topic, queue| directory.cached(topic)?.static_owner(name, queue));
        let mut parts: Vec<_> = parts
            .into_iter()
            .filter(|(broker, _)| !broker.is_empty())
            .collect();
        if parts.len() == 1
            && let Some((broker, _)) = parts.pop()
        {
            let whole = Request {
                head: request.head.clone(),
                frame: request.frame.clone(),
                deadline: request.deadline,
            };
            return self.forward(state, &broker, whole, Reply::Client);
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
                head: request.head.clone(),
                frame,
                deadline: request.deadline,
            };
            self.forward_part(state, &broker, part, gather);
        }
        self.finish_if_complete(state, gather);
    }

    fn forward_transaction(self: &Arc<Self>, state: &mut State, request: Request) {
        let fields = request.head.fields(&request.frame);
        let half = (|| {
            Some(HalfMessage {
                id: fields.first_of(&["msgId", "transactionId"])?.into_owned(),
                queue_offset: fields.int("tranStateTableOffset")?,
                commit_log_offset: fields.int("commitLogOffset")?,
            })
        })();
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

    fn forward_registration(self: &Arc<Self>, state: &mut State, request: Request, group: &str) {
        match self.registered_at(state, group).or_else(|| self.only_broker()) {
            Some(broker) => self.forward(state, &broker, request, Reply::Client),
            None => {
                let topic = format!("%RETRY%{group}");
                self.with_route(state, topic.clone(), request, Plan::AnyOfTopic(topic));
            }
        }
    }

    /// A broker that holds this client's own registration in the group: it holds those of the whole group.
    fn registered_at(&self, state: &State, group: &str) -> Option<String> {
        let consumers = state.beat.iter().flat_map(|beat| beat.heartbeat.consumers());
        let topics = consumers
            .filter(|consumer| consumer.group_name == group)
            .flat_map(|consumer| consumer.topics());
        let routes = topics.filter_map(|topic| self.core.directory.known(topic));
        let mut brokers = routes.flat_map(|route| route.brokers()).map(|broker| broker.name);
        brokers.find(|name| state.is_ready(name))
    }

    /// No broker can be told: an error that says so. Guessing would lose or duplicate in silence.
    fn nobody(&self, state: &mut State, request: &Request, why: &str) {
        let code = request.head.code;
        let name = rq::name(code).unwrap_or("unknown");
        let remark = format!(
            "gimbal: request {code} ({name}) cannot be sent to a broker: {why}; clients that name no broker need \
             addressing = \"per-broker\" or \"auto\""
        );
        debug!(peer = %self.peer, code = code.0, "{remark}");
        let code = match code {
            rq::END_TRANSACTION => response::SYSTEM_ERROR,
            _ => response::VERSION_NOT_SUPPORTED,
        };
        self.answer_error(state, request.asked(), code, &remark);
    }

    /// The only broker there is, when there is only one: naming nobody is then naming it.
    fn only_broker(&self) -> Option<String> {
        let mut brokers = self.core.directory.brokers();
        let only = brokers.pop()?;
        brokers.is_empty().then_some(only)
    }

    /// A broker of the topic: one already in use rather than another, one with a master rather than without.
    fn any_of(&self, state: &State, route: &TopicRoute) -> Option<String> {
        let brokers = route.brokers();
        let in_use = brokers.iter().find(|broker| state.is_ready(&broker.name));
        let any = in_use.or_else(|| brokers.iter().find(|broker| broker.addresses.contains_key(&0)));
        any.or(brokers.first()).map(|broker| broker.name.clone())
    }

    /// Learns the topic of a producer's send: its masters must all know this producer.
    fn note_send(self: &Arc<Self>, state: &mut State, request: &Request) {
        if !is_send(request.head.code) || !state.beat.as_ref().is_some_and(|beat| beat.has_producers) {
            return;
        }
        let fields = request.head.fields(&request.frame);
        let Some(topic) = fields.first_of(&["b", "topic"]) else {
            return;
        };
        if state.note_topic(&topic) {
            self.introduce(state, topic.into_owned());
        }
    }

    /// Whether the session is leaving and the request is told to come again elsewhere.
    fn turned_away(&self, state: &mut State, head: &Head, kind: Kind) -> bool {
        if !state.draining || !self.may_go_away(head) {
            return false;
        }
        if !head.is_oneway() {
            let remark = "gimbal: this instance is shutting down";
            self.answer(
                state,
                &Command::answer(head, kind, response::GO_AWAY).with_remark(remark),
            );
        }
        !head.is_oneway()
    }
}

/// Whether an answer may hold something that names a broker or its slaves.
fn needs_look(code: Code, rewrites_store_hosts: bool) -> bool {
    is_pull(code)
        || (rewrites_store_hosts
            && (is_send(code)
                || matches!(
                    code,
                    rq::POP_MESSAGE | rq::PEEK_MESSAGE | rq::QUERY_MESSAGE | rq::VIEW_MESSAGE_BY_ID
                )))
}

/// The only broker of the topic.
fn only(route: &TopicRoute) -> Option<String> {
    match &route.brokers()[..] {
        [one] => Some(one.name.clone()),
        _ => None,
    }
}

/// A broker with a master that takes writes for this queue of the topic; for a negative queue, any.
fn writable(route: &TopicRoute, queue: i64) -> Option<String> {
    let brokers = route.brokers();
    let has_master = |name: &str| {
        brokers
            .iter()
            .any(|b| b.name == name && b.addresses.contains_key(&0))
    };
    let mut fit: Vec<_> = route
        .queues()
        .into_iter()
        .filter(|data| data.is_writable() && queue < data.write_queues && has_master(&data.broker))
        .collect();
    if fit.is_empty() {
        return None;
    }
    let at = fastrand::usize(..fit.len());
    Some(fit.swap_remove(at).broker)
}

/// How long a link is kept trying for a client that only waits to be registered.
pub(super) const HEARTBEAT_WAIT: Duration = Duration::from_millis(2_500);
