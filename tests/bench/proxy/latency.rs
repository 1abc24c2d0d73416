//! What each subject adds to the time of a command while it has half as much to do as it could.

use serde::Serialize;

use super::job::Sample;
use super::report::{Row, median};

/// One subject at half load, microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) subject: String,
    pub(crate) workload: String,
    /// Commands a second.
    pub(crate) rate: f64,
    /// p50, p99, p99.9; medians of the rounds.
    pub(crate) quantiles: [f64; 3],
    /// Processor time of the proxy for each command at this rate.
    pub(crate) proxy: Option<f64>,
    pub(crate) void: Option<String>,
}

/// The rate at which a subject is measured: half of what `HAProxy` and Gimbal both carry, so that they compare; half of
/// its own saturation for one that carries less.
pub(crate) fn rate(rows: &[Row], subject: &str) -> Option<f64> {
    let saturation = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.subject == name && row.void.is_none())?;
        Some(row.per_second)
    };
    let least = [
        Some(saturation(subject)?),
        saturation("haproxy"),
        saturation("gimbal"),
    ];
    Some(least.into_iter().flatten().fold(f64::INFINITY, f64::min) / 2.0)
}

impl Latency {
    /// The medians of a subject's rounds.
    pub(crate) fn of(subject: &str, workload: &str, rate: f64, samples: &[Sample]) -> Self {
        let found: Vec<&Sample> = samples.iter().filter(|sample| sample.void.is_none()).collect();
        let quantile = |at: usize| median(found.iter().filter_map(|sample| Some(sample.latency?[at])));
        let proxied = found.first().is_some_and(|sample| sample.used.len() > 1);
        Self {
            subject: subject.to_owned(),
            workload: workload.to_owned(),
            rate,
            quantiles: [quantile(0), quantile(1), quantile(2)],
            proxy: proxied.then(|| median(found.iter().map(|sample| sample.each(1)))),
            void: samples
                .iter()
                .find_map(|sample| sample.void.clone())
                .filter(|_| found.is_empty()),
        }
    }
}
