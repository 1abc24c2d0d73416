//! Heartbeats and unregistrations: at every broker the client talks to, once each, and again on every new link.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::gather::{Gather, Gathering};
use super::link_task::{GREETING_LIMIT, own};
use super::request::Request;
use super::{Session, State};
use crate::protocol::body::Heartbeat;
use crate::protocol::{Command, Frame, Head, OWN_VERSION, response};
use crate::socket::LARGE_FRAME;
use crate::telemetry::Outcome;
use crate::upstream::{Phase, Reply};

/// A client beats once per broker name and id of its routes, all to this one address and all the same. Within this
/// time after an answer, the same heartbeat is answered the same without asking the brokers again.
const SAME_BEAT: Duration = Duration::from_secs(3);
/// How long a broker that has not taken a heartbeat is left alone before it gets it again.
const BEAT_AGAIN: Duration = Duration::from_secs(3);
/// A client silent for longer is not spoken for any more.
const BEAT_AGE: Duration = Duration::from_mins(2);
/// Unregistrations replayed after a heartbeat at most; a client with more groups gets the newest of them.
const UNREGISTRATIONS_KEPT: usize = 256;

/// The client's last heartbeat, replayed on every new link.
#[derive(Debug)]
pub(super) struct Beat {
    /// As the client sent it.
    pub(super) own: (Head, Frame),
    /// As filters let it pass; `None` while they do not.
    pub(super) passed: Option<(Head, Frame)>,
    /// What is in the one that passed.
    pub(super) heartbeat: Heartbeat,
    pub(super) at: Instant,
    /// Its answers, while they are awaited.
    pub(super) gather: u64,
    /// When it was answered last, and how.
    pub(super) answered: Option<(Instant, Command)>,
    /// Groups the client has left since, as it said so.
    pub(super) left: Vec<(Head, Frame)>,
}

impl Beat {
    /// One that filters do not let pass.
    pub(super) fn refused(own: (Head, Frame)) -> Self {
        Self {
            own,
            passed: None,
            heartbeat: Heartbeat::default(),
            at: Instant::now(),
            gather: u64::MAX,
            answered: None,
            left: Vec::new(),
        }
    }

    /// Filters say otherwise now.
    pub(super) fn set_passed(&mut self, passed: Option<(Head, Frame)>) {
        let body = passed.as_ref().map(|(_, frame)| Heartbeat::decode(frame.body()));
        self.heartbeat = body.and_then(Result::ok).unwrap_or_default();
        self.passed = passed;
    }

    /// Bytes kept of it where they count: those of small ones are part of what a session is.
    pub(super) fn len(&self) -> usize {
        let passed = self.passed.as_ref().map_or(0, |(_, frame)| frame.len());
        let bytes = self.own.1.len().saturating_add(passed);
        if bytes > LARGE_FRAME { bytes } else { 0 }
    }

    /// Whether the client is a producer.
    pub(super) fn has_producers(&self) -> bool {
        self.heartbeat.producers().next().is_some()
    }

    /// Whether it still speaks for the client.
    pub(super) fn is_current(&self, now: Instant) -> bool {
        now.duration_since(self.at) < BEAT_AGE
    }
}

impl Session {
    pub(super) fn heartbeat(self: &Arc<Self>, state: &mut State, request: Request) {
        let heartbeat = match Heartbeat::decode(request.frame.body()) {
            Ok(heartbeat) => heartbeat,
            Err(error) => {
                let remark = format!("gimbal: {error}");
                return state.answer_error(request.asked(), Outcome::Failed, response::SYSTEM_ERROR, &remark);
            }
        };
        state.filters.note_client_id(&heartbeat.client_id);
        state.beats.note(Instant::now());
        if self.same_beat(state, &request) {
            return;
        }
        let topics: Vec<String> = heartbeat.topics().map(str::to_owned).collect();
        // One part is awaited until the brokers are known.
        let gather = state.add_gather(Gather::new(Gathering::Heartbeat, &request, 1));
        let passed = (request.head.clone(), request.frame.clone());
        state.beat = Some(Beat {
            own: request.own.clone().unwrap_or_else(|| passed.clone()),
            passed: Some(passed),
            heartbeat,
            at: Instant::now(),
            gather,
            answered: None,
            left: Vec::new(),
        });
        if let Some(broker) = &self.place.broker {
            let only = BTreeSet::from([broker.to_string()]);
            return self.beat_at(state, &request, only, gather);
        }
        let missing = topics
            .iter()
            .any(|topic| self.core.directory.cached(topic).is_none());
        if missing {
            self.heartbeat_later(state, request, topics, gather);
        } else {
            let targets = self.beat_targets(state);
            self.beat_at(state, &request, targets, gather);
        }
    }

