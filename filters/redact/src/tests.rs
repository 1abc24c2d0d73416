//! Claims about what consumers get to see.

use gimbal_sdk::Verdict;
use gimbal_sdk::testing::{self, Loaded, Message, Outcome, Request, load, metric};
use serde_json::{Value, json};

use super::Redact;

fn redact(rule: &Value) -> Loaded<Redact> {
    load(json!({ "rules": [rule] })).unwrap()
}

fn order() -> Message {
    Message::new(r#"{"id":1,"card":"4111"}"#)
}

fn texts(outcome: &Outcome) -> Vec<String> {
    outcome.command.messages.iter().map(Message::text).collect()
}

#[test]
fn a_field_is_masked_for_whom_a_rule_names() {
    let redact = redact(&json!({ "topics": ["orders"], "groups": ["analytics-*"], "mask": ["card"] }));
    let pull =
        |topic: &str, group: &str| redact.response(Request::pull(topic, group).found([order(), order()]));
    let masked = r#"{"id":1,"card":"***"}"#;
    assert_eq!(texts(&pull("orders", "analytics-1")), [masked, masked]);
    assert_eq!(
        texts(&pull("orders", "payments")),
        [order().text(), order().text()]
    );
    assert_eq!(
        texts(&pull("bills", "analytics-1")),
        [order().text(), order().text()]
    );
    assert!((metric("redacted") - 2.0).abs() < f64::EPSILON);
}

#[test]
fn every_code_by_which_a_body_leaves_is_covered() {
    let redact = redact(&json!({ "drop": ["card"] }));
    for code in [11, 361, 200_050, 200_052, 12, 33] {
        let outcome = redact.response(Request::new(code).field("topic", "orders").found([order()]));
        assert_eq!(texts(&outcome), [r#"{"id":1}"#], "{code}");
    }
    for code in [39, 309, 326] {
        let outcome = redact.request(Request::new(code).messages([order()]));
        assert_eq!(texts(&outcome), [r#"{"id":1}"#], "{code}");
    }
}

#[test]
fn in_a_retry_topic_the_own_topic_of_a_message_counts() {
    let redact = redact(&json!({ "topics": ["orders"], "mask": ["card"] }));
    let pull = Request::pull("%RETRY%g", "g")
        .found([order().property("RETRY_TOPIC", "orders"), order().topic("bills")]);
    assert_eq!(
        texts(&redact.response(pull)),
        [r#"{"id":1,"card":"***"}"#.to_owned(), order().text()]
    );
}

#[test]
fn a_query_tells_no_group_and_is_masked_all_the_same() {
    let redact = redact(&json!({ "groups": ["analytics"], "mask": ["card"] }));
    let outcome = redact.response(Request::new(12).field("topic", "orders").found([order()]));
    assert_eq!(texts(&outcome), [r#"{"id":1,"card":"***"}"#]);
}

#[test]
fn all_but_some_can_be_named() {
    let redact = redact(&json!({ "except_users": ["fraud"], "mask": ["card"] }));
    let pull = Request::pull("orders", "g");
    assert_eq!(
        texts(&redact.response(pull.clone().user("fraud").found([order()]))),
        [order().text()]
    );
    for request in [pull.clone().user("shop"), pull] {
        assert_eq!(
            texts(&redact.response(request.found([order()]))),
            [r#"{"id":1,"card":"***"}"#]
        );
    }
}

#[test]
fn a_body_that_is_no_json_is_withheld_unless_told_otherwise() {
    let pull = Request::pull("orders", "g").found([order(), Message::new("hello"), order()]);
    let withheld = redact(&json!({ "mask": ["card"] })).response(pull.clone());
    assert_eq!(withheld.answer_code(), Some(1));
    assert_eq!(
        withheld.remark(),
        "redact: rule 1: the body of a message is no JSON (topic orders, offset ?)"
    );
    let passed = redact(&json!({ "mask": ["card"], "non_json": "pass" })).response(pull.clone());
    assert_eq!(texts(&passed)[1], "hello");
    let dropped = redact(&json!({ "mask": ["card"], "non_json": "drop" })).response(pull);
    assert_eq!(texts(&dropped), [r#"{"id":1,"card":"***"}"#; 2]);
    let push = Request::new(39).messages([Message::new("hello")]);
    assert_eq!(
        redact(&json!({ "mask": ["card"] })).request(push).verdict,
        Verdict::Drop
    );
}

#[test]
fn what_cannot_be_read_or_taken_out_is_withheld() {
    let unreadable = Message {
        unreadable: Some("too big".to_owned()),
        ..order()
    };
    let outcome =
        redact(&json!({ "mask": ["card"] })).response(Request::pull("orders", "g").found([unreadable]));
    assert_eq!(outcome.remark(), "redact: too big");
    let ordered = Request::pop("orders", "g")
        .field("order", "true")
        .found([Message::new("hello"), order()]);
    let outcome = redact(&json!({ "mask": ["card"], "non_json": "drop" })).response(ordered);
    assert_eq!(outcome.remark(), "redact: this message cannot be removed");
}

#[test]
fn several_rules_add_up() {
    let redact: Loaded<Redact> = load(json!({ "mask_text": "-", "rules": [
        { "mask": ["card"] },
        { "drop": ["id"] },
    ]}))
    .unwrap();
    let outcome = redact.response(Request::pull("orders", "g").found([order(), Message::new("")]));
    assert_eq!(texts(&outcome), [r#"{"card":"-"}"#, ""]);
}

#[test]
fn a_wrong_configuration_says_what_is_wrong() {
    for (config, error) in [
        (
            json!({ "rules": [{}] }),
            "config.rules[0]: a rule has `mask`, `drop` or both",
        ),
        (
            json!({ "rules": [{ "mask": ["a", "b..c"] }] }),
            "config.rules[0].mask[1]: `b..c` is no path",
        ),
        (
            json!({ "rules": [{ "mask": ["a"], "non_json": "skip" }] }),
            "config.rules[0].non_json: unknown variant `skip`",
        ),
    ] {
        let found = load::<Redact>(config).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn the_manifest_holds() {
    testing::check_manifest::<Redact>(
        include_str!("../manifest.json"),
        "redact",
        env!("CARGO_PKG_VERSION"),
    );
}

#[test]
fn everything_can_be_taken_out_of_an_answer_and_nothing_of_a_push() {
    let redact = redact(&json!({ "mask": ["card"], "non_json": "drop" }));
    let push = Request::new(309).messages([Message::new("hello")]);
    assert_eq!(
        redact.request(push).verdict,
        Verdict::Drop,
        "a push keeps its message"
    );
    let outcome = redact.response(Request::pull("orders", "g").found([Message::new("a"), Message::new("b")]));
    assert_eq!(outcome.verdict, Verdict::Forward);
    assert!(outcome.command.messages.is_empty());
}
