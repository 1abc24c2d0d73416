//! What the authors of filters use: projects, cases, benches and recorded traffic, on the engine of the proxy.
//!
//! ```text
//!  template ─▶ project ─▶ toolchain ─▶ artefact ─┐
//!                                                ▼
//!  cases, corpus ─▶ commands ─────────────────▶ Stand ─▶ decision: verdict, what was read and changed, time
//! ```

pub mod build;
pub mod cases;
pub mod project;
pub mod stand;
pub mod storm;
pub mod target;
pub mod template;
pub mod toolchain;

pub use stand::{Decision, Setup, Stand, StandError};
