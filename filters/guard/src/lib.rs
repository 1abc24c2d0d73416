//! Refuses messages that are too big, badly named, or sent in a way that is not wanted.

pub mod rule;

use gimbal_sdk::prelude::*;

use rule::{Config, Rule};

/// The filter: a command must satisfy every rule that is about it.
#[derive(Debug)]
pub struct Guard {
    rules: Vec<Rule>,
}

impl Filter for Guard {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        for (at, rule) in config.rules.iter().enumerate() {
            rule.check().map_err(|why| format!("config.rules[{at}]: {why}"))?;
        }
        Ok(Self { rules: config.rules })
    }

    fn interests(&self) -> Vec<Interest> {
        let sends = Interest::sends();
        let looks_inside = self.rules.iter().any(Rule::looks_inside);
        let mut interests = vec![if looks_inside { sends.with_body() } else { sends }];
        if self.rules.iter().any(Rule::names_groups) {
            interests.push(Interest::requests(code::FETCHES));
            interests.push(Interest::requests([code::HEART_BEAT]));
        }
        interests
    }
}

impl Requests for Guard {
    fn on_request(&self, command: &Command) -> Verdict {
        let code = command.request_code();
        if code == code::HEART_BEAT {
            self.heartbeat(command);
            return Verdict::Forward;
        }
        let fault = if code::SENDS.contains(&code) {
            self.send(command)
        } else {
            self.fetch(command)
        };
        match fault {
            None => Verdict::Forward,
            Some((rule, why)) => refuse(command, &rule, &why),
        }
    }
}

impl Guard {
    fn send(&self, command: &Command) -> Option<(String, String)> {
        let topic = command.topic().unwrap_or_default();
        // What clients send on their own account: a consumer's message on its way back, traces, replies.
        let is_reply = matches!(
            command.request_code(),
            code::SEND_REPLY_MESSAGE | code::SEND_REPLY_MESSAGE_V2
        );
        if topic.starts_with("%RETRY%") || topic == "RMQ_SYS_TRACE_TOPIC" || is_reply {
            return None;
        }
        let about = self.about(&topic);
        let mut rules = about.map(|(name, rule)| (name, rule.fault_of_send(command, &topic)));
        rules.find_map(|(name, fault)| Some((name, fault?)))
    }

    fn fetch(&self, command: &Command) -> Option<(String, String)> {
        let group = command.group()?;
        let topic = command.topic().unwrap_or_default();
        let mut rules = self.about(&topic);
        rules.find_map(|(name, rule)| Some((name, rule.fault_of_group(&group)?)))
    }

    /// A badly named group is taken out of the heartbeat: the client does not become a member, and its pulls say why.
    fn heartbeat(&self, command: &Command) {
        for access in command.accesses() {
            let Some(group) = &access.group else { continue };
            let mut rules = self.about(access.topic.as_deref().unwrap_or_default());
            let fault = rules.find_map(|(name, rule)| Some((name, rule.fault_of_group(group)?)));
            if let Some((rule, why)) = fault
                && command.remove_group(group)
            {
                metrics::count("stripped", &[("rule", &rule)], 1);
                gimbal_sdk::warn!("group {group} was taken out of a heartbeat: {rule}: {why}");
            }
        }
    }

    /// The rules about a topic, with their names.
    fn about(&self, topic: &str) -> impl Iterator<Item = (String, &Rule)> {
        let rules = self.rules.iter().enumerate();
        rules
            .filter(move |(_, rule)| rule.is_about(topic))
            .map(|(at, rule)| (rule.name(at), rule))
    }
}

fn refuse(command: &Command, rule: &str, why: &str) -> Verdict {
    if command.is_oneway() {
        metrics::count("dropped", &[("rule", rule)], 1);
        return Verdict::Drop;
    }
    metrics::count("refused", &[("rule", rule)], 1);
    Verdict::answer(code::MESSAGE_ILLEGAL, format!("guard: {rule}: {why}"))
}

gimbal_sdk::export!(Guard);

#[cfg(test)]
mod tests;
