//! Numbers of what passes: every command is counted once as it comes in and once as it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use gimbal::filter::{Answer, Verdict};
use gimbal::protocol::{Command, FLAG_ONEWAY, Kind, request as rq, response};
use gimbal::proxy::Proxy;
use gimbal::telemetry::{Outcome, Record, Way};

use crate::support::filters::{Script, Stage};
use crate::support::{Group, SOON, Speaks};

/// The lines of `text` that begin with `name{`, by their labels.
pub(crate) fn series(text: &str, name: &str) -> BTreeMap<String, f64> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.split_once(' '));
    lines
        .filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'))
        .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
        .collect()
}

fn value(proxy: &Proxy, line: &str) -> f64 {
    let text = proxy.observers().metrics.text();
    let found = text
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

fn outcome(proxy: &Proxy, code: &str, outcome: &str) -> f64 {
    let labels = format!("{{way=\"request\",code=\"{code}\",outcome=\"{outcome}\"}}");
    value(proxy, &format!("gimbal_commands_total{labels}"))
}

/// Waits until the text says so; sessions end a moment after their client does.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "{what}");
}

fn sums(proxy: &Proxy) -> (f64, f64) {
    let text = proxy.observers().metrics.text();
    let begun = series(&text, "gimbal_commands_begun_total").values().sum();
    let ended = series(&text, "gimbal_commands_total").values().sum();
    (begun, ended)
}

