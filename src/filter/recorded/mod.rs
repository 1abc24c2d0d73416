//! A command as it was recorded: what a filter would have been shown, as one line of JSON without its secrets.
//!
//! ```text
//!  {"gimbal":"0.1.0","recorded":"2026-01-02T03:04:05.678Z","bodies":false,"masked":[...]}    the first line
//!  {"at_us":1200,"way":"request","session":7,"client":{...},"command":{...}}                 a command
//!  {"at_us":1900,"way":"response","session":7,"client":{...},"command":{...},"asked":{...}}  and its answer
//!  {"left_out":3}                                      so many were not written, since the writer was too slow
//! ```

mod plain;
mod secrets;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Client, Way};
use crate::protocol::Language;

pub use plain::{Body, Form, Plain};
pub use secrets::MASKED;

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of Gimbal that wrote it.
    pub gimbal: String,
    /// When it began, RFC 3339 in UTC.
    pub recorded: String,
    /// Whether bodies were recorded.
    pub bodies: bool,
    /// Names of fields and properties whose values were masked; `*` stands for anything.
    #[serde(default)]
    pub masked: Vec<String>,
}

/// Commands that are missing from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many.
    pub left_out: u64,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Time since the recording began, microseconds.
    pub at_us: u64,
    /// Which way it went.
    pub way: Direction,
    /// Number of the client's connection.
    pub session: u64,
    /// Who is at its other end.
    pub client: Facts,
    /// The broker that answered or asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// The command as the first filter of its chain would have been shown it.
    pub command: Plain,
    /// Of a response: the request that it answers, without its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Plain>,
}

/// Which way a recorded command went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client.
    Request,
    /// To the client, as the answer to its request.
    Response,
    /// From a broker to the client.
    Push,
}

/// What is known of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its address, `ip:port`.
    pub peer: SocketAddr,
    /// The listener it came in by.
    #[serde(default)]
    pub listener: String,
    /// Its id, once it has said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The verified user of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Subject of its TLS certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_subject: Option<String>,
    /// Its language, as `JAVA`.
    pub language: String,
    /// Its version, as the ordinal in RocketMQ's headers.
    pub version: i32,
}

impl Header {
    /// The first line of a recording that begins now.
    pub fn now(bodies: bool) -> Self {
        Self {
            gimbal: env!("CARGO_PKG_VERSION").to_owned(),
            recorded: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            bodies,
            masked: MASKED.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

impl Direction {
    /// The way as filters know it.
    pub fn way(self) -> Way {
        match self {
            Self::Request => Way::Request,
            Self::Response => Way::Response,
            Self::Push => Way::Push,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Push => "push",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Facts {
    /// What is known of this client.
    pub fn of(client: &Client) -> Self {
        let owned = |text: Option<&Arc<str>>| text.map(ToString::to_string);
        Self {
            peer: client.peer,
            listener: client.listener.to_string(),
            id: owned(client.client_id.as_ref()),
            user: owned(client.user.as_ref()),
            tls_subject: owned(client.tls_subject.as_ref()),
            language: client.language.name().to_owned(),
            version: client.version,
        }
    }

    /// The client as filters know it, on connection `session`.
    pub fn to_client(&self, session: u64) -> Client {
        let shared = |text: Option<&String>| text.map(|text| Arc::from(text.as_str()));
        let mut client = Client::new(self.peer, self.listener.as_str().into(), session);
        client.client_id = shared(self.id.as_ref());
        client.user = shared(self.user.as_ref());
        client.tls_subject = shared(self.tls_subject.as_ref());
        client.language = Language::from_name(self.language.as_bytes());
        client.version = self.version;
        client
    }
}
