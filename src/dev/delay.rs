//! Messages that wait for their time: delay levels, times of their own, and recalling them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::base64;
use super::broker::{Broker, SCHEDULE_TOPIC, TIMER_TOPIC};
use super::connection::stopped;
use super::properties;
use super::record::{Message, Place};
use super::request::{Outcome, Refusal, Request, refuse};
use super::send::no_topic;
use super::store::{lock, now_ms};
use crate::protocol::response;

/// Delay of each level, seconds (`messageDelayLevel`).
const LEVELS: [i64; 18] = [
    1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200,
];
/// Longest delay of a message's own, milliseconds (`timerMaxDelaySec`, 3 days).
const LONGEST_MS: i64 = 259_200_000;
/// Messages that may wait; sends of further ones are refused as busy.
const WAITING: usize = 1_000_000;
/// Most messages delivered before others get a turn.
const AT_ONCE: usize = 1000;

/// When a message is due, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A delay level, counted from 1.
    Level(usize),
    /// Milliseconds since 1970.
    At(i64),
}

/// What waits, by the time it is due.
#[derive(Debug, Default)]
pub(super) struct Delays {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By due time and order of arrival.
    by_time: BTreeMap<(i64, u64), Delayed>,
    count: u64,
}

#[derive(Debug)]
struct Delayed {
    physical: i64,
    id: String,
}

impl Delays {
    fn add(&self, due_ms: i64, delayed: Delayed) {
        let mut waiting = lock(&self.waiting);
        waiting.count = waiting.count.wrapping_add(1);
        let key = (due_ms, waiting.count);
        waiting.by_time.insert(key, delayed);
        drop(waiting);
        self.changed.notify_one();
    }

    fn is_full(&self) -> bool {
        lock(&self.waiting).by_time.len() >= WAITING
    }

    fn take_due(&self, now: i64) -> Vec<Delayed> {
        let mut waiting = lock(&self.waiting);
        let mut due = Vec::new();
        while due.len() < AT_ONCE
            && let Some(first) = waiting.by_time.first_entry()
            && first.key().0 <= now
        {
            due.push(first.remove());
        }
        due
    }

    fn next_ms(&self) -> Option<i64> {
        lock(&self.waiting).by_time.keys().next().map(|(ms, _)| *ms)
    }

    /// Takes back a message due at exactly `due_ms`; whether it still waited.
    fn recall(&self, due_ms: i64, id: &str) -> bool {
        let mut waiting = lock(&self.waiting);
        let key = waiting
            .by_time
            .range((due_ms, 0)..=(due_ms, u64::MAX))
            .find(|(_, delayed)| delayed.id == id)
            .map(|(key, _)| *key);
        key.is_some_and(|key| waiting.by_time.remove(&key).is_some())
    }
}

/// When a message is due, if it is not at once.
pub(super) fn delay_of(message: &Message) -> Result<Option<Due>, Refusal> {
    let text = &message.properties;
    let level: usize = properties::int(text, "DELAY").unwrap_or_default();
    if level > 0 {
        return Ok(Some(Due::Level(level.min(LEVELS.len()))));
    }
    let now = now_ms();
    let at = properties::int::<i64>(text, "TIMER_DELIVER_MS")
        .or_else(|| {
            let delay = properties::int::<i64>(text, "TIMER_DELAY_SEC")?;
            Some(now.saturating_add(delay.saturating_mul(1000)))
        })
        .or_else(|| Some(now.saturating_add(properties::int(text, "TIMER_DELAY_MS")?)));
    match at {
        Some(at) if at > now.saturating_add(LONGEST_MS) => refuse(
            response::MESSAGE_ILLEGAL,
            format!(
                "timer message illegal, the delay time should not be bigger than the max delay {LONGEST_MS}ms; \
                 or if set del msg, the delay time should be bigger than the current time"
            ),
        ),
        Some(at) if at > now => Ok(Some(Due::At(at))),
        _ => Ok(None),
    }
}

