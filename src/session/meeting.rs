//! When filters meet a connection: at its beginning, when the chain changes under it, and at its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::filtering::{framed, ticket};
use super::heartbeat::Beat;
use super::link_task::{GREETING_LIMIT, own};
use super::{Session, State};
use crate::filter::{Chain, Outcome, Subject};
use crate::protocol::body::Heartbeat;
use crate::protocol::request as rq;
use crate::protocol::{Command, Frame, Head};
use crate::upstream::{Phase, Reply};

impl Session {
    /// When another chain is in force than before, its members meet the connection, and what they say of the client's
    /// heartbeat is told to the brokers. Whatever is judged by a chain gets it from here: nothing is shown to a filter
    /// before the connection is.
    pub(super) fn meet(self: &Arc<Self>, state: &mut State) -> Arc<Chain> {
        let chain = self.core.filters.chains().load_full();
        if chain.generation() == state.filters.generation {
            return chain;
        }
        state.filters.generation = chain.generation();
        let is_there = |id: u64| chain.members().iter().any(|member| member.id == id);
        // What a filter mapped ends with it; a new version maps anew.
        if state
            .filters
            .names
            .as_ref()
            .is_some_and(|names| !is_there(names.owner))
        {
            state.filters.names = None;
        }
        state.filters.met.retain(|id| is_there(*id));
        let subject =
            Subject::connection(Arc::clone(&state.filters.client)).with_names(state.filters.names.clone());
        let (mut subject, welcome) = chain.connect(Box::new(subject), &mut state.filters.met);
        self.note_names(state, &mut subject);
        match welcome {
            Ok(()) => self.judge_beat_again(state, &chain),
            Err(reason) => self.close(state, reason),
        }
        chain
    }

    /// The connection is over: those who saw it begin see it end.
    pub(super) fn take_leave(&self) {
        let (client, names, met) = {
            let mut state = self.lock();
            let filters = &mut state.filters;
            let met = std::mem::take(&mut filters.met);
            (Arc::clone(&filters.client), filters.names.take(), met)
        };
        if met.is_empty() {
            return;
        }
        let chain = self.core.filters.chains().load();
        let subject = Subject::connection(client).with_names(names);
        chain.disconnect(Box::new(subject), &met);
    }

    /// Another chain is in force.
    pub(super) fn chain_changed(self: &Arc<Self>) {
        let mut state = self.lock();
        self.meet(&mut state);
        self.settle(&mut state);
    }

    /// What a chain says of the heartbeat.
    fn beat_now(&self, state: &mut State, chain: &Chain, (head, frame): (Head, Frame)) -> Opinion {
        let config = self.core.config.load_full();
        let index = head.fields(&frame).index();
        let ticket = ticket(&config, (&head, &frame, &index), Instant::now());
        let subject = self.subject(state, (head, frame), &ticket);
        match chain.decide(Box::new(subject), 0) {
            Outcome::Forward(mut subject) => {
                self.note_names(state, &mut subject);
                let names = subject.names().cloned();
                match self.written(*subject, names.as_ref(), &ticket) {
                    Ok((head, frame, _)) => Opinion::Passes((head, frame)),
                    Err(_refusal) => Opinion::Refused,
                }
            }
            Outcome::Answer {
                is_verdict: false, ..
            } => Opinion::None,
            Outcome::Close { reason, .. } => {
                self.close(state, reason);
                Opinion::Refused
            }
            Outcome::Answer { .. } | Outcome::Delay { .. } | Outcome::Drop(_) => Opinion::Refused,
        }
    }

    /// Judges the client's heartbeat by this chain.
    fn judge_beat_again(self: &Arc<Self>, state: &mut State, chain: &Chain) {
        let now = Instant::now();
        let current = state.beat.as_ref().filter(|beat| beat.is_current(now));
        let Some(beat_own) = current.map(|beat| beat.own.clone()) else {
            return;
        };
        match self.beat_now(state, chain, beat_own) {
            Opinion::Passes(passed) => self.tell_brokers(state, Some(passed)),
            Opinion::Refused => self.tell_brokers(state, None),
            // A filter that fails does not cost the client its queues: what brokers were told holds.
            Opinion::None => {}
        }
    }

