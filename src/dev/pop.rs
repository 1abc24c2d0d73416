//! Pops: taking messages for a while, looking at them, and giving back what nobody acknowledged.
//!
//! A message that is not acknowledged in time goes to the retry topic `%RETRY%<group>_<topic>`, as with a real broker;
//! an orderly pop gets it again from its queue, which stands still until then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::sync::watch;
use tokio::time::Instant;

use super::broker::Broker;
use super::connection::stopped;
use super::filter::Filter;
use super::flight::{Flights, Take, Taken};
use super::polling::Parked;
use super::properties;
use super::record::Message;
use super::request::{Outcome, Refusal, Reply, Request, answer, refuse};
use super::retry::RETRY;
use super::send::no_topic;
use super::store::{Layout, Topic, lock, now_ms};
use crate::protocol::{Command, Head, response};

/// Most messages of one pop.
const MOST: usize = 32;
/// How late a poll may arrive before it is not parked at all, milliseconds.
const TOO_LATE_MS: i64 = 500;
/// Taken from the poll time so that the answer is in time, milliseconds.
const MARGIN_MS: i64 = 50;
/// Pause between looks for messages that were not acknowledged in time.
const REVIVE_EVERY: Duration = Duration::from_millis(200);
/// `reviveQid` of orderly pops.
const ORDERLY: i32 = 999;

/// The state of every pop consumer group of a broker.
#[derive(Debug, Default)]
pub(super) struct Pops {
    pub(super) flights: Mutex<Flights>,
    /// Parked polls by group, topic and queue.
    pub(super) parked: Mutex<HashMap<(String, String, i32), usize>>,
}

/// A pop, peek or notification with its header read.
pub(super) struct Pop {
    pub(super) group: String,
    pub(super) topic: String,
    /// -1 for any.
    pub(super) queue: i32,
    count: usize,
    invisible_ms: i64,
    from_end: bool,
    pub(super) order: bool,
    attempt: Option<String>,
    filter: Filter,
    deadline_ms: i64,
}

impl Pop {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Refusal> {
        let fields = &request.fields;
        let count = fields.int("maxMsgNums").unwrap_or(1);
        if count > MOST {
            return refuse(
                response::INVALID_PARAMETER,
                format!("the broker's maxMsgNums is {MOST}, but the request has {count}"),
            );
        }
        let kind = fields.find("expType").unwrap_or_default();
        let filter = Filter::new(&kind, &fields.find("exp").unwrap_or_default());
        let Ok(filter) = filter else {
            return refuse(
                response::SUBSCRIPTION_PARSE_FAILED,
                "parse the consumer's subscription failed",
            );
        };
        let now = now_ms();
        let born = fields.int("bornTime").filter(|born| *born > 0_i64).unwrap_or(now);
        let deadline = born.saturating_add(fields.int("pollTime").unwrap_or_default());
        Ok(Self {
            group: request.text("consumerGroup")?.into_owned(),
            topic: request.text("topic")?.into_owned(),
            queue: fields.int("queueId").unwrap_or_default(),
            count: count.max(1),
            invisible_ms: fields.int("invisibleTime").unwrap_or(60_000),
            from_end: fields.int::<i32>("initMode").unwrap_or_default() == 1,
            order: fields.is_true("order"),
            attempt: fields.find("attemptId").map(std::borrow::Cow::into_owned),
            filter,
            deadline_ms: deadline,
        })
    }

    /// Until when to wait; `None` when it is too late for that.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let left = self.deadline_ms.saturating_sub(now_ms());
        if left < -TOO_LATE_MS {
            return None;
        }
        let left = left.saturating_sub(MARGIN_MS).clamp(0, 120_000);
        Some(Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or_default()))
    }

    pub(super) fn key(&self) -> (String, String, i32) {
        (self.group.clone(), self.topic.clone(), self.queue)
    }

    /// What to look through: the retry topic, and the queues wanted; each with its mark in the info strings.
    pub(super) fn sources(&self, broker: &Broker, topic: &Arc<Topic>) -> Vec<(i32, Arc<Topic>, i32)> {
        let mut sources = Vec::new();
        if !self.order
            && let Some(retry) = broker.store.topic(&retry_topic(&self.group, &self.topic))
        {
            sources.extend((0..retry.layout().read).map(|id| (1, Arc::clone(&retry), id)));
        }
        if self.queue >= 0 {
            sources.push((0, Arc::clone(topic), self.queue));
        } else {
            let read = topic.layout().read.max(1);
            let start = fastrand::i32(0..read);
            sources.extend((start..read).chain(0..start).map(|id| (0, Arc::clone(topic), id)));
        }
        sources
    }
}

