//! The few admin commands that tests need: topics, groups, message request modes, connection lists.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::broker::Broker;
use super::request::{Outcome, Reply, Request, refuse};
use super::send::check_name;
use super::store::{Layout, PERM_READ_WRITE, QUEUES, lock};
use crate::protocol::{request, response};

/// Modes kept; settings beyond it are refused.
const MODES: usize = 10_000;

/// How a group's consumers of a topic get their messages; anything not set here is pulled.
#[derive(Debug, Default)]
pub(super) struct Modes {
    by_topic_and_group: Mutex<HashMap<(String, String), (String, i64)>>,
}

impl Modes {
    /// The mode, `PULL` or `POP`, and how many others' queues each pops.
    pub(super) fn find(&self, topic: &str, group: &str) -> (String, i64) {
        let key = (topic.to_owned(), group.to_owned());
        let modes = lock(&self.by_topic_and_group);
        modes.get(&key).cloned().unwrap_or_else(|| ("PULL".to_owned(), 0))
    }
}

impl Broker {
    /// Whatever is not a client's everyday request.
    pub(super) fn administer(&self, request: &Request<'_>) -> Outcome {
        match request.head.code {
            request::UPDATE_AND_CREATE_TOPIC => self.create_topic(request),
            request::DELETE_TOPIC_IN_BROKER => {
                self.store.remove_topic(&request.text("topic")?);
                request.done()
            }
            request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => self.create_group(request),
            request::GET_CONSUMER_CONNECTION_LIST => self.consumer_connections(request),
            request::GET_PRODUCER_CONNECTION_LIST => self.producer_connections(request),
            request::SET_MESSAGE_REQUEST_MODE => self.set_mode(request),
            request::RECALL_MESSAGE => self.recall(request),
            _ => request.unknown(),
        }
    }

    fn create_topic(&self, request: &Request<'_>) -> Outcome {
        let topic = request.text("topic")?;
        check_name(&topic)?;
        let layout = Layout {
            read: request.int("readQueueNums")?,
            write: request.int("writeQueueNums")?,
            perm: request.fields.int("perm").unwrap_or(PERM_READ_WRITE),
        };
        if !(1..=QUEUES).contains(&layout.read) || !(1..=QUEUES).contains(&layout.write) {
            return refuse(
                response::INVALID_PARAMETER,
                format!("queue numbers must be 1 to {QUEUES} here"),
            );
        }
        match self.store.set_topic(&topic, layout) {
            Some(_) => request.done(),
            None => refuse(response::SYSTEM_ERROR, "too many topics"),
        }
    }

    fn create_group(&self, request: &Request<'_>) -> Outcome {
        let body: Value = request.json()?;
        let group = body.get("groupName").and_then(Value::as_str).unwrap_or_default();
        let most = body.get("retryMaxTimes").and_then(Value::as_i64).unwrap_or(16);
        self.groups
            .set_retry_limit(group, i32::try_from(most).unwrap_or(16));
        request.done()
    }

    fn consumer_connections(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("consumerGroup")?;
        match self.groups.connections(&group) {
            Some(list) => Ok(Reply::Now(
                request.answer(response::SUCCESS).with_body(list.to_string()),
            )),
            None => refuse(
                response::CONSUMER_NOT_ONLINE,
                format!("the consumer group[{group}] not online"),
            ),
        }
    }

    fn producer_connections(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("producerGroup")?;
        match self.groups.producer_connections(&group) {
            Some(list) => Ok(Reply::Now(
                request.answer(response::SUCCESS).with_body(list.to_string()),
            )),
            None => refuse(
                response::SYSTEM_ERROR,
                format!("the producer group[{group}] not exist"),
            ),
        }
    }

    fn set_mode(&self, request: &Request<'_>) -> Outcome {
        let body: Value = request.json()?;
        let text = |key: &str| {
            body.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let key = (text("topic"), text("consumerGroup"));
        let share = body
            .get("popShareQueueNum")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        let mut modes = lock(&self.modes.by_topic_and_group);
        if modes.len() >= MODES && !modes.contains_key(&key) {
            return refuse(response::SYSTEM_ERROR, "too many message request modes");
        }
        modes.insert(key, (text("mode"), share));
        drop(modes);
        request.done()
    }
}

/// A queue as the JSON of a `MessageQueue`.
pub(super) fn queue_json(topic: &str, broker: &str, queue: i32) -> Value {
    json!({"brokerName": broker, "queueId": queue, "topic": topic})
}
