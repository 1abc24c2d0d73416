//! How brokers and name servers fare, as the connections of all sessions show it; and the circuit that spares them all
//! the wait for a peer that is not there.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

/// Attempts that must fail in a row before an address is no longer tried by everybody.
const OPENS_AFTER: u32 = 3;
/// They count together when each begins within this time of the one before.
const WINDOW: Duration = Duration::from_secs(10);
/// How often an address that is not tried by everybody is tried by one.
const PAUSE: Duration = Duration::from_secs(1);
/// Peers remembered; above it, those without a connection that were not tried for longest are forgotten.
const PEERS_KEPT: usize = 1_024;
/// A peer without a connection that nobody has tried for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);
/// Bytes kept of an error.
const ERROR_LIMIT: usize = 512;

/// What a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A broker.
    Broker,
    /// A name server.
    NameServer,
}

/// Whom a connection goes to: a name that stays, and the address it has now.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// What it is.
    pub role: Role,
    /// The broker's name; the address, of a name server.
    pub name: Arc<str>,
    /// `host:port`.
    pub address: Arc<str>,
}

impl Peer {
    /// A broker at an address.
    pub fn broker(name: &str, address: &str) -> Self {
        Self {
            role: Role::Broker,
            name: name.into(),
            address: address.into(),
        }
    }

    /// A name server.
    pub fn name_server(address: &str) -> Self {
        let address: Arc<str> = address.into();
        Self {
            role: Role::NameServer,
            name: Arc::clone(&address),
            address,
        }
    }
}

/// Whether a peer is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitState {
    /// By everybody who needs it.
    Closed,
    /// By nobody until the time of the next try: several attempts in a row failed.
    Open,
    /// By one, just now; the others are refused until it is known how that ends.
    HalfOpen,
}

/// One broker or name server, as the connections to it show it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PeerHealth {
    /// What it is.
    pub role: Role,
    /// The broker's name; the address, of a name server.
    pub name: String,
    /// Its address, `host:port`.
    pub address: String,
    /// Connections open now.
    pub connections: u64,
    /// Attempts to connect since it is known.
    pub dials: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many failed since the last that did not.
    pub failures_in_row: u32,
    /// Attempts that were not made because the circuit was open.
    pub refused: u64,
    /// What went wrong last: a failed attempt, or a connection that was lost.
    pub last_error: Option<String>,
    /// When, RFC 3339 in UTC.
    #[serde(serialize_with = "write_time")]
    #[schema(value_type = Option<String>)]
    pub last_error_at: Option<SystemTime>,
    /// When an attempt last succeeded, RFC 3339 in UTC.
    #[serde(serialize_with = "write_time")]
    #[schema(value_type = Option<String>)]
    pub last_success_at: Option<SystemTime>,
    /// Whether it is tried.
    pub circuit: CircuitState,
    /// While the circuit is open: milliseconds until the next attempt may be made, 0 when it waits for somebody to make it.
    pub next_try_in_ms: Option<u64>,
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn write_time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&humantime::format_rfc3339_millis(*time)),
        None => serializer.serialize_none(),
    }
}

/// Why a peer is not tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTried {
    failures_in_row: u32,
    last_error: String,
    /// `None` while somebody else tries.
    next: Option<Duration>,
}

impl fmt::Display for NotTried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            failures_in_row,
            last_error,
            next,
        } = self;
        write!(f, "not tried, since {failures_in_row} attempts in a row failed (")?;
        match next {
            Some(next) => write!(f, "the next one in {} ms", next.as_millis())?,
            None => f.write_str("another one runs")?,
        }
        write!(f, "); last: {last_error}")
    }
}

/// The table of all peers. Shared by all sessions; touched when a connection begins or ends, never per command.
#[derive(Debug, Clone, Default)]
pub struct Health {
    table: Arc<Table>,
}

#[derive(Debug, Default)]
struct Table {
    peers: Mutex<HashMap<Peer, Entry>>,
    /// A circuit has closed.
    closed: Notify,
}

