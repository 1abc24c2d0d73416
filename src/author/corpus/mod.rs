//! Recorded traffic as files: written within bounds, and read back as commands for a filter.
//!
//! What a line looks like is said in [`crate::filter::recorded`].

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::filter::Client;
use crate::filter::recorded::Direction;
use crate::protocol::{Command, DecodeError, EncodeError, Frame, Head};

pub use reader::Reader;
pub use writer::{Bounds, Summary, Writer};

/// One recorded command, as a filter is shown it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The line it stands on, from 1.
    pub line: usize,
    /// Time since the recording began.
    pub at: Duration,
    /// Which way it went.
    pub way: Direction,
    /// Who is at the other end.
    pub client: Arc<Client>,
    /// The broker that answered or asked.
    pub broker: Option<Arc<str>>,
    /// The command; its body is empty when bodies were not recorded.
    pub command: Command,
    /// Bytes that its body had.
    pub body_size: usize,
    /// Of a response: the request that it answers, without its body.
    pub asked: Option<Command>,
}

/// What a recording holds, line by line.
#[derive(Debug, Clone)]
pub enum Item {
    /// A command.
    Command(Box<Entry>),
    /// So many are missing here.
    LeftOut(u64),
}

/// What is wrong with a recording.
#[derive(Debug)]
pub enum CorpusError {
    /// It cannot be read.
    Io(io::Error),
    /// A line is not one of a recording.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
        /// What would be accepted.
        accepted: &'static str,
    },
}

impl fmt::Display for CorpusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
            Self::Line { line, what, accepted } => write!(f, "line {line}: {what}; accepted: {accepted}"),
        }
    }
}

impl std::error::Error for CorpusError {}

/// Why a recorded command cannot be framed again.
#[derive(Debug)]
pub enum FrameError {
    /// It is too long for its form.
    Encode(EncodeError),
    /// Its head cannot be found again.
    Decode(DecodeError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {}

impl Entry {
    /// The request that this is, or that it answers.
    pub fn request(&self) -> &Command {
        self.asked.as_ref().unwrap_or(&self.command)
    }

    /// A command as it is on the wire, with its head.
    pub fn framed(command: &Command) -> Result<(Head, Frame), FrameError> {
        let frame = command.encode().map_err(FrameError::Encode)?;
        let head = Head::scan(&frame).map_err(FrameError::Decode)?;
        Ok((head, frame))
    }
}