    /// Answers a heartbeat that repeats the one before; whether it did.
    fn same_beat(self: &Arc<Self>, state: &mut State, request: &Request) -> bool {
        let now = Instant::now();
        let Some(beat) = &mut state.beat else { return false };
        let is_same = beat
            .passed
            .as_ref()
            .is_some_and(|(_, frame)| frame.body() == request.frame.body());
        if !is_same || !beat.left.is_empty() {
            return false;
        }
        if let Some(gather) = state.gathers.get_mut(&beat.gather) {
            gather
                .followers
                .push((request.head.clone(), request.frame.kind()));
            return true;
        }
        let fresh = beat
            .answered
            .as_ref()
            .filter(|(at, answer)| now.duration_since(*at) < SAME_BEAT && answer.code == response::SUCCESS);
        let Some((_, mut answer)) = fresh.cloned() else {
            return false;
        };
        answer.opaque = request.head.opaque;
        state.will_end(answer.opaque, Outcome::Answered);
        self.deliver_command(state, request.asked.as_ref(), &answer);
        true
    }

    /// Every broker the client must be registered at: those of its subscriptions, those of the topics it asked about
    /// or sent to, and those it has used.
    pub(super) fn beat_targets(&self, state: &State) -> BTreeSet<String> {
        let mut targets: BTreeSet<String> = state.by_broker.keys().map(ToString::to_string).collect();
        let subscribed = state.beat.iter().flat_map(|beat| beat.heartbeat.topics());
        for topic in subscribed.chain(state.topics.iter().map(|topic| &**topic)) {
            if let Some(route) = self.core.directory.known(topic) {
                targets.extend(route.brokers().into_iter().map(|broker| broker.name));
            }
        }
        targets
    }

    /// Sends the heartbeat in `request` to these brokers and answers when all have answered.
    pub(super) fn beat_at(
        self: &Arc<Self>,
        state: &mut State,
        request: &Request,
        targets: BTreeSet<String>,
        gather: u64,
    ) {
        if targets.is_empty() {
            return self.beat_nowhere(state, gather);
        }
        if let Some(gather) = state.gathers.get_mut(&gather) {
            gather.waiting = targets.len();
        }
        for broker in targets {
            let id = self.link(state, &broker);
            let Some(slot) = state.links.get_mut(&id) else {
                continue;
            };
            if slot.link.phase == Phase::Opening {
                // The greeting carries this very heartbeat.
                slot.greeting.push(gather);
                slot.wake.notify_one();
            } else {
                let pending = request.pending(Reply::Gather(gather));
                slot.link
                    .send(request.head.clone(), request.frame.clone(), pending);
            }
        }
    }

    /// The client has nothing to do with any broker yet: it is told that all is well, by a version brokers have.
    fn beat_nowhere(self: &Arc<Self>, state: &mut State, gather: u64) {
        let Some(gather) = state.gathers.remove(&gather) else {
            return;
        };
        let mut answer = Command::answer(&gather.head, gather.kind, response::SUCCESS);
        answer.version = match self.core.directory.broker_version() {
            0 => OWN_VERSION,
            known => known,
        };
        self.answer_gather(state, gather, answer);
    }

