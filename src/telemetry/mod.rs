//! What is told of what happens: logs, and a record of every command for those who look.

mod logs;
mod observers;
mod record;
mod sometimes;
mod tail;

pub use logs::{Format, Handle, key, start};
pub use observers::{Brief, Observers};
pub use record::{Decision, Outcome, Record, Way};
pub use sometimes::Sometimes;
pub use tail::Tail;
