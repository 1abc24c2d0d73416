//! One decoded command: every field readable and editable; what is not edited is written back in its own bytes.

use bytes::Bytes;
use bytestring::ByteString;

use super::{Code, FLAG_RESPONSE, Head, Kind, Language};

/// The version ordinal Gimbal speaks with in requests of its own: `V5_3_3` (`MQVersion`).
pub const OWN_VERSION: i32 = 479;

/// The release that a version ordinal stands for, as `5.3.3` (`MQVersion`, from 4.0.0 on: twenty ordinals a minor release,
/// two a patch, the snapshot before each); `V(121)` for an ordinal without one.
#[expect(clippy::arithmetic_side_effects, reason = "numbers below a thousand")]
pub fn version_name(ordinal: i32) -> String {
    /// `V4_0_0`.
    const FIRST: i32 = 213;
    /// `HIGHER_VERSION`.
    const LAST: i32 = 612;
    if !(FIRST..LAST).contains(&ordinal) {
        return format!("V({ordinal})");
    }
    let steps = ordinal - FIRST;
    let release = steps + steps % 2;
    let (minor, patch) = (release / 20, release % 20 / 2);
    let snapshot = if steps % 2 == 1 { "-SNAPSHOT" } else { "" };
    format!("{}.{}.{patch}{snapshot}", 4 + minor / 10, minor % 10)
}

/// One remoting command, request or response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is asked, or how it ended.
    pub code: Code,
    /// The sender's language.
    pub language: Language,
    /// The sender's version ordinal (`MQVersion`).
    pub version: i32,
    /// The sender's correlation number.
    pub opaque: i32,
    /// Bit set; see [`FLAG_RESPONSE`] and [`super::FLAG_ONEWAY`].
    pub flag: i32,
    /// Human text, mostly of failures.
    pub remark: Option<Text>,
    /// Ext fields in the order they came; `None` when the header has none at all.
    pub ext: Option<Vec<Field>>,
    /// The body; empty means none.
    pub body: Bytes,
    pub(super) form: Form,
}

/// One ext field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: ByteString,
    /// Its value.
    pub value: Text,
}

/// Text that remembers how it was written.
#[derive(Debug, Clone)]
pub struct Text {
    value: ByteString,
    /// The bytes it was decoded from, which serve only in the same form.
    raw: Option<(Kind, Bytes)>,
}

/// How the header is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Serialize type 0; an empty layout means fastjson's own order.
    Json { layout: Vec<Slot> },
    /// Serialize type 1.
    Binary,
}

/// A member of a JSON header, in the place where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    Code,
    Ext,
    Flag,
    /// With the text it came as, so that an unknown name survives.
    Language(Bytes),
    Opaque,
    Remark,
    Serialize,
    Version,
    /// A known member that was `null`.
    Null(Box<Self>),
    Other(Bytes, Bytes),
}

impl Slot {
    pub(super) fn fastjson_order() -> [Self; 8] {
        [
            Self::Code,
            Self::Ext,
            Self::Flag,
            Self::Language(Bytes::new()),
            Self::Opaque,
            Self::Remark,
            Self::Serialize,
            Self::Version,
        ]
    }
}

impl Slot {
    /// The JSON key of a known member.
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Code => b"code",
            Self::Ext => b"extFields",
            Self::Flag => b"flag",
            Self::Language(_) => b"language",
            Self::Opaque => b"opaque",
            Self::Remark => b"remark",
            Self::Serialize => b"serializeTypeCurrentRPC",
            Self::Version => b"version",
            Self::Null(known) => known.key(),
            Self::Other(key, _) => key,
        }
    }

    /// Whether both stand for the same member.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Text {}

impl From<String> for Text {
    fn from(value: String) -> Self {
        Self {
            value: value.into(),
            raw: None,
        }
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self {
            value: value.into(),
            raw: None,
        }
    }
}

impl Text {
    /// Text together with the bytes it was decoded from.
    pub(super) fn kept(value: ByteString, kind: Kind, raw: Bytes) -> Self {
        Self {
            value,
            raw: Some((kind, raw)),
        }
    }

    /// The decoded text.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// The bytes it came as, when it came in this form.
    pub(super) fn raw(&self, wanted: Kind) -> Option<&[u8]> {
        self.raw
            .as_ref()
            .filter(|(kind, _)| *kind == wanted)
            .map(|(_, raw)| &**raw)
    }

    /// The bytes of the binary form.
    pub(super) fn bytes(&self) -> &[u8] {
        self.raw(Kind::Binary).unwrap_or(self.value.as_bytes())
    }
}

impl Command {
    /// A request of Gimbal's own, with a JSON header.
    pub fn request(code: Code, opaque: i32) -> Self {
        Self::json(code, opaque)
    }

    pub(super) fn json(code: Code, opaque: i32) -> Self {
        Self {
            code,
            language: Language::JAVA,
            version: OWN_VERSION,
            opaque,
            flag: 0,
            remark: None,
            ext: None,
            body: Bytes::new(),
            form: Form::Json { layout: Vec::new() },
        }
    }

    pub(super) fn binary(code: Code, opaque: i32) -> Self {
        Self {
            form: Form::Binary,
            ..Self::json(code, opaque)
        }
    }

    /// An answer to the request with this head, in the form of that request.
    pub fn answer(request: &Head, kind: Kind, code: Code) -> Self {
        let mut command = match kind {
            Kind::Json => Self::json(code, request.opaque),
            Kind::Binary => Self::binary(code, request.opaque),
        };
        command.flag = FLAG_RESPONSE;
        command
    }

    /// The same with a remark.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<Text>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    /// The same with an ext field.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Text>) -> Self {
        self.set_field(name, value);
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// How the header is written.
    pub fn kind(&self) -> Kind {
        match self.form {
            Form::Json { .. } => Kind::Json,
            Form::Binary => Kind::Binary,
        }
    }

    /// Turns the header into another form. Codes above 32 767 cannot be encoded in binary, and the binary form cannot
    /// tell an empty value from none: such fields do not get into JSON.
    pub fn set_kind(&mut self, kind: Kind) {
        if kind == self.kind() {
            return;
        }
        self.form = match kind {
            Kind::Json => {
                self.ext
                    .iter_mut()
                    .for_each(|fields| fields.retain(|field| !field.value.bytes().is_empty()));
                Form::Json { layout: Vec::new() }
            }
            Kind::Binary => Form::Binary,
        };
    }

    /// The value of an ext field; the last one counts when it occurs twice. An empty value of a binary header is none.
    pub fn field(&self, name: &str) -> Option<&str> {
        let empty_is_none = self.form == Form::Binary;
        self.ext
            .as_deref()?
            .iter()
            .rev()
            .find(|field| *field.name == *name)
            .map(|field| field.value.as_str())
            .filter(|value| !(empty_is_none && value.is_empty()))
    }

    /// Sets an ext field in its place, or appends it.
    pub fn set_field(&mut self, name: &str, value: impl Into<Text>) {
        let fields = self.ext.get_or_insert_default();
        let value = value.into();
        match fields.iter_mut().rev().find(|field| *field.name == *name) {
            Some(field) => field.value = value,
            None => fields.push(Field {
                name: name.into(),
                value,
            }),
        }
    }

    /// Removes every ext field of this name; whether there was one.
    pub fn remove_field(&mut self, name: &str) -> bool {
        let Some(fields) = &mut self.ext else { return false };
        let before = fields.len();
        fields.retain(|field| *field.name != *name);
        fields.len() < before
    }
}
