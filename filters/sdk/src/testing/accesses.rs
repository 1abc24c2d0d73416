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
    let field = match request.code {
        _ if short => "b",
        code::CONSUMER_SEND_MSG_BACK => "originTopic",
        _ => "topic",
    };
    find(&request.fields, field).map(str::to_owned).or_else(|| {
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
        _ => &["consumerGroup", "producerGroup", "group"],
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
    let found = match request.code {
        34 => heartbeat(&json(&request.body)),
        41 | 42 => locks(request.code, &json(&request.body)),
        46 => {
            let body = json(&request.body);
            let topic = body.get("subscriptionData").and_then(|data| text(data, "topic"));
            touched(request.code, topic, text(&body, "group"))
        }
        400 => {
            let body = json(&request.body);
            touched(request.code, text(&body, "topic"), text(&body, "consumerGroup"))
        }
        200_151 => acks(request.code, &json(&request.body)),
        _ => touched(request.code, topic(request), group(request)),
    };
    let is_named = |access: &Access| access.topic.is_some() || access.group.is_some();
    found.into_iter().filter(is_named).collect()
}

fn action(code: i32) -> Action {
    match code {
        10 | 37 | 310 | 320 | 324 | 325 | 370 => Action::Publish,
        11 | 14 | 15 | 35 | 36 | 38 | 40..=42 | 46 | 309 | 361 | 400 | 200_050..=200_055 | 200_151 => {
            Action::Subscribe
        }
        12 | 29..=33 | 105 => Action::Read,
        _ => Action::Manage,
    }
}

fn locks(code: i32, body: &Value) -> Vec<Access> {
    let group = text(body, "consumerGroup");
    let queues = list(body, "mqSet").iter();
    queues
        .flat_map(|queue| touched(code, text(queue, "topic"), group.clone()))
        .collect()
}

fn acks(code: i32, body: &Value) -> Vec<Access> {
    let either = |entry: &Value, short, long| text(entry, short).or_else(|| text(entry, long));
    let entries = list(body, "acks").iter();
    entries
        .flat_map(|entry| {
            let (topic, group) = (either(entry, "t", "topic"), either(entry, "c", "consumerGroup"));
            touched(code, topic, group)
        })
        .collect()
}

fn heartbeat(body: &Value) -> Vec<Access> {
    let mut found = Vec::new();
    for consumer in list(body, "consumerDataSet") {
        let group = text(consumer, "groupName");
        let topics = list(consumer, "subscriptionDataSet")
            .iter()
            .filter_map(|data| text(data, "topic"));
        let before = found.len();
        for topic in topics.filter(|topic| group_of_topic(topic).is_none()) {
            found.push(member(Some(topic), group.clone()));
        }
        if found.len() == before {
            found.push(member(None, group));
        }
    }
    found
}

fn member(topic: Option<String>, group: Option<String>) -> Access {
    Access {
        action: Action::Subscribe,
        topic,
        group,
    }
}

/// Retry and DLQ topics count as their group, and the group that is said beside counts as well. Only where no messages
/// come back is it believed that the retry topic is that of its pops, `%RETRY%group_topic`.
fn touched(code: i32, topic: Option<String>, group: Option<String>) -> Vec<Access> {
    let action = action(code);
    let Some(of_topic) = topic.as_deref().and_then(group_of_topic) else {
        return vec![Access { action, topic, group }];
    };
    let brings_messages = matches!(code, 11 | 361 | 200_050 | 200_052 | 200_054);
    let is_own = |group: &str| match of_topic.strip_prefix(group) {
        Some(rest) => rest.is_empty() || !brings_messages && rest.starts_with('_'),
        None => false,
    };
    let groups = match group.filter(|_| matches!(action, Action::Subscribe | Action::Manage)) {
        Some(group) if is_own(&group) => vec![group],
        Some(group) => vec![group, of_topic.to_owned()],
        None => vec![of_topic.to_owned()],
    };
    let of_group = |group| Access {
        action: if action == Action::Publish {
            Action::Subscribe
        } else {
            action
        },
        topic: None,
        group: Some(group),
    };
    groups.into_iter().map(of_group).collect()
}

fn group_of_topic(topic: &str) -> Option<&str> {
    let rest = topic
        .strip_prefix("%RETRY%")
        .or_else(|| topic.strip_prefix("%DLQ%"))?;
    Some(rest.split_once('+').map_or(rest, |(group, _topic)| group))
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
