//! What outlives the instances and versions of one filter: its store, its buckets, its numbers.

use super::{Limits, Numbers, Store};

/// Everything kept for one filter, by its name; gone when its file is removed.
#[derive(Debug, Default)]
pub struct State {
    /// Values by key.
    pub store: Store,
    /// Token buckets by key.
    pub limits: Limits,
    /// Numbers for monitoring.
    pub numbers: Numbers,
}
