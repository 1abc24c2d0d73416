//! Times in fixed parts, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::sheet::Value;

/// Upper bounds of the parts, seconds: from what a hop costs to the longest poll.
pub const BOUNDS: [f64; 18] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    20.0, 30.0,
];
/// The same in nanoseconds.
const LIMITS: [u64; 18] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    30_000_000_000,
];

/// Times by [`BOUNDS`].
#[derive(Debug, Default)]
pub struct Histogram {
    parts: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// The sum of histograms at one moment.
#[derive(Debug, Clone, Default)]
pub struct Total {
    parts: [u64; BOUNDS.len() + 1],
    nanos: u64,
}

impl Histogram {
    /// Counts a time.
    pub fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = LIMITS.partition_point(|limit| *limit < nanos);
        if let Some(part) = self.parts.get(at) {
            part.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Total {
    /// Adds what `histogram` holds.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, part) in self.parts.iter_mut().zip(&histogram.parts) {
            *sum = sum.saturating_add(part.load(Ordering::Relaxed));
        }
        self.nanos = self.nanos.saturating_add(histogram.nanos.load(Ordering::Relaxed));
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// As a sheet carries it.
    pub fn to_value(&self) -> Value {
        Value::Spread {
            bounds: &BOUNDS,
            counts: self.parts.to_vec(),
            sum: Duration::from_nanos(self.nanos).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_first_part_that_reaches_it() {
        let histogram = Histogram::default();
        for micros in [1, 100, 101, 31_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut total = Total::default();
        total.add(&histogram);
        assert_eq!((total.parts[0], total.parts[1], total.parts[18]), (2, 1, 1));
        assert_eq!(total.count(), 4);
        let limits: Vec<f64> = LIMITS
            .iter()
            .map(|nanos| Duration::from_nanos(*nanos).as_secs_f64())
            .collect();
        assert_eq!(limits, BOUNDS);
    }
}
