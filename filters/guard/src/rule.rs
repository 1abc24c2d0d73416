//! One rule: what it asks of sends and of groups.

use gimbal_sdk::prelude::*;

/// The sidecar's `config` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A command must satisfy every rule that is about it.
    pub rules: Vec<Rule>,
}

/// What may be asked for. Limits that are not given do not hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    name: Option<String>,
    #[serde(default)]
    topics: Patterns,
    max_body_bytes: Option<u32>,
    max_batch: Option<u32>,
    max_properties: Option<usize>,
    max_property_bytes: Option<usize>,
    #[serde(default)]
    required_properties: Vec<String>,
    #[serde(default)]
    topic_names: Patterns,
    #[serde(default)]
    group_names: Patterns,
    #[serde(default)]
    ban_oneway: bool,
    #[serde(default)]
    ban_delayed: bool,
}

/// Properties by which a message asks to be delivered later.
const DELAYS: [&str; 4] = ["DELAY", "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"];

/// Groups that clients make on their own.
const SYSTEM_GROUPS: [&str; 8] = [
    "CLIENT_INNER_PRODUCER",
    "TOOLS_CONSUMER",
    "SCHEDULE_CONSUMER",
    "FILTERSRV_CONSUMER",
    "__MONITOR_CONSUMER",
    "SELF_TEST_P_GROUP",
    "SELF_TEST_C_GROUP",
    "_INNER_TRACE_PRODUCER",
];

impl Rule {
    /// Whether the rule can be satisfied at all, and asks for something.
    pub fn check(&self) -> Result<(), String> {
        if self.max_batch == Some(0) {
            return Err("`max_batch` is at least 1".to_owned());
        }
        if self.required_properties.iter().any(String::is_empty) {
            return Err("`required_properties` holds an empty name".to_owned());
        }
        let asks = self.looks_inside()
            || self.names_groups()
            || self.max_body_bytes.is_some()
            || !self.topic_names.is_empty()
            || self.ban_oneway;
        if asks {
            Ok(())
        } else {
            Err("the rule asks for nothing".to_owned())
        }
    }

    /// How the rule is called; `at` is its place.
    pub fn name(&self, at: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("rule {}", at + 1))
    }

    /// Whether it is about a topic.
    pub fn is_about(&self, topic: &str) -> bool {
        self.topics.fit(Some(topic))
    }

    /// Whether it needs the messages, not only the command around them.
    pub fn looks_inside(&self) -> bool {
        self.max_batch.is_some()
            || self.max_properties.is_some()
            || self.max_property_bytes.is_some()
            || !self.required_properties.is_empty()
            || self.ban_delayed
            // The body of a batch is all of its messages.
            || self.max_body_bytes.is_some()
    }

    /// Whether it asks for names of groups.
    pub fn names_groups(&self) -> bool {
        !self.group_names.is_empty()
    }

    /// What is wrong with a send.
    pub fn fault_of_send(&self, command: &Command, topic: &str) -> Option<String> {
        if self.ban_oneway && command.is_oneway() {
            return Some("one-way sends are not allowed".to_owned());
        }
        if !self.topic_names.fit(Some(topic)) {
            return Some(format!(
                "topic {topic} is not named as {}",
                listed(&self.topic_names)
            ));
        }
        if let Some(fault) = command.group().and_then(|group| self.fault_of_group(&group)) {
            return Some(fault);
        }
        if !self.looks_inside() {
            return None;
        }
        let messages = match command.messages().all() {
            Ok(messages) => messages.collect::<Vec<_>>(),
            Err(why) => return Some(format!("the messages cannot be read: {why}")),
        };
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if let Some(most) = self.max_batch.filter(|most| count > *most) {
            return Some(format!("{count} messages in a batch, at most {most} are allowed"));
        }
        let mut faults = messages
            .into_iter()
            .map(|message| (message.index(), self.fault_of_message(message)));
        let (index, fault) = faults.find_map(|(index, fault)| Some((index, fault?)))?;
        Some(if count > 1 {
            format!("message {} of {count}: {fault}", index + 1)
        } else {
            fault
        })
    }

    fn fault_of_message(&self, message: Message) -> Option<String> {
        let size = message.body_size();
        if let Some(most) = self.max_body_bytes.filter(|most| size > *most) {
            return Some(format!("a body of {size} bytes, at most {most} are allowed"));
        }
        if let Some(name) = self
            .required_properties
            .iter()
            .find(|name| message.property(name).is_none())
        {
            return Some(format!("property {name} is missing"));
        }
        if self.ban_delayed
            && let Some(name) = DELAYS.iter().find(|name| message.property(name).is_some())
        {
            return Some(format!("delayed messages are not allowed (property {name})"));
        }
        if self.max_properties.is_none() && self.max_property_bytes.is_none() {
            return None;
        }
        let properties = message.properties();
        if let Some(most) = self.max_properties.filter(|most| properties.len() > *most) {
            return Some(format!(
                "{} properties, at most {most} are allowed",
                properties.len()
            ));
        }
        // Two separators for each, as they travel.
        let bytes: usize = properties
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        let most = self.max_property_bytes.filter(|most| bytes > *most)?;
        Some(format!("{bytes} bytes of properties, at most {most} are allowed"))
    }

    /// What is wrong with the name of a group.
    pub fn fault_of_group(&self, group: &str) -> Option<String> {
        let is_system =
            group.starts_with("CID_RMQ_SYS_") || SYSTEM_GROUPS.iter().any(|system| group.starts_with(system));
        if is_system || self.group_names.fit(Some(group)) {
            return None;
        }
        Some(format!(
            "group {group} is not named as {}",
            listed(&self.group_names)
        ))
    }
}

fn listed(patterns: &Patterns) -> String {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    patterns.join(" or ")
}
