//! The mapping itself: prefixes and a table for topics and for groups, and what a name becomes on either side.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::{NameError, Named};
use super::special::{self, Topic};

/// Characters of a topic that brokers allow (`TopicValidator`).
const TOPIC_LIMIT: usize = 127;
/// Characters that brokers allow of a group, and of a retry, dead-letter or light topic.
const LONG_LIMIT: usize = 255;
/// Entries that each table may have.
pub(super) const TABLE_LIMIT: usize = 10_000;

/// How one connection's names are called at brokers. Empty to begin with: then names stay as they are.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Mapping {
    topics: Side,
    groups: Side,
}

/// Says whether a topic is a broker's or a cluster's own, named as that is; the directory knows.
pub type Reserved<'r> = dyn Fn(&str) -> bool + 'r;

/// The names of one kind.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Side {
    prefix: String,
    to_broker: HashMap<String, String>,
    to_client: HashMap<String, String>,
}

impl Side {
    fn is_empty(&self) -> bool {
        self.prefix.is_empty() && self.to_broker.is_empty()
    }

    fn set_prefix(&mut self, what: Named, prefix: &str) -> Result<(), NameError> {
        check_characters(prefix)?;
        // Longer ones would leave no room for any name; the limits are those of whole names.
        check_length(what, prefix, prefix.len(), TOPIC_LIMIT)?;
        prefix.clone_into(&mut self.prefix);
        Ok(())
    }

    fn map(&mut self, what: Named, client: &str, broker: &str) -> Result<(), NameError> {
        for name in [client, broker] {
            if name.is_empty() {
                return Err(NameError::Empty);
            }
            check_characters(name)?;
            check_length(what, name, name.len(), LONG_LIMIT)?;
        }
        if self.to_client.get(broker).is_some_and(|other| other != client) {
            return Err(NameError::Taken(broker.to_owned()));
        }
        if self.to_broker.len() >= TABLE_LIMIT && !self.to_broker.contains_key(client) {
            return Err(NameError::Full);
        }
        if let Some(old) = self.to_broker.insert(client.to_owned(), broker.to_owned()) {
            self.to_client.remove(&old);
        }
        self.to_client.insert(broker.to_owned(), client.to_owned());
        Ok(())
    }

    /// `name` at the broker; `None` when it stays as it is.
    fn at_broker(&self, name: &str) -> Result<Option<String>, NameError> {
        if let Some(broker) = self.to_broker.get(name) {
            return Ok((broker != name).then(|| broker.clone()));
        }
        let broker = if self.prefix.is_empty() {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(format!("{}{name}", self.prefix))
        };
        if self.to_client.contains_key(&*broker) {
            return Err(NameError::Hidden(name.to_owned()));
        }
        Ok(match broker {
            Cow::Borrowed(_) => None,
            Cow::Owned(broker) => Some(broker),
        })
    }

    /// `name` at the client; `None` when it stays as it is, also because it is none of the client's.
    fn at_client<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        if let Some(client) = self.to_client.get(name) {
            return (client != name).then_some(client);
        }
        if self.prefix.is_empty() {
            return None;
        }
        // Without the prefix it must be a name that gets the prefix on its way back.
        name.strip_prefix(self.prefix.as_str())
            .filter(|client| !client.is_empty() && !self.to_broker.contains_key(*client))
    }
}

impl Side {
    /// Whether a name of brokers is one that the client can say. Without a prefix there are no others.
    fn owns(&self, name: &str) -> bool {
        self.prefix.is_empty() || self.to_client.contains_key(name) || self.at_client(name).is_some()
    }
}

