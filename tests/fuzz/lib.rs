//! The wire format alone, mounted from `src/protocol`, with the checks that the integration tests make of every frame; the
//! messages view, mounted from `src/filter/messages`; and what the first bytes of a connection announce, mounted from
//! `src/downstream/opening`.
//!
//! An import out of these breaks this crate: on purpose.

use bytes::{Bytes, BytesMut};
use filter::Way;
use filter::messages::{Messages, PopRequest};
use protocol::body::{
    AckBatch, ClientConfig, ClusterInfo, Dialect, Heartbeat, MessageId, QueueSet, TopicRoute,
    rewrite_store_hosts,
};
use protocol::{Code, Command, Frame};

#[path = "../it/wire/invariants.rs"]
mod invariants;
#[path = "../../src/protocol/mod.rs"]
pub mod protocol;

/// The first bytes of a connection.
#[path = "."]
pub mod downstream {
    #[path = "."]
    pub mod opening {
        #[path = "../../src/downstream/opening/first.rs"]
        mod first;
        #[path = "../../src/downstream/opening/header.rs"]
        mod header;

        /// What they announce does not change with more bytes; a header is shorter than its bytes, and none of them is
        /// needed that comes after it.
        pub fn check(data: &[u8]) {
            let announced = first::look(data);
            for end in 0..data.len().min(32) {
                let earlier = first::look(&data[..end]);
                assert!(
                    earlier == first::First::More || earlier == announced,
                    "{earlier:?} became {announced:?}"
                );
            }
            if announced == first::First::Proxy
                && let Ok(Some((header, length))) = header::parse(data)
            {
                assert!(length <= data.len() && length <= 4 << 10);
                assert_eq!(header::parse(&data[..length]), Ok(Some((header, length))));
                assert_eq!(header::parse(&data[..length - 1]), Ok(None));
            }
        }
    }
}

pub use downstream::opening;

/// What the messages view knows of filters.
#[path = "."]
pub mod filter {
    /// Which way a command travels.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Way {
        /// From the client.
        Request,
        /// Towards the client, as the answer to its request.
        Response,
        /// From a broker to its client.
        Push,
        /// Towards the broker, as the client's answer to its push.
        PushResponse,
        /// There is no command.
        Connection,
    }

    #[path = "../../src/filter/messages/mod.rs"]
    pub mod messages;
}

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

/// The messages inside a command: reading changes nothing, and what is edited and taken out can be read again. The first
/// two bytes choose what carries them; a frame follows.
pub fn messages(data: &[u8]) {
    const CARRIERS: [(Way, i32); 9] = [
        (Way::Request, 10),
        (Way::Request, 310),
        (Way::Request, 320),
        (Way::Response, 11),
        (Way::Response, 200_050),
        (Way::Response, 12),
        (Way::Push, 39),
        (Way::Push, 326),
        (Way::Response, 200_052),
    ];
    let Some(([carrier, choice], rest)) = data.split_first_chunk() else {
        return;
    };
    let (way, code) = CARRIERS[usize::from(*carrier) % CARRIERS.len()];
    let Ok(Some(frame)) = Frame::split(&mut BytesMut::from(rest), LIMIT) else {
        return;
    };
    let Ok(command) = Command::decode(&frame) else {
        return;
    };
    let read = |command: &Command| Messages::read(way, Code(code), command, LIMIT);
    let Ok(Some(same)) = read(&command) else { return };
    let mut written = command.clone();
    same.write(&mut written, None).expect("nothing to write");
    assert_eq!(written, command);
    let mut messages = read(&command).expect("it was read before").expect("messages");
    let mut left = messages.len();
    for index in 0..messages.len().min(64) {
        let _seen = (
            messages.topic(index).map(str::len),
            messages.properties(index).len(),
        );
        let is_set = messages.set_property(index, "name", "value").is_ok();
        let _set = (
            messages.body(index).is_ok(),
            messages.set_body(index, Bytes::from_static(b"new")),
        );
        assert!(!is_set || messages.property(index, "name") == Some("value"));
        if choice >> (index % 8) & 1 == 1 && messages.remove(index).is_ok() {
            left -= 1;
        }
    }
    let pop = PopRequest {
        group: "g".to_owned(),
        topic: "T".to_owned(),
        broker: "b".to_owned(),
        is_ordered: false,
    };
    if messages.write(&mut written, Some(&pop)).is_ok() && left > 0 {
        let again = read(&written).expect("our own writing").expect("messages");
        assert_eq!(again.len(), left);
    }
}
