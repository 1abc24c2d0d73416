//! What the relay is tested with: the proxy as a sentence, and peers that follow a script.

mod client;
pub(crate) mod collector;
pub(crate) mod filters;
mod nameserver;
mod peer;
mod proxy;
pub(crate) mod tls;

pub(crate) use client::{Client, Group, Speaks, heartbeat};
pub(crate) use nameserver::NameServer;
pub(crate) use peer::{Broker, Peer, Received, SOON};
pub(crate) use proxy::{Gimbal, Running, address_of, free_ports};
