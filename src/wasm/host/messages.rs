//! The user messages inside the command.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::messages::Host;
use super::super::ctx::Ctx;
use super::{count, index};
use crate::filter::messages::{MessageError, Messages};

type Answer<T> = Result<std::result::Result<T, String>>;

const NONE: &str = "the command carries no messages";

impl Ctx {
    /// The messages, for reading.
    fn messages(&mut self) -> std::result::Result<Option<&Messages>, String> {
        match &mut self.subject {
            Some(subject) => subject.messages(),
            None => Ok(None),
        }
    }

    /// What `read` finds; a command whose messages cannot be read makes the call fail unless the guest is told.
    fn look<T>(&mut self, read: impl FnOnce(&Messages) -> Option<T>) -> Option<T> {
        match self.messages() {
            Ok(messages) => messages.and_then(read),
            Err(why) => {
                if !self.is_told {
                    self.unreadable.get_or_insert(why);
                }
                None
            }
        }
    }

    /// Notes for those who try filters what the guest reads.
    fn reads_of(&mut self, at: u32, what: &str) {
        if let Some(subject) = self.subject.as_mut().filter(|subject| subject.is_watched()) {
            subject.note_read(&format!("message {at}"), what);
        }
    }

    /// Tells the guest that the messages cannot be read: what to do about it is its decision now.
    fn tell(&mut self, why: String) -> String {
        self.unreadable = None;
        self.is_told = true;
        why
    }

    /// What `edit` does.
    fn edit<T>(
        &mut self,
        edit: impl FnOnce(&mut Messages) -> std::result::Result<T, MessageError>,
    ) -> std::result::Result<T, String> {
        let subject = self.subject.as_mut().ok_or_else(|| NONE.to_owned())?;
        match subject.messages_mut() {
            Ok(Some(messages)) => edit(messages).map_err(|error| error.to_string()),
            Ok(None) => Err(NONE.to_owned()),
            Err(why) => Err(self.tell(why)),
        }
    }
}

impl Host for Ctx {
    fn count(&mut self) -> Answer<u32> {
        self.reads("messages", "");
        let counted = self
            .messages()
            .map(|messages| messages.map_or(0, |messages| count(messages.len())));
        Ok(counted.map_err(|why| self.tell(why)))
    }

    fn topic(&mut self, at: u32) -> Result<Option<String>> {
        self.reads_of(at, "topic");
        Ok(self.look(|messages| messages.topic(index(at)).map(str::to_owned)))
    }

    fn tags(&mut self, at: u32) -> Result<Option<String>> {
        self.reads_of(at, "tag");
        Ok(self.look(|messages| messages.tags(index(at)).map(str::to_owned)))
    }

    fn keys(&mut self, at: u32) -> Result<Option<String>> {
        self.reads_of(at, "keys");
        Ok(self.look(|messages| messages.keys(index(at)).map(str::to_owned)))
    }

    fn property(&mut self, at: u32, name: String) -> Result<Option<String>> {
        if self.subject.as_ref().is_some_and(|subject| subject.is_watched()) {
            self.reads_of(at, &format!("property {name}"));
        }
        Ok(self.look(|messages| messages.property(index(at), &name).map(str::to_owned)))
    }

    fn properties(&mut self, at: u32) -> Result<Vec<(String, String)>> {
        self.reads_of(at, "properties");
        let properties = self.look(|messages| Some(messages.properties(index(at))));
        Ok(properties.unwrap_or_default())
    }

    fn set_property(&mut self, at: u32, name: String, value: String) -> Answer<()> {
        self.hand_over(name.len().saturating_add(value.len()))?;
        Ok(self.edit(|messages| messages.set_property(index(at), &name, &value)))
    }

    fn remove_property(&mut self, at: u32, name: String) -> Answer<bool> {
        Ok(self.edit(|messages| messages.remove_property(index(at), &name)))
    }

    fn body_size(&mut self, at: u32) -> Result<u32> {
        self.reads_of(at, "body size");
        let size = self.look(|messages| Some(messages.body_size(index(at))));
        Ok(count(size.unwrap_or_default()))
    }

    fn body(&mut self, at: u32) -> Answer<Vec<u8>> {
        self.reads_of(at, "body");
        let messages = match self.messages() {
            Ok(Some(messages)) => messages,
            Ok(None) => return Ok(Err(NONE.to_owned())),
            Err(why) => return Ok(Err(self.tell(why))),
        };
        let body = messages.body(index(at));
        Ok(body.map(|body| body.to_vec()).map_err(|error| error.to_string()))
    }

    fn set_body(&mut self, at: u32, body: Vec<u8>) -> Answer<()> {
        self.hand_over(body.len())?;
        Ok(self.edit(|messages| messages.set_body(index(at), body.into())))
    }

    fn remove(&mut self, at: u32) -> Answer<()> {
        Ok(self.edit(|messages| messages.remove(index(at))))
    }

    fn queue_offset(&mut self, at: u32) -> Result<Option<u64>> {
        self.reads_of(at, "offset");
        Ok(self.look(|messages| messages.queue_offset(index(at))))
    }

    fn reconsume_times(&mut self, at: u32) -> Result<u32> {
        self.reads_of(at, "reconsume times");
        let times = self.look(|messages| Some(messages.reconsume_times(index(at))));
        Ok(times.unwrap_or_default())
    }

    fn born_timestamp(&mut self, at: u32) -> Result<u64> {
        self.reads_of(at, "born timestamp");
        let born = self.look(|messages| Some(messages.born_timestamp(index(at))));
        Ok(born.unwrap_or_default())
    }
}
