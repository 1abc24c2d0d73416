//! rate-limit: sends beyond a limit are refused, consumers are held back, and buckets outlive their filter.

use std::time::Duration;

use gimbal::protocol::{request as rq, response};
use tokio::time::Instant;

use super::{
    House, TOPIC, assert_done, assert_refused, batch, bodies, call, pop_fields, pull, pull_fields, send,
    send_fields, tell,
};

const FILE: &str = "10-rate-limit";

/// Three messages and no more for an hour.
const THREE: &str = "
[[config.rules]]
name = 'few'
direction = 'send'
messages_per_second = 0.001
burst_messages = 3
";

#[tokio::test]
async fn sends_beyond_the_limit_are_answered_215_with_the_rule_and_the_time_to_wait() {
    let house = House::with(&[(FILE, THREE)]).await;
    let mut client = house.client().await;
    for _ in 0..3 {
        assert_done(&send(&mut client, TOPIC, "", "fits").await);
    }
    let refused = send(&mut client, TOPIC, "", "too many").await;
    assert_refused(
        &refused,
        response::FLOW_CONTROL,
        "rate-limit: few allows 0.001 messages/s; try again in ",
    );
    assert_eq!(house.cluster.stored(0, TOPIC), 3);
    assert_eq!(
        bodies(&pull(&mut client, TOPIC, "g").await).len(),
        3,
        "pulls have no part in it"
    );
}

#[tokio::test]
async fn one_way_sends_beyond_the_limit_are_dropped_and_a_batch_counts_every_message() {
    let house = House::with(&[(FILE, THREE)]).await;
    let mut client = house.client().await;
    let (fields, body) = batch(TOPIC, &["a", "b"]);
    assert_done(&call(&mut client, rq::SEND_BATCH_MESSAGE, &fields, body.clone()).await);
    let refused = call(&mut client, rq::SEND_BATCH_MESSAGE, &fields, body).await;
    assert_refused(&refused, response::FLOW_CONTROL, "few allows");
    for body in ["fits", "dropped", "dropped"] {
        let fields = send_fields(TOPIC, "");
        tell(&mut client, rq::SEND_MESSAGE_V2, &fields, body).await;
    }
    let queue = [("topic", TOPIC), ("queueId", "0"), ("bname", "broker-a")];
    let end = client.call(rq::GET_MAX_OFFSET, &queue).await;
    assert_eq!(
        end.field("offset"),
        Some("3"),
        "two of the batch and one of the one-way sends"
    );
    assert!(
        client.leftovers().is_empty(),
        "nobody answers what nobody waits for"
    );
    assert_eq!(house.counts("rate-limit").drops, 2);
}

#[tokio::test]
async fn a_batch_is_one_however_its_mark_is_written() {
    let house = House::with(&[(FILE, THREE)]).await;
    let mut client = house.client().await;
    let (mut fields, body) = batch(TOPIC, &["a", "b", "c"]);
    // Brokers read the mark without regard to case.
    fields[9].1 = "TRUE";
    assert_done(&call(&mut client, rq::SEND_MESSAGE_V2, &fields, body.clone()).await);
    assert_eq!(house.cluster.stored(0, TOPIC), 3);
    let refused = call(&mut client, rq::SEND_MESSAGE_V2, &fields, body).await;
    assert_refused(&refused, response::FLOW_CONTROL, "few allows");
}

#[tokio::test]
async fn each_client_and_topic_has_its_own_bucket() {
    let sidecar = THREE.replace(
        "burst_messages = 3",
        "burst_messages = 1\nper = ['client', 'topic']",
    );
    let house = House::with(&[(FILE, &sidecar)]).await;
    let (mut one, mut other) = (house.client().await, house.client().await);
    for client in [&mut one, &mut other] {
        for topic in [TOPIC, "bills"] {
            assert_done(&send(client, topic, "", "first").await);
            let refused = send(client, topic, "", "second").await;
            assert_refused(&refused, response::FLOW_CONTROL, "per topic and client");
        }
    }
}