#[tokio::test]
async fn commands_that_came_in_are_the_sum_of_those_that_ended() {
    let filter = Script::of(&[
        rq::GET_MAX_OFFSET,
        rq::UPDATE_CONSUMER_OFFSET,
        rq::SEARCH_OFFSET_BY_TIMESTAMP,
    ])
    .on_request(|subject| {
        Ok(match subject.request_code() {
            rq::GET_MAX_OFFSET => Verdict::Answer(Answer::new(response::NO_PERMISSION, "no")),
            rq::UPDATE_CONSUMER_OFFSET => Verdict::Drop,
            _ => Verdict::Delay(Duration::from_millis(5)),
        })
    });
    let stage = Stage::with(filter.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let at_a = [("bname", "a"), ("topic", "T")];
    // Forwarded, denied, dropped, held and then forwarded, refused, answered from what is known, one-way, failed.
    let asked = client.ask(rq::PULL_MESSAGE, &at_a).await;
    let pull = link.expect(rq::PULL_MESSAGE).await;
    link.answer(&pull, response::PULL_NOT_FOUND).await;
    client.answer(asked).await;
    client.call(rq::GET_MAX_OFFSET, &at_a).await;
    client.tell(rq::UPDATE_CONSUMER_OFFSET, &at_a).await;
    let held = client.ask(rq::SEARCH_OFFSET_BY_TIMESTAMP, &at_a).await;
    let resumed = link.expect(rq::SEARCH_OFFSET_BY_TIMESTAMP).await;
    link.answer(&resumed, response::SUCCESS).await;
    client.answer(held).await;
    client.sync().await;
    client.route("T").await;
    client.tell(rq::END_TRANSACTION, &at_a).await;
    link.expect(rq::END_TRANSACTION).await;
    client
        .call(rq::PULL_MESSAGE, &[("bname", "nowhere"), ("topic", "T")])
        .await;
    // Still open when its client leaves.
    client.ask(rq::PULL_MESSAGE, &at_a).await;
    link.expect(rq::PULL_MESSAGE).await;
    let proxy = &stage.running.proxy;
    assert!((value(proxy, "gimbal_commands_in_flight{way=\"request\"}") - 1.0).abs() < 0.5);
    drop(client);
    eventually("the session has ended", || proxy.sessions() == 0).await;
    let expected = [
        ("PULL_MESSAGE", "forwarded", 1.0),
        ("PULL_MESSAGE", "failed", 1.0),
        ("PULL_MESSAGE", "abandoned", 1.0),
        ("GET_MAX_OFFSET", "denied", 1.0),
        ("UPDATE_CONSUMER_OFFSET", "dropped", 1.0),
        ("SEARCH_OFFSET_BY_TIMESTAMP", "forwarded", 1.0),
        ("other", "refused", 1.0),
        ("GET_ROUTEINFO_BY_TOPIC", "answered", 1.0),
        ("END_TRANSACTION", "forwarded", 1.0),
        ("GET_MIN_OFFSET", "forwarded", 1.0),
    ];
    for (code, how, count) in expected {
        let counted = outcome(proxy, code, how);
        assert!((counted - count).abs() < 0.5, "{code} {how}: {counted}");
    }
    let (begun, ended) = sums(proxy);
    assert!(
        (begun - ended).abs() < 0.5 && (begun - 10.0).abs() < 0.5,
        "{begun} {ended}"
    );
}

#[tokio::test]
async fn requests_of_brokers_are_counted_too() {
    let filter = Script::of(&[rq::CHECK_TRANSACTION_STATE]).always(Verdict::Drop);
    let stage = Stage::with(filter.alone()).await;
    let mut client = stage.client().await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let mut at_a = stage.a.accept_greeted().await;
    let _at_b = stage.b.accept_greeted().await;
    client.answer(beat).await;
    let push = |code, opaque, flag| {
        let mut push = Command::request(code, opaque).with_field("consumerGroup", "g");
        push.flag |= flag;
        push
    };
    at_a.put(&push(rq::CHECK_TRANSACTION_STATE, 4, FLAG_ONEWAY)).await;
    at_a.put(&push(rq::NOTIFY_CONSUMER_IDS_CHANGED, 5, FLAG_ONEWAY))
        .await;
    at_a.put(&push(rq::GET_CONSUMER_RUNNING_INFO, 6, 0)).await;
    let asked = client.pushed(rq::GET_CONSUMER_RUNNING_INFO).await;
    let answer = Command::answer(&asked.head, Kind::Json, response::SUCCESS);
    client.peer.answer_with(&asked, answer).await;
    at_a.expect_answer(6).await;
    let proxy = &stage.running.proxy;
    for (code, how) in [
        ("CHECK_TRANSACTION_STATE", "dropped"),
        ("NOTIFY_CONSUMER_IDS_CHANGED", "forwarded"),
        ("GET_CONSUMER_RUNNING_INFO", "forwarded"),
    ] {
        let line = format!("gimbal_commands_total{{way=\"push\",code=\"{code}\",outcome=\"{how}\"}}");
        assert!((value(proxy, &line) - 1.0).abs() < 0.5, "{line}");
    }
}

#[tokio::test]
async fn whoever_looks_is_told_who_did_what_where_and_which_filter_decided() {
    let filter = Script::of(&[rq::SEND_MESSAGE_V2])
        .always(Verdict::Answer(Answer::new(response::NO_PERMISSION, "not you")));
    let stage = Stage::with(vec![filter.member("acl")]).await;
    let (mut client, mut link) = stage.linked().await;
    let mut tail = stage.running.proxy.observers().tail.subscribe();
    client
        .call(rq::SEND_MESSAGE_V2, &[("a", "shop"), ("b", "orders"), ("n", "a")])
        .await;
    let denied = tail.recv().await.unwrap();
    assert_eq!(denied.outcome, Outcome::Denied);
    assert_eq!((denied.name, denied.code), ("SEND_MESSAGE_V2", 310));
    assert_eq!(denied.topic.as_deref(), Some("orders"));
    assert_eq!(denied.group.as_deref(), Some("shop"));
    assert_eq!(denied.result, Some(16));
    assert_eq!(denied.remark.as_deref(), Some("not you"));
    assert_eq!(denied.broker, None);
    let [decided] = &denied.filters[..] else {
        panic!("{denied:?}");
    };
    assert_eq!(
        (&*decided.filter, decided.verdict, decided.phase),
        ("acl", "answer", "request")
    );
    let asked = client
        .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
        .await;
    let came = link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&came, response::SUCCESS).await;
    client.answer(asked).await;
    let passed: std::sync::Arc<Record> = tail.recv().await.unwrap();
    assert_eq!((passed.outcome, passed.way), (Outcome::Forwarded, Way::Request));
    assert_eq!(passed.broker.as_deref(), Some("a"));
    assert!(passed.upstream_us.is_some_and(|time| time <= passed.total_us));
    assert!(passed.filters.is_empty() && passed.request_bytes > 0 && passed.response_bytes > 0);
}

#[tokio::test]
async fn requests_with_one_number_are_each_counted() {
    let stage = Stage::with(Vec::new()).await;
    let (mut client, mut link) = stage.linked_that(Speaks::NAMED).await;
    let mut command = client.command(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")]);
    command.opaque = 7;
    for _ in 0..3 {
        client.peer.put(&command).await;
    }
    for _ in 0..3 {
        let came = link.expect(rq::GET_MAX_OFFSET).await;
        link.answer(&came, response::SUCCESS).await;
        client.answer(7).await;
    }
    let counted = outcome(&stage.running.proxy, "GET_MAX_OFFSET", "forwarded");
    assert!((counted - 3.0).abs() < 0.5, "{counted}");
    let (begun, ended) = sums(&stage.running.proxy);
    assert!((begun - ended).abs() < 0.5, "{begun} {ended}");
}
