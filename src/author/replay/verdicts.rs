//! What a filter decided about one recorded command.

use std::time::Duration;

use serde::Serialize;

use super::changes::between;
use crate::filter::{Outcome, Subject};
use crate::protocol::{Command, Text, response};

/// A decision. Two are the same when the command would fare alike: time is not compared.
#[derive(Debug, Clone, Serialize)]
pub struct Decided {
    /// `forward`, `answer`, `delay`, `drop`, `close`; `not asked` when nothing in its interest or scope fits.
    pub verdict: &'static str,
    /// The code of an answer, milliseconds of a delay, the reason of a close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How the filter failed, if it did; the verdict is then what its policy says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What differs in the command as it goes on, in words.
    pub changes: Vec<String>,
    /// Time in the filter, nanoseconds.
    pub ns: u64,
    /// The command that goes on, or the answer.
    #[serde(skip)]
    leaves: Option<Command>,
}

impl PartialEq for Decided {
    fn eq(&self, other: &Self) -> bool {
        let what = |one: &Self| (one.verdict, one.detail.clone(), one.failure.is_some());
        what(self) == what(other) && self.changes == other.changes && self.leaves == other.leaves
    }
}

impl Decided {
    pub(super) fn new(before: &Command, mut outcome: Outcome, was_called: bool) -> Self {
        let trail = outcome.take_trail();
        let found = |verdict: &str| trail.decided.iter().find(|one| one.verdict == verdict);
        let failure = found("failed").map(|one| one.detail.clone().unwrap_or_default());
        let has_answered = found("answer").is_some();
        let mut decided = Self {
            verdict: if was_called { "forward" } else { "not asked" },
            detail: None,
            failure,
            changes: Vec::new(),
            ns: u64::try_from(trail.took.as_nanos()).unwrap_or(u64::MAX),
            leaves: None,
        };
        match outcome {
            Outcome::Forward(subject) => {
                decided.follow(before, *subject);
                // An answer that stands in the place of a response.
                if has_answered && let Some(answer) = decided.leaves.clone() {
                    decided.answered(answer);
                }
            }
            Outcome::Answer { subject, answer, .. } => {
                decided.answered(answer.to_command(subject.head(), subject.kind()));
            }
            Outcome::Delay { subject, wait, .. } => {
                decided.verdict = "delay";
                decided.detail = Some(milliseconds(wait));
                decided.follow(before, *subject);
            }
            Outcome::Drop(_) => decided.verdict = "drop",
            Outcome::Close { reason, .. } => {
                decided.verdict = "close";
                decided.detail = Some(reason);
            }
        }
        decided
    }

    fn answered(&mut self, answer: Command) {
        let name = response::name(answer.code).unwrap_or("no name");
        let remark = answer.remark.as_ref().map(Text::as_str);
        self.verdict = "answer";
        self.changes.clear();
        self.detail = Some(match remark {
            Some(remark) => format!("{} {name}: {remark}", answer.code),
            None => format!("{} {name}", answer.code),
        });
        self.leaves = Some(answer);
    }

    /// Takes over the command as it goes on.
    fn follow(&mut self, before: &Command, subject: Subject) {
        let after = subject.into_parts().and_then(|parts| {
            let decoded = Command::decode(&parts.frame);
            decoded.map_err(|error| error.to_string())
        });
        match after {
            Ok(after) => {
                self.changes = between(before, &after);
                self.leaves = Some(after);
            }
            Err(why) => self.failure = Some(format!("what it made of the command cannot be written: {why}")),
        }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
