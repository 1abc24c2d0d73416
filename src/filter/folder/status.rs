//! What is known of each filter: for logs, and for whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::filter::{Counters, LoadError, Mode, Policy};

/// What serves under a filter's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Serving {
    /// What the folder holds.
    Current,
    /// An older version: that in the folder cannot be used, or is gone although required.
    Kept,
    /// A version accepted before the restart: that in the folder cannot be used.
    Accepted,
    /// Something that refuses every command in its scope: no version was ever accepted.
    Refusal,
    /// Nothing: its mode is off, or it was never accepted and never in force.
    Nothing,
}

/// How a change of a filter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A new version serves.
    Loaded,
    /// The same version serves with other settings, or in another place.
    Changed,
    /// It was switched off.
    Off,
    /// Nothing was changed, since something was wrong.
    Failed,
    /// An operator took it out of the chain.
    Disabled,
    /// It is back in the chain.
    Enabled,
}

/// One line of a filter's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// When.
    #[serde(serialize_with = "write_time")]
    pub when: SystemTime,
    /// How it ended.
    pub event: Event,
    /// The generation it made, or left in force.
    pub generation: u64,
    /// SHA-256 of the version it was about, if its file could be read.
    pub digest: String,
    /// What was wrong; empty when nothing was.
    pub text: String,
}

/// What was wrong when a filter could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// When.
    #[serde(serialize_with = "write_time")]
    pub when: SystemTime,
    /// The step of loading, as in [`LoadError::step`]; also `sidecar`.
    pub step: &'static str,
    /// What was wrong, and what would be accepted.
    pub text: String,
}

/// Everything known of one filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Its name: the file name without order number and ending.
    pub name: String,
    /// Its file's name; empty when no file of it was ever seen.
    pub file: String,
    /// What serves.
    pub serving: Serving,
    /// An operator took it out of the chain while the proxy runs.
    pub is_disabled: bool,
    /// The manifest's name, which may differ from the file's.
    pub title: Option<String>,
    /// The manifest's version.
    pub version: Option<String>,
    /// The manifest's one line.
    pub description: Option<String>,
    /// SHA-256 of the version that serves.
    pub digest: Option<String>,
    /// The generation it serves since.
    pub generation: Option<u64>,
    /// Since when it serves.
    #[serde(serialize_with = "write_optional_time")]
    pub since: Option<SystemTime>,
    /// `enforce`, `shadow` or `off`.
    pub mode: &'static str,
    /// What its failures do: `closed` or `open`.
    pub on_error: &'static str,
    /// What it asked to see, one line each.
    pub interests: Vec<String>,
    /// Interfaces it may call.
    pub grants: Vec<String>,
    /// What it did.
    pub counters: Counts,
    /// What is wrong with what the folder holds now.
    pub trouble: Option<Trouble>,
    /// How its last changes ended, newest last, at most twenty.
    pub history: Vec<Outcome>,
}

/// A filter's [`Counters`] at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "named as in `Counters`, where each is described")]
pub struct Counts {
    pub calls: u64,
    pub forwards: u64,
    pub answers: u64,
    pub delays: u64,
    pub drops: u64,
    pub closes: u64,
    pub shadowed: u64,
    pub failures: u64,
    pub nanos: u64,
    pub last_failure: Option<LastFailure>,
}

/// When a filter failed last, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// When.
    #[serde(serialize_with = "write_time")]
    pub when: SystemTime,
    /// How.
    pub text: String,
}

/// A status whose counters are read when it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) status: Status,
    pub(super) counters: Arc<Counters>,
}

impl Report {
    pub(super) fn now(&self) -> Status {
        Status {
            counters: Counts::of(&self.counters),
            ..self.status.clone()
        }
    }
}

impl Counts {
    /// What `counters` say now.
    pub fn of(counters: &Counters) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            calls: read(&counters.calls),
            forwards: read(&counters.forwards),
            answers: read(&counters.answers),
            delays: read(&counters.delays),
            drops: read(&counters.drops),
            closes: read(&counters.closes),
            shadowed: read(&counters.shadowed),
            failures: read(&counters.failures),
            nanos: read(&counters.nanos),
            last_failure: counters
                .last_failure()
                .map(|(when, text)| LastFailure { when, text }),
        }
    }
}

impl Trouble {
    pub(super) fn new(error: &LoadError) -> Self {
        let text = error.to_string();
        let bare = text
            .strip_prefix(error.step)
            .and_then(|rest| rest.strip_prefix(": "));
        Self {
            when: SystemTime::now(),
            step: error.step,
            text: bare.unwrap_or(&text).to_owned(),
        }
    }
}

pub(super) fn mode_name(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(Mode::Enforce) => "enforce",
        Some(Mode::Shadow) => "shadow",
        None => "off",
    }
}

pub(super) fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::Closed => "closed",
        Policy::Open => "open",
    }
}

fn write_time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[expect(clippy::ref_option, reason = "the signature serde calls")]
fn write_optional_time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => write_time(time, serializer),
        None => serializer.serialize_none(),
    }
}
