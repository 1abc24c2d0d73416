//! Filters that hold commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gimbal::filter::Verdict;
use gimbal::protocol::{Code, request as rq, response};
use tokio::time::Instant;

use super::{BEAT, SEND};
use crate::support::filters::{Script, Stage};
use crate::support::{Gimbal, Group};

/// Holds whatever has an ext field `hold` for so many milliseconds.
fn holding(codes: &[Code]) -> Script {
    Script::of(codes).on_request(|subject| {
        let hold = subject.field("hold").and_then(|millis| millis.parse().ok());
        Ok(match hold {
            Some(millis) => Verdict::Delay(Duration::from_millis(millis)),
            None => Verdict::Forward,
        })
    })
}

fn send<'a>(id: &'a str, hold: Option<&'a str>, queue: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![("n", "a"), ("b", "T"), ("e", queue), ("id", id)];
    fields.extend(hold.map(|hold| ("hold", hold)));
    fields
}

#[tokio::test]
async fn later_sends_to_the_same_queue_wait_and_nothing_else_does() {
    let stage = Stage::with(holding(&[rq::SEND_MESSAGE_V2]).alone()).await;
    let (mut client, mut link) = stage.linked().await;
    client
        .ask(rq::SEND_MESSAGE_V2, &send("1", Some("300"), "0"))
        .await;
    client.ask(rq::SEND_MESSAGE_V2, &send("2", None, "0")).await;
    client.ask(rq::SEND_MESSAGE_V2, &send("3", None, "0")).await;
    client.ask(rq::SEND_MESSAGE_V2, &send("4", None, "1")).await;
    client
        .ask(
            rq::PULL_MESSAGE,
            &[("bname", "a"), ("topic", "T"), ("queueId", "0")],
        )
        .await;
    assert_eq!(link.expect(rq::SEND_MESSAGE_V2).await.field("id"), Some("4"));
    link.expect(rq::PULL_MESSAGE).await;
    for id in ["1", "2", "3"] {
        assert_eq!(link.expect(rq::SEND_MESSAGE_V2).await.field("id"), Some(id));
    }
}

#[tokio::test]
async fn sends_to_another_broker_do_not_wait() {
    let stage = Stage::with(holding(&[rq::SEND_MESSAGE_V2]).alone()).await;
    let mut client = stage.client().await;
    client
        .ask(rq::SEND_MESSAGE_V2, &send("1", Some("1000"), "0"))
        .await;
    client
        .ask(rq::SEND_MESSAGE_V2, &[("n", "b"), ("b", "T"), ("e", "0")])
        .await;
    stage.b.accept().await.expect(rq::SEND_MESSAGE_V2).await;
}

#[tokio::test]
async fn held_sends_are_overtaken_by_none_when_their_filter_goes() {
    let stage = Stage::with(holding(&[rq::SEND_MESSAGE_V2]).alone()).await;
    let (mut client, mut link) = stage.linked().await;
    client
        .ask(rq::SEND_MESSAGE_V2, &send("1", Some("300"), "0"))
        .await;
    client.sync().await;
    stage.swap(Vec::new());
    client.ask(rq::SEND_MESSAGE_V2, &send("2", None, "0")).await;
    for id in ["1", "2"] {
        assert_eq!(link.expect(rq::SEND_MESSAGE_V2).await.field("id"), Some(id));
    }
}

