//! The side of brokers and name servers.
//!
//! A [`Link`] is one session's connection to one broker, as a plain value: what waits, what is in flight, until when.
//! The session owns its links and their sockets. [`NameServers`] is shared by all sessions, and so is the [`Dialler`],
//! through which every connection is opened and which knows how each peer fares.

mod announce;
mod dial;
mod dialler;
mod health;
mod link;
mod nameserver;
mod opaques;

pub use announce::Caller;
pub use dial::DialError;
pub use dialler::{Connection, Dialler};
pub use health::{Attempt, CircuitState, Health, Life, NotTried, Peer, PeerHealth, Role};
pub use link::{Link, Lost, Pending, Phase, Reply, Sent};
pub use nameserver::{NameServerError, NameServers};
pub use opaques::Seed;