#[derive(Debug)]
struct Entry {
    connections: u64,
    dials: u64,
    failures: u64,
    failures_in_row: u32,
    refused: u64,
    last_failure: Option<Instant>,
    last_error: Option<(String, SystemTime)>,
    last_success: Option<SystemTime>,
    circuit: Circuit,
    touched: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    Closed,
    Open { next: Instant },
    HalfOpen,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            connections: 0,
            dials: 0,
            failures: 0,
            failures_in_row: 0,
            refused: 0,
            last_failure: None,
            last_error: None,
            last_success: None,
            circuit: Circuit::Closed,
            touched: now,
        }
    }

    fn note_error(&mut self, what: &str) {
        let end = what.floor_char_boundary(ERROR_LIMIT);
        let what = what.get(..end).unwrap_or_default().to_owned();
        self.last_error = Some((what, SystemTime::now()));
    }

    fn not_tried(&mut self, next: Option<Duration>) -> NotTried {
        self.refused = self.refused.saturating_add(1);
        NotTried {
            failures_in_row: self.failures_in_row,
            last_error: self
                .last_error
                .as_ref()
                .map(|(what, _)| what.clone())
                .unwrap_or_default(),
            next,
        }
    }
}

impl Health {
    fn peers(&self) -> MutexGuard<'_, HashMap<Peer, Entry>> {
        self.table.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to try a peer. What is returned must be told how the attempt ended; dropped without, it counts as not made.
    pub fn attempt(&self, peer: &Peer) -> Result<Attempt, NotTried> {
        let now = Instant::now();
        let mut peers = self.peers();
        if !peers.contains_key(peer) {
            forget(&mut peers, now);
        }
        let entry = peers.entry(peer.clone()).or_insert_with(|| Entry::new(now));
        entry.touched = now;
        let is_probe = match entry.circuit {
            // Whoever has a connection shows that it lives.
            _ if entry.connections > 0 => false,
            Circuit::Closed => false,
            Circuit::HalfOpen => return Err(entry.not_tried(None)),
            Circuit::Open { next } if now < next => {
                return Err(entry.not_tried(Some(next.duration_since(now))));
            }
            Circuit::Open { .. } => {
                entry.circuit = Circuit::HalfOpen;
                true
            }
        };
        entry.dials = entry.dials.saturating_add(1);
        drop(peers);
        Ok(Attempt {
            health: self.clone(),
            peer: peer.clone(),
            is_probe,
        })
    }

    /// Waits until the circuit of some peer with this name has closed.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recovered(&self, role: Role, name: &str) {
        let is_open = |health: &Self| {
            let peers = health.peers();
            let mut of_name = peers
                .iter()
                .filter(|(peer, _)| peer.role == role && &*peer.name == name);
            of_name.any(|(_, entry)| entry.circuit != Circuit::Closed)
        };
        let mut was_open = is_open(self);
        loop {
            let mut closed = pin!(self.table.closed.notified());
            // Before looking again: what closes from here on is heard.
            closed.as_mut().enable();
            if was_open && !is_open(self) {
                return;
            }
            closed.await;
            let is_open = is_open(self);
            if was_open && !is_open {
                return;
            }
            was_open = is_open;
        }
    }

    /// Every peer, sorted by what it is, name and address.
    pub fn snapshot(&self) -> Vec<PeerHealth> {
        let now = Instant::now();
        let mut peers = self.peers();
        forget(&mut peers, now);
        let mut all: Vec<(&Peer, &Entry)> = peers.iter().collect();
        all.sort_by_key(|(peer, _)| *peer);
        all.into_iter()
            .map(|(peer, entry)| PeerHealth {
                role: peer.role,
                name: peer.name.to_string(),
                address: peer.address.to_string(),
                connections: entry.connections,
                dials: entry.dials,
                failures: entry.failures,
                failures_in_row: entry.failures_in_row,
                refused: entry.refused,
                last_error: entry.last_error.as_ref().map(|(what, _)| what.clone()),
                last_error_at: entry.last_error.as_ref().map(|(_, when)| *when),
                last_success_at: entry.last_success,
                circuit: match entry.circuit {
                    Circuit::Closed => CircuitState::Closed,
                    Circuit::Open { .. } => CircuitState::Open,
                    Circuit::HalfOpen => CircuitState::HalfOpen,
                },
                next_try_in_ms: match entry.circuit {
                    Circuit::Open { next } => {
                        let wait = next.saturating_duration_since(now).as_millis();
                        Some(u64::try_from(wait).unwrap_or(u64::MAX))
                    }
                    Circuit::Closed | Circuit::HalfOpen => None,
                },
            })
            .collect()
    }
}

