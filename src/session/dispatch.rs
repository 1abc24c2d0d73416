//! Deciding about a request: may it pass, and where does it belong.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::drain::{LINGER, Leaving};
use super::heartbeat::Beat;
use super::request::{Request, is_send};
use super::{Session, State};
use crate::protocol::body::TopicRoute;
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Frame, Head, Index, Kind, response};
use crate::route::{LookupError, Named, Plan, plan, refusal};
use crate::socket::LARGE_FRAME;
use crate::telemetry::Outcome;
use crate::upstream::Reply;

impl Session {
    /// Takes one request of the client, which has begun.
    pub(super) fn request(
        self: &Arc<Self>,
        state: &mut State,
        (head, frame, course): (Head, Frame, Course),
        now: Instant,
    ) {
        let config = self.core.config.load();
        state.speaks = Some((head.language, head.version));
        let Some((head, frame)) = self.kept_apart(state, head, frame) else {
            return;
        };
        if self.turned_away(state, &head, frame.kind(), now) {
            return;
        }
        let allow = &config.allow;
        if let Some(remark) = refusal(head.code, allow) {
            state.answer_error(
                (&head, frame.kind()),
                Outcome::Refused,
                response::REQUEST_CODE_NOT_SUPPORTED,
                &remark,
            );
            return;
        }
        self.judge(state, &config, (head, frame, course), now);
    }

    /// Heartbeats and unregistrations are kept for as long as the client is there: they may not be of any size, and not
    /// keep memory that was reserved for passing through.
    fn kept_apart(&self, state: &mut State, head: Head, frame: Frame) -> Option<(Head, Frame)> {
        if frame.len() <= LARGE_FRAME || !matches!(head.code, rq::HEART_BEAT | rq::UNREGISTER_CLIENT) {
            return Some((head, frame));
        }
        let most = match head.code {
            rq::HEART_BEAT => self.core.config.load().limits.queue,
            _ => LARGE_FRAME,
        };
        let copy = frame.copied();
        if frame.len() <= most
            && let Ok(head) = Head::scan(&copy)
        {
            return Some((head, copy));
        }
        let remark = format!("gimbal: it has {} bytes, more than anybody keeps", frame.len());
        state.answer_error(
            (&head, frame.kind()),
            Outcome::Refused,
            response::SYSTEM_ERROR,
            &remark,
        );
        None
    }

    /// Goes on with a request that nobody has anything against.
    pub(super) fn admit(self: &Arc<Self>, state: &mut State, index: &Index, request: Request) {
        let fields = request.head.fields(&request.frame).indexed(index);
        let names = Named::of(request.head.code, &fields);
        let course = state.course(request.head.code, &names, request.frame.body());
        state.note_left(request.head.opaque);
        self.dispatch(state, request, course);
    }

