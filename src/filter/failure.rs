//! How a filter fails, and what that does to its command.

use std::fmt;
use std::time::Duration;

use super::Answer;
use crate::protocol::{Code, request as rq, response};

/// What the failure of a filter does to the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The command is answered with an error; a one-way command is forgotten.
    #[default]
    Closed,
    /// The command goes on as if the filter were not there.
    Open,
}

/// Why a filter gave no verdict that can be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It stopped in the middle: a panic, an exception, `unreachable`; with its last words if it had any.
    Trap(String),
    /// It used up its time.
    OverTime(Duration),
    /// It wanted more memory than it may have, bytes.
    OverMemory(usize),
    /// It called what the operator did not grant.
    NotGranted(String),
    /// It touched a body or messages without having asked for bodies; what it did.
    NoBody(String),
    /// It read messages that cannot be read, and would not have been told; why they cannot.
    Unreadable(String),
    /// Its verdict cannot be followed; what it was and what would be accepted.
    Impossible(String),
    /// It changed a signed command that nobody can sign again.
    Signed(String),
    /// What it changed does not make a command; why.
    Unwritable(String),
    /// It failed so often that it is left alone for this long.
    Resting(Duration),
    /// No instance could be made; why.
    NoInstance(String),
}

impl Failure {
    /// Its kind in counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::OverTime(_) => "over-time",
            Self::OverMemory(_) => "over-memory",
            Self::NotGranted(_) => "not-granted",
            Self::NoBody(_) => "no-body",
            Self::Unreadable(_) => "unreadable",
            Self::Impossible(_) => "impossible-verdict",
            Self::Signed(_) => "signed",
            Self::Unwritable(_) => "unwritable",
            Self::Resting(_) => "resting",
            Self::NoInstance(_) => "no-instance",
        }
    }

    /// The answer to a command whose filter failed closed: a code with which clients of this command neither try other
    /// brokers at once nor ask again in a storm.
    pub fn answer(&self, filter: &str, code: Code) -> Answer {
        let remark = format!("gimbal: filter {filter} failed: {self}");
        Answer::new(quiet_code(code), remark)
    }
}

/// The code with which a request that cannot go on is answered: clients neither try other brokers at once nor ask again
/// in a storm.
///
/// Producers try another broker after 1, 2, 14, 16 and 17, which would ask the same filter again: 13 is final for them.
/// Consumers wait their second after any error but 215.
pub fn quiet_code(code: Code) -> Code {
    match code {
        rq::SEND_MESSAGE
        | rq::SEND_MESSAGE_V2
        | rq::SEND_BATCH_MESSAGE
        | rq::SEND_REPLY_MESSAGE
        | rq::SEND_REPLY_MESSAGE_V2 => response::MESSAGE_ILLEGAL,
        _ => response::SYSTEM_ERROR,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(text) => write!(f, "it stopped: {text}"),
            Self::OverTime(budget) => write!(f, "it used up its time budget of {budget:?}"),
            Self::OverMemory(limit) => write!(f, "it wanted more than its memory limit of {limit} bytes"),
            Self::NotGranted(what) => write!(f, "it called {what}, which its grants do not include"),
            Self::NoBody(what) => write!(f, "it {what}, and none of its interests has needs-body"),
            Self::Unreadable(why) => write!(f, "it read messages that cannot be read: {why}"),
            Self::Impossible(what) => write!(f, "impossible verdict: {what}"),
            Self::Signed(what) => write!(
                f,
                "it {what}, and the client signed the command: that needs the client's key in the credentials file"
            ),
            Self::Unwritable(why) => write!(f, "what it changed makes no command: {why}"),
            Self::Resting(left) => write!(f, "it failed too often and rests for {left:?} more"),
            Self::NoInstance(why) => write!(f, "no instance could be made: {why}"),
        }
    }
}

impl std::error::Error for Failure {}
