//! Names of topics and groups as brokers know them, in place of those the client uses, wherever a name travels.
//!
//! | where | what is mapped |
//! |---|---|
//! | ext fields of every messaging code | topics, groups, default topics, properties of sends, recall handles |
//! | bodies of 34, 41, 42, 46, 400, 200151; answers to 41, 400, 105 | topics and groups, all other bytes kept |
//! | items of batch sends, stored messages in answers to 11, 361, 200050, 200052, 12, 33 | topic, and the properties that hold names |
//! | remarks of failures | the names of the request, as whole words |
//! | pushes 39, 40, 220, 221, 307, 309, 326, and answers to 221 and 307 | ext fields, messages, JSON bodies also with objects as map keys |
//!
//! Names inside other names are mapped where they are: `%RETRY%`, `%DLQ%` and `%LMQ%` stay in front. Both parts of a pop
//! retry topic are; the first form, `%RETRY%group_topic`, only where the group is said beside it, by the codes of pop and
//! by 309, and is taken for the retry topic of a group elsewhere.
//!
//! A name from a broker that is none of the client's (it lacks the prefix, or is in another's) keeps its form, since a
//! client that meets it, say as the group of whom it answers, must be able to say it back. Two codes find messages
//! without regard to their topic, 12 and 33: there, messages of others are taken out.
//!
//! Not mapped: the codes of admin tools, whose answers list what belongs to everybody (an operator who keeps tenants apart
//! does not allow them); filter expressions, tags and keys; what applications and trace hooks write into message bodies;
//! inner batches, whose items have the names of their record; client ids, broker and cluster names.

mod error;
mod fields;
mod json;
mod mapping;
mod records;
mod remark;
mod special;

use std::borrow::Cow;

pub use error::{NameError, Named};
pub use mapping::{Mapping, Reserved};

use mapping::Translator;

use crate::protocol::request as rq;
use crate::protocol::{Code, Command, response};

/// What must be known of a request to map the names in its answer; taken of the request as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Its code.
    pub code: Code,
    /// The topic it was about.
    pub topic: Option<&'a str>,
    /// The group it was about.
    pub group: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Of a client's request, not mapped yet.
    pub fn of(request: &'a Command) -> Self {
        Self {
            code: request.code,
            topic: fields::topic(request),
            group: fields::group(request),
        }
    }
}

/// Maps the names in a client's request; whether anything changed. After an error the command is mapped in part and
/// must not be forwarded: it is answered with code 13 and the text of the error.
pub fn request_to_broker(
    mapping: &Mapping,
    reserved: &Reserved<'_>,
    command: &mut Command,
) -> Result<bool, NameError> {
    if mapping.is_empty() {
        return Ok(false);
    }
    let mut translator = Translator::to_broker(mapping, reserved);
    if pops(command.code) {
        translator.groups = fields::group(command).map(str::to_owned).into_iter().collect();
    }
    let mut changed = fields::translate(command, fields::of_request(command), &translator)?;
    changed |= records::translate_batch(command, &translator)?;
    if let Some(members) = json::of_request(command.code) {
        changed |= json::translate(command, members, &mut translator)?;
    }
    Ok(changed)
}

/// Maps the names in a broker's answer to a request; whether anything changed. `mapping` is the one that the request was
/// mapped with. An error means that the answer cannot be read or does not fit; it shall not reach the client as it is.
pub fn response_to_client(
    mapping: &Mapping,
    reserved: &Reserved<'_>,
    asked: &Asked<'_>,
    command: &mut Command,
) -> Result<bool, NameError> {
    if mapping.is_empty() {
        return Ok(false);
    }
    let mut translator = Translator::to_client(mapping, reserved);
    let mut changed = fields::translate(command, fields::of_answer(asked.code), &translator)?;
    if command.code == response::SUCCESS {
        if let Some(members) = json::of_answer(asked.code) {
            changed |= json::translate(command, members, &mut translator)?;
        }
        if records::in_answer(asked.code) {
            let group = asked.group.filter(|_| pops(asked.code));
            let group = group.and_then(|group| mapping.group_at_broker(group).ok());
            translator.groups = group.map(Cow::into_owned).into_iter().collect();
            changed |= records::translate_answer(command, asked.code, &translator)?;
        }
    }
    changed |= remark::translate(command, asked, mapping, reserved);
    Ok(changed)
}

/// Maps the names in a broker's request to its client; whether anything changed. What is an error shall not go on.
pub fn push_to_client(
    mapping: &Mapping,
    reserved: &Reserved<'_>,
    command: &mut Command,
) -> Result<bool, NameError> {
    if mapping.is_empty() {
        return Ok(false);
    }
    let mut translator = Translator::to_client(mapping, reserved);
    if command.code == rq::CONSUME_MESSAGE_DIRECTLY {
        translator.groups = command
            .field("consumerGroup")
            .map(str::to_owned)
            .into_iter()
            .collect();
    }
    let mut changed = fields::translate(command, fields::of_push(command.code), &translator)?;
    if records::in_push(command.code) {
        changed |= records::translate_stored(command, &translator)?;
    }
    if let Some(members) = json::of_push(command.code) {
        changed |= json::translate(command, members, &mut translator)?;
    }
    Ok(changed)
}

/// Maps the names in a client's answer to a broker's request with code `push`; whether anything changed. What is an
/// error shall not go on as it is.
pub fn push_answer_to_broker(
    mapping: &Mapping,
    reserved: &Reserved<'_>,
    push: Code,
    command: &mut Command,
) -> Result<bool, NameError> {
    let is_wanted = !mapping.is_empty() && command.code == response::SUCCESS;
    let Some(members) = json::of_push_answer(push).filter(|_| is_wanted) else {
        return Ok(false);
    };
    json::translate(command, members, &mut Translator::to_broker(mapping, reserved))
}

/// Whether the codes of this family name retry topics of groups that pop.
fn pops(code: Code) -> bool {
    matches!(
        code,
        rq::POP_MESSAGE
            | rq::PEEK_MESSAGE
            | rq::ACK_MESSAGE
            | rq::CHANGE_MESSAGE_INVISIBLETIME
            | rq::NOTIFICATION
            | rq::POLLING_INFO
    )
}

#[cfg(test)]
mod tests;