#[tokio::test]
async fn two_filters_that_hold_one_send_keep_the_order() {
    let stage = Stage::with(vec![
        holding(&[rq::SEND_MESSAGE_V2]).member("one"),
        holding(&[rq::SEND_MESSAGE_V2]).member("two"),
    ])
    .await;
    let (mut client, mut link) = stage.linked().await;
    let began = Instant::now();
    client
        .ask(rq::SEND_MESSAGE_V2, &send("1", Some("150"), "0"))
        .await;
    client.ask(rq::SEND_MESSAGE_V2, &send("2", Some("50"), "0")).await;
    client.ask(rq::SEND_MESSAGE_V2, &send("3", None, "0")).await;
    for id in ["1", "2", "3"] {
        assert_eq!(link.expect(rq::SEND_MESSAGE_V2).await.field("id"), Some(id));
    }
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_send_is_held_no_longer_than_leaves_its_broker_time() {
    let stage = Stage::with(holding(&[rq::SEND_MESSAGE_V2]).alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let began = Instant::now();
    let opaque = client
        .ask(rq::SEND_MESSAGE_V2, &send("1", Some("60000"), "0"))
        .await;
    let asked = link.expect(rq::SEND_MESSAGE_V2).await;
    let held = began.elapsed();
    assert!((1_400..2_000).contains(&held.as_millis()), "{held:?}");
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn a_pull_whose_delay_was_cut_is_told_to_ask_again_from_where_it_was() {
    let stage = Stage::with(holding(&[rq::PULL_MESSAGE]).alone()).await;
    let (mut client, mut link) = stage.linked().await;
    // Held 500 ms at most: the rest is the broker's.
    let fields = [
        ("bname", "a"),
        ("sysFlag", "2"),
        ("suspendTimeoutMillis", "22000"),
        ("queueOffset", "77"),
        ("hold", "60000"),
    ];
    let began = Instant::now();
    let came = client.call(rq::PULL_MESSAGE, &fields).await;
    assert!(began.elapsed() >= Duration::from_millis(450));
    assert_eq!(came.head.code, response::PULL_NOT_FOUND);
    assert_eq!(came.field("nextBeginOffset"), Some("77"));
    assert!(link.is_quiet(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn a_pull_that_is_held_in_full_goes_on_to_its_broker() {
    let stage = Stage::with(holding(&[rq::PULL_MESSAGE]).alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let fields = [
        ("bname", "a"),
        ("sysFlag", "2"),
        ("suspendTimeoutMillis", "15000"),
        ("hold", "50"),
    ];
    client.ask(rq::PULL_MESSAGE, &fields).await;
    link.expect(rq::PULL_MESSAGE).await;
}

#[tokio::test]
async fn a_pop_whose_delay_was_cut_is_told_that_its_poll_is_over() {
    let stage = Stage::with(holding(&[rq::POP_MESSAGE]).alone()).await;
    let mut client = stage.client().await;
    let fields = [("bname", "a"), ("pollTime", "0"), ("hold", "60000")];
    let came = client.call(rq::POP_MESSAGE, &fields).await;
    assert_eq!(came.head.code, response::POLLING_TIMEOUT);
    assert!(came.field("restNum").is_some());
}

#[tokio::test]
async fn heartbeats_and_locks_are_never_held() {
    let codes = [
        BEAT,
        rq::UNREGISTER_CLIENT,
        rq::LOCK_BATCH_MQ,
        rq::UNLOCK_BATCH_MQ,
    ];
    let stage = Stage::with(
        Script::of(&codes)
            .always(Verdict::Delay(Duration::from_mins(1)))
            .alone(),
    )
    .await;
    let (mut client, mut link) = stage.linked().await;
    let locks =
        r#"{"clientId":"c","consumerGroup":"g","mqSet":[{"brokerName":"a","queueId":0,"topic":"T"}]}"#;
    client.ask_with(rq::LOCK_BATCH_MQ, &[], locks).await;
    link.expect(rq::LOCK_BATCH_MQ).await;
    client.beat(&[Group::Producer("p")]).await;
    link.greet().await;
    client
        .ask(
            rq::UNREGISTER_CLIENT,
            &[("clientID", "c"), ("producerGroup", "p")],
        )
        .await;
    link.expect(rq::UNREGISTER_CLIENT).await;
}

#[tokio::test]
async fn a_client_with_too_much_held_is_not_read() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let counting = Script::of(&[rq::PULL_MESSAGE]).on_request(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Verdict::Delay(Duration::from_millis(700)))
    });
    let little = |gimbal: Gimbal| gimbal.with(|config| config.limits.queue = 64 << 10);
    let stage = Stage::set(counting.alone(), little).await;
    let mut client = stage.client().await;
    let body = "x".repeat(16 << 10);
    for _ in 0..12 {
        let fields = [
            ("bname", "a"),
            ("sysFlag", "2"),
            ("suspendTimeoutMillis", "15000"),
        ];
        client.ask_with(rq::PULL_MESSAGE, &fields, &body).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held = seen.load(Ordering::Relaxed);
    assert!((4..=6).contains(&held), "{held}");
    let mut link = stage.a.accept().await;
    for _ in 0..12 {
        link.expect(rq::PULL_MESSAGE).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_command_is_held_leaves_nothing_behind() {
    let stage = Stage::with(holding(&[]).alone()).await;
    let (mut client, mut link) = stage.linked().await;
    client
        .ask(rq::SEND_MESSAGE_V2, &send("1", Some("1200"), "0"))
        .await;
    client.sync().await;
    drop(client);
    link.expect_end().await;
    let gone = async {
        while stage.running.proxy.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), gone).await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_leaves_lets_held_sends_finish_and_sends_held_pulls_elsewhere() {
    let stage = Stage::with(holding(&[]).alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let pull = [
        ("bname", "a"),
        ("sysFlag", "2"),
        ("suspendTimeoutMillis", "15000"),
        ("hold", "7000"),
    ];
    let pull = client.ask(rq::PULL_MESSAGE, &pull).await;
    let held = client
        .ask(rq::SEND_MESSAGE_V2, &send("1", Some("400"), "0"))
        .await;
    client.sync().await;
    let Stage { running, .. } = stage;
    let leaving = tokio::spawn(running.proxy.drain());
    assert_eq!(client.answer(pull).await.head.code, response::PULL_NOT_FOUND);
    let asked = link.expect(rq::SEND_MESSAGE_V2).await;
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(held).await.head.code, response::SUCCESS);
    client.peer.expect_end().await;
    leaving.await.unwrap();
}

#[tokio::test]
async fn a_delay_shows_the_filters_behind_it_what_was_changed_before() {
    let changing = Script::of(&[rq::SEND_MESSAGE_V2]).on_request(|subject| {
        subject.set_field("x", "1");
        Ok(Verdict::Delay(Duration::from_millis(20)))
    });
    let looking = Script::of(&[rq::SEND_MESSAGE_V2]).on_request(|subject| {
        let x = subject.field("x").unwrap_or_default().into_owned();
        subject.set_field("y", &x);
        Ok(Verdict::Forward)
    });
    let stage = Stage::with(vec![changing.member("changing"), looking.member("looking")]).await;
    let (mut client, mut link) = stage.linked().await;
    client.ask(rq::SEND_MESSAGE_V2, SEND).await;
    assert_eq!(link.expect(rq::SEND_MESSAGE_V2).await.field("y"), Some("1"));
}
