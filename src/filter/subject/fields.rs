//! The header of a command under decision: ext fields and remark, read from the bytes until something is changed.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::content::Content;
use super::{Signed, Subject, Way};
use crate::filter::Failure;
use crate::protocol::{Command, Frame, Head, Kind};

impl Subject {
    /// Human text.
    pub fn remark(&self) -> Option<Cow<'_, str>> {
        if let Some(command) = &self.command {
            return command.remark.as_ref().map(|text| text.as_str().into());
        }
        let command = Command::decode(&self.frame).ok()?;
        command.remark.map(|text| text.as_str().to_owned().into())
    }

    /// Sets the remark.
    pub fn set_remark(&mut self, remark: &str) {
        if let Some(command) = self.edit("sets the remark") {
            command.remark = Some(remark.into());
        }
    }

    /// An ext field.
    pub fn field(&mut self, name: &str) -> Option<Cow<'_, str>> {
        if self.with_messages().is_some() {
            let command = self.seen.as_ref()?;
            return command.field(name).map(Cow::Borrowed);
        }
        match &self.command {
            Some(command) => command.field(name).map(Cow::Borrowed),
            None => self.fields_now().find(name),
        }
    }

    /// Every ext field, in order.
    pub fn fields(&mut self) -> Vec<(String, String)> {
        self.with_messages();
        match self.seen.as_deref().or(self.command.as_deref()) {
            Some(command) => {
                let fields = command.ext.iter().flatten();
                fields
                    .filter(|field| self.frame.kind() == Kind::Json || !field.value.as_str().is_empty())
                    .map(|field| (field.name.to_string(), field.value.as_str().to_owned()))
                    .collect()
            }
            None => self.fields_now().to_pairs(),
        }
    }

    /// Sets an ext field.
    pub fn set_field(&mut self, name: &str, value: &str) {
        self.settle_content();
        if !self.may_edit("sets an ext field") {
            return;
        }
        if !self.set_in_place(name, value)
            && let Some(command) = self.edit("sets an ext field")
        {
            command.set_field(name, value);
        }
        self.forget_derived();
    }

    /// Removes an ext field; whether it was there.
    pub fn remove_field(&mut self, name: &str) -> bool {
        self.settle_content();
        if self.field(name).is_none() {
            return false;
        }
        let Some(command) = self.edit("removes an ext field") else {
            return false;
        };
        command.remove_field(name);
        self.forget_derived();
        true
    }

    /// Sets an ext field in the bytes of a command that nobody has decoded; whether that was possible.
    fn set_in_place(&mut self, name: &str, value: &str) -> bool {
        if self.command.is_some() {
            return false;
        }
        let (head, frame) = self.bytes_now();
        let written = head.with_field(frame, name, value);
        let is_done = written.is_some();
        if is_done {
            self.become_bytes(written);
        }
        is_done
    }

    /// From now on the command is these bytes; without any, what was decoded.
    pub(super) fn become_bytes(&mut self, written: Option<(Head, Frame)>) {
        self.is_changed = true;
        self.written = written;
        self.index = OnceLock::new();
    }

    /// Whether anything may be changed; a breach when its signature would not survive.
    fn may_edit(&mut self, what: &str) -> bool {
        if self.way == Way::Connection {
            return false;
        }
        let is_final = self.signed == Signed::Final && self.way == Way::Request;
        if is_final {
            self.breach
                .get_or_insert_with(|| Failure::Signed(what.to_owned()));
        }
        !is_final
    }

    /// The command to change; `None`, and a breach, when its signature would not survive.
    pub(super) fn edit(&mut self, what: &str) -> Option<&mut Command> {
        if !self.may_edit(what) {
            return None;
        }
        self.decode()?;
        self.become_bytes(None);
        self.command.as_mut().map(Arc::make_mut)
    }

    pub(super) fn decode(&mut self) -> Option<&Command> {
        if self.command.is_none() {
            // The head was scanned, so the header is well formed.
            self.command = Command::decode(self.bytes_now().1).ok().map(Arc::new);
        }
        self.command.as_deref()
    }

    pub(super) fn forget_derived(&mut self) {
        self.facts = None;
        self.content = Content::Unread;
        self.seen = None;
    }
}
