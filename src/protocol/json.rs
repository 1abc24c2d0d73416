//! The JSON header: decoded leniently, encoded in the order and spelling it came in, or as fastjson writes it.

use std::borrow::Cow;

use super::command::{Field, Form, Slot, Text};
use super::scan::{Key, Raw, Scanner};
use super::unescape::text;
use super::{Code, Command, DecodeError, Frame, Kind, Language};

/// Decodes the header of a JSON frame.
pub(super) fn decode(frame: &Frame) -> Result<Command, DecodeError> {
    let mut command = Command::json(Code(0), 0);
    let mut layout = Vec::new();
    command.language = Language::JAVA;
    command.version = 0;
    let mut scanner = Scanner::new(frame.header());
    scanner.members(&mut |scanner, key| {
        // In place, as `Head::scan` reads them: what one of the two takes, the other takes.
        let slot = if scanner.peek() == Some(b'{') && *key.name() == *b"extFields" {
            command.ext = Some(ext(frame, scanner)?);
            Slot::Ext
        } else {
            let value = scanner.value()?;
            member(&mut command, frame, key, value)?
        };
        layout.push(slot);
        Ok(())
    })?;
    scanner.end()?;
    command.form = Form::Json { layout };
    command.body = frame.body_bytes();
    Ok(command)
}

/// Takes one member of the header into `command`; what it is not known for stays as text.
fn member(command: &mut Command, frame: &Frame, key: Key<'_>, value: Raw<'_>) -> Result<Slot, DecodeError> {
    let int = || {
        value.int().ok_or(DecodeError::Json {
            offset: value.at,
            expected: "an integer",
        })
    };
    let slot = match &*key.name() {
        b"code" => {
            command.code = Code(int()?);
            Slot::Code
        }
        b"opaque" => {
            command.opaque = int()?;
            Slot::Opaque
        }
        b"flag" => {
            command.flag = int()?;
            Slot::Flag
        }
        b"version" => {
            command.version = int()?;
            Slot::Version
        }
        b"language" => {
            command.language = Language::from_json(value.text);
            Slot::Language(frame.share(value.text))
        }
        b"remark" => {
            command.remark = value.scalar().map(|text| kept(frame, text, value.text));
            Slot::Remark
        }
        b"extFields" if value.is_null() => {
            command.ext = None;
            Slot::Ext
        }
        b"extFields" => {
            return Err(DecodeError::Json {
                offset: value.at,
                expected: "an object",
            });
        }
        _ => Slot::Other(frame.share(key.text), frame.share(value.text)),
    };
    Ok(match slot {
        Slot::Other(..) | Slot::Language(_) => slot,
        known if value.is_null() => Slot::Null(Box::new(known)),
        known => known,
    })
}

fn kept(frame: &Frame, text: Cow<'_, str>, written: &[u8]) -> Text {
    Text::kept(frame.share_text(text), Kind::Json, frame.share(written))
}

/// Takes the ext fields, at whose brace `scanner` stands.
fn ext<'a>(frame: &'a Frame, scanner: &mut Scanner<'a>) -> Result<Vec<Field>, DecodeError> {
    let mut fields = Vec::new();
    scanner.object(&mut |key, value| {
        let name = match key.name() {
            Cow::Borrowed(name) => frame.share_text(text(name)),
            Cow::Owned(name) => text(&name).into_owned().into(),
        };
        match value.scalar() {
            Some(text) => fields.push(Field {
                name,
                value: kept(frame, text, value.text),
            }),
            // A null value means absent, as for the reference reader, and takes back an earlier one.
            None => fields.retain(|field: &Field| field.name != name),
        }
        Ok(())
    })?;
    Ok(fields)
}

/// Writes the header of `command` as JSON.
pub(super) fn encode(command: &Command, layout: &[Slot]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.push(b'{');
    if layout.is_empty() {
        for slot in Slot::fastjson_order() {
            put(&mut out, command, &slot);
        }
    } else {
        for slot in layout {
            put(&mut out, command, slot);
        }
        for slot in &Slot::fastjson_order() {
            // An opaque is written even when it is 0: without one the reference reader invents its own.
            let wanted = matches!(slot, Slot::Opaque) || !is_default(command, slot);
            if wanted && !layout.iter().any(|there| there.is_like(slot)) {
                put(&mut out, command, slot);
            }
        }
    }
    out.push(b'}');
    out
}

fn put(out: &mut Vec<u8>, command: &Command, slot: &Slot) {
    match slot {
        Slot::Code => put_int(out, "code", command.code.0),
        Slot::Opaque => put_int(out, "opaque", command.opaque),
        Slot::Flag => put_int(out, "flag", command.flag),
        Slot::Version => put_int(out, "version", command.version),
        Slot::Language(text) => {
            put_key(out, b"language");
            if !text.is_empty() && Language::from_json(text) == command.language {
                out.extend_from_slice(text);
            } else {
                put_string(out, command.language.name());
            }
        }
        Slot::Remark => {
            if let Some(remark) = &command.remark {
                put_key(out, b"remark");
                put_text(out, remark);
            }
        }
        Slot::Ext => {
            if let Some(fields) = &command.ext {
                put_key(out, b"extFields");
                put_fields(out, fields);
            }
        }
        Slot::Serialize => {
            put_key(out, b"serializeTypeCurrentRPC");
            put_string(out, "JSON");
        }
        Slot::Null(known) if is_default(command, known) => {
            put_key(out, known.key());
            out.extend_from_slice(b"null");
        }
        Slot::Null(known) => put(out, command, known),
        Slot::Other(key, text) => {
            put_key(out, key);
            out.extend_from_slice(text);
        }
    }
}

/// Whether leaving the member out means the same.
fn is_default(command: &Command, slot: &Slot) -> bool {
    match slot {
        Slot::Code => command.code.0 == 0,
        Slot::Ext => command.ext.is_none(),
        Slot::Flag => command.flag == 0,
        Slot::Language(_) => command.language == Language::JAVA,
        Slot::Opaque => command.opaque == 0,
        Slot::Remark => command.remark.is_none(),
        Slot::Version => command.version == 0,
        Slot::Serialize | Slot::Null(_) | Slot::Other(..) => true,
    }
}

fn put_fields(out: &mut Vec<u8>, fields: &[Field]) {
    out.push(b'{');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put_string(out, &field.name);
        out.push(b':');
        put_text(out, &field.value);
    }
    out.push(b'}');
}

fn put_key(out: &mut Vec<u8>, key: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
}

fn put_int(out: &mut Vec<u8>, key: &str, value: i32) {
    put_key(out, key.as_bytes());
    out.extend_from_slice(value.to_string().as_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &Text) {
    match text.raw(Kind::Json) {
        Some(raw) => out.extend_from_slice(raw),
        None => put_string(out, text.as_str()),
    }
}

/// A JSON string, escaped as fastjson does.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        rest = escaped.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            _ => put_unicode(out, u32::from(c)),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\' | '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

/// A character of the basic plane as `\uXXXX`.
fn put_unicode(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let digit = char::from_digit((code >> shift) & 0xF, 16).unwrap_or('0');
        out.push(digit.to_ascii_uppercase() as u8);
    }
}
