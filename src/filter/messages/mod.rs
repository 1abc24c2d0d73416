//! The user messages inside a command: read, edited and taken out one by one, and written back once.
//!
//! ```text
//!  read ─▶ topic, properties, body … ─▶ set, remove ─▶ write ─▶ body and ext fields of the command
//!                                                         └──▶ what must be acknowledged at the broker
//! ```
//!
//! A message that is not changed keeps its bytes, and a command of which no message is changed is not touched. A stored
//! batch that its consumer splits (`sysFlag` 0xC0) is one message here, with the properties of the whole and a body that
//! can be neither read nor replaced.

mod carrier;
mod error;
mod pop;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};

use crate::filter::Way;
use crate::protocol::body::{BatchItem, Compression, EditError, Properties, StoredMessage};
use crate::protocol::{Code, Command, FRAME_LIMIT};

pub use carrier::Source;
use carrier::{Answer, Carrier, Header};
pub use error::{Keep, MessageError};
use pop::PopAnswer;
pub use pop::{Acknowledge, PopRequest};

/// The messages of one command, numbered from 0.
///
/// A message that was removed answers like one that is not there, and the others keep their numbers: [`Self::len`] stays
/// what it was.
#[derive(Debug)]
pub struct Messages {
    carrier: Carrier,
    all: Vec<Message>,
    removed: HashSet<usize>,
    pop: Option<Box<PopAnswer>>,
    /// The group that popped, for names of retry topics.
    group: Option<String>,
    body_limit: usize,
}

/// What a single message that is sent becomes in its command.
#[derive(Debug)]
pub struct Patch<'a> {
    /// The ext field of its properties and what it says, when they changed.
    pub field: Option<(&'static str, &'a str)>,
    /// Its body, when that changed.
    pub body: Option<&'a Bytes>,
}

#[derive(Debug)]
enum Message {
    /// A single one: properties, body, and whether the body is new.
    Sent(Properties, Bytes, bool),
    Item(BatchItem),
    Stored(StoredMessage),
}

impl Message {
    fn properties(&self) -> &Properties {
        match self {
            Self::Sent(properties, _, _) => properties,
            Self::Item(item) => item.properties(),
            Self::Stored(stored) => stored.properties(),
        }
    }

    fn properties_mut(&mut self) -> &mut Properties {
        match self {
            Self::Sent(properties, _, _) => properties,
            Self::Item(item) => item.properties_mut(),
            Self::Stored(stored) => stored.properties_mut(),
        }
    }

    /// The body as it travels.
    fn body(&self) -> &Bytes {
        match self {
            Self::Sent(_, body, _) => body,
            Self::Item(item) => item.body(),
            Self::Stored(stored) => stored.body(),
        }
    }

    fn set_body(&mut self, new: Bytes) -> Result<(), EditError> {
        match self {
            Self::Sent(_, body, is_new) => {
                *is_new = *is_new || *body != new;
                *body = new;
                Ok(())
            }
            Self::Item(item) => item.set_body(new),
            Self::Stored(stored) => stored.set_body(new),
        }
    }

    fn is_changed(&self) -> bool {
        match self {
            Self::Sent(properties, _, is_new) => *is_new || properties.is_changed(),
            Self::Item(item) => item.is_changed(),
            Self::Stored(stored) => stored.is_changed(),
        }
    }

    fn stored(&self) -> Option<&StoredMessage> {
        match self {
            Self::Stored(stored) => Some(stored),
            Self::Sent(..) | Self::Item(_) => None,
        }
    }
}

