//! One client connection and all it owns: its links to brokers, its open requests, its last heartbeat.
//!
//! ```text
//!                   task::run                                   link_task::drive, one per broker
//!  client ──▶ frames ──▶ dispatch ──▶ forward ──▶ Link ──────────▶ broker
//!         ◀── outbox ◀── response / push  ◀───────── frames ◀──┘
//! ```
//!
//! A session is a handful of tasks on one worker thread around one `State` behind a lock that nobody contends for and
//! nobody holds across an await. Whoever has something for a socket writes it there and then; only what the socket does
//! not take waits for the task that owns it. So a command costs two wake-ups, one in each direction, and no channel.
//!
//! Back-pressure is not reading: while the client takes no bytes its brokers are not read, and while a broker takes
//! none the client is not read, until the broker is given up after ten seconds.

mod account;
mod delivery;
mod dispatch;
mod drain;
mod filtering;
mod forward;
mod gather;
mod gauges;
mod heartbeat;
mod held;
mod link_task;
mod lookups;
mod meeting;
mod opaques;
mod pushes;
mod query;
mod request;
mod responses;
mod state;
mod task;
mod traces;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::{Addressing, Config};
use crate::filter::folder::InForce;
use crate::filter::{Client, OwnTopics};
use crate::route::{Directory, Transactions};
use crate::socket::Stream;
use crate::telemetry::Observers;
use state::State;

pub use gauges::Waiting;
pub use task::run;

/// What all sessions of a proxy share.
#[derive(Debug)]
pub struct Core {
    /// The settings in force; a reload swaps them, a command in progress keeps those it began with.
    pub config: ArcSwap<Config>,
    /// Topic routes and broker addresses.
    pub directory: Arc<Directory>,
    /// Which broker holds which half message.
    pub transactions: Transactions,
    /// The filters in force; a reload swaps the chain, a command in progress keeps the one it began with.
    pub filters: InForce,
    /// Whoever hears of commands.
    pub observers: Arc<Observers>,
    /// What waits in sessions now.
    pub waiting: Arc<Waiting>,
    /// `Some` from the moment the proxy drains: when every session must have ended.
    pub drain: watch::Receiver<Option<Instant>>,
}

/// The address a client came in by, as far as a session needs to know it.
pub trait Door: std::fmt::Debug + Send + Sync {
    /// The listener's name.
    fn name(&self) -> Arc<str>;
    /// Which kind of broker address clients of this door get.
    fn addressing(&self) -> Addressing;
    /// The port of the shared address.
    fn shared_port(&self) -> u16;
    /// The host to give out; `None` for the local IP the client's connection arrived at.
    fn advertised_host(&self) -> Option<String>;
    /// The port that stands for this broker and no other, opened when it is not yet; else why there is none.
    fn broker_port(&self, broker: &str) -> Result<u16, String>;
    /// Whether store hosts inside messages become per-broker addresses of this door.
    fn rewrites_store_hosts(&self) -> bool;
}

/// Where a client's connection arrived.
#[derive(Debug, Clone)]
pub struct Place {
    /// The listener.
    pub door: Arc<dyn Door>,
    /// The broker whose port it is; `None` on the shared address.
    pub broker: Option<Arc<str>>,
    /// The local IP.
    pub local: IpAddr,
}

impl Place {
    /// The host this client reaches us by.
    fn host(&self) -> String {
        self.door
            .advertised_host()
            .unwrap_or_else(|| self.local.to_string())
    }

    /// `host:port`, with brackets around an IPv6 literal.
    fn address(&self, port: u16) -> String {
        let host = self.host();
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }

    /// The address that stands for a broker inside messages, when this door rewrites them.
    fn store_host(&self, broker: &str) -> Option<SocketAddr> {
        if !self.door.rewrites_store_hosts() {
            return None;
        }
        let port = self.door.broker_port(broker).ok()?;
        Some(SocketAddr::new(self.host().parse().ok()?, port))
    }
}

/// One client connection.
#[derive(Debug)]
pub struct Session {
    core: Arc<Core>,
    place: Place,
    socket: Stream,
    peer: SocketAddr,
    state: Mutex<State>,
    /// For the session's own task: bytes could not be written, a deadline came closer, room was made, or it is over.
    wake: Notify,
    /// For the links' tasks: the client takes bytes again.
    client_room: Notify,
}

/// Why a session ends.
#[derive(Debug)]
enum End {
    /// The client closed, or its socket failed; how, in words.
    Gone(String),
    /// The client sent what is not a command.
    Malformed(String),
    /// Nothing was heard of the client for too long.
    Idle,
    /// The proxy is leaving.
    Drained,
    /// A filter closed it; why.
    Closed(String),
}

impl Session {
    /// A session on an accepted socket.
    pub fn new(core: Arc<Core>, place: Place, socket: Stream, peer: SocketAddr) -> Arc<Self> {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let directory = Arc::clone(&core.directory);
        let own_topics = OwnTopics::new(move |topic| directory.is_own_topic(topic));
        let client = Client::new(peer, place.door.name(), number).with_own_topics(own_topics);
        let (observers, waiting) = (Arc::clone(&core.observers), Arc::clone(&core.waiting));
        Arc::new(Self {
            core,
            place,
            socket,
            peer,
            state: Mutex::new(State::new(client, observers, waiting)),
            wake: Notify::new(),
            client_room: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
