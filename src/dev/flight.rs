//! Popped messages that are not acknowledged yet, by group, topic and queue; acknowledging them.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::base64;
use super::broker::Broker;
use super::filter::Filter;
use super::pop::retry_topic;
use super::request::{Outcome, Refusal, Request, refuse};
use super::send::no_topic;
use super::store::{Queue, Stored, lock, now_ms};
use crate::protocol::response;

/// Unacknowledged messages of one group in one queue at which it gets no more (ten times `popInflightMessageThreshold`).
const FLIGHTS: usize = 100_000;
/// Queues with pop state; further ones cannot be popped.
const QUEUES: usize = 100_000;
/// Messages looked at by one pop.
const SCAN: usize = 1024;
/// Overdue messages given back at a time.
const OVERDUE: usize = 1000;

/// Every popped message that is not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Flights {
    queues: HashMap<(String, String, i32), PopQueue>,
}

#[derive(Debug, Default)]
struct PopQueue {
    next: i64,
    flights: BTreeMap<i64, Flight>,
    order: bool,
    attempt: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    pop_ms: i64,
    until_ms: i64,
    times: u32,
}

/// What a pop wants of one queue.
pub(super) struct Take<'a> {
    pub(super) queue: &'a Queue,
    /// Group, topic and queue id.
    pub(super) key: (&'a str, &'a str, i32),
    /// Where a group starts that never popped here.
    pub(super) start: i64,
    pub(super) count: usize,
    pub(super) filter: &'a Filter,
    pub(super) pop_ms: i64,
    pub(super) until_ms: i64,
    pub(super) order: bool,
    pub(super) attempt: Option<&'a str>,
}

/// What it got.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) records: Vec<(i64, Stored)>,
    /// Offsets that an orderly pop gets again, and how often they were popped before.
    pub(super) again: Vec<(i64, u32)>,
    /// Messages behind.
    pub(super) rest: i64,
}

/// A message to give back: group, topic, queue, and its offset unless its queue just goes on.
pub(super) type Overdue = (String, String, i32, Option<i64>);

fn owned((group, topic, queue): (&str, &str, i32)) -> (String, String, i32) {
    (group.to_owned(), topic.to_owned(), queue)
}

impl Flights {
    /// Takes messages out of one queue.
    pub(super) fn take(&mut self, take: &Take<'_>) -> Taken {
        let key = owned(take.key);
        if self.queues.len() >= QUEUES && !self.queues.contains_key(&key) {
            return Taken::default();
        }
        let state = self.queues.entry(key).or_insert_with(|| PopQueue {
            next: take.start,
            ..PopQueue::default()
        });
        state.order = take.order;
        let mut taken = Taken::default();
        if take.order && !state.flights.is_empty() {
            state.again(take, &mut taken);
        } else if take.count > 0 && state.flights.len() < FLIGHTS {
            state.more(take, &mut taken);
        }
        taken.rest = take.queue.range().1.saturating_sub(state.next).max(0);
        taken
    }

    /// The next offset to pop, when the group has popped here.
    pub(super) fn next(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        self.queues
            .get(&owned((group, topic, queue)))
            .map(|state| state.next)
    }

    /// Whether an orderly group must wait for acknowledgements first.
    pub(super) fn is_blocked(&self, group: &str, topic: &str, queue: i32, now: i64) -> bool {
        let state = self.queues.get(&owned((group, topic, queue)));
        state.is_some_and(|state| state.flights.values().any(|flight| flight.until_ms > now))
    }

    /// Takes out what was not acknowledged in time; orderly queues keep theirs and are only named.
    pub(super) fn overdue(&mut self, now: i64) -> Vec<Overdue> {
        let mut found = Vec::new();
        for ((group, topic, queue), state) in &mut self.queues {
            let late: Vec<i64> = state
                .flights
                .iter()
                .filter(|(_, flight)| flight.until_ms <= now)
                .map(|(offset, _)| *offset)
                .take(OVERDUE)
                .collect();
            if state.order && !late.is_empty() {
                found.push((group.clone(), topic.clone(), *queue, None));
                continue;
            }
            for offset in late {
                state.flights.remove(&offset);
                found.push((group.clone(), topic.clone(), *queue, Some(offset)));
            }
        }
        found
    }

