//! What a session remembers, and the small steps that keep it consistent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::account::{Ledger, NAME_LIMIT};
use super::drain::LINGER;
use super::drain::{Beats, Leaving};
use super::gather::Gather;
use super::gauges::{Share, Waiting};
use super::headcount::Pass;
use super::heartbeat::Beat;
use super::held::Filters;
use super::lookups::Parked;
use super::memory::{Memory, Told};
use super::pushes::Push;
use super::query::Recent;
use super::registry::{Carried, Pace};
use crate::config::Limits;
use crate::filter::Client;
use crate::metrics::Traffic;
use crate::protocol::body::rewrite_store_hosts;
use crate::protocol::{Code, Command, FLAG_RESPONSE, Head, Kind, Language, response};
use crate::socket::{Outbox, Progress, Stream};
use crate::telemetry::{Observers, Outcome};
use crate::upstream::{Link, Phase};

/// A broker that takes no byte for this long, although some wait for it, is given up.
pub(super) const STUCK_LIMIT: Duration = Duration::from_secs(10);
/// A client that reads has taken at least this much before its time is over, bytes: single ones keep nobody waiting.
const SOMETHING: usize = 16 << 10;
/// Topics remembered per session for finding its brokers; a client with more gets its heartbeats to those of the first.
const TOPICS_KEPT: usize = 4_096;

/// Requests of one client that name servers are asked about at a time; above it the client is not read.
const LOOKUPS_OPEN: usize = 256;

/// Requests of one client that one broker has not answered; above it the client is not read. About 4 MiB.
const INFLIGHT_OPEN: usize = 32_768;

/// The state of one session.
#[derive(Debug)]
pub(super) struct State {
    /// Bytes for the client.
    pub(super) client: Outbox,
    /// Links by number; numbers are never used twice. Boxed, since the map makes room for eleven at a time.
    pub(super) links: BTreeMap<u32, Box<Slot>>,
    /// The link that serves a broker now.
    pub(super) by_broker: HashMap<Arc<str>, u32>,
    /// The one that was asked for last, and so will be next.
    pub(super) last_broker: Option<(Arc<str>, u32)>,
    next_link: u32,
    /// Answers being put together from several brokers.
    pub(super) gathers: BTreeMap<u64, Gather>,
    next_gather: u64,
    /// Two-way requests of brokers that the client has not answered.
    pub(super) pushes: HashMap<i32, Push>,
    /// Requests that wait for a topic route, by topic, in order.
    pub(super) parked: HashMap<String, Vec<Parked>>,
    /// Bytes of those requests.
    pub(super) parked_bytes: usize,
    /// The client's last heartbeat.
    pub(super) beat: Option<Beat>,
    /// Queries answered a moment ago, see [`super::query`].
    pub(super) recent_queries: Vec<Recent>,
    /// Topics this client asked a route of or sent to.
    pub(super) topics: BTreeSet<Arc<str>>,
    /// The directory's generation that links were last compared with.
    pub(super) generation: u64,
    /// When the client was last heard.
    pub(super) heard: Instant,
    /// No later than this something is due. Lazily kept: it may lie before the true time, never after.
    pub(super) due: Option<Instant>,
    /// Every task of the session but its own.
    pub(super) tasks: JoinSet<()>,
    /// The client is not read until something that waits has gone.
    pub(super) held: bool,
    /// Requests being answered by tasks rather than by links.
    pub(super) lookups: usize,
    /// When the session should begin to leave, and when it must be gone.
    pub(super) leave_at: Option<(Instant, Instant)>,
    /// How far it is with that.
    pub(super) leaving: Leaving,
    /// Language and version of the client, as its last request said.
    pub(super) speaks: Option<(Language, i32)>,
    /// Why a filter closes the connection.
    pub(super) closed: Option<String>,
    /// What is kept for filters.
    pub(super) filters: Filters,
    /// Commands that have begun and not ended.
    pub(super) ledger: Ledger,
    /// Its share in what waits.
    pub(super) share: Share,
    /// When the client was last told to go away.
    pub(super) sent_away: Option<Instant>,
    /// When it beat lately.
    pub(super) beats: Beats,
    /// What it has carried.
    pub(super) carried: Carried,
    /// How fast requests come.
    pub(super) pace: Pace,
    /// How the client takes what waits for it.
    pub(super) reader: Reader,
    /// What all sessions know of this one's queues.
    pub(super) told: Told,
    /// Verified users that this connection counts for.
    pub(super) users: Vec<Pass<String>>,
}

/// How the client takes what waits for it.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Since when it has taken next to nothing although bytes wait.
    pub(super) stalled_since: Option<Instant>,
    /// What it has taken since.
    taken: usize,
    /// Links are not read because of what waits.
    pub(super) links_wait: bool,
}

