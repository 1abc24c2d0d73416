//! Claims about limits, as a client sees them.

use std::time::Duration;

use gimbal_sdk::Verdict;
use gimbal_sdk::testing::{self, Loaded, Message, Request, advance, load, metric};
use serde_json::{Value, json};

use super::RateLimit;

fn filter(rule: &Value) -> Loaded<RateLimit> {
    load(json!({ "rules": [rule] })).unwrap()
}

/// How many of `count` sends go through.
fn through(filter: &Loaded<RateLimit>, count: usize, request: &Request) -> usize {
    (0..count)
        .filter(|_| filter.request(request.clone()).verdict == Verdict::Forward)
        .count()
}

#[test]
fn sends_beyond_the_burst_are_refused_until_time_has_passed() {
    let filter =
        filter(&json!({ "name": "orders", "direction": "send", "messages_per_second": 5, "per": ["topic"] }));
    let send = Request::send("orders");
    assert_eq!(through(&filter, 8, &send), 5);
    let refused = filter.request(send.clone());
    assert_eq!(refused.answer_code(), Some(215));
    assert_eq!(
        refused.remark(),
        "rate-limit: orders allows 5 messages/s per topic; try again in 200 ms"
    );
    assert_eq!(
        through(&filter, 1, &Request::send("bills")),
        1,
        "another topic has its own bucket"
    );
    advance(Duration::from_millis(400));
    assert_eq!(through(&filter, 8, &send), 2);
}