impl Mapping {
    /// The mapping as people read it, one line for each prefix and name.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, side) in [("topic", &self.topics), ("group", &self.groups)] {
            if !side.prefix.is_empty() {
                lines.push(format!("{what}s become {}*", side.prefix));
            }
            let mut names: Vec<_> = side.to_broker.iter().collect();
            names.sort_unstable();
            lines.extend(
                names
                    .iter()
                    .map(|(client, broker)| format!("{what} {client} becomes {broker}")),
            );
        }
        lines
    }

    /// Puts `prefix` before every topic that the table does not have; empty for none.
    pub fn set_topic_prefix(&mut self, prefix: &str) -> Result<(), NameError> {
        self.topics.set_prefix(Named::Topic, prefix)
    }

    /// Puts `prefix` before every group that the table does not have; empty for none.
    pub fn set_group_prefix(&mut self, prefix: &str) -> Result<(), NameError> {
        self.groups.set_prefix(Named::Group, prefix)
    }

    /// Calls the topic `client` of the client `broker` at brokers. Two topics of the client cannot be one at brokers.
    pub fn map_topic(&mut self, client: &str, broker: &str) -> Result<(), NameError> {
        for name in [client, broker] {
            if !matches!(Topic::parse(name, &[]), Topic::Plain(_)) || special::is_system_topic(name) {
                return Err(NameError::Special(name.to_owned()));
            }
        }
        check_length(Named::Topic, client, broker.chars().count(), TOPIC_LIMIT)?;
        self.topics.map(Named::Topic, client, broker)
    }

    /// Calls the group `client` of the client `broker` at brokers.
    pub fn map_group(&mut self, client: &str, broker: &str) -> Result<(), NameError> {
        for name in [client, broker] {
            if special::is_system_group(name) {
                return Err(NameError::Special(name.to_owned()));
            }
        }
        check_length(Named::Group, client, group_length(broker), LONG_LIMIT)?;
        self.groups.map(Named::Group, client, broker)
    }

    /// Whether every name stays as it is.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.groups.is_empty()
    }

    /// What brokers call a topic of the client.
    pub fn topic_at_broker<'t>(
        &self,
        reserved: &Reserved<'_>,
        topic: &'t str,
    ) -> Result<Cow<'t, str>, NameError> {
        Ok(or_same(
            topic,
            Translator::to_broker(self, reserved).topic(topic)?,
        ))
    }

    /// What the client calls a topic of brokers; one that is none of its own keeps its name.
    pub fn topic_at_client<'t>(&self, reserved: &Reserved<'_>, topic: &'t str) -> Cow<'t, str> {
        let client = Translator::to_client(self, reserved).topic(topic);
        or_same(topic, client.unwrap_or_default())
    }

    /// What brokers call a group of the client.
    pub fn group_at_broker<'t>(&self, group: &'t str) -> Result<Cow<'t, str>, NameError> {
        Ok(or_same(
            group,
            Translator::to_broker(self, &|_| false).group(group)?,
        ))
    }

    /// What the client calls a group of brokers; one that is none of its own keeps its name.
    pub fn group_at_client<'t>(&self, group: &'t str) -> Cow<'t, str> {
        let client = Translator::to_client(self, &|_| false).group(group);
        or_same(group, client.unwrap_or_default())
    }
}

fn or_same(name: &str, new: Option<String>) -> Cow<'_, str> {
    new.map_or(Cow::Borrowed(name), Cow::Owned)
}

fn check_characters(name: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'%' | b'|');
    if name.bytes().all(allowed) {
        return Ok(());
    }
    Err(NameError::Character(name.to_owned()))
}

fn check_length(what: Named, name: &str, length: usize, limit: usize) -> Result<(), NameError> {
    if length <= limit {
        return Ok(());
    }
    Err(NameError::TooLong {
        what,
        name: name.to_owned(),
        length,
        limit,
    })
}

/// Characters of the longest name that is made of a group alone: its retry topic.
fn group_length(group: &str) -> usize {
    group.chars().count().saturating_add(special::RETRY.len())
}

/// Which way names go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToBroker,
    ToClient,
}

/// Turns names of one side into those of the other.
pub(super) struct Translator<'a> {
    mapping: &'a Mapping,
    reserved: &'a Reserved<'a>,
    way: Way,
    /// Groups, called as on the side that names come from, whose pop retry topics may occur.
    pub(super) groups: Vec<String>,
}

impl<'a> Translator<'a> {
    pub(super) fn to_broker(mapping: &'a Mapping, reserved: &'a Reserved<'a>) -> Self {
        Self {
            mapping,
            reserved,
            way: Way::ToBroker,
            groups: Vec::new(),
        }
    }

    pub(super) fn to_client(mapping: &'a Mapping, reserved: &'a Reserved<'a>) -> Self {
        Self {
            way: Way::ToClient,
            ..Self::to_broker(mapping, reserved)
        }
    }

