//! redact: chosen consumers get bodies without some fields, whichever way they ask.

use std::io::{Read, Write};

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use gimbal::protocol::{request as rq, response};

use super::{
    House, TOPIC, assert_done, assert_refused, bodies, call, messages, pop_fields, properties, pull,
    pull_fields, send, send_fields,
};

const FILE: &str = "10-redact";
const FULL: &str = r#"{"id": 7.10, "card": {"number": "4111", "until": "12/27"}, "internal": [1, 2]}"#;
const MASKED: &str = r#"{"id": 7.10, "card": {"number": "***", "until": "12/27"}}"#;
const RULE: &str = "
[[config.rules]]
name = 'cards'
topics = ['orders']
groups = ['analytics']
mask = ['card.number']
drop = ['internal']
";

fn pack(text: &str) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn unpack(packed: &[u8]) -> String {
    let mut text = String::new();
    ZlibDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn pulls_and_pops_are_masked_for_one_group_and_full_for_another() {
    let house = House::with(&[(FILE, RULE)]).await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    assert_done(&send(&mut client, TOPIC, "", FULL).await);
    assert_done(&send(&mut client, "bills", "", FULL).await);
    for (group, expected) in [("analytics", MASKED), ("payments", FULL)] {
        assert_eq!(bodies(&pull(&mut client, TOPIC, group).await), [expected]);
        for code in [rq::PEEK_MESSAGE, rq::POP_MESSAGE] {
            let answer = client.call(code, &pop_fields(TOPIC, group)).await;
            assert_eq!(bodies(&answer), [expected], "{code} by {group}");
        }
        assert_eq!(bodies(&pull(&mut client, "bills", group).await), [FULL]);
    }
    assert_eq!(
        bodies(&pull(&mut behind, TOPIC, "analytics").await),
        [FULL],
        "what is stored stays as it is"
    );
}

#[tokio::test]
async fn a_query_that_names_no_group_gets_the_masked_body() {
    let house = House::with(&[(FILE, RULE)]).await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, TOPIC, &properties(&[("KEYS", "k")]), FULL).await);
    let query = [
        ("topic", TOPIC),
        ("key", "k"),
        ("maxNum", "8"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9999999999999"),
    ];
    let found = client.call(rq::QUERY_MESSAGE, &query).await;
    assert_eq!(bodies(&found), [MASKED], "{:?}", found.command);
}

#[tokio::test]
async fn a_compressed_body_is_masked_inside() {
    let house = House::with(&[(FILE, RULE)]).await;
    let mut client = house.client().await;
    // Compressed, by clients that name the way and by those that do not.
    for flag in ["769", "1"] {
        let mut fields = send_fields(TOPIC, "");
        fields[5].1 = flag;
        assert_done(&call(&mut client, rq::SEND_MESSAGE_V2, &fields, pack(FULL)).await);
    }
    for (group, expected) in [("analytics", MASKED), ("payments", FULL)] {
        let pulled = pull(&mut client, TOPIC, group).await;
        let found = messages(&pulled);
        assert_eq!(found.len(), 2);
        for (message, flag) in found.iter().zip([769, 1]) {
            assert_eq!(message.sys_flag() & 0x701, flag, "it says how it is compressed");
            assert_eq!(unpack(message.body()), expected);
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_withheld_left_out_or_passed_as_the_rule_says() {
    let house = House::with(&[(FILE, RULE)]).await;
    let mut client = house.client().await;
    for body in [FULL, "no json", FULL] {
        assert_done(&send(&mut client, TOPIC, "", body).await);
    }
    let withheld = pull(&mut client, TOPIC, "analytics").await;
    let said = "redact: cards: the body of a message is no JSON (topic orders, offset 1)";
    assert_refused(&withheld, response::SYSTEM_ERROR, said);
    assert!(withheld.command.body.is_empty(), "not a byte of it");
    assert_eq!(
        bodies(&pull(&mut client, TOPIC, "payments").await),
        [FULL, "no json", FULL]
    );
    house.change(FILE, &format!("{RULE}non_json = 'drop'\n")).await;
    let pulled = pull(&mut client, TOPIC, "analytics").await;
    assert_eq!(bodies(&pulled), [MASKED, MASKED]);
    assert_eq!(
        pulled.field("nextBeginOffset"),
        Some("3"),
        "the consumer goes on behind it"
    );
    let popped = client
        .call(rq::POP_MESSAGE, &pop_fields(TOPIC, "analytics"))
        .await;
    assert_eq!(bodies(&popped), [MASKED, MASKED]);
    house.change(FILE, &format!("{RULE}non_json = 'pass'\n")).await;
    let pulled = pull(&mut client, TOPIC, "analytics").await;
    assert_eq!(bodies(&pulled), [MASKED, "no json", MASKED]);
}

#[tokio::test]
async fn a_pull_of_nothing_but_left_out_messages_goes_on_behind_them() {
    let house = House::with(&[(FILE, &format!("{RULE}non_json = 'drop'\n"))]).await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, TOPIC, "", "no json").await);
    let pulled = pull(&mut client, TOPIC, "analytics").await;
    assert_eq!(
        pulled.head.code,
        response::PULL_RETRY_IMMEDIATELY,
        "{:?}",
        pulled.command
    );
    assert_eq!(pulled.field("nextBeginOffset"), Some("1"));
    assert!(pulled.command.body.is_empty());
}

#[tokio::test]
async fn a_long_poll_begun_before_the_rule_brings_a_masked_body() {
    let house = House::with(&[(FILE, &format!("mode = 'off'\n{RULE}"))]).await;
    let (mut client, mut producer) = (house.client().await, house.client().await);
    assert_done(&send(&mut producer, TOPIC, "", FULL).await);
    assert_eq!(bodies(&pull(&mut client, TOPIC, "analytics").await), [FULL]);
    let mut fields = pull_fields(TOPIC, "analytics", "1");
    fields[5].1 = "6";
    let parked = client.ask(rq::PULL_MESSAGE, &fields).await;
    // The answer to a later request proves that the pull is with the broker.
    assert_done(&pull(&mut client, TOPIC, "analytics").await);
    house.change(FILE, RULE).await;
    assert_done(&send(&mut producer, TOPIC, "", FULL).await);
    assert_eq!(bodies(&client.answer(parked).await), [MASKED]);
}
