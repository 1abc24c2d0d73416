//! Why a message cannot be changed as asked.

use std::fmt;

use super::properties::PROPERTIES_LIMIT;

/// A change that the encoding of a message, or its readers, cannot take. The message stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// A property without a name or a value: readers skip it.
    EmptyProperty,
    /// A property's name or value holds one of the two separators.
    PropertySeparator,
    /// All properties together are longer than their length field can say.
    PropertiesTooLong {
        /// Bytes they would have.
        bytes: usize,
    },
    /// A topic that is empty or longer than the record's topic length can say.
    TopicLength {
        /// Bytes it would have.
        bytes: usize,
        /// Most bytes in this record.
        limit: usize,
    },
    /// A body, and with it the message, that is longer than its length field can say.
    BodyTooLong {
        /// Bytes it would have.
        bytes: usize,
    },
    /// The message is a batch that its consumer splits.
    InnerBatch,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyProperty => f.write_str("a property's name and value must not be empty"),
            Self::PropertySeparator => {
                f.write_str("a property's name and value must not hold U+0001 or U+0002")
            }
            Self::PropertiesTooLong { bytes } => write!(
                f,
                "the properties would have {bytes} bytes; all together have at most {PROPERTIES_LIMIT}"
            ),
            Self::TopicLength { bytes, limit } => {
                write!(
                    f,
                    "a topic of {bytes} bytes does not fit this record: 1 to {limit} do"
                )
            }
            Self::BodyTooLong { bytes } => {
                write!(f, "a body of {bytes} bytes does not fit a message")
            }
            Self::InnerBatch => f.write_str(
                "it is a batch stored as one message (sysFlag 0xC0), whose body only its consumer splits",
            ),
        }
    }
}

impl std::error::Error for EditError {}
