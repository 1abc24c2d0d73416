//! What happened in the folder, as log events; told after the chain that it led to is in force.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::status::Serving;
use crate::filter::LoadError;

/// One thing worth a line.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// A version serves that did not before.
    Loaded {
        name: Arc<str>,
        file: String,
        version: Option<String>,
        digest: String,
        took: Duration,
        was_cached: bool,
    },
    /// The same version serves otherwise: its scope, mode, failure policy or place.
    Changed { name: Arc<str>, file: String },
    /// It was switched off.
    Off { name: Arc<str> },
    /// What the folder holds cannot be used.
    Failed {
        name: Arc<str>,
        file: String,
        error: LoadError,
        serving: Serving,
    },
    /// An operator took it out of the chain, or put it back.
    Switched { name: Arc<str>, is_on: bool },
    /// Its file is gone.
    Removed { name: Arc<str> },
    /// Its file is gone, and it must not be.
    Required { name: Arc<str>, serving: Serving },
    /// Something else about the folder.
    Remark(String),
}

impl News {
    /// Whether something was put in force, or could not be; `None` when it is neither.
    pub(super) fn is_success(&self) -> Option<bool> {
        match self {
            Self::Loaded { .. }
            | Self::Changed { .. }
            | Self::Off { .. }
            | Self::Switched { .. }
            | Self::Removed { .. } => Some(true),
            Self::Failed { .. } => Some(false),
            Self::Required { .. } | Self::Remark(_) => None,
        }
    }

    /// Writes it to the log.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of news")]
    pub(super) fn tell(&self, generation: u64) {
        match self {
            Self::Loaded {
                name,
                file,
                version,
                digest,
                took,
                was_cached,
            } => {
                let version = version.as_deref().unwrap_or("none");
                let digest = digest.get(..12).unwrap_or(digest);
                let filter = &**name;
                info!(
                    filter,
                    file,
                    version,
                    digest,
                    generation,
                    ?took,
                    was_cached,
                    "filter loaded"
                );
            }
            Self::Changed { name, file } => {
                info!(
                    filter = &**name,
                    file, generation, "filter serves with other settings or in another place"
                );
            }
            Self::Off { name } => info!(filter = &**name, generation, "filter is off"),
            Self::Failed {
                name,
                file,
                error,
                serving,
            } => {
                let LoadError { step, what, accepted } = error;
                let (filter, what_now) = (&**name, failed(*serving));
                warn!(
                    filter,
                    file,
                    step,
                    error = what,
                    accepted,
                    generation,
                    "{what_now}"
                );
            }
            Self::Switched { name, is_on: true } => info!(filter = &**name, generation, "filter enabled"),
            Self::Switched { name, is_on: false } => {
                warn!(
                    filter = &**name,
                    generation, "filter disabled until it is enabled or saved again"
                );
            }
            Self::Removed { name } => info!(filter = &**name, generation, "filter removed"),
            Self::Required { name, serving } => {
                warn!(filter = &**name, generation, "{}", missing(*serving));
            }
            Self::Remark(text) => warn!("{text}"),
        }
    }
}

fn missing(serving: Serving) -> &'static str {
    match serving {
        Serving::Refusal => {
            "no file of a required filter; every command in its scope is refused until it is there"
        }
        Serving::Nothing => "no file of a required filter; nothing serves in its place",
        Serving::Current | Serving::Kept | Serving::Accepted => {
            "the file of a required filter is gone; the last version goes on until it is back or not required"
        }
    }
}

fn failed(serving: Serving) -> &'static str {
    match serving {
        Serving::Kept | Serving::Current => "filter not loaded; the old version goes on",
        Serving::Accepted => "filter not loaded; the version accepted before the restart serves",
        Serving::Refusal => "filter not loaded, and never was; every command in its scope is refused",
        Serving::Nothing => "filter not loaded; nothing serves in its place",
    }
}
