//! Requests that filters hold: until their time is over, and sends to one queue in their order.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::filtering::Ticket;
use super::request::is_send;
use super::{Session, State};
use crate::filter::{Chain, Client, Names, Subject};
use crate::protocol::body::{ClientConfig, Heartbeat, QueueSet};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, FLAG_RESPONSE, Frame, Head, response};
use crate::telemetry::Outcome;

/// Requests of one client that may be held at a time; beyond it the client is not read.
const HELD_OPEN: usize = 4_096;

/// What a session keeps for its filters.
#[derive(Debug)]
pub(super) struct Filters {
    /// Facts about the client.
    pub(super) client: Arc<Client>,
    /// Names as they are mapped for this connection.
    pub(super) names: Option<Names>,
    /// Members that have been told of this connection, by id.
    pub(super) met: Vec<u64>,
    /// The generation of the chain they belong to.
    pub(super) generation: u64,
    /// Held requests, in order of arrival.
    pub(super) held: VecDeque<Held>,
    held_bytes: usize,
}

/// The queue a send goes to: sends to it stay in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    topic: String,
    broker: String,
    queue: i32,
}

/// What follows when the time is over.
#[derive(Debug)]
pub(super) enum Stage {
    /// The members from this number on are asked.
    Next(Arc<Chain>, usize),
    /// The client is told that there is nothing new.
    NothingNew,
    /// It waits behind an earlier send to its queue and has not been judged yet.
    Behind,
}

/// A held request.
#[derive(Debug)]
pub(super) struct Held {
    subject: Subject,
    ticket: Ticket,
    /// Sends to one queue stay in order.
    lane: Option<Lane>,
    until: Instant,
    stage: Stage,
    bytes: usize,
}

impl Lane {
    /// Of a send, as it came.
    fn of(subject: &Subject) -> Option<Self> {
        if !is_send(subject.request_code()) {
            return None;
        }
        let fields = subject.fields_as_they_came();
        Some(Self {
            topic: fields.first_of(&["b", "topic"]).unwrap_or_default().into_owned(),
            broker: fields.first_of(&["n", "bname"]).unwrap_or_default().into_owned(),
            queue: fields
                .first_of(&["e", "queueId"])
                .and_then(|queue| queue.parse().ok())
                .unwrap_or(-1),
        })
    }
}

impl Held {
    /// Held for `wait`.
    pub(super) fn new(subject: Subject, mut ticket: Ticket, wait: Duration, stage: Stage) -> Self {
        ticket.deadline = ticket.deadline_held;
        let until = Instant::now() + wait;
        Self {
            bytes: subject.len(),
            lane: Lane::of(&subject),
            subject,
            ticket,
            until,
            stage,
        }
    }

    /// Held until the sends before it have gone, or its own time is over.
    pub(super) fn behind(subject: Subject, ticket: Ticket) -> Self {
        Self {
            bytes: subject.len(),
            lane: Lane::of(&subject),
            until: ticket.deadline,
            subject,
            ticket,
            stage: Stage::Behind,
        }
    }
}

impl Filters {
    /// Nothing is known yet of the client.
    pub(super) fn new(client: Client) -> Self {
        Self {
            client: Arc::new(client),
            names: None,
            met: Vec::new(),
            generation: 0,
            held: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// Whether so much is held that the client is not read for now.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.held.len() >= HELD_OPEN || self.held_bytes > limit
    }

    /// Bytes of held requests.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether this is a send, and another one to its queue is held.
    pub(super) fn holds_lane_of(&self, subject: &Subject) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let lane = Lane::of(subject);
        lane.is_some() && self.held.iter().any(|held| held.lane == lane)
    }

    /// The client as the command with this head shows it.
    pub(super) fn client_of(&mut self, (head, frame): (&Head, &Frame), user: Option<&str>) -> Arc<Client> {
        let id = client_id(head, frame);
        if head.code == rq::HEART_BEAT
            && let Some(id) = &id
        {
            self.note_client_id(id);
        }
        let known = &self.client;
        if known.language != head.language || known.version != head.version || known.user.as_deref() != user {
            let client = Arc::make_mut(&mut self.client);
            client.language = head.language;
            client.version = head.version;
            client.user = user.map(Into::into);
        }
        let mut client = Arc::clone(&self.client);
        if let Some(id) = id.filter(|id| client.client_id.as_deref() != Some(id)) {
            Arc::make_mut(&mut client).client_id = Some(id.into());
        }
        client
    }

    /// The client said its id.
    pub(super) fn note_client_id(&mut self, id: &str) {
        if !id.is_empty() && self.client.client_id.as_deref() != Some(id) {
            Arc::make_mut(&mut self.client).client_id = Some(id.into());
        }
    }

    fn take(&mut self, at: usize) -> Option<Held> {
        let held = self.held.remove(at)?;
        self.held_bytes = self.held_bytes.saturating_sub(held.bytes);
        Some(held)
    }

    /// The first that is over, or that waited behind one that has gone.
    fn take_ready(&mut self, now: Instant) -> Option<Held> {
        let mut busy = HashSet::new();
        let at = self.held.iter().position(|held| {
            let is_first = held.lane.as_ref().is_none_or(|lane| busy.insert(lane));
            held.until <= now || (is_first && matches!(held.stage, Stage::Behind))
        })?;
        self.take(at)
    }

    /// Whether nothing but long polls is held.
    pub(super) fn holds_polls_alone(&self) -> bool {
        self.held
            .iter()
            .all(|held| is_poll(&held.subject) && !held.subject.is_oneway())
    }

