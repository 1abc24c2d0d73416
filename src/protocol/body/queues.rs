//! Bodies that name brokers or topics inside: queue locks, batch acks, client checks and assignments.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::lenient;
use crate::protocol::DecodeError;

/// The body of `LOCK_BATCH_MQ` and `UNLOCK_BATCH_MQ` (`LockBatchRequestBody`), and of the lock's answer.
#[derive(Debug, Clone)]
pub struct QueueSet {
    all: Map<String, Value>,
}

impl QueueSet {
    /// Decodes the body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            all: lenient::decode(body, "not a set of queues")?,
        })
    }

    /// The body split by broker name, in order of names; `resolve` maps the pseudo brokers of static topics.
    pub fn by_broker(
        &self,
        resolve: &dyn Fn(&str, &str, i64) -> Option<String>,
    ) -> BTreeMap<String, Vec<u8>> {
        let mut sets: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for queue in self
            .all
            .get("mqSet")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |key| queue.get(key).and_then(Value::as_str).unwrap_or_default();
            let id = queue.get("queueId").and_then(Value::as_i64).unwrap_or_default();
            let name = text("brokerName");
            let broker = resolve(name, text("topic"), id).unwrap_or_else(|| name.to_owned());
            sets.entry(broker).or_default().push(queue.clone());
        }
        sets.into_iter()
            .map(|(broker, queues)| {
                let mut part = self.all.clone();
                part.insert("mqSet".to_owned(), Value::Array(queues));
                (broker, Value::Object(part).to_string().into_bytes())
            })
            .collect()
    }

    /// The client that asks.
    pub fn client_id(&self) -> Option<&str> {
        self.all.get("clientId").and_then(Value::as_str)
    }

    /// The consumer group that asks.
    pub fn group(&self) -> Option<&str> {
        self.all.get("consumerGroup").and_then(Value::as_str)
    }

    /// The topics of the queues, one for each queue.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        let queues = self.all.get("mqSet").and_then(Value::as_array);
        queues
            .into_iter()
            .flatten()
            .filter_map(|queue| queue.get("topic")?.as_str())
    }

    /// The queues of a lock answer.
    pub fn locked(self) -> Vec<Value> {
        match self.all.get("lockOKMQSet") {
            Some(Value::Array(queues)) => queues.clone(),
            _ => Vec::new(),
        }
    }
}

/// The body of a lock answer (`LockBatchResponseBody`).
pub fn encode_lock_answer(queues: &[Value]) -> Vec<u8> {
    let all = Map::from_iter([("lockOKMQSet".to_owned(), Value::Array(queues.to_vec()))]);
    Value::Object(all).to_string().into_bytes()
}

/// What is read of the body of `BATCH_ACK_MESSAGE` (`BatchAckMessageRequestBody`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AckBatch {
    /// The broker that the messages came from.
    pub broker_name: String,
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    acks: Vec<Ack>,
}

/// One entry of a batch of acks (`BatchAck`); brokers read the long names, too.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ack {
    #[serde(
        rename = "c",
        alias = "consumerGroup",
        deserialize_with = "lenient::null_as_default"
    )]
    group: String,
    #[serde(rename = "t", alias = "topic", deserialize_with = "lenient::null_as_default")]
    topic: String,
}

impl AckBatch {
    /// Decodes the body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        lenient::decode(body, "not a batch of acks")
    }

    /// Topic and consumer group of every entry.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.acks.iter().map(|ack| (&*ack.topic, &*ack.group))
    }
}

/// What is read of the bodies of `CHECK_CLIENT_CONFIG` and `QUERY_ASSIGNMENT`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConfig {
    #[serde(alias = "consumerGroup", deserialize_with = "lenient::null_as_default")]
    group: String,
    #[serde(deserialize_with = "lenient::null_as_default")]
    topic: String,
    #[serde(deserialize_with = "lenient::null_as_default")]
    subscription_data: Subscription,
    #[serde(deserialize_with = "lenient::null_as_default")]
    client_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subscription {
    #[serde(deserialize_with = "lenient::null_as_default")]
    topic: String,
}

impl ClientConfig {
    /// Decodes the body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        lenient::decode(body, "not a client configuration")
    }

    /// The client that asks.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The consumer group it is about.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The topic it is about.
    pub fn topic(&self) -> &str {
        if self.topic.is_empty() {
            &self.subscription_data.topic
        } else {
            &self.topic
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_split_by_the_broker_that_owns_them() {
        let body = br#"{"clientId":"c","consumerGroup":"g","mqSet":[{"brokerName":"b","queueId":1,"topic":"T"},
            {"brokerName":"a","queueId":0,"topic":"T"},{"brokerName":"mock","queueId":7,"topic":"S"}],"onlyThisBroker":false}"#;
        let parts = QueueSet::decode(body).unwrap().by_broker(&|name, topic, queue| {
            (name == "mock").then(|| {
                assert_eq!((topic, queue), ("S", 7));
                "b".to_owned()
            })
        });
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            String::from_utf8_lossy(&parts["b"]),
            r#"{"clientId":"c","consumerGroup":"g","mqSet":[{"brokerName":"b","queueId":1,"topic":"T"},{"brokerName":"mock","queueId":7,"topic":"S"}],"onlyThisBroker":false}"#
        );
    }

    #[test]
    fn lock_answers_are_taken_apart_and_put_together() {
        let body = br#"{"lockOKMQSet":[{"brokerName":"a","queueId":0,"topic":"T"}]}"#;
        let queues = QueueSet::decode(body).unwrap().locked();
        assert_eq!(encode_lock_answer(&queues), body);
        assert_eq!(encode_lock_answer(&[]), br#"{"lockOKMQSet":[]}"#);
        assert!(QueueSet::decode(b"{}").unwrap().locked().is_empty());
    }

    #[test]
    fn a_topic_is_found_wherever_the_client_names_it() {
        for (body, topic) in [
            (r#"{"clientId":"c","subscriptionData":{"topic":"T"}}"#, "T"),
            (r#"{"topic":"T","subscriptionData":null}"#, "T"),
            (r#"{"topic":null}"#, ""),
        ] {
            assert_eq!(
                ClientConfig::decode(body.as_bytes()).unwrap().topic(),
                topic,
                "{body}"
            );
        }
        assert!(ClientConfig::decode(b"7").is_err());
    }
}
