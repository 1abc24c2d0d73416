//! What can be known of a frame by one scan that builds nothing: code, opaque, flag, and single ext fields on demand.

use std::borrow::Cow;
use std::ops::Range;

use super::entries::{Entries, OPAQUE_AT, Parts};
use super::index::{self, Index, Place};
use super::scan::{Raw, Scanner};
use super::unescape::text;
use super::{Code, DecodeError, EncodeError, FLAG_ONEWAY, FLAG_RESPONSE, Frame, Kind, Language};

/// The head of a command. Scanning it also proves that the whole header is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What is asked, or how it ended.
    pub code: Code,
    /// The sender's correlation number.
    pub opaque: i32,
    /// Bit set; see [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// The sender's language.
    pub language: Language,
    /// The sender's version ordinal (`MQVersion`).
    pub version: i32,
    /// Where the opaque stands in the header, when it is there.
    pub(super) opaque_at: Option<Range<usize>>,
    /// Where the ext fields stand in the header: the JSON object, or the binary entries.
    pub(super) ext_at: Option<Range<usize>>,
}

impl Head {
    /// Scans the header of `frame`.
    pub fn scan(frame: &Frame) -> Result<Self, DecodeError> {
        Self::scan_with(frame, &mut ())
    }

    /// The same, and `sink` is shown the ext fields on the way. After an error what it was shown means nothing.
    pub fn scan_with<'a>(frame: &'a Frame, sink: &mut impl FieldSink<'a>) -> Result<Self, DecodeError> {
        match frame.kind() {
            Kind::Json => Self::scan_json(frame.header(), sink),
            Kind::Binary => Self::scan_binary(frame.header(), sink),
        }
    }

    /// The head of [`Frame::bare`].
    pub fn bare() -> Self {
        Self {
            code: Code(0),
            opaque: 0,
            flag: 0,
            language: Language::JAVA,
            version: 0,
            opaque_at: None,
            ext_at: None,
        }
    }

    fn scan_json<'a>(header: &'a [u8], sink: &mut impl FieldSink<'a>) -> Result<Self, DecodeError> {
        let mut head = Self::bare();
        let mut scanner = Scanner::new(header);
        scanner.members(&mut |scanner, key| {
            let name = key.name();
            if *name == *b"extFields" && scanner.peek() == Some(b'{') {
                let start = scanner.at();
                sink.begin();
                scanner.object(&mut |key, value| {
                    sink.field(&key.name(), Value(Written::Json(value)));
                    Ok(())
                })?;
                head.ext_at = Some(start..scanner.at());
                return Ok(());
            }
            let value = scanner.value()?;
            let int = |what| {
                value.int().ok_or(DecodeError::Json {
                    offset: value.at,
                    expected: what,
                })
            };
            match &*name {
                b"code" => head.code = Code(int("an integer code")?),
                b"opaque" => {
                    head.opaque = int("an integer opaque")?;
                    head.opaque_at = Some(value.range());
                }
                b"flag" => head.flag = int("an integer flag")?,
                b"version" => head.version = int("an integer version")?,
                b"language" => head.language = Language::from_json(value.text),
                b"extFields" if value.is_null() => {
                    sink.begin();
                    head.ext_at = None;
                }
                b"extFields" => {
                    return Err(DecodeError::Json {
                        offset: value.at,
                        expected: "an object",
                    });
                }
                _ => {}
            }
            Ok(())
        })?;
        scanner.end()?;
        Ok(head)
    }

    fn scan_binary<'a>(header: &'a [u8], sink: &mut impl FieldSink<'a>) -> Result<Self, DecodeError> {
        let parts = Parts::read(header)?;
        sink.begin();
        for entry in parts.entries() {
            let (key, value) = entry?;
            sink.field(key, Value(Written::Binary(value)));
        }
        Ok(Self {
            code: parts.code,
            opaque: parts.opaque,
            flag: parts.flag,
            language: parts.language,
            version: parts.version,
            opaque_at: Some(OPAQUE_AT),
            ext_at: (!parts.ext.is_empty()).then_some(parts.ext_at),
        })
    }

    /// Whether the frame answers a request.
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether nobody waits for an answer.
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// The ext fields of `frame`, which must be the frame this head was scanned from.
    pub fn fields<'a>(&self, frame: &'a Frame) -> Fields<'a> {
        let text = self
            .ext_at
            .clone()
            .and_then(|at| frame.header().get(at))
            .unwrap_or_default();
        Fields {
            kind: frame.kind(),
            text,
            places: None,
        }
    }

    /// The frame with another opaque, itself when it has this one; the body is shared.
    pub fn with_opaque(&self, frame: Frame, opaque: i32) -> Result<Frame, EncodeError> {
        let header = frame.header();
        // A null there would make the reference reader invent an opaque of its own.
        let written = self.opaque_at.clone().and_then(|at| header.get(at));
        if opaque == self.opaque && written.is_some_and(|text| text != b"null") {
            return Ok(frame);
        }
        let Some(at) = self.opaque_at.clone() else {
            // A JSON header without an opaque gets one at its front.
            let rest = header
                .iter()
                .position(|b| *b == b'{')
                .and_then(|at| header.get(at.saturating_add(1)..));
            let rest = rest.unwrap_or(b"}").trim_ascii_start();
            let separator = if rest.starts_with(b"}") { "" } else { "," };
            let mut patched = format!("{{\"opaque\":{opaque}{separator}").into_bytes();
            patched.extend_from_slice(rest);
            return Frame::join(frame.kind(), &patched, frame.body_bytes());
        };
        let mut patched = Vec::with_capacity(header.len().saturating_add(11));
        patched.extend_from_slice(header.get(..at.start).unwrap_or_default());
        match frame.kind() {
            Kind::Json => patched.extend_from_slice(opaque.to_string().as_bytes()),
            Kind::Binary => patched.extend_from_slice(&opaque.to_be_bytes()),
        }
        patched.extend_from_slice(header.get(at.end..).unwrap_or_default());
        Frame::join(frame.kind(), &patched, frame.body_bytes())
    }
}

