//! Half messages: stored apart, committed or rolled back by their producer, asked about when it stays silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::broker::{Broker, CHECK_MAX_TOPIC, HALF_TOPIC};
use super::connection::stopped;
use super::properties;
use super::record::{Message, Place, TRANSACTION_BITS, TRANSACTION_COMMIT};
use super::request::{Outcome, Refusal, Request, own_request, refuse};
use super::send::no_topic;
use super::store::{lock, now_ms};
use crate::protocol::{request, response};

/// Checks of a half message before it is given up (`transactionCheckMax`).
const CHECKS: u32 = 15;

/// Half messages that may be open; sends of further ones are refused as busy.
const OPEN: usize = 1_000_000;

/// Half messages that nobody has decided about, by their offset in the half queue.
#[derive(Debug, Default)]
pub(super) struct Halves {
    open: Mutex<BTreeMap<i64, Half>>,
}

#[derive(Debug, Clone)]
struct Half {
    physical: i64,
    /// When it is to be asked about next.
    check_ms: i64,
    checks: u32,
}

impl Broker {
    /// Stores a half message where no consumer sees it.
    pub(super) fn store_half(&self, mut message: Message) -> Result<Place, Refusal> {
        if lock(&self.halves.open).len() >= OPEN {
            return refuse(response::SYSTEM_BUSY, "too many half messages for a stand-in");
        }
        let topic = std::mem::replace(&mut message.topic, HALF_TOPIC.to_owned());
        properties::set(&mut message.properties, "REAL_TOPIC", &topic);
        properties::set(&mut message.properties, "REAL_QID", &message.queue.to_string());
        message.queue = 0;
        message.sys_flag &= !TRANSACTION_BITS;
        let Some(place) = self.store.append(&message) else {
            return no_topic(HALF_TOPIC);
        };
        let immune = properties::int::<i64>(&message.properties, "CHECK_IMMUNITY_TIME_IN_SECONDS");
        let pause = immune.map_or_else(|| self.check_ms(), |seconds| seconds.saturating_mul(1000));
        let half = Half {
            physical: place.physical,
            check_ms: place.store_ms.saturating_add(pause),
            checks: 0,
        };
        lock(&self.halves.open).insert(place.offset, half);
        Ok(place)
    }

    /// `END_TRANSACTION`.
    pub(super) fn end_transaction(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("producerGroup")?;
        let offset: i64 = request.int("tranStateTableOffset")?;
        let physical: i64 = request.int("commitLogOffset")?;
        let verdict: i32 = request.int("commitOrRollback")?;
        if verdict & TRANSACTION_BITS == 0 {
            return request.done();
        }
        let half = lock(&self.halves.open).get(&offset).cloned();
        let record = half
            .filter(|half| half.physical == physical)
            .and_then(|_| self.store.at(physical));
        let Some((message, _)) = record.and_then(|record| Message::decode(&record)) else {
            return refuse(response::SYSTEM_ERROR, "Find prepared transaction message failed");
        };
        if message.property("PGROUP") != Some(&group) {
            return refuse(response::SYSTEM_ERROR, "The producer group wrong");
        }
        if lock(&self.halves.open).remove(&offset).is_none() {
            return request.done();
        }
        if verdict & TRANSACTION_BITS == TRANSACTION_COMMIT {
            let mut real = real_message(message);
            properties::remove(&mut real.properties, &["TRAN_MSG"]);
            real.sys_flag |= TRANSACTION_COMMIT;
            real.prepared = offset;
            self.store_or_delay(real)?;
        }
        request.done()
    }

    /// Asks about silent half messages, until told to stop.
    pub(super) async fn check_halves(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(self.check_interval.max(std::time::Duration::from_millis(1)));
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => self.check_due(),
            }
        }
    }

    fn check_due(&self) {
        let now = now_ms();
        let again = now.saturating_add(self.check_ms());
        let mut due = Vec::new();
        lock(&self.halves.open).retain(|offset, half| {
            if half.check_ms > now {
                return true;
            }
            half.checks = half.checks.saturating_add(1);
            half.check_ms = again;
            due.push((*offset, half.clone()));
            half.checks <= CHECKS
        });
        for (offset, half) in due {
            let record = self
                .store
                .at(half.physical)
                .and_then(|record| Message::decode(&record));
            match record {
                Some((message, place)) if half.checks <= CHECKS => self.ask(message, &place),
                Some((mut message, _)) => {
                    CHECK_MAX_TOPIC.clone_into(&mut message.topic);
                    self.store.append(&message);
                }
                // Dropped for want of room.
                None => {
                    lock(&self.halves.open).remove(&offset);
                }
            }
        }
    }

    fn ask(&self, message: Message, place: &Place) {
        let Some(producer) = message
            .property("PGROUP")
            .and_then(|group| self.groups.next_producer(group))
        else {
            return;
        };
        let id = message.property("UNIQ_KEY").unwrap_or_default().to_owned();
        let real = real_message(message);
        let command = own_request(request::CHECK_TRANSACTION_STATE)
            .with_field("topic", HALF_TOPIC)
            .with_field("tranStateTableOffset", place.offset.to_string())
            .with_field("commitLogOffset", place.physical.to_string())
            .with_field("msgId", id.as_str())
            .with_field("transactionId", id)
            .with_field("offsetMsgId", place.id().to_string())
            .with_field("bname", self.name.as_str())
            .with_body(real.encode(place));
        // A lost question is asked again after the interval.
        producer.push(command);
    }

    fn check_ms(&self) -> i64 {
        i64::try_from(self.check_interval.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The message as its consumers will see it.
fn real_message(mut message: Message) -> Message {
    message.topic = message.property("REAL_TOPIC").unwrap_or_default().to_owned();
    message.queue = properties::int(&message.properties, "REAL_QID").unwrap_or_default();
    properties::remove(&mut message.properties, &["REAL_TOPIC", "REAL_QID"]);
    message
}
