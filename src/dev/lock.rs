//! Queue locks of orderly consumers.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::broker::Broker;
use super::request::{Outcome, Reply, Request};
use super::store::lock;
use crate::protocol::body::encode_lock_answer;
use crate::protocol::response;

/// How long a lock lasts without being renewed.
const LEASE: Duration = Duration::from_mins(1);
/// Locks kept; beyond it those that have run out go, and then no more are given.
const LOCKS: usize = 100_000;

/// Who holds which queue.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<HashMap<Key, (String, Instant)>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    group: String,
    topic: String,
    queue: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LockBody {
    client_id: String,
    consumer_group: String,
    mq_set: Vec<Value>,
}

impl LockBody {
    fn key(&self, queue: &Value) -> Key {
        Key {
            group: self.consumer_group.clone(),
            topic: queue
                .get("topic")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            queue: queue.get("queueId").and_then(Value::as_i64).unwrap_or_default(),
        }
    }
}

impl Locks {
    fn take(&self, key: Key, client: &str) -> bool {
        let now = Instant::now();
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < LEASE;
        let mut held = lock(&self.held);
        if let Some((holder, at)) = held.get_mut(&key) {
            if holder != client && fresh(at) {
                return false;
            }
            client.clone_into(holder);
            *at = now;
            return true;
        }
        if held.len() >= LOCKS {
            held.retain(|_, (_, at)| fresh(at));
        }
        if held.len() >= LOCKS {
            return false;
        }
        held.insert(key, (client.to_owned(), now));
        true
    }

    fn give_back(&self, key: &Key, client: &str) {
        let mut held = lock(&self.held);
        if held.get(key).is_some_and(|(holder, _)| holder == client) {
            held.remove(key);
        }
    }
}

impl Broker {
    /// `LOCK_BATCH_MQ`.
    pub(super) fn lock_queues(&self, request: &Request<'_>) -> Outcome {
        let body: LockBody = request.json()?;
        let locked: Vec<_> = body
            .mq_set
            .iter()
            .filter(|queue| self.locks.take(body.key(queue), &body.client_id))
            .cloned()
            .collect();
        let answer = request.answer(response::SUCCESS);
        Ok(Reply::Now(answer.with_body(encode_lock_answer(&locked))))
    }

    /// `UNLOCK_BATCH_MQ`.
    pub(super) fn unlock_queues(&self, request: &Request<'_>) -> Outcome {
        let body: LockBody = request.json()?;
        for queue in &body.mq_set {
            self.locks.give_back(&body.key(queue), &body.client_id);
        }
        request.done()
    }
}
