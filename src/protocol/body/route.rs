//! Topic routes and the broker table of a cluster: read leniently, rewritten without losing a field, written in the
//! dialect that the asking client reads (`TopicRouteData`, `ClusterInfo`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::lenient;
use crate::protocol::{DecodeError, json};

/// How integer keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Bare integers, as fastjson writes them: for clients before 4.9.4.
    Fastjson,
    /// Quoted keys and escaped non-ASCII: what strict parsers need.
    Standard,
}

/// A broker of a route: one name, one or more instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerData {
    /// The broker name, shared by a master and its slaves.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// `host:port` by broker id; 0 is the master.
    pub addresses: BTreeMap<u64, String>,
}

/// How many queues of the topic a broker has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueData {
    /// The broker name.
    pub broker: String,
    /// Queues open for writing, when `perm` allows it.
    pub write_queues: i64,
    /// Bits: 4 read, 2 write.
    pub perm: i64,
}

/// What a name server answers to `GET_ROUTEINFO_BY_TOPIC`; every field is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRoute {
    all: Map<String, Value>,
}

/// What a name server answers to `GET_BROKER_CLUSTER_INFO`; every field is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterInfo {
    all: Map<String, Value>,
}

const PERM_WRITE: i64 = 2;
/// Prefix of the pseudo broker names of static topics (`MixAll.LOGICAL_QUEUE_MOCK_BROKER_PREFIX`).
const MOCK_PREFIX: &str = "__syslo__";

impl QueueData {
    /// Whether producers may write here.
    pub fn is_writable(&self) -> bool {
        self.perm & PERM_WRITE != 0
    }
}

impl TopicRoute {
    /// Decodes the body of a route answer, in either dialect.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            all: lenient::decode(body, "not a topic route")?,
        })
    }

    /// The brokers, in the order given.
    pub fn brokers(&self) -> Vec<BrokerData> {
        self.list("brokerDatas").iter().filter_map(broker_data).collect()
    }

    /// The queues, in the order given.
    pub fn queues(&self) -> Vec<QueueData> {
        self.list("queueDatas")
            .iter()
            .filter_map(|queue| {
                let int = |key| queue.get(key).and_then(Value::as_i64).unwrap_or_default();
                let broker = queue.get("brokerName")?.as_str()?.to_owned();
                Some(QueueData {
                    broker,
                    write_queues: int("writeQueueNums"),
                    perm: int("perm"),
                })
            })
            .collect()
    }

    /// The real broker behind queue `queue` of a static topic whose client-side broker name is `mock`: the mapping
    /// of that scope which owns the queue with the highest epoch.
    pub fn static_owner(&self, mock: &str, queue: i64) -> Option<String> {
        let mappings = self.all.get("topicQueueMappingByBroker")?.as_object()?;
        mappings
            .values()
            .filter(|mapping| {
                mapping
                    .get("scope")
                    .and_then(Value::as_str)
                    .map(mock_name)
                    .as_deref()
                    == Some(mock)
            })
            .filter(|mapping| {
                mapping
                    .get("currIdMap")
                    .is_some_and(|ids| ids.get(queue.to_string()).is_some())
            })
            .max_by_key(|mapping| mapping.get("epoch").and_then(Value::as_i64).unwrap_or_default())
            .and_then(|mapping| mapping.get("bname")?.as_str().map(str::to_owned))
    }

    /// The same route with every broker at `address(name)`: masters only, or the slaves of a broker without a master.
    #[must_use]
    pub fn advertised(&self, address: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut all = self.all.clone();
        if let Some(Value::Array(brokers)) = all.get_mut("brokerDatas") {
            for broker in brokers.iter_mut() {
                advertise(broker, address);
            }
        }
        Self { all }
    }

    /// Writes the route.
    pub fn encode(&self, dialect: Dialect) -> Vec<u8> {
        encode(&self.all, dialect)
    }

    fn list(&self, key: &str) -> &[Value] {
        self.all
            .get(key)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }
}

impl ClusterInfo {
    /// Decodes the body of the answer, in either dialect.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            all: lenient::decode(body, "not a cluster table")?,
        })
    }

    /// The brokers of every cluster.
    pub fn brokers(&self) -> Vec<BrokerData> {
        self.all
            .get("brokerAddrTable")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::values)
            .filter_map(broker_data)
            .collect()
    }

    /// The same table with every broker at `address(name)`.
    #[must_use]
    pub fn advertised(&self, address: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut all = self.all.clone();
        if let Some(Value::Object(brokers)) = all.get_mut("brokerAddrTable") {
            for broker in brokers.values_mut() {
                advertise(broker, address);
            }
        }
        Self { all }
    }

    /// Writes the table; name servers use bare keys here for everybody.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.all, Dialect::Fastjson)
    }
}

