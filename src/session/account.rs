//! The account of every command: begun once, ended once, counted, and told to those who listen.
//!
//! A request of the client is known by its opaque from its arrival until the client has its answer; whoever learns
//! something about it on the way notes it under that number. A request of a broker is known by the opaque that the client
//! sees. What is still open when the session ends was abandoned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::State;
use super::capture::Captured;
use super::dispatch::Course;
use super::request::{is_pull, is_send};
use super::traces::sampled;
use crate::filter::{Client, Decided, Phase, Trail};
use crate::metrics::{Ended, Moved, Named, Traffic};
use crate::protocol::body::records_in;
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Frame, Head, response};
use crate::route;
use crate::telemetry::{Brief, Context, Decision, Observers, Outcome, Record, Way};
use crate::upstream::Seed;

/// Pairs of topic and group that a session remembers, those used last first.
const NAMES_KEPT: usize = 32;
/// Bytes of the longest topic or group kept (`TopicValidator`, `Validators`: 127 and 255).
pub(super) const NAME_LIMIT: usize = 255;
/// Bytes of a remark that a record repeats.
const REMARK: usize = 256;

/// Commands that have begun and not ended.
#[derive(Debug)]
pub(super) struct Ledger {
    observers: Arc<Observers>,
    /// The client's address, as records tell it.
    peer: Arc<str>,
    requests: HashMap<i32, Open, Seed>,
    /// Requests whose opaque another open one has.
    twins: Vec<(i32, Open)>,
    pushes: HashMap<i32, Open, Seed>,
    names: Vec<Arc<Named>>,
}

/// What is known of a command that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    way: Way,
    code: Code,
    oneway: bool,
    began: Instant,
    /// When it went on to brokers and name servers.
    left: Instant,
    named: Arc<Named>,
    broker: Option<Arc<str>>,
    user: Option<Arc<str>>,
    outcome: Outcome,
    decided: Vec<Decided>,
    /// Time in filters, and the part of it after it went on.
    chain: Duration,
    chain_after: Duration,
    bytes: usize,
    /// Messages in it, of a send.
    messages: u64,
    /// Its span, if it becomes one.
    trace: Option<Box<Context>>,
    /// What was recorded of it, for its answer.
    captured: Option<Arc<Captured>>,
}

/// How a command ends.
struct End<'a> {
    outcome: Option<Outcome>,
    answer: Option<(Code, &'a Frame)>,
}

impl Ledger {
    /// Nothing has begun yet.
    pub(super) fn new(observers: Arc<Observers>, client: &Client) -> Self {
        Self {
            observers,
            peer: client.peer.to_string().into(),
            requests: HashMap::with_hasher(Seed::default()),
            twins: Vec::new(),
            pushes: HashMap::with_hasher(Seed::default()),
            names: Vec::new(),
        }
    }

    /// Topic and group as one value that is shared by all commands that name them. What is too long for a name of
    /// RocketMQ's is none: it would be kept beyond its command.
    fn named(&mut self, topic: Option<&str>, group: Option<&str>) -> Arc<Named> {
        let [topic, group] = [topic, group].map(|name| name.filter(|name| name.len() <= NAME_LIMIT));
        let is_it = |known: &Arc<Named>| known.topic.as_deref() == topic && known.group.as_deref() == group;
        let place = self.names.iter().position(is_it);
        if let Some((at, known)) = place.and_then(|at| Some((at, Arc::clone(self.names.get(at)?)))) {
            self.names.swap(at, at.saturating_sub(1));
            return known;
        }
        let named = Arc::new(Named::new(topic, group));
        if self.names.len() >= NAMES_KEPT {
            self.names.pop();
        }
        self.names.push(Arc::clone(&named));
        named
    }

