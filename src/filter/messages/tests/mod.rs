//! Messages in real frames: read, edited, taken out, written back.

mod hostile;
mod pop;

use bytes::BytesMut;

use super::*;
use crate::protocol::{Frame, Kind, request, response};

const LIMIT: usize = 1 << 20;
const SEND: Code = request::SEND_MESSAGE_V2;

/// A fixture, with the way it travels and the code of its request.
fn fixture(name: &str) -> (Way, Code, Command) {
    let path = format!("{}/tests/fixtures/wire/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::bytes)
        .collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let frame = Frame::split(&mut BytesMut::from(&bytes[..]), FRAME_LIMIT)
        .unwrap()
        .unwrap();
    let code = Code(name.split('-').nth(1).unwrap().parse().unwrap());
    let way = match name {
        _ if name.starts_with("answer") => Way::Response,
        _ if name.contains("-broker-") => Way::Push,
        _ => Way::Request,
    };
    (way, code, Command::decode(&frame).unwrap())
}

fn read(way: Way, code: Code, command: &Command) -> Messages {
    Messages::read(way, code, command, LIMIT).unwrap().unwrap()
}

/// A record like those of the fixtures, at another place.
fn record(queue: i32, offset: i64, topic: &str, properties: &[(&str, &str)]) -> Bytes {
    let (_, _, command) = fixture("answer-11-0-broker-5.5.0-json");
    let mut bytes = BytesMut::from(&command.body[..]);
    bytes[12..16].copy_from_slice(&queue.to_be_bytes());
    bytes[20..28].copy_from_slice(&offset.to_be_bytes());
    let mut record = StoredMessage::decode_all(&bytes.freeze()).unwrap().remove(0);
    record.set_topic(topic).unwrap();
    for (name, value) in properties {
        record.properties_mut().set(name, value).unwrap();
    }
    StoredMessage::encode_all([&record]).unwrap()
}

/// A stored record with these bits in `sysFlag`.
fn flagged(sys_flag: i32, body: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&record(0, 0, "T", &[])[..]);
    bytes[36..40].copy_from_slice(&0_i32.to_be_bytes());
    let mut record = StoredMessage::decode_all(&bytes.freeze()).unwrap().remove(0);
    record.set_body(body.clone()).unwrap();
    let mut bytes = BytesMut::from(&StoredMessage::encode_all([&record]).unwrap()[..]);
    bytes[36..40].copy_from_slice(&sys_flag.to_be_bytes());
    bytes.freeze()
}

fn answer(body: impl Into<Bytes>) -> Command {
    Command::request(response::SUCCESS, 1)
        .with_field("nextBeginOffset", "7")
        .with_body(body)
}

/// Everything that can be read of every message.
fn look_at_all(messages: &Messages) {
    for index in 0..=messages.len() {
        let _ = (messages.topic(index), messages.tags(index), messages.keys(index));
        let _seen = (messages.properties(index), messages.body(index));
        let _ = (messages.queue_offset(index), messages.reconsume_times(index));
        let _ = (messages.born_timestamp(index), messages.body_size(index));
    }
}

