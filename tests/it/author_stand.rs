//! The host as a library: filters in Rust tests, on the engine of the proxy.

use std::path::PathBuf;

use gimbal::author::stand::client;
use gimbal::author::{Setup, StandError};
use gimbal::filter::{Policy, Verdict};
use gimbal::protocol::{Code, Command, request, response};
use serde_json::json;

fn shipped(name: &str) -> Setup {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Setup::open(root.join(format!("filters/{name}/{name}.wasm"))).unwrap()
}

fn guest(text: &str) -> Setup {
    let prelude = include_str!("../fixtures/guests/prelude.wat");
    Setup::of(
        "guest",
        wat::parse_str(text.replace(";; prelude", prelude)).unwrap(),
    )
}

fn send(topic: &str) -> Command {
    Command::request(request::SEND_MESSAGE_V2, 1)
        .with_field("a", "producers")
        .with_field("b", topic)
        .with_field("e", "0")
        .with_body("hello")
}

#[test]
fn a_shipped_filter_is_asked_as_in_the_proxy() {
    let rules = json!([{"effect": "deny", "topics": ["payroll*"], "addresses": ["10.0.0.0/8"]}]);
    let acl = shipped("acl").with_config(json!({"default": "allow", "rules": rules}));
    let stand = acl.load().unwrap();
    assert_eq!(stand.about().title.as_deref(), Some("acl"));

    let passed = stand.request(&send("payroll"), &client()).unwrap();
    assert_eq!(passed.verdict, Verdict::Forward, "{passed}");
    assert!(passed.changes.is_empty(), "{passed}");
    assert!(
        passed.reads.contains(&"accesses".to_owned()),
        "{:?}",
        passed.reads
    );

    let mut inside = client();
    inside.peer.set_ip([10, 0, 0, 7].into());
    let refused = stand.request(&send("payroll"), &inside).unwrap();
    let Verdict::Answer(answer) = &refused.verdict else {
        panic!("{refused}")
    };
    assert_eq!(answer.code, response::NO_PERMISSION);
    assert!(refused.remark().unwrap().contains("payroll"), "{refused}");
}

#[test]
fn what_was_changed_is_told_field_by_field() {
    let stand = guest(include_str!("../fixtures/guests/verdicts.wat"))
        .load()
        .unwrap();
    let command = Command::request(Code(2005), 1).with_field("other", "stays");
    let decision = stand.request(&command, &client()).unwrap();
    assert_eq!(decision.field("seen"), Some("yes"));
    let changes: Vec<String> = decision.changes.iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["+ field seen = yes"]);
}

#[test]
fn a_failure_is_told_with_last_words_and_what_the_policy_does() {
    let text = include_str!("../fixtures/guests/verdicts.wat");
    let command = Command::request(Code(2011), 1);
    let closed = guest(text).load().unwrap().request(&command, &client()).unwrap();
    assert_eq!(closed.verdict.name(), "answer");
    assert!(
        closed.failure.as_deref().unwrap().contains("lost my way"),
        "{closed}"
    );
    assert_eq!(closed.lines, [("error", "lost my way".to_owned())]);
    let open = guest(text).with_policy(Policy::Open).load().unwrap();
    let open = open.request(&command, &client()).unwrap();
    assert_eq!(open.verdict, Verdict::Forward);
    assert!(open.failure.is_some());
}

#[test]
fn a_filter_that_does_not_take_its_config_says_what_it_takes() {
    let error = shipped("rate-limit")
        .with_config(json!({"rules": [{"direction": "up"}]}))
        .load()
        .unwrap_err();
    assert!(matches!(error, StandError::Load(_)), "{error}");
    assert!(error.to_string().contains("config.rules[0]"), "{error}");
}

#[test]
fn what_it_was_not_granted_is_not_there() {
    let error = shipped("rate-limit").with_grants(Vec::new()).load().unwrap_err();
    assert!(error.to_string().contains("grants"), "{error}");
}
