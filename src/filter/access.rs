//! Which topics and groups a request touches, and how: one answer for every code, for interests, scopes and filters.

use std::borrow::Cow;

use crate::protocol::body::{AckBatch, ClientConfig, Heartbeat, QueueSet};
use crate::protocol::request as rq;
use crate::protocol::{Code, Fields};

/// What a request does to a topic or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sends to it.
    Publish,
    /// Takes from it, or is a member.
    Subscribe,
    /// Asks about it.
    Read,
    /// Anything else.
    Manage,
}

/// A topic or group that a request touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// How.
    pub action: Action,
    /// The topic, unless it is a retry or dead-letter topic, which count as their group.
    pub topic: Option<String>,
    /// The group.
    pub group: Option<String>,
}

/// Everything a request touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) accesses: Vec<Access>,
}

impl Facts {
    /// Of a request of this code.
    pub(super) fn of(code: Code, fields: &Fields<'_>, body: &[u8]) -> Self {
        let accesses = match code {
            rq::HEART_BEAT => of_heartbeat(body),
            rq::LOCK_BATCH_MQ | rq::UNLOCK_BATCH_MQ => of_locks(code, body),
            rq::BATCH_ACK_MESSAGE => of_acks(code, body),
            rq::CHECK_CLIENT_CONFIG | rq::QUERY_ASSIGNMENT => of_client_config(code, body),
            _ => {
                let topic = topic_field(code, fields).map(Cow::into_owned);
                let group = group_field(code, fields).map(Cow::into_owned);
                touched(code, topic, group)
            }
        };
        let named = |access: &Access| access.topic.is_some() || access.group.is_some();
        Self {
            accesses: accesses.into_iter().filter(named).collect(),
        }
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.accesses.iter().filter_map(|access| access.topic.as_deref())
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.accesses.iter().filter_map(|access| access.group.as_deref())
    }
}

/// Where brokers keep half messages (`TopicValidator.RMQ_SYS_TRANS_HALF_TOPIC`).
const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// The topic of a request as its ext fields say.
pub(super) fn topic_field<'a>(code: Code, fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    match code {
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2 => fields.find("b"),
        rq::CONSUMER_SEND_MSG_BACK => fields.find("originTopic"),
        // In answers to checks, clients repeat the topic of the check, which is where half messages lie.
        rq::END_TRANSACTION => fields.find("topic").filter(|topic| topic != HALF_TOPIC),
        _ => fields.find("topic"),
    }
}

/// The group of a request as its ext fields say.
pub(super) fn group_field<'a>(code: Code, fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    match code {
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2 => fields.find("a"),
        _ => fields.first_of(&["consumerGroup", "producerGroup", "group"]),
    }
}

/// The queue of a request.
pub(super) fn queue_field(code: Code, fields: &Fields<'_>) -> Option<i32> {
    match code {
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2 => fields.int("e"),
        _ => fields.int("queueId"),
    }
}

/// The broker that a request names.
pub(super) fn broker_field<'a>(code: Code, fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    let name = match code {
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2 => {
            fields.first_of(&["n", "bname"])
        }
        _ => fields.first_of(&["bname", "brokerName"]),
    };
    name.filter(|name| !name.is_empty())
}

fn action(code: Code) -> Action {
    match code {
        rq::SEND_MESSAGE
        | rq::SEND_MESSAGE_V2
        | rq::SEND_BATCH_MESSAGE
        | rq::SEND_REPLY_MESSAGE
        | rq::SEND_REPLY_MESSAGE_V2
        | rq::RECALL_MESSAGE
        | rq::END_TRANSACTION => Action::Publish,
        rq::PULL_MESSAGE
        | rq::LITE_PULL_MESSAGE
        | rq::POP_MESSAGE
        | rq::PEEK_MESSAGE
        | rq::ACK_MESSAGE
        | rq::CHANGE_MESSAGE_INVISIBLETIME
        | rq::NOTIFICATION
        | rq::POLLING_INFO
        | rq::CONSUMER_SEND_MSG_BACK
        | rq::QUERY_CONSUMER_OFFSET
        | rq::UPDATE_CONSUMER_OFFSET
        | rq::UNREGISTER_CLIENT
        | rq::GET_CONSUMER_LIST_BY_GROUP
        | rq::NOTIFY_CONSUMER_IDS_CHANGED
        | rq::CONSUME_MESSAGE_DIRECTLY
        | rq::LOCK_BATCH_MQ
        | rq::UNLOCK_BATCH_MQ
        | rq::BATCH_ACK_MESSAGE
        | rq::CHECK_CLIENT_CONFIG
        | rq::QUERY_ASSIGNMENT => Action::Subscribe,
        rq::QUERY_MESSAGE
        | rq::VIEW_MESSAGE_BY_ID
        | rq::SEARCH_OFFSET_BY_TIMESTAMP
        | rq::GET_MAX_OFFSET
        | rq::GET_MIN_OFFSET
        | rq::GET_EARLIEST_MSG_STORETIME
        | rq::GET_ROUTEINFO_BY_TOPIC => Action::Read,
        _ => Action::Manage,
    }
}