    fn open(
        &mut self,
        way: Way,
        (head, frame): (&Head, &Frame),
        names: &route::Named<'_>,
        now: Instant,
    ) -> Open {
        self.observers.metrics.commands.began(way.place(), head.code.0);
        let messages = match () {
            () if !is_send(head.code) => 0,
            () if names.is_batch(head.code) => records_in(frame.body()),
            () => 1,
        };
        Open {
            way,
            code: head.code,
            oneway: head.is_oneway(),
            began: now,
            left: now,
            named: self.named(names.topic(head.code).as_deref(), names.group().as_deref()),
            broker: None,
            user: None,
            outcome: Outcome::Forwarded,
            decided: Vec::new(),
            chain: Duration::ZERO,
            chain_after: Duration::ZERO,
            bytes: frame.len(),
            messages,
            trace: sampled(&self.observers, head, frame),
            captured: None,
        }
    }

    /// Bytes went out.
    pub(super) fn sent(&self, traffic: Traffic, bytes: usize) {
        if bytes > 0 {
            self.observers.metrics.commands.moved(traffic, bytes);
        }
    }

    fn take(&mut self, opaque: i32) -> Option<Open> {
        let open = self.requests.remove(&opaque)?;
        if !self.twins.is_empty()
            && let Some(at) = self.twins.iter().position(|(twin, _)| *twin == opaque)
        {
            let (_, twin) = self.twins.swap_remove(at);
            self.requests.insert(opaque, twin);
        }
        Some(open)
    }

    /// Counts the end of a command and tells of it.
    fn close(&self, open: &Open, end: &End<'_>, client: &Client) {
        let now = Instant::now();
        let outcome = end.outcome.unwrap_or(open.outcome);
        let went_on = matches!(outcome, Outcome::Forwarded | Outcome::Answered | Outcome::Failed);
        let upstream = now.duration_since(open.left).saturating_sub(open.chain_after);
        let ended = Ended {
            way: open.way.place(),
            code: open.code.0,
            outcome: outcome.place(),
            result: end.answer.map(|(code, _)| code.0),
            total: now.duration_since(open.began),
            upstream: (went_on && !open.oneway).then_some(upstream),
            chain: (!open.chain.is_zero()).then_some(open.chain),
        };
        let metrics = &self.observers.metrics;
        metrics.commands.ended(&ended);
        if open.way == Way::Request {
            let is_success = end.answer.is_some_and(|(code, _)| code == response::SUCCESS);
            let is_real = is_success && outcome == Outcome::Forwarded;
            let moved = if is_real {
                moved(open, end)
            } else {
                Moved::default()
            };
            metrics.names.ended(&open.named, outcome.place(), is_real, &moved);
        }
        let brief = Brief {
            code: open.code.0,
            topic: open.named.topic.as_deref(),
            group: open.named.group.as_deref(),
            client: client.client_id.as_deref(),
            user: open.user.as_deref().or(client.tls_subject.as_deref()),
            outcome,
            result: ended.result,
        };
        self.observers.ended(&brief, open.trace.clone(), || {
            self.record(open, (outcome, &ended), end, client)
        });
    }

