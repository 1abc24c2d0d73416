//! The wire format alone, mounted from `src/protocol`, with the checks that the integration tests make of every frame.
//!
//! An import out of `protocol` breaks this crate: on purpose.

use bytes::Bytes;
use protocol::body::{
    AckBatch, ClientConfig, ClusterInfo, Dialect, Heartbeat, MessageId, QueueSet, TopicRoute,
    rewrite_store_hosts,
};

#[path = "../it/wire/invariants.rs"]
mod invariants;
#[path = "../../src/protocol/mod.rs"]
pub mod protocol;

/// Largest frame looked at, bytes: enough for every shape, small enough to be quick.
const LIMIT: usize = 64 << 10;

/// A stream of frames: split, scan, decode, encode, replace opaques.
pub fn frame(data: &[u8]) {
    let _frames = invariants::check_stream(data, LIMIT);
}

/// Routes and cluster tables: decode, rewrite, encode in both dialects, decode again.
pub fn body_route(data: &[u8]) {
    if let Ok(route) = TopicRoute::decode(data) {
        let ours = route.advertised(&|name| Some(format!("{name}:1")));
        for dialect in [Dialect::Fastjson, Dialect::Standard] {
            let again = TopicRoute::decode(&ours.encode(dialect)).expect("our own writing");
            assert_eq!(again.brokers(), ours.brokers());
            assert_eq!(again.queues(), ours.queues());
        }
        for queue in route.queues() {
            let _owner = route.static_owner(&queue.broker, queue.write_queues);
        }
    }
    if let Ok(table) = ClusterInfo::decode(data) {
        let ours = table.advertised(&|name| Some(format!("{name}:1")));
        let again = ClusterInfo::decode(&ours.encode()).expect("our own writing");
        assert_eq!(again.brokers(), ours.brokers());
    }
}

/// Bodies of clients: heartbeats, queue locks, batch acks, client checks; and message ids.
pub fn body_client(data: &[u8]) {
    if let Ok(heartbeat) = Heartbeat::decode(data) {
        let topics = heartbeat.consumers().iter().flat_map(|group| group.topics());
        assert!(topics.eq(heartbeat.topics()));
        let _producers = heartbeat.producers().count();
    }
    if let Ok(queues) = QueueSet::decode(data) {
        for part in queues.by_broker(&|_, _, _| None).values() {
            QueueSet::decode(part).expect("our own writing");
        }
    }
    let _ack = AckBatch::decode(data);
    let _config = ClientConfig::decode(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(id) = MessageId::parse(text)
    {
        assert_eq!(id.to_string(), text.to_uppercase());
    }
}

/// Stored messages: the store host is replaced in place, once is enough, and back is where it came from.
pub fn records(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    for host in ["10.1.2.3:4", "[fe80::1]:4"] {
        let host = host.parse().expect("an address");
        let edited = rewrite_store_hosts(&body, host);
        assert_eq!(edited.len(), body.len());
        assert_eq!(rewrite_store_hosts(&edited, host), edited);
    }
}
