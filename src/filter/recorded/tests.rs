//! A recorded command holds what a filter needs, and no secret.

use super::plain::Body;
use super::*;
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Kind};

const WITH_BODY: Body = Body {
    recorded: true,
    size: 0,
};
const WITHOUT_BODY: Body = Body {
    recorded: false,
    size: 0,
};

fn send() -> Command {
    Command::request(rq::SEND_MESSAGE_V2, 7)
        .with_field("a", "shop")
        .with_field("b", "orders")
        .with_field("i", "KEYS\u{1}k\u{2}dbPassword\u{1}hunter2\u{2}x\u{1}1")
        .with_field("AccessKey", "ak-4711")
        .with_field("Signature", "sig-4711")
        .with_field("SecurityToken", "sts-4711")
        .with_field("OnsChannel", "ALIYUN-4711")
        .with_body("hello")
}

#[test]
fn a_command_is_the_same_after_writing_and_reading_but_for_its_secrets() {
    for kind in [Kind::Json, Kind::Binary] {
        let mut command = send();
        command.set_kind(kind);
        let frame = command.encode().unwrap();
        let plain = Plain::of(&frame, command.code, WITH_BODY).unwrap();
        let line = serde_json::to_string(&plain).unwrap();
        assert!(!line.contains("4711") && !line.contains("hunter2"), "{line}");
        let read: Plain = serde_json::from_str(&line).unwrap();
        let again = read.to_command().unwrap();
        assert_eq!(again.kind(), kind);
        assert_eq!(
            (again.code, again.opaque, &*again.body),
            (command.code, 7, &b"hello"[..])
        );
        assert_eq!(again.field("b"), Some("orders"));
        assert_eq!(
            again.field("i"),
            Some("KEYS\u{1}k\u{2}dbPassword\u{1}***\u{2}x\u{1}1")
        );
        for name in ["AccessKey", "Signature", "SecurityToken", "OnsChannel"] {
            assert_eq!(again.field(name), Some("***"), "{name}");
        }
    }
}

#[test]
fn a_body_that_is_not_recorded_leaves_its_size() {
    let frame = send().encode().unwrap();
    let plain = Plain::of(&frame, rq::SEND_MESSAGE_V2, WITHOUT_BODY).unwrap();
    assert_eq!(
        (plain.body.as_deref(), plain.body_size, plain.body_len()),
        (None, 5, 5)
    );
    assert!(plain.to_command().unwrap().body.is_empty());
}

#[test]
fn bodies_with_passwords_are_not_recorded_even_when_bodies_are() {
    let user = Command::request(rq::AUTH_CREATE_USER, 1).with_body("{\"password\":\"hunter2\"}");
    let plain = Plain::of(&user.encode().unwrap(), user.code, WITH_BODY).unwrap();
    assert_eq!((plain.body.as_deref(), plain.body_size), (None, 22));
    // Its answer, by the request.
    let mut answer = Command::request(Code(0), 1).with_body("{\"password\":\"hunter2\"}");
    answer.flag = 1;
    let plain = Plain::of(&answer.encode().unwrap(), rq::AUTH_GET_USER, WITH_BODY).unwrap();
    assert_eq!((plain.body, plain.name), (None, None));
}

#[test]
fn what_cannot_be_a_command_is_told_with_what_can() {
    let plain = |text: &str| serde_json::from_str::<Plain>(text).unwrap();
    let error = plain("{\"code\":310,\"body\":\"%\"}").to_command().unwrap_err();
    assert!(error.contains("accepted: base64"), "{error}");
    let error = plain("{\"code\":310,\"fields\":{\"b\":[]}}")
        .to_command()
        .unwrap_err();
    assert!(
        error.contains("fields.b") && error.contains("accepted: a string"),
        "{error}"
    );
    let command = plain("{\"code\":310,\"fields\":{\"e\":3}}").to_command().unwrap();
    assert_eq!(command.field("e"), Some("3"));
}

#[test]
fn a_client_is_the_same_after_writing_and_reading() {
    let mut client = Client::new("10.0.0.7:4711".parse::<SocketAddr>().unwrap(), "main".into(), 7);
    client.client_id = Some("c@1".into());
    client.user = Some("ann".into());
    client.language = Language::GO;
    client.version = 493;
    let facts = Facts::of(&client);
    let line = serde_json::to_string(&facts).unwrap();
    let read: Facts = serde_json::from_str(&line).unwrap();
    assert_eq!(Facts::of(&read.to_client(7)), facts);
}
