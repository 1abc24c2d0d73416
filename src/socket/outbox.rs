//! Frames on their way to one socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use super::Stream;
use crate::protocol::Frame;
use bytes::{Buf, Bytes};

/// Pieces given to one vectored write.
const SLICES: usize = 64;

/// What became of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Everything is written.
    Done,
    /// The socket takes no more for now.
    Blocked,
}

/// The write side of one socket: frames leave in the order they were pushed.
#[derive(Debug, Default)]
pub struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes that the stream has taken so far.
    written: u64,
    /// Bytes pushed since somebody asked.
    pushed: usize,
    /// The stream has taken bytes that its socket has not.
    is_held: bool,
}

impl Outbox {
    /// Queues a frame.
    pub fn push(&mut self, frame: Frame) {
        self.bytes = self.bytes.saturating_add(frame.len());
        self.pushed = self.pushed.saturating_add(frame.len());
        for chunk in frame.into_chunks() {
            if !chunk.is_empty() {
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Bytes pushed since this was asked last.
    pub fn take_pushed(&mut self) -> usize {
        std::mem::take(&mut self.pushed)
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Bytes that have left.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether nothing waits, in the stream either.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && !self.is_held
    }

    /// Writes as much as the socket takes without waiting.
    pub fn flush(&mut self, socket: &Stream) -> io::Result<Progress> {
        while let Some(first) = self.chunks.front() {
            let written = if self.chunks.len() == 1 {
                socket.try_write(first)
            } else {
                self.write_several(socket)
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.consume(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) => return Err(error),
            }
        }
        if self.chunks.capacity() > SLICES {
            self.chunks = VecDeque::new();
        }
        let progress = socket.try_flush()?;
        self.is_held = progress == Progress::Blocked;
        Ok(progress)
    }

    fn write_several(&self, socket: &Stream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0_usize;
        for (slot, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slot = IoSlice::new(chunk);
            used = used.saturating_add(1);
        }
        socket.try_write_vectored(slices.get(..used).unwrap_or_default())
    }

    fn consume(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.written = self.written.saturating_add(written as u64);
        while let Some(front) = self.chunks.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written = written.saturating_sub(front.len());
            self.chunks.pop_front();
        }
    }
}
