//! Bytes read from one socket, cut into frames.

use std::io;

use super::Stream;
use crate::protocol::{DecodeError, Frame};
use bytes::BytesMut;

/// First read of a quiet connection, bytes: most commands fit.
const SMALL_READ: usize = 4 << 10;
/// Largest single read, bytes, unless one frame needs more.
const LARGE_READ: usize = 64 << 10;

/// Why a stream ended.
#[derive(Debug)]
pub enum ReadError {
    /// The peer closed its side.
    Closed,
    /// The socket failed.
    Io(io::Error),
    /// The bytes are not frames; they cannot be skipped.
    Decode(DecodeError),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the peer"),
            Self::Io(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// The read side of one socket. Holds no memory while the peer is silent between frames.
#[derive(Debug)]
pub struct Inbox {
    buffer: BytesMut,
    next_read: usize,
    limit: usize,
}

impl Inbox {
    /// An inbox that refuses frames above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            next_read: SMALL_READ,
            limit,
        }
    }

    /// An inbox that begins with bytes already read.
    pub fn with_bytes(limit: usize, bytes: BytesMut) -> Self {
        Self {
            buffer: bytes,
            ..Self::new(limit)
        }
    }

    /// Reads once without waiting; whether anything was there.
    pub fn fill(&mut self, socket: &Stream) -> Result<bool, ReadError> {
        let missing = match Frame::total(&self.buffer, self.limit)? {
            Some(total) => total.saturating_sub(self.buffer.len()),
            None => 0,
        };
        let room = self.next_read.max(missing);
        self.buffer.reserve(room);
        match socket.try_read_buf(&mut self.buffer) {
            Ok(0) => Err(ReadError::Closed),
            Ok(read) => {
                self.next_read = if read >= self.next_read {
                    self.next_read.saturating_mul(4).min(LARGE_READ)
                } else {
                    SMALL_READ
                };
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.release();
                Ok(false)
            }
            Err(error) => Err(ReadError::Io(error)),
        }
    }

    /// Reads and forgets; whether the peer may say more.
    pub fn discard(&mut self, socket: &Stream) -> bool {
        self.buffer.clear();
        self.buffer.reserve(SMALL_READ);
        match socket.try_read_buf(&mut self.buffer) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// The next complete frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        let frame = Frame::split(&mut self.buffer, self.limit)?;
        if frame.is_none() {
            self.release();
        }
        Ok(frame)
    }

    /// Gives the memory back when nothing is in it.
    fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}
