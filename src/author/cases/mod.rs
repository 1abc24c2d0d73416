//! Case files: commands in the words of messages, and what a filter must decide about them.

mod answer;
mod file;
mod heartbeat;
mod judge;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use schemars::Schema;
use serde_json::Value;

pub use file::File;
pub use judge::Miss;
pub use read::read;
pub use run::{Failed, Ran, Runner, of_manifest};

use crate::filter::Client;
use crate::protocol::{Code, Command};

/// A command to show, and what is expected.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Handed to the filter.
    pub config: Value,
    /// Who sends the command.
    pub client: Client,
    /// How often it is shown.
    pub times: u32,
    /// What is shown.
    pub shown: Shown,
    /// What must be decided.
    pub expect: Expect,
}

/// What is shown to a filter.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A request.
    Request(Command),
    /// The answer to a request.
    Response {
        /// The request.
        request: Command,
        /// Its answer.
        answer: Command,
    },
    /// A connection that begins.
    Connection,
}

/// What must be decided; empty parts may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// The verdict by its name.
    pub verdict: Option<&'static str>,
    /// The code of the answer.
    pub code: Option<Code>,
    /// The remark or reason, as a pattern.
    pub remark: Option<String>,
    /// How long it is held.
    pub delay: Option<Duration>,
    /// Ext fields as they leave; empty values must not be there.
    pub fields: Vec<(String, String)>,
    /// Properties of every message as it leaves; empty values must not be there.
    pub properties: Vec<(String, String)>,
    /// The body, or that of every message, as a pattern.
    pub body: Option<String>,
    /// How many messages leave.
    pub messages: Option<usize>,
    /// How names are mapped, as a pattern.
    pub names: Option<String>,
    /// Whether it leaves as it came.
    pub unchanged: Option<bool>,
    /// How the filter fails, as a pattern.
    pub failure: Option<String>,
    /// Whether clients may try again.
    pub retried: bool,
}

/// The JSON Schema of a case file.
pub fn schema() -> Schema {
    crate::config::written::schema::<File>()
}
