//! Says who may publish to, subscribe to, read and manage which topics and groups.

pub mod rules;

use std::fmt::Write;

use gimbal_sdk::prelude::*;
use gimbal_sdk::{Access, Action};

use rules::{Choice, Config, Decision, Effect, Heartbeats, Who};

/// The filter: the rules as they were written, the first that fits decides.
#[derive(Debug)]
pub struct Acl {
    config: Config,
}

impl Filter for Acl {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        for (at, rule) in config.rules.iter().enumerate() {
            rule.check().map_err(|why| format!("config.rules[{at}].{why}"))?;
        }
        Ok(Self { config })
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::requests([])]
    }
}

/// Codes of clients that may touch no topic and no group at all, such as a heartbeat of producers alone.
const MAY_TOUCH_NOTHING: [Code; 9] = [
    code::HEART_BEAT,
    code::END_TRANSACTION,
    code::GET_CONSUMER_LIST_BY_GROUP,
    code::LOCK_BATCH_MQ,
    code::UNLOCK_BATCH_MQ,
    46,
    101,
    code::QUERY_ASSIGNMENT,
    code::BATCH_ACK_MESSAGE,
];

impl Requests for Acl {
    fn on_request(&self, command: &Command) -> Verdict {
        let code = command.request_code();
        // Leaving is allowed to everyone: it takes nothing, and a client that may not leave haunts its group.
        if code == code::UNREGISTER_CLIENT {
            return Verdict::Forward;
        }
        if code == code::GET_ROUTEINFO_BY_TOPIC && self.config.routes == Choice::Allow {
            return Verdict::Forward;
        }
        let who = Who::of(&command.client());
        let accesses = command.accesses().into_iter();
        let mut accesses: Vec<Access> = accesses.map(|access| rules::judged(code, access)).collect();
        if accesses.is_empty() && !MAY_TOUCH_NOTHING.contains(&code) {
            accesses.push(Access {
                action: if code == code::VIEW_MESSAGE_BY_ID {
                    Action::Read
                } else {
                    Action::Manage
                },
                topic: None,
                group: None,
            });
        }
        if code == code::HEART_BEAT && self.config.heartbeats == Heartbeats::Strip {
            self.strip(command, &who, &accesses);
            return Verdict::Forward;
        }
        let denied = accesses
            .iter()
            .find_map(|access| match self.decide(code, &who, access) {
                decision if decision.effect == Effect::Allow => None,
                decision => Some((access, decision)),
            });
        match denied {
            Some((access, decision)) => refuse(command, &who, access, &decision),
            None => Verdict::Forward,
        }
    }
}

impl Acl {
    /// A denied group is taken out of the heartbeat: its client never becomes a member, so that the members that are
    /// allowed keep every queue. Its pulls are refused, which is where it learns why.
    fn strip(&self, command: &Command, who: &Who, accesses: &[Access]) {
        let mut gone: Vec<&str> = Vec::new();
        for access in accesses {
            let Some(group) = access.group.as_deref().filter(|group| !gone.contains(group)) else {
                continue;
            };
            let decision = self.decide(code::HEART_BEAT, who, access);
            if decision.effect == Effect::Deny {
                command.remove_group(group);
                count(access, &decision, "stripped");
                gimbal_sdk::info!(
                    "group {group} was taken out of a heartbeat: {}",
                    text(who, access, &decision)
                );
                gone.push(group);
            }
        }
    }

    /// What the first fitting rule says, or the default.
    fn decide(&self, code: Code, who: &Who, access: &Access) -> Decision<'_> {
        if self.config.system_topics == Choice::Allow && rules::is_everyones(code, access) {
            return Decision {
                effect: Effect::Allow,
                rule: None,
            };
        }
        self.config.decide(who, access)
    }
}

fn refuse(command: &Command, who: &Who, access: &Access, decision: &Decision<'_>) -> Verdict {
    if command.is_oneway() {
        count(access, decision, "dropped");
        return Verdict::Drop;
    }
    count(access, decision, "refused");
    Verdict::answer(
        code::NO_PERMISSION,
        format!("acl: {}", text(who, access, decision)),
    )
}

fn count(access: &Access, decision: &Decision<'_>, what: &str) {
    let rule = decision.rule.as_deref().unwrap_or("default");
    metrics::count(what, &[("action", rules::name(access.action)), ("rule", rule)], 1);
}

/// Which rule denies what to whom.
fn text(who: &Who, access: &Access, decision: &Decision<'_>) -> String {
    let mut text = match &decision.rule {
        Some(rule) => format!("{rule} denies {who} to "),
        None => format!("no rule allows {who} to "),
    };
    text.push_str(rules::name(access.action));
    for (what, name) in [("topic", &access.topic), ("group", &access.group)] {
        if let Some(name) = name {
            // Writing to a text cannot fail.
            write!(text, " {what} {name}").unwrap_or_default();
        }
    }
    text
}

gimbal_sdk::export!(Acl);

#[cfg(test)]
mod tests;
