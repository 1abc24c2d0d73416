//! Rules: whom and what they name, and when they fit.

use std::borrow::Cow;
use std::fmt;

use gimbal_sdk::prelude::*;
use gimbal_sdk::{Access, Action};

/// The sidecar's `config` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What holds where no rule fits.
    pub default: Effect,
    /// Whether everybody may read routes (105), or the rules say.
    #[serde(default)]
    pub routes: Choice,
    /// Whether everybody may do with topics of the system what every client does, or the rules say.
    #[serde(default)]
    pub system_topics: Choice,
    /// What becomes of a heartbeat with a denied group.
    #[serde(default)]
    pub heartbeats: Heartbeats,
    /// The first rule that fits decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Go on.
    Allow,
    /// Refuse.
    Deny,
}

/// Allowed to everyone, or a matter of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// To everyone.
    #[default]
    Allow,
    /// As the rules say.
    Rules,
}

/// What becomes of a heartbeat with a denied group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Heartbeats {
    /// The group is taken out of it.
    #[default]
    Strip,
    /// It is refused as a whole.
    Refuse,
}

/// One rule. What it does not name is any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    name: Option<String>,
    effect: Effect,
    #[serde(default)]
    users: Patterns,
    #[serde(default)]
    addresses: Networks,
    #[serde(default)]
    clients: Patterns,
    #[serde(default)]
    listeners: Patterns,
    #[serde(default)]
    actions: Vec<Act>,
    #[serde(default)]
    topics: Patterns,
    #[serde(default)]
    groups: Patterns,
}

/// An action as the operator writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Act {
    Publish,
    Subscribe,
    Read,
    Manage,
}

/// How an action is called in rules and remarks.
pub fn name(action: Action) -> &'static str {
    match action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
        Action::Read => "read",
        Action::Manage => "manage",
    }
}

/// Who asks.
#[derive(Debug)]
pub struct Who {
    user: Option<String>,
    address: String,
    client: Option<String>,
    listener: String,
}

impl Who {
    /// The client. Only a verified user name is one.
    pub fn of(client: &Client) -> Self {
        Self {
            user: client.user(),
            address: client.ip(),
            client: client.id(),
            listener: client.listener(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "user {user} at {}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// What was decided, and by which rule; none is the default.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it may be.
    pub effect: Effect,
    /// The rule's name.
    pub rule: Option<Cow<'a, str>>,
}

impl Config {
    /// What the first fitting rule says, or the default.
    pub fn decide(&self, who: &Who, access: &Access) -> Decision<'_> {
        let found = self
            .rules
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.fits(who, access));
        match found {
            Some((at, rule)) => Decision {
                effect: rule.effect,
                rule: Some(match &rule.name {
                    Some(name) => Cow::Borrowed(name),
                    None => Cow::Owned(format!("rule {}", at + 1)),
                }),
            },
            None => Decision {
                effect: self.default,
                rule: None,
            },
        }
    }
}

impl Rule {
    /// Whether a rule means what it says.
    pub fn check(&self) -> Result<(), String> {
        if self.name.as_deref() == Some("") {
            return Err("name: is empty; leave it out".to_owned());
        }
        Ok(())
    }

    fn fits(&self, who: &Who, access: &Access) -> bool {
        self.users.fit(who.user.as_deref())
            && self.addresses.fit(&who.address)
            && self.clients.fit(who.client.as_deref())
            && self.listeners.fit(Some(&who.listener))
            && self.fits_action(access.action)
            && self.fits_names(access.topic.as_deref(), access.group.as_deref())
    }

    /// Who may publish or subscribe may also read routes and offsets: clients cannot do without.
    fn fits_action(&self, action: Action) -> bool {
        let named = |act| self.actions.contains(&act);
        self.actions.is_empty()
            || match action {
                Action::Publish => named(Act::Publish),
                Action::Subscribe => named(Act::Subscribe),
                Action::Read if self.effect == Effect::Allow => {
                    named(Act::Read) || named(Act::Publish) || named(Act::Subscribe)
                }
                Action::Read => named(Act::Read),
                Action::Manage => named(Act::Manage),
            }
    }

    /// A command does not always tell both: a pull has topic and group, the list of a group's members has only the group.
    /// What a command does not tell cannot be held against it: a rule that allows judges by what is there, a rule that
    /// denies needs everything it names to be there and to fit.
    fn fits_names(&self, topic: Option<&str>, group: Option<&str>) -> bool {
        if self.effect == Effect::Deny {
            return self.topics.fit(topic) && self.groups.fit(group);
        }
        match (topic, group) {
            (Some(_), Some(_)) => self.topics.fit(topic) && self.groups.fit(group),
            // A rule about groups alone says nothing about topics.
            (Some(_), None) => self.topics.fit(topic) && (self.groups.is_empty() || !self.topics.is_empty()),
            (None, Some(_)) => self.groups.fit(group),
            (None, None) => self.topics.is_empty() && self.groups.is_empty(),
        }
    }
}

/// The access as rules see it. Of a send to a topic the producer group does not count: it is a mere word of the client.
/// A send that touches a group alone goes to the group's retry topic, which members do.
pub fn judged(code: Code, access: Access) -> Access {
    let is_send = code::SENDS.contains(&code);
    match (&access.topic, access.action) {
        (Some(_), Action::Publish) => Access {
            group: None,
            ..access
        },
        (None, Action::Publish) if is_send => Access {
            action: Action::Subscribe,
            ..access
        },
        _ => access,
    }
}

/// What every client does with topics of the system: read their routes, send traces, and answer requests.
pub fn is_everyones(code: Code, access: &Access) -> bool {
    let Some(topic) = access.topic.as_deref() else {
        return false;
    };
    let is_reply = matches!(code, code::SEND_REPLY_MESSAGE | code::SEND_REPLY_MESSAGE_V2);
    match access.action {
        Action::Read => is_system(topic),
        Action::Publish => topic == "RMQ_SYS_TRACE_TOPIC" || is_reply && topic.ends_with("_REPLY_TOPIC"),
        Action::Subscribe | Action::Manage => false,
    }
}

fn is_system(topic: &str) -> bool {
    const NAMES: [&str; 6] = [
        "TBW102",
        "SCHEDULE_TOPIC_XXXX",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "BenchmarkTest",
    ];
    NAMES.contains(&topic)
        || topic.starts_with("RMQ_SYS_")
        || topic.starts_with("rmq_sys_")
        || topic.ends_with("_REPLY_TOPIC")
}
