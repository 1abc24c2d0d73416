//! Logs for people and machines, whose level can change while the process runs.

use std::error::Error;
use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// Keys of spans and events. One word means one thing everywhere.
pub mod key {
    /// Number of a downstream connection.
    pub const SESSION: &str = "session";
    /// Address of whoever is at the other end.
    pub const PEER: &str = "peer";
    /// `downstream` or `upstream`.
    pub const SIDE: &str = "side";
    /// Request or response code, as a number.
    pub const CODE: &str = "code";
    /// Correlation number of a command.
    pub const OPAQUE: &str = "opaque";
    /// Topic name.
    pub const TOPIC: &str = "topic";
    /// Producer or consumer group.
    pub const GROUP: &str = "group";
    /// Broker name.
    pub const BROKER: &str = "broker";
    /// Name of a filter.
    pub const FILTER: &str = "filter";
    /// What a filter decided.
    pub const VERDICT: &str = "verdict";
    /// Number of an accepted configuration.
    pub const GENERATION: &str = "generation";
    /// What went wrong.
    pub const ERROR: &str = "error";
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for people, in colour on a terminal unless `NO_COLOR` is set.
    Human,
    /// One JSON object per line.
    Json,
}

/// Changes what is logged while the process runs.
#[derive(Debug, Clone)]
pub struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging to standard error. `filter` is a level, or levels per module: `info,gimbal::route=debug`.
///
/// # Errors
/// The filter cannot be read, or logging was started before.
pub fn start(filter: &str, format: Format) -> Result<Handle, Box<dyn Error + Send + Sync>> {
    let (filter, handle) = reload::Layer::new(EnvFilter::builder().parse(filter)?);
    let stderr = std::io::stderr;
    let lines = match format {
        Format::Human => {
            let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            fmt::layer().with_writer(stderr).with_ansi(colour).boxed()
        }
        Format::Json => fmt::layer()
            .with_writer(stderr)
            .json()
            .flatten_event(true)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(Handle { filter: handle })
}

impl Handle {
    /// Puts another filter in force, for everything logged from now on.
    ///
    /// # Errors
    /// The filter cannot be read; the old one stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
        let filter = EnvFilter::builder().parse(filter)?;
        self.filter.reload(filter)?;
        Ok(())
    }
}