    /// The offset below which everything is done.
    fn committed(&self, key: &(String, String, i32)) -> Option<i64> {
        let state = self.queues.get(key)?;
        Some(state.flights.keys().next().copied().unwrap_or(state.next))
    }

    fn acknowledge(&mut self, key: &(String, String, i32), offset: i64, pop_ms: i64) {
        if let Some(state) = self.queues.get_mut(key)
            && state
                .flights
                .get(&offset)
                .is_some_and(|flight| flight.pop_ms == pop_ms)
        {
            state.flights.remove(&offset);
        }
    }

    fn extend(
        &mut self,
        key: &(String, String, i32),
        offset: i64,
        pop_ms: i64,
        until_ms: i64,
    ) -> Option<i64> {
        let flight = self.queues.get_mut(key)?.flights.get_mut(&offset)?;
        if flight.pop_ms != pop_ms {
            return None;
        }
        // Two changes within a millisecond still get handles of their own.
        flight.pop_ms = now_ms().max(pop_ms.saturating_add(1));
        flight.until_ms = until_ms;
        Some(flight.pop_ms)
    }
}

impl PopQueue {
    /// Messages that nobody of the group has popped.
    fn more(&mut self, take: &Take<'_>, taken: &mut Taken) {
        let (first, next) = take.queue.range();
        self.next = self.next.clamp(first, next);
        for stored in take.queue.read(self.next, SCAN) {
            let offset = self.next;
            if taken.records.len() >= take.count {
                break;
            }
            self.next = offset.saturating_add(1);
            if !take.filter.matches(&stored) {
                continue;
            }
            let flight = Flight {
                pop_ms: take.pop_ms,
                until_ms: take.until_ms,
                times: 0,
            };
            self.flights.insert(offset, flight);
            taken.records.push((offset, stored));
        }
        self.attempt = take.attempt.map(str::to_owned);
    }

    /// The orderly messages that were not acknowledged, when their time is over or the same attempt asks again.
    fn again(&mut self, take: &Take<'_>, taken: &mut Taken) {
        let same = take.attempt.is_some() && self.attempt.as_deref() == take.attempt;
        if !same && self.flights.values().any(|flight| flight.until_ms > take.pop_ms) {
            return;
        }
        for (offset, flight) in self.flights.iter_mut().take(take.count) {
            if let Some(stored) = take.queue.read(*offset, 1).pop() {
                flight.times = flight.times.saturating_add(u32::from(!same));
                flight.pop_ms = take.pop_ms;
                flight.until_ms = take.until_ms;
                if flight.times > 0 {
                    taken.again.push((*offset, flight.times));
                }
                taken.records.push((*offset, stored));
            }
        }
        // What was dropped for want of room cannot be acknowledged any more.
        let (first, _) = take.queue.range();
        self.flights.retain(|offset, _| *offset >= first);
        self.attempt = take.attempt.map(str::to_owned);
    }
}

/// The pop time in a receipt handle, its second part.
fn pop_time(handle: &str) -> i64 {
    handle
        .split(' ')
        .nth(1)
        .and_then(|ms| ms.parse().ok())
        .unwrap_or_default()
}

impl Broker {
    /// Checks the place that an acknowledgement names.
    fn popped_place(&self, topic: &str, queue: i32, offset: i64) -> Result<(), Refusal> {
        let Some(held) = self.store.topic(topic) else {
            return no_topic(topic);
        };
        let Some(queue) = held.queue(queue) else {
            return refuse(
                response::MESSAGE_ILLEGAL,
                format!("queueId{queue} is illegal, topic:[{topic}]"),
            );
        };
        let (first, next) = queue.range();
        if offset < first || offset > next {
            return refuse(
                response::NO_MESSAGE,
                format!(
                    "request offset[{offset}] is illegal, the range of queue {topic} is [{first}, {next}]"
                ),
            );
        }
        Ok(())
    }