    /// Goes on with a request to where it belongs.
    pub(super) fn dispatch(self: &Arc<Self>, state: &mut State, request: Request, course: Course) {
        let Course { plan, is_news } = course;
        if matches!(plan, Plan::TopicRoute | Plan::ClusterInfo) {
            state.will_end(request.head.opaque, Outcome::Answered);
        }
        match plan {
            Plan::TopicRoute => self.answer_topic_route(state, request),
            Plan::ClusterInfo => self.answer_cluster_info(state, request),
            Plan::NameServer { every } => self.ask_name_server(state, request, every),
            Plan::Heartbeat => self.heartbeat(state, request),
            Plan::Unregister => self.unregister(state, &request),
            other => {
                if let Some(port) = self.place.broker.clone() {
                    return self.dispatch_on_port(state, request, &other, &port);
                }
                if is_news && matches!(other, Plan::Broker(_) | Plan::Send { .. }) {
                    self.note_send(state, &request);
                }
                self.dispatch_on_shared(state, request, other);
            }
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
            Plan::Broker(name) => self.forward(state, &name, request, Reply::Client),
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
                return state.answer_error(
                    request.asked(),
                    Outcome::Failed,
                    response::SERVICE_NOT_AVAILABLE,
                    &remark,
                );
            }
        };
        let broker = match &plan {
            Plan::StaticQueue { mock, queue, .. } => route.static_owner(mock, *queue),
            Plan::Query { .. } => return self.query(state, &request, route),
            Plan::AnyOfTopic(_) => any_of(state, route),
            Plan::Send { queue, .. } => writable(route, *queue),
            _ => only(route),
        };
        match broker {
            // The answer to a send that named nobody tells where a half message went.
            Some(broker) => self.forward(state, &broker, request, Reply::Unnamed),
            None => self.nobody(state, &request, "its topic is on several brokers"),
        }
    }

    /// The topic has no route: a send may create it, a group may have no member anywhere, anything else is asked of the
    /// only broker or refused.
    fn without_route(self: &Arc<Self>, state: &mut State, request: Request, plan: Plan) {
        match plan {
            Plan::AnyOfTopic(_) if request.head.code == rq::GET_CONSUMER_LIST_BY_GROUP => {
                match self.any_broker(state) {
                    Some(broker) => self.forward(state, &broker, request, Reply::Client),
                    None => self.nobody(state, &request, "no broker is known"),
                }
            }
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
            _ => {
                if let Some(broker) = self.only_broker() {
                    return self.forward(state, &broker, request, Reply::Unnamed);
                }
                let remark = "gimbal: no name server has a route of this topic";
                state.answer_error(
                    request.asked(),
                    Outcome::Failed,
                    response::TOPIC_NOT_EXIST,
                    remark,
                );
            }
        }
    }

    /// No broker can be told: an error that says so. Guessing would lose or duplicate in silence.
    pub(super) fn nobody(&self, state: &mut State, request: &Request, why: &str) {
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
        state.answer_error(request.asked(), Outcome::Failed, code, &remark);
    }

    /// Learns the topic of a producer's send: its masters must all know this producer.
    fn note_send(self: &Arc<Self>, state: &mut State, request: &Request) {
        let fields = request.head.fields(&request.frame);
        let Some(topic) = fields.first_of(&["b", "topic"]) else {
            return;
        };
        if state.note_topic(&topic) {
            self.introduce(state, topic.into_owned());
        }
    }

    /// Whether the session is leaving and the request is told to come again elsewhere.
    fn turned_away(&self, state: &mut State, head: &Head, kind: Kind, now: Instant) -> bool {
        if state.leaving != Leaving::Now || head.is_oneway() || !self.sends_away(state) {
            return false;
        }
        let remark = "gimbal: this instance is shutting down";
        let answer = Command::answer(head, kind, response::GO_AWAY).with_remark(remark);
        state.answer_as(Outcome::Refused, &answer);
        state.sent_away = Some(now);
        state.due_by(now + LINGER);
        true
    }
}

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Course {
    plan: Plan,
    /// It is a producer's first send to its topic.
    is_news: bool,
}

impl State {
    /// Where a request goes that names these.
    pub(super) fn course(&self, code: Code, names: &Named<'_>, body: &[u8]) -> Course {
        let is_news = is_send(code)
            && self.beat.as_ref().is_some_and(Beat::has_producers)
            && names
                .topic(code)
                .is_some_and(|topic| !self.topics.contains(&*topic));
        Course {
            plan: plan(code, names, body),
            is_news,
        }
    }
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

/// A broker of the topic: one already in use rather than another, one with a master rather than without.
fn any_of(state: &State, route: &TopicRoute) -> Option<String> {
    let brokers = route.brokers();
    let in_use = brokers.iter().find(|broker| state.is_ready(&broker.name));
    let any = in_use.or_else(|| brokers.iter().find(|broker| broker.addresses.contains_key(&0)));
    any.or(brokers.first()).map(|broker| broker.name.clone())
}