#[tokio::test]
async fn a_pull_in_debt_is_held_and_then_answered_with_what_is_there() {
    let sidecar = "
[[config.rules]]
name = 'slow readers'
direction = 'consume'
per = ['group']
messages_per_second = 4
burst_messages = 1
";
    let house = House::with(&[(FILE, sidecar)]).await;
    let mut client = house.client().await;
    for body in ["a", "b", "c", "d"] {
        assert_done(&send(&mut client, TOPIC, "", body).await);
    }
    let began = Instant::now();
    assert_eq!(bodies(&pull(&mut client, TOPIC, "g").await).len(), 4);
    // One permit for four messages: three are owed, at four a second.
    let held = pull(&mut client, TOPIC, "g").await;
    assert!(
        began.elapsed() > Duration::from_millis(700),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        bodies(&held),
        ["a", "b", "c", "d"],
        "it was held, and lost nothing"
    );
    assert_eq!(house.counts("rate-limit").delays, 1);
    let began = Instant::now();
    assert_done(&pull(&mut client, TOPIC, "other").await);
    assert!(
        began.elapsed() < Duration::from_millis(700),
        "another group owes nothing"
    );
}

#[tokio::test]
async fn a_debt_that_takes_too_long_is_answered_nothing_new_to_pulls_and_pops() {
    let sidecar = "
[[config.rules]]
direction = 'consume'
messages_per_second = 0.001
burst_messages = 1
";
    let house = House::with(&[(FILE, sidecar)]).await;
    let mut client = house.client().await;
    for body in ["a", "b"] {
        assert_done(&send(&mut client, TOPIC, "", body).await);
    }
    let pop = client.call(rq::POP_MESSAGE, &pop_fields(TOPIC, "g")).await;
    assert_eq!(bodies(&pop).len(), 2);
    let mut fields = pull_fields(TOPIC, "g", "0");
    fields[5].1 = "6";
    // The longer a client lets the broker wait, the less may be spent on holding it here: half a second of this.
    fields[7].1 = "22000";
    let held = client.call(rq::PULL_MESSAGE, &fields).await;
    assert_eq!(held.head.code, response::PULL_NOT_FOUND, "{:?}", held.command);
    assert_eq!(
        held.field("nextBeginOffset"),
        Some("0"),
        "it goes on where it was"
    );
    let mut fields = pop_fields(TOPIC, "g");
    fields[5].1 = "300";
    let held = client.call(rq::POP_MESSAGE, &fields).await;
    assert_eq!(held.head.code, response::POLLING_TIMEOUT, "{:?}", held.command);
}

#[tokio::test]
async fn another_limit_holds_at_once_on_the_same_connection_and_buckets_stay() {
    let house = House::with(&[(FILE, THREE)]).await;
    let mut client = house.client().await;
    for _ in 0..3 {
        assert_done(&send(&mut client, TOPIC, "", "fits").await);
    }
    let sessions = house.proxy.sessions();
    // A new instance of the filter, the same bucket.
    let sidecar = format!("[config]\nlimit_retries = true\n{THREE}");
    house.change(FILE, &sidecar).await;
    let refused = send(&mut client, TOPIC, "", "still too many").await;
    assert_refused(&refused, response::FLOW_CONTROL, "few allows");
    // Another name, another bucket.
    house.change(FILE, &THREE.replace("few", "more")).await;
    for _ in 0..3 {
        assert_done(&send(&mut client, TOPIC, "", "fits again").await);
    }
    let refused = send(&mut client, TOPIC, "", "too many").await;
    assert_refused(&refused, response::FLOW_CONTROL, "more allows");
    house.change(FILE, &format!("mode = 'off'\n{THREE}")).await;
    assert_done(&send(&mut client, TOPIC, "", "without a limit").await);
    assert_eq!(house.proxy.sessions(), sessions, "nobody was disconnected");
}
