//! What it takes to load a filter, and what is known of it then.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Filter, Policy, State};

/// What one filter may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Processor time of one call, which is stopped when it has used between once and twice as much.
    pub time: Duration,
    /// Linear memory and tables of one instance, bytes.
    pub memory: usize,
    /// What all its entries in the store may take, bytes of keys and values.
    pub store: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(10),
            memory: 64 << 20,
            store: 1 << 20,
        }
    }
}

/// A filter to load.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name: the file name without order number and ending.
    pub name: Arc<str>,
    /// A component or a core module.
    pub bytes: Bytes,
    /// Its configuration, as JSON.
    pub config: serde_json::Value,
    /// What it may use.
    pub budget: Budget,
    /// Interfaces the operator grants, by name (`store`, `limit` …); `None` grants what its manifest asks for, or what
    /// it imports when it has no manifest.
    pub grants: Option<Vec<String>>,
    /// What outlives its instances and versions.
    pub state: Arc<State>,
}

/// A filter that has been loaded: compiled, checked, initialised and self-tested.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the chain calls.
    pub filter: Arc<dyn Filter>,
    /// What is known of it.
    pub about: About,
}

/// What a filter says of itself and what was found in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// SHA-256 of the file, lower-case hex.
    pub digest: String,
    /// The manifest's name, which may differ from the file's.
    pub title: Option<String>,
    /// The manifest's version.
    pub version: Option<String>,
    /// The manifest's one line.
    pub description: Option<String>,
    /// The manifest's failure policy, used unless the sidecar says otherwise.
    pub policy: Option<Policy>,
    /// Interfaces it may call.
    pub grants: Vec<String>,
    /// Its interests, one line each, for people.
    pub interests: Vec<String>,
    /// Whether the compiled code came from the cache.
    pub was_cached: bool,
    /// How long each step took, in order.
    pub steps: Vec<(&'static str, Duration)>,
}

/// Why a filter cannot be loaded: at which step, what was wrong, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// The step: `read`, `componentize`, `compile`, `imports`, `exports`, `grants`, `config`, `instantiate`, `init`,
    /// `self-test`.
    pub step: &'static str,
    /// What was wrong.
    pub what: String,
    /// What would be accepted.
    pub accepted: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.what)?;
        if self.accepted.is_empty() {
            return Ok(());
        }
        write!(f, "; accepted: {}", self.accepted)
    }
}

impl std::error::Error for LoadError {}

/// Turns files into filters; off the data path, since it compiles.
pub trait Loader: fmt::Debug + Send + Sync {
    /// Loads one filter. Takes milliseconds for small guests and seconds for those with a language runtime in them,
    /// unless the compiled code is in the cache. Blocks; never panics.
    fn load(&self, source: Source) -> Result<Loaded, LoadError>;
}
