//! What the authors of filters use: projects, cases, benches and recorded traffic, on the engine of the proxy.
//!
//! ```text
//!  template ─▶ project ─▶ toolchain ─▶ artefact ─┐
//!                                                ▼
//!  cases, corpus ─▶ commands ─────────────────▶ Stand ─▶ decision: verdict, what was read and changed, time
//! ```

pub mod corpus;
pub mod replay;
