//! What must be asked of a name server first: routes for the client, and routes for deciding where a request goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::request::Request;
use super::{Session, State};
use crate::config::Addressing;
use crate::protocol::body::{Dialect, TopicRoute};
use crate::protocol::{Command, FLAG_ONEWAY, Head, Language, response};
use crate::route::{Lookup, LookupError, Plan};
use crate::telemetry::Outcome;

/// Fields of a route request that do not change what the name server answers.
const NOT_IN_QUESTION: [&str; 8] = [
    "acceptStandardJsonOnly",
    "AccessKey",
    "Signature",
    "SecurityToken",
    "ReqT",
    "bname",
    "ns",
    "nsd",
];
/// From this version on a client is answered in the standard dialect (`V4_9_4`).
const STANDARD_DIALECT_SINCE: i32 = 401;

/// Half of the time a heartbeat may take is for finding out where it belongs.
const HEARTBEAT_LOOKUP_LIMIT: Duration = Duration::from_millis(1_250);

/// A request that waits for the route of a topic.
#[derive(Debug)]
pub(super) struct Parked {
    request: Request,
    plan: Plan,
}

impl Session {
    /// Answers a request from a task; the answer is written at once.
    fn spawn_answer<F>(self: &Arc<Self>, state: &mut State, request: Request, work: F)
    where
        F: Future<Output = Result<Command, String>> + Send + 'static,
    {
        state.lookups = state.lookups.saturating_add(1);
        let this = Arc::clone(self);
        state.spawn(async move {
            let outcome = timeout_at(request.deadline, work).await;
            let outcome = outcome.unwrap_or_else(|_late| Err(LookupError::Late.to_string()));
            let mut state = this.lock();
            state.lookups = state.lookups.saturating_sub(1);
            match outcome {
                Ok(mut answer) if !request.head.is_oneway() => {
                    answer.opaque = request.head.opaque;
                    this.deliver_command(&mut state, request.asked.as_ref(), &answer);
                }
                Ok(_oneway) => state.end(request.head.opaque, None),
                Err(what) => {
                    let remark = format!("gimbal: {what}");
                    state.answer_error(request.asked(), Outcome::Failed, response::SYSTEM_ERROR, &remark);
                }
            }
            this.flush_client(&mut state);
            this.wake.notify_one();
        });
    }

    pub(super) fn answer_topic_route(self: &Arc<Self>, state: &mut State, request: Request) {
        let fields = request.head.fields(&request.frame);
        let mut question = fields.to_pairs();
        question.retain(|(name, _)| !NOT_IN_QUESTION.contains(&name.as_str()));
        let accepts_standard = fields.is_true("acceptStandardJsonOnly");
        let dialect = if request.head.version >= STANDARD_DIALECT_SINCE || accepts_standard {
            Dialect::Standard
        } else {
            Dialect::Fastjson
        };
        let topic = fields.find("topic").unwrap_or_default().into_owned();
        let head = request.head.clone();
        let this = Arc::clone(self);
        self.spawn_answer(state, request, async move {
            let Lookup { mut answer, route } = this
                .core
                .directory
                .lookup(question)
                .await
                .map_err(|error| error.to_string())?;
            answer.flag &= !FLAG_ONEWAY;
            if let Some(route) = route {
                answer.body = this.advertised(&route, &head)?.encode(dialect).into();
                let mut state = this.lock();
                state.note_topic(&topic);
                let brokers = route.brokers().into_iter().map(|broker| broker.name);
                this.introduce_to(&mut state, brokers);
            }
            Ok(answer)
        });
    }

    /// The route with addresses that lead here.
    fn advertised(&self, route: &TopicRoute, head: &Head) -> Result<TopicRoute, String> {
        let ports = self.wants_ports(head);
        if head.language == Language::GO && self.place.host().contains(':') {
            return Err(
                "Go clients cannot read IPv6 addresses in routes; set the listener's advertise to a name \
                        or an IPv4 address"
                    .to_owned(),
            );
        }
        let addresses = self.addresses(route.brokers().into_iter().map(|broker| broker.name), ports)?;
        Ok(route.advertised(&|broker| addresses.get(broker).cloned()))
    }

    /// Whether this client gets one port per broker.
    fn wants_ports(&self, head: &Head) -> bool {
        match self.place.door.addressing() {
            Addressing::Shared => false,
            Addressing::PerBroker => true,
            // Tools name no broker.
            Addressing::Auto => self.core.config.load().allow.admin || !names_brokers(head),
        }
    }

    /// The address of each broker as this client should see it.
    fn addresses(
        &self,
        brokers: impl Iterator<Item = String>,
        ports: bool,
    ) -> Result<std::collections::HashMap<String, String>, String> {
        brokers
            .map(|broker| {
                let port = if ports {
                    self.place.door.broker_port(&broker)?
                } else {
                    self.place.door.shared_port()
                };
                let address = self.place.address(port);
                Ok((broker, address))
            })
            .collect()
    }

