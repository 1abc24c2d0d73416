//! The command under decision.

use std::borrow::Cow;

use wasmtime::Result;

use super::super::bindings::gimbal::filter::command::Host;
use super::super::bindings::gimbal::filter::types;
use super::super::ctx::Ctx;
use super::{count, index};
use crate::filter::{Access, Action, Subject, Way};

impl Ctx {
    /// The subject, if it is a command.
    fn command(&mut self) -> Option<&mut Subject> {
        self.subject
            .as_deref_mut()
            .filter(|subject| subject.way() != Way::Connection)
    }

    /// Notes for those who try filters what the guest reads.
    #[inline]
    pub(super) fn reads(&mut self, what: &str, name: &str) {
        if let Some(subject) = &mut self.subject {
            subject.note_read(what, name);
        }
    }
}

impl Host for Ctx {
    fn code(&mut self) -> Result<i32> {
        Ok(self.command().map_or(0, |subject| subject.code().0))
    }

    fn request_code(&mut self) -> Result<i32> {
        Ok(self.command().map_or(0, |subject| subject.request_code().0))
    }

    fn opaque(&mut self) -> Result<i32> {
        Ok(self.command().map_or(0, |subject| subject.head().opaque))
    }

    fn is_oneway(&mut self) -> Result<bool> {
        self.reads("one-way", "");
        Ok(self.command().is_some_and(|subject| subject.is_oneway()))
    }

    fn is_from_broker(&mut self) -> Result<bool> {
        self.reads("direction", "");
        Ok(self.command().is_some_and(|subject| subject.is_push()))
    }

    fn language(&mut self) -> Result<String> {
        self.reads("language", "");
        let name = self.command().map(|subject| subject.head().language.name());
        Ok(name.unwrap_or_default().to_owned())
    }

    fn version(&mut self) -> Result<i32> {
        self.reads("version", "");
        Ok(self.command().map_or(0, |subject| subject.head().version))
    }

    fn remark(&mut self) -> Result<Option<String>> {
        self.reads("remark", "");
        let subject = self.command();
        Ok(subject.and_then(|subject| subject.remark().map(Cow::into_owned)))
    }

    fn set_remark(&mut self, remark: String) -> Result<()> {
        self.hand_over(remark.len())?;
        if let Some(subject) = self.command() {
            subject.set_remark(&remark);
        }
        Ok(())
    }

    fn field(&mut self, name: String) -> Result<Option<String>> {
        self.reads("field", &name);
        let subject = self.command();
        Ok(subject.and_then(|subject| subject.field(&name).map(Cow::into_owned)))
    }

    fn fields(&mut self) -> Result<Vec<(String, String)>> {
        self.reads("all fields", "");
        Ok(self.command().map(Subject::fields).unwrap_or_default())
    }

    fn set_field(&mut self, name: String, value: String) -> Result<()> {
        self.hand_over(name.len().saturating_add(value.len()))?;
        if let Some(subject) = self.command() {
            subject.set_field(&name, &value);
        }
        Ok(())
    }

    fn remove_field(&mut self, name: String) -> Result<bool> {
        Ok(self.command().is_some_and(|subject| subject.remove_field(&name)))
    }

    fn request_field(&mut self, name: String) -> Result<Option<String>> {
        self.reads("request field", &name);
        let subject = self.command();
        Ok(subject.and_then(|subject| subject.request_field(&name).map(Cow::into_owned)))
    }

    fn topic(&mut self) -> Result<Option<String>> {
        self.reads("topic", "");
        Ok(self.command().and_then(Subject::topic))
    }

    fn group(&mut self) -> Result<Option<String>> {
        self.reads("group", "");
        Ok(self.command().and_then(Subject::group))
    }

    fn queue_id(&mut self) -> Result<Option<i32>> {
        self.reads("queue", "");
        Ok(self.command().and_then(Subject::queue_id))
    }

    fn broker(&mut self) -> Result<Option<String>> {
        self.reads("broker", "");
        Ok(self.command().and_then(Subject::broker))
    }

    fn accesses(&mut self) -> Result<Vec<types::Access>> {
        self.reads("accesses", "");
        let accesses = self.command().map(Subject::accesses).unwrap_or_default();
        Ok(accesses.into_iter().map(access).collect())
    }

    fn remove_group(&mut self, group: String) -> Result<bool> {
        Ok(self.command().is_some_and(|subject| subject.remove_group(&group)))
    }

    fn body_size(&mut self) -> Result<u32> {
        self.reads("body size", "");
        Ok(self.command().map_or(0, |subject| count(subject.body_size())))
    }

    fn body(&mut self) -> Result<Vec<u8>> {
        self.reads("body", "");
        let body = self.command().map(Subject::body).unwrap_or_default();
        Ok(body.to_vec())
    }

    fn body_range(&mut self, offset: u32, length: u32) -> Result<Vec<u8>> {
        self.reads("body", "");
        let body = self.command().map(Subject::body).unwrap_or_default();
        let rest = body.get(index(offset)..).unwrap_or_default();
        Ok(rest.get(..index(length)).unwrap_or(rest).to_vec())
    }

    fn set_body(&mut self, body: Vec<u8>) -> Result<()> {
        self.hand_over(body.len())?;
        if let Some(subject) = self.command() {
            subject.set_body(body.into());
        }
        Ok(())
    }

    fn max_delay(&mut self) -> Result<u32> {
        let longest = self.command().map(|subject| subject.max_delay().as_millis());
        Ok(u32::try_from(longest.unwrap_or_default()).unwrap_or(u32::MAX))
    }

    fn signed(&mut self) -> Result<bool> {
        self.reads("signature", "");
        Ok(self.command().is_some_and(|subject| subject.is_signed()))
    }
}

fn access(access: Access) -> types::Access {
    types::Access {
        action: match access.action {
            Action::Publish => types::Action::Publish,
            Action::Subscribe => types::Action::Subscribe,
            Action::Read => types::Action::Read,
            Action::Manage => types::Action::Manage,
        },
        topic: access.topic,
        group: access.group,
    }
}
