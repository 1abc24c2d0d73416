//! One rule: which commands it changes, and how.

use std::collections::BTreeMap;

use gimbal_sdk::prelude::*;

use crate::template::{Template, tell};

/// A rule as the operator writes it. Removals come first, then new names, then new values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    name: Option<String>,
    #[serde(default)]
    phase: Phase,
    #[serde(default)]
    codes: Vec<Code>,
    #[serde(default)]
    topics: Patterns,
    #[serde(default)]
    groups: Patterns,
    #[serde(default)]
    users: Patterns,
    #[serde(default)]
    listeners: Patterns,
    #[serde(default)]
    addresses: Networks,
    #[serde(default)]
    remove_fields: Vec<String>,
    #[serde(default)]
    rename_fields: BTreeMap<String, String>,
    #[serde(default)]
    set_fields: BTreeMap<String, Template>,
    #[serde(default)]
    remove_properties: Vec<String>,
    #[serde(default)]
    rename_properties: BTreeMap<String, String>,
    #[serde(default)]
    set_properties: BTreeMap<String, Template>,
}

/// Whether a rule is about what clients ask, or about what brokers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// What clients ask.
    #[default]
    Request,
    /// What brokers answer.
    Response,
}

impl Rule {
    /// How the rule is called; `at` is its place.
    pub fn name(&self, at: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("rule {}", at + 1))
    }

    /// Whether the rule changes anything, and nothing that would tear a command apart.
    pub fn check(&self) -> Result<(), String> {
        let changes_fields =
            !(self.remove_fields.is_empty() && self.rename_fields.is_empty() && self.set_fields.is_empty());
        if !changes_fields && !self.changes_properties() {
            return Err("the rule changes nothing".to_owned());
        }
        let names = self
            .remove_fields
            .iter()
            .chain(self.rename_fields.iter().flat_map(|(from, to)| [from, to]));
        for name in names.chain(self.set_fields.keys()) {
            if ["AccessKey", "Signature", "SecurityToken"].contains(&name.as_str()) {
                return Err(format!("`{name}` belongs to the client's signature"));
            }
        }
        let properties = self.rename_properties.values().chain(self.set_properties.keys());
        for name in properties {
            if name.is_empty() || name.contains(['\u{1}', '\u{2}']) {
                return Err(format!("`{}` is no name of a property", name.escape_default()));
            }
        }
        Ok(())
    }

    /// What the rule wants to see.
    pub fn interest(&self) -> Interest {
        let codes = self.codes.iter().copied();
        let interest = match self.phase {
            Phase::Request => Interest::requests(codes),
            Phase::Response => Interest::responses(codes),
        };
        let interest = interest.groups(self.groups.iter());
        match (self.changes_properties(), self.phase) {
            (false, _) => interest.topics(self.topics.iter()),
            (true, Phase::Request) => interest.topics(self.topics.iter()).with_body(),
            // In a retry topic the messages have their own.
            (true, Phase::Response) => interest.with_body(),
        }
    }

    fn changes_properties(&self) -> bool {
        !(self.remove_properties.is_empty()
            && self.rename_properties.is_empty()
            && self.set_properties.is_empty())
    }

    /// Whether the rule is about this command, its topic aside.
    pub fn is_about(&self, command: &Command, phase: Phase) -> bool {
        let client = command.client();
        // Every name asked for is a call to the host: only what the rule is about is asked for.
        self.phase == phase
            && (self.codes.is_empty() || self.codes.contains(&command.request_code()))
            && (self.groups.is_empty() || self.groups.fit(command.group().as_deref()))
            && (self.users.is_empty() || self.users.fit(client.user().as_deref()))
            && (self.listeners.is_empty() || self.listeners.fit(Some(&client.listener())))
            && (self.addresses.is_empty() || self.addresses.fit(&client.ip()))
    }

    /// Changes the command. A value whose facts are not all known is not set.
    pub fn apply(&self, command: &Command) -> Result<(), String> {
        if self.topics.is_empty() || self.topics.fit(command.topic().as_deref()) {
            self.change_fields(command);
        }
        if self.changes_properties() {
            for message in command.messages().all()? {
                if self.topics.is_empty() || self.topics.fit(message.topic().as_deref()) {
                    self.change_properties(command, message)?;
                }
            }
        }
        Ok(())
    }

    fn change_fields(&self, command: &Command) {
        for name in &self.remove_fields {
            command.remove_field(name);
        }
        for (from, to) in &self.rename_fields {
            if let Some(value) = command.field(from) {
                command.remove_field(from);
                command.set_field(to, &value);
            }
        }
        for (name, template) in &self.set_fields {
            if let Ok(value) = template.fill(|fact| tell(command, fact).ok_or(fact)) {
                command.set_field(name, &value);
            }
        }
    }

    fn change_properties(&self, command: &Command, message: Message) -> Result<(), String> {
        for name in &self.remove_properties {
            message.remove_property(name)?;
        }
        for (from, to) in &self.rename_properties {
            if let Some(value) = message.property(from) {
                message.remove_property(from)?;
                message.set_property(to, &value)?;
            }
        }
        for (name, template) in &self.set_properties {
            // A property without a value cannot travel.
            let filled = template.fill(|fact| tell(command, fact).ok_or(fact));
            if let Some(value) = filled.ok().filter(|value| !value.is_empty()) {
                message.set_property(name, &value)?;
            }
        }
        Ok(())
    }
}