impl Messages {
    /// The messages in `command`, which answers (or is) a request with `code`. `None` when it carries none: by its code,
    /// or because it is an answer that is no success. Bodies that have more than `body_limit` bytes decompressed are
    /// errors once they are asked for.
    pub fn read(
        way: Way,
        code: Code,
        command: &impl Source,
        body_limit: usize,
    ) -> Result<Option<Self>, MessageError> {
        let Some(carrier) = Carrier::of(way, code, command) else {
            return Ok(None);
        };
        let all = match &carrier {
            Carrier::Send(header) | Carrier::Reply(header) => {
                let properties = Properties::new(Header::properties(command, header));
                vec![Message::Sent(properties, command.body(), false)]
            }
            Carrier::Batch(_) => each(BatchItem::decode_all(&command.body())?, Message::Item),
            Carrier::Stored(_) => each(StoredMessage::decode_all(&command.body())?, Message::Stored),
        };
        let is_pop = matches!(carrier, Carrier::Stored(Answer::Pop));
        Ok(Some(Self {
            pop: is_pop.then(|| Box::new(PopAnswer::read(command))),
            carrier,
            all,
            removed: HashSet::new(),
            group: None,
            body_limit,
        }))
    }

    /// Says which group popped the messages, as it is named in their topics: without it a message in a retry topic of the
    /// older form (`%RETRY%<group>_<topic>`), which brokers hand out only on request, has that for its topic.
    #[must_use]
    pub fn popped_by(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// How many messages the command came with.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether it came with none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The message's own topic: also in a retry or DLQ topic, or one where it waits, the one it was first sent to.
    pub fn topic(&self, index: usize) -> Option<&str> {
        let message = self.message(index)?;
        let stored = match message.stored() {
            Some(stored) => stored.topic(),
            None => self.carrier.header()?.topic.as_deref()?,
        };
        Some(topic::own_topic(
            stored,
            message.properties(),
            self.group.as_deref(),
        ))
    }

    /// Its tag.
    pub fn tags(&self, index: usize) -> Option<&str> {
        self.property(index, "TAGS")
    }

    /// Its keys, separated by blanks.
    pub fn keys(&self, index: usize) -> Option<&str> {
        self.property(index, "KEYS")
    }

    /// A property.
    pub fn property(&self, index: usize, name: &str) -> Option<&str> {
        self.message(index)?.properties().find(name)
    }

    /// All properties, each once, in the order they stand.
    pub fn properties(&self, index: usize) -> Vec<(String, String)> {
        let Some(message) = self.message(index) else {
            return Vec::new();
        };
        let mut names = HashSet::new();
        // The last of one name counts.
        let last = message
            .properties()
            .pairs()
            .rev()
            .filter(|(name, _)| names.insert(*name));
        let mut pairs: Vec<_> = last
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        pairs.reverse();
        pairs
    }

    /// Sets a property. In pulls a new `TAGS` may hide the message from its consumer, who filters by tag again.
    pub fn set_property(&mut self, index: usize, name: &str, value: &str) -> Result<(), MessageError> {
        let properties = self.message_mut(index)?.properties_mut();
        properties
            .set(name, value)
            .map_err(|why| MessageError::Edit { index, why })
    }

    /// Removes a property; whether it was there.
    pub fn remove_property(&mut self, index: usize, name: &str) -> Result<bool, MessageError> {
        Ok(self.message_mut(index)?.properties_mut().remove(name))
    }

    /// Bytes of the body as it travels, compressed or not; 0 when there is no such message.
    pub fn body_size(&self, index: usize) -> usize {
        self.message(index).map_or(0, |message| message.body().len())
    }

    /// The body, decompressed.
    pub fn body(&self, index: usize) -> Result<Bytes, MessageError> {
        let message = self.message(index).ok_or_else(|| self.no_message(index))?;
        match self.compression(index, message)? {
            Some(compression) => compression
                .decompress(message.body(), self.body_limit)
                .map_err(|why| MessageError::Compression { index, why }),
            None => Ok(message.body().clone()),
        }
    }

    /// Replaces the body; it is compressed again if it was compressed. A body must have at least one byte, as producers
    /// see to it.
    pub fn set_body(&mut self, index: usize, body: Bytes) -> Result<(), MessageError> {
        let message = self.message(index).ok_or_else(|| self.no_message(index))?;
        let compression = self.compression(index, message)?;
        if body.is_empty() {
            return Err(MessageError::EmptyBody { index });
        }
        if body.len() > FRAME_LIMIT {
            return Err(MessageError::TooLarge {
                bytes: body.len(),
                limit: FRAME_LIMIT,
            });
        }
        let body = match compression {
            None => body,
            // Compressed anew the same body could have other bytes.
            Some(_) if self.body(index).is_ok_and(|old| old == body) => return Ok(()),
            Some(compression) => compression
                .compress(&body)
                .map_err(|why| MessageError::Compression { index, why })?,
        };
        self.message_mut(index)?
            .set_body(body)
            .map_err(|why| MessageError::Edit { index, why })
    }

    /// Takes the message out: of a batch before it is stored, of an answer before its consumer sees it. The other
    /// messages keep their numbers.
    ///
    /// A send must keep one message; what a broker pushed, what was asked for by its id, and messages of ordered pops
    /// cannot be taken out.
    pub fn remove(&mut self, index: usize) -> Result<(), MessageError> {
        if self.message(index).is_none() {
            return Err(self.no_message(index));
        }
        self.may_remove(index)
            .map_err(|why| MessageError::Kept { index, why })?;
        self.removed.insert(index);
        Ok(())
    }

    fn may_remove(&self, index: usize) -> Result<(), Keep> {
        match &self.carrier {
            Carrier::Send(_) => Err(Keep::LastOfSend),
            Carrier::Batch(_) if self.left() <= 1 => Err(Keep::LastOfSend),
            Carrier::Reply(_) | Carrier::Stored(Answer::Push) => Err(Keep::Pushed),
            Carrier::Stored(Answer::View) => Err(Keep::Viewed),
            Carrier::Batch(_) | Carrier::Stored(Answer::Pull | Answer::Peek | Answer::Query) => Ok(()),
            Carrier::Stored(Answer::Pop) => {
                let pop = self.pop.as_ref().ok_or(Keep::NoHandle)?;
                pop.may_remove(&self.stored(), index)
            }
        }
    }

    /// Where it stands in its queue; `None` in sends.
    pub fn queue_offset(&self, index: usize) -> Option<u64> {
        let offset = self.message(index)?.stored()?.queue_offset();
        u64::try_from(offset).ok()
    }

    /// How often it was delivered before.
    pub fn reconsume_times(&self, index: usize) -> u32 {
        let times = self.message(index).and_then(|message| match message.stored() {
            Some(stored) => Some(stored.reconsume_times()),
            None => self.carrier.header().map(|header| header.reconsume_times),
        });
        times
            .and_then(|times| u32::try_from(times).ok())
            .unwrap_or_default()
    }

    /// When it was made, milliseconds since 1970 by the producer's clock; 0 when it does not say.
    pub fn born_timestamp(&self, index: usize) -> u64 {
        let born = self.message(index).and_then(|message| match message.stored() {
            Some(stored) => Some(stored.born_timestamp()),
            None => self.carrier.header().map(|header| header.born_timestamp),
        });
        born.and_then(|born| u64::try_from(born).ok()).unwrap_or_default()
    }

    /// Whether anything was set or removed.
    pub fn is_changed(&self) -> bool {
        !self.removed.is_empty() || self.all.iter().any(Message::is_changed)
    }

    /// Writes what changed into `command`, which is the one that was read: its body, and the ext fields that tell about
    /// messages. Gives back what must be acknowledged at the broker because it was taken out of a pop; for that it needs
    /// to know what the `pop` asked. After an error `command` is as it was.
    ///
    /// An answer of which nothing is left becomes one that says that nothing was found, with its offsets unchanged.
    pub fn write(
        &self,
        command: &mut Command,
        pop: Option<&PopRequest>,
    ) -> Result<Vec<Acknowledge>, MessageError> {
        if !self.is_changed() {
            return Ok(Vec::new());
        }
        let acknowledges = self.acknowledges(pop)?;
        let body = self.encode()?;
        if body.len() > FRAME_LIMIT {
            return Err(MessageError::TooLarge {
                bytes: body.len(),
                limit: FRAME_LIMIT,
            });
        }
        match &self.carrier {
            Carrier::Send(header) | Carrier::Reply(header) => {
                let properties = self.all.first().map(Message::properties);
                if let Some(properties) = properties.filter(|properties| properties.is_changed()) {
                    header.set_properties(command, properties.as_str());
                }
            }
            Carrier::Stored(answer) => {
                if let Some(answered) = self.pop.as_ref().filter(|_| !self.removed.is_empty()) {
                    answered.write(command, &self.stored(), &self.removed);
                }
                if self.left() == 0 {
                    answer.say_nothing_found(command);
                }
            }
            Carrier::Batch(_) => {}
        }
        command.body = body;
        Ok(acknowledges)
    }

    /// What changed of a single message that is sent, when that is its properties, its body, or both: the ext field of
    /// the properties with its value, and the body. `None` for whatever takes more to write.
    pub fn patch(&self) -> Option<Patch<'_>> {
        let (Carrier::Send(header), [Message::Sent(properties, body, is_new)]) =
            (&self.carrier, &self.all[..])
        else {
            return None;
        };
        if !self.removed.is_empty() || properties.as_str().is_empty() || body.len() > FRAME_LIMIT {
            return None;
        }
        let field = (header.properties_name(), properties.as_str());
        Some(Patch {
            field: properties.is_changed().then_some(field),
            body: is_new.then_some(body),
        })
    }