    /// What `topic` is called on the other side; `None` when it stays as it is.
    pub(super) fn topic(&self, topic: &str) -> Result<Option<String>, NameError> {
        let (new, limit) = match Topic::parse(topic, &self.groups) {
            Topic::Plain(name) => (self.plain_topic(name)?, TOPIC_LIMIT),
            Topic::OfGroup(prefix, group) => {
                let new = self.group(group)?;
                (new.map(|group| format!("{prefix}{group}")), LONG_LIMIT)
            }
            Topic::PopRetry(group, separator, name) => {
                let parts = (self.group(group)?, self.plain_topic(name)?);
                let new = (parts.0.is_some() || parts.1.is_some()).then(|| {
                    let group = parts.0.as_deref().unwrap_or(group);
                    let name = parts.1.as_deref().unwrap_or(name);
                    format!("{}{group}{separator}{name}", special::RETRY)
                });
                (new, LONG_LIMIT)
            }
            Topic::Light(name) => {
                let new = self.plain_topic(name)?;
                (new.map(|name| format!("{}{name}", special::LIGHT)), LONG_LIMIT)
            }
        };
        self.checked(Named::Topic, topic, new, limit)
    }

    fn plain_topic(&self, topic: &str) -> Result<Option<String>, NameError> {
        let fixed =
            |topic: &str| topic.is_empty() || special::is_system_topic(topic) || (self.reserved)(topic);
        let topics = &self.mapping.topics;
        if topics.is_empty() || fixed(topic) {
            return Ok(None);
        }
        match self.way {
            Way::ToBroker => {
                let new = topics.at_broker(topic)?;
                let is_special = |new: &str| fixed(new) || !matches!(Topic::parse(new, &[]), Topic::Plain(_));
                match new {
                    Some(new) if is_special(&new) => Err(NameError::Special(topic.to_owned())),
                    new => Ok(new),
                }
            }
            Way::ToClient => Ok(topics
                .at_client(topic)
                .filter(|client| !fixed(client))
                .map(str::to_owned)),
        }
    }

    /// What `group` is called on the other side; `None` when it stays as it is.
    pub(super) fn group(&self, group: &str) -> Result<Option<String>, NameError> {
        let fixed = |group: &str| group.is_empty() || special::is_system_group(group);
        let groups = &self.mapping.groups;
        if groups.is_empty() || fixed(group) {
            return Ok(None);
        }
        match self.way {
            Way::ToBroker => {
                let new = groups.at_broker(group)?;
                if new.as_deref().is_some_and(fixed) {
                    return Err(NameError::Special(group.to_owned()));
                }
                let limit = LONG_LIMIT.saturating_sub(special::RETRY.len());
                self.checked(Named::Group, group, new, limit)
            }
            Way::ToClient => Ok(groups
                .at_client(group)
                .filter(|client| !fixed(client))
                .map(str::to_owned)),
        }
    }

    /// Whether a topic of brokers is the client's, or everybody's.
    pub(super) fn is_own_topic(&self, topic: &str) -> bool {
        let topics = &self.mapping.topics;
        let groups = &self.mapping.groups;
        let owns = |name: &str| special::is_system_topic(name) || (self.reserved)(name) || topics.owns(name);
        match Topic::parse(topic, &self.groups) {
            Topic::Plain(name) | Topic::Light(name) => owns(name),
            Topic::OfGroup(_, group) => special::is_system_group(group) || groups.owns(group),
            Topic::PopRetry(group, _, name) => groups.owns(group) && owns(name),
        }
    }

