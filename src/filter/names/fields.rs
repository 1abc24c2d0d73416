//! Which ext fields hold names, by code; and the names inside recall handles.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::NameError;
use super::mapping::Translator;
use super::records;
use crate::protocol::request as rq;
use crate::protocol::{Code, Command};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// A topic.
    Topic,
    /// Topics, separated by commas.
    Topics,
    /// A group.
    Group,
    /// A property string.
    Properties,
    /// A recall handle.
    Handle,
}

impl Holds {
    /// The value with its names replaced; `None` when nothing changed.
    pub(super) fn translate(
        self,
        value: &str,
        translator: &Translator<'_>,
    ) -> Result<Option<String>, NameError> {
        match self {
            Self::Topic => translator.topic(value),
            Self::Topics => list(value, translator),
            Self::Group => translator.group(value),
            Self::Properties => records::properties(value, translator),
            Self::Handle => handle(value, translator),
        }
    }
}

fn list(topics: &str, translator: &Translator<'_>) -> Result<Option<String>, NameError> {
    let mut is_changed = false;
    let mut out = Vec::new();
    for topic in topics.split(',') {
        let new = translator.topic(topic)?;
        is_changed |= new.is_some();
        out.push(new.unwrap_or_else(|| topic.to_owned()));
    }
    Ok(is_changed.then(|| out.join(",")))
}

/// Fields that hold names.
pub(super) type Fields = &'static [(&'static str, Holds)];

const SEND_V1: Fields = &[
    ("producerGroup", Holds::Group),
    ("topic", Holds::Topic),
    ("defaultTopic", Holds::Topic),
    ("properties", Holds::Properties),
];
const SEND_V2: Fields = &[
    ("a", Holds::Group),
    ("b", Holds::Topic),
    ("c", Holds::Topic),
    ("i", Holds::Properties),
];
const CONSUMER: Fields = &[("consumerGroup", Holds::Group), ("topic", Holds::Topic)];
const TOPIC: Fields = &[("topic", Holds::Topic)];

/// The fields of a client's request.
pub(super) fn of_request(command: &Command) -> Fields {
    match command.code {
        rq::SEND_MESSAGE | rq::SEND_REPLY_MESSAGE => SEND_V1,
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2 => SEND_V2,
        rq::PULL_MESSAGE
        | rq::LITE_PULL_MESSAGE
        | rq::QUERY_CONSUMER_OFFSET
        | rq::UPDATE_CONSUMER_OFFSET
        | rq::POP_MESSAGE
        | rq::PEEK_MESSAGE
        | rq::ACK_MESSAGE
        | rq::CHANGE_MESSAGE_INVISIBLETIME
        | rq::NOTIFICATION
        | rq::POLLING_INFO
        | rq::GET_CONSUMER_LIST_BY_GROUP => CONSUMER,
        rq::QUERY_MESSAGE
        | rq::VIEW_MESSAGE_BY_ID
        | rq::SEARCH_OFFSET_BY_TIMESTAMP
        | rq::GET_MAX_OFFSET
        | rq::GET_MIN_OFFSET
        | rq::GET_EARLIEST_MSG_STORETIME
        | rq::GET_ROUTEINFO_BY_TOPIC => TOPIC,
        rq::UNREGISTER_CLIENT => &[("producerGroup", Holds::Group), ("consumerGroup", Holds::Group)],
        rq::CONSUMER_SEND_MSG_BACK => &[("group", Holds::Group), ("originTopic", Holds::Topic)],
        rq::END_TRANSACTION => &[("producerGroup", Holds::Group), ("topic", Holds::Topic)],
        rq::RECALL_MESSAGE => &[
            ("producerGroup", Holds::Group),
            ("topic", Holds::Topic),
            ("recallHandle", Holds::Handle),
        ],
        // The order of a topic's queues is kept under the topic.
        rq::GET_KV_CONFIG if command.field("namespace") == Some("ORDER_TOPIC_CONFIG") => {
            &[("key", Holds::Topic)]
        }
        _ => &[],
    }
}

/// The fields of a broker's answer to a request with this code.
pub(super) fn of_answer(code: Code) -> Fields {
    match code {
        rq::SEND_MESSAGE
        | rq::SEND_MESSAGE_V2
        | rq::SEND_BATCH_MESSAGE
        | rq::SEND_REPLY_MESSAGE
        | rq::SEND_REPLY_MESSAGE_V2 => &[("recallHandle", Holds::Handle)],
        _ => &[],
    }
}

/// The fields of a broker's request to its client.
pub(super) fn of_push(code: Code) -> Fields {
    match code {
        rq::CHECK_TRANSACTION_STATE => TOPIC,
        rq::NOTIFY_CONSUMER_IDS_CHANGED | rq::GET_CONSUMER_RUNNING_INFO | rq::CONSUME_MESSAGE_DIRECTLY => {
            CONSUMER
        }
        rq::RESET_CONSUMER_CLIENT_OFFSET | rq::GET_CONSUMER_STATUS_FROM_CLIENT => {
            &[("group", Holds::Group), ("topic", Holds::Topic)]
        }
        rq::PUSH_REPLY_MESSAGE_TO_CLIENT => SEND_V1,
        _ => &[],
    }
}

/// The topic a request is about, as it is written.
pub(super) fn topic(command: &Command) -> Option<&str> {
    first(command, Holds::Topic)
}

/// The group a request is about, as it is written.
pub(super) fn group(command: &Command) -> Option<&str> {
    first(command, Holds::Group)
}

fn first(command: &Command, wanted: Holds) -> Option<&str> {
    of_request(command)
        .iter()
        .filter(|(_, holds)| *holds == wanted)
        .find_map(|(name, _)| command.field(name))
        .filter(|value| !value.is_empty())
}

/// Replaces the names in these fields, also in fields that occur twice; whether anything changed.
pub(super) fn translate(
    command: &mut Command,
    fields: Fields,
    translator: &Translator<'_>,
) -> Result<bool, NameError> {
    let mut changed = false;
    if fields.is_empty() {
        return Ok(false);
    }
    for field in command.ext.iter_mut().flatten() {
        let Some((_, holds)) = fields.iter().find(|(name, _)| **name == *field.name) else {
            continue;
        };
        if let Some(new) = holds.translate(field.value.as_str(), translator)? {
            field.value = new.into();
            changed = true;
        }
    }
    Ok(changed)
}

/// As lenient about padding as Java's decoder; what Java writes is padded.
const HANDLE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A recall handle, `v1 topic broker time id` in base64, with its topic replaced. One that is something else stays:
/// brokers compare its topic with that of the request.
fn handle(handle: &str, translator: &Translator<'_>) -> Result<Option<String>, NameError> {
    let Some(text) = HANDLE
        .decode(handle)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
    else {
        return Ok(None);
    };
    let Some((version, rest)) = text.split_once(' ') else {
        return Ok(None);
    };
    let Some((topic, rest)) = rest.split_once(' ') else {
        return Ok(None);
    };
    let new = translator.topic(topic)?;
    Ok(new.map(|topic| HANDLE.encode(format!("{version} {topic} {rest}"))))
}
