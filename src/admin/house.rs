//! The house as the admin listener sees it: everything shown or done there is asked of this trait.

use std::fmt;
use std::pin::Pin;

use tokio_stream::Stream;

use super::view::{
    Done, Filter, Listener, Overview, RecordQuery, RouteQuery, Routes, Session, SessionQuery, Sessions,
    Status, Upstreams,
};
use crate::telemetry::Tail;

/// What an operator may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the configuration again.
    Reload,
    /// Stop in order, as on SIGTERM.
    Drain,
    /// Log by this filter until the next reload.
    LogLevel(String),
    /// Put this filter back into the chain.
    Enable(String),
    /// Take this filter out of the chain until it is enabled, its files change or the process starts again.
    Disable(String),
}

/// Why an action was not done; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is nothing of this name.
    Unknown {
        /// What is wrong.
        what: String,
        /// What would be accepted.
        accepted: String,
    },
    /// As things are, it is not allowed, or makes no sense.
    Conflict {
        /// What is wrong.
        what: String,
        /// What would be accepted.
        accepted: String,
    },
    /// What was asked for cannot be understood, or holds problems.
    Invalid {
        /// What is wrong.
        what: String,
        /// What would be accepted.
        accepted: String,
    },
    /// Whoever would do it is not there, or took too long.
    Unavailable(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { what, accepted }
            | Self::Conflict { what, accepted }
            | Self::Invalid { what, accepted } => write!(f, "{what}; accepted: {accepted}"),
            Self::Unavailable(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Refused {}

/// How an action ends.
pub type Ending = Pin<Box<dyn Future<Output = Result<Done, Refused>> + Send>>;

/// Pieces of a recording, each of whole lines, until it is dropped.
pub type Recording = Pin<Box<dyn Stream<Item = String> + Send>>;

/// What the admin listener shows, and whom it asks to act. Every method but [`House::act`] answers at once, from the
/// admin listener's own thread, and must not hold up a session for more than a moment.
pub trait House: fmt::Debug + Send + Sync + 'static {
    /// The process at a glance.
    fn status(&self) -> Status;
    /// Why the process should get no new clients; empty when it may.
    fn unready(&self) -> Vec<String>;
    /// Listeners, in the order of the configuration.
    fn listeners(&self) -> Vec<Listener>;
    /// Some of the sessions; `query` was checked.
    fn sessions(&self, query: &SessionQuery) -> Sessions;
    /// The session of this number.
    fn session(&self, number: u64) -> Option<Session>;
    /// Brokers and name servers.
    fn upstreams(&self) -> Upstreams;
    /// Some of the topic routes; `query` was checked.
    fn routes(&self, query: &RouteQuery) -> Routes;
    /// Filters, by name.
    fn filters(&self) -> Vec<Filter>;
    /// The settings in force, secrets masked.
    fn config(&self) -> serde_json::Value;
    /// Traffic since the start.
    fn overview(&self) -> Overview;
    /// Everything counted, in Prometheus' text format.
    fn metrics(&self) -> String;
    /// Where finished commands are told.
    fn tail(&self) -> Tail;
    /// Begins to record commands; refused when the query cannot be.
    fn record(&self, query: &RecordQuery) -> Result<Recording, Refused>;
    /// Does it, or says why not.
    fn act(&self, action: Action) -> Ending;
}
