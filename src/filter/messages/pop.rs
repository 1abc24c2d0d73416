//! What the answer to a pop says about its messages, and how they are acknowledged.
//!
//! A client finds a message's handle by position: the n-th message of a topic kind and queue in the body belongs to the
//! n-th offset of `msgOffsetInfo` for these (`MQClientAPIImpl.processPopResponse`). A message that is taken out must take
//! its offset along, and is acknowledged in the client's place, or it would come back after the invisible time.

use std::collections::{HashMap, HashSet};

use super::carrier::Source;
use super::error::Keep;
use super::topic;
use crate::protocol::Command;
use crate::protocol::body::StoredMessage;

/// `reviveQid` of ordered pops.
const ORDERED: &str = "999";
/// The handle, when the broker already wrote it: in messages of retry topics, whose topic it replaced.
const HANDLE: &str = "POP_CK";

/// Most messages of an answer that are looked up one by one; a pop asks for 32 at most.
const MOST: usize = 256;

/// What a pop asked, needed to acknowledge in the client's place. Names are those of the broker that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopRequest {
    /// The consumer group.
    pub group: String,
    /// The topic, never a retry topic.
    pub topic: String,
    /// The broker, as its clients name it.
    pub broker: String,
    /// Whether the pop was ordered (`order`).
    pub is_ordered: bool,
}

/// A message that was taken out of a pop: the ext fields of the `ACK_MESSAGE` (200051) that acknowledges it at the broker
/// that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledge {
    /// The topic it is stored in, which may be a retry topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The queue.
    pub queue_id: i32,
    /// Where it stands in the queue.
    pub offset: i64,
    /// The handle.
    pub extra_info: String,
}

/// The answer's ext fields that tell about messages.
#[derive(Debug, Clone)]
pub(super) struct PopAnswer {
    pop_time: String,
    invisible_time: String,
    revive_queue: String,
    starts: String,
    offsets: String,
}

/// Where a message stands in the answer.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    mark: String,
    queue: i32,
    /// Among the messages of this kind and queue.
    position: usize,
}

impl PopAnswer {
    pub(super) fn read(command: &impl Source) -> Self {
        let field = |name| command.field(name).unwrap_or_default().into_owned();
        Self {
            pop_time: field("popTime"),
            invisible_time: field("invisibleTime"),
            revive_queue: field("reviveQid"),
            starts: field("startOffsetInfo"),
            offsets: field("msgOffsetInfo"),
        }
    }

    /// Whether the message at `index` may be taken out.
    pub(super) fn may_remove(&self, messages: &[&StoredMessage], index: usize) -> Result<(), Keep> {
        let anybody = PopRequest {
            group: String::new(),
            topic: String::new(),
            broker: String::new(),
            is_ordered: false,
        };
        self.acknowledge(messages, index, &anybody).map(|_handle| ())
    }

    /// How the message at `index` is acknowledged; `messages` are all that the answer came with.
    pub(super) fn acknowledge(
        &self,
        messages: &[&StoredMessage],
        index: usize,
        pop: &PopRequest,
    ) -> Result<Acknowledge, Keep> {
        let message = messages
            .get(index)
            .filter(|_| messages.len() <= MOST)
            .ok_or(Keep::NoHandle)?;
        if pop.is_ordered || self.revive_queue == ORDERED {
            return Err(Keep::OrderedPop);
        }
        if message.is_inner_batch() {
            return Err(Keep::InnerBatch);
        }
        if message.properties().find("INNER_MULTI_DISPATCH").is_some() {
            return Err(Keep::SeveralQueues);
        }
        let place = place(messages, index).ok_or(Keep::NoHandle)?;
        let offset = self.offset(messages, &place).ok_or(Keep::NoHandle)?;
        let start = self.start(&place).ok_or(Keep::NoHandle)?;
        let (queue_id, offset, extra_info) = if let Some(handle) = message.properties().find(HANDLE) {
            let (queue, offset) = queue_and_offset(handle).ok_or(Keep::NoHandle)?;
            (queue, offset, handle.to_owned())
        } else {
            let handle = self.handle(&place, start, offset, &pop.broker)?;
            (place.queue, offset, handle)
        };
        Ok(Acknowledge {
            topic: topic::acknowledged_topic(&place.mark, &pop.topic, &pop.group),
            group: pop.group.clone(),
            queue_id,
            offset,
            extra_info,
        })
    }

