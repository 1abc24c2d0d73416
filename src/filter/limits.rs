//! Token buckets by key.

/// The buckets of one filter.
#[derive(Debug, Default)]
pub struct Limits;
