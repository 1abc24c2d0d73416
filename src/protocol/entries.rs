//! A small reader of binary headers: slices of the fixed fields and of the ext entries; it builds nothing.

use std::ops::Range;

use bytes::Buf;

use super::{Code, DecodeError, Language};

/// Where the opaque stands.
pub(super) const OPAQUE_AT: Range<usize> = 5..9;

/// The fields of a binary header, as slices.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) code: Code,
    pub(super) language: Language,
    pub(super) version: i32,
    pub(super) opaque: i32,
    pub(super) flag: i32,
    pub(super) remark: &'a [u8],
    pub(super) ext: &'a [u8],
    pub(super) ext_at: Range<usize>,
}

impl<'a> Parts<'a> {
    pub(super) fn read(header: &'a [u8]) -> Result<Self, DecodeError> {
        let early = |_short| DecodeError::Binary("it ends early");
        let mut at = header;
        let code = Code(i32::from(at.try_get_i16().map_err(early)?));
        let language = Language(at.try_get_u8().map_err(early)?);
        let version = i32::from(at.try_get_i16().map_err(early)?);
        let opaque = at.try_get_i32().map_err(early)?;
        let flag = at.try_get_i32().map_err(early)?;
        let remark = sized(&mut at)?;
        // Unlike the remark's, a negative length here means none (`RocketMQSerializable`).
        let ext_len = at.try_get_i32().map_err(early)?;
        let ext = take(&mut at, usize::try_from(ext_len).unwrap_or(0))?;
        let end = header.len().saturating_sub(at.len());
        let ext_at = end.saturating_sub(ext.len())..end;
        Ok(Self {
            code,
            language,
            version,
            opaque,
            flag,
            remark,
            ext,
            ext_at,
        })
    }

    pub(super) fn entries(&self) -> Entries<'a> {
        Entries::new(self.ext)
    }
}

/// A slice prefixed by an `i32` length.
fn sized<'a>(at: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = at
        .try_get_i32()
        .map_err(|_short| DecodeError::Binary("it ends early"))?;
    take(
        at,
        usize::try_from(len).map_err(|_negative| DecodeError::Binary("a negative length"))?,
    )
}

fn take<'a>(at: &mut &'a [u8], len: usize) -> Result<&'a [u8], DecodeError> {
    let (front, rest) = at
        .split_at_checked(len)
        .ok_or(DecodeError::Binary("a length beyond the header"))?;
    *at = rest;
    Ok(front)
}

/// The ext entries, one by one.
#[derive(Debug, Clone)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(super) fn new(ext: &'a [u8]) -> Self {
        Self { rest: ext }
    }

    fn entry(&mut self) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        let len = self
            .rest
            .try_get_i16()
            .map_err(|_short| DecodeError::Binary("an entry ends early"))?;
        let len = usize::try_from(len).map_err(|_negative| DecodeError::Binary("a negative key length"))?;
        let key = take(&mut self.rest, len)?;
        Ok((key, sized(&mut self.rest)?))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}
