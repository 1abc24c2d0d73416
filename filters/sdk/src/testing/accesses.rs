//! Which topics and groups a request touches, read off its fields and body as the real host does.

use serde_json::Value;

use super::request::{Request, find};
use crate::{Access, Action, code};

/// The topic of a request, whichever field or body holds it.
pub(super) fn topic(request: &Request) -> Option<String> {
    let short = matches!(
        request.code,
        code::SEND_MESSAGE_V2 | code::SEND_BATCH_MESSAGE | code::SEND_REPLY_MESSAGE_V2
    );
    find(&request.fields, if short { "b" } else { "topic" })
        .map(str::to_owned)
        .or_else(|| {
            let in_body = matches!(request.code, 34 | 41 | 42 | 46 | 400 | 200_151);
            in_body
                .then(|| derive(request).into_iter().find_map(|access| access.topic))
                .flatten()
        })
}

/// The group of a request: of a send and of 37 the producer group, else the consumer group.
pub(super) fn group(request: &Request) -> Option<String> {
    let names: &[&str] = match request.code {
        code::SEND_MESSAGE_V2 | code::SEND_BATCH_MESSAGE | code::SEND_REPLY_MESSAGE_V2 => &["a"],
        code::SEND_MESSAGE | code::SEND_REPLY_MESSAGE | code::END_TRANSACTION => &["producerGroup"],
        code::CONSUMER_SEND_MSG_BACK => &["group"],
        _ => &["consumerGroup", "group", "producerGroup"],
    };
    names
        .iter()
        .find_map(|name| find(&request.fields, name))
        .map(str::to_owned)
        .or_else(|| {
            let in_body = matches!(request.code, 34 | 41 | 42 | 46 | 400 | 200_151);
            in_body
                .then(|| derive(request).into_iter().find_map(|access| access.group))
                .flatten()
        })
}

/// Everything that a request touches.
pub(super) fn derive(request: &Request) -> Vec<Access> {
    let field = |name: &str| find(&request.fields, name).map(str::to_owned);
    match request.code {
        10 | 310 | 320 | 324 | 325 | 370 => vec![access(Action::Publish, topic(request), None)],
        37 => match field("topic") {
            Some(topic) => vec![access(Action::Publish, Some(topic), None)],
            None => vec![access(Action::Publish, None, field("producerGroup"))],
        },
        105 | 12 | 29 | 30 | 31 | 32 | 33 => vec![access(Action::Read, field("topic"), None)],
        38 | 200_055 => vec![access(Action::Read, field("topic"), field("consumerGroup"))],
        34 => heartbeat(&json(&request.body)),
        41 | 42 => {
            let body = json(&request.body);
            let group = text(&body, "consumerGroup");
            list(&body, "mqSet")
                .iter()
                .map(|queue| access(Action::Subscribe, text(queue, "topic"), group.clone()))
                .collect()
        }
        46 => {
            let body = json(&request.body);
            let topic = body.get("subscriptionData").and_then(|data| text(data, "topic"));
            vec![access(Action::Subscribe, topic, text(&body, "group"))]
        }
        400 => {
            let body = json(&request.body);
            vec![access(
                Action::Subscribe,
                text(&body, "topic"),
                text(&body, "consumerGroup"),
            )]
        }
        200_151 => {
            let either = |entry: &Value, short, long| text(entry, short).or_else(|| text(entry, long));
            list(&json(&request.body), "acks")
                .iter()
                .map(|entry| {
                    let (topic, group) = (either(entry, "t", "topic"), either(entry, "c", "consumerGroup"));
                    access(Action::Subscribe, topic, group)
                })
                .collect()
        }
        11 | 361 | 14 | 15 | 35 | 36 | 200_050..=200_054 => {
            vec![access(
                Action::Subscribe,
                field("topic"),
                field("consumerGroup").or_else(|| field("group")),
            )]
        }
        _ => vec![access(Action::Manage, topic(request), group(request))],
    }
}

fn heartbeat(body: &Value) -> Vec<Access> {
    let mut found = Vec::new();
    for consumer in list(body, "consumerDataSet") {
        let group = text(consumer, "groupName");
        let subscriptions = list(consumer, "subscriptionDataSet");
        if subscriptions.is_empty() {
            found.push(access(Action::Subscribe, None, group));
            continue;
        }
        for subscription in subscriptions {
            found.push(access(
                Action::Subscribe,
                text(subscription, "topic"),
                group.clone(),
            ));
        }
    }
    found
}

/// Retry and DLQ topics count as their group.
fn access(action: Action, topic: Option<String>, group: Option<String>) -> Access {
    let own_group = topic
        .as_deref()
        .and_then(|topic| {
            topic
                .strip_prefix("%RETRY%")
                .or_else(|| topic.strip_prefix("%DLQ%"))
        })
        .map(str::to_owned);
    match own_group {
        Some(own) => Access {
            action: if action == Action::Publish {
                Action::Subscribe
            } else {
                action
            },
            topic: None,
            group: Some(own),
        },
        None => Access { action, topic, group },
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