    /// A broker has refused the client's heartbeat or not answered it: it gets it again, before the client's next one.
    pub(super) fn beat_again(self: &Arc<Self>, state: &mut State, broker: &Arc<str>) {
        let passed = state.beat.as_ref().and_then(|beat| beat.passed.as_ref());
        let Some(opaque) = passed.map(|(head, _)| head.opaque) else {
            return;
        };
        if !state.is_ready(broker) {
            return;
        }
        let (this, broker) = (Arc::clone(self), Arc::clone(broker));
        state.spawn(async move {
            sleep(BEAT_AGAIN).await;
            let mut state = this.lock();
            let now = Instant::now();
            let State {
                links,
                by_broker,
                beat,
                ..
            } = &mut *state;
            let beat = beat.as_ref().filter(|beat| beat.is_current(now));
            let passed = beat.and_then(|beat| beat.passed.as_ref());
            let passed = passed.filter(|(head, _)| head.opaque == opaque);
            let slot = by_broker.get(&broker).and_then(|id| links.get_mut(id));
            // A link that is not ready yet carries the heartbeat anyway.
            if let (Some((head, frame)), Some(slot)) = (passed, slot)
                && slot.link.phase == Phase::Ready
            {
                let deadline = now + GREETING_LIMIT;
                let pending = own(head, frame, Reply::Greeting, deadline);
                slot.link.send(head.clone(), frame.clone(), Some(pending));
                state.due_by(deadline);
                this.settle(&mut state);
            }
        });
    }

    /// The client has to do with the brokers of one more topic: they get to know it.
    pub(super) fn introduce_to(self: &Arc<Self>, state: &mut State, brokers: impl Iterator<Item = String>) {
        let now = Instant::now();
        let speaks = |beat: &Beat| beat.passed.is_some() && beat.is_current(now);
        if self.place.broker.is_some() || !state.beat.as_ref().is_some_and(speaks) {
            return;
        }
        for broker in brokers {
            self.link(state, &broker);
        }
    }

    pub(super) fn unregister(self: &Arc<Self>, state: &mut State, request: &Request) {
        let fields = |head: &Head, frame: &Frame| head.fields(frame).to_pairs();
        let these = fields(&request.head, &request.frame);
        let repeated = |(head, frame): &(Head, Frame)| fields(head, frame) == these;
        if let Some(beat) = &mut state.beat {
            if !beat.left.iter().any(repeated) {
                beat.left.push((request.head.clone(), request.frame.clone()));
                if beat.left.len() > UNREGISTRATIONS_KEPT {
                    beat.left.remove(0);
                }
            }
            // One that no broker has heard waits for a chain that lets it pass.
            if beat.passed.is_some() && has_left_all(beat) {
                state.beat = None;
            }
        }
        let brokers: Vec<String> = if let Some(broker) = &self.place.broker {
            vec![broker.to_string()]
        } else {
            let known = state
                .links
                .values()
                .filter(|slot| slot.link.phase != Phase::Opening && !slot.retired);
            known.map(|slot| slot.link.broker.to_string()).collect()
        };
        let gather = state.add_gather(Gather::new(Gathering::Unregister, request, brokers.len()));
        for broker in brokers {
            self.forward_part(state, &broker, request.clone(), gather);
        }
        // With nobody to tell, it is done.
        self.finish_if_complete(state, gather);
    }
}

/// Whether the client has left every group of its heartbeat.
fn has_left_all(beat: &Beat) -> bool {
    let left = |kind: &str| -> BTreeSet<String> {
        let groups = beat
            .left
            .iter()
            .filter_map(|(head, frame)| head.fields(frame).find(kind));
        groups.map(std::borrow::Cow::into_owned).collect()
    };
    let (producers, consumers) = (left("producerGroup"), left("consumerGroup"));
    beat.heartbeat.producers().all(|group| producers.contains(group))
        && beat
            .heartbeat
            .consumers()
            .iter()
            .all(|group| consumers.contains(&group.group_name))
}