    /// `ACK_MESSAGE`.
    pub(super) fn acknowledge(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("consumerGroup")?;
        let topic = request.text("topic")?;
        let queue = request.int("queueId")?;
        let offset = request.int("offset")?;
        self.popped_place(&topic, queue, offset)?;
        let pop_ms = pop_time(&request.text("extraInfo")?);
        self.done_with_popped(
            &(group.into_owned(), topic.into_owned(), queue),
            &[offset],
            pop_ms,
        );
        request.done()
    }

    /// `CHANGE_MESSAGE_INVISIBLETIME`.
    pub(super) fn change_invisible(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("consumerGroup")?;
        let topic = request.text("topic")?;
        let queue = request.int("queueId")?;
        let offset = request.int("offset")?;
        let invisible: i64 = request.int("invisibleTime")?;
        self.popped_place(&topic, queue, offset)?;
        let handle = request.text("extraInfo")?;
        let until = now_ms().saturating_add(invisible);
        let key = owned((&group, &topic, queue));
        let changed = lock(&self.pops.flights).extend(&key, offset, pop_time(&handle), until);
        let revive = handle.split(' ').nth(3).unwrap_or("0").to_owned();
        request.done_with(&[
            ("popTime", &changed.unwrap_or_else(now_ms)),
            ("invisibleTime", &invisible),
            ("reviveQid", &revive),
        ])
    }

    /// `BATCH_ACK_MESSAGE`.
    pub(super) fn acknowledge_batch(&self, request: &Request<'_>) -> Outcome {
        let body: Value = request.json()?;
        let acks = body
            .get("acks")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        if acks.is_empty() {
            return refuse(response::NO_MESSAGE, "acks is empty");
        }
        for ack in acks {
            self.acknowledge_bits(ack);
        }
        request.done()
    }

    fn acknowledge_bits(&self, ack: &Value) {
        let field =
            |short: &str, long: &str| ack.get(short).or_else(|| ack.get(long)).unwrap_or(&Value::Null);
        let text = |short: &str, long: &str| field(short, long).as_str().unwrap_or_default().to_owned();
        let int = |short: &str, long: &str| field(short, long).as_i64().unwrap_or_default();
        let group = text("c", "consumerGroup");
        let mut topic = text("t", "topic");
        if text("r", "retry") == "1" {
            topic = retry_topic(&group, &topic);
        }
        let start = int("so", "startOffset");
        let queue = i32::try_from(int("q", "queueId")).unwrap_or(-1);
        let bits = base64::decode_url(&text("b", "bitSet")).unwrap_or_default();
        let mut offsets = Vec::new();
        for (at, byte) in (0_i64..).zip(bits) {
            for bit in 0..8 {
                if byte >> bit & 1 == 1 {
                    offsets.push(start.saturating_add(at.saturating_mul(8)).saturating_add(bit));
                }
            }
        }
        self.done_with_popped(&(group, topic, queue), &offsets, int("pt", "popTime"));
    }

    fn done_with_popped(&self, key: &(String, String, i32), offsets: &[i64], pop_ms: i64) {
        let (group, topic, queue) = key;
        let mut flights = lock(&self.pops.flights);
        for offset in offsets {
            flights.acknowledge(key, *offset, pop_ms);
        }
        let free = flights
            .queues
            .get(key)
            .is_some_and(|state| state.order && state.flights.is_empty());
        drop(flights);
        self.commit_popped(group, topic, *queue);
        if free && let Some(topic) = self.store.topic(topic) {
            // An orderly queue goes on.
            topic.arrived.notify_waiters();
        }
    }

    /// Commits the offset below which everything popped is done.
    pub(super) fn commit_popped(&self, group: &str, topic: &str, queue: i32) {
        let key = owned((group, topic, queue));
        let committed = lock(&self.pops.flights).committed(&key);
        if let Some(offset) = committed {
            self.offsets.commit(group, topic, queue, offset);
        }
    }
}
