//! Filters as WebAssembly: the only room that knows the engine.
//!
//! ```text
//!  file ─▶ componentize ─▶ component ─▶ compile (cache) ─▶ grants ─▶ config ─▶ init ─▶ self-tests ─▶ Guest
//!                                                                                                     │
//!  session ─▶ chain ─▶ Guest::call ─▶ pool: a warm instance ─▶ the guest, within its budget ◀─────────┘
//!                                           │                      │
//!                                           ▼                      ▼
//!                                     a trap ends it          host/*: what it may ask for
//! ```
//!
//! Invariants:
//!
//! 1. A guest runs on the thread that called it, for its time budget at most, and never blocks it otherwise.
//! 2. An instance is used by one call at a time, and by none after a trap.
//! 3. A guest reaches the command under decision and what it was granted; nothing of the system, nothing of other filters.
//! 4. Everything that a guest may hand over or pile up is bounded.

mod allowance;
mod anatomy;
mod artefact;
mod bindings;
mod breaker;
mod cache;
mod componentize;
mod ctx;
mod engine;
mod failing;
mod grants;
mod guest;
mod host;
mod instance;
mod interests;
mod load;
mod manifest;
mod pool;
mod selftest;
#[cfg(test)]
mod tests;
mod ticker;
mod words;

pub use anatomy::{Anatomy, Parts, check as check_form};
pub use artefact::{Artefact, package};
pub use engine::{Host, Metering};
pub use manifest::{Expected, Manifest, ManifestError, SelfTest, Sender, Shown};
