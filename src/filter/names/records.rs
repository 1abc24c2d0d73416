//! Names in messages: the topic that a message is stored under, and the properties of any message that hold names.

use super::error::NameError;
use super::fields::Holds;
use super::mapping::Translator;
use super::special;
use crate::protocol::body::{BatchItem, Properties, StoredMessage};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, response};

/// Properties that hold names (`MessageConst`).
const PROPERTIES: [(&str, Holds); 6] = [
    ("PGROUP", Holds::Group),
    ("ORIGIN_GROUP", Holds::Group),
    ("RETRY_TOPIC", Holds::Topic),
    (REAL_TOPIC, Holds::Topic),
    ("DLQ_ORIGIN_TOPIC", Holds::Topic),
    ("INNER_MULTI_DISPATCH", Holds::Topics),
];
/// The topic of a message that waits in a topic of the system.
const REAL_TOPIC: &str = "REAL_TOPIC";

/// Whether the body of a successful answer to this code is made of stored messages.
pub(super) fn in_answer(code: Code) -> bool {
    is_lookup(code)
        || matches!(
            code,
            rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE | rq::POP_MESSAGE | rq::PEEK_MESSAGE
        )
}

/// Whether the body of a broker's request is made of stored messages.
pub(super) fn in_push(code: Code) -> bool {
    matches!(code, rq::CHECK_TRANSACTION_STATE | rq::CONSUME_MESSAGE_DIRECTLY)
}

/// Codes that find messages by where they are or by a hash, not by their topic.
fn is_lookup(code: Code) -> bool {
    matches!(code, rq::QUERY_MESSAGE | rq::VIEW_MESSAGE_BY_ID)
}

/// Replaces the names in a property string; `None` when nothing changed.
pub(super) fn properties(text: &str, translator: &Translator<'_>) -> Result<Option<String>, NameError> {
    let mut properties = Properties::new(text);
    edit(&mut properties, translator)?;
    Ok(properties.is_changed().then(|| properties.as_str().to_owned()))
}

/// Replaces the names in the items of a batch send; whether anything changed.
pub(super) fn translate_batch(command: &mut Command, translator: &Translator<'_>) -> Result<bool, NameError> {
    let flag = match command.code {
        rq::SEND_MESSAGE | rq::SEND_REPLY_MESSAGE => "batch",
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2 => "m",
        _ => return Ok(false),
    };
    let is_batch = command
        .field(flag)
        .is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if !is_batch {
        return Ok(false);
    }
    let mut items = BatchItem::decode_all(&command.body)?;
    for item in &mut items {
        edit(item.properties_mut(), translator)?;
    }
    let is_changed = items.iter().any(BatchItem::is_changed);
    if is_changed {
        command.body = BatchItem::encode_all(&items)?;
    }
    Ok(is_changed)
}

/// Replaces the names in stored messages; whether anything changed.
pub(super) fn translate_stored(
    command: &mut Command,
    translator: &Translator<'_>,
) -> Result<bool, NameError> {
    let mut messages = StoredMessage::decode_all(&command.body)?;
    translate_each(&mut messages, translator)?;
    let is_changed = messages.iter().any(StoredMessage::is_changed);
    if is_changed {
        command.body = StoredMessage::encode_all(&messages)?;
    }
    Ok(is_changed)
}

/// The same in the answer to a request of this code. Lookups may find messages of other clients: they are taken out.
pub(super) fn translate_answer(
    command: &mut Command,
    code: Code,
    translator: &Translator<'_>,
) -> Result<bool, NameError> {
    if !is_lookup(code) || command.body.is_empty() {
        return translate_stored(command, translator);
    }
    let mut messages = StoredMessage::decode_all(&command.body)?;
    let found = messages.len();
    messages.retain(|message| is_own(message, translator));
    if messages.is_empty() {
        let (code, remark) = match code {
            rq::VIEW_MESSAGE_BY_ID => (response::SYSTEM_ERROR, "no message of this client has this id"),
            _ => (
                response::QUERY_NOT_FOUND,
                "no message of this client has this key",
            ),
        };
        command.code = code;
        command.remark = Some(remark.into());
        command.body.clear();
        return Ok(true);
    }
    translate_each(&mut messages, translator)?;
    let is_changed = messages.len() < found || messages.iter().any(StoredMessage::is_changed);
    if is_changed {
        command.body = StoredMessage::encode_all(&messages)?;
    }
    Ok(is_changed)
}

fn translate_each(messages: &mut [StoredMessage], translator: &Translator<'_>) -> Result<(), NameError> {
    for message in messages {
        if let Some(topic) = translator.topic(message.topic())? {
            message.set_topic(&topic)?;
        }
        edit(message.properties_mut(), translator)?;
    }
    Ok(())
}

/// Whether a message stands in a topic of the client, or waits to get there.
fn is_own(message: &StoredMessage, translator: &Translator<'_>) -> bool {
    let real = message
        .properties()
        .find(REAL_TOPIC)
        .filter(|_| special::is_system_topic(message.topic()));
    translator.is_own_topic(real.unwrap_or(message.topic()))
}

fn edit(properties: &mut Properties, translator: &Translator<'_>) -> Result<(), NameError> {
    let mut changes = Vec::new();
    for (name, value) in properties.pairs() {
        let Some((name, holds)) = PROPERTIES.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        if let Some(new) = holds.translate(value, translator)? {
            changes.push((*name, new));
        }
    }
    // When a property occurs twice the last one counts, here as for whoever reads it.
    for (name, value) in changes {
        properties.set(name, &value)?;
    }
    Ok(())
}
