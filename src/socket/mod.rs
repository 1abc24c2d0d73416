//! One stream, seen as frames: what came in and is not complete yet, what goes out and is not written yet.
//!
//! Nothing here waits. Tasks wait for readiness and then call in; so any task may write to any socket of its session.

mod budget;
mod inbox;
mod options;
mod outbox;
mod stream;

pub use budget::{Budget, LARGE_FRAME, Purse, Reservation};
pub use inbox::{Inbox, ReadError};
pub use options::Patience;
pub use outbox::{Outbox, Progress};
pub use stream::Stream;
