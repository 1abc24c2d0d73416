//! Why the messages of a command cannot be read, changed or taken out.

use std::fmt;

use crate::protocol::body::{BodyError, CompressionError, EditError};

/// What went wrong, with the number of the message where it is about one. What was asked for did not happen; everything
/// done before stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageError {
    /// The body of the command is not what its code and fields say.
    Body(BodyError),
    /// There is no such message, or it was taken out.
    NoMessage {
        /// The number asked for.
        index: usize,
        /// How many messages the command came with.
        count: usize,
    },
    /// The change would not be read back.
    Edit {
        /// Which message.
        index: usize,
        /// What its encoding cannot take.
        why: EditError,
    },
    /// The body cannot be decompressed or compressed.
    Compression {
        /// Which message.
        index: usize,
        /// What its algorithm says.
        why: CompressionError,
    },
    /// A body without bytes: producers refuse to send one, and consumers in Java see null.
    EmptyBody {
        /// Which message.
        index: usize,
    },
    /// The message cannot be taken out.
    Kept {
        /// Which message.
        index: usize,
        /// Why not.
        why: Keep,
    },
    /// The body of the command would be larger than a frame.
    TooLarge {
        /// Bytes it would have.
        bytes: usize,
        /// Most bytes.
        limit: usize,
    },
}

/// Why a message cannot be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is all that the send carries.
    LastOfSend,
    /// It was pushed by a broker that waits for what becomes of it.
    Pushed,
    /// Its consumer asked for this one by its id.
    Viewed,
    /// The next of an ordered pop are held back until it is acknowledged by its consumer.
    OrderedPop,
    /// The answer to the pop does not say how it is acknowledged.
    NoHandle,
    /// It is in several queues (`INNER_MULTI_DISPATCH`), and the pop may have been of any of them.
    SeveralQueues,
    /// It is a batch that its consumer splits: there is no one handle for it.
    InnerBatch,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LastOfSend => "a send must keep a message: answer it instead",
            Self::Pushed => "a broker pushed it and waits for what becomes of it",
            Self::Viewed => "it was asked for by its id: answer the request instead",
            Self::OrderedPop => "the pop is ordered, and only its consumer may acknowledge",
            Self::NoHandle => {
                "the answer to the pop does not say how to acknowledge it: its offsets and its messages differ"
            }
            Self::SeveralQueues => "it is in several queues (INNER_MULTI_DISPATCH), and was popped from one of them",
            Self::InnerBatch => "it is a batch that its consumer splits (sysFlag 0xC0)",
        })
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(error) => write!(f, "the messages cannot be read: {error}"),
            Self::NoMessage { index, count } => {
                write!(
                    f,
                    "there is no message {index}: of {count}, numbered from 0, it is none or taken out"
                )
            }
            Self::Edit { index, why } => write!(f, "message {index}: {why}"),
            Self::Compression { index, why } => write!(f, "the body of message {index}: {why}"),
            Self::EmptyBody { index } => {
                write!(
                    f,
                    "the body of message {index} must have at least one byte: consumers read none as null"
                )
            }
            Self::Kept { index, why } => write!(f, "message {index} cannot be removed: {why}"),
            Self::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "the command's body would have {bytes} bytes; at most {limit} fit a frame"
                )
            }
        }
    }
}

impl std::error::Error for MessageError {}

impl From<BodyError> for MessageError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}
