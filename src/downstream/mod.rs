//! The side of clients: bound addresses, per-broker ports, and the first bytes of a connection.
//!
//! Once the first bytes have shown what a connection is, a [`crate::session`] serves it.

mod accept;
mod admission;
mod arrival;
mod grpc;
mod handshakes;
mod listener;
mod opening;
mod ports;

pub use admission::Admission;
pub use listener::{ListenError, Listener, Shared};
pub use opening::{Gauge, Openings};
