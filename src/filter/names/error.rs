//! Why a name cannot be mapped.

use std::fmt;

use crate::protocol::DecodeError;
use crate::protocol::body::{BodyError, EditError};

/// Why a name, or a command with names in it, cannot be mapped. The text of those that a client causes is fit for a
/// remark: it names what the client wrote and never what brokers would have seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// A prefix or a name of the table holds a character that brokers do not allow.
    Character(String),
    /// A name of the table is empty.
    Empty,
    /// A name of the table belongs to the system, or is a retry or dead-letter topic, which follow their group.
    Special(String),
    /// Another name of the client is mapped to this name of the broker already.
    Taken(String),
    /// The table is full.
    Full,
    /// A name grows longer than brokers allow.
    TooLong {
        /// What is too long.
        what: Named,
        /// As the client calls it.
        name: String,
        /// Characters it would have at the broker.
        length: usize,
        /// Characters it may have there.
        limit: usize,
    },
    /// The client uses a name whose place at the broker another of its names has taken.
    Hidden(String),
    /// The names in a body cannot be found, because it cannot be read.
    Unreadable(DecodeError),
    /// The messages in a body cannot be read to its end.
    Messages(BodyError),
    /// The new names do not fit into a message.
    Message(EditError),
}

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A topic.
    Topic,
    /// A producer or consumer group.
    Group,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "topic",
            Self::Group => "group",
        })
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(name) => write!(
                f,
                "'{name}' has a character that names must not have: letters, digits, '_', '-', '%' and '|' are allowed"
            ),
            Self::Empty => f.write_str("a name must not be empty"),
            Self::Special(name) => write!(
                f,
                "'{name}' cannot be mapped: it is a name of the system, or follows the name of its group"
            ),
            Self::Taken(name) => write!(f, "another name is mapped to '{name}' already"),
            Self::Full => write!(
                f,
                "at most {} names can be mapped one by one",
                super::mapping::TABLE_LIMIT
            ),
            Self::TooLong {
                what,
                name,
                length,
                limit,
            } => write!(
                f,
                "the {what} '{name}' is too long for this connection: its full name has {length} characters, \
                 brokers allow {limit}"
            ),
            Self::Hidden(name) => write!(
                f,
                "the name '{name}' cannot be used on this connection: another name stands for the same thing"
            ),
            Self::Unreadable(error) => write!(f, "the names in the body cannot be read: {error}"),
            Self::Messages(error) => write!(f, "the messages in the body cannot be read: {error}"),
            Self::Message(error) => write!(
                f,
                "the names of this connection do not fit into a message: {error}"
            ),
        }
    }
}

impl std::error::Error for NameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Messages(error) => Some(error),
            Self::Message(error) => Some(error),
            _ => None,
        }
    }
}

impl From<DecodeError> for NameError {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<BodyError> for NameError {
    fn from(error: BodyError) -> Self {
        Self::Messages(error)
    }
}

impl From<EditError> for NameError {
    fn from(error: EditError) -> Self {
        Self::Message(error)
    }
}