#[test]
fn real_commands_carry_what_they_should() {
    for (name, count, topic) in [
        ("request-10-go-2.1.2-json", 1, "TGO"),
        ("request-10-go-2173d07-json", 1, "TGO"),
        ("request-310-java-4.4.0-json", 1, "T1"),
        ("request-310-java-4.9.8-binary", 1, "T1"),
        ("request-310-java-5.5.0-json", 1, "T1"),
        ("request-320-java-5.5.0-json", 4, "T1"),
        ("request-320-java-5.5.0-binary", 4, "T1"),
        ("request-325-java-5.5.0-json", 1, "DefaultCluster_REPLY_TOPIC"),
        ("request-324-go-2.1.2-json", 1, "DefaultCluster_REPLY_TOPIC"),
        ("request-326-broker-5.5.0-json", 1, "DefaultCluster_REPLY_TOPIC"),
        ("request-39-broker-5.5.0-json", 1, "TTX"),
        ("request-309-broker-5.5.0-json", 1, "T1"),
        ("answer-11-0-broker-5.5.0-json", 1, "TGO"),
        ("answer-361-0-broker-5.5.0-json", 5, "T1"),
        ("answer-12-0-broker-5.5.0-json", 1, "T1"),
        ("answer-200050-0-broker-5.5.0-json", 4, "TPOP"),
    ] {
        let (way, code, mut command) = fixture(name);
        let before = command.clone();
        let messages = read(way, code, &command);
        assert_eq!(messages.len(), count, "{name}");
        look_at_all(&messages);
        for index in 0..count {
            assert_eq!(messages.topic(index), Some(topic), "{name}");
            assert!(messages.property(index, "UNIQ_KEY").is_some(), "{name}");
            assert!(messages.born_timestamp(index) > 1_700_000_000_000, "{name}");
            assert_eq!(
                messages.queue_offset(index).is_some(),
                way == Way::Response || matches!(code.0, 39 | 309)
            );
            assert_eq!(messages.body(index).unwrap().len(), messages.body_size(index));
        }
        assert_eq!(messages.topic(count), None);
        assert!(messages.write(&mut command, None).unwrap().is_empty());
        assert_eq!(command, before, "{name}");
        assert_eq!(command.encode().unwrap(), before.encode().unwrap(), "{name}");
    }
}

#[test]
fn other_commands_carry_none() {
    for name in [
        "answer-11-19-broker-5.5.0-json",
        "answer-310-0-broker-5.5.0-json",
        "answer-34-0-broker-5.5.0-json",
        "request-11-java-5.5.0-json",
        "request-37-java-5.5.0-json",
        "request-40-broker-5.5.0-json",
        "request-200050-java-5.5.0-json",
    ] {
        let (way, code, command) = fixture(name);
        assert!(
            Messages::read(way, code, &command, LIMIT).unwrap().is_none(),
            "{name}"
        );
    }
}

#[test]
fn edits_are_read_back_by_the_other_side() {
    for name in [
        "request-10-go-2.1.2-json",
        "request-310-java-5.5.0-json",
        "request-310-java-5.5.0-binary",
        "request-320-java-5.5.0-binary",
        "request-326-broker-5.5.0-json",
        "request-39-broker-5.5.0-json",
        "answer-361-0-broker-5.5.0-json",
        "answer-200050-0-broker-5.5.0-json",
    ] {
        let (way, code, mut command) = fixture(name);
        let before = command.clone();
        let mut messages = read(way, code, &command);
        let last = messages.len() - 1;
        messages.set_property(last, "tenant", "a").unwrap();
        assert!(messages.remove_property(last, "UNIQ_KEY").unwrap());
        messages
            .set_body(last, Bytes::from_static(b"another body"))
            .unwrap();
        assert!(messages.is_changed());
        messages.write(&mut command, None).unwrap();
        let command = Command::decode(&command.encode().unwrap()).unwrap();
        let again = read(way, code, &command);
        assert_eq!(again.property(last, "tenant"), Some("a"), "{name}");
        assert_eq!(again.property(last, "UNIQ_KEY"), None, "{name}");
        assert_eq!(again.body(last).unwrap(), "another body", "{name}");
        let original = read(way, code, &before);
        for index in 0..last {
            assert_eq!(again.properties(index), original.properties(index), "{name}");
            assert_eq!(again.body(index), original.body(index), "{name}");
        }
        let info = |command: &Command| command.field("msgOffsetInfo").map(str::to_owned);
        assert_eq!(info(&command), info(&before));
    }
}

#[test]
fn a_batch_is_told_by_its_field_and_not_by_its_code() {
    let (way, code, command) = fixture("request-320-java-5.5.0-json");
    assert_eq!(read(way, SEND, &command).len(), 4);
    let single = command.clone().with_field("m", "false");
    assert_eq!(read(way, code, &single).len(), 1);
    // Brokers take every reply for a single message.
    let reply = request::SEND_REPLY_MESSAGE_V2;
    assert_eq!(read(way, reply, &command).len(), 1);
}

