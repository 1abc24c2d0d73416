//! What the operator says about one filter, checked.

use std::time::Duration;

use crate::filter::{Budget, LoadError, Mode, Policy, Scope};

/// The settings of one filter; the default is what holds without a sidecar.
#[derive(Debug, Clone, PartialEq)]
pub struct Sidecar {
    /// Handed to the filter as JSON; an object.
    pub config: serde_json::Value,
    /// What it may see.
    pub scope: Scope,
    /// What its failures do; `None` as its manifest says, and closed without one.
    pub on_error: Option<Policy>,
    /// Where its budget differs from the default.
    pub budget: OwnBudget,
    /// Interfaces it may call; `None` for those it asks for.
    pub grants: Option<Vec<String>>,
    /// How its verdicts count; `None` leaves it out of the chain.
    pub mode: Option<Mode>,
}

/// Where one filter's budget differs from the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnBudget {
    /// Wall-clock time of one call.
    pub time: Option<Duration>,
    /// Linear memory and tables of one instance, bytes.
    pub memory: Option<usize>,
    /// What all its entries in the store may take, bytes.
    pub store: Option<usize>,
}

/// Reads the text of a sidecar; `file` is its name in problems. An error is every problem, one a line, each with its
/// path and what would be accepted.
pub type Read = fn(file: &str, text: &str) -> Result<Sidecar, String>;

/// Reads a sidecar; what is wrong with it is what is wrong with its filter.
pub(super) fn parse(read: Read, file: &str, text: &str) -> Result<Sidecar, LoadError> {
    read(file, text).map_err(|what| LoadError {
        step: "sidecar",
        what,
        accepted: String::new(),
    })
}

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            config: serde_json::Value::Object(serde_json::Map::new()),
            scope: Scope::default(),
            on_error: None,
            budget: OwnBudget::default(),
            grants: None,
            mode: Some(Mode::default()),
        }
    }
}

impl OwnBudget {
    /// The budget in force where `default` is the default.
    pub fn over(self, default: Budget) -> Budget {
        Budget {
            time: self.time.unwrap_or(default.time),
            memory: self.memory.unwrap_or(default.memory),
            store: self.store.unwrap_or(default.store),
        }
    }
}
