//! Claims about what a guard lets through.

use gimbal_sdk::Verdict;
use gimbal_sdk::testing::{self, Loaded, Message, Request, load, metric};
use serde_json::{Value, json};

use super::Guard;

fn guard(rule: &Value) -> Loaded<Guard> {
    load(json!({ "rules": [rule] })).unwrap()
}

/// The remark of the refusal; empty if the request went through.
fn fault(guard: &Loaded<Guard>, request: Request) -> String {
    let outcome = guard.request(request);
    assert!(
        matches!(outcome.answer_code(), None | Some(13)),
        "13 is not tried again by producers"
    );
    outcome.remark().to_owned()
}

#[test]
fn bodies_have_a_size() {
    let guard = guard(&json!({ "name": "small", "topics": ["orders*"], "max_body_bytes": 10 }));
    assert_eq!(fault(&guard, Request::send("orders").body(vec![0; 10])), "");
    assert_eq!(
        fault(&guard, Request::send("orders").body(vec![0; 11])),
        "guard: small: a body of 11 bytes, at most 10 are allowed"
    );
    assert_eq!(fault(&guard, Request::send("bills").body(vec![0; 11])), "");
    let batch = Request::batch("orders", [Message::new("x"), Message::new(vec![0; 12])]);
    assert_eq!(
        fault(&guard, batch),
        "guard: small: message 2 of 2: a body of 12 bytes, at most 10 are allowed"
    );
}

#[test]
fn batches_have_a_length() {
    let guard = guard(&json!({ "max_batch": 2 }));
    let batch = |count| Request::batch("orders", (0..count).map(|_| Message::new("x")));
    assert_eq!(fault(&guard, batch(2)), "");
    assert_eq!(
        fault(&guard, batch(3)),
        "guard: rule 1: 3 messages in a batch, at most 2 are allowed"
    );
}

#[test]
fn properties_are_counted_measured_and_required() {
    let guard = guard(&json!({
        "max_properties": 2, "max_property_bytes": 24, "required_properties": ["tenant"],
    }));
    let send = |pairs: &[(&str, &str)]| {
        let request = Request::send("orders");
        pairs
            .iter()
            .fold(request, |request, (name, value)| request.property(name, value))
    };
    assert_eq!(fault(&guard, send(&[("tenant", "a"), ("k", "v")])), "");
    assert_eq!(
        fault(&guard, send(&[("k", "v")])),
        "guard: rule 1: property tenant is missing"
    );
    assert_eq!(
        fault(&guard, send(&[("tenant", "a"), ("k", "v"), ("l", "v")])),
        "guard: rule 1: 3 properties, at most 2 are allowed"
    );
    assert_eq!(
        fault(&guard, send(&[("tenant", "a"), ("k", "0123456789ABC")])),
        "guard: rule 1: 25 bytes of properties, at most 24 are allowed"
    );
}

#[test]
fn names_follow_patterns() {
    let guard = guard(&json!({ "topic_names": ["team-?-*"], "group_names": ["GID_*"] }));
    let send = |topic: &str, group: &str| Request::send(topic).field("a", group);
    assert_eq!(fault(&guard, send("team-a-orders", "GID_shop")), "");
    assert_eq!(fault(&guard, send("team-a-orders", "CLIENT_INNER_PRODUCER")), "");
    assert_eq!(
        fault(&guard, send("orders", "GID_shop")),
        "guard: rule 1: topic orders is not named as team-?-*"
    );
    assert_eq!(
        fault(&guard, Request::pull("team-a-orders", "shop")),
        "guard: rule 1: group shop is not named as GID_*"
    );
    let heartbeat = Request::heartbeat("c", &[("shop", &["team-a-orders"]), ("GID_shop", &["orders"])]);
    let outcome = guard.request(heartbeat);
    assert_eq!(outcome.verdict, Verdict::Forward);
    assert_eq!(outcome.command.removed_groups, ["shop"]);
}

#[test]
fn ways_of_sending_can_be_banned() {
    let guard = guard(&json!({ "ban_oneway": true, "ban_delayed": true }));
    assert_eq!(
        guard.request(Request::send("orders").oneway()).verdict,
        Verdict::Drop
    );
    assert!((metric("dropped{rule=rule 1}") - 1.0).abs() < f64::EPSILON);
    for property in ["DELAY", "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"] {
        assert_eq!(
            fault(&guard, Request::send("orders").property(property, "3")),
            format!("guard: rule 1: delayed messages are not allowed (property {property})")
        );
    }
}

#[test]
fn what_clients_send_on_their_own_account_passes() {
    let guard =
        guard(&json!({ "topic_names": ["team-*"], "ban_delayed": true, "required_properties": ["tenant"] }));
    assert_eq!(
        fault(&guard, Request::send("%RETRY%g").property("DELAY", "3")),
        ""
    );
    assert_eq!(fault(&guard, Request::send("RMQ_SYS_TRACE_TOPIC")), "");
    assert_eq!(
        fault(&guard, Request::new(325).field("b", "DefaultCluster_REPLY_TOPIC")),
        ""
    );
}

#[test]
fn a_wrong_configuration_says_what_is_wrong() {
    for (config, error) in [
        (
            json!({ "rules": [{ "topics": ["x"] }] }),
            "config.rules[0]: the rule asks for nothing",
        ),
        (
            json!({ "rules": [{ "max_batch": 0 }] }),
            "config.rules[0]: `max_batch` is at least 1",
        ),
        (
            json!({ "rules": [{ "max_body": 1 }] }),
            "config.rules[0].max_body: unknown field `max_body`, expected one of ",
        ),
        (
            json!({ "rules": [{ "max_body_bytes": -1 }] }),
            "config.rules[0].max_body_bytes: invalid value",
        ),
    ] {
        let found = load::<Guard>(config).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn the_manifest_holds() {
    testing::check_manifest::<Guard>(
        include_str!("../manifest.json"),
        "guard",
        env!("CARGO_PKG_VERSION"),
    );
}
