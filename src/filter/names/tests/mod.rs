//! Claims about whole commands: golden frames of real clients and brokers, and hostile ones.

mod bodies;
mod messages;

use std::path::Path;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::protocol::{FRAME_LIMIT, Frame};

const NOBODY: &Reserved<'static> = &|_| false;

/// Prefixes `A%` for topics and `B-` for groups; the topic `TT` has a name of its own.
fn mapping() -> Mapping {
    let mut mapping = Mapping::default();
    mapping.set_topic_prefix("A%").unwrap();
    mapping.set_group_prefix("B-").unwrap();
    mapping.map_topic("TT", "other").unwrap();
    mapping
}

fn frame(name: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/wire")
        .join(format!("{name}.hex"));
    let text = std::fs::read_to_string(path).unwrap();
    let digits: String = text.lines().skip(1).collect();
    let bytes: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let mut buf = BytesMut::from(&bytes[..]);
    Command::decode(&Frame::split(&mut buf, FRAME_LIMIT).unwrap().unwrap()).unwrap()
}

fn names() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "hex"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn bytes(command: &Command) -> Vec<u8> {
    let frame = command.encode().unwrap();
    [frame.header(), frame.body()].concat()
}

fn body(command: &Command) -> &str {
    std::str::from_utf8(&command.body).unwrap()
}

fn sent(name: &str) -> Command {
    let mut command = frame(name);
    assert!(
        request_to_broker(&mapping(), NOBODY, &mut command).unwrap(),
        "{name}"
    );
    command
}

/// Frames of clients, with ext fields as they are at the broker.
const AT_BROKER: &[(&str, &[(&str, &str)])] = &[
    (
        "request-10-go-2.1.2-json",
        &[
            ("producerGroup", "B-p_ggo1"),
            ("topic", "A%TGO"),
            ("defaultTopic", "TBW102"),
        ],
    ),
    (
        "request-310-java-5.5.0-binary",
        &[("c", "TBW102"), ("n", "broker-a")],
    ),
    (
        "request-320-java-5.5.0-json",
        &[("a", "B-p_gbJSON"), ("b", "A%T1"), ("c", "TBW102"), ("e", "0")],
    ),
    (
        "request-325-java-5.5.0-json",
        &[("a", "B-r_grrJSON"), ("b", "DefaultCluster_REPLY_TOPIC")],
    ),
    (
        "request-324-go-2.1.2-json",
        &[
            ("producerGroup", "B-r_ggo7"),
            ("topic", "DefaultCluster_REPLY_TOPIC"),
        ],
    ),
    (
        "request-35-java-5.5.0-binary",
        &[
            ("consumerGroup", "B-gpROCKETMQ"),
            ("clientID", "192.0.2.2@c_24137@STREAM"),
        ],
    ),
    (
        "request-36-java-5.5.0-json",
        &[("group", "B-grJSON"), ("originTopic", "A%T1")],
    ),
    (
        "request-200050-java-5.5.0-json",
        &[("consumerGroup", "B-g_pop"), ("topic", "A%TPOP"), ("exp", "*")],
    ),
    (
        "request-370-java-5.5.0-json",
        &[
            ("producerGroup", "B-p_grcJSON"),
            ("topic", "A%T1"),
            (
                "recallHandle",
                "djEgQSVUMSBicm9rZXItYSAxNzk1NDM5MDkyMDAxIEZEMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAyNTk3ODMwOTQ2RTA5NzQxQTYzRDIwMDAx",
            ),
        ],
    ),
];

#[test]
fn ext_fields_of_every_request_are_mapped() {
    for (name, fields) in AT_BROKER {
        let command = sent(name);
        for (field, value) in *fields {
            assert_eq!(command.field(field), Some(*value), "{name}: {field}");
        }
    }
}

#[test]
fn every_golden_request_with_a_name_changes_and_nothing_else_does() {
    let untouched = ["106", "203", "208", "222", "300", "351", "307-mqadmin"];
    for name in names().iter().filter(|name| name.starts_with("request-")) {
        let mut command = frame(name);
        let before = bytes(&command);
        let pushed = name.contains("-broker-");
        let changed = if pushed {
            push_to_client(&mapping(), NOBODY, &mut command)
        } else {
            request_to_broker(&mapping(), NOBODY, &mut command)
        };
        assert_eq!(
            changed.unwrap(),
            before != bytes(&command),
            "{name}: it says what it did"
        );
        let admin = untouched
            .iter()
            .any(|code| name.starts_with(&format!("request-{code}-")));
        if !pushed && !admin {
            assert_ne!(before, bytes(&command), "{name}");
        }
        if admin {
            assert_eq!(before, bytes(&command), "{name}: codes of admin tools stay");
        }
    }
}

#[test]
fn without_a_mapping_every_golden_frame_keeps_its_bytes() {
    let none = Mapping::default();
    for name in names() {
        let mut command = frame(&name);
        let before = command.clone();
        let asked = Asked::of(&before);
        assert!(!request_to_broker(&none, NOBODY, &mut command).unwrap());
        assert!(!response_to_client(&none, NOBODY, &asked, &mut command).unwrap());
        assert!(!push_to_client(&none, NOBODY, &mut command).unwrap());
        assert!(!push_answer_to_broker(&none, NOBODY, rq::GET_CONSUMER_RUNNING_INFO, &mut command).unwrap());
        assert_eq!(bytes(&command), bytes(&before), "{name}");
    }
}

