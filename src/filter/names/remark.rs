//! Names in the remarks of failures, which people read: the client shall find the names that it used.

use super::Asked;
use super::mapping::{Mapping, Reserved, Translator};
use super::special;
use crate::protocol::{Command, response};

/// Replaces the names of the request, and the retry topic of its group, where they stand as whole words in the remark
/// of a failure; whether anything changed.
pub(super) fn translate(
    command: &mut Command,
    asked: &Asked<'_>,
    mapping: &Mapping,
    reserved: &Reserved<'_>,
) -> bool {
    let Some(remark) = command
        .remark
        .as_ref()
        .filter(|_| command.code != response::SUCCESS)
    else {
        return false;
    };
    let pairs = pairs(asked, mapping, reserved);
    let Some(new) = replace_words(remark.as_str(), &pairs) else {
        return false;
    };
    command.remark = Some(new.into());
    true
}

/// What brokers call the names of the request, with what the client calls them.
fn pairs(asked: &Asked<'_>, mapping: &Mapping, reserved: &Reserved<'_>) -> Vec<(String, String)> {
    let mut translator = Translator::to_broker(mapping, reserved);
    translator.groups = asked.group.map(str::to_owned).into_iter().collect();
    let mut pairs = Vec::new();
    if let Some(topic) = asked.topic
        && let Ok(Some(broker)) = translator.topic(topic)
    {
        pairs.push((broker, topic.to_owned()));
    }
    if let Some(group) = asked.group
        && let Ok(Some(broker)) = translator.group(group)
    {
        pairs.push((
            format!("{}{broker}", special::RETRY),
            format!("{}{group}", special::RETRY),
        ));
        pairs.push((broker, group.to_owned()));
    }
    pairs
}

fn replace_words(text: &str, pairs: &[(String, String)]) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%' | '|' | '+');
    let mut out = String::new();
    let mut changed = false;
    let mut rest = text;
    while !rest.is_empty() {
        let word_end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(word_end)?;
        let client = pairs.iter().find(|(broker, _)| broker == word);
        changed |= client.is_some();
        out.push_str(client.map_or(word, |(_, client)| client));
        let gap_end = after.find(is_name).unwrap_or(after.len());
        let (gap, next) = after.split_at_checked(gap_end)?;
        out.push_str(gap);
        rest = next;
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_alone_are_replaced() {
        let pairs = [("p-t".to_owned(), "t".to_owned())];
        let replaced = replace_words("topic[p-t] not p-tt, p-t: at p-t", &pairs);
        assert_eq!(replaced.unwrap(), "topic[t] not p-tt, t: at t");
        assert_eq!(replace_words("topic \u{4e3b}p-tx", &pairs), None);
    }
}
