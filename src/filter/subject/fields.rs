//! The header of a command under decision: ext fields and remark, read from the bytes until something is changed.

use std::borrow::Cow;

use super::content::Content;
use super::{Signed, Subject, Way};
use crate::filter::Failure;
use crate::protocol::{Command, Kind};

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
            None => self.head.fields(&self.frame).find(name),
        }
    }

    /// Every ext field, in order.
    pub fn fields(&mut self) -> Vec<(String, String)> {
        self.with_messages();
        match self.seen.as_deref().or(self.command.as_ref()) {
            Some(command) => {
                let fields = command.ext.iter().flatten();
                fields
                    .filter(|field| self.frame.kind() == Kind::Json || !field.value.as_str().is_empty())
                    .map(|field| (field.name.clone(), field.value.as_str().to_owned()))
                    .collect()
            }
            None => self.head.fields(&self.frame).to_pairs(),
        }
    }

    /// Sets an ext field.
    pub fn set_field(&mut self, name: &str, value: &str) {
        self.settle_content();
        if let Some(command) = self.edit("sets an ext field") {
            command.set_field(name, value);
            self.forget_derived();
        }
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

    /// The command to change; `None`, and a breach, when its signature would not survive.
    pub(super) fn edit(&mut self, what: &str) -> Option<&mut Command> {
        if self.way == Way::Connection {
            return None;
        }
        if self.signed == Signed::Final && self.way == Way::Request {
            self.breach
                .get_or_insert_with(|| Failure::Signed(what.to_owned()));
            return None;
        }
        self.decode()?;
        self.is_changed = true;
        self.written = None;
        self.command.as_mut()
    }

    pub(super) fn decode(&mut self) -> Option<&mut Command> {
        if self.command.is_none() {
            // The head was scanned, so the header is well formed.
            self.command = Command::decode(&self.frame).ok();
        }
        self.command.as_mut()
    }

    pub(super) fn forget_derived(&mut self) {
        self.facts = None;
        self.content = Content::Unread;
        self.seen = None;
    }
}
