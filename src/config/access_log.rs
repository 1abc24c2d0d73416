//! `[access_log]`: which commands leave a line, and where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{accepted_code, code};
use super::problem::Problems;
use super::value::Words;
use crate::protocol::Code;

/// One line of JSON for a command. Commands that fail, are refused, or are denied, dropped or cut off by a filter always
/// leave one; of the others, some.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Section {
    /// The file that lines are appended to, opened again on SIGHUP and when settings are saved; or "stderr" or "stdout".
    /// Default: none, and no lines.
    pub path: Option<String>,
    /// The share of other commands that leave a line, from 0.0 (none) to 1.0 (all).
    pub sample: f64,
    /// Commands with a share of their own; the first rule that fits decides.
    pub rules: Vec<RuleSection>,
}

/// Commands with a share of their own. What a rule does not name, it does not look at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSection {
    /// Request codes by name or number.
    pub code: Words,
    /// Topics; `*` and `?` stand for any letters.
    pub topic: Words,
    /// Producer and consumer groups, likewise.
    pub group: Words,
    /// Client ids, likewise.
    pub client: Words,
    /// Users that sign commands, likewise.
    pub user: Words,
    /// How the command ended.
    pub outcome: Vec<OutcomeName>,
    /// The share of them that leaves a line, from 0.0 to 1.0.
    pub sample: f64,
}

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeName {
    /// A broker or name server answered, or it was one-way and went on.
    Forwarded,
    /// Gimbal answered from what it knows.
    Answered,
    /// A filter answered in the broker's place.
    Denied,
    /// A filter dropped it.
    Dropped,
    /// A filter closed the connection.
    Closed,
    /// Gimbal refused it.
    Refused,
    /// Nobody answered it in time, or nobody could be reached.
    Failed,
    /// The connection ended before its answer was there.
    Abandoned,
}

impl OutcomeName {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Answered => "answered",
            Self::Denied => "denied",
            Self::Dropped => "dropped",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Which commands leave a line, and where.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessLog {
    /// A file, `stderr` or `stdout`; `None` for no lines.
    pub path: Option<String>,
    /// The share of commands that no rule is about.
    pub sample: f64,
    /// The first that fits decides.
    pub rules: Vec<Rule>,
}

/// Commands with a share of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Codes; none for all.
    pub codes: Vec<Code>,
    /// Patterns of topics, groups, client ids and users; none for all.
    pub names: [Vec<String>; 4],
    /// Outcomes; none for all.
    pub outcomes: Vec<OutcomeName>,
    /// Their share.
    pub sample: f64,
}

pub(super) fn check(written: &Section, problems: &mut Problems) -> AccessLog {
    check_share("access_log.sample", written.sample, problems);
    let rules = written.rules.iter().enumerate();
    AccessLog {
        path: written.path.clone().filter(|path| !path.is_empty()),
        sample: written.sample,
        rules: rules.map(|(at, rule)| check_rule(at, rule, problems)).collect(),
    }
}

/// Says what is wrong with a share.
pub(super) fn check_share(path: &str, share: f64, problems: &mut Problems) {
    if !(0.0..=1.0).contains(&share) {
        problems.error(path, format!("is {share}, which is no share"), "0.0 to 1.0");
    }
}

fn check_rule(at: usize, written: &RuleSection, problems: &mut Problems) -> Rule {
    let path = format!("access_log.rules[{at}]");
    check_share(&format!("{path}.sample"), written.sample, problems);
    let mut codes = Vec::new();
    for (place, word) in written.code.0.iter().enumerate() {
        match code(word) {
            Ok(code) => codes.push(code),
            Err(what) => problems.error(&format!("{path}.code[{place}]"), what, accepted_code(word, &[])),
        }
    }
    let names = [&written.topic, &written.group, &written.client, &written.user];
    Rule {
        codes,
        names: names.map(|words| words.0.clone()),
        outcomes: written.outcome.clone(),
        sample: written.sample,
    }
}