    pub(super) fn answer_cluster_info(self: &Arc<Self>, state: &mut State, request: Request) {
        let this = Arc::clone(self);
        self.spawn_answer(state, request, async move {
            let (mut answer, cluster) = this
                .core
                .directory
                .cluster()
                .await
                .map_err(|error| error.to_string())?;
            let brokers = cluster.brokers().into_iter().map(|broker| broker.name);
            let addresses = this.addresses(brokers, true)?;
            answer.body = cluster
                .advertised(&|broker| addresses.get(broker).cloned())
                .encode()
                .into();
            Ok(answer)
        });
    }

    pub(super) fn ask_name_server(self: &Arc<Self>, state: &mut State, request: Request, every: bool) {
        let decoded = Command::decode(&request.frame);
        let this = Arc::clone(self);
        self.spawn_answer(state, request, async move {
            let mut command = decoded.map_err(|error| error.to_string())?;
            command.flag &= !FLAG_ONEWAY;
            this.core
                .directory
                .ask(command, every)
                .await
                .map_err(|error| error.to_string())
        });
    }

    /// Goes on with the request when the route of `topic` is there; requests about one topic keep their order.
    pub(super) fn with_route(
        self: &Arc<Self>,
        state: &mut State,
        topic: String,
        request: Request,
        plan: Plan,
    ) {
        if let Some(waiting) = state.parked.get_mut(&topic) {
            state.parked_bytes = state.parked_bytes.saturating_add(request.frame.len());
            let deadline = request.deadline;
            waiting.push(Parked { request, plan });
            return state.due_by(deadline);
        }
        if let Some(route) = self.core.directory.cached(&topic) {
            return self.routed(state, Ok(&route), request, plan);
        }
        let deadline = request.deadline;
        state.parked_bytes = state.parked_bytes.saturating_add(request.frame.len());
        state.parked.insert(topic.clone(), vec![Parked { request, plan }]);
        let this = Arc::clone(self);
        state.spawn(async move {
            let lookup = timeout_at(deadline, this.core.directory.recent_topic(&topic)).await;
            let route = lookup.unwrap_or(Err(LookupError::Late));
            let mut state = this.lock();
            for Parked { request, plan } in state.parked.remove(&topic).unwrap_or_default() {
                state.parked_bytes = state.parked_bytes.saturating_sub(request.frame.len());
                this.routed(&mut state, route.as_deref(), request, plan);
            }
            this.settle(&mut state);
        });
    }

    /// Answers what has waited too long for a route; when the next one will have.
    pub(super) fn expire_parked(state: &mut State, now: Instant) -> Option<Instant> {
        let mut late = Vec::new();
        for waiting in state.parked.values_mut() {
            late.extend(waiting.extract_if(.., |parked| parked.request.deadline <= now));
        }
        for Parked { request, .. } in late {
            state.parked_bytes = state.parked_bytes.saturating_sub(request.frame.len());
            let remark = format!("gimbal: {}", LookupError::Late);
            state.answer_error(
                request.asked(),
                Outcome::Failed,
                response::SERVICE_NOT_AVAILABLE,
                &remark,
            );
        }
        let waiting = state.parked.values().flatten();
        waiting.map(|parked| parked.request.deadline).min()
    }

    /// A heartbeat some of whose topics are not known: asks for them all, then beats.
    pub(super) fn heartbeat_later(
        self: &Arc<Self>,
        state: &mut State,
        request: Request,
        topics: Vec<String>,
        gather: u64,
    ) {
        let this = Arc::clone(self);
        let limit = Instant::now() + HEARTBEAT_LOOKUP_LIMIT;
        state.spawn(async move {
            let mut asking = tokio::task::JoinSet::new();
            for topic in topics {
                let directory = Arc::clone(&this.core.directory);
                asking.spawn(async move { directory.recent_topic(&topic).await.is_ok() });
            }
            // Topics without a route have no brokers; late ones are learned by the next heartbeat.
            drop(timeout_at(limit, asking.join_all()).await);
            let mut state = this.lock();
            let targets = this.beat_targets(&state);
            this.beat_at(&mut state, &request, targets, gather);
            this.settle(&mut state);
        });
    }

    /// A producer sends to a topic for the first time: the masters of the topic get to know it.
    pub(super) fn introduce(self: &Arc<Self>, state: &mut State, topic: String) {
        let this = Arc::clone(self);
        state.spawn(async move {
            let limit = Instant::now() + Duration::from_secs(5);
            if let Ok(Ok(route)) = timeout_at(limit, this.core.directory.recent_topic(&topic)).await {
                let mut state = this.lock();
                this.introduce_to(&mut state, route.brokers().into_iter().map(|broker| broker.name));
            }
        });
    }

    /// Writes what a task has prepared, and lets the session's own task look at its timer again.
    pub(super) fn settle(&self, state: &mut State) {
        state.flush_links(Instant::now());
        self.flush_client(state);
        self.wake.notify_one();
    }
}

/// Whether clients like this one name the broker in every command: Java 4.9.5 to 4.9.8, and from 5.1.0 on. Java 5.0.x
/// does so only in some, Go says the same version whatever it does, and of others nothing is known.
fn names_brokers(head: &Head) -> bool {
    head.language == Language::JAVA && (matches!(head.version, 403..=411) || head.version >= 433)
}