/// What such a topic and group mean: retry and dead-letter topics are a matter of their group (`RetryTopic` rules of the
/// broker's authorisation), whoever sends to them or pulls from them. The group that a client says beside the topic is
/// its own word: it counts as well, and not in place of the topic's.
fn touched(code: Code, topic: Option<String>, group: Option<String>) -> Vec<Access> {
    let action = action(code);
    let Some(of_topic) = topic.as_deref().and_then(group_of_topic) else {
        return vec![Access { action, topic, group }];
    };
    let of_group = |group: &str| Access {
        action: if action == Action::Publish {
            Action::Subscribe
        } else {
            action
        },
        topic: None,
        group: Some(group.to_owned()),
    };
    match group.filter(|_| matches!(action, Action::Subscribe | Action::Manage)) {
        Some(group) if group == of_topic || is_pop_retry(code, &group, of_topic) => vec![of_group(&group)],
        Some(group) => vec![of_group(&group), of_group(of_topic)],
        None => vec![of_group(of_topic)],
    }
}

/// Whether this is the retry topic of a pop, `%RETRY%group_topic`, as the group says. It could as well be that of another
/// group with a longer name: what brings messages is not taken at its word.
fn is_pop_retry(code: Code, group: &str, of_topic: &str) -> bool {
    let brings_messages = matches!(
        code,
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE | rq::POP_MESSAGE | rq::PEEK_MESSAGE | rq::NOTIFICATION
    );
    let rest = of_topic.strip_prefix(group);
    !brings_messages && rest.is_some_and(|rest| rest.starts_with('_'))
}

/// The group whose retry or dead-letter topic this is.
fn group_of_topic(topic: &str) -> Option<&str> {
    topic
        .strip_prefix("%RETRY%")
        .or_else(|| topic.strip_prefix("%DLQ%"))
        .map(|rest| rest.split_once('+').map_or(rest, |(group, _topic)| group))
        .filter(|group| !group.is_empty())
}

fn of_heartbeat(body: &[u8]) -> Vec<Access> {
    let heartbeat = Heartbeat::decode(body).unwrap_or_default();
    let mut accesses = Vec::new();
    for consumer in heartbeat.consumers() {
        let group = Some(consumer.group_name.clone());
        let topics = consumer.topics().filter(|topic| group_of_topic(topic).is_none());
        let before = accesses.len();
        accesses.extend(topics.map(|topic| Access {
            action: Action::Subscribe,
            topic: Some(topic.to_owned()),
            group: group.clone(),
        }));
        if accesses.len() == before {
            accesses.push(Access {
                action: Action::Subscribe,
                topic: None,
                group,
            });
        }
    }
    accesses
}

fn of_locks(code: Code, body: &[u8]) -> Vec<Access> {
    let Ok(set) = QueueSet::decode(body) else {
        return Vec::new();
    };
    let group = set.group().map(str::to_owned);
    let mut topics: Vec<&str> = set.topics().collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() {
        return touched(code, None, group);
    }
    let each = topics
        .into_iter()
        .flat_map(|topic| touched(code, Some(topic.to_owned()), group.clone()));
    each.collect()
}

fn of_acks(code: Code, body: &[u8]) -> Vec<Access> {
    let Ok(batch) = AckBatch::decode(body) else {
        return Vec::new();
    };
    let each = batch
        .entries()
        .flat_map(|(topic, group)| touched(code, name(topic), name(group)));
    each.collect()
}

fn of_client_config(code: Code, body: &[u8]) -> Vec<Access> {
    let config = ClientConfig::decode(body).unwrap_or_default();
    touched(code, name(config.topic()), name(config.group()))
}