#[test]
fn retry_topics_of_a_popping_group_are_known_by_the_group_of_the_request() {
    let mut ack = Command::request(rq::ACK_MESSAGE, 1)
        .with_field("topic", "%RETRY%g_t")
        .with_field("consumerGroup", "g");
    request_to_broker(&mapping(), NOBODY, &mut ack).unwrap();
    assert_eq!(ack.field("topic"), Some("%RETRY%B-g_A%t"));
    let mut pull = Command::request(rq::PULL_MESSAGE, 1)
        .with_field("topic", "%RETRY%g_t")
        .with_field("consumerGroup", "g_t");
    request_to_broker(&mapping(), NOBODY, &mut pull).unwrap();
    assert_eq!(pull.field("topic"), Some("%RETRY%B-g_t"));
}

#[test]
fn recall_handles_of_send_answers_name_the_clients_topic() {
    let mut answer = frame("answer-310-0-broker-5.5.0-json");
    let client_handle = answer.field("recallHandle").unwrap().to_owned();
    let mut request =
        Command::request(rq::RECALL_MESSAGE, 1).with_field("recallHandle", client_handle.as_str());
    request_to_broker(&mapping(), NOBODY, &mut request).unwrap();
    let broker_handle = request.field("recallHandle").unwrap().to_owned();
    assert_ne!(broker_handle, client_handle);
    answer.set_field("recallHandle", broker_handle);
    let asked = Asked {
        code: rq::SEND_MESSAGE_V2,
        topic: Some("T1"),
        group: None,
    };
    assert!(response_to_client(&mapping(), NOBODY, &asked, &mut answer).unwrap());
    assert_eq!(answer.field("recallHandle"), Some(&*client_handle));
}

#[test]
fn remarks_of_failures_name_what_the_client_asked_for() {
    let request = frame("request-38-java-5.5.0-json");
    let mut answer = frame("answer-38-1-broker-5.5.0-json");
    let group = request.field("consumerGroup").unwrap();
    answer.remark = Some(format!("no consumer for this group, B-{group}; %RETRY%B-{group}").into());
    response_to_client(&mapping(), NOBODY, &Asked::of(&request), &mut answer).unwrap();
    assert_eq!(
        answer.remark.unwrap().as_str(),
        format!("no consumer for this group, {group}; %RETRY%{group}")
    );
}

#[test]
fn a_request_that_cannot_be_mapped_is_an_error() {
    let long = "t".repeat(126);
    let mut command = Command::request(rq::GET_MAX_OFFSET, 1).with_field("topic", long.as_str());
    let error = request_to_broker(&mapping(), NOBODY, &mut command).unwrap_err();
    assert!(
        matches!(
            error,
            NameError::TooLong {
                what: Named::Topic,
                length: 128,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn the_order_of_queues_is_asked_for_by_the_topic_at_the_broker() {
    let mut ask = Command::request(rq::GET_KV_CONFIG, 1)
        .with_field("namespace", "ORDER_TOPIC_CONFIG")
        .with_field("key", "t");
    request_to_broker(&mapping(), NOBODY, &mut ask).unwrap();
    assert_eq!(ask.field("key"), Some("A%t"));
    let mut other = Command::request(rq::GET_KV_CONFIG, 1)
        .with_field("namespace", "x")
        .with_field("key", "t");
    assert!(!request_to_broker(&mapping(), NOBODY, &mut other).unwrap());
}

proptest! {
    #[test]
    fn to_the_broker_and_back_is_the_same_name(
        topic in "(%RETRY%|%DLQ%|%LMQ%)?[a-zA-Z0-9_%|-]{1,40}(\\+[a-z]{1,9})?",
        group in "[a-zA-Z0-9_%|-]{1,40}",
        prefixes in ("[a-z%-]{0,3}", "[a-z%-]{0,3}"),
        table in proptest::collection::vec(("[a-d]{1,2}", "[a-d]{1,2}"), 0..4),
    ) {
        let mut mapping = Mapping::default();
        mapping.set_topic_prefix(&prefixes.0).unwrap();
        mapping.set_group_prefix(&prefixes.1).unwrap();
        for (client, broker) in &table {
            // What cannot be reversed is refused.
            let _refused = mapping.map_topic(client, broker).and(mapping.map_group(client, broker));
        }
        for name in table.iter().flat_map(|(client, broker)| [client, broker]).chain([&topic]) {
            if let Ok(broker) = mapping.topic_at_broker(NOBODY, name) {
                prop_assert_eq!(mapping.topic_at_client(NOBODY, &broker), name.as_str());
            }
        }
        if let Ok(broker) = mapping.group_at_broker(&group) {
            prop_assert_eq!(mapping.group_at_client(&broker), group.as_str());
        }
    }

    #[test]
    fn hostile_commands_never_panic(
        code in proptest::sample::select(vec![
            10, 310, 320, 11, 12, 33, 34, 41, 46, 105, 400, 370, 39, 40, 220, 221, 307, 309, 326, 200_050, 200_151,
        ]),
        fields in proptest::collection::vec(("[a-i]|topic|properties|recallHandle|consumerGroup|m", ".{0,30}"), 0..8),
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut command = Command::request(Code(code), 1).with_body(body);
        for (name, value) in &fields {
            command.set_field(name, value.as_str());
        }
        let request = command.clone();
        let _to_broker = request_to_broker(&mapping(), NOBODY, &mut command.clone());
        let _pushed = push_to_client(&mapping(), NOBODY, &mut command.clone());
        let _answered = push_answer_to_broker(&mapping(), NOBODY, Code(code), &mut command.clone());
        command.code = Code(0);
        let _to_client = response_to_client(&mapping(), NOBODY, &Asked::of(&request), &mut command);
    }
}
