//! Names in JSON bodies: which members hold them, whoever wrote the body.

use bytes::Bytes;

use super::error::NameError;
use super::mapping::Translator;
use super::special;
use crate::protocol::body::{Spot, replace_strings};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, DecodeError};

const TOPICS: &[&str] = &["topic"];
const GROUPS: &[&str] = &["consumerGroup", "groupName", "group"];

/// The members of a kind of body that hold names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Members {
    topics: &'static [&'static str],
    groups: &'static [&'static str],
    /// The member whose keys are topics; empty for none.
    keyed_by_topic: &'static str,
}

const USUAL: Members = Members {
    topics: TOPICS,
    groups: GROUPS,
    keyed_by_topic: "",
};
const ACKS: Members = Members {
    topics: &["topic", "t"],
    groups: &["consumerGroup", "c"],
    keyed_by_topic: "",
};
const RUNNING_INFO: Members = Members {
    keyed_by_topic: "statusTable",
    ..USUAL
};

/// What the body of a client's request holds.
pub(super) fn of_request(code: Code) -> Option<Members> {
    match code {
        rq::HEART_BEAT
        | rq::LOCK_BATCH_MQ
        | rq::UNLOCK_BATCH_MQ
        | rq::CHECK_CLIENT_CONFIG
        | rq::QUERY_ASSIGNMENT => Some(USUAL),
        rq::BATCH_ACK_MESSAGE => Some(ACKS),
        _ => None,
    }
}

/// What the body of a broker's answer holds.
pub(super) fn of_answer(code: Code) -> Option<Members> {
    match code {
        rq::LOCK_BATCH_MQ | rq::QUERY_ASSIGNMENT | rq::GET_ROUTEINFO_BY_TOPIC => Some(USUAL),
        _ => None,
    }
}

/// What the body of a broker's request to its client holds.
pub(super) fn of_push(code: Code) -> Option<Members> {
    (code == rq::RESET_CONSUMER_CLIENT_OFFSET).then_some(USUAL)
}

/// What the body of a client's answer to its broker holds.
pub(super) fn of_push_answer(code: Code) -> Option<Members> {
    match code {
        rq::GET_CONSUMER_STATUS_FROM_CLIENT => Some(USUAL),
        rq::GET_CONSUMER_RUNNING_INFO => Some(RUNNING_INFO),
        _ => None,
    }
}

/// Replaces the names in the body; whether anything changed.
pub(super) fn translate(
    command: &mut Command,
    members: Members,
    translator: &mut Translator<'_>,
) -> Result<bool, NameError> {
    if command.body.is_empty() {
        return Ok(false);
    }
    // Clients write the topic itself, and which kind of retry topic is meant beside it: this is for those that do not.
    if members == ACKS && contains(&command.body, special::RETRY.as_bytes()) {
        translator.groups = groups(&command.body, members)?;
    }
    let new = replace_strings(&command.body, &mut |spot, text| match spot {
        Spot::Value(key) if is_one_of(key, members.topics) => translator.topic(text),
        Spot::Value(key) if is_one_of(key, members.groups) => translator.group(text),
        Spot::KeyIn(parent) if parent == members.keyed_by_topic && !parent.is_empty() => {
            translator.topic(text)
        }
        _ => Ok(None),
    })?;
    let Some(new) = new else { return Ok(false) };
    command.body = Bytes::from(new);
    Ok(true)
}

/// The groups that a body names.
fn groups(body: &[u8], members: Members) -> Result<Vec<String>, DecodeError> {
    let mut groups = Vec::new();
    replace_strings(body, &mut |spot, text| {
        if matches!(spot, Spot::Value(key) if is_one_of(key, members.groups))
            && !groups.iter().any(|group| group == text)
        {
            groups.push(text.to_owned());
        }
        Ok::<_, DecodeError>(None)
    })?;
    Ok(groups)
}

/// Whether fastjson would take `key` for one of these members: it looks neither at case nor at `_` and `-`.
fn is_one_of(key: &str, members: &[&str]) -> bool {
    let letters = || {
        let letters = key.bytes().filter(|b| !matches!(b, b'_' | b'-'));
        letters.map(|b| b.to_ascii_lowercase())
    };
    members
        .iter()
        .any(|member| letters().eq(member.bytes().map(|b| b.to_ascii_lowercase())))
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|window| window == wanted)
}