    fn record(
        &self,
        open: &Open,
        (outcome, ended): (Outcome, &Ended),
        end: &End<'_>,
        client: &Client,
    ) -> Record {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let decisions = open.decided.iter().map(|decided| Decision {
            filter: Arc::clone(&decided.filter),
            phase: decided.phase,
            verdict: decided.verdict,
            detail: decided.detail.clone(),
        });
        let failed = end.answer.filter(|(code, _)| *code != response::SUCCESS);
        Record {
            time: SystemTime::now()
                .checked_sub(ended.total)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            session: client.connection,
            listener: Arc::clone(&client.listener),
            peer: Arc::clone(&self.peer),
            client: client.client_id.clone(),
            user: open.user.clone().or_else(|| client.tls_subject.clone()),
            way: open.way,
            code: open.code.0,
            name: rq::name(open.code).unwrap_or_default(),
            oneway: open.oneway,
            topic: open.named.topic.clone(),
            group: open.named.group.clone(),
            broker: open.broker.clone(),
            outcome,
            result: ended.result,
            filters: decisions.collect(),
            remark: failed.and_then(|(_, frame)| remark(frame)),
            total_us: micros(ended.total),
            upstream_us: ended.upstream.map(micros),
            chain_us: ended.chain.map(micros),
            request_bytes: bytes(open.bytes),
            response_bytes: end.answer.map_or(0, |(_, frame)| bytes(frame.len())),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let requests = self.requests.drain().map(|(_, open)| open);
        let twins = self.twins.drain(..).map(|(_, open)| open);
        for open in requests
            .chain(twins)
            .chain(self.pushes.drain().map(|(_, open)| open))
        {
            self.observers.metrics.commands.ended(&Ended {
                way: open.way.place(),
                code: open.code.0,
                outcome: Outcome::Abandoned.place(),
                result: None,
                total: open.began.elapsed(),
                upstream: None,
                chain: None,
            });
        }
    }
}

impl State {
    /// A request of the client came in; where it goes.
    pub(super) fn begin(
        &mut self,
        head: &Head,
        frame: &Frame,
        names: &route::Named<'_>,
        now: Instant,
    ) -> Course {
        let open = self.ledger.open(Way::Request, (head, frame), names, now);
        if let Some(twin) = self.ledger.requests.insert(head.opaque, open) {
            self.ledger.twins.push((head.opaque, twin));
        }
        self.course(head.code, names, frame.body())
    }

    /// Its span, if it becomes one.
    pub(super) fn trace(&self, opaque: i32) -> Option<Box<Context>> {
        self.ledger.requests.get(&opaque)?.trace.clone()
    }

    /// Its topic and group.
    pub(super) fn named(&self, opaque: i32) -> Option<Arc<Named>> {
        Some(Arc::clone(&self.ledger.requests.get(&opaque)?.named))
    }

    /// What was recorded of it.
    pub(super) fn captured(&self, opaque: i32) -> Option<Arc<Captured>> {
        self.ledger.requests.get(&opaque)?.captured.clone()
    }

    /// This was recorded of it.
    pub(super) fn note_captured(&mut self, opaque: i32, captured: Arc<Captured>) {
        if let Some(open) = self.ledger.requests.get_mut(&opaque) {
            open.captured = Some(captured);
        }
    }

    /// It was signed by this user.
    pub(super) fn note_user(&mut self, opaque: i32, user: Option<&str>) {
        if let (Some(open), Some(user)) = (self.ledger.requests.get_mut(&opaque), user) {
            open.user = Some(user.into());
        }
    }

    /// Filters said this about it, or about its answer.
    pub(super) fn note_trail(&mut self, opaque: i32, phase: Phase, trail: Trail) {
        if let Some(open) = self.ledger.requests.get_mut(&opaque) {
            open.note(phase, trail);
        }
    }

    /// The same of a broker's request that waits for the client's answer.
    pub(super) fn note_push_trail(&mut self, opaque: i32, trail: Trail) {
        if let Some(open) = self.ledger.pushes.get_mut(&opaque) {
            open.note(Phase::Response, trail);
        }
    }

    /// It goes on to brokers or name servers only now.
    pub(super) fn note_left(&mut self, opaque: i32) {
        if let Some(open) = self.ledger.requests.get_mut(&opaque) {
            open.left = Instant::now();
        }
    }

    /// This is how it will have ended.
    pub(super) fn will_end(&mut self, opaque: i32, outcome: Outcome) {
        if let Some(open) = self.ledger.requests.get_mut(&opaque) {
            open.outcome = outcome;
        }
    }

    /// This broker has answered it, or should have.
    pub(super) fn note_broker(&mut self, opaque: i32, broker: &Arc<str>) {
        if let Some(open) = self.ledger.requests.get_mut(&opaque) {
            open.broker = Some(Arc::clone(broker));
        }
    }

