//! What the admin API shows: one type per answer, with the descriptions that its `OpenAPI` document carries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The process at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Gimbal's version.
    pub version: String,
    /// When the process started, RFC 3339 in UTC.
    pub started: String,
    /// Seconds since then.
    pub uptime_s: u64,
    /// Process number.
    pub pid: u32,
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// Why not; empty when it does.
    pub reasons: Vec<String>,
    /// It was told to stop and lets sessions finish.
    pub draining: bool,
    /// Number of the settings in force; 1 are those of the start.
    pub generation: u64,
    /// Number of the chain of filters in force.
    pub chain_generation: u64,
    /// What is logged.
    pub log_level: String,
    /// How many of everything.
    pub counts: Counts,
    /// How the last readings of the configuration ended, newest last, at most 50.
    pub reloads: Vec<Reload>,
}

/// How many of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Listeners for clients.
    pub listeners: usize,
    /// Client connections.
    pub sessions: usize,
    /// Brokers known.
    pub brokers: usize,
    /// Name servers configured.
    pub nameservers: usize,
    /// Topic routes kept.
    pub routes: usize,
    /// Filters known.
    pub filters: usize,
    /// Filters whose file cannot be used, or is gone.
    pub filters_in_trouble: usize,
}

/// How one reading of the configuration ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reload {
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// Why it was read: `start`, `signal`, `saved` or `api`.
    pub reason: String,
    /// Whether it is in force.
    pub ok: bool,
    /// The generation it made, or left in force.
    pub generation: u64,
    /// Paths of the settings that changed.
    pub changed: Vec<String>,
    /// Settings that changed and hold after a restart only.
    pub needs_restart: Vec<String>,
    /// What was wrong, with the path and what would be accepted; nothing changed then.
    pub problems: Vec<String>,
}

/// One address clients come in by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub bind: String,
    /// The host given to clients; none for the address they came to.
    pub advertise: Option<String>,
    /// `auto`, `shared` or `per-broker`.
    pub addressing: String,
    /// Its TLS: `disabled`, `permissive` or `enforcing`.
    pub tls: String,
    /// What else is to be said of its TLS: certificates with their last day, and what is wrong with a file.
    pub certificates: Vec<Certificate>,
    /// What is wrong with the TLS files as they are now; the old ones go on.
    pub tls_error: Option<String>,
    /// Open ports that stand for one broker each, by broker name.
    pub broker_ports: BTreeMap<String, u16>,
    /// Client connections.
    pub sessions: usize,
}

/// A certificate in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// The names it is good for.
    pub names: Vec<String>,
    /// When it ends, RFC 3339 in UTC.
    pub not_after: String,
}

/// One client connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its number, unique while the process lives.
    pub session: u64,
    /// The client's id, once it has said it.
    pub client: Option<String>,
    /// Its address.
    pub peer: String,
    /// The listener it came in by.
    pub listener: String,
    /// The broker whose port it came to; none on the shared address.
    pub broker_port: Option<String>,
    /// Who signed its last command.
    pub user: Option<String>,
    /// The subject of its certificate.
    pub tls_subject: Option<String>,
    /// Producer groups of its heartbeat.
    pub producers: Vec<String>,
    /// Consumer groups of its heartbeat.
    pub consumers: Vec<String>,
    /// Topics it asked about or sent to, at most 100.
    pub topics: Vec<String>,
    /// Its language, as `JAVA`.
    pub language: String,
    /// Its version, as `5.3.3`; a number in `V(...)` where no release is known.
    pub version: String,
    /// When it connected, RFC 3339 in UTC.
    pub since: String,
    /// Milliseconds since it was last heard.
    pub idle_ms: u64,
    /// Requests it sent.
    pub requests: u64,
    /// Requests that brokers sent to it.
    pub pushes: u64,
    /// Bytes of its requests and answers.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// Requests a second, over the last ten seconds.
    pub requests_per_s: f64,
    /// Requests that await an answer of a broker or name server.
    pub in_flight: usize,
    /// Requests that a filter holds.
    pub held: usize,
    /// Brokers it has a link to.
    pub brokers: Vec<String>,
}