impl Broker {
    /// Stores a message where it waits; also returns the handle to recall it with.
    pub(super) fn store_delayed(
        &self,
        mut message: Message,
        due: Due,
    ) -> Result<(Place, Option<String>), Refusal> {
        if self.store.topic(&message.topic).is_none() {
            return no_topic(&message.topic);
        }
        if self.delays.is_full() {
            return refuse(response::SYSTEM_BUSY, "too many delayed messages for a stand-in");
        }
        let topic = std::mem::take(&mut message.topic);
        let queue = message.queue;
        properties::set(&mut message.properties, "REAL_TOPIC", &topic);
        properties::set(&mut message.properties, "REAL_QID", &queue.to_string());
        let id = message.property("UNIQ_KEY").unwrap_or_default().to_owned();
        let (due_ms, handle) = match due {
            Due::Level(level) => {
                SCHEDULE_TOPIC.clone_into(&mut message.topic);
                let at = level.saturating_sub(1);
                message.queue = i32::try_from(at).unwrap_or_default();
                let seconds = LEVELS.get(at).copied().unwrap_or(1);
                (now_ms().saturating_add(seconds.saturating_mul(1000)), None)
            }
            Due::At(ms) => {
                TIMER_TOPIC.clone_into(&mut message.topic);
                message.queue = 0;
                properties::set(&mut message.properties, "TIMER_OUT_MS", &ms.to_string());
                let handle = format!("v1 {topic} {} {ms} {id}", self.name);
                (ms, Some(base64::encode_url(handle.as_bytes())))
            }
        };
        let Some(place) = self.store.append(&message) else {
            return no_topic(&message.topic);
        };
        let delayed = Delayed {
            physical: place.physical,
            id,
        };
        self.delays.add(due_ms, delayed);
        Ok((place, handle))
    }

    /// `RECALL_MESSAGE`.
    pub(super) fn recall(&self, request: &Request<'_>) -> Outcome {
        let topic = request.text("topic")?;
        let handle = request.text("recallHandle")?;
        let text = base64::decode_url(&handle).and_then(|bytes| String::from_utf8(bytes).ok());
        let parts: Vec<&str> = text.as_deref().unwrap_or_default().split(' ').collect();
        let &["v1", of, broker, due, id] = parts.as_slice() else {
            return refuse(response::ILLEGAL_OPERATION, "recall handle is invalid");
        };
        if of != topic {
            return refuse(response::ILLEGAL_OPERATION, "recall failed, topic not match");
        }
        if broker != self.name {
            return refuse(
                response::ILLEGAL_OPERATION,
                "recall failed, broker service not available",
            );
        }
        let due: i64 = due.parse().unwrap_or_default();
        if !self.delays.recall(due, id) {
            return refuse(response::ILLEGAL_OPERATION, "recall failed, timestamp invalid");
        }
        request.done_with(&[("msgId", &id)])
    }

    /// Delivers what is due, until told to stop.
    pub(super) async fn deliver_delayed(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            for delayed in self.delays.take_due(now_ms()) {
                self.deliver(&delayed);
            }
            let pause = self.delays.next_ms().map(|ms| ms.saturating_sub(now_ms()));
            let pause = pause.map_or(Duration::from_hours(1), |ms| {
                Duration::from_millis(u64::try_from(ms).unwrap_or_default())
            });
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = self.delays.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn deliver(&self, delayed: &Delayed) {
        // The record may have been dropped for want of room: then the message is lost, as documented.
        let record = self.store.at(delayed.physical);
        let Some((mut message, _)) = record.and_then(|record| Message::decode(&record)) else {
            return;
        };
        message.topic = message.property("REAL_TOPIC").unwrap_or_default().to_owned();
        message.queue = properties::int(&message.properties, "REAL_QID").unwrap_or_default();
        properties::remove(
            &mut message.properties,
            &[
                "DELAY",
                "TIMER_DELAY_SEC",
                "TIMER_DELAY_MS",
                "TIMER_DELIVER_MS",
                "TIMER_OUT_MS",
            ],
        );
        self.store.append(&message);
    }
}
