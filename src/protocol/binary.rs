//! The binary header: fixed fields, a remark, and length-prefixed ext entries (`RocketMQSerializable`).

use bytes::BufMut;

use super::command::{Field, Text};
use super::entries::Parts;
use super::unescape::text as plain;
use super::{Command, DecodeError, EncodeError, Frame, Kind};

/// Decodes the header of a binary frame into `Command` fields.
pub(super) fn decode(frame: &Frame) -> Result<Command, DecodeError> {
    let parts = Parts::read(frame.header())?;
    let mut ext = Vec::new();
    for entry in parts.entries() {
        let (key, value) = entry?;
        ext.push(Field {
            name: frame.share_text(plain(key)),
            value: text(frame, value),
        });
    }
    let mut command = Command::binary(parts.code, parts.opaque);
    command.language = parts.language;
    command.version = parts.version;
    command.flag = parts.flag;
    command.remark = (!parts.remark.is_empty()).then(|| text(frame, parts.remark));
    command.ext = (!parts.ext.is_empty()).then_some(ext);
    command.body = frame.body_bytes();
    Ok(command)
}

/// Text that keeps the bytes it came from when they are not UTF-8.
fn text(frame: &Frame, raw: &[u8]) -> Text {
    Text::kept(frame.share_text(plain(raw)), Kind::Binary, frame.share(raw))
}

/// Writes the header of `command` in binary form.
pub(super) fn encode(command: &Command) -> Result<Vec<u8>, EncodeError> {
    let code = i16::try_from(command.code.0).map_err(|_wide| EncodeError::CodeTooWide(command.code.0))?;
    let mut out = Vec::with_capacity(256);
    out.put_i16(code);
    out.put_u8(command.language.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the field has 16 bits, as in Java"
    )]
    out.put_i16(command.version as i16);
    out.put_i32(command.opaque);
    out.put_i32(command.flag);
    put_sized(&mut out, command.remark.as_ref().map_or(&[], Text::bytes))?;
    let mut ext = Vec::new();
    for field in command.ext.iter().flatten() {
        ext.put_i16(i16::try_from(field.name.len()).map_err(|_long| EncodeError::TooLong)?);
        ext.put_slice(field.name.as_bytes());
        put_sized(&mut ext, field.value.bytes())?;
    }
    put_sized(&mut out, &ext)?;
    Ok(out)
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    out.put_i32(i32::try_from(bytes.len()).map_err(|_long| EncodeError::TooLong)?);
    out.put_slice(bytes);
    Ok(())
}
