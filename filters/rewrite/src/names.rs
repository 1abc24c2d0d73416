//! Topics and groups as brokers know them: a table, and prefixes for tenants.

use std::collections::BTreeMap;

use gimbal_sdk::Names;
use gimbal_sdk::prelude::*;

use crate::template::{Template, in_names, tell_of_client, unknown};

/// What the operator wrote about names.
#[derive(Debug, Default)]
pub struct Mapping {
    /// Before every topic.
    pub topic_prefix: Option<Template>,
    /// Before every group.
    pub group_prefix: Option<Template>,
    /// Topics by the client's name.
    pub topics: BTreeMap<String, String>,
    /// Groups by the client's name.
    pub groups: BTreeMap<String, String>,
}

impl Mapping {
    /// Whether it can be carried out.
    pub fn check(&self) -> Result<(), String> {
        for (key, prefix) in [
            ("topic_prefix", &self.topic_prefix),
            ("group_prefix", &self.group_prefix),
        ] {
            if let Some(prefix) = prefix {
                prefix
                    .check_prefix()
                    .map_err(|why| format!("config.{key}: {why}"))?;
            }
        }
        Ok(())
    }

    /// Whether there is anything to map.
    pub fn is_empty(&self) -> bool {
        self.prefixes().next().is_none() && self.topics.is_empty() && self.groups.is_empty()
    }

    /// Whether a prefix depends on what is known only with a command.
    pub fn waits_for_commands(&self) -> bool {
        self.prefixes().any(|prefix| !prefix.is_of_the_connection())
    }

    fn prefixes(&self) -> impl Iterator<Item = &Template> {
        self.topic_prefix.iter().chain(&self.group_prefix)
    }

    /// Sets what is known when a connection begins.
    pub fn begin(&self, client: &Client) -> Result<(), String> {
        let names = client.names();
        names.clear();
        for (own, broker) in &self.topics {
            names.map_topic(own, broker)?;
        }
        for (own, broker) in &self.groups {
            names.map_group(own, broker)?;
        }
        if self.waits_for_commands() {
            Ok(())
        } else {
            self.set_prefixes(&names, client)
        }
    }

    /// Sets what depends on the command; an error when a fact is not known, or cannot stand in a name.
    pub fn set_prefixes(&self, names: &Names, client: &Client) -> Result<(), String> {
        if let Some(prefix) = &self.topic_prefix {
            names.set_topic_prefix(&filled(prefix, client)?)?;
        }
        if let Some(prefix) = &self.group_prefix {
            names.set_group_prefix(&filled(prefix, client)?)?;
        }
        Ok(())
    }
}

fn filled(prefix: &Template, client: &Client) -> Result<String, String> {
    prefix.fill(|fact| {
        let text = tell_of_client(client, fact).ok_or_else(|| unknown(fact))?;
        in_names(fact, &text)
    })
}
