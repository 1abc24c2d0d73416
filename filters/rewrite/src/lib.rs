//! Changes ext fields and message properties, and maps topics and groups for tenants.

pub mod names;
pub mod rule;
pub mod template;

use std::collections::BTreeMap;

use gimbal_sdk::prelude::*;

use names::Mapping;
use rule::{Phase, Rule};
use template::Template;

/// The sidecar's `config` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Before every topic, as brokers know it.
    topic_prefix: Option<Template>,
    /// Before every group.
    group_prefix: Option<Template>,
    /// What brokers call a client's topic.
    #[serde(default)]
    topics: BTreeMap<String, String>,
    /// What brokers call a client's group.
    #[serde(default)]
    groups: BTreeMap<String, String>,
    /// Every rule that fits is applied, in order.
    #[serde(default)]
    rules: Vec<Rule>,
}

/// The filter.
#[derive(Debug)]
pub struct Rewrite {
    mapping: Mapping,
    rules: Vec<Rule>,
}

impl Filter for Rewrite {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        for (at, rule) in config.rules.iter().enumerate() {
            rule.check().map_err(|why| format!("config.rules[{at}]: {why}"))?;
        }
        let mapping = Mapping {
            topic_prefix: config.topic_prefix,
            group_prefix: config.group_prefix,
            topics: config.topics,
            groups: config.groups,
        };
        mapping.check()?;
        Ok(Self {
            mapping,
            rules: config.rules,
        })
    }

    fn interests(&self) -> Vec<Interest> {
        let mut interests: Vec<Interest> = self.rules.iter().map(Rule::interest).collect();
        if self.mapping.waits_for_commands() {
            interests.push(Interest::requests([]));
        }
        interests
    }
}

impl Connections for Rewrite {
    fn on_connect(&self, client: &Client) -> Result<(), String> {
        if self.mapping.is_empty() {
            Ok(())
        } else {
            self.mapping.begin(client)
        }
    }
}

impl Requests for Rewrite {
    fn on_request(&self, command: &Command) -> Verdict {
        // Without its prefix a tenant would meet the names of others: nothing of it goes on.
        if self.mapping.waits_for_commands()
            && !command.is_from_broker()
            && let Err(why) = self.mapping.set_prefixes(&command.names(), &command.client())
        {
            return refuse(command, code::NO_PERMISSION, &why);
        }
        self.apply(command, Phase::Request)
    }
}

impl Responses for Rewrite {
    fn on_response(&self, command: &Command) -> Verdict {
        self.apply(command, Phase::Response)
    }
}

impl Rewrite {
    fn apply(&self, command: &Command, phase: Phase) -> Verdict {
        for (at, rule) in self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.is_about(command, phase))
        {
            if let Err(why) = rule.apply(command) {
                return refuse(command, code::SYSTEM_ERROR, &format!("{}: {why}", rule.name(at)));
            }
        }
        Verdict::Forward
    }
}

fn refuse(command: &Command, code: Code, why: &str) -> Verdict {
    metrics::count("refused", &[], 1);
    if command.is_oneway() {
        gimbal_sdk::warn!("a one-way command was dropped: {why}");
        return Verdict::Drop;
    }
    Verdict::answer(code, format!("rewrite: {why}"))
}

gimbal_sdk::export!(Rewrite: requests, responses, connections);

#[cfg(test)]
mod tests;
