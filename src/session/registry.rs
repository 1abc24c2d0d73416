//! Who is connected, for those who look: sessions by number, and what each is like at one moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Session;
use crate::protocol::version_name;

/// Topics of one session that are shown.
const TOPICS_SHOWN: usize = 100;
/// Rates are those of a window of this length.
const WINDOW: Duration = Duration::from_secs(10);

/// Every session of a proxy.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<BTreeMap<u64, Weak<Session>>>,
}

/// One session at one moment.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as in the admin API, where each is described")]
pub struct Portrait {
    pub session: u64,
    pub client: Option<String>,
    pub peer: String,
    pub listener: String,
    pub broker_port: Option<String>,
    pub user: Option<String>,
    pub tls_subject: Option<String>,
    pub producers: Vec<String>,
    pub consumers: Vec<String>,
    pub topics: Vec<String>,
    pub language: String,
    pub version: String,
    pub since: Option<SystemTime>,
    pub idle: Duration,
    pub carried: Carried,
    pub requests_per_s: f64,
    pub in_flight: usize,
    pub held: usize,
    /// Brokers it has a link to, with the requests that await an answer of each.
    pub brokers: Vec<(String, usize)>,
}

/// What a session has carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Requests of the client.
    pub requests: u64,
    /// Requests of brokers to the client.
    pub pushes: u64,
    /// Bytes of the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
}

/// Requests in the last window and in this one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    since: Instant,
    count: u64,
    last: f64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
            last: 0.0,
        }
    }

    /// One more.
    pub(super) fn count(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.since);
        if elapsed >= WINDOW {
            self.last = per_second(self.count, elapsed);
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
    }

    /// How many a second.
    fn rate(&self, now: Instant) -> f64 {
        let elapsed = now.duration_since(self.since);
        if elapsed >= WINDOW || self.last == 0.0 {
            return per_second(self.count, elapsed.max(Duration::from_secs(1)));
        }
        // The window is not full yet; what is missing of it is taken from the one before.
        let part = elapsed.as_secs_f64() / WINDOW.as_secs_f64();
        per_second(self.count, WINDOW) + self.last * (1.0 - part)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, session: &Arc<Session>) {
        self.lock().insert(session.number, Arc::downgrade(session));
    }

    /// Lets every session look what is new: another chain, or that the proxy leaves.
    pub fn wake_all(&self) {
        let sessions: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        for session in sessions {
            session.wake.notify_one();
        }
    }

    fn remove(&self, number: u64) {
        self.lock().remove(&number);
    }

    /// The sessions of now, oldest first. Each is locked for a moment while it is looked at, one after the other.
    pub fn portraits(&self) -> impl Iterator<Item = Portrait> {
        let sessions: Vec<Weak<Session>> = self.lock().values().cloned().collect();
        sessions
            .into_iter()
            .filter_map(|session| session.upgrade().map(|session| session.portrait()))
    }

    /// The session of this number.
    pub fn portrait(&self, number: u64) -> Option<Portrait> {
        let session = self.lock().get(&number).cloned();
        session?.upgrade().map(|session| session.portrait())
    }
}

impl Session {
    fn portrait(&self) -> Portrait {
        let now = Instant::now();
        let mut state = self.lock();
        let (language, version) = state.speaks.map_or_else(Default::default, |(language, version)| {
            (language.name().to_owned(), version_name(version))
        });
        let beat = state.beat.as_ref().map(|beat| &beat.heartbeat);
        let producers = beat
            .iter()
            .flat_map(|beat| beat.producers())
            .map(str::to_owned)
            .collect();
        let consumers = beat.iter().flat_map(|beat| beat.consumers());
        let consumers = consumers.map(|group| group.group_name.clone()).collect();
        let mut topics = state.topics.clone();
        topics.extend(beat.iter().flat_map(|beat| beat.topics()).map(Into::into));
        let client = Arc::clone(&state.filters.client);
        let links = state.links.values();
        let brokers: Vec<_> = links
            .map(|slot| (slot.link.broker.to_string(), slot.link.inflight()))
            .collect();
        let in_flight = brokers.iter().map(|(_, open)| open).sum::<usize>();
        state.carried.bytes_out = state.client.written();
        Portrait {
            session: self.number,
            client: client.client_id.as_deref().map(str::to_owned),
            peer: self.peer.to_string(),
            listener: self.place.door.name().to_string(),
            broker_port: self.place.broker.as_deref().map(str::to_owned),
            user: client.user.as_deref().map(str::to_owned),
            tls_subject: client.tls_subject.as_deref().map(str::to_owned),
            producers,
            consumers,
            topics: topics
                .iter()
                .take(TOPICS_SHOWN)
                .map(ToString::to_string)
                .collect(),
            language,
            version,
            since: Some(self.since),
            idle: now.duration_since(state.heard),
            carried: state.carried,
            requests_per_s: state.pace.rate(now),
            in_flight: in_flight.saturating_add(state.lookups),
            held: state.filters.held.len(),
            brokers,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.core.sessions.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut pace = Pace::new(start);
        for ms in (0..10_000).step_by(100) {
            pace.count(at(ms));
        }
        assert!(
            (pace.rate(at(10_000)) - 10.0).abs() < 0.2,
            "{}",
            pace.rate(at(10_000))
        );
        pace.count(at(10_000));
        assert!(
            (pace.rate(at(10_001)) - 10.0).abs() < 0.3,
            "{}",
            pace.rate(at(10_001))
        );
        assert!(pace.rate(at(60_000)) < 0.1, "silence counts");
    }
}
