//! The written form: what a config file may say, key by key, with the defaults.
//!
//! The doc comments here are the descriptions in the JSON Schema, so they speak to the operator.
//! Nothing is judged here beyond its type; that is the work of `check`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};

use super::admin::AdminSection;
use super::grpc::GrpcSection;
use super::limits::LimitsSection;
use super::metrics::Metrics;
use super::sidecar::BudgetSection;
use super::tls::ServerSection;
use super::tracing::Tracing;
use super::upstream::UpstreamSection;
use super::value::{Period, Size, Words};
use super::{Addressing, Drain, Filters, Timeouts, Upstream};
use super::{access_log, otlp};

/// Everything a config file may say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    title = "Gimbal configuration",
    description = "Settings of Gimbal, a proxy for Apache RocketMQ."
)]
pub struct File {
    /// Name servers of the cluster, each as host:port, asked in this order until one answers.
    /// A list, or one string separated by "," or ";". The environment variable `NAMESRV_ADDR` stands in
    /// when nothing else names one.
    pub nameservers: Words,
    /// What is let through beyond messaging: "admin" (every code of the admin tools), "request-reply"
    /// (324 and 325), or single request codes by name or number, such as "`GET_CONSUMER_RUNNING_INFO`" or 307.
    /// Default: nothing.
    pub allow: Words,
    /// Threads that serve connections. Default: one per core. Changing it needs a restart.
    pub workers: Option<usize>,
    /// Folder that remembers across restarts which port belongs to which broker, and which filters were accepted; ""
    /// keeps that in memory only. Default: "gimbal-state". Changing it needs a restart.
    pub state_dir: Option<String>,
    /// Folder of filters: `20-name.wasm`, and `20-name.toml` beside it for its settings. What is saved there is in force
    /// a moment later; what cannot be used changes nothing. "" runs none. Default: "filters.d", if it is there at the
    /// start. Changing it needs a restart.
    pub filters: Option<String>,
    /// TOML file with the keys of clients that sign what they send, and with Gimbal's own key. Their signatures are
    /// then checked, and what filters change is signed again. Saving it applies it. Default: none.
    pub credentials: Option<String>,
    /// What is logged, and how.
    pub log: Log,
    /// The addresses clients come in by. Default: one listener on 0.0.0.0:9876.
    pub listener: Vec<Listener>,
    /// Sizes at which something is refused or stops being read.
    pub limits: LimitsSection,
    /// How long things may take.
    pub timeouts: TimeoutsSection,
    /// Connections to brokers and name servers.
    pub upstream: UpstreamSection,
    /// How Gimbal leaves when it is told to stop.
    pub drain: DrainSection,
    /// What holds for all filters.
    pub filter: FilterSection,
    /// The admin listener: what operators, Prometheus and Kubernetes ask, and the console.
    pub admin: AdminSection,
    /// What metrics tell apart.
    pub metrics: Metrics,
    /// Lines about commands.
    pub access_log: access_log::Section,
    /// Spans of commands.
    pub tracing: Tracing,
    /// The collector that metrics and spans are pushed to.
    pub otlp: otlp::Section,
}

/// What is logged, and how. Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// error, warn, info, debug, trace or off; parts of Gimbal can be given their own level after a comma,
    /// as in "`info,gimbal::route=debug`".
    pub level: String,
    /// "human" for people, "json" for machines: one object per line. Changing it needs a restart.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// One address clients come in by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// Its name in logs, metrics and the state folder; unique.
    pub name: String,
    /// IP address and port to listen on; port 0 asks the system for one. The port two below is taken too, for
    /// clients of the 4.4 age. Changing it needs a restart.
    pub bind: String,
    /// Host name or IP address given to clients in place of the brokers', without a port. Default: the local
    /// IP address that the client's connection arrived at.
    pub advertise: Option<String>,
    /// "auto" gives the shared address to clients known to name the broker in every command, and one port per
    /// broker to all others; "shared" and "per-broker" treat all clients alike.
    pub addressing: AddressingName,
    /// First and last port that brokers may be given, as in "12000-12063"; each broker takes two of them: its
    /// own, and the one two below for clients of the 4.4 age. Default: a range derived from the port of bind.
    pub broker_ports: Option<String>,
    /// Brokers with a fixed port, by broker name. Several Gimbals behind one address must agree on these.
    pub brokers: BTreeMap<String, u16>,
    /// Replaces the broker's address inside messages too, so that clients that dial it come through Gimbal.
    /// Needs an IP address in advertise.
    pub rewrite_store_host: bool,
    /// A client's connection that has been silent this long is probed, and closed when three probes in a row go
    /// unanswered; "0s" probes never. For connections accepted from then on.
    pub keep_alive: Period,
    /// Bytes that the client's system has not acknowledged for this long end the connection; "0s" leaves it to the
    /// system, which takes about a quarter of an hour. For connections accepted from then on.
    pub user_timeout: Period,
    /// TLS towards clients. Default: none.
    pub tls: ServerSection,
    /// Networks (or addresses) of balancers that say in a PROXY protocol header, version 1 or 2, whom a connection is
    /// from; headers from elsewhere are refused. Default: none.
    pub proxy_protocol: Words,
    /// Refuses connections from those networks that have no such header.
    pub proxy_protocol_required: bool,
    /// Where clients that speak gRPC are passed on to. Default: nowhere.
    pub grpc: GrpcSection,
    /// Client connections of this listener, its brokers' ports included; above it, accepting on it waits. Default: 0, no
    /// limit but that of all.
    pub connections: usize,
}

