//! Names of topics and groups as brokers know them.

/// A mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping;