/// A link with its socket and its task.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) link: Link,
    pub(super) socket: Option<Arc<Stream>>,
    /// Wakes the link's task: bytes could not be written, do not wait any longer before dialling, or it is over.
    pub(super) wake: Arc<Notify>,
    /// Serves no new commands: the broker's name has moved to another address.
    pub(super) retired: bool,
    /// Gathers that wait for the greeting, which carries the same heartbeat.
    pub(super) greeting: Vec<u64>,
    /// The address that stands for this broker inside messages.
    pub(super) store_host: Option<std::net::SocketAddr>,
}

impl Reader {
    /// It has taken so many bytes, and no more for now; whether its time begins anew.
    pub(super) fn is_blocked(&mut self, taken: usize, now: Instant) -> bool {
        self.taken = self.taken.saturating_add(taken);
        if self.stalled_since.is_some() && self.taken < SOMETHING {
            return false;
        }
        self.stalled_since = Some(now);
        self.taken = 0;
        true
    }
}

impl State {
    pub(super) fn new(
        client: Client,
        memory: Arc<Memory>,
        (observers, waiting): (Arc<Observers>, Arc<Waiting>),
    ) -> Self {
        Self {
            share: Share::new(waiting),
            ledger: Ledger::new(observers, &client),
            client: Outbox::default(),
            links: BTreeMap::new(),
            by_broker: HashMap::new(),
            last_broker: None,
            next_link: 0,
            gathers: BTreeMap::new(),
            next_gather: 0,
            pushes: HashMap::new(),
            parked: HashMap::new(),
            parked_bytes: 0,
            beat: None,
            recent_queries: Vec::new(),
            topics: BTreeSet::new(),
            generation: 0,
            heard: Instant::now(),
            due: None,
            tasks: JoinSet::new(),
            held: false,
            lookups: 0,
            leave_at: None,
            leaving: Leaving::default(),
            speaks: None,
            closed: None,
            filters: Filters::new(client),
            sent_away: None,
            beats: Beats::default(),
            carried: Carried::default(),
            pace: Pace::new(Instant::now()),
            reader: Reader::default(),
            told: Told::new(memory),
            users: Vec::new(),
        }
    }

    /// Adds a link; it serves its broker's name from now on.
    pub(super) fn add_link(&mut self, slot: Slot) -> u32 {
        let id = self.next_link;
        self.next_link = self.next_link.wrapping_add(1);
        self.by_broker.insert(Arc::clone(&slot.link.broker), id);
        self.last_broker = None;
        self.links.insert(id, Box::new(slot));
        id
    }

    /// Takes a link out; its name is free again unless another link has it.
    pub(super) fn remove_link(&mut self, id: u32) -> Option<Slot> {
        let slot = self.links.remove(&id)?;
        self.serve_no_more(&slot.link.broker, id);
        Some(*slot)
    }

    /// The link serves its broker's name no more.
    pub(super) fn serve_no_more(&mut self, broker: &Arc<str>, id: u32) {
        if self.by_broker.get(broker) == Some(&id) {
            self.by_broker.remove(broker);
            self.last_broker = None;
        }
    }

    /// The link that serves this broker now.
    pub(super) fn link_of(&mut self, broker: &str) -> Option<u32> {
        if let Some((last, id)) = &self.last_broker
            && **last == *broker
        {
            return Some(*id);
        }
        let (name, id) = self.by_broker.get_key_value(broker)?;
        self.last_broker = Some((Arc::clone(name), *id));
        Some(*id)
    }

    /// Adds a gather and gives it a number.
    pub(super) fn add_gather(&mut self, gather: Gather) -> u64 {
        let id = self.next_gather;
        self.next_gather = self.next_gather.wrapping_add(1);
        self.due_by(gather.deadline);
        self.gathers.insert(id, gather);
        id
    }

    /// Something is due at `when`.
    pub(super) fn due_by(&mut self, when: Instant) {
        if self.due.is_none_or(|due| when < due) {
            self.due = Some(when);
        }
    }

    /// Remembers a topic; whether it is new.
    pub(super) fn note_topic(&mut self, topic: &str) -> bool {
        let is_name = !topic.is_empty() && topic.len() <= NAME_LIMIT;
        if !is_name || self.topics.contains(topic) || self.topics.len() >= TOPICS_KEPT {
            return false;
        }
        self.topics.insert(topic.into())
    }

    /// Whether the session is leaving and nothing keeps it any more.
    pub(super) fn is_drained(&self, now: Instant, is_sent_away: bool) -> bool {
        let Some((_, deadline)) = self.leave_at else {
            return false;
        };
        let knows = !is_sent_away || self.sent_away.is_some_and(|at| at + LINGER <= now);
        self.leaving == Leaving::Now
            && (deadline <= now || (knows && !self.is_busy() && self.client.is_empty()))
    }

