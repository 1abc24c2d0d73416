//! What belongs to one instance while it runs: the command under decision, and what it has used.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::allowance::Allowance;
use super::bindings::gimbal::filter::types::Level;
use super::words::{self, Voice, Words};
use crate::filter::{State, Subject};
use crate::protocol::FRAME_LIMIT;

/// Bytes that a guest may hand over in one call, all together: no command may be longer than half of it.
const HANDED_OVER: usize = FRAME_LIMIT * 2;
/// What a place in a table costs, bytes.
const TABLE_PLACE: usize = 16;
/// Core instances, memories and tables of one component; Python has 60.
const PARTS: usize = 1_000;

/// What the instances of a filter have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) state: Arc<State>,
    /// Bytes of the store.
    pub(super) quota: usize,
    pub(super) voice: Voice,
}

/// The data of a store.
#[derive(Debug)]
pub(super) struct Ctx {
    pub(super) shared: Arc<Shared>,
    /// The command under decision; none during `init`.
    pub(super) subject: Option<Box<Subject>>,
    pub(super) meter: Meter,
    pub(super) words: Words,
    /// The time of this call.
    pub(super) allowance: Allowance,
    /// Bytes handed over in this call.
    handed_over: usize,
    /// A message that could not be read, and the guest was not told.
    pub(super) unreadable: Option<String>,
    /// Whether the guest was told so in this call.
    pub(super) is_told: bool,
}

impl Ctx {
    pub(super) fn new(shared: Arc<Shared>, memory: usize) -> Self {
        Self {
            shared,
            subject: None,
            meter: Meter {
                limit: memory,
                used: 0,
                refused: false,
            },
            words: Words::default(),
            allowance: Allowance::default(),
            handed_over: 0,
            unreadable: None,
            is_told: false,
        }
    }

    /// Before a call.
    pub(super) fn begin(&mut self, subject: Option<Box<Subject>>) {
        self.subject = subject;
        self.meter.refused = false;
        self.words.begin();
        self.handed_over = 0;
        self.unreadable = None;
        self.is_told = false;
    }

    /// The guest writes to the log.
    pub(super) fn say(&mut self, level: Level, text: &str) {
        if let Some(subject) = &mut self.subject {
            subject.note_line(words::level(level), text);
        }
        self.shared.voice.write(&self.shared.name, level, text);
    }

    /// The guest hands over so many bytes, which stay here until the command has gone.
    pub(super) fn hand_over(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.handed_over = self.handed_over.saturating_add(bytes);
        if self.handed_over > HANDED_OVER {
            return Err(wasmtime::Error::msg(format!(
                "it set {} bytes in one call; at most {HANDED_OVER} are accepted",
                self.handed_over
            )));
        }
        Ok(())
    }
}

/// Counts linear memory and tables of one instance.
#[derive(Debug)]
pub(super) struct Meter {
    limit: usize,
    used: usize,
    /// Whether it wanted more in this call.
    pub(super) refused: bool,
}

impl Meter {
    /// Bytes of linear memory and tables.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        if used > self.limit {
            self.refused = true;
            return false;
        }
        self.used = used;
        true
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(wanted.saturating_sub(now)))
    }

    fn table_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(wanted.saturating_sub(now).saturating_mul(TABLE_PLACE)))
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}
