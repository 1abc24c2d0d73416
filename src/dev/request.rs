//! A request as the handlers see it, and what they may say to it.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::connection::Peer;
use crate::protocol::{Code, Command, Fields, Frame, Head, Kind, request, response};

/// The version ordinal of a 5.5.0 server.
const SERVER_VERSION: i32 = 513;
/// Where remarks send their readers (`FAQUrl`).
pub(super) const SEE_FAQ: &str =
    "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

/// One request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The frame it came in.
    pub(super) frame: &'a Frame,
    /// Its head.
    pub(super) head: &'a Head,
    /// Its ext fields.
    pub(super) fields: Fields<'a>,
    /// Who sent it.
    pub(super) peer: &'a Arc<Peer>,
    /// Whether it may be answered later; otherwise an answer is due at once.
    pub(super) may_wait: bool,
}

/// What becomes of a request.
pub(super) enum Reply {
    /// This answer.
    Now(Command),
    /// An answer that must be waited for; dropped when the client goes.
    Later(Pin<Box<dyn Future<Output = Command> + Send>>),
}

/// A failure: code and remark of the answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) remark: String,
}

/// What a handler returns.
pub(super) type Outcome = Result<Reply, Refusal>;

/// Fails with this code and remark.
pub(super) fn refuse<T>(code: Code, remark: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        remark: remark.into(),
    })
}

impl<'a> Request<'a> {
    /// An ext field that must be there; a real broker stumbles over a missing one with code 1.
    pub(super) fn text(&self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        self.fields
            .find(name)
            .map_or_else(|| refuse(response::SYSTEM_ERROR, missing(name)), Ok)
    }

    /// An ext field that must be there and a number.
    pub(super) fn int<T: FromStr>(&self, name: &str) -> Result<T, Refusal> {
        self.fields
            .int(name)
            .map_or_else(|| refuse(response::SYSTEM_ERROR, missing(name)), Ok)
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(self.frame.body())
            .or_else(|error| refuse(response::SYSTEM_ERROR, format!("body: {error}")))
    }

    /// An answer with this code.
    pub(super) fn answer(&self, code: Code) -> Command {
        answer(self.head, code)
    }

    /// Success without more; an [`Outcome`] so that handlers end with it.
    #[expect(clippy::unnecessary_wraps, reason = "the last word of handlers that may fail")]
    pub(super) fn done(&self) -> Outcome {
        Ok(Reply::Now(self.answer(response::SUCCESS)))
    }

    /// Success with these fields.
    #[expect(clippy::unnecessary_wraps, reason = "the last word of handlers that may fail")]
    pub(super) fn done_with(&self, fields: &[(&str, &dyn fmt::Display)]) -> Outcome {
        let answer = fields
            .iter()
            .fold(self.answer(response::SUCCESS), |answer, (name, value)| {
                answer.with_field(name, value.to_string())
            });
        Ok(Reply::Now(answer))
    }

    /// The answer of a failure.
    pub(super) fn refused(&self, refusal: Refusal) -> Command {
        self.answer(refusal.code).with_remark(refusal.remark)
    }

    /// What a server says to a code that it does not know.
    pub(super) fn unknown(&self) -> Outcome {
        refuse(
            response::REQUEST_CODE_NOT_SUPPORTED,
            format!(" request type {} not supported", self.head.code),
        )
    }
}

/// An answer to the request with this head. Real servers answer in their own serialisation, JSON.
pub(super) fn answer(head: &Head, code: Code) -> Command {
    let mut answer = Command::answer(head, Kind::Json, code);
    answer.version = SERVER_VERSION;
    answer
}

/// A request of the broker's own.
pub(super) fn own_request(code: Code) -> Command {
    let mut command = Command::request(code, 0);
    command.version = SERVER_VERSION;
    command
}

/// The push that tells a group's members to look again who they are.
pub(super) fn ids_changed(group: &str) -> Command {
    own_request(request::NOTIFY_CONSUMER_IDS_CHANGED).with_field("consumerGroup", group)
}

fn missing(name: &str) -> String {
    format!("the custom field <{name}> is null")
}