    /// The client's heartbeat passes like this now, or not at all. When that is another outcome than before, the brokers
    /// hear it, and the client leaves the groups that it may no longer be a member of.
    fn tell_brokers(self: &Arc<Self>, state: &mut State, passed: Option<(Head, Frame)>) {
        let Some(beat) = &mut state.beat else { return };
        let is_same = match (&passed, &beat.passed) {
            (Some((_, new)), Some((_, old))) => new.to_bytes() == old.to_bytes(),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        let before = std::mem::take(&mut beat.heartbeat);
        beat.set_passed(passed);
        beat.answered = None;
        let gone = groups_gone(&before, &beat.heartbeat);
        debug!(peer = %self.peer, left = gone.len(), "the heartbeat is another now");
        let deadline = Instant::now() + GREETING_LIMIT;
        let user = state.filters.client.user.clone();
        let leaving = gone
            .iter()
            .filter_map(|group| self.leaving(&before.client_id, group, user.as_deref()));
        // Groups that the client left on its own come back to life with a heartbeat that names them.
        let left = beat.left.iter().filter(|_| beat.passed.is_some()).cloned();
        let after: Vec<(Head, Frame)> = left.chain(leaving).collect();
        for slot in state.links.values_mut() {
            if slot.link.phase == Phase::Opening || slot.retired {
                continue;
            }
            if let Some((head, frame)) = &beat.passed {
                let pending = own(head, frame, Reply::Greeting, deadline);
                slot.link.send(head.clone(), frame.clone(), Some(pending));
            }
            for (head, frame) in &after {
                let pending = own(head, frame, Reply::Nobody, deadline);
                slot.link.send(head.clone(), frame.clone(), Some(pending));
            }
        }
        state.due_by(deadline);
        let targets = self.beat_targets(state);
        self.introduce_to(state, targets.into_iter());
    }

    /// The request by which a client leaves a group.
    fn leaving(
        &self,
        client_id: &str,
        (kind, group): &(&str, String),
        user: Option<&str>,
    ) -> Option<(Head, Frame)> {
        let mut command = Command::request(rq::UNREGISTER_CLIENT, fastrand::i32(i32::MIN..0))
            .with_field("clientID", client_id)
            .with_field(kind, group.as_str());
        self.sign_for(&mut command, user);
        framed(&command).ok()
    }

    /// Signs a request of Gimbal's own, by the client's key if the client signs, else by the one for such requests.
    pub(super) fn sign_for(&self, command: &mut Command, user: Option<&str>) {
        let config = self.core.config.load();
        let Some(keys) = config.credentials.as_deref() else {
            return;
        };
        // Without a key that the broker knows, it refuses, which is as if nothing had been sent.
        if user.is_none_or(|user| keys.sign(command, user).is_err()) {
            keys.sign_own(command);
        }
    }

    /// The client's heartbeat does not pass: it is kept all the same, since a later chain may let it. What brokers were
    /// told before holds on when a filter failed, and ends when it is a filter's will.
    pub(super) fn beat_refused(
        self: &Arc<Self>,
        state: &mut State,
        own_beat: (Head, Frame),
        is_verdict: bool,
    ) {
        match &mut state.beat {
            Some(beat) if beat.passed.is_some() => {
                beat.own = own_beat;
                beat.at = Instant::now();
                if is_verdict {
                    self.tell_brokers(state, None);
                }
            }
            _ => state.beat = Some(Beat::refused(own_beat)),
        }
    }
}

/// What a chain says of a heartbeat.
#[derive(Debug)]
enum Opinion {
    /// It passes like this.
    Passes((Head, Frame)),
    /// It does not.
    Refused,
    /// Nothing: a filter failed.
    None,
}

/// Groups of `before` that are not in `after`, with the ext field that names them when a client leaves.
fn groups_gone(before: &Heartbeat, after: &Heartbeat) -> BTreeSet<(&'static str, String)> {
    let names = |heartbeat: &Heartbeat| -> BTreeSet<(&'static str, String)> {
        let consumers = heartbeat.consumers().iter();
        let consumers = consumers.map(|group| ("consumerGroup", group.group_name.clone()));
        let producers = heartbeat.producers();
        consumers
            .chain(producers.map(|group| ("producerGroup", group.to_owned())))
            .collect()
    };
    names(before).difference(&names(after)).cloned().collect()
}
