//! The task of one link once it is open: greets, and then reads what the broker sends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::drain::Leaving;
use super::incoming::Incoming;
use super::memory::From as Side;
use super::request::is_send;
use super::state::STUCK_LIMIT;
use super::{Session, State};
use crate::metrics::{Traffic, list};
use crate::protocol::{Frame, Head, response};
use crate::socket::{Inbox, ReadError, Stream};
use crate::telemetry::Outcome;
use crate::upstream::{Lost, Pending, Phase, Reply};

/// How long a greeting may take before commands flow without it.
pub(super) const GREETING_LIMIT: Duration = Duration::from_millis(2_500);

impl Session {
    /// The link that serves this broker; opened when there is none.
    pub(super) fn link(self: &Arc<Self>, state: &mut State, broker: &str) -> u32 {
        self.follow_moves(state);
        if let Some(id) = state.link_of(broker) {
            if let Some(slot) = state
                .links
                .get(&id)
                .filter(|slot| slot.link.phase == Phase::Opening)
            {
                // A link that waits before its next attempt is wanted now.
                slot.wake.notify_one();
            }
            return id;
        }
        self.open_link(state, broker, 0)
    }

    /// When a broker's name has moved to another address, its link serves no new commands.
    fn follow_moves(&self, state: &mut State) {
        let generation = self.core.directory.generation();
        if generation == state.generation {
            return;
        }
        state.generation = generation;
        let mut moved = Vec::new();
        for (id, slot) in &mut state.links {
            let Some((address, is_master)) = &mut slot.link.address else {
                continue;
            };
            let Some(now) = self.core.directory.address(&slot.link.broker) else {
                continue;
            };
            if now.address == *address {
                // A slave may have become the master where it stands.
                *is_master = now.is_master;
                continue;
            }
            // A name server that has just started may not have heard of a master that serves us well.
            if (now.is_master || !*is_master) && !slot.retired {
                slot.retired = true;
                slot.wake.notify_one();
                moved.push((*id, Arc::clone(&slot.link.broker)));
            }
        }
        for (id, broker) in moved {
            debug!(peer = %self.peer, broker = %broker, "the broker has another address now");
            state.serve_no_more(&broker, id);
        }
    }

    /// Connected: the client's heartbeat goes first, so that the broker knows who is asking.
    pub(super) fn opened(self: &Arc<Self>, id: u32, socket: &Arc<Stream>, address: (String, bool)) {
        let now = Instant::now();
        let mut state = self.lock();
        let State { links, beat, .. } = &mut *state;
        let Some(slot) = links.get_mut(&id) else { return };
        slot.socket = Some(Arc::clone(socket));
        slot.link.address = Some(address);
        // Not earlier: a name that somebody made up takes no port.
        slot.store_host = self.place.store_host(&slot.link.broker);
        let beat = beat.as_ref().filter(|beat| beat.is_current(now));
        match beat.and_then(|beat| Some((beat.passed.as_ref()?, &beat.left))) {
            Some(((head, frame), left)) => {
                slot.link.phase = Phase::Greeting;
                let deadline = now + GREETING_LIMIT;
                let pending = own(head, frame, Reply::Greeting, deadline);
                slot.link.send_first(head, frame.clone(), pending);
                for (head, frame) in left {
                    slot.link
                        .send_first(head, frame.clone(), own(head, frame, Reply::Nobody, deadline));
                }
                slot.flush(now);
                state.due_by(deadline);
            }
            None => self.greeted(&mut state, id, None),
        }
        self.wake.notify_one();
    }

    /// The broker knows the client, or need not: what waited goes out.
    pub(super) fn greeted(self: &Arc<Self>, state: &mut State, id: u32, answer: Option<&Frame>) {
        let Some(slot) = state.links.get_mut(&id) else {
            return;
        };
        let broker = Arc::clone(&slot.link.broker);
        let refused = match slot.link.address {
            // Only a master takes sends; the client should try another broker.
            Some((_, false)) => slot.link.take_if(&|pending| is_send(pending.code)),
            _ => Vec::new(),
        };
        slot.link.become_ready();
        slot.flush(Instant::now());
        let waiting = std::mem::take(&mut slot.greeting);
        if waiting.is_empty() && !answer.is_some_and(is_success) {
            self.beat_again(state, &broker);
        }
        for gather in waiting {
            self.gathered(state, gather, &broker, answer);
        }
        self.fail(state, refused, &broker, "it has no master now");
        // What waited is out: the client may be read again.
        self.wake.notify_one();
    }

