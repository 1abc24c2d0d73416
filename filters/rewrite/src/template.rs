//! Texts with facts in them: `{user}`, `{ip}`, `{topic}`.

use std::fmt;

use gimbal_sdk::prelude::*;
use serde::Deserializer;

/// A text with facts in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Fact(Fact),
}

/// What can be told of a command and its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The verified user.
    User,
    /// The client's IP address.
    Ip,
    /// The client id.
    ClientId,
    /// The listener's name.
    Listener,
    /// Subject of the client's certificate.
    TlsSubject,
    /// The command's topic.
    Topic,
    /// The command's group.
    Group,
}

impl Fact {
    const ALL: [(&str, Self); 7] = [
        ("user", Self::User),
        ("ip", Self::Ip),
        ("client-id", Self::ClientId),
        ("listener", Self::Listener),
        ("tls-subject", Self::TlsSubject),
        ("topic", Self::Topic),
        ("group", Self::Group),
    ];

    /// Whether it is known when a connection begins, and holds until it ends.
    fn is_of_the_connection(self) -> bool {
        matches!(self, Self::Ip | Self::Listener | Self::TlsSubject)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .iter()
            .find(|(_, fact)| fact == self)
            .map_or("", |(name, _)| name);
        write!(f, "{{{name}}}")
    }
}

impl Template {
    /// Reads a template.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err(format!("`{text}`: a brace is not closed"));
            };
            let Some((_, fact)) = Fact::ALL.iter().find(|(known, _)| *known == name) else {
                let known: Vec<String> = Fact::ALL.iter().map(|(_, fact)| fact.to_string()).collect();
                return Err(format!(
                    "`{text}`: there is no {{{name}}}, but {}",
                    known.join(", ")
                ));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Fact(*fact));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Its text, with what `tell` tells of each fact, or the first error that it gives.
    pub fn fill<E>(&self, tell: impl Fn(Fact) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Fact(fact) => text.push_str(&tell(*fact)?),
            }
        }
        Ok(text)
    }

    /// Whether it stays the same for as long as a connection lasts.
    pub fn is_of_the_connection(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Text(_) => true,
            Part::Fact(fact) => fact.is_of_the_connection(),
        })
    }

    /// Whether it can stand before names. A fact in a prefix is followed by `%` or `|`, which facts cannot hold: or user
    /// `a` with topic `b-orders` would meet user `a-b` with topic `orders`.
    pub fn check_prefix(&self) -> Result<(), String> {
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Fact(fact @ (Fact::Topic | Fact::Group)) => {
                    return Err(format!("{fact} cannot be in a prefix"));
                }
                Part::Fact(fact) => {
                    let parted = matches!(self.parts.get(at + 1), Some(Part::Text(text)) if text.starts_with(['%', '|']));
                    if !parted {
                        return Err(format!(
                            "after {fact} there must be `%` or `|`, or two tenants could meet"
                        ));
                    }
                }
                Part::Text(text) => {
                    if let Some(wrong) = text.chars().find(|c| !is_of_names(*c) && !matches!(c, '%' | '|')) {
                        return Err(format!("`{wrong}` is not allowed in names"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A fact as it may stand in a name: addresses with `-` for dots and colons, all else only if it needs no change.
pub fn in_names(fact: Fact, text: &str) -> Result<String, String> {
    let text = if fact == Fact::Ip {
        text.replace(['.', ':'], "-")
    } else {
        text.to_owned()
    };
    if text.is_empty() {
        return Err(format!("{fact} is empty"));
    }
    match text.chars().find(|c| !is_of_names(*c)) {
        Some(wrong) => Err(format!(
            "{fact} is `{text}`, and `{wrong}` is not allowed in names"
        )),
        None => Ok(text),
    }
}

fn is_of_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// That a fact is not known.
pub fn unknown(fact: Fact) -> String {
    format!("{fact} is not known")
}

/// What is known of this command and its client.
pub fn tell(command: &Command, fact: Fact) -> Option<String> {
    match fact {
        Fact::Topic => command.topic(),
        Fact::Group => command.group(),
        _ => tell_of_client(&command.client(), fact),
    }
}

/// What is known of this client.
pub fn tell_of_client(client: &Client, fact: Fact) -> Option<String> {
    match fact {
        Fact::User => client.user(),
        Fact::Ip => Some(client.ip()),
        Fact::ClientId => client.id(),
        Fact::Listener => Some(client.listener()),
        Fact::TlsSubject => client.tls_subject(),
        Fact::Topic | Fact::Group => None,
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(source)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fact, Template, in_names};

    #[test]
    fn facts_stand_in_braces() {
        let template = Template::new("a-{user}{ip}-z").unwrap();
        let filled = template.fill(|fact| Ok::<_, Fact>(format!("<{fact}>")));
        assert_eq!(filled.unwrap(), "a-<{user}><{ip}>-z");
        assert_eq!(Template::new("{topic}").unwrap().fill(Err), Err(Fact::Topic));
        assert_eq!(
            Template::new("{usr}").unwrap_err(),
            "`{usr}`: there is no {usr}, but {user}, {ip}, {client-id}, {listener}, {tls-subject}, {topic}, {group}"
        );
        assert!(Template::new("{user").is_err());
    }

    #[test]
    fn a_prefix_keeps_tenants_apart() {
        let check = |text: &str| Template::new(text).unwrap().check_prefix();
        assert_eq!(check("{user}%"), Ok(()));
        assert_eq!(check("eu-{listener}|{user}%"), Ok(()));
        assert_eq!(check("tenant-a-"), Ok(()));
        assert!(
            check("{user}-")
                .unwrap_err()
                .starts_with("after {user} there must be")
        );
        assert!(check("{user}").is_err() && check("{topic}%").is_err() && check("a.b").is_err());
        assert_eq!(in_names(Fact::Ip, "10.0.0.1").unwrap(), "10-0-0-1");
        assert!(in_names(Fact::User, "a%b").is_err() && in_names(Fact::User, "").is_err());
    }
}
