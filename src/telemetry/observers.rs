//! Everybody who wants to hear of commands: counters hear of each, the others of those they ask for.

use std::sync::Arc;

use super::{Outcome, Record, Tail};
use crate::metrics::Metrics;

/// Whoever hears of commands; shared by all sessions.
#[derive(Debug)]
pub struct Observers {
    /// The numbers.
    pub metrics: Metrics,
    /// The live tail.
    pub tail: Tail,
}

/// What is known of a command at its end without making a record of it.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a> {
    /// Its request code.
    pub code: i32,
    /// The topic it named.
    pub topic: Option<&'a str>,
    /// The group it named.
    pub group: Option<&'a str>,
    /// The client's id.
    pub client: Option<&'a str>,
    /// Who signed it.
    pub user: Option<&'a str>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Observers {
    /// Observers with these numbers and nobody else.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            tail: Tail::default(),
        }
    }

    /// Tells of a command that has ended, to those who want to hear of it; `record` is called only if somebody does.
    pub fn ended(&self, _brief: &Brief<'_>, record: impl FnOnce() -> Record) {
        if !self.tail.is_watched() {
            return;
        }
        self.tail.tell(Arc::new(record()));
    }
}