#[test]
fn a_batch_keeps_its_last_message() {
    let (way, code, mut command) = fixture("request-320-java-5.5.0-json");
    let mut messages = read(way, code, &command);
    let keys = messages.keys(2).unwrap().to_owned();
    for index in [0, 1, 3] {
        messages.remove(index).unwrap();
    }
    let kept = MessageError::Kept {
        index: 2,
        why: Keep::LastOfSend,
    };
    assert_eq!(messages.remove(2), Err(kept));
    assert_eq!(
        messages.remove(1),
        Err(MessageError::NoMessage { index: 1, count: 4 })
    );
    assert_eq!((messages.len(), messages.topic(1)), (4, None));
    messages.write(&mut command, None).unwrap();
    let again = read(way, code, &command);
    assert_eq!((again.len(), again.keys(0)), (1, Some(&*keys)));
}

#[test]
fn what_somebody_waits_for_is_not_removed() {
    for (name, why) in [
        ("request-310-java-5.5.0-json", Keep::LastOfSend),
        ("request-326-broker-5.5.0-json", Keep::Pushed),
        ("request-39-broker-5.5.0-json", Keep::Pushed),
        ("request-309-broker-5.5.0-json", Keep::Pushed),
    ] {
        let (way, code, command) = fixture(name);
        let kept = MessageError::Kept { index: 0, why };
        assert_eq!(read(way, code, &command).remove(0), Err(kept), "{name}");
    }
    let viewed = answer(record(0, 0, "T", &[]));
    let kept = MessageError::Kept {
        index: 0,
        why: Keep::Viewed,
    };
    assert_eq!(
        read(Way::Response, request::VIEW_MESSAGE_BY_ID, &viewed).remove(0),
        Err(kept)
    );
}

#[test]
fn a_pull_goes_on_behind_what_was_removed() {
    let body = [record(0, 5, "T", &[]), record(0, 6, "T", &[])];
    let mut command = answer(body.concat());
    let mut messages = read(Way::Response, request::PULL_MESSAGE, &command);
    messages.remove(0).unwrap();
    messages.write(&mut command, None).unwrap();
    assert_eq!(command.body, body[1]);
    assert_eq!(
        (command.code, command.field("nextBeginOffset")),
        (response::SUCCESS, Some("7"))
    );
}

#[test]
fn an_answer_of_which_nothing_is_left_says_so() {
    for (code, wanted) in [
        (request::PULL_MESSAGE, response::PULL_RETRY_IMMEDIATELY),
        (request::LITE_PULL_MESSAGE, response::PULL_RETRY_IMMEDIATELY),
        (request::PEEK_MESSAGE, response::PULL_NOT_FOUND),
        (request::QUERY_MESSAGE, response::QUERY_NOT_FOUND),
    ] {
        let mut command = answer(record(0, 5, "T", &[]));
        let mut messages = read(Way::Response, code, &command);
        messages.remove(0).unwrap();
        messages.write(&mut command, None).unwrap();
        assert_eq!(
            (command.code, command.field("nextBeginOffset")),
            (wanted, Some("7"))
        );
        assert!(command.body.is_empty());
    }
}

#[test]
fn compressed_bodies_are_read_and_written_as_they_were() {
    let long = Bytes::from(vec![b'x'; 10_000]);
    for (sys_flag, compression) in [
        (0x1, Compression::Zlib),
        (0x301, Compression::Zlib),
        (0x101, Compression::Lz4),
        (0x201, Compression::Zstd),
    ] {
        let compressed = compression.compress(&long).unwrap();
        let sent = Command::request(SEND, 1)
            .with_field("f", sys_flag.to_string())
            .with_body(compressed.clone());
        let stored = answer(flagged(sys_flag, &compressed));
        for (way, code, command) in [
            (Way::Request, SEND, sent),
            (Way::Response, request::PULL_MESSAGE, stored),
        ] {
            let mut messages = read(way, code, &command);
            assert_eq!(messages.body(0).unwrap(), long);
            assert_eq!(messages.body_size(0), compressed.len());
            messages.set_body(0, long.clone()).unwrap();
            assert!(!messages.is_changed(), "the same body");
            messages.set_body(0, Bytes::from(vec![b'y'; 9_000])).unwrap();
            assert!(messages.body_size(0) < 1_000);
            let mut edited = command.clone();
            messages.write(&mut edited, None).unwrap();
            let again = read(way, code, &edited);
            assert_eq!(again.body(0).unwrap(), vec![b'y'; 9_000]);
            let small = Messages::read(way, code, &command, 9_999).unwrap().unwrap();
            assert_eq!(
                small.body(0),
                Err(MessageError::Compression {
                    index: 0,
                    why: crate::protocol::body::CompressionError::TooLarge { limit: 9_999 }
                })
            );
        }
    }
}

