//! The user messages inside a command.

use std::fmt;

use bytes::Bytes;

use super::Way;
use crate::protocol::{Code, Command};

/// Why a message cannot be read or edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageError(pub String);

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl std::error::Error for MessageError {}

/// What a pop asked.
#[derive(Debug, Clone)]
pub struct PopRequest {
    /// g
    pub group: String,
    /// t
    pub topic: String,
    /// b
    pub broker: String,
    /// o
    pub is_ordered: bool,
}

/// A message taken out of a pop.
#[derive(Debug, Clone)]
pub struct Acknowledge {
    /// t
    pub topic: String,
    /// g
    pub group: String,
    /// q
    pub queue_id: i32,
    /// o
    pub offset: i64,
    /// e
    pub extra_info: String,
}

/// Messages.
#[derive(Debug)]
pub struct Messages;

#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    missing_docs,
    reason = "stub"
)]
impl Messages {
    pub fn read(_: Way, _: Code, _: &Command, _: usize) -> Result<Option<Self>, MessageError> {
        Ok(None)
    }
    pub fn len(&self) -> usize {
        0
    }
    pub fn is_empty(&self) -> bool {
        true
    }
    pub fn topic(&self, _: usize) -> Option<&str> {
        None
    }
    pub fn tags(&self, _: usize) -> Option<&str> {
        None
    }
    pub fn keys(&self, _: usize) -> Option<&str> {
        None
    }
    pub fn property(&self, _: usize, _: &str) -> Option<&str> {
        None
    }
    pub fn properties(&self, _: usize) -> Vec<(String, String)> {
        Vec::new()
    }
    pub fn set_property(&mut self, _: usize, _: &str, _: &str) -> Result<(), MessageError> {
        Ok(())
    }
    pub fn remove_property(&mut self, _: usize, _: &str) -> Result<bool, MessageError> {
        Ok(false)
    }
    pub fn body_size(&self, _: usize) -> usize {
        0
    }
    pub fn body(&self, _: usize) -> Result<Bytes, MessageError> {
        Ok(Bytes::new())
    }
    pub fn set_body(&mut self, _: usize, _: Bytes) -> Result<(), MessageError> {
        Ok(())
    }
    pub fn remove(&mut self, _: usize) -> Result<(), MessageError> {
        Ok(())
    }
    pub fn queue_offset(&self, _: usize) -> Option<u64> {
        None
    }
    pub fn reconsume_times(&self, _: usize) -> u32 {
        0
    }
    pub fn born_timestamp(&self, _: usize) -> u64 {
        0
    }
    pub fn is_changed(&self) -> bool {
        false
    }
    pub fn write(self, _: &mut Command, _: Option<&PopRequest>) -> Result<Vec<Acknowledge>, MessageError> {
        Ok(Vec::new())
    }
}
