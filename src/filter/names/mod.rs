//! Names of topics and groups as brokers know them, in place of those the client uses, wherever a name travels.
//!
//! | where | what is mapped |
//! |---|---|
//! | ext fields of every messaging code | topics, groups, default topics, properties of sends, recall handles |
//! | bodies of 34, 41, 42, 46, 400, 200151; answers to 41, 400, 105 | topics and groups, all other bytes kept |
//! | remarks of failures | the names of the request, as whole words |
//! | pushes 39, 40, 220, 221, 307, 309, 326, and answers to 221 and 307 | ext fields, bodies, also JSON objects as map keys |
//!
//! Not mapped: the codes of admin tools, whose answers list what belongs to everybody (an operator who isolates tenants
//! does not allow them); filter expressions, tags and keys; what applications and trace hooks write into message bodies;
//! client ids, broker and cluster names. A name from a broker that is none of the client's keeps its form.

mod error;
mod fields;
mod json;
mod mapping;
mod remark;
mod special;

pub use error::{NameError, Named};
pub use mapping::{Mapping, Reserved};

use mapping::Translator;

use crate::protocol::request as rq;
use crate::protocol::{Code, Command};

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
    let mut changed = fields::translate(command, fields::of_request(command.code), &translator)?;
    if let Some(members) = json::of_request(command.code) {
        changed |= json::translate(command, members, &mut translator)?;
    }
    Ok(changed)
}

/// Maps the names in a broker's answer to a request; whether anything changed.
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
    if let Some(members) = json::of_answer(asked.code) {
        changed |= json::translate(command, members, &mut translator)?;
    }
    changed |= remark::translate(command, asked, mapping, reserved);
    Ok(changed)
}

/// Maps the names in a broker's request to its client; whether anything changed.
pub fn push_to_client(
    mapping: &Mapping,
    reserved: &Reserved<'_>,
    command: &mut Command,
) -> Result<bool, NameError> {
    if mapping.is_empty() {
        return Ok(false);
    }
    let mut translator = Translator::to_client(mapping, reserved);
    let mut changed = fields::translate(command, fields::of_push(command.code), &translator)?;
    if let Some(members) = json::of_push(command.code) {
        changed |= json::translate(command, members, &mut translator)?;
    }
    Ok(changed)
}

/// Maps the names in a client's answer to a broker's request with code `push`; whether anything changed.
pub fn push_answer_to_broker(
    mapping: &Mapping,
    reserved: &Reserved<'_>,
    push: Code,
    command: &mut Command,
) -> Result<bool, NameError> {
    let Some(members) = json::of_push_answer(push).filter(|_| !mapping.is_empty()) else {
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