/// Where messages of `topic` go that `group` popped and did not acknowledge.
pub(super) fn retry_topic(group: &str, topic: &str) -> String {
    format!("{RETRY}{group}_{topic}")
}

/// What a pop took.
#[derive(Default)]
struct Popped {
    body: BytesMut,
    count: usize,
    rest: i64,
    start: Vec<String>,
    offsets: Vec<String>,
    orders: Vec<String>,
    pop_ms: i64,
}

impl Popped {
    fn add(&mut self, broker: &str, pop: &Pop, (mark, queue): (i32, i32), taken: &Taken) {
        let offsets: Vec<String> = taken
            .records
            .iter()
            .map(|(offset, _)| offset.to_string())
            .collect();
        let Some(&(first, _)) = taken.records.first() else {
            return;
        };
        self.start.push(format!("{mark} {queue} {first}"));
        self.offsets.push(format!("{mark} {queue} {}", offsets.join(",")));
        for (offset, times) in &taken.again {
            self.orders.push(format!("{mark} qo{queue}%{offset} {times}"));
        }
        if let Some(times) = taken.again.iter().map(|(_, times)| times).max() {
            self.orders.push(format!("{mark} {queue} {times}"));
        }
        for (offset, stored) in &taken.records {
            self.count = self.count.saturating_add(1);
            if mark == 0 {
                self.body.put_slice(&stored.record);
                continue;
            }
            // Retried messages look as if they came from their own topic; the handle says where they really are.
            if let Some((mut message, place)) = Message::decode(&stored.record) {
                let handle = format!(
                    "{first} {} {} 0 {mark} {} {queue} {offset}",
                    self.pop_ms, pop.invisible_ms, broker
                );
                properties::set_absent(&mut message.properties, "POP_CK", &handle);
                message.topic.clone_from(&pop.topic);
                self.body.put_slice(&message.encode(&place));
            }
        }
    }

    fn answer(self, head: &Head, pop: &Pop) -> Command {
        let found = self.count > 0;
        let code = if found {
            response::SUCCESS
        } else {
            response::POLLING_TIMEOUT
        };
        let revive = if pop.order { ORDERLY } else { 0 };
        let mut answer = answer(head, code)
            .with_field("popTime", self.pop_ms.to_string())
            .with_field("invisibleTime", pop.invisible_ms.to_string())
            .with_field("reviveQid", revive.to_string())
            .with_field("restNum", self.rest.to_string());
        if found {
            answer.set_field("startOffsetInfo", self.start.join(";"));
            answer.set_field("msgOffsetInfo", self.offsets.join(";"));
            answer = answer.with_remark("FOUND");
        }
        if !self.orders.is_empty() {
            answer.set_field("orderCountInfo", self.orders.join(";"));
        }
        answer.with_body(self.body.freeze())
    }
}

impl Broker {
    pub(super) fn topic_to_pop(&self, pop: &Pop) -> Result<Arc<Topic>, Refusal> {
        let Some(topic) = self.store.topic(&pop.topic) else {
            return no_topic(&pop.topic);
        };
        let layout = topic.layout();
        if pop.queue >= layout.read {
            return refuse(
                response::INVALID_PARAMETER,
                format!(
                    "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[{}]",
                    pop.queue, pop.topic, layout.read, pop.group
                ),
            );
        }
        Ok(topic)
    }

    /// `POP_MESSAGE`.
    pub(super) fn pop(self: &Arc<Self>, request: &Request<'_>) -> Outcome {
        let pop = Pop::read(request)?;
        let topic = self.topic_to_pop(&pop)?;
        let popped = self.pop_once(&pop, &topic);
        let head = request.head.clone();
        let Some(deadline) = pop.deadline().filter(|_| popped.count == 0) else {
            return Ok(Reply::Now(popped.answer(&head, &pop)));
        };
        let parked = Parked::enter(self, pop.key()).filter(|_| request.may_wait);
        let Some(parked) = parked else {
            return Ok(Reply::Now(request.answer(response::POLLING_FULL)));
        };
        let broker = Arc::clone(self);
        Ok(Reply::Later(Box::pin(async move {
            let _parked = parked;
            loop {
                let mut arrival = std::pin::pin!(topic.arrived.notified());
                arrival.as_mut().enable();
                let popped = broker.pop_once(&pop, &topic);
                if popped.count > 0 || tokio::time::timeout_at(deadline, arrival).await.is_err() {
                    return popped.answer(&head, &pop);
                }
            }
        })))
    }

