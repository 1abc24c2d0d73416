//! Bytes read from one socket, cut into frames.

use std::cell::RefCell;
use std::io;

use super::{LARGE_FRAME, Reservation, Stream};
use crate::protocol::{DecodeError, Frame};
use bytes::BytesMut;

/// Bytes of one read, unless one frame needs more.
const READ: usize = 64 << 10;

thread_local! {
    /// Where a thread reads to. What came is copied into memory of its own size: a frame that waits somewhere holds no
    /// more than the read it came with, and a connection that is silent holds nothing.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

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
///
/// Large frames have a buffer of their own, which grows with the bytes that have come, not with those announced.
#[derive(Debug)]
pub struct Inbox {
    buffer: BytesMut,
    limit: usize,
    /// Large frames wait for [`Inbox::grant`].
    reserves: bool,
    large: Option<Box<Large>>,
}

/// A large frame of which something is missing.
#[derive(Debug)]
struct Large {
    total: usize,
    is_granted: bool,
    reservation: Option<Reservation>,
    bytes: BytesMut,
}

impl Large {
    /// Room for more bytes: at most four times what has come, and never more than the frame needs.
    fn grow(&mut self) {
        let len = self.bytes.len();
        if len < self.bytes.capacity() {
            return;
        }
        let room = len.saturating_mul(4).max(READ).min(self.total);
        let mut larger = BytesMut::with_capacity(room);
        larger.extend_from_slice(&self.bytes);
        self.bytes = larger;
    }
}

impl Inbox {
    /// An inbox that refuses frames above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
            reserves: false,
            large: None,
        }
    }

    /// An inbox that begins with bytes already read.
    pub fn with_bytes(limit: usize, bytes: BytesMut) -> Self {
        Self {
            buffer: bytes,
            ..Self::new(limit)
        }
    }

    /// The same; but of frames above [`LARGE_FRAME`] nothing more is read until [`Inbox::grant`].
    #[must_use]
    pub fn reserving(self) -> Self {
        Self {
            reserves: true,
            ..self
        }
    }

    /// Bytes to be reserved for the frame that has begun to come, before any more can be read.
    pub fn wants(&self) -> Option<usize> {
        let large = self.large.as_ref()?;
        (!large.is_granted).then_some(large.total)
    }

    /// Memory for the frame that [`Inbox::wants`] it. It is given back with the last of the frame's bytes.
    pub fn grant(&mut self, reservation: Reservation) {
        if let Some(large) = &mut self.large {
            large.is_granted = true;
            large.reservation = Some(reservation);
        }
    }

    /// Whether a frame has begun to come and is not complete.
    pub fn is_partial(&self) -> bool {
        self.large.is_some() || !self.buffer.is_empty()
    }

    /// Reads once without waiting; whether anything was there. Reads nothing while memory is wanted.
    pub fn fill(&mut self, socket: &Stream) -> Result<bool, ReadError> {
        if let Some(large) = &mut self.large {
            if !large.is_granted {
                return Ok(false);
            }
            if large.bytes.is_empty() {
                large.bytes = std::mem::take(&mut self.buffer);
            }
            large.grow();
            return had(socket.try_read_buf(&mut large.bytes));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let read = socket.try_read(scratch);
            if let Ok(count) = read {
                self.take(scratch.get(..count).unwrap_or_default());
            }
            had(read)
        })
    }

    /// Takes what was read; with room for all of the frame that it leaves unfinished, if that is one of the smaller.
    fn take(&mut self, bytes: &[u8]) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::from(bytes);
            return;
        }
        let total = match Frame::total(&self.buffer, self.limit) {
            Ok(Some(total)) => total.min(LARGE_FRAME),
            _ => 0,
        };
        let missing = total.saturating_sub(self.buffer.len());
        self.buffer.reserve(missing.max(bytes.len()));
        self.buffer.extend_from_slice(bytes);
    }

    /// Reads and forgets; whether the peer may say more.
    pub fn discard(&mut self, socket: &Stream) -> bool {
        SCRATCH.with_borrow_mut(|scratch| match socket.try_read(scratch) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        })
    }

    /// The next complete frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        if self.large.is_some() {
            return Ok(self.take_large()?);
        }
        let frame = Frame::split(&mut self.buffer, self.limit)?;
        if frame.is_none() {
            self.look_ahead()?;
        }
        Ok(frame)
    }

    /// What has come is no whole frame: nothing, or the beginning of a small or of a large one.
    fn look_ahead(&mut self) -> Result<(), DecodeError> {
        if self.buffer.is_empty() {
            self.release();
            return Ok(());
        }
        if let Some(total) = Frame::total(&self.buffer, self.limit)?
            && total > LARGE_FRAME
        {
            self.large = Some(Box::new(Large {
                total,
                is_granted: !self.reserves,
                reservation: None,
                bytes: BytesMut::new(),
            }));
        }
        Ok(())
    }

    fn take_large(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(mut large) = self.large.take_if(|large| large.bytes.len() >= large.total) else {
            return Ok(None);
        };
        // Its room ends where the frame does; should it not, what follows must not keep the frame's memory.
        let rest = large.bytes.split_off(large.total);
        if !rest.is_empty() {
            self.buffer = BytesMut::from(&rest[..]);
        }
        let bytes = large.bytes.freeze();
        let bytes = match large.reservation {
            Some(reservation) => reservation.keep_with(bytes),
            None => bytes,
        };
        Frame::whole(bytes, self.limit)
    }

    /// Gives the memory back when nothing is in it.
    fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

/// Whether a read found anything.
fn had(read: io::Result<usize>) -> Result<bool, ReadError> {
    match read {
        Ok(0) => Err(ReadError::Closed),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(ReadError::Io(error)),
    }
}
