//! Whether a decision is what a case expects.

use std::fmt;

use super::Expect;
use crate::author::stand::Decision;
use crate::filter::{Patterns, Verdict};

/// One thing that is otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// What: `verdict`, `field b`, `property x`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What it is.
    pub got: String,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.what, self.expected, self.got)
    }
}

impl Expect {
    /// Everything in which the decision is not as expected.
    pub fn misses(&self, decision: &Decision) -> Vec<Miss> {
        let mut misses = Vec::new();
        let mut miss = |what: &str, expected: String, got: String| {
            misses.push(Miss {
                what: what.to_owned(),
                expected,
                got,
            });
        };
        match (&self.failure, &decision.failure) {
            (None, Some(why)) => miss("failure", "none".to_owned(), why.clone()),
            (Some(wanted), got) if !got.as_deref().is_some_and(|got| fits(wanted, got)) => {
                let got = got.clone().unwrap_or_else(|| "none".to_owned());
                miss("failure", quoted(wanted), got);
            }
            _ => {}
        }
        if let Some(wanted) = self.verdict.filter(|name| *name != decision.verdict.name()) {
            miss("verdict", wanted.to_owned(), decision.verdict_line());
        }
        let code = match &decision.verdict {
            Verdict::Answer(answer) => Some(answer.code),
            _ => decision.command.as_ref().map(|command| command.code),
        };
        if let Some(wanted) = self.code.filter(|wanted| Some(*wanted) != code) {
            let got = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            miss("code", wanted.to_string(), got);
        }
        if let Some(wanted) = &self.remark
            && !decision.remark().is_some_and(|got| fits(wanted, got))
        {
            miss("remark", quoted(wanted), shown(decision.remark()));
        }
        if let Some(wanted) = self.delay {
            let got = match decision.verdict {
                Verdict::Delay(got) => Some(got),
                _ => None,
            };
            if got != Some(wanted) {
                let text = |delay| humantime::format_duration(delay).to_string();
                miss("delay", text(wanted), got.map_or_else(|| "none".to_owned(), text));
            }
        }
        self.content(decision, &mut miss);
        misses
    }

    /// What leaves.
    fn content(&self, decision: &Decision, miss: &mut dyn FnMut(&str, String, String)) {
        for (name, wanted) in &self.fields {
            let got = decision.field(name);
            if !is(wanted, got) {
                miss(&format!("field {name}"), absent(wanted), shown(got));
            }
        }
        for (name, wanted) in &self.properties {
            if decision.messages.is_empty() {
                miss(
                    &format!("property {name}"),
                    absent(wanted),
                    "no message".to_owned(),
                );
            }
            for (at, message) in decision.messages.iter().enumerate() {
                let got = message.property(name);
                if !is(wanted, got) {
                    let what = format!("property {name} of message {at}");
                    miss(&what, absent(wanted), shown(got));
                }
            }
        }
        if let Some(wanted) = &self.body {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let bodies: Vec<String> = match (&decision.command, decision.messages.as_slice()) {
                (Some(command), []) => vec![text(&command.body)],
                (_, messages) => messages.iter().map(|message| text(&message.body)).collect(),
            };
            if bodies.is_empty() {
                miss("body", quoted(wanted), "nothing leaves".to_owned());
            }
            for body in bodies.iter().filter(|body| !fits(wanted, body)) {
                miss("body", quoted(wanted), quoted(body));
            }
        }
        self.whole(decision, miss);
    }

    /// What is said of the command as a whole.
    fn whole(&self, decision: &Decision, miss: &mut dyn FnMut(&str, String, String)) {
        if let Some(wanted) = self.messages.filter(|wanted| *wanted != decision.messages.len()) {
            miss(
                "messages",
                wanted.to_string(),
                decision.messages.len().to_string(),
            );
        }
        if let Some(wanted) = &self.names {
            let mut names = decision.changes.iter().filter(|change| change.what == "names");
            let got = names.next().and_then(|change| change.after.as_deref());
            if !got.is_some_and(|got| fits(wanted, got)) {
                miss("names", quoted(wanted), shown(got));
            }
        }
        if let Some(wanted) = self.unchanged
            && wanted != decision.changes.is_empty()
        {
            let changes: Vec<String> = decision.changes.iter().map(ToString::to_string).collect();
            let got = if changes.is_empty() {
                "unchanged".to_owned()
            } else {
                changes.join("; ")
            };
            let expected = if wanted { "unchanged" } else { "changed" };
            miss("command", expected.to_owned(), got);
        }
    }
}

/// Whether a text fits a pattern with * and ?.
fn fits(pattern: &str, text: &str) -> bool {
    pattern == text || Patterns::new(&[pattern.to_owned()]).matches(text)
}

fn is(wanted: &str, got: Option<&str>) -> bool {
    match (wanted, got) {
        ("", got) => got.is_none_or(str::is_empty),
        (wanted, got) => got.is_some_and(|got| fits(wanted, got)),
    }
}

fn absent(wanted: &str) -> String {
    if wanted.is_empty() {
        "none".to_owned()
    } else {
        quoted(wanted)
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), quoted)
}