    /// The handle as the client would build it (`ExtraInfoUtil.buildExtraInfo`).
    fn handle(&self, place: &Place, start: i64, offset: i64, broker: &str) -> Result<String, Keep> {
        let numbers = [&self.pop_time, &self.invisible_time, &self.revive_queue];
        if numbers.iter().any(|number| number.parse::<i64>().is_err()) {
            return Err(Keep::NoHandle);
        }
        let [pop_time, invisible_time, revive_queue] = numbers;
        let Place { mark, queue, .. } = place;
        Ok(format!(
            "{start} {pop_time} {invisible_time} {revive_queue} {mark} {broker} {queue} {offset}"
        ))
    }

    /// The offset that the client would find for the message.
    fn offset(&self, messages: &[&StoredMessage], place: &Place) -> Option<i64> {
        let list = single(&self.offsets, place)?;
        let count = (0..messages.len())
            .filter_map(|index| kind(messages.get(index)?))
            .filter(|(mark, queue)| *mark == place.mark && *queue == place.queue)
            .count();
        // Were there more offsets than messages, or fewer, nobody could say which is whose.
        if list.split(',').count() != count {
            return None;
        }
        list.split(',').nth(place.position)?.parse().ok()
    }

    fn start(&self, place: &Place) -> Option<i64> {
        single(&self.starts, place)?.parse().ok()
    }

    /// Takes the messages at `removed` out of the answer's ext fields.
    ///
    /// `orderCountInfo` stays: only ordered pops have one, and it is looked up by offset.
    pub(super) fn write(&self, command: &mut Command, messages: &[&StoredMessage], removed: &HashSet<usize>) {
        let mut gone: HashMap<(String, i32), HashSet<usize>> = HashMap::new();
        for place in removed.iter().filter_map(|index| place(messages, *index)) {
            gone.entry((place.mark, place.queue))
                .or_default()
                .insert(place.position);
        }
        let mut offsets = Vec::new();
        let mut starts: Vec<&str> = self.starts.split(';').collect();
        for entry in self.offsets.split(';') {
            let parts = parts(entry);
            let key = parts.and_then(|(mark, queue, _)| Some((mark.to_owned(), queue.parse().ok()?)));
            let (Some((mark, queue, list)), Some(positions)) = (parts, key.and_then(|key| gone.get(&key)))
            else {
                offsets.push(entry.to_owned());
                continue;
            };
            let left: Vec<&str> = list
                .split(',')
                .enumerate()
                .filter(|(position, _)| !positions.contains(position))
                .map(|(_, offset)| offset)
                .collect();
            if left.is_empty() {
                // An entry without offsets does not parse; nobody looks up where its queue began.
                starts.retain(|start| parts_of_key(start) != Some((mark, queue)));
            } else {
                offsets.push(format!("{mark} {queue} {}", left.join(",")));
            }
        }
        for (name, text) in [
            ("msgOffsetInfo", offsets.join(";")),
            ("startOffsetInfo", starts.join(";")),
        ] {
            if text.is_empty() {
                command.remove_field(name);
            } else {
                command.set_field(name, text);
            }
        }
    }
}

/// Where the message at `index` stands.
fn place(messages: &[&StoredMessage], index: usize) -> Option<Place> {
    let (mark, queue) = kind(messages.get(index)?)?;
    let position = messages
        .iter()
        .take(index)
        .filter(|message| kind(message).is_some_and(|other| other == (mark, queue)))
        .count();
    Some(Place {
        mark: mark.to_owned(),
        queue,
        position,
    })
}

/// The kind of topic and the queue, by which clients tell messages apart.
fn kind(message: &StoredMessage) -> Option<(&str, i32)> {
    let mark = match message.properties().find(HANDLE) {
        Some(handle) => handle.split(' ').nth(4)?,
        None => topic::retry_mark(message.topic()),
    };
    Some((mark, message.queue_id()))
}

/// The queue and the offset that a handle names.
fn queue_and_offset(handle: &str) -> Option<(i32, i64)> {
    let mut parts = handle.split(' ').skip(6);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The three parts of an entry: kind, queue, value.
fn parts(entry: &str) -> Option<(&str, &str, &str)> {
    let (mark, rest) = entry.split_once(' ')?;
    let (queue, value) = rest.split_once(' ')?;
    (!value.contains(' ')).then_some((mark, queue, value))
}

fn parts_of_key(entry: &str) -> Option<(&str, &str)> {
    parts(entry).map(|(mark, queue, _)| (mark, queue))
}

/// The value for this kind and queue, if there is exactly one.
fn single<'a>(info: &'a str, place: &Place) -> Option<&'a str> {
    let mut values = info
        .split(';')
        .filter_map(parts)
        .filter(|(mark, queue, _)| *mark == place.mark && queue.parse() == Ok(place.queue))
        .map(|(_, _, value)| value);
    values.next().filter(|_| values.next().is_none())
}
