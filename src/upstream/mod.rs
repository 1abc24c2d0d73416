//! The side of brokers and name servers.
//!
//! A [`Link`] is one session's connection to one broker, as a plain value: what waits, what is in flight, until when.
//! The session owns its links and their sockets. [`NameServers`] is shared by all sessions.

mod dial;
mod link;
mod nameserver;

pub use dial::dial;
pub use link::{Link, Lost, Pending, Phase, Reply, Sent};
pub use nameserver::{NameServerError, NameServers};