/// The value of one ext field, decoded when it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a>(pub(super) Written<'a>);

#[derive(Debug, Clone, Copy)]
pub(super) enum Written<'a> {
    Json(Raw<'a>),
    Binary(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The text; `None` for null, and for an empty value of the binary form.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self.0 {
            Written::Json(raw) => raw.scalar(),
            Written::Binary(bytes) => (!bytes.is_empty()).then(|| text(bytes)),
        }
    }
}

/// Is shown the ext fields of a header while it is scanned.
pub trait FieldSink<'a> {
    /// The fields begin; those of before, if any, do not count.
    fn begin(&mut self);
    /// The next field.
    fn field(&mut self, name: &[u8], value: Value<'a>);
}

impl<'a> FieldSink<'a> for () {
    fn begin(&mut self) {}
    fn field(&mut self, _name: &[u8], _value: Value<'a>) {}
}

/// The most names that [`Fields::first_of`] looks for.
const NAMES: usize = 4;

/// The ext fields of one frame, read on demand.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    kind: Kind,
    text: &'a [u8],
    /// Where they stand, when somebody has looked before.
    places: Option<&'a [Place]>,
}

impl<'a> Fields<'a> {
    /// The value of `name`; `None` when absent, null or (binary) empty, as in [`Command::field`](super::Command::field). The last one counts when it occurs twice.
    pub fn find(&self, name: &str) -> Option<Cow<'a, str>> {
        if let Some(places) = self.places {
            return index::last(places, self.text, name)?.text();
        }
        let mut found = None;
        self.each(&mut |key, value| {
            if key == name.as_bytes() {
                found = Some(value);
            }
        });
        found.and_then(Value::text)
    }

    /// The value of `name` as a number.
    pub fn int<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.find(name)?.trim().parse().ok()
    }

    /// Whether `name` is present and says `true`, in any case.
    pub fn is_true(&self, name: &str) -> bool {
        self.find(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The value of the first of `names` that is present, in one pass; at most four names.
    pub fn first_of(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        debug_assert!(names.len() <= NAMES, "{names:?}");
        if self.places.is_some() {
            return names.iter().find_map(|name| self.find(name));
        }
        let mut found = [None; NAMES];
        self.each(&mut |key, value| {
            let at = names.iter().position(|name| name.as_bytes() == key);
            if let Some(slot) = at.and_then(|at| found.get_mut(at)) {
                *slot = Some(value);
            }
        });
        found.into_iter().flatten().find_map(Value::text)
    }

    /// The same, with what was found when they were indexed: looking one up no longer goes over all of them.
    #[must_use]
    pub fn indexed(self, index: &'a Index) -> Self {
        Self {
            places: index.places(),
            ..self
        }
    }

    /// Where each of them stands, for [`Fields::indexed`] of the same frame.
    pub fn index(&self) -> Index {
        Index::of(self.text, self)
    }

    /// Every pair as owned text, in order; what a key of pending work is made of.
    pub fn to_pairs(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        self.each(&mut |key, value| {
            if let Some(value) = value.text() {
                pairs.push((String::from_utf8_lossy(key).into_owned(), value.into_owned()));
            }
        });
        pairs
    }

    /// Shows every pair to `visit` in one pass, in order.
    pub fn each(&self, visit: &mut impl FnMut(&[u8], Value<'a>)) {
        self.walk(&mut |name, value| visit(&name, value));
    }

    /// As [`Fields::each`], with names that live as long as the frame.
    pub(crate) fn walk(&self, visit: &mut impl FnMut(Cow<'a, [u8]>, Value<'a>)) {
        if let Some(places) = self.places {
            for (name, value) in index::each(places, self.text) {
                visit(Cow::Borrowed(name), value);
            }
            return;
        }
        match self.kind {
            Kind::Json => {
                let walk = Scanner::new(self.text).object(&mut |key, value| {
                    visit(key.name(), Value(Written::Json(value)));
                    Ok(())
                });
                debug_assert!(walk.is_ok() || self.text.is_empty(), "scanned before");
            }
            Kind::Binary => {
                for (key, value) in Entries::new(self.text).flatten() {
                    visit(Cow::Borrowed(key), Value(Written::Binary(value)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;

    fn frame(header: &str) -> Frame {
        Frame::join(Kind::Json, header.as_bytes(), Bytes::from_static(b"body")).unwrap()
    }

    #[test]
    fn an_opaque_is_replaced_and_nothing_else() {
        let frame = frame(r#"{"code":10,"extFields":{"opaque":"7"},"flag":0,"opaque":7,"version":401}"#);
        let head = Head::scan(&frame).unwrap();
        let patched = head.with_opaque(frame, -1234).unwrap();
        assert_eq!(
            patched.header(),
            br#"{"code":10,"extFields":{"opaque":"7"},"flag":0,"opaque":-1234,"version":401}"#
        );
        assert_eq!(patched.body(), b"body");
        let mut wire = BytesMut::from(&patched.to_bytes()[..]);
        assert_eq!(
            Head::scan(&Frame::split(&mut wire, 1024).unwrap().unwrap())
                .unwrap()
                .opaque,
            -1234
        );
    }

    #[test]
    fn a_missing_opaque_is_added() {
        for header in ["{}", r#"{"code":10}"#, r#"{ "zzz":1}"#] {
            let frame = frame(header);
            let patched = Head::scan(&frame).unwrap().with_opaque(frame, 5).unwrap();
            assert_eq!(Head::scan(&patched).unwrap().opaque, 5, "{header}");
        }
    }

    #[test]
    fn lenient_ext_values_are_read_as_text() {
        let frame =
            frame("{\"code\":34,\"extFields\":{\"a\":1,\"b\":true,\"c\":null,\"d\":\"x\u{1}y\\u0002\"}}");
        let head = Head::scan(&frame).unwrap();
        let fields = head.fields(&frame);
        assert_eq!(fields.find("a").as_deref(), Some("1"));
        assert!(fields.is_true("b"));
        assert_eq!(fields.find("c"), None);
        assert_eq!(fields.find("d").as_deref(), Some("x\u{1}y\u{2}"));
    }

    #[test]
    fn a_null_header_is_refused() {
        assert!(Head::scan(&frame("null")).is_err());
        assert!(Head::scan(&frame("{} x")).is_err());
    }
}
