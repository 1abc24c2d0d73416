//! What has been heard of topics and brokers, as a plain value: nothing here asks or waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::body::{BrokerData, TopicRoute};

/// Topic routes kept; above it, those not asked for longest are dropped. A route is some hundred bytes.
const ROUTES_KEPT: usize = 20_000;
/// A broker that no name server has listed for this long is forgotten: those who were registered there stop looking for
/// it. A broker that restarts is back long before.
const GONE_AFTER: Duration = Duration::from_mins(5);
/// A name that nobody knew is not asked for again within this time, unless the table changes.
const UNKNOWN_AGE: Duration = Duration::from_secs(1);
/// Such names kept.
const UNKNOWN_KEPT: usize = 1_024;
/// So many of them at a time are made up by somebody.
const MADE_UP: usize = 16;

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// `host:port`.
    pub address: String,
    /// Whether this is the master (id 0); a slave stands in for reading only.
    pub is_master: bool,
}

/// Routes by topic and brokers by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) routes: HashMap<String, (Arc<TopicRoute>, Instant)>,
    pub(super) brokers: HashMap<String, BrokerData>,
    /// The table of all brokers has been heard at least once.
    pub(super) is_whole: bool,
    /// Since when brokers are listed by nobody.
    gone: HashMap<String, Instant>,
    /// Names that nobody knew, and when that was.
    unknown: HashMap<String, Instant>,
}

impl Table {
    /// The route of a topic, and when it was asked for.
    pub(super) fn route(&self, topic: &str) -> Option<(&Arc<TopicRoute>, Instant)> {
        let (route, asked) = self.routes.get(topic)?;
        Some((route, *asked))
    }

    /// Where the broker of this name is.
    pub(super) fn address(&self, broker: &str) -> Option<BrokerAddress> {
        self.brokers.get(broker).and_then(preferred)
    }

    /// The topic has no route any more.
    pub(super) fn forget_route(&mut self, topic: &str) {
        self.routes.remove(topic);
    }

    /// Takes over a route just heard; whether the address of any broker changed.
    pub(super) fn learn_route(&mut self, topic: &str, route: &Arc<TopicRoute>, now: Instant) -> bool {
        if self.routes.len() >= ROUTES_KEPT
            && let Some(oldest) = self
                .routes
                .iter()
                .min_by_key(|(_, (_, asked))| *asked)
                .map(|(name, _)| name.clone())
        {
            self.routes.remove(&oldest);
        }
        self.routes.insert(topic.to_owned(), (Arc::clone(route), now));
        let changed = route
            .brokers()
            .into_iter()
            .fold(false, |changed, broker| self.take(broker) | changed);
        self.settle(changed)
    }

    /// Takes over the list of all brokers; whether the address of any changed.
    pub(super) fn learn_all(&mut self, brokers: Vec<BrokerData>, now: Instant) -> bool {
        self.is_whole = true;
        let listed: HashSet<&str> = brokers.iter().map(|broker| broker.name.as_str()).collect();
        let Self {
            brokers: known, gone, ..
        } = self;
        let mut changed = false;
        // A broker that no name server lists any more keeps its name for a while, without an address.
        known.retain(|name, broker| {
            if listed.contains(name.as_str()) {
                return true;
            }
            changed |= !broker.addresses.is_empty();
            broker.addresses.clear();
            let since = *gone.entry(name.clone()).or_insert(now);
            now.saturating_duration_since(since) < GONE_AFTER
        });
        gone.retain(|name, _| known.contains_key(name));
        drop(listed);
        changed = brokers
            .into_iter()
            .fold(changed, |changed, broker| self.take(broker) | changed);
        self.settle(changed)
    }

    /// Takes over what is known of a broker; whether its preferred address changed.
    fn take(&mut self, broker: BrokerData) -> bool {
        self.gone.remove(&broker.name);
        let now = preferred(&broker);
        let before = self.brokers.insert(broker.name.clone(), broker);
        before.as_ref().and_then(preferred) != now
    }

    fn settle(&mut self, changed: bool) -> bool {
        if changed {
            self.unknown.clear();
        }
        changed
    }