/// Forgets peers that nobody has tried for long, and makes room for one more.
fn forget(peers: &mut HashMap<Peer, Entry>, now: Instant) {
    peers.retain(|_, entry| {
        entry.connections > 0 || now.saturating_duration_since(entry.touched) < FORGOTTEN_AFTER
    });
    if peers.len() < PEERS_KEPT {
        return;
    }
    let idle = peers.iter().filter(|(_, entry)| entry.connections == 0);
    let oldest = idle
        .min_by_key(|(_, entry)| entry.touched)
        .map(|(peer, _)| peer.clone());
    if let Some(peer) = oldest {
        peers.remove(&peer);
    }
}

/// A try that runs.
#[derive(Debug)]
pub struct Attempt {
    health: Health,
    peer: Peer,
    /// It alone runs; the others wait for how it ends.
    is_probe: bool,
}

impl Attempt {
    /// The peer is there: it counts as connected until what is returned is dropped.
    pub fn succeeded(mut self) -> Life {
        self.is_probe = false;
        let mut peers = self.health.peers();
        let entry = peers
            .entry(self.peer.clone())
            .or_insert_with(|| Entry::new(Instant::now()));
        entry.connections = entry.connections.saturating_add(1);
        entry.failures_in_row = 0;
        entry.last_success = Some(SystemTime::now());
        let was = std::mem::replace(&mut entry.circuit, Circuit::Closed);
        drop(peers);
        let Peer { role, name, address } = &self.peer;
        if was != Circuit::Closed {
            info!(
                ?role,
                name = &**name,
                peer = &**address,
                "reached again; circuit closed"
            );
            self.health.table.closed.notify_waiters();
        }
        Life {
            health: self.health.clone(),
            peer: self.peer.clone(),
        }
    }

    /// The peer could not be reached.
    pub fn failed(mut self, error: &str) {
        let was_probe = std::mem::take(&mut self.is_probe);
        let now = Instant::now();
        let mut peers = self.health.peers();
        let Some(entry) = peers.get_mut(&self.peer) else {
            return;
        };
        entry.note_error(error);
        entry.failures = entry.failures.saturating_add(1);
        let in_time = entry
            .last_failure
            .is_some_and(|last| now.saturating_duration_since(last) < WINDOW);
        entry.last_failure = Some(now);
        let counts_on = in_time || entry.circuit != Circuit::Closed;
        entry.failures_in_row = if counts_on {
            entry.failures_in_row.saturating_add(1)
        } else {
            1
        };
        let opens = entry.circuit == Circuit::Closed
            && entry.connections == 0
            && entry.failures_in_row >= OPENS_AFTER;
        if opens || was_probe {
            entry.circuit = Circuit::Open { next: now + PAUSE };
        }
        let failures = entry.failures_in_row;
        drop(peers);
        if opens {
            let Peer { role, name, address } = &self.peer;
            warn!(
                ?role,
                name = &**name,
                peer = &**address,
                failures,
                error,
                "cannot be reached; circuit open: tried once a second from now on"
            );
        }
    }

    /// The attempt failed for want of something here, which says nothing of the peer.
    pub fn failed_here(self, error: &str) {
        if let Some(entry) = self.health.peers().get_mut(&self.peer) {
            entry.note_error(error);
        }
    }
}

impl Drop for Attempt {
    /// Nobody waits for the outcome any more: the next who asks may try at once.
    fn drop(&mut self) {
        if self.is_probe
            && let Some(entry) = self.health.peers().get_mut(&self.peer)
            && entry.circuit == Circuit::HalfOpen
        {
            entry.circuit = Circuit::Open { next: Instant::now() };
        }
    }
}

/// A connection that is open; dropping it says that it is no longer.
#[derive(Debug)]
pub struct Life {
    health: Health,
    peer: Peer,
}

