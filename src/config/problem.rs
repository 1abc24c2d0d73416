//! One problem: where, what, and what would be accepted; and the list that collects all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Who set something. Problems are listed in this order: down the file, then variables, then flags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file, its line, and a column where the line alone would not do.
    File(String, usize, Option<usize>),
    /// An environment variable.
    Variable(String),
    /// A flag, as typed.
    Flag(&'static str),
}

/// Something wrong, or worth a second look, in what the operator wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as in `listener[0].bind`; empty when the whole file is meant.
    pub path: String,
    /// Who set it; `None` for a default.
    pub origin: Option<Origin>,
    /// What is wrong, a phrase.
    pub what: String,
    /// What would be accepted instead, a phrase.
    pub accepted: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name, line, None) => write!(f, "{name}:{line}"),
            Self::File(name, line, Some(column)) => write!(f, "{name}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), &self.origin) {
            ("", None) => {}
            ("", Some(origin)) => write!(f, "{origin}: ")?,
            (path, None) => write!(f, "{path}: ")?,
            (path, Some(origin)) => write!(f, "{path} ({origin}): ")?,
        }
        write!(f, "{}; accepted: {}", self.what, self.accepted)
    }
}

/// Everything found while reading one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// What keeps this configuration from being used, in the order found.
    pub errors: Vec<Problem>,
    /// What does not, but will probably hurt.
    pub warnings: Vec<Problem>,
    /// What is right for some and wrong for others: for `gimbal check` to mention, and no reason to log.
    pub advice: Vec<Problem>,
    origins: BTreeMap<String, Origin>,
    settled: BTreeSet<String>,
}

impl Problems {
    /// Notes who set `path`; the last one to do so is the one named.
    pub fn set_origin(&mut self, path: String, origin: Origin) {
        self.origins.insert(path, origin);
    }

    /// Adds an error at `path`, unless this setting was [settled](Self::settle).
    pub fn error(&mut self, path: &str, what: impl Into<String>, accepted: impl Into<String>) {
        if !self.settled.contains(path) {
            let problem = self.problem(path, what.into(), accepted.into());
            self.errors.push(problem);
        }
    }

    /// Adds a warning at `path`, unless this setting was [settled](Self::settle).
    pub fn warning(&mut self, path: &str, what: impl Into<String>, accepted: impl Into<String>) {
        if !self.settled.contains(path) {
            let problem = self.problem(path, what.into(), accepted.into());
            self.warnings.push(problem);
        }
    }

    /// Adds advice at `path`, unless this setting was [settled](Self::settle).
    pub fn advise(&mut self, path: &str, what: impl Into<String>, accepted: impl Into<String>) {
        if !self.settled.contains(path) {
            let problem = self.problem(path, what.into(), accepted.into());
            self.advice.push(problem);
        }
    }

    /// Keeps later checks silent about `path`: its value was refused and a default stands in for it.
    pub fn settle(&mut self, path: &str) {
        self.settled.insert(path.to_owned());
    }

    /// Who set `path`, or, for a setting nobody wrote, the section around it.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        let mut path = path;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return Some(origin);
            }
            path = path.rsplit_once(['.', '['])?.0;
        }
    }

    /// Puts each list in the order of [`Origin`], those without one first.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.errors, &mut self.warnings, &mut self.advice] {
            list.sort_by(|a, b| a.origin.cmp(&b.origin));
        }
    }

    fn problem(&self, path: &str, what: String, accepted: String) -> Problem {
        Problem {
            path: path.to_owned(),
            origin: self.origin(path).cloned(),
            what,
            accepted,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The path of `key` inside the section `parent`.
pub(super) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

/// The candidate that `word` was most likely meant to be, if any comes close.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    // A third of the letters may be wrong, and two always: beyond that a suggestion misleads.
    let limit = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|c| {
            (
                strsim::osa_distance(&word, &c.to_ascii_lowercase().replace('-', "_")),
                c,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_forgives_a_slip_and_refuses_a_stranger() {
        let keys = ["nameservers", "allow", "workers", "state_dir"];
        assert_eq!(nearest("nameserver", keys), Some("nameservers"));
        assert_eq!(nearest("state-dir", keys), Some("state_dir"));
        assert_eq!(nearest("wrokers", keys), Some("workers"));
        assert_eq!(nearest("colour", keys), None);
    }

    #[test]
    fn an_unwritten_setting_is_blamed_on_its_section() {
        let mut problems = Problems::default();
        problems.set_origin("listener[0]".into(), Origin::Flag("--listen"));
        assert_eq!(
            problems.origin("listener[0].brokers.broker-a"),
            Some(&Origin::Flag("--listen"))
        );
        assert_eq!(problems.origin("listener[1]"), None);
    }
}