    /// Reads the broker until the link is over; the error that ended it, if it was not our will. Every frame that is
    /// begun counts as `heard`.
    pub(super) async fn read_broker(
        self: &Arc<Self>,
        id: u32,
        (socket, wake): (&Stream, &Notify),
        heard: &mut bool,
    ) -> Option<ReadError> {
        let inbox = Inbox::new(self.core.config.load().limits.frame);
        let mut incoming = Incoming::new(inbox, Side::Broker);
        let mut woken = pin!(wake.notified());
        loop {
            let room = self.client_room.notified();
            let status = self.link_status(id)?;
            incoming.settle(self, !status.client_full);
            let late = incoming.late_at(self.core.config.load().timeouts.frame);
            tokio::select! {
                read = incoming.read(socket), if !status.client_full => {
                    *heard |= read.as_ref().is_ok_and(|any| *any);
                    // What came before an end is still worth delivering.
                    let delivered = self.from_broker(id, &mut incoming);
                    if let Err(error) = read.and(delivered) {
                        return Some(error);
                    }
                }
                ready = socket.writable(), if status.blocked => {
                    if let Err(error) = ready {
                        return Some(ReadError::Io(error));
                    }
                    let mut state = self.lock();
                    state.links.get_mut(&id)?.flush(Instant::now());
                    // Room for more of the client's commands.
                    self.wake.notify_one();
                }
                () = woken.as_mut() => woken.set(wake.notified()),
                () = room, if status.client_full => {}
                () = until(late) => return Some(self.answer_late()),
            }
        }
    }

    /// An answer of a broker took too long to come; the link ends.
    fn answer_late(&self) -> ReadError {
        if let Some(left_out) = self.core.counts.answer_late.note() {
            tracing::warn!(peer = %self.peer, left_out, "an answer took too long to come: its link is given up");
        }
        ReadError::Io(std::io::ErrorKind::TimedOut.into())
    }

    /// What the link's task waits for next; `None` when the link is over.
    fn link_status(&self, id: u32) -> Option<LinkStatus> {
        let config = self.core.config.load();
        let mut state = self.lock();
        let client_full = self.has_enough(&state, &config.limits);
        state.reader.links_wait |= client_full;
        let slot = state.links.get(&id)?;
        if slot.retired && slot.link.is_idle() {
            return None;
        }
        Some(LinkStatus {
            blocked: !slot.link.outbox.is_empty(),
            client_full,
        })
    }

    fn from_broker(self: &Arc<Self>, id: u32, incoming: &mut Incoming) -> Result<(), ReadError> {
        let mut state = self.lock();
        let mut outcome = Ok(());
        loop {
            let frame = match incoming.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            self.core
                .observers
                .metrics
                .commands
                .moved(Traffic::FromBroker, frame.len());
            match Head::scan(&frame) {
                Ok(head) if head.is_response() => self.broker_answered(&mut state, id, &head, frame),
                Ok(head) => self.broker_asked(&mut state, id, &head, frame),
                Err(error) => {
                    outcome = Err(error.into());
                    break;
                }
            }
        }
        self.flush_client(&mut state);
        if state.leaving != Leaving::No || state.held {
            self.wake.notify_one();
        }
        outcome
    }

    /// The link is over: its requests are answered, and the client stays registered if it was.
    pub(super) fn link_lost(self: &Arc<Self>, id: u32, attempt: usize, why: &str) {
        let mut state = self.lock();
        let Some(mut slot) = state.remove_link(id) else {
            return;
        };
        let broker = Arc::clone(&slot.link.broker);
        debug!(peer = %self.peer, broker = %broker, error = why, "link ended");
        if !slot.retired {
            self.core
                .observers
                .metrics
                .tally
                .count(list::LINKS_LOST, &[self.label(&broker)]);
        }
        let was_ready = slot.link.phase == Phase::Ready;
        let lost = slot.link.take_all();
        for gather in std::mem::take(&mut slot.greeting) {
            self.gathered(&mut state, gather, &broker, None);
        }
        self.fail(&mut state, lost, &broker, why);
        // Its pushes stay until their time is over: what the client still answers is for nobody else.
        let attempt = if was_ready { 1 } else { attempt.saturating_add(1) };
        self.come_back(&mut state, &slot, attempt);
        self.flush_client(&mut state);
        self.wake.notify_one();
    }

