//! Counters, gauges and histograms of one filter, with capped labels.

/// The numbers of one filter.
#[derive(Debug, Default)]
pub struct Numbers;