#[test]
fn an_inner_batch_shows_its_properties_only() {
    let command = answer(flagged(0xC0, &Bytes::from_static(b"items")));
    let mut messages = read(Way::Response, request::PULL_MESSAGE, &command);
    let inner = MessageError::Edit {
        index: 0,
        why: EditError::InnerBatch,
    };
    assert_eq!(messages.body(0), Err(inner.clone()));
    assert_eq!(messages.set_body(0, Bytes::from_static(b"x")), Err(inner));
    assert!(messages.tags(0).is_some());
    messages.set_property(0, "a", "1").unwrap();
}

#[test]
fn what_would_not_be_read_is_refused() {
    let (way, code, mut command) = fixture("request-310-java-5.5.0-json");
    let before = command.clone();
    let mut messages = read(way, code, &command);
    assert_eq!(
        messages.set_body(0, Bytes::new()),
        Err(MessageError::EmptyBody { index: 0 })
    );
    assert!(matches!(
        messages.set_property(0, "a", "\u{2}"),
        Err(MessageError::Edit { index: 0, .. })
    ));
    let huge = Bytes::from(vec![0; FRAME_LIMIT + 1]);
    assert!(matches!(
        messages.set_body(0, huge),
        Err(MessageError::TooLarge { .. })
    ));
    assert!(matches!(
        messages.set_property(9, "a", "b"),
        Err(MessageError::NoMessage { index: 9, count: 1 })
    ));
    messages.write(&mut command, None).unwrap();
    assert_eq!(command, before);
    let cut = answer(record(0, 0, "T", &[]).slice(..50));
    let error = Messages::read(Way::Response, request::PULL_MESSAGE, &cut, LIMIT).unwrap_err();
    assert!(error.to_string().contains("at byte 48"), "{error}");
}

#[test]
fn the_own_topic_is_told_in_retries_of_every_kind() {
    for (stored, properties, wanted) in [
        ("%RETRY%g", &[("RETRY_TOPIC", "T")][..], "T"),
        ("%RETRY%g+T", &[], "T"),
        ("%RETRY%g_T", &[], "T"),
        ("%DLQ%g", &[("RETRY_TOPIC", "T")], "T"),
    ] {
        let command = answer(record(0, 0, stored, properties));
        let messages = read(Way::Response, request::PULL_MESSAGE, &command).popped_by("g");
        assert_eq!(messages.topic(0), Some(wanted), "{stored}");
    }
    let sent = Command::request(SEND, 1)
        .with_field("b", "%RETRY%g")
        .with_field("i", "RETRY_TOPIC\u{1}T");
    assert_eq!(read(Way::Request, SEND, &sent).topic(0), Some("T"));
}

#[test]
fn an_emptied_property_string_is_not_sent() {
    let mut command = Command::request(SEND, 1)
        .with_field("i", "a\u{1}1\u{2}")
        .with_body("x");
    command.set_kind(Kind::Binary);
    let mut messages = read(Way::Request, SEND, &command);
    assert!(messages.remove_property(0, "a").unwrap());
    assert!(!messages.remove_property(0, "a").unwrap());
    messages.write(&mut command, None).unwrap();
    assert!(command.ext.unwrap().is_empty());
    assert_eq!(command.body, "x");
}