    fn acknowledges(&self, pop: Option<&PopRequest>) -> Result<Vec<Acknowledge>, MessageError> {
        let Some(answer) = &self.pop else {
            return Ok(Vec::new());
        };
        let stored = self.stored();
        let mut removed: Vec<usize> = self.removed.iter().copied().collect();
        removed.sort_unstable();
        let acknowledge = |index| {
            pop.ok_or(Keep::NoHandle)
                .and_then(|pop| answer.acknowledge(&stored, index, pop))
                .map_err(|why| MessageError::Kept { index, why })
        };
        removed.into_iter().map(acknowledge).collect()
    }

    fn encode(&self) -> Result<Bytes, MessageError> {
        let mut out = BytesMut::new();
        for (index, message) in self.all.iter().enumerate() {
            if self.removed.contains(&index) {
                continue;
            }
            match message {
                Message::Sent(_, body, _) => return Ok(body.clone()),
                Message::Item(item) => item.encode_into(&mut out),
                Message::Stored(stored) => stored.encode_into(&mut out),
            }
            .map_err(|why| MessageError::Edit { index, why })?;
        }
        Ok(out.freeze())
    }

    fn compression(&self, index: usize, message: &Message) -> Result<Option<Compression>, MessageError> {
        let sys_flag = match message.stored() {
            Some(stored) if stored.is_inner_batch() => {
                return Err(MessageError::Edit {
                    index,
                    why: EditError::InnerBatch,
                });
            }
            Some(stored) => stored.sys_flag(),
            None => self.carrier.header().map_or(0, |header| header.sys_flag),
        };
        Compression::of(sys_flag).map_err(|why| MessageError::Compression { index, why })
    }

    /// Messages that were not removed.
    fn left(&self) -> usize {
        self.all.len().saturating_sub(self.removed.len())
    }

    fn stored(&self) -> Vec<&StoredMessage> {
        self.all.iter().filter_map(Message::stored).collect()
    }

    fn message(&self, index: usize) -> Option<&Message> {
        self.all.get(index).filter(|_| !self.removed.contains(&index))
    }

    fn message_mut(&mut self, index: usize) -> Result<&mut Message, MessageError> {
        let error = self.no_message(index);
        self.all
            .get_mut(index)
            .filter(|_| !self.removed.contains(&index))
            .ok_or(error)
    }

    fn no_message(&self, index: usize) -> MessageError {
        MessageError::NoMessage {
            index,
            count: self.all.len(),
        }
    }
}

fn each<T>(parts: Vec<T>, message: impl Fn(T) -> Message) -> Vec<Message> {
    parts.into_iter().map(message).collect()
}