    /// Runs `work` beside the session; it ends with the session.
    pub(super) fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Gives back the memory of tasks that have ended.
    pub(super) fn reap(&mut self) {
        // Each link has one, and hardly anything else does.
        if self.tasks.len() > self.links.len() {
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Messages of this broker with store hosts that lead here, when this door gives out such.
    pub(super) fn with_our_hosts(&self, broker: &Arc<str>, body: &Bytes) -> Bytes {
        let link = self.by_broker.get(broker).and_then(|id| self.links.get(id));
        match link.and_then(|slot| slot.store_host) {
            Some(host) => rewrite_store_hosts(body, host),
            None => body.clone(),
        }
    }

    /// Answers the client. An answer that cannot be encoded is a fault of ours and becomes code 1.
    pub(super) fn answer(&mut self, answer: &Command) {
        match answer.encode() {
            Ok(frame) => self.give(answer.opaque, answer.code, frame),
            Err(error) => {
                tracing::error!(%error, code = answer.code.0, "an answer could not be encoded");
                let mut failed = Command::request(response::SYSTEM_ERROR, answer.opaque);
                failed.flag = FLAG_RESPONSE;
                failed.set_kind(answer.kind());
                let failed = failed.with_remark("gimbal: the answer is too long for its encoding");
                if let Ok(frame) = failed.encode() {
                    self.give(failed.opaque, failed.code, frame);
                }
            }
        }
    }

    /// Answers the client, and so the command ends like this.
    pub(super) fn answer_as(&mut self, outcome: Outcome, answer: &Command) {
        self.will_end(answer.opaque, outcome);
        self.answer(answer);
    }

    /// Ends a request with a code and a remark, which the client is told unless it is one-way.
    pub(super) fn answer_error(
        &mut self,
        (head, kind): (&Head, Kind),
        outcome: Outcome,
        code: Code,
        remark: &str,
    ) {
        if head.is_oneway() {
            return self.end(head.opaque, Some(outcome));
        }
        self.answer_as(outcome, &Command::answer(head, kind, code).with_remark(remark));
    }

    /// Whether commands flow to this broker.
    pub(super) fn is_ready(&self, broker: &str) -> bool {
        let link = self.by_broker.get(broker).and_then(|id| self.links.get(id));
        link.is_some_and(|slot| slot.link.phase == Phase::Ready)
    }

    /// Whether so much waits that the client is not read for now.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        let limit = limits.queue;
        let mut queued = 0_usize;
        self.lookups > LOOKUPS_OPEN
            || self.parked_bytes > limit
            || self.filters.is_full(limit)
            || self.links.values().any(|slot| {
                queued = queued.saturating_add(slot.link.queued());
                slot.link.queued() > limit || slot.link.inflight() > INFLIGHT_OPEN
            })
            || queued > limits.session_memory / 2
    }

    /// Bytes in all queues.
    pub(super) fn queued(&self) -> usize {
        self.on_its_way()
            .saturating_add(self.beat.as_ref().map_or(0, Beat::len))
    }

    /// Of them, those that go somewhere: not the heartbeat, which stays.
    pub(super) fn on_its_way(&self) -> usize {
        let links = self.links.values().map(|slot| slot.link.queued());
        links
            .fold(self.client.len(), usize::saturating_add)
            .saturating_add(self.parked_bytes)
            .saturating_add(self.filters.held_bytes())
    }

    /// Whether any request of the client is open.
    pub(super) fn is_busy(&self) -> bool {
        self.lookups > 0
            || !self.gathers.is_empty()
            || !self.parked.is_empty()
            || !self.filters.held.is_empty()
            || self.links.values().any(|slot| !slot.link.is_idle())
    }

    /// Writes what waits for brokers. A link whose socket takes no more is left to its task.
    pub(super) fn flush_links(&mut self, now: Instant) {
        self.count_waiting();
        let mut stuck: Option<Instant> = None;
        for slot in self.links.values_mut() {
            self.ledger
                .sent(Traffic::ToBroker, slot.link.outbox.take_pushed());
            if slot.link.outbox.is_empty() {
                continue;
            }
            slot.flush(now);
            let since = slot.link.blocked_since;
            stuck = stuck.into_iter().chain(since).min();
        }
        if let Some(since) = stuck {
            self.due_by(since + STUCK_LIMIT);
        }
    }
}

impl Slot {
    /// Writes what waits; wakes the link's task when the socket takes no more or has failed.
    pub(super) fn flush(&mut self, now: Instant) {
        let Some(socket) = &self.socket else { return };
        let before = self.link.outbox.len();
        match self.link.outbox.flush(socket) {
            Ok(Progress::Done) => self.link.blocked_since = None,
            Ok(Progress::Blocked) => {
                if self.link.outbox.len() < before || self.link.blocked_since.is_none() {
                    self.link.blocked_since = Some(now);
                }
                self.wake.notify_one();
            }
            // The reader of this socket sees the same failure and ends the link; until then nothing waits for a socket
            // that is ready to fail at any time.
            Err(_failed) => {
                self.link.outbox = Outbox::default();
                self.wake.notify_one();
            }
        }
    }
}