/// Which sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct SessionQuery {
    /// Only those in whose client id, address, user, groups, topics, language, version or broker this occurs, in any case.
    pub q: Option<String>,
    /// How many to leave out before the first. Default: 0.
    pub offset: Option<usize>,
    /// How many to show, 1 to 1000. Default: 100.
    pub limit: Option<usize>,
    /// The order: `session` (oldest first), `rate` (busiest first) or `client`. Default: session.
    pub sort: Option<String>,
}

/// Some of the sessions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sessions {
    /// Sessions in all.
    pub total: usize,
    /// Those that the filter lets through.
    pub matched: usize,
    /// Left out before the first one shown.
    pub offset: usize,
    /// The sessions.
    pub sessions: Vec<Session>,
}

/// Brokers and name servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Upstreams {
    /// Name servers, in the order in which they are asked.
    pub nameservers: Vec<NameServer>,
    /// Brokers known, by name.
    pub brokers: Vec<Broker>,
}

/// One name server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NameServer {
    /// Where it is.
    pub address: String,
    /// How connecting to it went.
    pub health: Option<Health>,
}

/// One broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Broker {
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Addresses by broker id; 0 is the master.
    pub addresses: BTreeMap<u64, String>,
    /// Links of sessions to it.
    pub links: usize,
    /// Requests that await its answer.
    pub in_flight: usize,
    /// How connecting to it went, by address.
    pub health: Vec<Health>,
}

/// How connecting to one address went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// The address.
    pub address: String,
    /// Connections open now.
    pub connections: u64,
    /// Attempts to connect.
    pub dials: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many failed since the last that did not.
    pub failures_in_row: u32,
    /// `closed` (it is tried), `open` (it is not, for now) or `half-open` (one tries it).
    pub circuit: String,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When, RFC 3339 in UTC.
    pub last_error_at: Option<String>,
}

/// The route of one topic, as kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// The topic.
    pub topic: String,
    /// Seconds since a name server was asked.
    pub age_s: u64,
    /// Its queues, by broker.
    pub queues: Vec<Queues>,
}

/// Queues of a topic on one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queues {
    /// The broker.
    pub broker: String,
    /// Queues that take messages.
    pub write: i64,
    /// 2 may be written, 4 may be read, 6 both.
    pub perm: i64,
}

/// Which routes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct RouteQuery {
    /// Only topics in whose name this occurs, in any case.
    pub q: Option<String>,
    /// How many to show, 1 to 1000. Default: 100.
    pub limit: Option<usize>,
}

/// Some of the routes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Routes {
    /// Routes kept in all.
    pub total: usize,
    /// The routes, by topic.
    pub routes: Vec<Route>,
}

/// Everything known of one filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Filter {
    /// Its name: the file name without order number and ending.
    pub name: String,
    /// Its file's name; empty when no file of it was ever seen.
    pub file: String,
    /// What serves: `current` (what the folder holds), `kept` (an older version), `accepted` (one of before the restart),
    /// `refusal` (everything in its scope is refused) or `nothing`.
    pub serving: String,
    /// Whether it was switched off over this API.
    pub is_disabled: bool,
    /// Whether the configuration says that it must not be missing.
    pub is_required: bool,
    /// The manifest's name.
    pub title: Option<String>,
    /// The manifest's version.
    pub version: Option<String>,
    /// The manifest's one line.
    pub description: Option<String>,
    /// SHA-256 of the version that serves.
    pub digest: Option<String>,
    /// The generation it serves since.
    pub generation: Option<u64>,
    /// Since when it serves, RFC 3339 in UTC.
    pub since: Option<String>,
    /// `enforce`, `shadow` or `off`.
    pub mode: String,
    /// What its failures do: `closed` or `open`.
    pub on_error: String,
    /// What it asked to see, one line each.
    pub interests: Vec<String>,
    /// Interfaces it may call.
    pub grants: Vec<String>,
    /// What it did.
    pub counters: FilterCounters,
    /// What is wrong with what the folder holds now.
    pub trouble: Option<Trouble>,
    /// How its last changes ended, newest last, at most twenty.
    pub history: Vec<FilterEvent>,
}