fn broker_data(broker: &Value) -> Option<BrokerData> {
    let text = |key| {
        broker
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let addresses = broker.get("brokerAddrs")?.as_object()?.iter();
    Some(BrokerData {
        name: broker.get("brokerName")?.as_str()?.to_owned(),
        cluster: text("cluster"),
        addresses: addresses
            .filter_map(|(id, address)| Some((id.parse().ok()?, address.as_str()?.to_owned())))
            .collect(),
    })
}

fn advertise(broker: &mut Value, address: &dyn Fn(&str) -> Option<String>) {
    let Some(ours) = broker.get("brokerName").and_then(Value::as_str).and_then(address) else {
        return;
    };
    let Some(Value::Object(addresses)) = broker.get_mut("brokerAddrs") else {
        return;
    };
    if addresses.contains_key("0") {
        addresses.retain(|id, _| id == "0");
    }
    for theirs in addresses.values_mut() {
        *theirs = Value::String(ours.clone());
    }
}

/// The client-side broker name of a static topic's scope (`TopicQueueMappingUtils.getMockBrokerName`).
fn mock_name(scope: &str) -> String {
    format!("{MOCK_PREFIX}{}", scope.strip_prefix("__").unwrap_or(scope))
}

fn encode(all: &Map<String, Value>, dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    put_object(&mut out, all, dialect, false);
    out
}

fn put(out: &mut Vec<u8>, value: &Value, dialect: Dialect, bare_keys: bool) {
    match value {
        Value::Object(map) => put_object(out, map, dialect, bare_keys),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                put(out, item, dialect, false);
            }
            out.push(b']');
        }
        Value::String(text) => put_text(out, text, dialect),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

fn put_object(out: &mut Vec<u8>, map: &Map<String, Value>, dialect: Dialect, bare_keys: bool) {
    out.push(b'{');
    for (at, (key, value)) in map.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if bare_keys && dialect == Dialect::Fastjson && key.parse::<i64>().is_ok() {
            out.extend_from_slice(key.as_bytes());
        } else {
            put_text(out, key, dialect);
        }
        out.push(b':');
        put(
            out,
            value,
            dialect,
            matches!(key.as_str(), "brokerAddrs" | "currIdMap"),
        );
    }
    out.push(b'}');
}

fn put_text(out: &mut Vec<u8>, text: &str, dialect: Dialect) {
    let start = out.len();
    json::put_string(out, text);
    if dialect == Dialect::Standard && !text.is_ascii() {
        let escaped = String::from_utf8_lossy(out.get(start..).unwrap_or_default()).into_owned();
        out.truncate(start);
        for c in escaped.chars() {
            if c.is_ascii() {
                out.push(u8::try_from(c).unwrap_or(b'?'));
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = r#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"C","enableActingMaster":false,"zoneName":"z"},{"brokerAddrs":{2:"10.0.0.3:10911"},"brokerName":"broker-b","cluster":"C","enableActingMaster":false}],"filterServerTable":{},"orderTopicConf":"broker-a:4","queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}],"topicQueueMappingByBroker":{"broker-a":{"bname":"broker-a","currIdMap":{0:0,1:1},"epoch":1,"scope":"__global__","topic":"T","totalQueues":8},"broker-b":{"bname":"broker-b","currIdMap":{1:0},"epoch":2,"scope":"__global__","topic":"T","totalQueues":8}}}"#;

    #[test]
    fn both_dialects_are_written_and_every_field_is_kept() {
        let route = TopicRoute::decode(ROUTE.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(route.encode(Dialect::Fastjson)).unwrap(), ROUTE);
        let standard = String::from_utf8(route.encode(Dialect::Standard)).unwrap();
        assert!(
            standard.contains(r#""brokerAddrs":{"0":"10.0.0.1:10911","1""#),
            "{standard}"
        );
        assert_eq!(TopicRoute::decode(standard.as_bytes()).unwrap(), route);
    }

    #[test]
    fn masters_hide_their_slaves_and_orphaned_slaves_stay() {
        let route = TopicRoute::decode(ROUTE.as_bytes())
            .unwrap()
            .advertised(&|name| Some(format!("p:{}", name.len())));
        let [a, b] = &route.brokers()[..] else {
            panic!("two brokers")
        };
        assert_eq!(a.addresses, BTreeMap::from([(0, "p:8".to_owned())]));
        assert_eq!(b.addresses, BTreeMap::from([(2, "p:8".to_owned())]));
    }

    #[test]
    fn the_owner_of_a_static_queue_has_the_highest_epoch() {
        let route = TopicRoute::decode(ROUTE.as_bytes()).unwrap();
        assert_eq!(
            route.static_owner("__syslo__global__", 0).as_deref(),
            Some("broker-a")
        );
        assert_eq!(
            route.static_owner("__syslo__global__", 1).as_deref(),
            Some("broker-b")
        );
        assert_eq!(route.static_owner("__syslo__global__", 7), None);
        assert_eq!(route.static_owner("__syslo__other", 0), None);
    }

    #[test]
    fn text_beyond_ascii_is_escaped_in_the_standard_dialect() {
        let route = TopicRoute::decode("{\"a\":\"\u{e9}\u{1F600}\"}".as_bytes()).unwrap();
        assert_eq!(route.encode(Dialect::Standard), br#"{"a":"\u00E9\uD83D\uDE00"}"#);
    }
}
