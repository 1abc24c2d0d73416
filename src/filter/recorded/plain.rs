//! One command as JSON: readable, without its secrets, and a command again when it is read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::secrets::{has_secret_body, shown};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, DecodeError, Frame, Kind, Language};

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Its code: of a request what is asked, of a response how it ended.
    pub code: i32,
    /// The name of a request's code, for whoever reads the file; it is not read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How its header was written.
    #[serde(default)]
    pub form: Form,
    /// The sender's language, as `JAVA`.
    #[serde(default = "java")]
    pub language: String,
    /// The sender's version, as the ordinal in RocketMQ's headers.
    #[serde(default)]
    pub version: i32,
    /// The sender's number of the command.
    #[serde(default)]
    pub opaque: i32,
    /// Bit 0 is set in responses, bit 1 in one-way requests.
    #[serde(default)]
    pub flag: i32,
    /// Text for humans, mostly of failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Ext fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Map<String, Value>>,
    /// The body in base64, where bodies are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Bytes of a body that was not recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub body_size: usize,
}

/// How a header is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// In JSON.
    #[default]
    Json,
    /// In RocketMQ's binary form.
    Binary,
}

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// Whether bodies are recorded.
    pub recorded: bool,
    /// Bytes it had, if it is not in the frame any more.
    pub size: usize,
}

fn java() -> String {
    Language::JAVA.name().to_owned()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over the field as it is"
)]
fn is_zero(size: &usize) -> bool {
    *size == 0
}

impl Plain {
    /// The command in this frame, which is about request `about`: itself, or the one it answers.
    pub fn of(frame: &Frame, about: Code, body: Body) -> Result<Self, DecodeError> {
        let command = Command::decode(frame)?;
        let is_response = command.flag & crate::protocol::FLAG_RESPONSE != 0;
        let name = rq::name(command.code).filter(|_| !is_response);
        let fields = command.ext.as_ref().map(|fields| {
            let pairs = fields.iter().map(|field| {
                let value = shown(&field.name, field.value.as_str());
                (field.name.to_string(), Value::String(value))
            });
            pairs.collect()
        });
        let is_kept = body.recorded && !has_secret_body(about) && !command.body.is_empty();
        Ok(Self {
            code: command.code.0,
            name: name.map(str::to_owned),
            form: match frame.kind() {
                Kind::Json => Form::Json,
                Kind::Binary => Form::Binary,
            },
            language: command.language.name().to_owned(),
            version: command.version,
            opaque: command.opaque,
            flag: command.flag,
            remark: command.remark.as_ref().map(|remark| remark.as_str().to_owned()),
            fields,
            body: is_kept.then(|| STANDARD.encode(&command.body)),
            body_size: if is_kept {
                0
            } else {
                body.size.max(command.body.len())
            },
        })
    }

    /// The command again; a body that was not recorded is empty. `Err` says what cannot be read, and what is accepted.
    pub fn to_command(&self) -> Result<Command, String> {
        let mut command = Command::request(Code(self.code), self.opaque);
        command.set_kind(match self.form {
            Form::Json => Kind::Json,
            Form::Binary => Kind::Binary,
        });
        command.language = Language::from_name(self.language.as_bytes());
        command.version = self.version;
        command.flag = self.flag;
        command.remark = self.remark.as_deref().map(Into::into);
        if let Some(fields) = &self.fields {
            command.ext = Some(Vec::new());
            for (name, value) in fields {
                command.set_field(name, text(name, value)?);
            }
        }
        if let Some(body) = &self.body {
            let decoded = STANDARD.decode(body);
            let body = decoded.map_err(|error| format!("body: {error}; accepted: base64 with padding"))?;
            command.body = Bytes::from(body);
        }
        Ok(command)
    }

    /// Bytes of its body, recorded or not.
    pub fn body_len(&self) -> usize {
        let padding = |text: &str| text.bytes().rev().take_while(|byte| *byte == b'=').count();
        match &self.body {
            Some(text) => (text.len() / 4).saturating_mul(3).saturating_sub(padding(text)),
            None => self.body_size,
        }
    }
}

fn text(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is_true) => Ok(is_true.to_string()),
        other => Err(format!("fields.{name} is {other}; accepted: a string")),
    }
}
