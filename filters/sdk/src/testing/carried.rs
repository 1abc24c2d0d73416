//! The host's functions about the messages inside a command.

use super::fake::{command, current};
use super::request::{Message, find, remove as remove_pair, set};
use super::state::Current;

const NEEDS_BODY: &str = "`messages` needs an interest with `needs-body`";

/// A message that has not been taken out.
fn there(current: &mut Current, index: u32) -> Option<&mut Message> {
    let is_there = current.needs_body && !current.removed.contains(&index);
    let messages = &mut current.request.messages;
    usize::try_from(index)
        .ok()
        .and_then(|index| messages.get_mut(index))
        .filter(|_| is_there)
}

fn at<T>(index: u32, read: impl FnOnce(&Message) -> T) -> Option<T> {
    current(|c| there(c, index).map(|message| read(message)))
}

fn change<T>(index: u32, act: impl FnOnce(&mut Message) -> T) -> Result<T, String> {
    let changed = current(|c| {
        if !c.needs_body {
            return Some(Err(NEEDS_BODY.to_owned()));
        }
        if c.request.is_signed && c.request.response.is_none() {
            c.failure = Some("a message of a signed command was changed".to_owned());
        }
        there(c, index).map(|message| Ok(act(message)))
    });
    changed.unwrap_or_else(|| Err(format!("there is no message {index}")))
}

pub(crate) fn count() -> Result<u32, String> {
    let counted = current(|c| {
        let count = u32::try_from(c.request.messages.len()).unwrap_or(u32::MAX);
        Some(if c.needs_body {
            Ok(count)
        } else {
            Err(NEEDS_BODY.to_owned())
        })
    });
    counted.unwrap_or(Ok(0))
}

pub(crate) fn topic(index: u32) -> Option<String> {
    let own = at(index, |message| {
        let of_retry = find(&message.properties, "RETRY_TOPIC").map(str::to_owned);
        message.topic.clone().or(of_retry)
    });
    own?.or_else(command::topic)
}

pub(crate) fn tags(index: u32) -> Option<String> {
    property(index, "TAGS")
}

pub(crate) fn keys(index: u32) -> Option<String> {
    property(index, "KEYS")
}

pub(crate) fn property(index: u32, name: &str) -> Option<String> {
    at(index, |message| {
        find(&message.properties, name).map(str::to_owned)
    })?
}

pub(crate) fn properties(index: u32) -> Vec<(String, String)> {
    at(index, |message| message.properties.clone()).unwrap_or_default()
}

pub(crate) fn set_property(index: u32, name: &str, value: &str) -> Result<(), String> {
    let is_sound = |text: &str| !text.is_empty() && !text.contains(['\u{1}', '\u{2}']);
    if !is_sound(name) || !is_sound(value) {
        return Err("a property has a name and a value, without U+0001 and U+0002".to_owned());
    }
    change(index, |message| set(&mut message.properties, name, value))
}

pub(crate) fn remove_property(index: u32, name: &str) -> Result<bool, String> {
    change(index, |message| remove_pair(&mut message.properties, name))
}

pub(crate) fn body_size(index: u32) -> u32 {
    let size = at(index, |message| message.body.len()).unwrap_or_default();
    u32::try_from(size).unwrap_or(u32::MAX)
}

pub(crate) fn body(index: u32) -> Result<Vec<u8>, String> {
    let found = at(index, |message| match &message.unreadable {
        Some(why) => Err(why.clone()),
        None => Ok(message.body.clone()),
    });
    found.unwrap_or_else(|| Err(format!("there is no message {index}")))
}

pub(crate) fn set_body(index: u32, body: &[u8]) -> Result<(), String> {
    if body.is_empty() {
        return Err("a body has at least one byte".to_owned());
    }
    change(index, |message| body.clone_into(&mut message.body))
}

pub(crate) fn remove(index: u32) -> Result<(), String> {
    let stays = current(|c| match &c.request.response {
        None => c.request.messages.len() <= c.removed.len() + 1 || c.request.is_from_broker,
        Some(_) => c.request.code == 33 || find(&c.request.fields, "order") == Some("true"),
    });
    if stays {
        return Err("this message cannot be removed".to_owned());
    }
    change(index, |_| ())?;
    current(|c| c.removed.insert(index));
    Ok(())
}

pub(crate) fn queue_offset(index: u32) -> Option<u64> {
    at(index, |message| message.queue_offset)?
}

pub(crate) fn reconsume_times(index: u32) -> u32 {
    at(index, |message| message.reconsume_times).unwrap_or_default()
}

pub(crate) fn born_timestamp(index: u32) -> u64 {
    at(index, |message| message.born_timestamp).unwrap_or_default()
}
