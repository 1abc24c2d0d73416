//! Limits messages and bytes per second: sends that are too many are refused, pulls that would bring too many are held.

pub mod rule;

use gimbal_sdk::prelude::*;

use rule::{Config, Direction, Facts, Rule};

/// The filter: its rules, those for the narrowest buckets first.
///
/// When one of several buckets refuses a send, the permits taken from the buckets before it are gone. Asking the narrow
/// ones first means that a client beyond its own share takes nothing from what it shares with others.
#[derive(Debug)]
pub struct RateLimit {
    rules: Vec<Rule>,
    limit_retries: bool,
}

impl Filter for RateLimit {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (at, written) in config.rules.into_iter().enumerate() {
            rules.push(Rule::new(written, at, config.instances)?);
        }
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.breadth()));
        Ok(Self {
            rules,
            limit_retries: config.limit_retries,
        })
    }

    fn interests(&self) -> Vec<Interest> {
        if self.rules.is_empty() {
            return vec![Interest::nothing()];
        }
        let mut interests = Vec::new();
        let (sends, consumes): (Vec<&Rule>, Vec<&Rule>) =
            self.rules.iter().partition(|rule| rule.is(Direction::Send));
        if !sends.is_empty() {
            interests.push(narrowed(Interest::sends(), &sends));
        }
        if !consumes.is_empty() {
            interests.push(narrowed(Interest::both(code::FETCHES), &consumes));
        }
        interests
    }
}

/// Only the topics that the rules are about, where all of them say so.
fn narrowed(interest: Interest, rules: &[&Rule]) -> Interest {
    let interest = interest.with_body();
    if rules.iter().any(|rule| rule.topics().is_empty()) {
        return interest;
    }
    interest.topics(rules.iter().flat_map(|rule| rule.topics().iter()))
}

impl Requests for RateLimit {
    fn on_request(&self, command: &Command) -> Verdict {
        if code::SENDS.contains(&command.request_code()) {
            self.send(command)
        } else {
            self.fetch(command)
        }
    }
}

impl Responses for RateLimit {
    fn on_response(&self, command: &Command) -> Verdict {
        if command.code() == code::SUCCESS {
            // What cannot be read cannot be counted, and the client would not get on if it were withheld.
            match command.messages().count() {
                Ok(0) => {}
                Ok(_) => self.charge(command),
                Err(why) => gimbal_sdk::warn!("messages were not counted: {why}"),
            }
        }
        Verdict::Forward
    }
}

impl RateLimit {
    fn fitting(&self, direction: Direction, facts: &Facts<'_>) -> impl Iterator<Item = &Rule> {
        self.rules
            .iter()
            .filter(move |rule| rule.is(direction) && rule.fits(facts))
    }

    fn send(&self, command: &Command) -> Verdict {
        // A consumer that cannot hand back a message keeps it in memory, and does not get on.
        let facts = Facts::of(command);
        let is_retry = || facts.topic().is_some_and(|topic| topic.starts_with("%RETRY%"));
        if !self.limit_retries && is_retry() {
            return Verdict::Forward;
        }
        for rule in self.fitting(Direction::Send, &facts) {
            for bucket in rule.buckets(&facts) {
                if let Err(wait) = bucket.limit.acquire(bucket.permits(command)) {
                    return refuse(command, rule, &bucket.says(rule), wait);
                }
            }
        }
        Verdict::Forward
    }

    /// A fetch is held while a bucket is in debt for what earlier fetches brought.
    fn fetch(&self, command: &Command) -> Verdict {
        let facts = Facts::of(command);
        let longest = self
            .fitting(Direction::Consume, &facts)
            .filter_map(|rule| {
                Some((
                    rule.buckets(&facts).map(|bucket| bucket.limit.debt()).max()?,
                    rule,
                ))
            })
            .max_by_key(|(debt, _)| *debt);
        match longest {
            Some((debt, rule)) if debt > 0 => {
                metrics::count("held", &[("rule", rule.name())], 1);
                Verdict::Delay(u32::try_from(debt).unwrap_or(u32::MAX))
            }
            _ => Verdict::Forward,
        }
    }

    fn charge(&self, command: &Command) {
        let facts = Facts::of(command);
        for rule in self.fitting(Direction::Consume, &facts) {
            for bucket in rule.buckets(&facts) {
                bucket.limit.charge(bucket.permits(command));
            }
        }
    }
}

fn refuse(command: &Command, rule: &Rule, limit: &str, wait: u64) -> Verdict {
    if command.is_oneway() {
        metrics::count("dropped", &[("rule", rule.name())], 1);
        return Verdict::Drop;
    }
    metrics::count("refused", &[("rule", rule.name())], 1);
    let name = rule.name();
    Verdict::answer(
        code::FLOW_CONTROL,
        format!("rate-limit: {name} allows {limit}; try again in {wait} ms"),
    )
}

gimbal_sdk::export!(RateLimit: requests, responses);

#[cfg(test)]
mod tests;