    fn pop_once(&self, pop: &Pop, topic: &Arc<Topic>) -> Popped {
        let mut popped = Popped {
            pop_ms: now_ms(),
            ..Popped::default()
        };
        for (mark, source, id) in pop.sources(self, topic) {
            let Some(queue) = source.queue(id) else { continue };
            let left = pop.count.saturating_sub(popped.count);
            let first = self.offsets.find(&pop.group, &source.name, id);
            let take = Take {
                queue: &queue,
                key: (&pop.group, &source.name, id),
                start: first.unwrap_or_else(|| {
                    if pop.from_end && mark == 0 {
                        queue.range().1
                    } else {
                        0
                    }
                }),
                count: left,
                filter: &pop.filter,
                pop_ms: popped.pop_ms,
                until_ms: popped.pop_ms.saturating_add(pop.invisible_ms),
                order: pop.order,
                attempt: pop.attempt.as_deref(),
            };
            let taken = lock(&self.pops.flights).take(&take);
            popped.rest = popped.rest.saturating_add(taken.rest);
            popped.add(&self.name, pop, (mark, id), &taken);
        }
        popped
    }

    /// `PEEK_MESSAGE`.
    pub(super) fn peek(&self, request: &Request<'_>) -> Outcome {
        let pop = Pop::read(request)?;
        let topic = self.topic_to_pop(&pop)?;
        let mut popped = Popped {
            pop_ms: now_ms(),
            ..Popped::default()
        };
        for (mark, source, id) in pop.sources(self, &topic) {
            let Some(queue) = source.queue(id) else { continue };
            let (first, next) = queue.range();
            let from = self.next_to_pop(&pop.group, &source.name, id).max(first);
            let records = queue.read(from, pop.count.saturating_sub(popped.count));
            let records: Vec<_> = (from..).zip(records).collect();
            let held = i64::try_from(records.len()).unwrap_or(i64::MAX);
            popped.rest = popped
                .rest
                .saturating_add(next.saturating_sub(from).saturating_sub(held));
            let taken = Taken {
                records,
                ..Taken::default()
            };
            popped.add(&self.name, &pop, (mark, id), &taken);
        }
        let mut answer = popped.answer(request.head, &pop);
        if answer.code != response::SUCCESS {
            answer.code = response::PULL_NOT_FOUND;
        }
        Ok(Reply::Now(answer))
    }

    /// The offset that the next pop of this group would start from.
    pub(super) fn next_to_pop(&self, group: &str, topic: &str, queue: i32) -> i64 {
        let next = lock(&self.pops.flights).next(group, topic, queue);
        next.or_else(|| self.offsets.find(group, topic, queue))
            .unwrap_or_default()
    }

    /// Gives back what was not acknowledged in time, until told to stop.
    pub(super) async fn revive_popped(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(REVIVE_EVERY);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => self.revive(),
            }
        }
    }

    fn revive(&self) {
        let overdue = lock(&self.pops.flights).overdue(now_ms());
        for (group, name, queue, offset) in overdue {
            let Some(topic) = self.store.topic(&name) else {
                continue;
            };
            let own = name
                .strip_prefix(&format!("{RETRY}{group}_"))
                .unwrap_or(&name)
                .to_owned();
            let retry = retry_topic(&group, &own);
            if let Some(offset) = offset {
                let record = topic.queue(queue).and_then(|queue| queue.read(offset, 1).pop());
                let message = record.and_then(|stored| Message::decode(&stored.record));
                if let Some((mut message, _)) = message
                    && self.store.topic_or_create(&retry, Layout::queues(1)).is_some()
                {
                    properties::set_absent(&mut message.properties, "RETRY_TOPIC", &own);
                    message.topic.clone_from(&retry);
                    message.queue = 0;
                    message.reconsumed = message.reconsumed.saturating_add(1);
                    self.store.append(&message);
                }
                self.commit_popped(&group, &name, queue);
            }
            if let Some(topic) = self.store.topic(&own) {
                topic.arrived.notify_waiters();
            }
        }
    }
}
