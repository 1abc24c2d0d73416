//! What differs between a command as it came and as it leaves.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use super::decision::Message;
use crate::filter::Way;
use crate::filter::messages::Messages;
use crate::filter::names::Mapping;
use crate::protocol::{Code, Command, FRAME_LIMIT};

/// Characters of a value that are shown.
const SHOWN: usize = 60;
/// Bytes of a body that are shown before what differs.
const LEAD: usize = 16;
/// Names in a mapping that are shown.
const NAMES: usize = 10;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where: `field b`, `property x`, `body`, `message 1`, `names`.
    pub what: String,
    /// What stood there; none when nothing did.
    pub before: Option<String>,
    /// What stands there now; none when nothing does.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {} = {after}", self.what),
            (Some(before), None) => write!(f, "- {} = {before}", self.what),
            (Some(before), Some(after)) => write!(f, "~ {}: {before} -> {after}", self.what),
            (None, None) => f.write_str(&self.what),
        }
    }
}

/// The messages in a command, as far as they can be read.
pub(super) fn messages(way: Way, code: Code, command: &Command) -> Vec<Message> {
    let Ok(Some(read)) = Messages::read(way, code, command, FRAME_LIMIT) else {
        return Vec::new();
    };
    let each = (0..read.len()).map(|at| Message {
        properties: read.properties(at),
        body: read.body(at).unwrap_or_default(),
    });
    each.collect()
}

/// What changed: header fields, then the messages, or the body when it holds none.
pub(super) fn between(before: (&Command, &[Message]), after: (&Command, &[Message])) -> Vec<Change> {
    let (old, new) = (before.0, after.0);
    let mut found = Vec::new();
    let number = |code: Code| Some(code.to_string());
    let text = |command: &Command| command.remark.as_ref().map(|text| shown(text.as_str()));
    note(&mut found, "code", number(old.code), number(new.code));
    note(&mut found, "remark", text(old), text(new));
    let has_messages = !before.1.is_empty() || !after.1.is_empty();
    for name in names(old, new) {
        // Properties are told one by one below.
        let is_properties = matches!(name, "i" | "properties") && has_messages;
        if !is_properties {
            let what = format!("field {name}");
            note(
                &mut found,
                &what,
                old.field(name).map(shown),
                new.field(name).map(shown),
            );
        }
    }
    if has_messages {
        of_messages(&mut found, before.1, after.1);
    } else {
        bodies(&mut found, "body", &old.body, &new.body);
    }
    found
}

fn note(found: &mut Vec<Change>, what: &str, before: Option<String>, after: Option<String>) {
    if before != after {
        found.push(Change {
            what: what.to_owned(),
            before,
            after,
        });
    }
}

fn names<'a>(old: &'a Command, new: &'a Command) -> BTreeSet<&'a str> {
    let of = |command: &'a Command| {
        let fields = command.ext.iter().flatten();
        fields.map(|field| &*field.name)
    };
    of(old).chain(of(new)).collect()
}

/// Messages by their number; when some were taken out, that is all that can be said of where they stood.
fn of_messages(found: &mut Vec<Change>, before: &[Message], after: &[Message]) {
    if before.len() != after.len() {
        let count = |messages: &[Message]| Some(messages.len().to_string());
        note(found, "messages", count(before), count(after));
        return;
    }
    for (at, (old, new)) in before.iter().zip(after).enumerate() {
        let place = if before.len() == 1 {
            String::new()
        } else {
            format!("message {at} ")
        };
        let all = old.properties.iter().chain(&new.properties);
        let names: BTreeSet<&str> = all.map(|(name, _)| name.as_str()).collect();
        for name in names {
            let what = format!("{place}property {name}");
            note(
                found,
                &what,
                old.property(name).map(shown),
                new.property(name).map(shown),
            );
        }
        bodies(found, &format!("{place}body"), &old.body, &new.body);
    }
}

/// A value, short enough to be read.
fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '.' } else { c };
    let mut kept: String = text.chars().take(SHOWN).map(clean).collect();
    if text.chars().nth(SHOWN).is_some() {
        kept.push('…');
    }
    kept
}

/// A body that was changed, each from shortly before the first difference on.
fn bodies(found: &mut Vec<Change>, what: &str, old: &Bytes, new: &Bytes) {
    if old == new {
        return;
    }
    let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let from = if old.len().max(new.len()) > SHOWN {
        same.saturating_sub(LEAD)
    } else {
        0
    };
    found.push(Change {
        what: what.to_owned(),
        before: content(old, from),
        after: content(new, from),
    });
}

/// A body as text from there on, with its length when that is not all of it; nothing of an empty one.
fn content(body: &Bytes, from: usize) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return Some(format!("{} bytes", body.len()));
    };
    let begins = text.floor_char_boundary(from);
    let rest = shown(text.get(begins..).unwrap_or_default());
    Some(match (begins, body.len() > SHOWN) {
        (0, false) => rest,
        (0, true) => format!("{rest} ({} bytes)", body.len()),
        _ => format!("…{rest} ({} bytes)", body.len()),
    })
}

/// A mapping of names as one reads it.
pub(super) fn mapping(mapping: &Mapping) -> String {
    let lines: Vec<String> = mapping.lines().into_iter().take(NAMES).collect();
    if lines.is_empty() {
        return "as the client knows them".to_owned();
    }
    lines.join(", ")
}
