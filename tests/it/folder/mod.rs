//! The filter folder, with a loader that takes text for WebAssembly.

mod changes;
mod stage;
mod starts;