    /// The broker's name as a label: names that clients make up are one.
    fn label<'a>(&self, broker: &'a str) -> &'a str {
        if self.core.directory.knows(broker) {
            broker
        } else {
            "unknown"
        }
    }

    /// Answers requests that their broker will not answer.
    pub(super) fn fail(self: &Arc<Self>, state: &mut State, lost: Vec<Lost>, broker: &Arc<str>, why: &str) {
        for Lost { pending, was_sent } in lost {
            match pending.reply {
                Reply::Client | Reply::Look | Reply::Unnamed => {
                    let sent = if was_sent {
                        "the outcome is not known"
                    } else {
                        "it was not sent"
                    };
                    let remark = format!("gimbal: broker {broker} did not answer, {sent}: {why}");
                    let answer = pending.answer(response::SERVICE_NOT_AVAILABLE);
                    state.note_broker(pending.opaque, broker);
                    state.answer_as(Outcome::Failed, &answer.with_remark(remark));
                    let tally = &self.core.observers.metrics.tally;
                    tally.count(list::UPSTREAM_FAILURES, &[self.label(broker)]);
                }
                Reply::Gather(gather) => self.gathered(state, gather, broker, None),
                Reply::Greeting | Reply::Nobody => {}
            }
        }
    }

    /// Ends every request, gather and greeting that has waited too long, and links that are stuck.
    pub(super) fn expire_requests(self: &Arc<Self>, state: &mut State, now: Instant) {
        let ids: Vec<u32> = state.links.keys().copied().collect();
        for id in ids {
            self.expire_link(state, id, now);
        }
        let late: Vec<u64> = state
            .gathers
            .iter()
            .filter(|(_, gather)| gather.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.finish(state, id);
        }
        let parked = Self::expire_parked(state, now);
        state.expire_pushes(now);
        let next = state.links.values().filter_map(|slot| slot.link.next_deadline());
        let stuck = state
            .links
            .values()
            .filter_map(|slot| Some(slot.link.blocked_since? + STUCK_LIMIT));
        let gathers = state.gathers.values().map(|gather| gather.deadline);
        if let Some(next) = next.chain(stuck).chain(gathers).chain(parked).min() {
            state.due_by(next);
        }
        state.flush_links(now);
    }

    fn expire_link(self: &Arc<Self>, state: &mut State, id: u32, now: Instant) {
        let Some(slot) = state.links.get_mut(&id) else {
            return;
        };
        let broker = Arc::clone(&slot.link.broker);
        let late = slot.link.take_if(&|pending| pending.deadline <= now);
        let greeting_late = late.iter().any(|lost| lost.pending.reply == Reply::Greeting);
        if slot
            .link
            .blocked_since
            .is_some_and(|since| since + STUCK_LIMIT <= now)
        {
            // Its task ends when the socket does; the socket goes with the slot.
            slot.retired = true;
            let lost = slot.link.take_all();
            slot.link.blocked_since = None;
            slot.wake.notify_one();
            state.serve_no_more(&broker, id);
            self.fail(state, lost, &broker, "it takes no bytes");
        }
        self.fail(state, late, &broker, "no answer in time");
        if greeting_late {
            self.greeted(state, id, None);
        }
    }
}

/// What a link's task waits for next.
struct LinkStatus {
    blocked: bool,
    client_full: bool,
}

/// Waits until `when`, or for ever.
async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Whether an answer says that all is well.
pub(super) fn is_success(answer: &Frame) -> bool {
    Head::scan(answer).is_ok_and(|head| head.code == response::SUCCESS)
}

/// The note for a request that Gimbal sends in the client's name.
pub(super) fn own(head: &Head, frame: &Frame, reply: Reply, deadline: Instant) -> Pending {
    Pending {
        code: head.code,
        opaque: head.opaque,
        kind: frame.kind(),
        reply,
        deadline,
        asked: None,
        offset: None,
    }
}
