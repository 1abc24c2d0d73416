//! Claims about messages: stored ones, batches, and the properties of sends.

use bytes::Bytes;

use super::*;
use crate::protocol::body::{BatchItem, StoredMessage};

/// One stored message with this topic and these properties.
fn stored(topic: &str, properties: &str) -> Bytes {
    let template = frame("request-39-broker-5.5.0-json");
    let mut messages = StoredMessage::decode_all(&template.body).unwrap();
    let message = &mut messages[0];
    message.set_topic(topic).unwrap();
    let names: Vec<String> = message
        .properties()
        .pairs()
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        message.properties_mut().remove(&name);
    }
    for (name, value) in properties.split(' ').filter_map(|pair| pair.split_once('=')) {
        message.properties_mut().set(name, value).unwrap();
    }
    StoredMessage::encode_all(&messages).unwrap()
}

fn answered(code: Code, group: Option<&str>, body: Bytes) -> Command {
    let asked = Asked {
        code,
        topic: None,
        group,
    };
    let mut command = Command::request(Code(0), 1).with_body(body);
    response_to_client(&mapping(), NOBODY, &asked, &mut command).unwrap();
    command
}

#[test]
fn stored_messages_come_back_under_the_names_of_the_client() {
    let at_broker = stored(
        "%RETRY%B-g",
        "PGROUP=B-p RETRY_TOPIC=A%t REAL_TOPIC=other DLQ_ORIGIN_TOPIC=A%x ORIGIN_GROUP=B-g INNER_MULTI_DISPATCH=%LMQ%A%q,%LMQ%A%r user=A%t",
    );
    let at_client = stored(
        "%RETRY%g",
        "PGROUP=p RETRY_TOPIC=t REAL_TOPIC=TT DLQ_ORIGIN_TOPIC=x ORIGIN_GROUP=g INNER_MULTI_DISPATCH=%LMQ%q,%LMQ%r user=A%t",
    );
    for code in [
        rq::PULL_MESSAGE,
        rq::LITE_PULL_MESSAGE,
        rq::POP_MESSAGE,
        rq::PEEK_MESSAGE,
        rq::QUERY_MESSAGE,
        rq::VIEW_MESSAGE_BY_ID,
    ] {
        assert_eq!(
            answered(code, Some("g"), at_broker.clone()).body,
            at_client,
            "{code}"
        );
    }
    let popped = answered(rq::POP_MESSAGE, Some("g"), stored("%RETRY%B-g_A%t", ""));
    assert_eq!(popped.body, stored("%RETRY%g_t", ""));
    let foreign = stored("C%t", "PGROUP=D-p");
    assert_eq!(
        answered(rq::PULL_MESSAGE, Some("g"), foreign.clone()).body,
        foreign
    );
}

#[test]
fn a_check_of_a_transaction_names_the_clients_group_and_topic() {
    let mut check = frame("request-39-broker-5.5.0-json");
    check.body = stored("A%TTX", "PGROUP=B-tx REAL_TOPIC=A%TTX REAL_QID=3");
    push_to_client(&mapping(), NOBODY, &mut check).unwrap();
    assert_eq!(check.body, stored("TTX", "PGROUP=tx REAL_TOPIC=TTX REAL_QID=3"));
    assert_eq!(check.field("topic"), Some("RMQ_SYS_TRANS_HALF_TOPIC"));
}

#[test]
fn a_message_to_be_consumed_directly_is_mapped_with_its_ext_fields() {
    let mut push = frame("request-309-broker-5.5.0-json");
    push.set_field("topic", "%RETRY%B-g_A%t");
    push.set_field("consumerGroup", "B-g");
    push.body = stored("%RETRY%B-g_A%t", "RETRY_TOPIC=A%t");
    push_to_client(&mapping(), NOBODY, &mut push).unwrap();
    assert_eq!(
        (push.field("topic"), push.field("consumerGroup")),
        (Some("%RETRY%g_t"), Some("g"))
    );
    assert_eq!(push.body, stored("%RETRY%g_t", "RETRY_TOPIC=t"));
}

#[test]
fn properties_of_sends_are_mapped_also_in_batches() {
    for (code, field) in [(rq::SEND_MESSAGE, "properties"), (rq::SEND_MESSAGE_V2, "i")] {
        let mut send =
            Command::request(code, 1).with_field(field, "PGROUP\u{1}p\u{2}RETRY_TOPIC\u{1}t\u{2}KEYS\u{1}t");
        request_to_broker(&mapping(), NOBODY, &mut send).unwrap();
        assert_eq!(
            send.field(field),
            Some("PGROUP\u{1}B-p\u{2}RETRY_TOPIC\u{1}A%t\u{2}KEYS\u{1}t")
        );
    }
    let with = |name: &str, value: &str| {
        let mut batch = frame("request-320-java-5.5.0-json");
        let mut items = BatchItem::decode_all(&batch.body).unwrap();
        items[1].properties_mut().set(name, value).unwrap();
        batch.body = BatchItem::encode_all(&items).unwrap();
        batch
    };
    let mut batch = with("DLQ_ORIGIN_TOPIC", "t");
    request_to_broker(&mapping(), NOBODY, &mut batch).unwrap();
    assert_eq!(batch.body, with("DLQ_ORIGIN_TOPIC", "A%t").body);
    let mut plain = frame("request-320-java-5.5.0-json");
    let body = plain.body.clone();
    request_to_broker(&mapping(), NOBODY, &mut plain).unwrap();
    assert_eq!(
        plain.body.as_ptr(),
        body.as_ptr(),
        "a body without names is shared"
    );
    let mut cut = with("a", "b");
    cut.body.truncate(100);
    let error = request_to_broker(&mapping(), NOBODY, &mut cut).unwrap_err();
    assert!(matches!(error, NameError::Messages(_)), "{error}");
}

#[test]
fn lookups_do_not_find_messages_of_others() {
    let both = [stored("C%t", ""), stored("A%t", "")].concat();
    assert_eq!(
        answered(rq::QUERY_MESSAGE, None, both.into()).body,
        stored("t", "")
    );
    for topic in ["C%t", "%RETRY%D-g", "%DLQ%D-g"] {
        let viewed = answered(rq::VIEW_MESSAGE_BY_ID, None, stored(topic, ""));
        assert_eq!(
            (viewed.code, viewed.body),
            (response::SYSTEM_ERROR, Bytes::new()),
            "{topic}"
        );
    }
    let waits = stored("SCHEDULE_TOPIC_XXXX", "REAL_TOPIC=C%t");
    assert_eq!(
        answered(rq::QUERY_MESSAGE, None, waits).code,
        response::QUERY_NOT_FOUND
    );
    let waits = answered(
        rq::VIEW_MESSAGE_BY_ID,
        None,
        stored("SCHEDULE_TOPIC_XXXX", "REAL_TOPIC=A%t"),
    );
    assert_eq!(waits.body, stored("SCHEDULE_TOPIC_XXXX", "REAL_TOPIC=t"));
}
