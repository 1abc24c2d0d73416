//! An ext field set in the bytes of a header, without decoding the rest.

use std::ops::Range;

use super::head::Written;
use super::json::put_string;
use super::{Frame, Head, Kind};

impl Head {
    /// `frame`, from which this head was scanned, with `name` set to `value` in its place or behind the others, and its
    /// head; the rest keeps its bytes, and the body is shared. `None` where that takes more than one edit: decode it,
    /// then, and [set the field](super::Command::set_field) there.
    pub fn with_field(&self, frame: &Frame, name: &str, value: &str) -> Option<(Self, Frame)> {
        // That may be what is read of a name that is no UTF-8.
        if name.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let ext_at = self.ext_at.clone()?;
        let header = frame.header();
        let ext = header.get(ext_at.clone())?;
        let there = self.place_of(frame, ext, name)?;
        let added = name.len().saturating_add(value.len()).saturating_add(16);
        let mut edited = Vec::with_capacity(header.len().saturating_add(added));
        edited.extend_from_slice(header.get(..ext_at.start)?);
        match (frame.kind(), there) {
            (Kind::Json, Place::At(at)) => {
                edited.extend_from_slice(ext.get(..at.start)?);
                put_string(&mut edited, value);
                edited.extend_from_slice(ext.get(at.end..)?);
            }
            (Kind::Json, Place::Nowhere { is_first }) => {
                edited.extend_from_slice(ext.strip_suffix(b"}")?);
                if !is_first {
                    edited.push(b',');
                }
                put_string(&mut edited, name);
                edited.push(b':');
                put_string(&mut edited, value);
                edited.push(b'}');
            }
            (Kind::Binary, Place::At(at)) => {
                edited.extend_from_slice(ext.get(..at.start.checked_sub(4)?)?);
                edited.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
                edited.extend_from_slice(value.as_bytes());
                edited.extend_from_slice(ext.get(at.end..)?);
            }
            (Kind::Binary, Place::Nowhere { .. }) => {
                edited.extend_from_slice(ext);
                edited.extend_from_slice(&i16::try_from(name.len()).ok()?.to_be_bytes());
                edited.extend_from_slice(name.as_bytes());
                edited.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
                edited.extend_from_slice(value.as_bytes());
            }
        }
        let ext_end = edited.len();
        edited.extend_from_slice(header.get(ext_at.end..)?);
        if frame.kind() == Kind::Binary {
            // Their length stands before them.
            let length = i32::try_from(ext_end.checked_sub(ext_at.start)?).ok()?;
            let at = ext_at.start.checked_sub(4)?..ext_at.start;
            edited.get_mut(at)?.copy_from_slice(&length.to_be_bytes());
        }
        let mut head = self.clone();
        head.ext_at = Some(ext_at.start..ext_end);
        if let Some(opaque_at) = head.opaque_at.as_mut().filter(|at| at.start >= ext_at.end) {
            let len = opaque_at.len();
            let start = opaque_at.start.checked_sub(ext_at.end)?.checked_add(ext_end)?;
            *opaque_at = start..start.checked_add(len)?;
        }
        let frame = Frame::join(frame.kind(), &edited, frame.body_bytes()).ok()?;
        Some((head, frame))
    }

    /// Where the value of the last field of this name stands in the text of all; `None` where it cannot be replaced.
    fn place_of(&self, frame: &Frame, ext: &[u8], name: &str) -> Option<Place> {
        let mut place = Some(Place::Nowhere { is_first: true });
        self.fields(frame).each(&mut |there, value| {
            if there == name.as_bytes() {
                place = match value.0 {
                    // It may stand for taking back an earlier one.
                    Written::Json(raw) if raw.is_null() => None,
                    Written::Json(raw) => Some(Place::At(raw.range())),
                    Written::Binary(text) => Some(Place::At(super::index::within(ext, text))),
                };
            } else if let Some(Place::Nowhere { is_first }) = &mut place {
                *is_first = false;
            }
        });
        place
    }
}

/// Where a field is set.
enum Place {
    At(Range<usize>),
    /// Behind the others, if there are any.
    Nowhere {
        is_first: bool,
    },
}
