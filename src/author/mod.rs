//! What the authors of filters use: projects, cases, benches and recorded traffic, on the engine of the proxy.
//!
//! ```text
//!  template ─▶ project ─▶ toolchain ─▶ artefact ─┐
//!                                                ▼
//!  cases, corpus ─▶ commands ─────────────────▶ Stand ─▶ decision: verdict, what was read and changed, time
//! ```

pub mod bench;
pub mod build;
pub mod cases;
pub mod corpus;
pub mod project;
pub mod reference;
pub mod replay;
pub mod stand;
pub mod storm;
pub mod target;
pub mod template;
pub mod toolchain;
pub mod watch;

pub use stand::{Decision, Setup, Stand, StandError};

/// What every file of the package begins with.
const PACKAGE: &str = "package gimbal:filter@0.1.0;\n";

/// The files of the contract, in the order in which they are best read.
pub const WIT: &[(&str, &str)] = &[
    ("filter.wit", include_str!("../../wit/filter.wit")),
    ("types.wit", include_str!("../../wit/types.wit")),
    ("host.wit", include_str!("../../wit/host.wit")),
];

/// The contract as one text, which says its package once.
pub fn contract() -> String {
    WIT.iter().fold(PACKAGE.to_owned(), |package, (_, text)| {
        package + text.strip_prefix(PACKAGE).unwrap_or(text)
    })
}
