//! The few admin commands that tests need: topics, groups, connection lists.

use serde_json::Value;

use super::broker::Broker;
use super::request::{Outcome, Reply, Request, refuse};
use super::send::check_name;
use super::store::{Layout, PERM_READ_WRITE, QUEUES};
use crate::protocol::{request, response};

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
            request::QUERY_ASSIGNMENT => self.query_assignment(request),
            request::GET_CONSUMER_RUNNING_INFO => self.running_info(request),
            request::CONSUME_MESSAGE_DIRECTLY => self.consume_directly(request),
            request::INVOKE_BROKER_TO_RESET_OFFSET => self.reset_offsets(request),
            request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => self.consumer_status(request),
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
}
