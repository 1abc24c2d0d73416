//! chaos: nothing unless enabled, then the share of faults that it was told to make.

use std::time::Duration;

use gimbal::protocol::{request as rq, response};
use tokio::time::Instant;

use super::{House, TOPIC, assert_done, assert_refused, pull, send, send_fields, tell};

const FILE: &str = "10-chaos";

fn always(fault: &str) -> String {
    format!("[config]\nenabled = true\n[[config.rules]]\npercent = 100\ncodes = [310]\nfault = {fault}\n")
}

#[tokio::test]
async fn nothing_happens_until_it_is_enabled_and_then_every_send_fails() {
    let on = always("{ error = 2 }");
    let house = House::with(&[(FILE, &on.replace("enabled = true", ""))]).await;
    let mut client = house.client().await;
    for _ in 0..20 {
        assert_done(&send(&mut client, TOPIC, "", "fits").await);
    }
    assert_eq!(house.counts("chaos").calls, 0, "it is not even asked");
    house.change(FILE, &on).await;
    for _ in 0..20 {
        let struck = send(&mut client, TOPIC, "", "struck").await;
        assert_refused(&struck, response::SYSTEM_BUSY, "chaos: rule 1");
    }
    assert_done(&pull(&mut client, TOPIC, "g").await);
    assert_eq!(house.cluster.stored(0, TOPIC), 20);
}

#[tokio::test]
async fn it_delays_drops_and_closes() {
    let house = House::with(&[(FILE, &always("{ delay_ms = 300 }"))]).await;
    let mut client = house.client().await;
    let began = Instant::now();
    assert_done(&send(&mut client, TOPIC, "", "late").await);
    assert!(began.elapsed() >= Duration::from_millis(300));
    house.change(FILE, &always("'drop'")).await;
    tell(
        &mut client,
        rq::SEND_MESSAGE_V2,
        &send_fields(TOPIC, ""),
        "dropped",
    )
    .await;
    assert_done(&send(&mut client, TOPIC, "", "somebody waits").await);
    assert_eq!(house.cluster.stored(0, TOPIC), 2);
    house.change(FILE, &always("'close'")).await;
    // Whoever waits is told why, and then there is nobody left to ask.
    let told = send(&mut client, TOPIC, "", "cut off").await;
    assert_refused(&told, response::SYSTEM_ERROR, "chaos: rule 1");
    client.peer.expect_end().await;
    assert_eq!(house.cluster.stored(0, TOPIC), 2);
}
