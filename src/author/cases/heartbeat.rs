//! The body of a heartbeat as Java clients write it.

use serde_json::{Value, json};

use super::file::{ConsumerSection, HeartbeatSection};
use super::wire::NOW;
use crate::filter::Client;
use crate::protocol::{Command, request as rq};

/// The heartbeat of this client.
pub(super) fn of(written: &HeartbeatSection, client: &Client) -> Command {
    let id = client
        .client_id
        .as_deref()
        .map_or_else(|| format!("{}@DEFAULT", client.peer.ip()), ToOwned::to_owned);
    let producers: Vec<Value> = written
        .producers
        .iter()
        .map(|group| json!({"groupName": group}))
        .collect();
    let consumers: Vec<Value> = written.consumers.iter().map(consumer).collect();
    let body = json!({
        "clientID": id,
        "consumerDataSet": consumers,
        "heartbeatFingerprint": 0,
        "producerDataSet": producers,
        "withoutSub": false,
    });
    Command::request(rq::HEART_BEAT, 1).with_body(body.to_string())
}

fn consumer(written: &ConsumerSection) -> Value {
    let tags = written.tags.as_deref().unwrap_or("*");
    let topics: Vec<Value> = written
        .topics
        .iter()
        .map(|topic| {
            json!({
                "classFilterMode": false, "codeSet": [], "expressionType": "TAG", "subString": tags,
                "subVersion": NOW, "tagsSet": [], "topic": topic,
            })
        })
        .collect();
    json!({
        "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "consumeType": "CONSUME_PASSIVELY",
        "groupName": written.group, "messageModel": "CLUSTERING",
        "subscriptionDataSet": topics, "unitMode": false,
    })
}
