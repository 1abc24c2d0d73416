//! Consumer offsets, and what queues say about their own.

use std::collections::HashMap;
use std::sync::Mutex;

use super::broker::Broker;
use super::request::{Outcome, Refusal, Request, refuse};
use super::store::lock;
use crate::protocol::response;

/// Groups whose offsets are kept; commits of further ones are dropped.
const GROUPS: usize = 10_000;

/// Offsets by topic and queue.
type Topics = HashMap<String, HashMap<i32, i64>>;

/// Committed offsets by group, topic and queue.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    groups: Mutex<HashMap<String, Topics>>,
}

impl Offsets {
    /// The committed offset.
    pub(super) fn find(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        lock(&self.groups).get(group)?.get(topic)?.get(&queue).copied()
    }

    /// Commits an offset, also a smaller one than before.
    pub(super) fn commit(&self, group: &str, topic: &str, queue: i32, offset: i64) {
        let mut groups = lock(&self.groups);
        if groups.len() >= GROUPS && !groups.contains_key(group) {
            return;
        }
        if let Some(slot) = groups
            .get_mut(group)
            .and_then(|topics| topics.get_mut(topic))
            .and_then(|queues| queues.get_mut(&queue))
        {
            *slot = offset;
            return;
        }
        let topics = groups.entry(group.to_owned()).or_default();
        topics.entry(topic.to_owned()).or_default().insert(queue, offset);
    }
}

impl Broker {
    /// `QUERY_CONSUMER_OFFSET`.
    pub(super) fn query_offset(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("consumerGroup")?;
        let topic = request.text("topic")?;
        let queue = request.int("queueId")?;
        if let Some(offset) = self.offsets.find(&group, &topic, queue) {
            return request.done_with(&[("offset", &offset)]);
        }
        let zero_allowed = request.fields.find("setZeroIfNotFound").as_deref() != Some("false");
        let first = self.range(&topic, queue).map_or(0, |(first, _)| first);
        if zero_allowed && first == 0 && self.range(&topic, queue).is_some() {
            return request.done_with(&[("offset", &0)]);
        }
        refuse(
            response::QUERY_NOT_FOUND,
            "Not found, maybe this group consumer boot first",
        )
    }

    /// `UPDATE_CONSUMER_OFFSET`.
    pub(super) fn update_offset(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("consumerGroup")?;
        let topic = request.text("topic")?;
        let queue = request.int("queueId")?;
        let offset = request.int("commitOffset")?;
        if self.store.topic(&topic).is_none() {
            return refuse(response::TOPIC_NOT_EXIST, format!("Topic {topic} not exist!"));
        }
        // A queue that does not exist has no place here, but is no failure either.
        if self.range(&topic, queue).is_some() {
            self.offsets.commit(&group, &topic, queue, offset);
        }
        request.done()
    }

    /// `SEARCH_OFFSET_BY_TIMESTAMP`.
    pub(super) fn search_offset(&self, request: &Request<'_>) -> Outcome {
        let topic = request.text("topic")?;
        let ms: i64 = request.int("timestamp")?;
        let upper = request
            .fields
            .find("boundaryType")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("upper"));
        let queue = self
            .store
            .topic(&topic)
            .and_then(|held| held.queue(request.fields.int("queueId").unwrap_or_default()));
        let offset = queue.map_or(0, |queue| {
            if upper {
                // The last record not later than `ms`.
                let (first, _) = queue.range();
                queue.search(ms.saturating_add(1)).saturating_sub(1).max(first)
            } else {
                queue.search(ms)
            }
        });
        request.done_with(&[("offset", &offset)])
    }

    /// `GET_MAX_OFFSET`; 0 for what does not exist.
    pub(super) fn max_offset(&self, request: &Request<'_>) -> Outcome {
        let range = self.asked_range(request)?;
        request.done_with(&[("offset", &range.map_or(0, |(_, next)| next))])
    }

    /// `GET_MIN_OFFSET`; -1 for what does not exist.
    pub(super) fn min_offset(&self, request: &Request<'_>) -> Outcome {
        let range = self.asked_range(request)?;
        request.done_with(&[("offset", &range.map_or(-1, |(first, _)| first))])
    }

    /// `GET_EARLIEST_MSG_STORETIME`; -1 when there is none.
    pub(super) fn earliest_time(&self, request: &Request<'_>) -> Outcome {
        let topic = request.text("topic")?;
        let queue: i32 = request.int("queueId")?;
        let queue = self.store.topic(&topic).and_then(|topic| topic.queue(queue));
        let ms = queue.and_then(|queue| queue.oldest_ms()).unwrap_or(-1);
        request.done_with(&[("timestamp", &ms)])
    }

    fn asked_range(&self, request: &Request<'_>) -> Result<Option<(i64, i64)>, Refusal> {
        let topic = request.text("topic")?;
        Ok(self.range(&topic, request.int("queueId")?))
    }

    /// Least and next offset of a queue.
    pub(super) fn range(&self, topic: &str, queue: i32) -> Option<(i64, i64)> {
        Some(self.store.topic(topic)?.queue(queue)?.range())
    }
}