    /// `new`, unless it has grown beyond what brokers allow.
    fn checked(
        &self,
        what: Named,
        name: &str,
        new: Option<String>,
        limit: usize,
    ) -> Result<Option<String>, NameError> {
        if let (Some(new), Way::ToBroker) = (&new, self.way)
            && new.len() > limit
        {
            check_length(what, name, new.chars().count(), limit)?;
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: &Reserved<'static> = &|_| false;

    fn at_broker(mapping: &Mapping, topic: &str) -> String {
        mapping.topic_at_broker(NOBODY, topic).unwrap().into_owned()
    }

    #[test]
    fn the_table_goes_before_the_prefix() {
        let mut mapping = Mapping::default();
        assert!(mapping.is_empty());
        mapping.set_topic_prefix("A%").unwrap();
        mapping.map_topic("t", "u").unwrap();
        assert_eq!(at_broker(&mapping, "t"), "u");
        assert_eq!(at_broker(&mapping, "u"), "A%u");
        assert_eq!(mapping.topic_at_client(NOBODY, "u"), "t");
        assert_eq!(mapping.topic_at_client(NOBODY, "A%u"), "u");
        assert_eq!(
            mapping.topic_at_client(NOBODY, "A%t"),
            "A%t",
            "the client's `t` is another topic"
        );
        assert_eq!(mapping.topic_at_client(NOBODY, "B%t"), "B%t", "not the client's");
        assert_eq!(
            mapping.group_at_broker("g").unwrap(),
            "g",
            "groups are not mapped"
        );
    }

    #[test]
    fn names_inside_special_topics_are_mapped_and_the_prefix_stays_in_front() {
        let mut mapping = Mapping::default();
        mapping.set_topic_prefix("A%").unwrap();
        mapping.set_group_prefix("B-").unwrap();
        for (client, broker) in [
            ("%RETRY%g", "%RETRY%B-g"),
            ("%DLQ%g", "%DLQ%B-g"),
            ("%RETRY%g+t", "%RETRY%B-g+A%t"),
            ("%LMQ%q", "%LMQ%A%q"),
            ("ns%t", "A%ns%t"),
            ("%RETRY%ns%g", "%RETRY%B-ns%g"),
        ] {
            assert_eq!(at_broker(&mapping, client), broker);
            assert_eq!(mapping.topic_at_client(NOBODY, broker), client);
        }
    }

    #[test]
    fn names_of_the_system_brokers_and_clusters_stay() {
        let mut mapping = Mapping::default();
        mapping.set_topic_prefix("A%").unwrap();
        mapping.set_group_prefix("B-").unwrap();
        let reserved = |name: &str| name == "broker-a";
        for topic in [
            "",
            "TBW102",
            "rmq_sys_x",
            "broker-a",
            "C_REPLY_TOPIC",
            "%RETRY%TOOLS_CONSUMER",
        ] {
            assert_eq!(mapping.topic_at_broker(&reserved, topic).unwrap(), topic);
        }
        assert_eq!(mapping.topic_at_client(&reserved, "A%broker-a"), "A%broker-a");
        assert_eq!(
            mapping.group_at_broker("CLIENT_INNER_PRODUCER").unwrap(),
            "CLIENT_INNER_PRODUCER"
        );
        assert_eq!(mapping.group_at_client("B-TOOLS_CONSUMER"), "B-TOOLS_CONSUMER");
        mapping.set_topic_prefix("broker-").unwrap();
        let error = mapping.topic_at_broker(&reserved, "a").unwrap_err();
        assert_eq!(
            error,
            NameError::Special("a".into()),
            "it would become a name of the system"
        );
    }

    #[test]
    fn names_that_grow_too_long_are_refused_in_the_words_of_the_client() {
        let mut mapping = Mapping::default();
        mapping.set_topic_prefix("secret-").unwrap();
        mapping.set_group_prefix("secret-").unwrap();
        assert!(mapping.topic_at_broker(NOBODY, &"t".repeat(120)).is_ok());
        let error = mapping.topic_at_broker(NOBODY, &"t".repeat(121)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the topic '{}' is too long for this connection: its full name has 128 characters, brokers allow 127",
                "t".repeat(121)
            )
        );
        assert!(mapping.group_at_broker(&"g".repeat(241)).is_ok());
        assert!(
            mapping.group_at_broker(&"g".repeat(242)).is_err(),
            "no room in its retry topic"
        );
        let pop_retry = format!("%RETRY%{}+{}", "g".repeat(130), "t".repeat(110));
        assert!(mapping.topic_at_broker(NOBODY, &pop_retry).is_err());
    }

    #[test]
    fn tables_that_cannot_be_reversed_are_refused() {
        let mut mapping = Mapping::default();
        assert_eq!(
            mapping.map_topic("a b", "c"),
            Err(NameError::Character("a b".into()))
        );
        assert_eq!(mapping.map_topic("", "c"), Err(NameError::Empty));
        assert_eq!(
            mapping.map_topic("TBW102", "c"),
            Err(NameError::Special("TBW102".into()))
        );
        assert_eq!(
            mapping.map_topic("a", "%RETRY%g"),
            Err(NameError::Special("%RETRY%g".into()))
        );
        assert!(mapping.map_group("TOOLS_CONSUMER", "c").is_err());
        assert!(mapping.set_group_prefix("a+b").is_err());
        mapping.map_topic("a", "b").unwrap();
        assert_eq!(mapping.map_topic("c", "b"), Err(NameError::Taken("b".into())));
        assert_eq!(
            mapping.topic_at_broker(NOBODY, "b"),
            Err(NameError::Hidden("b".into())),
            "two names of the client would be one"
        );
        mapping.map_topic("a", "d").unwrap();
        assert_eq!(at_broker(&mapping, "b"), "b", "the old entry is gone");
        mapping.map_topic("b", "a").unwrap();
        assert_eq!(mapping.topic_at_client(NOBODY, "a"), "b");
    }
}