impl Life {
    /// The connection ended, and not by our will.
    pub fn lost(&self, error: &str) {
        if let Some(entry) = self.health.peers().get_mut(&self.peer) {
            entry.note_error(error);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(entry) = self.health.peers().get_mut(&self.peer) {
            entry.connections = entry.connections.saturating_sub(1);
            entry.touched = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker() -> Peer {
        Peer::broker("a", "10.0.0.1:10911")
    }

    fn fail(health: &Health, times: u32) {
        for _ in 0..times {
            health.attempt(&broker()).unwrap().failed("refused");
        }
    }

    fn state(health: &Health) -> CircuitState {
        health.snapshot()[0].circuit
    }

    #[tokio::test(start_paused = true)]
    async fn the_circuit_opens_after_failures_in_a_row_and_says_why() {
        let health = Health::default();
        fail(&health, 2);
        assert_eq!(state(&health), CircuitState::Closed);
        fail(&health, 1);
        assert_eq!(state(&health), CircuitState::Open);
        let refused = health.attempt(&broker()).unwrap_err().to_string();
        assert_eq!(
            refused,
            "not tried, since 3 attempts in a row failed (the next one in 1000 ms); last: refused"
        );
        let seen = &health.snapshot()[0];
        assert_eq!((seen.dials, seen.failures, seen.refused), (3, 3, 1));
        assert_eq!(seen.next_try_in_ms, Some(1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_far_apart_do_not_open_it() {
        let health = Health::default();
        for _ in 0..10 {
            fail(&health, 2);
            tokio::time::advance(WINDOW).await;
        }
        assert_eq!(state(&health), CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_goes_through_and_closes_it_when_it_succeeds() {
        let health = Health::default();
        fail(&health, OPENS_AFTER);
        tokio::time::advance(PAUSE).await;
        let probe = health.attempt(&broker()).unwrap();
        assert_eq!(state(&health), CircuitState::HalfOpen);
        assert!(
            health
                .attempt(&broker())
                .unwrap_err()
                .to_string()
                .contains("another one runs")
        );
        probe.failed("refused");
        assert_eq!(state(&health), CircuitState::Open);
        assert!(health.attempt(&broker()).is_err(), "not again at once");
        tokio::time::advance(PAUSE).await;
        let life = health.attempt(&broker()).unwrap().succeeded();
        let seen = &health.snapshot()[0];
        assert_eq!(
            (seen.circuit, seen.connections, seen.failures_in_row),
            (CircuitState::Closed, 1, 0)
        );
        drop(life);
        assert_eq!(health.snapshot()[0].connections, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_leaves_the_way_free_for_the_next() {
        let health = Health::default();
        fail(&health, OPENS_AFTER);
        tokio::time::advance(PAUSE).await;
        drop(health.attempt(&broker()).unwrap());
        assert!(health.attempt(&broker()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_a_living_connection_is_never_refused() {
        let health = Health::default();
        let life = health.attempt(&broker()).unwrap().succeeded();
        fail(&health, 10);
        assert_eq!(state(&health), CircuitState::Closed);
        drop(life);
        fail(&health, 1);
        assert_eq!(state(&health), CircuitState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_here_does_not_count_against_the_peer() {
        let health = Health::default();
        for _ in 0..10 {
            health
                .attempt(&broker())
                .unwrap()
                .failed_here("too many open files");
        }
        let seen = &health.snapshot()[0];
        assert_eq!((seen.circuit, seen.failures), (CircuitState::Closed, 0));
        assert_eq!(seen.last_error.as_deref(), Some("too many open files"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_broker_hears_when_it_is_back() {
        let health = Health::default();
        fail(&health, OPENS_AFTER);
        let waiting = tokio::spawn({
            let health = health.clone();
            async move { health.recovered(Role::Broker, "a").await }
        });
        tokio::time::sleep(PAUSE).await;
        let _life = health.attempt(&broker()).unwrap().succeeded();
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn peers_are_bounded_and_those_with_connections_are_kept() {
        let health = Health::default();
        let _life = health.attempt(&broker()).unwrap().succeeded();
        for port in 0..2 * PEERS_KEPT {
            tokio::time::advance(Duration::from_millis(1)).await;
            health
                .attempt(&Peer::broker("x", &format!("h:{port}")))
                .unwrap()
                .failed("no");
        }
        let all = health.snapshot();
        assert!(all.len() <= PEERS_KEPT, "{}", all.len());
        assert_eq!(all[0].name, "a");
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert_eq!(health.snapshot().len(), 1);
    }

    #[test]
    fn a_snapshot_is_plain_json() {
        let health = Health::default();
        let _life = health.attempt(&Peer::name_server("ns:9876")).unwrap().succeeded();
        let json = serde_json::to_value(health.snapshot()).unwrap();
        assert_eq!(json[0]["role"], "name-server");
        assert_eq!(json[0]["circuit"], "closed");
        assert_eq!(json[0]["connections"], 1);
        assert!(json[0]["last_success_at"].as_str().unwrap().ends_with('Z'));
    }
}