    /// Hands the client its answer, which ends the command; a frame for nobody is sent all the same.
    pub(super) fn give(&mut self, opaque: i32, code: Code, frame: Frame) {
        if let Some(open) = self.ledger.take(opaque) {
            let end = End {
                outcome: None,
                answer: Some((code, &frame)),
            };
            self.ledger.close(&open, &end, &self.filters.client);
        }
        self.client.push(frame);
    }

    /// The command ends and the client is told nothing.
    pub(super) fn end(&mut self, opaque: i32, outcome: Option<Outcome>) {
        if let Some(open) = self.ledger.take(opaque) {
            let end = End {
                outcome,
                answer: None,
            };
            self.ledger.close(&open, &end, &self.filters.client);
        }
    }

    /// A request of a broker came in.
    pub(super) fn begin_push(&mut self, broker: Option<&Arc<str>>, head: &Head, frame: &Frame) -> Open {
        let names = route::Named::of(head.code, &head.fields(frame));
        let mut open = self.ledger.open(Way::Push, (head, frame), &names, Instant::now());
        open.broker = broker.cloned();
        open
    }

    /// It waits for the client's answer, under this opaque.
    pub(super) fn wait_for_client(&mut self, opaque: i32, open: Open) {
        self.ledger.pushes.insert(opaque, open);
    }

    /// It has ended without an answer of the client.
    pub(super) fn end_push(&mut self, open: &Open, outcome: Outcome) {
        let end = End {
            outcome: Some(outcome),
            answer: None,
        };
        self.ledger.close(open, &end, &self.filters.client);
    }

    /// The client has answered it, or will not any more.
    pub(super) fn answered_push(&mut self, opaque: i32, answer: Option<(Code, &Frame)>) {
        if let Some(open) = self.ledger.pushes.remove(&opaque) {
            let outcome = Some(answer.map_or(Outcome::Failed, |_| open.outcome));
            self.ledger
                .close(&open, &End { outcome, answer }, &self.filters.client);
        }
    }

    /// The session is over: what is open has been abandoned.
    pub(super) fn abandon(&mut self, outcome: Outcome) {
        let requests = std::mem::replace(&mut self.ledger.requests, HashMap::with_hasher(Seed::default()));
        let twins = std::mem::take(&mut self.ledger.twins);
        let pushes = std::mem::replace(&mut self.ledger.pushes, HashMap::with_hasher(Seed::default()));
        let all = requests
            .into_values()
            .chain(twins.into_iter().map(|(_, twin)| twin));
        for open in all.chain(pushes.into_values()) {
            self.end_push(&open, outcome);
        }
    }
}

impl Open {
    /// Its code.
    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// Whether nobody waits for an answer.
    pub(super) fn is_oneway(&self) -> bool {
        self.oneway
    }

    /// Filters said this about it.
    pub(super) fn note(&mut self, phase: Phase, trail: Trail) {
        let Trail { decided, took } = trail;
        self.chain = self.chain.saturating_add(took);
        if phase == Phase::Response {
            self.chain_after = self.chain_after.saturating_add(took);
            if decided.iter().any(|decided| decided.verdict == "answer") {
                self.outcome = Outcome::Denied;
            }
        }
        self.decided.extend(decided);
    }
}

/// Messages that a command which a broker has answered moved.
fn moved(open: &Open, end: &End<'_>) -> Moved {
    let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    if open.messages > 0 {
        return Moved {
            sent: open.messages,
            sent_bytes: bytes(open.bytes),
            ..Moved::default()
        };
    }
    let gives_messages = is_pull(open.code) || open.code == rq::POP_MESSAGE;
    match end.answer.filter(|_| gives_messages) {
        Some((_, frame)) => Moved {
            received: records_in(frame.body()),
            received_bytes: bytes(frame.body().len()),
            ..Moved::default()
        },
        None => Moved::default(),
    }
}

/// The remark of an answer, cut short.
fn remark(frame: &Frame) -> Option<String> {
    let command = Command::decode(frame).ok()?;
    let mut remark = command.remark?.as_str().to_owned();
    remark.truncate(remark.floor_char_boundary(REMARK));
    Some(remark)
}
