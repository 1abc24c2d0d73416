//! The body of a command under decision, and the messages in it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Signed, Subject, Way};
use crate::filter::Failure;
use crate::filter::messages::{Messages, PopRequest};
use crate::protocol::Command;
use crate::protocol::body::Heartbeat;
use crate::protocol::request as rq;

/// The messages of a command: not looked at, none there, or read.
#[derive(Debug, Default)]
pub(super) enum Content {
    #[default]
    Unread,
    None,
    Read(Messages),
}

impl Subject {
    /// Takes a consumer group out of a heartbeat; whether it was there.
    pub fn remove_group(&mut self, group: &str) -> bool {
        if self.way != Way::Request || self.code != rq::HEART_BEAT {
            return false;
        }
        let Some(without) = Heartbeat::without_group(&self.body_bytes(), group) else {
            return false;
        };
        let Some(command) = self.edit("takes a group out of a heartbeat") else {
            return false;
        };
        command.body = without;
        self.forget_derived();
        true
    }

    /// Bytes of the body, with messages as they were edited.
    pub fn body_size(&mut self) -> usize {
        self.seen_body().len()
    }

    /// The body; empty, and a breach, for a filter that did not ask for bodies.
    pub fn body(&mut self) -> Bytes {
        if !self.may_see_body("reads the body") {
            return Bytes::new();
        }
        self.seen_body()
    }

    /// Replaces the body. Messages are read anew from it.
    pub fn set_body(&mut self, body: Bytes) {
        if !self.may_see_body("replaces the body") {
            return;
        }
        self.settle_content();
        if let Some(command) = self.edit("replaces the body") {
            command.body = body;
            self.forget_derived();
        }
    }

    /// The messages in it, for reading; `None` when it carries none.
    pub fn messages(&mut self) -> Result<Option<&Messages>, String> {
        self.read_content()?;
        match &self.content {
            Content::Read(messages) => Ok(Some(messages)),
            Content::Unread | Content::None => Ok(None),
        }
    }

    /// The messages in it, for editing.
    pub fn messages_mut(&mut self) -> Result<Option<&mut Messages>, String> {
        self.read_content()?;
        self.seen = None;
        if self.signed == Signed::Final && self.way == Way::Request {
            self.breach
                .get_or_insert_with(|| Failure::Signed("changes a message".to_owned()));
            return Err("the command is signed with a key that Gimbal does not have".to_owned());
        }
        match &mut self.content {
            Content::Read(messages) => Ok(Some(messages)),
            Content::Unread | Content::None => Ok(None),
        }
    }

    pub(super) fn current_body(&self) -> Bytes {
        match &self.command {
            Some(command) => command.body.clone(),
            None => self.bytes_now().1.body_bytes(),
        }
    }

    fn body_bytes(&mut self) -> Bytes {
        self.settle_content();
        self.current_body()
    }

    fn seen_body(&mut self) -> Bytes {
        match self.with_messages() {
            Some(command) => command.body.clone(),
            None => self.current_body(),
        }
    }

    /// The command as it would be written now, when messages were edited: getters look there, so that messages keep
    /// their numbers until something else is changed.
    pub(super) fn with_messages(&mut self) -> Option<&Command> {
        if !matches!(&self.content, Content::Read(messages) if messages.is_changed()) {
            return None;
        }
        if self.seen.is_none() {
            let mut command = self.decode()?.clone();
            let Content::Read(messages) = &self.content else {
                return None;
            };
            match messages.write(&mut command, self.pop_request().as_ref()) {
                Ok(_acknowledged_when_settled) => self.seen = Some(Box::new(command)),
                Err(why) => {
                    self.breach
                        .get_or_insert_with(|| Failure::Unwritable(why.to_string()));
                }
            }
        }
        self.seen.as_deref()
    }

    fn pop_request(&self) -> Option<PopRequest> {
        let asked = self.asked.as_ref().filter(|_| self.way == Way::Response)?;
        asked.pop_request(self.answered_by.as_deref())
    }

    fn may_see_body(&mut self, what: &str) -> bool {
        if self.way == Way::Connection {
            return false;
        }
        if !self.turn.shows_body {
            self.breach
                .get_or_insert_with(|| Failure::NoBody(what.to_owned()));
        }
        self.turn.shows_body
    }

    fn read_content(&mut self) -> Result<(), String> {
        if self.way == Way::Connection {
            return Ok(());
        }
        if !self.may_see_body("looks at messages") {
            return Err("no body is shown here: none of the interests that fit has needs-body".to_owned());
        }
        if matches!(self.content, Content::Unread) {
            let (way, code, limit) = (self.way, self.code, self.body_limit);
            let read = if let Some(command) = &self.command {
                Messages::read(way, code, &**command, limit)
            } else {
                let source = (self.code(), self.fields_now(), self.bytes_now().1);
                Messages::read(way, code, &source, limit)
            };
            let group = self.asked.as_ref().and_then(|asked| asked.group());
            self.content = match read {
                Ok(Some(messages)) => Content::Read(match group {
                    Some(group) => messages.popped_by(&group),
                    None => messages,
                }),
                Ok(None) => Content::None,
                Err(error) => return Err(error.to_string()),
            };
        }
        Ok(())
    }

    /// Writes edited messages back, so that what is changed next is changed in what they became. What is left of them is
    /// numbered anew.
    pub(super) fn settle_content(&mut self) {
        if let Err(why) = self.write_content() {
            self.breach.get_or_insert(Failure::Unwritable(why));
        }
    }

    pub(super) fn write_content(&mut self) -> Result<(), String> {
        if !matches!(&self.content, Content::Read(messages) if messages.is_changed()) {
            return Ok(());
        }
        let Content::Read(messages) = std::mem::take(&mut self.content) else {
            return Ok(());
        };
        self.seen = None;
        self.facts = None;
        if self.write_in_place(&messages) {
            return Ok(());
        }
        let pop = self.pop_request();
        self.decode();
        let Some(command) = self.command.as_mut().map(Arc::make_mut) else {
            return Ok(());
        };
        let taken_out = messages
            .write(command, pop.as_ref())
            .map_err(|error| error.to_string())?;
        self.acknowledge.extend(taken_out);
        self.become_bytes(None);
        Ok(())
    }

    /// Writes a single message into the bytes of a command that nobody has decoded; whether that was possible.
    fn write_in_place(&mut self, messages: &Messages) -> bool {
        let Some(patch) = messages.patch().filter(|_| self.command.is_none()) else {
            return false;
        };
        let (head, frame) = self.bytes_now();
        let written = match patch.field {
            Some((name, value)) => head.with_field(frame, name, value),
            None => Some((head.clone(), frame.clone())),
        };
        let written = match (written, patch.body) {
            (Some((head, frame)), Some(body)) => {
                frame.with_body(body.clone()).ok().map(|frame| (head, frame))
            }
            (written, _) => written,
        };
        let is_done = written.is_some();
        if is_done {
            self.become_bytes(written);
        }
        is_done
    }
}
