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
//! none the client is not read, until the broker is given up after ten seconds. Memory is bounded in all as well: a large
//! frame waits for its share before it is read, and when queues are full in all, who has something queued is not read.
//! Each of these waits ends by itself, the frame's, the broker's and that of a client which reads nothing.

mod account;
mod born_host;
mod capture;
mod counts;
mod delivery;
mod dispatch;
mod drain;
mod filtering;
mod forward;
mod gather;
mod gauges;
mod headcount;
mod heartbeat;
mod held;
mod incoming;
mod link_open;
mod link_task;
mod lookups;
mod meeting;
mod memory;
mod pushes;
mod query;
mod registry;
mod request;
mod responses;
mod state;
mod task;
mod traces;
mod users;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::{Addressing, Config};
use crate::filter::folder::InForce;
use crate::filter::{Client, Origin, OwnTopics};
use crate::route::{Directory, Transactions};
use crate::socket::{Purse, Stream};
use crate::telemetry::Observers;
use crate::upstream::{Caller, Dialler};
use memory::Purses;
use state::State;

pub use born_host::Counts as BornHostCounts;
pub use capture::{Captured, Recorder, Tap};
pub use counts::{Count, Counts};
pub use gauges::Waiting;
pub use headcount::{Headcount, Pass};
pub use memory::Memory;
pub use registry::{Carried, Portrait, Registry};

pub use task::run;

/// What all sessions of a proxy share.
#[derive(Debug)]
pub struct Core {
    /// The settings in force; a reload swaps them, a command in progress keeps those it began with.
    pub config: ArcSwap<Config>,
    /// Topic routes and broker addresses.
    pub directory: Arc<Directory>,
    /// Opens connections to brokers, and knows how these fare.
    pub dialler: Arc<Dialler>,
    /// Which broker holds which half message.
    pub transactions: Transactions,
    /// What became of stamping the client's address into sends.
    pub born_hosts: BornHostCounts,
    /// The filters in force; a reload swaps the chain, a command in progress keeps the one it began with.
    pub filters: InForce,
    /// Who is connected.
    pub sessions: Registry,
    /// Whoever hears of commands.
    pub observers: Arc<Observers>,
    /// Where commands are offered to whoever records them.
    pub tap: Tap,
    /// What waits in sessions now.
    pub waiting: Arc<Waiting>,
    /// `Some` from the moment the proxy drains: when every session must have ended.
    pub drain: watch::Receiver<Option<Instant>>,
    /// What commands on their way may take.
    pub memory: Arc<Memory>,
    /// How often what went wrong.
    pub counts: Counts,
    /// Connections by verified user.
    pub users: Headcount<String>,
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
    /// Unique while the process lives.
    number: u64,
    since: SystemTime,
    core: Arc<Core>,
    place: Place,
    socket: Stream,
    peer: SocketAddr,
    state: Mutex<State>,
    purses: Purses,
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
    /// The client announced a frame above the limit.
    Oversized(String),
    /// A frame of the client took too long.
    FrameLate,
    /// The client took no bytes for too long.
    Stalled,
    /// Nothing was heard of the client for too long.
    Idle,
    /// The proxy is leaving.
    Drained,
    /// A filter or a limit closed it; why.
    Closed(String),
}

impl Session {
    /// A session on an accepted socket.
    pub fn new(core: Arc<Core>, place: Place, socket: Stream, origin: Origin) -> Arc<Self> {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let directory = Arc::clone(&core.directory);
        let own_topics = OwnTopics::new(move |topic| directory.is_own_topic(topic));
        let memory = Arc::clone(&core.memory);
        let peer = origin.peer;
        let client = Client::new(origin, place.door.name(), number).with_own_topics(own_topics);
        let (observers, waiting) = (Arc::clone(&core.observers), Arc::clone(&core.waiting));
        let session = Arc::new(Self {
            number,
            since: SystemTime::now(),
            core,
            place,
            socket,
            peer,
            state: Mutex::new(State::new(client, memory, (observers, waiting))),
            purses: Purses::default(),
            wake: Notify::new(),
            client_room: Notify::new(),
        });
        session.core.sessions.add(&session);
        session
    }

    /// Whom connections to brokers are opened for.
    fn caller(&self) -> Caller {
        let proxied = self.lock().filters.client.proxied.clone();
        let dialled = proxied.as_ref().and_then(|proxied| proxied.destination);
        let entry = dialled.unwrap_or_else(|| {
            let local = self.socket.local_addr();
            let port = local.map_or_else(|_gone| self.place.door.shared_port(), |local| local.port());
            SocketAddr::new(self.place.local, port)
        });
        Caller {
            client: self.peer,
            entry,
            proxied,
        }
    }

    /// What this session may reserve for large frames of one side.
    fn purse(&self, from: memory::From) -> &Purse {
        let most = self.core.config.load().limits.session_memory;
        self.purses.of(from, &self.core.memory, most)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
