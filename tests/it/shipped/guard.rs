//! guard: sends against the house rules are answered 13 with the rule, and wrong groups are never members.

use bytes::{BufMut, BytesMut};
use gimbal::protocol::{request as rq, response};

use super::{
    House, TOPIC, assert_done, assert_refused, batch, beat, bodies, call, members, pop_fields, properties,
    pull, send, send_fields, tell, until,
};

const FILE: &str = "10-guard";

/// A guard with one rule that asks for this.
async fn house(asks: &str) -> House {
    let sidecar = format!("[[config.rules]]\nname = 'house'\n{asks}\n");
    House::with(&[(FILE, &sidecar)]).await
}

#[tokio::test]
async fn a_body_too_big_is_answered_13_alone_and_in_a_batch() {
    let house = house("max_body_bytes = 4").await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, TOPIC, "", "four").await);
    let refused = send(&mut client, TOPIC, "", "fiver").await;
    let said = "guard: house: a body of 5 bytes, at most 4 are allowed";
    assert_refused(&refused, response::MESSAGE_ILLEGAL, said);
    let (fields, body) = batch(TOPIC, &["a", "b", "c"]);
    let sent = call(&mut client, rq::SEND_BATCH_MESSAGE, &fields, body).await;
    assert_done(&sent);
    let (fields, body) = batch(TOPIC, &["a", "fiver"]);
    let refused = call(&mut client, rq::SEND_BATCH_MESSAGE, &fields, body).await;
    let said = "guard: house: message 2 of 2: a body of 5 bytes";
    assert_refused(&refused, response::MESSAGE_ILLEGAL, said);
    assert_eq!(house.cluster.stored(0, TOPIC), 4);
}

#[tokio::test]
async fn a_batch_of_too_many_is_answered_13() {
    let house = house("max_batch = 2").await;
    let mut client = house.client().await;
    for (bodies, fits) in [(&["a", "b"][..], true), (&["a", "b", "c"], false)] {
        let (fields, body) = batch(TOPIC, bodies);
        let answer = call(&mut client, rq::SEND_BATCH_MESSAGE, &fields, body).await;
        if fits {
            assert_done(&answer);
        } else {
            let said = "guard: house: 3 messages in a batch, at most 2 are allowed";
            assert_refused(&answer, response::MESSAGE_ILLEGAL, said);
        }
    }
}

#[tokio::test]
async fn properties_are_counted_measured_and_required() {
    for (asks, fits, breaks, said) in [
        (
            "max_properties = 2",
            vec![("a", "1"), ("b", "2")],
            vec![("a", "1"), ("b", "2"), ("c", "3")],
            "3 properties, at most 2 are allowed",
        ),
        (
            "max_property_bytes = 8",
            vec![("a", "1"), ("b", "2")],
            vec![("a", "1"), ("b", "22")],
            "9 bytes of properties, at most 8 are allowed",
        ),
        (
            "required_properties = ['tenant']",
            vec![("tenant", "x")],
            vec![("other", "x")],
            "property tenant is missing",
        ),
    ] {
        let house = house(asks).await;
        let mut client = house.client().await;
        assert_done(&send(&mut client, TOPIC, &properties(&fits), "fits").await);
        let refused = send(&mut client, TOPIC, &properties(&breaks), "breaks").await;
        assert_refused(
            &refused,
            response::MESSAGE_ILLEGAL,
            &format!("guard: house: {said}"),
        );
        assert_eq!(bodies(&pull(&mut client, TOPIC, "g").await), ["fits"]);
    }
}

#[tokio::test]
async fn a_batch_without_a_required_property_is_answered_13_and_one_with_it_passes() {
    let house = house("required_properties = ['tenant']").await;
    let mut client = house.client().await;
    for (given, fits) in [("tenant\u{1}x", true), ("other\u{1}x", false)] {
        let mut item = BytesMut::new();
        item.put_u32(u32::try_from(22 + 1 + given.len()).unwrap());
        item.put_bytes(0, 12);
        item.put_u32(1);
        item.put_slice(b"b");
        item.put_u16(u16::try_from(given.len()).unwrap());
        item.put_slice(given.as_bytes());
        let (fields, _) = batch(TOPIC, &[]);
        let answer = call(&mut client, rq::SEND_BATCH_MESSAGE, &fields, item.freeze()).await;
        if fits {
            assert_done(&answer);
        } else {
            assert_refused(&answer, response::MESSAGE_ILLEGAL, "property tenant is missing");
        }
    }
}

#[tokio::test]
async fn topics_and_producer_groups_are_named_as_the_house_wants() {
    let house = house("topic_names = ['team-?-*']\ngroup_names = ['shop*']").await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, "team-a-orders", "", "fits").await);
    let refused = send(&mut client, TOPIC, "", "misnamed").await;
    let said = "guard: house: topic orders is not named as team-?-*";
    assert_refused(&refused, response::MESSAGE_ILLEGAL, said);
    let mut fields = send_fields("team-a-orders", "");
    fields[0].1 = "store";
    let refused = call(&mut client, rq::SEND_MESSAGE_V2, &fields, "misnamed").await;
    let said = "guard: house: group store is not named as shop*";
    assert_refused(&refused, response::MESSAGE_ILLEGAL, said);
    assert_done(&send(&mut client, "%RETRY%whatever", "", "a consumer's own").await);
    assert_eq!(
        house.cluster.stored(0, TOPIC),
        0,
        "no topic was created for the asking"
    );
}

#[tokio::test]
async fn a_misnamed_consumer_group_is_no_member_and_its_pulls_and_pops_say_why() {
    let house = house("group_names = ['GID_*', 'shop']").await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    assert_done(&send(&mut client, TOPIC, "", "there is a topic").await);
    assert_done(&beat(&mut client, "c1", &[("readers", TOPIC), ("GID_readers", TOPIC)]).await);
    let list = |group| [("consumerGroup", group)];
    let question = list("GID_readers");
    until(
        &mut behind,
        (rq::GET_CONSUMER_LIST_BY_GROUP, &question[..]),
        |answer| members(answer) == ["c1"],
    )
    .await;
    let answer = behind
        .call(rq::GET_CONSUMER_LIST_BY_GROUP, &list("readers"))
        .await;
    assert_eq!(members(&answer), [""; 0]);
    let said = "guard: house: group readers is not named as GID_* or shop";
    assert_refused(
        &pull(&mut client, TOPIC, "readers").await,
        response::MESSAGE_ILLEGAL,
        said,
    );
    let refused = client.call(rq::POP_MESSAGE, &pop_fields(TOPIC, "readers")).await;
    assert_refused(&refused, response::MESSAGE_ILLEGAL, said);
    assert_done(&pull(&mut client, TOPIC, "GID_readers").await);
}

#[tokio::test]
async fn one_way_and_delayed_sends_may_be_banned() {
    let house = house("ban_oneway = true\nban_delayed = true").await;
    let mut client = house.client().await;
    let fields = send_fields(TOPIC, "");
    tell(&mut client, rq::SEND_MESSAGE_V2, &fields, "dropped").await;
    for name in ["DELAY", "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"] {
        let refused = send(&mut client, TOPIC, &properties(&[(name, "1")]), "later").await;
        let said = format!("guard: house: delayed messages are not allowed (property {name})");
        assert_refused(&refused, response::MESSAGE_ILLEGAL, &said);
    }
    assert_done(&send(&mut client, TOPIC, "", "now").await);
    assert_eq!(bodies(&pull(&mut client, TOPIC, "g").await), ["now"]);
    assert_eq!(house.counts("guard").drops, 1);
}
