//! JSON as fastjson writes it, turned into JSON as the standard wants it: bare keys quoted, control characters escaped.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::protocol::DecodeError;

/// Decodes a body that fastjson or a strict writer made; `what` names it in the error.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8], what: &'static str) -> Result<T, DecodeError> {
    serde_json::from_slice(&strict(body)).map_err(|_detail| DecodeError::Body(what))
}

/// A member that is `null`, which fastjson takes for absent.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The same text with keys quoted and raw control characters escaped; borrowed when it already was so.
fn strict(body: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0_usize;
    let mut walk = Walk::default();
    for (at, byte) in body.iter().enumerate() {
        let Some(fix) = walk.step(*byte) else { continue };
        out.extend_from_slice(body.get(copied..at).unwrap_or_default());
        match fix {
            Fix::QuoteBefore => {
                out.push(b'"');
                copied = at;
            }
            Fix::Escape => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                copied = at.saturating_add(1);
            }
        }
    }
    if copied == 0 && out.is_empty() {
        return Cow::Borrowed(body);
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

enum Fix {
    QuoteBefore,
    Escape,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Place {
    #[default]
    Between,
    String,
    Escaped,
    BareKey,
}

#[derive(Default)]
struct Walk {
    place: Place,
    /// Open brackets, `true` for objects.
    open: Vec<bool>,
    /// Whether a key may come next.
    key_next: bool,
}

impl Walk {
    fn step(&mut self, byte: u8) -> Option<Fix> {
        match self.place {
            Place::String => match byte {
                b'"' => self.place = Place::Between,
                b'\\' => self.place = Place::Escaped,
                0..0x20 => return Some(Fix::Escape),
                _ => {}
            },
            Place::Escaped => self.place = Place::String,
            Place::BareKey => {
                if matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n') {
                    self.place = Place::Between;
                    return Some(Fix::QuoteBefore);
                }
            }
            Place::Between => return self.between(byte),
        }
        None
    }

    fn between(&mut self, byte: u8) -> Option<Fix> {
        match byte {
            b'"' => {
                self.place = Place::String;
                self.key_next = false;
            }
            b'{' | b'[' => {
                self.open.push(byte == b'{');
                self.key_next = byte == b'{';
            }
            b'}' | b']' => {
                self.open.pop();
                self.key_next = false;
            }
            b',' => self.key_next = self.open.last() == Some(&true),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if self.key_next => {
                self.key_next = false;
                self.place = Place::BareKey;
                return Some(Fix::QuoteBefore);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_keys_are_quoted_and_strict_text_is_borrowed() {
        let bare = br#"{"a":{0:"x,1:y",-1:[1,2,{3:4}]},"b":[5,6]}"#;
        let value: serde_json::Value = decode(bare, "test").unwrap();
        assert_eq!(
            value.to_string(),
            r#"{"a":{"0":"x,1:y","-1":[1,2,{"3":4}]},"b":[5,6]}"#
        );
        assert!(matches!(strict(br#"{"a":[1,{"b":null}]}"#), Cow::Borrowed(_)));
        let raw: serde_json::Value = decode(b"{\"a\":\"x\x01y\\u0002\"}", "test").unwrap();
        assert_eq!(raw["a"], "x\u{1}y\u{2}");
    }
}
