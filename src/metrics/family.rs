//! What a metric is: its name, kind, unit, labels and help.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many values were at most each of some bounds.
    Histogram,
}

impl Kind {
    /// Its name in the Prometheus text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name in the Prometheus text.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its unit as UCUM writes it: `s`, `By`, `1`, `{command}`.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, for whoever reads a dashboard.
    pub help: &'static str,
}

impl Family {
    /// Its name in OTLP, where a counter carries no ending of its own.
    pub fn otlp_name(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}
