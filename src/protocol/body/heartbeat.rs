//! The body of `HEART_BEAT`: who the client is and which groups it belongs to (`HeartbeatData`).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::lenient;
use crate::protocol::DecodeError;

/// What Gimbal needs to know of a heartbeat; the bytes themselves are forwarded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// The client's id, unique per client instance.
    #[serde(rename = "clientID", deserialize_with = "lenient::null_as_default")]
    pub client_id: String,
    #[serde(deserialize_with = "lenient::null_as_default")]
    consumer_data_set: Vec<ConsumerGroup>,
    #[serde(deserialize_with = "lenient::null_as_default")]
    producer_data_set: Vec<ProducerGroup>,
}

/// A consumer group with the topics it subscribes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerGroup {
    /// The group.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub group_name: String,
    #[serde(deserialize_with = "lenient::null_as_default")]
    subscription_data_set: Vec<Subscription>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProducerGroup {
    #[serde(deserialize_with = "lenient::null_as_default")]
    group_name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Subscription {
    #[serde(deserialize_with = "lenient::null_as_default")]
    topic: String,
}

impl Heartbeat {
    /// Decodes the body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        lenient::decode(body, "not a heartbeat")
    }

    /// The body without a consumer group; `None` when it is not in there.
    pub fn without_group(body: &[u8], group: &str) -> Option<Bytes> {
        let mut all: Map<String, Value> = lenient::decode(body, "not a heartbeat").ok()?;
        let consumers = all.get_mut("consumerDataSet")?.as_array_mut()?;
        let before = consumers.len();
        consumers.retain(|consumer| consumer.get("groupName").and_then(Value::as_str) != Some(group));
        (consumers.len() < before).then(|| Value::Object(all).to_string().into())
    }

    /// The consumer groups.
    pub fn consumers(&self) -> &[ConsumerGroup] {
        &self.consumer_data_set
    }

    /// The names of the producer groups.
    pub fn producers(&self) -> impl Iterator<Item = &str> {
        self.producer_data_set
            .iter()
            .map(|group| group.group_name.as_str())
    }

    /// Every topic any of its consumer groups subscribes to.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.consumer_data_set.iter().flat_map(ConsumerGroup::topics)
    }
}

impl ConsumerGroup {
    /// The topics this group subscribes to.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.subscription_data_set
            .iter()
            .map(|subscription| subscription.topic.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_taken_out_and_the_rest_stays() {
        let body = br#"{"clientID":"c","consumerDataSet":[{"groupName":"g"},{"groupName":"h","x":1}],"z":2}"#;
        let without = Heartbeat::without_group(body, "g").unwrap();
        assert_eq!(
            without,
            br#"{"clientID":"c","consumerDataSet":[{"groupName":"h","x":1}],"z":2}"#[..]
        );
        assert_eq!(Heartbeat::without_group(body, "other"), None);
    }

    #[test]
    fn groups_and_topics_are_found() {
        let body = br#"{"clientID":"c","consumerDataSet":[{"consumeType":"CONSUME_PASSIVELY","groupName":"g",
            "subscriptionDataSet":[{"codeSet":[1],"topic":"T1"},{"topic":"%RETRY%g"}]}],"heartbeatFingerprint":0,
            "producerDataSet":[{"groupName":"p"}],"withoutSub":false}"#;
        let heartbeat = Heartbeat::decode(body).unwrap();
        assert_eq!(heartbeat.client_id, "c");
        assert_eq!(heartbeat.topics().collect::<Vec<_>>(), ["T1", "%RETRY%g"]);
        assert_eq!(heartbeat.producers().collect::<Vec<_>>(), ["p"]);
        assert!(Heartbeat::decode(br#"{"clientID":null,"consumerDataSet":null}"#).is_ok());
        let nulls = br#"{"consumerDataSet":[{"groupName":null,"subscriptionDataSet":[{"topic":null}]}]}"#;
        assert_eq!(
            Heartbeat::decode(nulls).unwrap().topics().collect::<Vec<_>>(),
            [""]
        );
        assert!(Heartbeat::decode(b"[]x").is_err());
    }
}
