//! What can be wrong with bytes from outside, and with a command that is to become bytes.

use std::fmt;

/// Why bytes are not a command. After any of these the stream cannot be trusted: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The length word is negative or larger than the limit.
    Length {
        /// The length word as read.
        length: i32,
        /// Largest accepted frame, bytes, length word included.
        limit: usize,
    },
    /// The header length exceeds the frame.
    HeaderLength {
        /// Bytes of header announced.
        header: usize,
        /// Bytes of the frame after its length word.
        frame: usize,
    },
    /// The serialize type is neither 0 (JSON) nor 1 (binary).
    SerializeType(u8),
    /// The JSON header does not parse; the offset is counted from the start of the header.
    Json {
        /// Bytes into the header.
        offset: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// The binary header ends early or holds an impossible length.
    Binary(&'static str),
    /// A body that Gimbal itself must understand does not parse.
    Body(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { length, limit } => {
                write!(
                    f,
                    "frame length {length} is outside 4..={}",
                    limit.saturating_sub(4)
                )
            }
            Self::HeaderLength { header, frame } => {
                write!(f, "header of {header} bytes does not fit a frame of {frame}")
            }
            Self::SerializeType(kind) => {
                write!(f, "serialize type {kind} is neither 0 (JSON) nor 1 (ROCKETMQ)")
            }
            Self::Json { offset, expected } => write!(f, "JSON header: expected {expected} at byte {offset}"),
            Self::Binary(what) => write!(f, "binary header: {what}"),
            Self::Body(what) => write!(f, "body: {what}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a command cannot become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// The binary header holds codes of 16 bits only.
    CodeTooWide(i32),
    /// A string, the header or the frame exceeds what its length field can say.
    TooLong,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CodeTooWide(code) => write!(f, "code {code} does not fit the binary header; use JSON"),
            Self::TooLong => f.write_str("the command is too long for its length fields"),
        }
    }
}

impl std::error::Error for EncodeError {}
