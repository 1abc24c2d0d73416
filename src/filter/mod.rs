//! What a filter is and what it may do to commands, without saying what filters are made of.

pub mod names;
