//! Frames: the length word, the header word, header bytes and body bytes; split and joined without copying bodies.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::{DecodeError, EncodeError};

/// Largest frame by default, bytes, length word included (`NettyDecoder.FRAME_MAX_LENGTH`).
pub const FRAME_LIMIT: usize = 16 << 20;

/// How the header of a frame is written. Each frame says so itself; a request and its answer may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Serialize type 0.
    Json,
    /// Serialize type 1, the binary form (`ROCKETMQ`).
    Binary,
}

/// One frame. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Length word, header word, header, and the body unless `tail` holds it.
    lead: Bytes,
    /// The body of a frame whose header was made anew.
    tail: Bytes,
    header_len: usize,
    kind: Kind,
}

/// Where the header starts.
const HEADER_AT: usize = 8;

impl Frame {
    /// Takes one frame from the front of `buf`; `Ok(None)` when it is not complete yet.
    pub fn split(buf: &mut BytesMut, limit: usize) -> Result<Option<Self>, DecodeError> {
        let Some((total, header_len, kind)) = Self::measure(buf, limit)? else {
            return Ok(None);
        };
        if buf.len() < total {
            return Ok(None);
        }
        let lead = if buf.len() == total {
            // Alone in its memory, which need not be shared with what comes after it.
            std::mem::take(buf).freeze()
        } else {
            buf.split_to(total).freeze()
        };
        Ok(Some(Self {
            lead,
            tail: Bytes::new(),
            header_len,
            kind,
        }))
    }

    /// The frame that `bytes` are, all of them and nothing else; `Ok(None)` when they are not one whole frame.
    pub fn whole(bytes: Bytes, limit: usize) -> Result<Option<Self>, DecodeError> {
        let measured = Self::measure(&bytes, limit)?;
        let frame = measured.filter(|(total, ..)| *total == bytes.len());
        Ok(frame.map(|(_, header_len, kind)| Self {
            lead: bytes,
            tail: Bytes::new(),
            header_len,
            kind,
        }))
    }

    /// Total bytes of the frame that `buf` begins with, when its first words are there.
    pub fn total(buf: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
        Ok(Self::measure(buf, limit)?.map(|(total, _, _)| total))
    }

    fn measure(buf: &[u8], limit: usize) -> Result<Option<(usize, usize, Kind)>, DecodeError> {
        let Some(word) = buf.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*word);
        let bad = DecodeError::Length { length, limit };
        let rest = usize::try_from(length).map_err(|_negative| bad)?;
        let total = rest
            .checked_add(4)
            .filter(|total| *total <= limit && rest >= 4)
            .ok_or(bad)?;
        let Some(&[kind, high, mid, low]) = buf.get(4..HEADER_AT).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let header_len = u32::from_be_bytes([0, high, mid, low]) as usize;
        if header_len > rest.saturating_sub(4) {
            return Err(DecodeError::HeaderLength {
                header: header_len,
                frame: rest,
            });
        }
        let kind = match kind {
            0 => Kind::Json,
            1 => Kind::Binary,
            other => return Err(DecodeError::SerializeType(other)),
        };
        Ok(Some((total, header_len, kind)))
    }

    /// Builds a frame from header bytes and a body; the body is shared, not copied.
    pub fn join(kind: Kind, header: &[u8], body: Bytes) -> Result<Self, EncodeError> {
        let header_word = u32::try_from(header.len())
            .ok()
            .filter(|len| *len < 1 << 24)
            .ok_or(EncodeError::TooLong)?;
        let total = header
            .len()
            .checked_add(body.len())
            .and_then(|n| n.checked_add(4))
            .ok_or(EncodeError::TooLong)?;
        let length = i32::try_from(total).map_err(|_wide| EncodeError::TooLong)?;
        let mut lead = BytesMut::with_capacity(HEADER_AT.saturating_add(header.len()));
        lead.put_i32(length);
        let type_bits = match kind {
            Kind::Json => 0,
            Kind::Binary => 1 << 24,
        };
        lead.put_u32(type_bits | header_word);
        lead.put_slice(header);
        Ok(Self {
            lead: lead.freeze(),
            tail: body,
            header_len: header.len(),
            kind,
        })
    }

    /// The frame of an empty JSON header: what stands for no command.
    pub fn bare() -> Self {
        Self {
            lead: Bytes::from_static(b"\0\0\0\x06\0\0\0\x02{}"),
            tail: Bytes::new(),
            header_len: 2,
            kind: Kind::Json,
        }
    }

    /// How the header is written.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The header bytes.
    pub fn header(&self) -> &[u8] {
        self.lead
            .get(HEADER_AT..HEADER_AT.saturating_add(self.header_len))
            .unwrap_or_default()
    }

    /// A part of the header as bytes of its own; nothing is copied.
    pub(super) fn share(&self, part: &[u8]) -> Bytes {
        self.lead.slice_ref(part)
    }

    /// Text of the header as text of its own; copied only when it is not what stands there.
    pub(super) fn share_text(&self, text: Cow<'_, str>) -> ByteString {
        match text {
            Cow::Borrowed(part) => ByteString::try_from(self.share(part.as_bytes())).unwrap_or_default(),
            Cow::Owned(text) => text.into(),
        }
    }

    /// The body as bytes to look at.
    pub fn body(&self) -> &[u8] {
        if self.tail.is_empty() {
            self.lead
                .get(HEADER_AT.saturating_add(self.header_len)..)
                .unwrap_or_default()
        } else {
            &self.tail
        }
    }

    /// The body as a shared slice.
    pub fn body_bytes(&self) -> Bytes {
        if self.tail.is_empty() {
            self.lead.slice_ref(self.body())
        } else {
            self.tail.clone()
        }
    }

    /// The same frame around another body; the header keeps its bytes.
    pub fn with_body(&self, body: Bytes) -> Result<Self, EncodeError> {
        Self::join(self.kind, self.header(), body)
    }

    /// The same in memory of its own.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self {
            lead: Bytes::copy_from_slice(&self.lead),
            tail: Bytes::copy_from_slice(&self.tail),
            ..*self
        }
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.lead.len().saturating_add(self.tail.len())
    }

    /// Never true: a frame has at least its two words.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The pieces to write, in order; the second may be empty.
    pub fn into_chunks(self) -> [Bytes; 2] {
        [self.lead, self.tail]
    }

    /// The wire form in one piece; copies when the body is separate.
    pub fn to_bytes(&self) -> Bytes {
        if self.tail.is_empty() {
            return self.lead.clone();
        }
        let mut all = BytesMut::with_capacity(self.len());
        all.put_slice(&self.lead);
        all.put_slice(&self.tail);
        all.freeze()
    }
}
