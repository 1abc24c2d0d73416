//! What differs between a command as it came and as it leaves, in words.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::protocol::Command;

/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// Each difference: `+ field x = 1`, `- field x = 1`, `~ field x: 1 -> 2`.
pub(super) fn between(old: &Command, new: &Command) -> Vec<String> {
    let mut found = Vec::new();
    let number = |command: &Command| Some(command.code.to_string());
    let remark = |command: &Command| command.remark.as_ref().map(|text| text.as_str().to_owned());
    found.extend(difference("code", number(old), number(new)));
    found.extend(difference("remark", remark(old), remark(new)));
    let names: BTreeSet<&str> = [old, new]
        .into_iter()
        .flat_map(|command| command.ext.iter().flatten())
        .map(|field| &*field.name)
        .collect();
    for name in names {
        if matches!(name, "i" | "properties") {
            found.extend(of_properties(old.field(name), new.field(name)));
            continue;
        }
        let of = |command: &Command| command.field(name).map(str::to_owned);
        found.extend(difference(&format!("field {name}"), of(old), of(new)));
    }
    found.extend(difference("body", content(&old.body), content(&new.body)));
    found
}

/// Properties of the message in a send.
fn of_properties(old: Option<&str>, new: Option<&str>) -> Vec<String> {
    let pairs = |text: Option<&str>| -> Vec<(String, String)> {
        let each = text.unwrap_or_default().split('\u{2}');
        each.filter_map(|pair| pair.split_once('\u{1}'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let (old, new) = (pairs(old), pairs(new));
    let names: BTreeSet<&String> = old.iter().chain(&new).map(|(name, _)| name).collect();
    let of = |pairs: &[(String, String)], name: &str| {
        let found = pairs.iter().rev().find(|(there, _)| there == name);
        found.map(|(_, value)| value.clone())
    };
    let each = names.into_iter().filter_map(|name| {
        let what = format!("property {name}");
        difference(&what, of(&old, name), of(&new, name))
    });
    each.collect()
}

fn difference(what: &str, old: Option<String>, new: Option<String>) -> Option<String> {
    if old == new {
        return None;
    }
    let [old, new] = [old, new].map(|text| text.map(|text| shown(&text)));
    match (old, new) {
        (None, Some(new)) => Some(format!("+ {what} = {new}")),
        (Some(old), None) => Some(format!("- {what} = {old}")),
        (Some(old), Some(new)) => Some(format!("~ {what}: {old} -> {new}")),
        (None, None) => None,
    }
}

fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '.' } else { c };
    let mut kept: String = text.chars().take(SHOWN).map(clean).collect();
    if text.chars().nth(SHOWN).is_some() {
        kept.push_str("...");
    }
    kept
}

/// A body in few words, with what tells two that begin alike apart.
fn content(body: &Bytes) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    Some(format!(
        "{} bytes (crc {:08x})",
        body.len(),
        crc32fast::hash(body)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::request as rq;

    #[test]
    fn each_difference_is_told_and_nothing_else() {
        let old = Command::request(rq::SEND_MESSAGE_V2, 1)
            .with_field("b", "orders")
            .with_field("i", "A\u{1}1\u{2}B\u{1}2")
            .with_field("x", "1")
            .with_body("hello");
        assert_eq!(between(&old, &old), Vec::<String>::new());
        let new = Command::request(rq::SEND_MESSAGE_V2, 1)
            .with_field("b", "a.orders")
            .with_field("i", "B\u{1}3\u{2}C\u{1}4")
            .with_field("y", "2");
        assert_eq!(
            between(&old, &new),
            [
                "~ field b: orders -> a.orders",
                "- property A = 1",
                "~ property B: 2 -> 3",
                "+ property C = 4",
                "- field x = 1",
                "+ field y = 2",
                "- body = 5 bytes (crc 3610a686)",
            ]
        );
    }
}
