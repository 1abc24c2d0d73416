//! One filter's turn at a command: what it changes is kept when it succeeds and taken back when it does not.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::content::Content;
use super::{Names, Subject};
use crate::filter::chain::fits;
use crate::filter::{Answer, Decided, Failure, Trail, Watch};
use crate::protocol::{Command, Frame, Head};

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The id of the member that is called.
    pub(super) asker: u64,
    /// Whether it may see the body.
    pub(super) shows_body: bool,
}

/// A subject before a filter was called.
#[derive(Debug)]
pub(in crate::filter) struct Checkpoint {
    command: Option<Arc<Command>>,
    is_changed: bool,
    written: Option<(Head, Frame)>,
    names: Option<Names>,
    names_changed: bool,
    acknowledged: usize,
}

/// What the chain does with a subject between two filters.
impl Subject {
    /// Prepares for a member, which may see the body or not.
    pub(in crate::filter) fn show(&mut self, asker: u64, body: bool) -> Checkpoint {
        self.turn = Turn {
            asker,
            shows_body: body,
        };
        self.breach = None;
        Checkpoint {
            // What is not changed yet can be read again from the frame.
            command: self.command.as_ref().filter(|_| self.is_changed).cloned(),
            is_changed: self.is_changed,
            written: self.written.clone(),
            names: self.names.clone(),
            names_changed: self.names_changed,
            acknowledged: self.acknowledge.len(),
        }
    }

    /// Takes back whatever has been changed since.
    pub(in crate::filter) fn undo(&mut self, to: Checkpoint) {
        self.command = to.command;
        self.is_changed = to.is_changed;
        self.written = to.written;
        self.index = OnceLock::new();
        self.names = to.names;
        self.names_changed = to.names_changed;
        self.acknowledge.truncate(to.acknowledged);
        self.forget_derived();
    }

    /// Whether anything has been changed since.
    pub(in crate::filter) fn differs(&self, since: &Checkpoint) -> bool {
        let is_another = || match (&self.written, &since.written) {
            (Some((_, now)), Some((_, then))) => now != then,
            _ => self.command != since.command,
        };
        (self.is_changed && (!since.is_changed || is_another()))
            || self.names != since.names
            || self.acknowledge.len() != since.acknowledged
    }

    /// Notes what a member decided, and how long it took.
    pub(in crate::filter) fn note(&mut self, decided: Option<Decided>, took: Duration) {
        self.trail.decided.extend(decided);
        self.trail.took = self.trail.took.saturating_add(took);
    }

    /// What members decided since this was asked last.
    pub fn take_trail(&mut self) -> Trail {
        std::mem::take(&mut self.trail)
    }

    /// What was noted since this was asked last; nothing unless it is [watched](Self::watched).
    pub fn take_watch(&mut self) -> Watch {
        self.watch.as_deref_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether notes are taken.
    pub fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// The filter reads this.
    #[inline]
    pub fn note_read(&mut self, what: &str, name: &str) {
        if let Some(watch) = &mut self.watch {
            watch.read(what, name);
        }
    }

    /// The filter writes a text to the log.
    pub fn note_line(&mut self, level: &'static str, text: &str) {
        if let Some(watch) = &mut self.watch {
            watch.say(level, text);
        }
    }

    /// What a call used: fuel, where it is counted, and memory in bytes.
    pub fn note_use(&mut self, fuel: Option<u64>, memory: usize) {
        if let Some(watch) = &mut self.watch {
            watch.used(fuel, memory);
        }
    }

    /// What the filter did that it may not, as far as known by now.
    pub fn breach(&self) -> Option<&Failure> {
        self.breach.as_ref()
    }

    /// What the filter did that it may not, and whether what it changed can be written.
    pub(in crate::filter) fn settle(&mut self) -> Result<(), Failure> {
        if let Some(breach) = self.breach.take() {
            return Err(breach);
        }
        self.write_content().map_err(Failure::Unwritable)?;
        match self.write().map_err(Failure::Unwritable)? {
            Some((_, frame)) => fits(frame),
            None => Ok(()),
        }
    }

    /// The changed command as it goes out; none when nothing was changed.
    pub(super) fn write(&mut self) -> Result<Option<&(Head, Frame)>, String> {
        if !self.is_changed {
            return Ok(None);
        }
        if self.written.is_none()
            && let Some(command) = &self.command
        {
            let frame = command.encode().map_err(|error| error.to_string())?;
            let head = Head::scan(&frame).map_err(|error| error.to_string())?;
            self.written = Some((head, frame));
        }
        Ok(self.written.as_ref())
    }

    /// Puts a filter's answer in the place of this response.
    pub(in crate::filter) fn replace(&mut self, answer: &Answer) -> Result<(), String> {
        let command = answer.to_command(&self.head, self.frame.kind());
        let frame = command.encode().map_err(|error| error.to_string())?;
        self.head = Head::scan(&frame).map_err(|error| error.to_string())?;
        self.written = Some((self.head.clone(), frame.clone()));
        self.frame = frame;
        self.index = OnceLock::new();
        self.command = Some(Arc::new(command));
        self.is_changed = true;
        self.content = Content::Unread;
        self.seen = None;
        self.acknowledge.clear();
        Ok(())
    }
}