/// Which kind of broker address clients get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AddressingName {
    /// The shared address for clients known to name the broker in every command, ports for all others.
    #[default]
    Auto,
    /// The listener's own address for everybody.
    Shared,
    /// One port per broker for everybody.
    PerBroker,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsSection {
    /// Opening a connection to a broker or name server.
    pub connect: Period,
    /// A session without a byte from its client for this long is closed. Clients send a heartbeat every 30 s.
    pub idle: Period,
    /// The first bytes of a connection.
    pub opening: Period,
    /// One command, from its length to its last byte, waiting for memory included. A session that takes longer is
    /// closed.
    pub frame: Period,
    /// A client that takes less than 16 KiB in this time although more waits for it is closed. While memory is short,
    /// that goes for 10 s.
    pub stalled: Period,
    /// Waits for a broker's answer that differ from the built-in ones, by request code (name or number).
    pub commands: BTreeMap<String, Period>,
}

/// How Gimbal leaves when it is told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DrainSection {
    /// How long to keep accepting after readiness is off: the time a balancer needs to notice.
    pub delay: Period,
    /// How long after that sessions may take to finish.
    pub deadline: Period,
    /// Tells newer Java clients to reconnect at once. Only where another instance already takes this address.
    pub go_away: bool,
}

/// What holds for all filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterSection {
    /// Filters that must not be missing, by name: `acl` is that of `20-acl.wasm`. When such a file vanishes its last
    /// version goes on; one that was never there refuses every command.
    pub required: Words,
    /// Largest message body that is decompressed for a filter; one that has to look into a larger one fails.
    pub body_limit: Size,
    /// Folder for compiled filters, which start faster from it; "" compiles them at every start. Default: "compiled" in
    /// `state_dir`. Changing it needs a restart.
    pub compiled: Option<String>,
    /// What each filter may use where the settings beside it do not say otherwise.
    pub budget: BudgetSection,
}

impl Default for FilterSection {
    fn default() -> Self {
        Self {
            required: Words::default(),
            body_limit: Size(Filters::default().body_limit),
            compiled: None,
            budget: BudgetSection::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::default(),
        }
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: "main".into(),
            bind: "0.0.0.0:9876".into(),
            advertise: None,
            addressing: AddressingName::default(),
            broker_ports: None,
            brokers: BTreeMap::new(),
            rewrite_store_host: false,
            keep_alive: Period(Upstream::default().keep_alive.unwrap_or_default()),
            user_timeout: Period(Upstream::default().user_timeout.unwrap_or_default()),
            tls: ServerSection::default(),
            proxy_protocol: Words::default(),
            proxy_protocol_required: false,
            grpc: GrpcSection::default(),
            connections: 0,
        }
    }
}

impl Default for TimeoutsSection {
    fn default() -> Self {
        let Timeouts {
            connect,
            idle,
            opening,
            frame,
            stalled,
            commands: _,
        } = Timeouts::default();
        Self {
            connect: Period(connect),
            idle: Period(idle),
            opening: Period(opening),
            frame: Period(frame),
            stalled: Period(stalled),
            commands: BTreeMap::new(),
        }
    }
}

impl Default for DrainSection {
    fn default() -> Self {
        let Drain {
            delay,
            deadline,
            go_away,
        } = Drain::default();
        Self {
            delay: Period(delay),
            deadline: Period(deadline),
            go_away,
        }
    }
}

impl From<AddressingName> for Addressing {
    fn from(name: AddressingName) -> Self {
        match name {
            AddressingName::Auto => Self::Auto,
            AddressingName::Shared => Self::Shared,
            AddressingName::PerBroker => Self::PerBroker,
        }
    }
}

/// The JSON Schema of [`File`], each section spelled out where it stands.
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<File>()
}
