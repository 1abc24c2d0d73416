//! What the operator wrote becomes what the proxy runs: the checked form.
//!
//! The written form (a TOML file, flags, `GIMBAL_*` variables) lives in [`mod@file`]; `check` turns it into
//! [`Config`] and collects every problem on the way. The rest of the proxy sees [`Config`] only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Credentials;
use crate::filter::Budget;
use crate::protocol::Code;

mod access_log;
pub mod admin;
mod check;
mod credentials;
mod effective;
pub mod file;
pub mod grpc;
mod limits;
mod load;
mod machine;
mod metrics;
mod otlp;
mod overlay;
mod ports;
pub mod problem;
mod proxied;
mod shape;
pub mod sidecar;
mod text;
pub mod tls;
mod tracing;
mod upstream;
pub mod value;
pub mod watch;
pub mod written;

pub use access_log::{AccessLog, Rule as AccessRule};
pub use admin::Admin;
pub use effective::MASK;
pub use grpc::Grpc;
pub use limits::{Limits, LimitsSection};
pub use load::{Loaded, Sources};
pub use metrics::Metrics;
pub use otlp::{Otlp, Secret};
pub use overlay::Flag;
pub use proxied::ProxyProtocol;
pub use tls::Tls;
pub use tracing::Tracing;
pub use upstream::{ProxyHeader, Upstream};

/// Everything one generation of the proxy runs by.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name servers as `host:port`, asked in this order until one answers.
    pub nameservers: Vec<String>,
    /// The addresses clients come in by; names are unique.
    pub listeners: Vec<Listener>,
    /// Which codes beyond messaging are let through.
    pub allow: Allow,
    /// Sizes at which something is refused or stops being read.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How the proxy leaves.
    pub drain: Drain,
    /// Where per-broker ports and accepted filters are remembered; `None` keeps them in memory only.
    pub state_dir: Option<PathBuf>,
    /// Filters: where they are and what they may use.
    pub filters: Filters,
    /// Worker threads that serve connections.
    pub workers: usize,
    /// Connections to brokers and name servers.
    pub upstream: Upstream,
    /// The keys of clients, and Gimbal's own; `None` leaves signatures alone.
    pub credentials: Option<Arc<Credentials>>,
    /// The admin listener; `None` for none.
    pub admin: Option<Admin>,
    /// What metrics tell apart.
    pub metrics: Metrics,
    /// Which commands leave a line, and where.
    pub access_log: AccessLog,
    /// Which commands become spans.
    pub tracing: Tracing,
    /// The collector that metrics and spans are pushed to.
    pub otlp: Otlp,
}

/// Filters: where they are and what they may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    /// Their folder, which need not be there yet; `None` runs no filters.
    pub folder: Option<PathBuf>,
    /// Names of filters that are not removed with their file.
    pub required: Vec<String>,
    /// What a filter may use where its sidecar does not say otherwise.
    pub budget: Budget,
    /// Largest body that is decompressed for a filter, bytes.
    pub body_limit: usize,
    /// Where copies of accepted filters are kept for the next start; `None` keeps none.
    pub copies: Option<PathBuf>,
    /// Where compiled code is kept; `None` compiles at every start.
    pub compiled: Option<PathBuf>,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            folder: None,
            required: Vec::new(),
            budget: Budget::default(),
            body_limit: 16 << 20,
            copies: None,
            compiled: None,
        }
    }
}

/// One bound address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name in logs, metrics and the state file.
    pub name: String,
    /// Where it listens; port 0 asks the system for one.
    pub bind: SocketAddr,
    /// The host given out in routes; `None` is the local IP that the client's connection arrived at.
    pub advertise: Option<String>,
    /// Which kind of broker address clients get.
    pub addressing: Addressing,
    /// First and last port of the range for per-broker ports; `None` derives one from the bound port.
    pub broker_ports: Option<(u16, u16)>,
    /// Broker names whose port is fixed.
    pub brokers: BTreeMap<String, u16>,
    /// Whether store hosts inside messages become this listener's per-broker addresses.
    pub rewrite_store_host: bool,
    /// How long a client's connection is silent before it is probed; `None` probes never.
    pub keep_alive: Option<Duration>,
    /// How long bytes sent to a client may go without an acknowledgement; `None` leaves it to the system.
    pub user_timeout: Option<Duration>,
    /// TLS towards clients; `None` takes clients in clear alone.
    pub tls: Option<Tls>,
    /// Who may say whom a connection is from.
    pub proxy_protocol: ProxyProtocol,
    /// Where clients that speak gRPC are passed on to; `None` turns them away.
    pub grpc: Option<Grpc>,
    /// Client connections on it; above it, accepting on it waits. `None` is as many as there may be in all.
    pub connections: Option<usize>,
}

/// Which kind of broker address a route answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// The shared address for clients known to name the broker in every command, ports for all others.
    #[default]
    Auto,
    /// The listener's own address for everybody.
    Shared,
    /// One port per broker for everybody.
    PerBroker,
}

/// Which request codes beyond messaging and connection codes are let through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// The group `admin`: every code that is neither messaging nor request-reply.
    pub admin: bool,
    /// The group `request-reply`: 324 and 325.
    pub request_reply: bool,
    /// Codes allowed one by one.
    pub codes: Vec<Code>,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Opening a connection to a broker or name server.
    pub connect: Duration,
    /// A session without a byte from its client for this long is closed.
    pub idle: Duration,
    /// The first bytes of a connection.
    pub opening: Duration,
    /// One command, from its length word to its last byte.
    pub frame: Duration,
    /// A client that takes next to nothing for this long although bytes wait for it is closed.
    pub stalled: Duration,
    /// Waits towards brokers that differ from the built-in ones, per request code.
    pub commands: BTreeMap<Code, Duration>,
}

/// How the proxy leaves on SIGTERM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// How long to keep accepting after readiness is off.
    pub delay: Duration,
    /// How long after that sessions may take to finish.
    pub deadline: Duration,
    /// Whether another instance already takes this address, so that `GO_AWAY` may be answered.
    pub go_away: bool,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            idle: Duration::from_mins(2),
            opening: Duration::from_secs(30),
            frame: Duration::from_secs(30),
            stalled: Duration::from_mins(1),
            commands: BTreeMap::new(),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            deadline: Duration::from_secs(35),
            go_away: false,
        }
    }
}