#[test]
fn a_oneway_send_beyond_the_limit_is_dropped_and_counted() {
    let filter = filter(&json!({ "direction": "send", "messages_per_second": 1 }));
    let send = Request::send("orders").oneway();
    assert_eq!(filter.request(send.clone()).verdict, Verdict::Forward);
    assert_eq!(filter.request(send).verdict, Verdict::Drop);
    assert!((metric("dropped{rule=rule 1}") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn every_message_of_a_batch_counts() {
    let filter = filter(&json!({ "direction": "send", "messages_per_second": 10 }));
    let batch = Request::batch("orders", (0..6).map(|_| Message::new("x")));
    assert_eq!(through(&filter, 3, &batch), 1);
    assert_eq!(through(&filter, 9, &Request::send("orders")), 4);
}

#[test]
fn a_big_message_costs_a_permit_for_each_started_unit() {
    let filter = filter(&json!({ "direction": "send", "messages_per_second": 10, "unit_bytes": 1024 }));
    assert_eq!(
        through(&filter, 1, &Request::send("orders").body(vec![0; 4097])),
        1
    );
    assert_eq!(through(&filter, 9, &Request::send("orders").body("")), 5);
}

#[test]
fn bytes_are_limited_too() {
    let filter = filter(&json!({ "direction": "send", "bytes_per_second": 1000, "per": ["client"] }));
    let send = Request::send("orders").body(vec![0; 300]);
    assert_eq!(through(&filter, 5, &send.clone().client_id("a")), 3);
    assert_eq!(through(&filter, 5, &send.client_id("b")), 3);
    assert_eq!(
        filter
            .request(Request::send("o").client_id("a").body(vec![0; 300]))
            .remark(),
        "rate-limit: rule 1 allows 1000 bytes/s per client; try again in 200 ms"
    );
}

#[test]
fn a_client_beyond_its_share_takes_nothing_from_the_others() {
    let filter: Loaded<RateLimit> = load(json!({ "rules": [
        { "direction": "send", "messages_per_second": 10 },
        { "direction": "send", "messages_per_second": 2, "per": ["client"] },
    ]}))
    .unwrap();
    assert_eq!(
        through(&filter, 50, &Request::send("orders").client_id("greedy")),
        2
    );
    for client in ["a", "b", "c", "d"] {
        assert_eq!(through(&filter, 3, &Request::send("orders").client_id(client)), 2);
    }
    assert_eq!(
        through(&filter, 3, &Request::send("orders").client_id("e")),
        0,
        "ten in all"
    );
}

#[test]
fn a_rule_holds_for_whom_it_names() {
    let filter = filter(&json!({
        "direction": "send", "messages_per_second": 1,
        "topics": ["orders-*"], "users": ["batch-?"], "addresses": ["10.0.0.0/8"],
    }));
    let limited = Request::send("orders-eu").user("batch-1").ip("10.1.1.1");
    assert_eq!(through(&filter, 3, &limited), 1);
    for free in [
        Request::send("bills").user("batch-1").ip("10.1.1.1"),
        Request::send("orders-eu").user("shop").ip("10.1.1.1"),
        Request::send("orders-eu").ip("10.1.1.1"),
        Request::send("orders-eu").user("batch-1").ip("192.0.2.9"),
    ] {
        assert_eq!(through(&filter, 3, &free), 3);
    }
    assert!(
        !filter.request(Request::send("bills")).seen,
        "the interest is as narrow as the rules"
    );
}

#[test]
fn what_consumers_hand_back_is_not_limited_unless_asked_for() {
    let rule = json!({ "direction": "send", "messages_per_second": 1 });
    let retry = Request::send("%RETRY%g");
    assert_eq!(through(&filter(&rule), 5, &retry), 5);
    let limited: Loaded<RateLimit> = load(json!({ "limit_retries": true, "rules": [rule] })).unwrap();
    assert_eq!(through(&limited, 5, &retry), 1);
}

#[test]
fn instances_divide_the_rate() {
    let limited: Loaded<RateLimit> = load(json!({
        "instances": 4, "rules": [{ "direction": "send", "messages_per_second": 100, "burst_messages": 8 }],
    }))
    .unwrap();
    assert_eq!(through(&limited, 20, &Request::send("orders")), 2);
    advance(Duration::from_millis(40));
    assert_eq!(through(&limited, 20, &Request::send("orders")), 1);
}

#[test]
fn a_pull_is_charged_for_its_answer_and_the_next_one_held() {
    let filter = filter(&json!({ "direction": "consume", "messages_per_second": 10, "per": ["group"] }));
    let pull = Request::pull("orders", "g");
    assert_eq!(filter.request(pull.clone()).verdict, Verdict::Forward);
    let answer = pull.clone().found((0..32).map(|_| Message::new("x")));
    assert_eq!(filter.response(answer).verdict, Verdict::Forward);
    assert_eq!(
        filter.request(pull.clone()).verdict,
        Verdict::Delay(2200),
        "32 taken of 10"
    );
    assert_eq!(
        filter.request(Request::pop("orders", "g")).verdict,
        Verdict::Delay(2200)
    );
    assert_eq!(
        filter.request(Request::pull("orders", "h")).verdict,
        Verdict::Forward
    );
    advance(Duration::from_millis(2200));
    assert_eq!(filter.request(pull).verdict, Verdict::Forward);
}

#[test]
fn an_answer_without_messages_costs_nothing() {
    let filter = filter(&json!({ "direction": "consume", "messages_per_second": 1, "bytes_per_second": 10 }));
    for _ in 0..20 {
        filter.response(Request::pull("orders", "g").answered(19));
        filter.response(Request::pull("orders", "g").found([]));
    }
    assert_eq!(
        filter.request(Request::pull("orders", "g")).verdict,
        Verdict::Forward
    );
}

#[test]
fn heartbeats_and_everything_else_pass_unseen() {
    let filter = filter(&json!({ "direction": "consume", "messages_per_second": 1 }));
    for request in [
        Request::heartbeat("c", &[("g", &["orders"])]),
        Request::new(15),
        Request::send("orders"),
    ] {
        assert!(!filter.request(request).seen);
    }
}

#[test]
fn a_wrong_configuration_says_what_is_wrong() {
    for (config, error) in [
        (json!({}), "config: missing field `rules`"),
        (
            json!({ "rules": [{}] }),
            "config.rules[0]: missing field `direction`",
        ),
        (
            json!({ "rules": [{ "direction": "send" }] }),
            "config.rules[0].messages_per_second: a rule has `messages_per_second`, `bytes_per_second` or both",
        ),
        (
            json!({ "rules": [{ "direction": "send", "messages_per_second": 0 }] }),
            "config.rules[0].messages_per_second: 0 is no rate; it is more than 0",
        ),
        (
            json!({ "rules": [{ "direction": "send", "messages_per_second": 1, "burst": 2 }] }),
            "config.rules[0].burst: unknown field `burst`, expected one of ",
        ),
        (
            json!({ "rules": [{ "direction": "both", "messages_per_second": 1 }] }),
            "config.rules[0].direction: unknown variant `both`, expected `send` or `consume`",
        ),
        (
            json!({ "instances": 0, "rules": [{ "direction": "send", "messages_per_second": 1 }] }),
            "config.instances",
        ),
    ] {
        let found = load::<RateLimit>(config).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn the_manifest_holds() {
    testing::check_manifest::<RateLimit>(
        include_str!("../manifest.json"),
        "rate-limit",
        env!("CARGO_PKG_VERSION"),
    );
}
