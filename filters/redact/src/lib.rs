//! Masks or drops JSON fields of message bodies on their way to chosen consumers, whichever way they leave.

pub mod json;
pub mod rule;

use gimbal_sdk::prelude::*;

use rule::{Config, NonJson, Reader, Rule};

/// The filter: every rule that fits a message is applied.
#[derive(Debug)]
pub struct Redact {
    rules: Vec<Rule>,
    mask: String,
}

impl Filter for Redact {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let rules = config.rules.into_iter().enumerate();
        Ok(Self {
            rules: rules
                .map(|(at, rule)| Rule::new(rule, at))
                .collect::<Result<_, _>>()?,
            mask: config.mask_text,
        })
    }

    fn interests(&self) -> Vec<Interest> {
        // No topics here: in a retry topic the messages have their own.
        vec![
            Interest::responses(code::DELIVERIES).with_body(),
            Interest::requests(code::PUSHES).with_body(),
        ]
    }
}

impl Responses for Redact {
    fn on_response(&self, command: &Command) -> Verdict {
        match self.redact(command) {
            Ok(()) => Verdict::Forward,
            Err(why) => {
                metrics::count("failed", &[], 1);
                Verdict::answer(code::SYSTEM_ERROR, format!("redact: {why}"))
            }
        }
    }
}

impl Requests for Redact {
    /// Brokers push messages too: to check a transaction, to have one consumed at once, or as a reply.
    fn on_request(&self, command: &Command) -> Verdict {
        match self.redact(command) {
            Ok(()) => Verdict::Forward,
            Err(why) => {
                metrics::count("failed", &[], 1);
                gimbal_sdk::error!("a push was dropped: {why}");
                Verdict::Drop
            }
        }
    }
}

impl Redact {
    /// Nothing goes on that could not be looked into: an error withholds the whole command.
    fn redact(&self, command: &Command) -> Result<(), String> {
        let reader = Reader::of(command);
        let rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.holds_for(&reader)).collect();
        if rules.is_empty() {
            return Ok(());
        }
        for message in command.messages().all()? {
            self.redact_message(message, &rules)?;
        }
        Ok(())
    }

    fn redact_message(&self, message: Message, rules: &[&Rule]) -> Result<(), String> {
        let topic = message.topic();
        let (mut body, mut changed) = (None, false);
        for rule in rules.iter().filter(|rule| rule.is_about(topic.as_deref())) {
            let text = match body.take() {
                Some(text) => text,
                None => message.body()?,
            };
            let edited = rule.apply(&text, &self.mask);
            match (edited, rule.non_json()) {
                (Ok(Some(edited)), _) => {
                    changed = true;
                    body = Some(edited);
                }
                (Ok(None), _) | (Err(_), NonJson::Pass) => body = Some(text),
                (Err(_), NonJson::Drop) => {
                    metrics::count("removed", &[("rule", rule.name())], 1);
                    return message.remove();
                }
                (Err(_), NonJson::Fail) => {
                    return Err(format!(
                        "{}: the body of a message is no JSON (topic {}, offset {})",
                        rule.name(),
                        topic.as_deref().unwrap_or("?"),
                        message
                            .queue_offset()
                            .map_or_else(|| "?".to_owned(), |offset| offset.to_string()),
                    ));
                }
            }
        }
        if let Some(body) = body.filter(|_| changed) {
            message.set_body(&body)?;
            metrics::count("redacted", &[], 1);
        }
        Ok(())
    }
}

gimbal_sdk::export!(Redact: requests, responses);

#[cfg(test)]
mod tests;
