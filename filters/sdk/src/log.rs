//! Lines in Gimbal's log, numbers for its monitoring, time and chance.

use crate::Level;
use crate::host;

/// Writes a line; the macros [`info!`](crate::info) and its siblings do the same with a format.
pub fn write(level: Level, text: &str) {
    host::log::write(level, text);
}

/// A line for who follows single commands. Formats as `format!` does.
#[macro_export]
macro_rules! trace {
    ($($text:tt)+) => {
        $crate::log::write($crate::Level::Trace, &::std::format!($($text)+))
    };
}

/// A line for who looks for a fault. Formats as `format!` does.
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => {
        $crate::log::write($crate::Level::Debug, &::std::format!($($text)+))
    };
}

/// A line that says what happened. Formats as `format!` does.
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => {
        $crate::log::write($crate::Level::Info, &::std::format!($($text)+))
    };
}

/// A line that someone should look at. Formats as `format!` does.
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => {
        $crate::log::write($crate::Level::Warn, &::std::format!($($text)+))
    };
}

/// A line about a fault of the filter itself. Formats as `format!` does.
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => {
        $crate::log::write($crate::Level::Error, &::std::format!($($text)+))
    };
}

/// Numbers for the operator's monitoring. Gimbal puts `gimbal_filter_` and the filter's name before each name.
pub mod metrics {
    use crate::host::metrics as host;

    /// Adds to a counter.
    pub fn count(name: &str, labels: &[(&str, &str)], by: u64) {
        host::count(name, &owned(labels), by);
    }

    /// Sets a gauge.
    pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
        host::gauge(name, &owned(labels), value);
    }

    /// Adds a value to a histogram.
    pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) {
        host::observe(name, &owned(labels), value);
    }

    fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}

/// Time.
pub mod clock {
    use crate::host::clock as host;

    /// Nanoseconds since 1970, by the wall clock.
    pub fn now() -> u64 {
        host::now()
    }

    /// Nanoseconds since some moment, never going back.
    pub fn monotonic() -> u64 {
        host::monotonic()
    }
}

/// Random numbers: good for jitter and sampling, not for secrets.
pub mod random {
    use crate::host::random as host;

    /// The next one.
    pub fn next() -> u64 {
        host::next()
    }

    /// True in `percent` of 100 calls.
    pub fn chance(percent: f64) -> bool {
        // 53 bits are what a float holds without rounding.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let fraction = (next() >> 11) as f64 / (1_u64 << 53) as f64;
        fraction * 100.0 < percent
    }
}