    /// Takes out every long poll.
    fn take_polls(&mut self) -> Vec<Held> {
        let mut polls = Vec::new();
        while let Some(at) = self
            .held
            .iter()
            .position(|held| is_poll(&held.subject) && !held.subject.is_oneway())
        {
            polls.extend(self.take(at));
        }
        polls
    }
}

impl State {
    /// Holds a request.
    pub(super) fn hold(&mut self, held: Held) {
        self.due_by(held.until);
        self.filters.held_bytes = self.filters.held_bytes.saturating_add(held.bytes);
        // A send that is held again is still before those that wait behind it.
        let behind = |other: &Held| {
            matches!(other.stage, Stage::Behind) && held.lane.is_some() && other.lane == held.lane
        };
        let at = match held.stage {
            Stage::Behind => None,
            Stage::Next(..) | Stage::NothingNew => self.filters.held.iter().position(behind),
        };
        match at {
            Some(at) => self.filters.held.insert(at, held),
            None => self.filters.held.push_back(held),
        }
    }

    /// Tells the client that there is nothing new for the polls that are held: it is to ask again elsewhere.
    pub(super) fn give_up_polls(&mut self) {
        for held in self.filters.take_polls() {
            if let Some(answer) = nothing_new(&held.subject) {
                self.answer_as(Outcome::Answered, &answer);
            }
        }
    }
}

impl Session {
    /// Goes on with requests whose time is over; when the next one's will be.
    pub(super) fn expire_held(self: &Arc<Self>, state: &mut State, now: Instant) -> Option<Instant> {
        while let Some(held) = state.filters.take_ready(now) {
            self.resume(state, held, now);
        }
        state.filters.held.iter().map(|held| held.until).min()
    }

    fn resume(self: &Arc<Self>, state: &mut State, held: Held, now: Instant) {
        let Held {
            subject,
            ticket,
            stage,
            ..
        } = held;
        let left = ticket.hold_until.saturating_duration_since(now);
        let limit = self.core.config.load().filters.body_limit;
        let subject = subject.with_limits(left, limit);
        match stage {
            Stage::NothingNew => match nothing_new(&subject) {
                Some(answer) => state.answer_as(Outcome::Answered, &answer),
                None => state.end(subject.head().opaque, Some(Outcome::Dropped)),
            },
            Stage::Behind if ticket.deadline <= now => {
                let remark = "gimbal: earlier sends to this queue were held for too long";
                // Producers do not send it again elsewhere after this code.
                let asked = (subject.head(), subject.kind());
                state.answer_error(asked, Outcome::Refused, response::FLOW_CONTROL, remark);
            }
            Stage::Behind => {
                let chain = self.meet(state);
                self.ask(state, &chain, 0, (Box::new(subject), ticket));
            }
            Stage::Next(chain, next) => self.ask(state, &chain, next, (Box::new(subject), ticket)),
        }
    }
}

/// Whether the request polls: answered with nothing new its client asks again. A pop held here has taken nothing yet.
fn is_poll(subject: &Subject) -> bool {
    matches!(
        subject.request_code(),
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE | rq::POP_MESSAGE | rq::NOTIFICATION
    )
}

/// The client id that a request names.
fn client_id(head: &Head, frame: &Frame) -> Option<String> {
    let id = match head.code {
        rq::HEART_BEAT => Heartbeat::decode(frame.body()).ok()?.client_id,
        rq::LOCK_BATCH_MQ | rq::UNLOCK_BATCH_MQ => {
            QueueSet::decode(frame.body()).ok()?.client_id()?.to_owned()
        }
        rq::CHECK_CLIENT_CONFIG | rq::QUERY_ASSIGNMENT => {
            ClientConfig::decode(frame.body()).ok()?.client_id().to_owned()
        }
        rq::UNREGISTER_CLIENT => head.fields(frame).find("clientID")?.into_owned(),
        _ => return None,
    };
    (!id.is_empty()).then_some(id)
}

/// What tells a client that there is nothing, so that it asks again from where it was; none for one-way commands.
fn nothing_new(subject: &Subject) -> Option<Command> {
    if subject.is_oneway() {
        return None;
    }
    Some(empty_answer(
        subject.request_code(),
        subject.kind(),
        subject.head().opaque,
        subject.queue_offset(),
    ))
}

/// The answer that holds no messages, to a code that waits for some: the client asks again from `offset`.
pub(super) fn empty_answer(
    code: Code,
    kind: crate::protocol::Kind,
    opaque: i32,
    offset: Option<i64>,
) -> Command {
    let answer = |code| {
        let mut answer = Command::request(code, opaque);
        answer.flag = FLAG_RESPONSE;
        answer.set_kind(kind);
        answer
    };
    match code {
        rq::POP_MESSAGE => answer(response::POLLING_TIMEOUT)
            .with_field("popTime", "0")
            .with_field("invisibleTime", "0")
            .with_field("reviveQid", "0")
            .with_field("restNum", "0"),
        rq::NOTIFICATION => answer(response::SUCCESS)
            .with_field("hasMsg", "false")
            .with_field("pollingFull", "false"),
        _ => {
            let offset = offset.unwrap_or_default().to_string();
            answer(response::PULL_NOT_FOUND)
                .with_field("suggestWhichBrokerId", "0")
                .with_field("nextBeginOffset", offset.as_str())
                .with_field("minOffset", "0")
                .with_field("maxOffset", offset.as_str())
        }
    }
}
