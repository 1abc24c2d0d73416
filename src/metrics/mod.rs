//! Numbers about what Gimbal does, for Prometheus and for OpenTelemetry collectors.
//!
//! ```text
//!  command ends ──▶ Commands, Names: arrays of counters      ┐
//!  sessions, links, reloads ──▶ Tally: counters by name      ├──▶ Sheet ──▶ text, OTLP
//!  filters, routes, process ──▶ Source: asked at the moment  ┘
//! ```
//!
//! The whole list is in [`list`]. Counting a command costs no lock, no allocation and no hash of a text.

mod collector;
mod commands;
mod family;
mod histogram;
pub mod list;
mod names;
pub mod otlp;
mod process;
mod sheet;
mod tally;
mod text;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub use collector::{Collector, Course};
pub use commands::{Codes, Commands, Ended, OTHER, OUTCOMES, Traffic, WAYS};
pub use family::{Family, Kind};
pub use histogram::{BOUNDS, Histogram, Total};
pub use names::{Moved, Named, Names};
pub use otlp::METRICS_PATH;
pub use process::seconds;
pub use sheet::{Sample, Sheet, Value, to_f64};
pub use tally::Tally;
pub use text::CONTENT_TYPE;

/// Somebody whose numbers are read when they are asked for.
pub trait Source: Send + Sync {
    /// Puts them on the sheet. Must not block for long: whoever asked waits.
    fn collect(&self, sheet: &mut Sheet);
}

impl<F: Fn(&mut Sheet) + Send + Sync> Source for F {
    fn collect(&self, sheet: &mut Sheet) {
        self(sheet);
    }
}

/// All numbers of one proxy.
pub struct Metrics {
    /// Commands.
    pub commands: Commands,
    /// Topics and groups.
    pub names: Names,
    /// What is rare enough to be counted by name.
    pub tally: Arc<Tally>,
    version: &'static str,
    since: SystemTime,
    sources: Mutex<Vec<Box<dyn Source>>>,
}

impl Metrics {
    /// Metrics of this version, for commands with these names, and with a series each for so many topics and pairs of
    /// topic and group.
    pub fn new(version: &'static str, commands: Commands, names: Names) -> Self {
        Self {
            commands,
            names,
            tally: Arc::default(),
            version,
            since: SystemTime::now(),
            sources: Mutex::default(),
        }
    }

    /// Asks `source` too, from now on.
    pub fn add(&self, source: impl Source + 'static) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push(Box::new(source));
    }

    /// All values now.
    pub fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::default();
        sheet.put(list::BUILD_INFO, &[self.version], 1.0);
        let uptime = self.since.elapsed().unwrap_or_default();
        sheet.put(list::UPTIME, &[], uptime.as_secs_f64());
        self.commands.collect(&mut sheet);
        self.names.collect(&mut sheet);
        self.tally.collect(&mut sheet);
        for source in &*self.sources.lock().unwrap_or_else(PoisonError::into_inner) {
            source.collect(&mut sheet);
        }
        process::collect(&mut sheet);
        sheet
    }

    /// All values now, as Prometheus reads them.
    pub fn text(&self) -> String {
        text::write(&self.sheet())
    }

    /// All values now, as a collector takes them from this instance.
    pub fn to_otlp(&self, instance: &str) -> Vec<u8> {
        let resource = otlp::resource(self.version, instance);
        otlp::write(&self.sheet(), resource, self.version, self.since)
    }

    /// Since when these numbers are counted.
    pub fn since(&self) -> SystemTime {
        self.since
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
