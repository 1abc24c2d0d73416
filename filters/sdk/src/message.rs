//! The user messages inside the command under decision.

use crate::host::messages as host;

/// The messages inside a send, or inside an answer or push that brings messages. Needs an interest
/// [`with_body`](crate::Interest::with_body).
#[derive(Debug)]
pub struct Messages(());

impl Messages {
    pub(crate) fn current() -> Self {
        Self(())
    }

    /// How many came with the command, also those that were taken out since; 0 in commands that carry none. An error says
    /// why they cannot be read.
    pub fn count(&self) -> Result<u32, String> {
        host::count()
    }

    /// One of them, counted from 0. Past the end, its getters give nothing.
    pub fn at(&self, index: u32) -> Message {
        Message { index }
    }

    /// All that are there: without those that this or an earlier filter took out. The others keep their numbers.
    pub fn all(&self) -> Result<impl Iterator<Item = Message> + use<>, String> {
        let all = (0..self.count()?).map(|index| Message { index });
        Ok(all.filter(|message| message.is_there()))
    }
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    index: u32,
}

impl Message {
    /// Its number in the command, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Whether it was not taken out.
    pub fn is_there(self) -> bool {
        self.body_size() > 0 || self.topic().is_some()
    }

    /// Its own topic; also in a retry or DLQ topic the one it was sent to first.
    pub fn topic(self) -> Option<String> {
        host::topic(self.index)
    }

    /// Its tag.
    pub fn tags(self) -> Option<String> {
        host::tags(self.index)
    }

    /// Its keys, separated by blanks.
    pub fn keys(self) -> Option<String> {
        host::keys(self.index)
    }

    /// A property: `TAGS`, `DELAY`, or the user's own.
    pub fn property(self, name: &str) -> Option<String> {
        host::property(self.index, name)
    }

    /// All properties.
    pub fn properties(self) -> Vec<(String, String)> {
        host::properties(self.index)
    }

    /// Sets a property. Name and value must not be empty; all of a message's properties have at most 32 767 bytes.
    pub fn set_property(self, name: &str, value: &str) -> Result<(), String> {
        host::set_property(self.index, name, value)
    }

    /// Removes a property; whether it was there.
    pub fn remove_property(self, name: &str) -> Result<bool, String> {
        host::remove_property(self.index, name)
    }

    /// Bytes of the body as it travels, compressed or not.
    pub fn body_size(self) -> u32 {
        host::body_size(self.index)
    }

    /// The body, decompressed.
    pub fn body(self) -> Result<Vec<u8>, String> {
        host::body(self.index)
    }

    /// Replaces the body; it is compressed again if it was compressed.
    pub fn set_body(self, body: &[u8]) -> Result<(), String> {
        host::set_body(self.index, body)
    }

    /// Takes the message out. The last one of a send, and those of an ordered pop, cannot be taken out.
    pub fn remove(self) -> Result<(), String> {
        host::remove(self.index)
    }

    /// Where it stands in its queue; none in sends.
    pub fn queue_offset(self) -> Option<u64> {
        host::queue_offset(self.index)
    }

    /// How often it was delivered before.
    pub fn reconsume_times(self) -> u32 {
        host::reconsume_times(self.index)
    }

    /// When it was made, milliseconds since 1970 by the producer's clock.
    pub fn born_timestamp(self) -> u64 {
        host::born_timestamp(self.index)
    }
}
