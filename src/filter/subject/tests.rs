//! Messages of a command under decision keep their numbers while a filter looks at it.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::protocol::FRAME_LIMIT;

/// A recorded request of a client.
fn recorded(name: &str) -> Subject {
    let path = format!("{}/tests/fixtures/wire/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<u8> = lines.flat_map(str::bytes).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    let frame = Frame::split(&mut BytesMut::from(&bytes[..]), FRAME_LIMIT);
    let frame = frame.unwrap().unwrap();
    let head = Head::scan(&frame).unwrap();
    let client = Client::new(SocketAddr::from(([10, 0, 0, 1], 5000)), "inside".into(), 3);
    let mut subject = Subject::request(Way::Request, head, frame, Arc::new(client));
    subject.show(1, true);
    subject
}

fn body(subject: &mut Subject, index: usize) -> Option<Bytes> {
    subject.messages().unwrap().unwrap().body(index).ok()
}

#[test]
fn messages_keep_their_numbers_whatever_is_read_of_the_command() {
    let mut subject = recorded("request-320-java-5.5.0-json");
    let size = subject.body_size();
    let count = subject.messages().unwrap().unwrap().len();
    let second = body(&mut subject, 1);
    subject.messages_mut().unwrap().unwrap().remove(0).unwrap();
    assert!(subject.topic().is_some() && subject.field("b").is_some());
    assert!(subject.body_size() < size && subject.body().len() < size && !subject.fields().is_empty());
    subject.set_remark("looked at");
    assert!(!subject.accesses().is_empty());
    assert_eq!(
        subject.messages().unwrap().unwrap().len(),
        count,
        "removed ones count"
    );
    assert_eq!(body(&mut subject, 0), None);
    assert_eq!(body(&mut subject, 1), second);
    subject.settle().unwrap();
    subject.show(2, true);
    assert_eq!(subject.messages().unwrap().unwrap().len(), count - 1);
    assert_eq!(body(&mut subject, 0), second, "the next filter sees what is left");
}

#[test]
fn a_changed_ext_field_numbers_messages_anew() {
    let mut subject = recorded("request-320-java-5.5.0-json");
    let count = subject.messages().unwrap().unwrap().len();
    let second = body(&mut subject, 1);
    subject.messages_mut().unwrap().unwrap().remove(0).unwrap();
    subject.set_field("mark", "1");
    assert_eq!(subject.messages().unwrap().unwrap().len(), count - 1);
    assert_eq!(body(&mut subject, 0), second);
}

#[test]
fn what_messages_became_is_in_fields_and_body() {
    for form in ["json", "binary"] {
        let mut subject = recorded(&format!("request-310-java-5.5.0-{form}"));
        let messages = subject.messages_mut().unwrap().unwrap();
        messages.set_property(0, "mark", "1").unwrap();
        messages.set_body(0, "new".into()).unwrap();
        assert!(subject.field("i").unwrap().contains("mark\u{1}1"));
        assert!(
            subject
                .fields()
                .iter()
                .any(|(name, value)| name == "i" && value.contains("mark\u{1}1"))
        );
        assert_eq!(subject.body(), "new");
        subject
            .messages_mut()
            .unwrap()
            .unwrap()
            .set_body(0, "newer".into())
            .unwrap();
        assert_eq!(
            (subject.body_size(), subject.body()),
            (5, Bytes::from_static(b"newer"))
        );
        let parts = subject.into_parts().unwrap();
        assert!(parts.is_changed && parts.frame.body() == b"newer");
    }
}

#[test]
fn a_command_that_nobody_would_accept_is_a_failure() {
    let mut subject = recorded("request-310-java-5.5.0-json");
    subject.set_body(vec![0; FRAME_LIMIT].into());
    let failure = subject.settle().unwrap_err().to_string();
    assert!(
        failure.starts_with("what it changed makes no command: it has 16")
            && failure.contains("at most 16777216"),
        "{failure}"
    );
}

#[test]
fn a_connection_carries_no_messages() {
    let client = Client::new(SocketAddr::from(([10, 0, 0, 1], 5000)), "inside".into(), 3);
    let mut subject = Subject::connection(Arc::new(client));
    subject.show(1, false);
    assert!(subject.messages().unwrap().is_none());
    subject.settle().unwrap();
}
