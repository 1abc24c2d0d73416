//! What a filter decides about a command.

use std::time::Duration;

use bytes::Bytes;

use crate::protocol::{Code, Command, Head, Kind};

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with whatever was changed.
    Forward,
    /// Answer the client, or put this in the place of a response.
    Answer(Answer),
    /// Hold the command this long, then go on with the next filter.
    Delay(Duration),
    /// Forget a command that nobody waits for.
    Drop,
    /// Close the connection after what is in flight; why.
    Close(String),
}

/// A response made by a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Response code.
    pub code: Code,
    /// Human text.
    pub remark: Option<String>,
    /// Ext fields.
    pub fields: Vec<(String, String)>,
    /// Body; empty for none.
    pub body: Bytes,
}

impl Answer {
    /// An answer of a code and a text.
    pub fn new(code: Code, remark: impl Into<String>) -> Self {
        Self {
            code,
            remark: Some(remark.into()),
            fields: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// The command that carries this answer to the request with this head, written as that request was.
    pub fn to_command(&self, head: &Head, kind: Kind) -> Command {
        let mut command = Command::answer(head, kind, self.code);
        if let Some(remark) = &self.remark {
            command.remark = Some(remark.as_str().into());
        }
        for (name, value) in &self.fields {
            command.set_field(name, value.as_str());
        }
        command.body = self.body.clone();
        command
    }
}

impl Verdict {
    /// Its name in logs and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Answer(_) => "answer",
            Self::Delay(_) => "delay",
            Self::Drop => "drop",
            Self::Close(_) => "close",
        }
    }
}
