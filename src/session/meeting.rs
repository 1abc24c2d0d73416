//! When filters meet a connection: at its beginning, when the chain changes under it, and at its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::filtering::framed;
use super::heartbeat::Beat;
use super::link_task::{GREETING_LIMIT, own};
use super::{Session, State};
use crate::filter::{Chain, Outcome, Subject};
use crate::protocol::body::{ConsumerGroup, Heartbeat};
use crate::protocol::request as rq;
use crate::protocol::{Command, Frame, Head};
use crate::upstream::{Phase, Reply};

impl Session {
    /// Tells the members of the chain in force that have not seen this connection of it.
    pub(super) fn meet(&self, state: &mut State, chain: &Chain) {
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
        let met = std::mem::take(&mut state.filters.met);
        let subject =
            Subject::connection(Arc::clone(&state.filters.client)).with_names(state.filters.names.clone());
        let (subject, welcome) = chain.connect(Box::new(subject), &|id| !met.contains(&id));
        self.note_names(state, &subject);
        let members = chain.members().iter();
        state.filters.met = members
            .filter(|member| member.filter.hooks().connections)
            .map(|member| member.id)
            .collect();
        if let Err(reason) = welcome
            && state.closed.is_none()
        {
            self.close(state, reason);
        }
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
        chain.disconnect(Box::new(subject), &|id| met.contains(&id));
    }

    /// Another chain is in force: its members meet the connection, and what they say of the client's heartbeat is told to
    /// the brokers at once.
    pub(super) fn chain_changed(self: &Arc<Self>) {
        let mut state = self.lock();
        let chain = self.core.filters.chains().load_full();
        if chain.generation() != state.filters.generation {
            self.meet(&mut state, &chain);
        }
        self.judge_beat_again(&mut state);
        self.settle(&mut state);
    }

    /// The heartbeat as the chain in force lets it pass; `None` when it does not.
    fn beat_now(&self, state: &mut State, (head, frame): (Head, Frame)) -> Option<(Head, Frame)> {
        let chain = self.core.filters.chains().load_full();
        let config = self.core.config.load_full();
        let ticket = self.ticket(&config, &head, &frame, Instant::now());
        let subject = self.subject(state, (head, frame), &ticket);
        match chain.decide(Box::new(subject), 0) {
            Outcome::Forward(subject) => {
                let names = subject.names().cloned();
                self.written(*subject, names.as_ref(), &ticket).ok()
            }
            Outcome::Answer { .. } | Outcome::Delay { .. } | Outcome::Drop | Outcome::Close { .. } => None,
        }
    }

    /// Judges the client's heartbeat by the chain in force. When the outcome is another, the brokers hear it, and the
    /// client leaves the groups that it may no longer be a member of.
    fn judge_beat_again(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        let current = state.beat.as_ref().filter(|beat| beat.is_current(now));
        let Some(beat_own) = current.map(|beat| beat.own.clone()) else {
            return;
        };
        let passed = self.beat_now(state, beat_own);
        let Some(beat) = &mut state.beat else { return };
        let is_same = match (&passed, &beat.passed) {
            (Some((_, new)), Some((_, old))) => new.body() == old.body(),
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
        debug!(peer = %self.peer, left = gone.len(), "another chain: the heartbeat is another");
        let (passed, client_id) = (beat.passed.clone(), before.client_id);
        let user = state.filters.client.user.clone();
        let deadline = now + GREETING_LIMIT;
        for slot in state.links.values_mut() {
            if slot.link.phase == Phase::Opening {
                continue;
            }
            if let Some((head, frame)) = &passed {
                let pending = own(head, frame, Reply::Nobody, deadline);
                slot.link.send(head.clone(), frame.clone(), Some(pending));
            }
            for group in &gone {
                if let Some((head, frame)) = self.leaving(&client_id, group, user.as_deref()) {
                    let pending = own(&head, &frame, Reply::Nobody, deadline);
                    slot.link.send(head, frame, Some(pending));
                }
            }
        }
        state.due_by(deadline);
        if passed.is_some() {
            let targets = self.beat_targets(state);
            self.introduce_to(state, targets.into_iter());
        }
    }

    /// The request by which a client leaves a consumer group.
    fn leaving(&self, client_id: &str, group: &str, user: Option<&str>) -> Option<(Head, Frame)> {
        let mut command = Command::request(rq::UNREGISTER_CLIENT, fastrand::i32(i32::MIN..0))
            .with_field("clientID", client_id)
            .with_field("consumerGroup", group);
        let config = self.core.config.load();
        if let (Some(keys), Some(user)) = (config.credentials.as_deref(), user) {
            // A key that has left the file since: the broker refuses, and forgets the member after two minutes.
            drop(keys.sign(&mut command, user));
        }
        framed(&command).ok()
    }

    /// The client's heartbeat does not pass: it is kept all the same, since a later chain may let it.
    pub(super) fn beat_refused(self: &Arc<Self>, state: &mut State, own_beat: (Head, Frame)) {
        let Ok(heartbeat) = Heartbeat::decode(own_beat.1.body()) else {
            return;
        };
        state.filters.note_client_id(&heartbeat.client_id);
        if state.beat.as_ref().is_none_or(|beat| beat.passed.is_none()) {
            state.beat = Some(Beat::refused(own_beat));
            return;
        }
        // Brokers know the client from an earlier heartbeat that passed.
        if let Some(beat) = &mut state.beat {
            beat.own = own_beat;
        }
        self.judge_beat_again(state);
    }
}

/// Consumer groups of `before` that are not in `after`.
fn groups_gone(before: &Heartbeat, after: &Heartbeat) -> BTreeSet<String> {
    let names = |heartbeat: &Heartbeat| -> BTreeSet<String> {
        let groups = heartbeat.consumers().iter();
        groups
            .map(|group: &ConsumerGroup| group.group_name.clone())
            .collect()
    };
    names(before).difference(&names(after)).cloned().collect()
}
