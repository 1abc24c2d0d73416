//! Between frames and commands, whichever way the header is written.

use super::command::Form;
use super::{Command, DecodeError, EncodeError, Frame, Kind, binary, json};

impl Command {
    /// Decodes every field of a frame.
    pub fn decode(frame: &Frame) -> Result<Self, DecodeError> {
        match frame.kind() {
            Kind::Json => json::decode(frame),
            Kind::Binary => binary::decode(frame),
        }
    }

    /// Encodes in the form the command came in; the body is shared.
    pub fn encode(&self) -> Result<Frame, EncodeError> {
        match &self.form {
            Form::Json { layout } => Frame::join(Kind::Json, &json::encode(self, layout), self.body.clone()),
            Form::Binary => Frame::join(Kind::Binary, &binary::encode(self)?, self.body.clone()),
        }
    }
}
