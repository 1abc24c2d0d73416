//! Values by key, with a time to live and a quota.

/// The store of one filter.
#[derive(Debug, Default)]
pub struct Store;