/// What a filter did; the numbers survive its reloads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilterCounters {
    /// Calls.
    pub calls: u64,
    /// Verdicts to go on.
    pub forwards: u64,
    /// Verdicts with an answer.
    pub answers: u64,
    /// Verdicts to hold.
    pub delays: u64,
    /// Verdicts to forget.
    pub drops: u64,
    /// Verdicts to close the connection.
    pub closes: u64,
    /// Verdicts other than going on that were counted and not followed.
    pub shadowed: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Time spent in calls, nanoseconds.
    pub nanos: u64,
    /// When it failed last, RFC 3339 in UTC.
    pub last_failure_at: Option<String>,
    /// How it failed last.
    pub last_failure: Option<String>,
}

/// What is wrong with a filter's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// When it was found, RFC 3339 in UTC.
    pub when: String,
    /// The step of loading that failed.
    pub step: String,
    /// What was wrong, and what would be accepted.
    pub text: String,
}

/// One line of a filter's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilterEvent {
    /// When, RFC 3339 in UTC.
    pub when: String,
    /// `loaded`, `changed`, `off`, `failed`, `disabled` or `enabled`.
    pub event: String,
    /// The chain's generation that it made, or left in force.
    pub generation: u64,
    /// SHA-256 of the version it was about.
    pub digest: String,
    /// What was wrong; empty when nothing was.
    pub text: String,
}

/// Traffic since the start; two of these, some seconds apart, give rates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// When it was taken, milliseconds since 1970.
    pub time_ms: u64,
    /// When the process started, milliseconds since 1970: other numbers begin again when it changes.
    pub started_ms: u64,
    /// Client connections now.
    pub sessions: usize,
    /// Requests that await an answer of a broker or name server now.
    pub in_flight: usize,
    /// Requests of clients.
    pub requests: u64,
    /// Requests of brokers to clients.
    pub pushes: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Requests that had ended, by how.
    pub outcomes: BTreeMap<String, u64>,
    /// Requests by the name of their code.
    pub codes: BTreeMap<String, u64>,
    /// Requests by topic, those with a name of their own in the metrics.
    pub topics: BTreeMap<String, u64>,
    /// How long requests took from their arrival to their answer.
    pub latency: Vec<Bucket>,
}

/// One bucket of a histogram.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    /// Up to this many milliseconds; none in the last one.
    pub le_ms: Option<f64>,
    /// How many took that long or less.
    pub count: u64,
}

/// An error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What would be accepted.
    pub accepted: String,
}

/// What an action did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// What is so now.
    pub done: String,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What is to be logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// error, warn, info, debug, trace or off; parts of Gimbal can be given their own level after a comma, as in
    /// `info,gimbal::route=debug`. Holds until the next reload or restart.
    pub level: String,
}

/// Which commands, and how much of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct RecordQuery {
    /// Request codes, by name or number, separated by commas.
    pub code: Option<String>,
    /// The topic; `*` and `?` stand for what is not known of it.
    pub topic: Option<String>,
    /// The producer or consumer group; `*` and `?` as well.
    pub group: Option<String>,
    /// The client id, address or user; `*` and `?` as well.
    pub client: Option<String>,
    /// Whether bodies are recorded. Default: false.
    pub bodies: Option<bool>,
    /// Record about this part of them, above 0 and up to 1; answers with their requests. Default: 1.
    pub sample: Option<f64>,
}
