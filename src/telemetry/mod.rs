//! What is told of what happens: logs, and a record of every command for those who look.

mod access;
mod context;
mod logs;
mod observers;
mod push;
mod record;
mod sometimes;
mod spans;
mod tail;

pub use access::{AccessLog, AccessRule, AccessSettings};
pub use context::{Context, Parent, TRACE_PARENT, TRACE_STATE};
pub use logs::{Format, Handle, key, start};
pub use observers::{Brief, Observers, Settings};
pub use record::{Decision, Outcome, Record, Way};
pub use sometimes::Sometimes;
pub use tail::Tail;
