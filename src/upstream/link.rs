//! One session's connection to one broker, without its socket: what waits for it, what is in flight, until when.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::opaques::Seed;
use crate::filter::Asked;
use crate::protocol::{Code, Command, FLAG_RESPONSE, Frame, Head, Kind};
use crate::socket::Outbox;

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the address, or dialling it.
    Opening,
    /// Connected; the client's heartbeat is out and its answer awaited.
    Greeting,
    /// Commands flow.
    Ready,
}

/// Where the answer of a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// To the client, as it is.
    Client,
    /// To the client, after the places that name brokers have been looked at.
    Look,
    /// As [`Reply::Look`], for a request that named no broker: where a half message went is remembered.
    Unnamed,
    /// It is one of several that make one answer; the number names the collection.
    Gather(u64),
    /// It ends the greeting.
    Greeting,
    /// To nobody: a request of Gimbal's own.
    Nobody,
}

/// A request whose answer is awaited.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The request's code.
    pub code: Code,
    /// The opaque the client chose.
    pub opaque: i32,
    /// How the request's header was written.
    pub kind: Kind,
    /// Where its answer belongs.
    pub reply: Reply,
    /// When the client must have been answered.
    pub deadline: Instant,
    /// What filters may want to know of the request when its answer comes.
    pub asked: Option<Arc<Asked>>,
    /// For pulls: the offset asked for, so that an early answer can repeat it.
    pub offset: Option<i64>,
}

impl Pending {
    /// An answer to the request, in its own form.
    pub fn answer(&self, code: Code) -> Command {
        let mut answer = Command::request(code, self.opaque);
        answer.flag = FLAG_RESPONSE;
        answer.set_kind(self.kind);
        answer
    }
}

/// What became of a frame handed to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the outbox.
    Out,
    /// It waits until the link is ready.
    Waiting,
}

/// A frame that waits for the link to become ready.
#[derive(Debug)]
struct Waiting {
    frame: Frame,
    head: Head,
    /// `None` for one-way commands and answers to pushes.
    pending: Option<Pending>,
}

/// A request that will not be answered by this broker.
#[derive(Debug)]
pub struct Lost {
    /// The request.
    pub pending: Pending,
    /// Whether it may have reached the broker.
    pub was_sent: bool,
}

/// One link. All of it is bounded by the session: it stops reading its client while [`Link::queued`] is too high.
#[derive(Debug)]
pub struct Link {
    /// The broker's name.
    pub broker: Arc<str>,
    /// How far it is.
    pub phase: Phase,
    /// The address dialled, once known, and whether it is the broker's master.
    pub address: Option<(String, bool)>,
    /// Bytes for the socket.
    pub outbox: Outbox,
    /// Since when the socket has taken nothing although bytes wait.
    pub blocked_since: Option<Instant>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    inflight: HashMap<i32, Pending, Seed>,
}

impl Link {
    /// A link to `broker` that nothing has been sent to yet.
    pub fn new(broker: Arc<str>) -> Self {
        Self {
            broker,
            phase: Phase::Opening,
            address: None,
            outbox: Outbox::default(),
            blocked_since: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            inflight: HashMap::with_hasher(Seed::default()),
        }
    }

    /// Sends a frame, or queues it until the link is ready. Order is kept.
    pub fn send(&mut self, head: Head, frame: Frame, pending: Option<Pending>) -> Sent {
        if self.phase == Phase::Ready {
            self.put(&head, frame, pending);
            return Sent::Out;
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(frame.len());
        self.waiting.push_back(Waiting { frame, head, pending });
        Sent::Waiting
    }

    /// Sends a frame before everything that waits: the greeting.
    pub fn send_first(&mut self, head: &Head, frame: Frame, pending: Pending) {
        self.put(head, frame, Some(pending));
    }

    /// The link is connected and greeted: what waited goes out.
    pub fn become_ready(&mut self) {
        self.phase = Phase::Ready;
        self.waiting_bytes = 0;
        for Waiting { frame, head, pending } in std::mem::take(&mut self.waiting) {
            self.put(&head, frame, pending);
        }
    }

    fn put(&mut self, head: &Head, frame: Frame, pending: Option<Pending>) {
        let Some(pending) = pending else {
            self.outbox.push(frame);
            return;
        };
        // A client's opaques are unique on its connection; requests of Gimbal's own are not among them.
        let mut wire = head.opaque;
        while self.inflight.contains_key(&wire) {
            wire = fastrand::i32(i32::MIN..0);
        }
        if let Ok(frame) = head.with_opaque(frame, wire) {
            self.inflight.insert(wire, pending);
            self.outbox.push(frame);
        }
    }

    /// The request in flight under this opaque.
    pub fn awaits(&self, opaque: i32) -> Option<&Pending> {
        self.inflight.get(&opaque)
    }

    /// The request that an answer with this opaque belongs to.
    pub fn answered(&mut self, opaque: i32) -> Option<Pending> {
        self.inflight.remove(&opaque)
    }

    /// Bytes that wait for the broker.
    pub fn queued(&self) -> usize {
        self.outbox.len().saturating_add(self.waiting_bytes)
    }

    /// Requests sent and not answered.
    pub fn inflight(&self) -> usize {
        self.inflight.len()
    }

    /// Whether no request is open.
    pub fn is_idle(&self) -> bool {
        self.inflight.is_empty() && self.waiting.is_empty()
    }

    /// Requests in flight or waiting.
    pub fn open_requests(&self) -> impl Iterator<Item = &Pending> {
        self.inflight
            .values()
            .chain(self.waiting.iter().filter_map(|waiting| waiting.pending.as_ref()))
    }

    /// The earliest deadline of any open request.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.open_requests().map(|pending| pending.deadline).min()
    }

    /// Takes out every request that `is_over` says must end now; those that were not sent yet never will be.
    pub fn take_if(&mut self, is_over: &dyn Fn(&Pending) -> bool) -> Vec<Lost> {
        let mut lost = Vec::new();
        self.inflight.retain(|_, pending| {
            let over = is_over(pending);
            if over {
                lost.push(Lost {
                    pending: pending.clone(),
                    was_sent: true,
                });
            }
            !over
        });
        let Self {
            waiting,
            waiting_bytes,
            ..
        } = self;
        waiting.retain_mut(|entry| match entry.pending.take_if(|pending| is_over(pending)) {
            Some(pending) => {
                *waiting_bytes = waiting_bytes.saturating_sub(entry.frame.len());
                lost.push(Lost {
                    pending,
                    was_sent: false,
                });
                false
            }
            None => true,
        });
        lost
    }

    /// Ends every request: the connection is gone. One-way commands that waited are lost with it.
    pub fn take_all(&mut self) -> Vec<Lost> {
        let lost = self.take_if(&|_| true);
        self.waiting.clear();
        self.waiting_bytes = 0;
        lost
    }
}
