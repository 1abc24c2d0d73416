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
    let touched = match request.code {
        34 => heartbeat(&json(&request.body)),
        41 | 42 => locks(&json(&request.body)),
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
        200_151 => acks(&json(&request.body)),
        _ => vec![access(action(request.code), topic(request), group(request))],
    };
    let is_named = |access: &Access| access.topic.is_some() || access.group.is_some();
    touched.into_iter().filter(is_named).collect()
}

fn action(code: i32) -> Action {
    match code {
        10 | 37 | 310 | 320 | 324 | 325 | 370 => Action::Publish,
        11 | 14 | 15 | 35 | 36 | 38 | 40 | 309 | 361 | 200_050..=200_055 => Action::Subscribe,
        12 | 29..=33 | 105 => Action::Read,
        _ => Action::Manage,
    }
}

fn locks(body: &Value) -> Vec<Access> {
    let group = text(body, "consumerGroup");
    let queues = list(body, "mqSet").iter();
    queues
        .map(|queue| access(Action::Subscribe, text(queue, "topic"), group.clone()))
        .collect()
}

fn acks(body: &Value) -> Vec<Access> {
    let either = |entry: &Value, short, long| text(entry, short).or_else(|| text(entry, long));
    let entries = list(body, "acks").iter();
    entries
        .map(|entry| {
            let (topic, group) = (either(entry, "t", "topic"), either(entry, "c", "consumerGroup"));
            access(Action::Subscribe, topic, group)
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
            found.push(access(Action::Subscribe, Some(topic), group.clone()));
        }
        if found.len() == before {
            found.push(access(Action::Subscribe, None, group));
        }
    }
    found
}

/// Retry and DLQ topics count as their group, which the group's own field knows better: a pop's retry topic holds a
/// topic, too.
fn access(action: Action, topic: Option<String>, group: Option<String>) -> Access {
    let Some(own) = topic.as_deref().and_then(group_of_topic).map(str::to_owned) else {
        return Access { action, topic, group };
    };
    let group = match (action, group) {
        (Action::Subscribe | Action::Manage, Some(group)) => group,
        _ => own,
    };
    Access {
        action: if action == Action::Publish {
            Action::Subscribe
        } else {
            action
        },
        topic: None,
        group: Some(group),
    }
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
