//! Frames of real clients, brokers and name servers, each in a file of `tests/fixtures/wire`.

use std::path::Path;

use bytes::{Bytes, BytesMut};

use super::invariants;
use super::protocol::body::{
    AckBatch, ClientConfig, ClusterInfo, Dialect, Heartbeat, MessageId, QueueSet, TopicRoute,
    rewrite_store_hosts,
};
use super::protocol::{Command, FRAME_LIMIT, Frame, Head, Kind};

/// A fixture: its name without the ending, its first line, its bytes.
pub(super) struct Fixture {
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// Every fixture, in order of names.
pub(super) fn all() -> Vec<Fixture> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut fixtures: Vec<Fixture> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "hex"))
        .map(|path| read(&path))
        .collect();
    fixtures.sort_by(|left, right| left.name.cmp(&right.name));
    fixtures
}

fn read(path: &Path) -> Fixture {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let (first, digits) = text.split_once('\n').unwrap();
    assert!(
        first.starts_with("# "),
        "{name}: the first line says what this is"
    );
    Fixture {
        name,
        bytes: unhex(digits),
    }
}

pub(super) fn unhex(digits: &str) -> Bytes {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(super) fn frame(bytes: &[u8]) -> Frame {
    let mut buf = BytesMut::from(bytes);
    let frame = Frame::split(&mut buf, FRAME_LIMIT)
        .unwrap()
        .expect("a whole frame");
    assert!(buf.is_empty(), "nothing after the frame");
    frame
}

/// The frames of those fixtures whose name starts with `prefix`; at least one.
fn named(prefix: &str) -> Vec<(String, Frame)> {
    let found: Vec<_> = all()
        .into_iter()
        .filter(|fixture| fixture.name.starts_with(prefix))
        .map(|fixture| (fixture.name, frame(&fixture.bytes)))
        .collect();
    assert!(!found.is_empty(), "no fixture is named {prefix}...");
    found
}

#[test]
fn real_frames_are_decoded_and_encoded_to_the_same_bytes() {
    let fixtures = all();
    assert!(fixtures.len() >= 60, "only {} fixtures", fixtures.len());
    for Fixture { name, bytes } in fixtures {
        let frame = frame(&bytes);
        assert_eq!(frame.to_bytes(), bytes, "{name}: split");
        let command = Command::decode(&frame).unwrap();
        let encoded = command.encode().unwrap();
        assert_eq!(encoded.header(), frame.header(), "{name}: header");
        assert_eq!(encoded.to_bytes(), bytes, "{name}: frame");
    }
}

#[test]
fn real_frames_read_the_same_by_scan_and_by_decoding() {
    for Fixture { bytes, .. } in all() {
        invariants::check(&frame(&bytes));
    }
}

#[test]
fn an_opaque_put_back_gives_the_real_frame_again() {
    for Fixture { name, bytes } in all() {
        let frame = frame(&bytes);
        let head = Head::scan(&frame).unwrap();
        for other in [0, 7, -1, i32::MIN, i32::MAX] {
            let patched = head.with_opaque(frame.clone(), other).unwrap();
            let again = Head::scan(&patched).unwrap();
            assert_eq!(again.opaque, other, "{name}");
            let back = again.with_opaque(patched, head.opaque).unwrap();
            assert_eq!(back.to_bytes(), bytes, "{name}: {other}");
        }
    }
}

#[test]
fn fields_survive_the_other_serialisation_and_back() {
    for Fixture { name, bytes } in all() {
        let original = Command::decode(&frame(&bytes)).unwrap();
        if i16::try_from(original.code.0).is_err() {
            continue;
        }
        let mut command = original.clone();
        for kind in [Kind::Binary, Kind::Json, Kind::Binary, original.kind()] {
            command.set_kind(kind);
            command = Command::decode(&command.encode().unwrap()).unwrap();
            assert_eq!(command.kind(), kind);
        }
        for field in original.ext.iter().flatten() {
            let value = Some(field.value.as_str()).filter(|value| !value.is_empty());
            assert_eq!(command.field(&field.name), value, "{name}: {}", field.name);
        }
        assert_eq!(
            (command.code, command.flag, command.opaque, command.version),
            (original.code, original.flag, original.opaque, original.version),
            "{name}"
        );
        assert_eq!(command.language, original.language, "{name}");
        assert_eq!(command.body, original.body, "{name}");
    }
}

#[test]
fn real_routes_are_written_as_the_name_server_writes_them() {
    for (name, frame) in named("answer-105-0-") {
        let route = TopicRoute::decode(frame.body()).unwrap();
        let dialect = if name.ends_with("-fastjson") {
            Dialect::Fastjson
        } else {
            Dialect::Standard
        };
        let written = String::from_utf8(route.encode(dialect)).unwrap();
        assert_eq!(written, String::from_utf8_lossy(frame.body()), "{name}");
        assert!(!route.brokers().is_empty(), "{name}");
        assert!(!route.queues().is_empty(), "{name}");
    }
    for (name, frame) in named("answer-106-") {
        let table = ClusterInfo::decode(frame.body()).unwrap();
        let written = String::from_utf8(table.encode()).unwrap();
        assert_eq!(written, String::from_utf8_lossy(frame.body()), "{name}");
        assert!(!table.brokers().is_empty(), "{name}");
    }
}

#[test]
fn real_bodies_are_understood() {
    for (name, frame) in named("request-34-") {
        // A client that beats without its subscriptions ("withoutSub") still has an id and a group.
        let heartbeat = Heartbeat::decode(frame.body()).unwrap();
        assert!(!heartbeat.client_id.is_empty(), "{name}");
        assert!(
            heartbeat.producers().count() + heartbeat.consumers().len() > 0,
            "{name}"
        );
    }
    for prefix in ["request-41-", "request-42-"] {
        for (name, frame) in named(prefix) {
            let sets = QueueSet::decode(frame.body()).unwrap().by_broker(&|_, _, _| None);
            assert!(sets.contains_key("broker-a"), "{name}: {sets:?}");
        }
    }
    for (name, frame) in named("answer-41-") {
        let queues = QueueSet::decode(frame.body()).unwrap().locked();
        assert!(!queues.is_empty(), "{name}");
    }
    for prefix in ["request-46-", "request-400-"] {
        for (name, frame) in named(prefix) {
            assert!(
                !ClientConfig::decode(frame.body()).unwrap().topic().is_empty(),
                "{name}"
            );
        }
    }
    let batch = br#"{"acks":[],"brokerName":"broker-a","consumerGroup":"g","topic":"T1"}"#;
    assert_eq!(AckBatch::decode(batch).unwrap().broker_name, "broker-a");
}

#[test]
fn store_hosts_of_real_messages_are_replaced_and_nothing_else() {
    for prefix in ["answer-11-0-", "answer-361-0-", "answer-200050-0-", "request-39-"] {
        for (name, frame) in named(prefix) {
            let body = frame.body_bytes();
            let ours = "127.0.0.1:29911".parse().unwrap();
            let other = "10.1.2.3:12345".parse().unwrap();
            assert_eq!(rewrite_store_hosts(&body, ours), body, "{name}: the same host");
            let edited = rewrite_store_hosts(&body, other);
            assert_ne!(edited, body, "{name}: another host");
            assert_eq!(rewrite_store_hosts(&edited, ours), body, "{name}: and back");
        }
    }
}

#[test]
fn offset_message_ids_of_real_answers_are_read() {
    for (name, frame) in named("answer-310-0-") {
        let command = Command::decode(&frame).unwrap();
        let text = command.field("msgId").unwrap();
        let id = MessageId::parse(text).unwrap();
        assert_eq!(id.host.port(), 29_911, "{name}");
        assert_eq!(id.to_string(), text, "{name}");
    }
}

/// Vectors made from the description of the format, independently of any program.
#[test]
fn the_vectors_of_the_format_are_decoded() {
    let json = Command::decode(&frame(&unhex(
        "000000800000007c7b22636f6465223a3130352c226578744669656c6473223a7b22746f706963223a225431227d2c22666c6167223a302c\
         226c616e6775616765223a224a415641222c226f7061717565223a372c2273657269616c697a655479706543757272656e74525043223a22\
         4a534f4e222c2276657273696f6e223a3437397d",
    )))
    .unwrap();
    let binary = Command::decode(&frame(&unhex(
        "000000260100002200690001df0000000700000000000000000000000d0005746f706963000000025431",
    )))
    .unwrap();
    invariants::assert_same(&json, &binary, "one command, two serialisations");
    assert_eq!((json.code.0, json.opaque, json.version), (105, 7, 479));
    assert_eq!(json.field("topic"), Some("T1"));
    let answer = frame(&unhex(
        "0000001b0100001500000001df000000070000000100000000000000007b7d",
    ));
    let head = Head::scan(&answer).unwrap();
    assert!(head.is_response() && !head.is_oneway());
    assert_eq!(answer.body(), b"{}");
    assert_eq!(Command::decode(&answer).unwrap().ext, None);
    let oneway = frame(&unhex(
        "0000003901000035000f0c01df000000090000000200000000000000200005626e616d650000000862726f6b65722d610005746f706963\
         000000025431",
    ));
    let head = Head::scan(&oneway).unwrap();
    assert!(head.is_oneway() && !head.is_response());
    assert_eq!((head.code.0, head.language.name(), head.opaque), (15, "RUST", 9));
    assert_eq!(head.fields(&oneway).find("bname").as_deref(), Some("broker-a"));
    for frame in [answer, oneway] {
        assert_eq!(
            Command::decode(&frame).unwrap().encode().unwrap().to_bytes(),
            frame.to_bytes()
        );
    }
}
