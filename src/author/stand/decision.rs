//! What a filter decided about one command, and everything that was seen of its way there.

use std::fmt;
use std::time::Duration;

use super::change::{self, Change};
use crate::filter::{Answer, Outcome, Subject, Trail, Verdict, Watch, Way};
use crate::protocol::{Code, Command, Text};

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the command, also when the filter failed and its policy says so.
    pub verdict: Verdict,
    /// The delay that the filter asked for, in milliseconds, which may be longer than what is allowed.
    pub asked_delay: Option<u64>,
    /// How the filter failed, if it did.
    pub failure: Option<String>,
    /// Whether it was called: its interest fits the command.
    pub was_called: bool,
    /// What it read, in the order it first did.
    pub reads: Vec<String>,
    /// What it changed: fields, properties, bodies, messages, names.
    pub changes: Vec<Change>,
    /// Lines it wrote to the log, each with its level.
    pub lines: Vec<(&'static str, String)>,
    /// Time in the filter.
    pub took: Duration,
    /// Fuel of the call, on an engine that counts it.
    pub fuel: Option<u64>,
    /// Memory of the instance that was called, bytes.
    pub memory: usize,
    /// The command as it goes on, or the answer; none when neither leaves.
    pub command: Option<Command>,
    /// The messages that leave.
    pub messages: Vec<Message>,
    /// Whether it gave an answer, also where that stands in the place of another.
    has_answered: bool,
}

/// A message as it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its properties.
    pub properties: Vec<(String, String)>,
    /// Its body, decompressed where that can be done.
    pub body: bytes::Bytes,
}

impl Message {
    /// One property.
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().rev().find(|(there, _)| there == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Decision {
    pub(super) fn new(trail: &Trail, watch: Watch, was_called: bool) -> Self {
        let detail = |verdict: &str| {
            let found = trail.decided.iter().find(|one| one.verdict == verdict);
            found.and_then(|one| one.detail.clone())
        };
        Self {
            verdict: Verdict::Forward,
            asked_delay: detail("delay").and_then(|ms| ms.parse().ok()),
            failure: detail("failed"),
            was_called,
            reads: watch.reads,
            changes: Vec::new(),
            lines: watch.lines,
            took: trail.took,
            fuel: watch.fuel,
            memory: watch.memory,
            command: None,
            messages: Vec::new(),
            has_answered: detail("answer").is_some(),
        }
    }

    /// This verdict and nothing else.
    #[cfg(test)]
    pub(in crate::author) fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            ..Self::new(&Trail::default(), Watch::default(), true)
        }
    }

    /// Takes over what became of the command that was `before`.
    pub(super) fn follow(
        &mut self,
        way: Way,
        code: Code,
        before: &Command,
        outcome: Outcome,
    ) -> Result<(), String> {
        let subject = match outcome {
            Outcome::Forward(subject) => subject,
            Outcome::Answer { subject, answer, .. } => {
                self.note_names(&subject);
                self.command = Some(answer.to_command(subject.head(), subject.kind()));
                self.verdict = Verdict::Answer(answer);
                return Ok(());
            }
            Outcome::Delay { subject, wait, .. } => {
                self.verdict = Verdict::Delay(wait);
                subject
            }
            Outcome::Drop(_) => {
                self.verdict = Verdict::Drop;
                return Ok(());
            }
            Outcome::Close { reason, .. } => {
                self.verdict = Verdict::Close(reason);
                return Ok(());
            }
        };
        self.note_names(&subject);
        let frame = subject.into_parts()?.frame;
        let after = Command::decode(&frame).map_err(|error| error.to_string())?;
        if self.has_answered {
            self.verdict = Verdict::Answer(Answer {
                code: after.code,
                remark: after.remark.as_ref().map(|text| text.as_str().to_owned()),
                fields: Vec::new(),
                body: after.body.clone(),
            });
        }
        let messages = |command: &Command| change::messages(way, code, command);
        self.messages = messages(&after);
        let old = (before, &*messages(before));
        self.changes
            .extend(change::between(old, (&after, &self.messages)));
        self.command = Some(after);
        Ok(())
    }

    /// Notes how names are mapped now, if the filter mapped them.
    pub(super) fn note_names(&mut self, subject: &Subject) {
        if let Some(names) = subject.names() {
            self.changes.push(Change {
                what: "names".to_owned(),
                before: None,
                after: Some(change::mapping(&names.mapping)),
            });
        }
    }

    /// An ext field as it leaves.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.command.as_ref()?.field(name)
    }

    /// A property of the first message that leaves.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.messages.first()?.property(name)
    }

    /// The verdict with its code, time or reason, as one reads it.
    pub fn verdict_line(&self) -> String {
        let line = match &self.verdict {
            Verdict::Forward if !self.was_called => "not asked".to_owned(),
            Verdict::Forward | Verdict::Drop => self.verdict.name().to_owned(),
            Verdict::Answer(answer) => format!("answer {}", answer.code),
            Verdict::Delay(wait) => format!("delay {}", humantime::format_duration(*wait)),
            Verdict::Close(_) => "close".to_owned(),
        };
        match self.failure {
            Some(_) => format!("{line} (failed)"),
            None => line,
        }
    }

    /// What people read with the verdict: the remark of an answer, the reason of a close.
    pub fn remark(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Answer(answer) => answer.remark.as_deref(),
            Verdict::Close(reason) => Some(reason),
            Verdict::Forward | Verdict::Delay(_) | Verdict::Drop => {
                let command = self.command.as_ref()?;
                command.remark.as_ref().map(Text::as_str)
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verdict_line())?;
        if let Some(remark) = self.remark() {
            write!(f, " \"{remark}\"")?;
        }
        if let Some(failure) = &self.failure {
            write!(f, "; {failure}")?;
        }
        for change in &self.changes {
            write!(f, "; {change}")?;
        }
        Ok(())
    }
}