fn name(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, Head};

    fn facts(code: Code, fields: &[(&str, &str)], body: &'static str) -> Vec<(Action, String, String)> {
        let mut command = Command::request(code, 1).with_body(body);
        for (name, value) in fields {
            command.set_field(name, *value);
        }
        let frame = command.encode().unwrap();
        let head = Head::scan(&frame).unwrap();
        Facts::of(code, &head.fields(&frame), frame.body())
            .accesses
            .into_iter()
            .map(|a| (a.action, a.topic.unwrap_or_default(), a.group.unwrap_or_default()))
            .collect()
    }

    fn one(action: Action, topic: &str, group: &str) -> Vec<(Action, String, String)> {
        vec![(action, topic.to_owned(), group.to_owned())]
    }

    #[test]
    fn sends_of_every_header_publish_to_their_topic() {
        for code in [
            rq::SEND_MESSAGE_V2,
            rq::SEND_BATCH_MESSAGE,
            rq::SEND_REPLY_MESSAGE_V2,
        ] {
            assert_eq!(
                facts(code, &[("a", "p"), ("b", "T")], ""),
                one(Action::Publish, "T", "p")
            );
        }
        for code in [rq::SEND_MESSAGE, rq::SEND_REPLY_MESSAGE] {
            let fields = [("producerGroup", "p"), ("topic", "T")];
            assert_eq!(facts(code, &fields, ""), one(Action::Publish, "T", "p"));
        }
    }

    #[test]
    fn a_retry_topic_is_a_matter_of_its_group() {
        let send = [("a", "CLIENT_INNER_PRODUCER"), ("b", "%RETRY%g")];
        assert_eq!(
            facts(rq::SEND_MESSAGE_V2, &send, ""),
            one(Action::Subscribe, "", "g")
        );
        let own = [("consumerGroup", "g"), ("topic", "%RETRY%g")];
        assert_eq!(facts(rq::PULL_MESSAGE, &own, ""), one(Action::Subscribe, "", "g"));
        let ack = [("consumerGroup", "g"), ("topic", "%RETRY%g_T")];
        assert_eq!(facts(rq::ACK_MESSAGE, &ack, ""), one(Action::Subscribe, "", "g"));
        assert_eq!(
            facts(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "%RETRY%g+T")], ""),
            one(Action::Read, "", "g")
        );
    }

    #[test]
    fn the_topic_of_another_group_is_a_matter_of_both() {
        let both =
            |other: &str| [one(Action::Subscribe, "", "g"), one(Action::Subscribe, "", other)].concat();
        for (topic, other) in [
            ("%DLQ%h", "h"),
            ("%RETRY%h", "h"),
            ("%RETRY%h+T", "h"),
            ("%RETRY%g_T", "g_T"),
        ] {
            let fields = [("consumerGroup", "g"), ("topic", topic)];
            for code in [
                rq::PULL_MESSAGE,
                rq::LITE_PULL_MESSAGE,
                rq::POP_MESSAGE,
                rq::PEEK_MESSAGE,
            ] {
                assert_eq!(facts(code, &fields, ""), both(other), "{code} {topic}");
            }
        }
    }

    #[test]
    fn a_heartbeat_touches_every_group_and_topic() {
        let body = r#"{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":[{"topic":"T"},{"topic":"%RETRY%g"}]},
            {"groupName":"h","subscriptionDataSet":[]}],"producerDataSet":[{"groupName":"p"}]}"#;
        let expected = [one(Action::Subscribe, "T", "g"), one(Action::Subscribe, "", "h")].concat();
        assert_eq!(facts(rq::HEART_BEAT, &[], body), expected);
    }

    #[test]
    fn names_inside_bodies_are_found() {
        let locks = r#"{"consumerGroup":"g","mqSet":[{"topic":"T","queueId":0},{"topic":"T","queueId":1}]}"#;
        assert_eq!(
            facts(rq::LOCK_BATCH_MQ, &[], locks),
            one(Action::Subscribe, "T", "g")
        );
        let acks = r#"{"brokerName":"b","acks":[{"c":"g","t":"T"},{"consumerGroup":"h","topic":"U"}]}"#;
        let expected = [one(Action::Subscribe, "T", "g"), one(Action::Subscribe, "U", "h")].concat();
        assert_eq!(facts(rq::BATCH_ACK_MESSAGE, &[], acks), expected);
        assert_eq!(
            facts(rq::QUERY_ASSIGNMENT, &[], r#"{"consumerGroup":"g","topic":"T"}"#),
            one(Action::Subscribe, "T", "g")
        );
    }

    #[test]
    fn an_old_end_of_a_transaction_has_its_group_only() {
        assert_eq!(
            facts(rq::END_TRANSACTION, &[("producerGroup", "p")], ""),
            one(Action::Publish, "", "p")
        );
        let checked = [("producerGroup", "p"), ("topic", HALF_TOPIC)];
        assert_eq!(
            facts(rq::END_TRANSACTION, &checked, ""),
            one(Action::Publish, "", "p"),
            "an answer to a check names the half topic"
        );
    }
}
