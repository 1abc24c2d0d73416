//! A reader that goes through a body from front to back and knows where it is.

use std::fmt;

use bytes::Bytes;

/// A body of messages does not parse to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyError {
    /// Bytes into the body.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {} of the body: {}", self.offset, self.what)
    }
}

impl std::error::Error for BodyError {}

/// Where reading stands.
pub(super) struct Cursor<'a> {
    body: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a Bytes) -> Self {
        Self { body, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    pub(super) fn error(&self, what: &'static str) -> BodyError {
        BodyError {
            offset: self.at,
            what,
        }
    }

    /// What was read since `start`.
    pub(super) fn since(&self, start: usize) -> Bytes {
        self.body.slice(start.min(self.at)..self.at)
    }

    /// The next `len` bytes, shared with the body.
    pub(super) fn take(&mut self, len: usize) -> Result<Bytes, BodyError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.body.len());
        let Some(end) = end else {
            return Err(self.error("the body ends within a message"));
        };
        let taken = self.body.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], BodyError> {
        let chunk = self.body.get(self.at..).and_then(<[u8]>::first_chunk);
        let Some(chunk) = chunk else {
            return Err(self.error("the body ends within a message"));
        };
        self.at = self.at.saturating_add(N);
        Ok(*chunk)
    }

    pub(super) fn byte(&mut self) -> Result<u8, BodyError> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    pub(super) fn word(&mut self) -> Result<i32, BodyError> {
        self.chunk().map(i32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Result<i64, BodyError> {
        self.chunk().map(i64::from_be_bytes)
    }

    /// A length of four bytes, and so many bytes.
    pub(super) fn sized(&mut self) -> Result<Bytes, BodyError> {
        let start = self.at;
        let len = usize::try_from(self.word()?).map_err(|_negative| BodyError {
            offset: start,
            what: "a negative length",
        })?;
        self.take(len)
    }

    /// A length of two bytes, and so many bytes.
    pub(super) fn short_sized(&mut self) -> Result<Bytes, BodyError> {
        let start = self.at;
        let len = self.chunk().map(i16::from_be_bytes)?;
        let len = usize::try_from(len).map_err(|_negative| BodyError {
            offset: start,
            what: "a negative length",
        })?;
        self.take(len)
    }
}

/// Most messages in one body: far more than any pull or batch holds, and few enough to be kept in memory.
pub(super) const MOST_MESSAGES: usize = 1 << 16;

/// Reads messages with `one` until the body ends.
pub(super) fn all<T>(
    body: &Bytes,
    one: impl Fn(&mut Cursor<'_>) -> Result<T, BodyError>,
) -> Result<Vec<T>, BodyError> {
    let mut cursor = Cursor::new(body);
    let mut messages = Vec::new();
    while !cursor.is_at_end() {
        if messages.len() >= MOST_MESSAGES {
            return Err(cursor.error("more than 65536 messages"));
        }
        messages.push(one(&mut cursor)?);
    }
    Ok(messages)
}