    /// Nobody knew this name.
    pub(super) fn note_unknown(&mut self, broker: &str, now: Instant) {
        self.unknown.retain(|_, asked| is_recent(*asked, now));
        if self.unknown.len() < UNKNOWN_KEPT {
            self.unknown.insert(broker.to_owned(), now);
        }
    }

    /// Whether nobody knew this name a moment ago.
    pub(super) fn is_unknown(&self, broker: &str, now: Instant) -> bool {
        self.unknown
            .get(broker)
            .is_some_and(|asked| is_recent(*asked, now))
    }

    /// Whether so many names were unknown a moment ago that the next one will be, too.
    pub(super) fn are_made_up(&self, now: Instant) -> bool {
        let recent = self.unknown.values().filter(|asked| is_recent(**asked, now));
        recent.take(MADE_UP).count() >= MADE_UP
    }
}

fn is_recent(asked: Instant, now: Instant) -> bool {
    now.saturating_duration_since(asked) < UNKNOWN_AGE
}

/// The master, else the slave with the lowest id.
fn preferred(broker: &BrokerData) -> Option<BrokerAddress> {
    let (id, address) = broker.addresses.first_key_value()?;
    Some(BrokerAddress {
        address: address.clone(),
        is_master: *id == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::ClusterInfo;

    fn brokers(names: &[&str]) -> Vec<BrokerData> {
        let table: serde_json::Map<String, serde_json::Value> = names
            .iter()
            .map(|name| {
                let data =
                    serde_json::json!({"brokerName": name, "cluster": "C", "brokerAddrs": {"0": "h:1"}});
                ((*name).to_owned(), data)
            })
            .collect();
        let body = serde_json::json!({"brokerAddrTable": table, "clusterAddrTable": {"C": names}});
        ClusterInfo::decode(body.to_string().as_bytes())
            .unwrap()
            .brokers()
    }

    #[test]
    fn a_broker_that_nobody_lists_keeps_its_name_and_is_forgotten_in_the_end() {
        let mut table = Table::default();
        let start = Instant::now();
        assert!(table.learn_all(brokers(&["a", "b"]), start));
        assert!(
            table.learn_all(brokers(&["a"]), start),
            "the address of one has gone"
        );
        assert_eq!(table.address("b"), None);
        assert!(!table.learn_all(brokers(&["a"]), start + GONE_AFTER / 2));
        assert!(table.brokers.contains_key("b"));
        table.learn_all(brokers(&["a"]), start + GONE_AFTER);
        assert!(!table.brokers.contains_key("b"));
        assert!(table.brokers.contains_key("a"));
    }

    #[test]
    fn a_broker_that_is_back_starts_anew() {
        let mut table = Table::default();
        let start = Instant::now();
        table.learn_all(brokers(&["a"]), start);
        table.learn_all(brokers(&[]), start);
        assert!(table.learn_all(brokers(&["a"]), start + GONE_AFTER / 2));
        table.learn_all(brokers(&[]), start + GONE_AFTER);
        assert!(table.brokers.contains_key("a"), "gone only just now");
    }

    #[test]
    fn an_unknown_name_is_remembered_for_a_moment_or_until_the_table_changes() {
        let mut table = Table::default();
        let start = Instant::now();
        table.note_unknown("x", start);
        assert!(table.is_unknown("x", start));
        assert!(!table.is_unknown("y", start));
        assert!(!table.is_unknown("x", start + UNKNOWN_AGE));
        table.learn_all(brokers(&["a"]), start);
        assert!(!table.is_unknown("x", start));
    }

    #[test]
    fn many_unknown_names_are_made_up_and_their_number_is_bounded() {
        let mut table = Table::default();
        let start = Instant::now();
        for i in 0..MADE_UP {
            assert!(!table.are_made_up(start), "{i}");
            table.note_unknown(&format!("x{i}"), start);
        }
        assert!(table.are_made_up(start));
        assert!(!table.are_made_up(start + UNKNOWN_AGE));
        for i in 0..2 * UNKNOWN_KEPT {
            table.note_unknown(&format!("y{i}"), start);
        }
        assert_eq!(table.unknown.len(), UNKNOWN_KEPT);
    }
}
