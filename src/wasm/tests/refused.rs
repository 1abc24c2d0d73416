//! What is not loaded, and what its operator reads then: what was wrong and what would be accepted.

use super::*;

const VERDICTS: &str = include_str!("../../../tests/fixtures/guests/verdicts.wat");
const STEERED: &str = include_str!("../../../tests/fixtures/guests/steered.wat");
const INIT: &str =
    r#"(func (export "gimbal:filter/lifecycle@0.1.0#init") (param i32 i32) (result i32) (call $interest))"#;
const REQUEST: &str =
    r#"(func (export "gimbal:filter/requests@0.1.0#on-request") (param i32) (result i32) (call $forward))"#;

fn refused_bytes(bytes: &[u8]) -> String {
    host().load(source(bytes.to_vec())).unwrap_err().to_string()
}

fn with_config(config: Value) -> Source {
    Source {
        config,
        ..source(wasm(STEERED))
    }
}

fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }
}

#[test]
fn files_that_are_no_webassembly() {
    says(
        &refused_bytes(b""),
        &[
            "read: the file is empty",
            "accepted: a WebAssembly component or core module",
        ],
    );
    says(
        &refused_bytes(b"#!/bin/sh"),
        &["read: the file is not WebAssembly"],
    );
    says(
        &refused_bytes(b"\0asm\x01"),
        &["read: the file ends after its first bytes"],
    );
    let whole = wasm(VERDICTS);
    says(
        &refused_bytes(&whole[..whole.len() - 9]),
        &["read: the file is damaged"],
    );
}

#[test]
fn modules_of_another_world() {
    let empty = "(module)";
    says(
        &refused(empty),
        &[
            "exports: it exports nothing that makes a filter",
            "lifecycle, and at least one of requests",
        ],
    );
    let alone = format!("(module ;; prelude\n {INIT})");
    says(
        &refused(&alone),
        &["it exports `lifecycle` alone and would never be called"],
    );
    let headless = format!("(module ;; prelude\n {REQUEST})");
    says(
        &refused(&headless),
        &["does not export `lifecycle`; it exports gimbal:filter/requests@0.1.0"],
    );
    let newer = format!("(module ;; prelude\n {INIT} {REQUEST})").replace("requests@0.1.0", "requests@0.9.0");
    says(
        &refused(&newer),
        &["`gimbal:filter/requests@0.9.0`, and this Gimbal speaks version 0.1.0"],
    );
    let component = r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;
    says(
        &refused(component),
        &["exports: it does not export `lifecycle`; it exports wasi:http/incoming-handler@0.2.0"],
    );
}

#[test]
fn functions_of_the_wrong_type() {
    let odd = format!("(module ;; prelude\n {INIT} {REQUEST})")
        .replace(r#"on-request") (param i32)"#, r#"on-request") (param i64)"#);
    says(
        &refused(&odd),
        &["componentize: it cannot be made a component", "on-request"],
    );
}

#[test]
fn imports_that_filters_do_not_get() {
    let importing = |module: &str| {
        format!(
            r#"(module (import "{module}" "f" (func)) ;; prelude
 {INIT} {REQUEST})"#
        )
    };
    says(
        &refused(&importing("env")),
        &[
            "imports: it imports `env`, which filters do not get",
            "command, messages",
        ],
    );
    says(
        &refused(&importing("gimbal:filter/store@0.0.9")),
        &["`gimbal:filter/store@0.0.9`, and this Gimbal speaks version 0.1.0"],
    );
    says(
        &refused(&importing("gimbal:filter/shell@0.1.0")),
        &["there is no such interface"],
    );
    let wasi = r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#;
    says(
        &refused(wasi),
        &[
            "it imports `wasi:cli/environment@0.2.0`, and filters get no WASI",
            "--stub-wasi",
        ],
    );
}

#[test]
fn a_missing_grant_is_named() {
    let mut source = source(wasm(STEERED));
    source.grants = Some(vec!["limit".to_owned()]);
    let error = host().load(source.clone()).unwrap_err().to_string();
    says(
        &error,
        &[
            "grants: it needs `store`, which its grants (limit) do not include",
            "grants with `store`",
        ],
    );
    source.grants = Some(vec!["stroe".to_owned()]);
    says(
        &host().load(source.clone()).unwrap_err().to_string(),
        &["there is no interface `stroe`", "store, limit"],
    );
    source.grants = Some(vec!["limit".to_owned(), "store".to_owned()]);
    let granted = host().load(source).unwrap().about.grants;
    assert_eq!(
        granted,
        ["command", "client", "store", "limit", "log", "clock", "random"]
    );
}

#[test]
fn what_goes_wrong_in_init() {
    let error = |what: &str| {
        host()
            .load(with_config(json!({ "do": what })))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(error("e"), r#"init: give me a prefix, such as {"prefix": "a."}"#);
    says(
        &error("t"),
        &["init: it stopped: wasm trap: wasm `unreachable` instruction executed"],
    );
    says(
        &error("r"),
        &["init: an interest has the response phase, and the filter does not export `responses`"],
    );
    says(
        &error("l"),
        &[
            "init: it used up its time budget of 5s",
            "an `init` that returns interests",
        ],
    );
}

#[test]
fn a_guest_that_begins_too_big() {
    let mut source = source(wasm(STEERED));
    source.budget.memory = 1 << 15;
    let error = host().load(source).unwrap_err().to_string();
    says(
        &error,
        &["instantiate: it wanted more than its memory limit of 32768 bytes"],
    );
}

fn manifest(of: &Value) -> Result<Loaded, LoadError> {
    host().load(source(with_manifest(wasm(VERDICTS), of)))
}

#[test]
fn manifests_that_are_none() {
    let error = |of: Value| manifest(&of).unwrap_err().to_string();
    says(
        &error(json!({ "name": "v" })),
        &[
            "read: the manifest: ",
            "missing field `version`",
            "a JSON object with name",
        ],
    );
    says(
        &error(json!({ "name": "v", "version": "1", "self_tests": [{ "naem": "x" }] })),
        &["self_tests[0]", "unknown field `naem`"],
    );
    says(
        &error(json!({ "name": "v", "version": "1", "imports": ["shell"] })),
        &["there is no interface `shell`", "command, messages"],
    );
    says(
        &error(json!({ "name": "v", "version": "1", "config": { "type": "thing" } })),
        &["config is no JSON Schema"],
    );
    let one = json!({ "name": "v", "version": "1" });
    let twice = with_manifest(with_manifest(wasm(VERDICTS), &one), &one);
    says(
        &refused_bytes(&twice),
        &["has 2 sections `gimbal:manifest` beside each other; accepted: one"],
    );
}

#[test]
fn a_config_is_checked_against_the_schema_and_every_problem_named() {
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "properties": { "rules": { "type": "array", "items": { "type": "object", "properties": { "rate": { "type": "number" } } } } },
        "required": ["rules"],
    });
    let mut source = source(with_manifest(
        wasm(VERDICTS),
        &json!({ "name": "v", "version": "1", "config": schema }),
    ));
    source.config = json!({ "rules": [{ "rate": "fast" }], "extra": 1 });
    let error = host().load(source.clone()).unwrap_err().to_string();
    says(
        &error,
        &[
            "config: ",
            "config.rules[0].rate: \"fast\" is not of type \"number\"",
            "'extra' was unexpected",
        ],
    );
    source.config = json!({ "rules": [{ "rate": 5 }] });
    assert_eq!(host().load(source).unwrap().about.title.as_deref(), Some("v"));
}

#[test]
fn a_self_test_that_does_not_hold() {
    let test = |expect: Value| {
        manifest(&json!({
            "name": "v", "version": "1", "on_error": "open", "description": "d", "imports": ["command", "log"],
            "self_tests": [
                { "name": "holds", "request": { "code": 2000 }, "expect": "forward" },
                { "name": "answers", "config": {}, "request": { "code": 2001, "fields": { "topic": "T" } }, "expect": expect },
            ],
        }))
    };
    let error = test(json!("forward")).unwrap_err().to_string();
    says(
        &error,
        &["self-test: self-test \"answers\": expected forward, got answer 16"],
    );
    let about = test(json!({ "answer": 16 })).unwrap().about;
    assert_eq!(about.policy, Some(crate::filter::Policy::Open));
    assert_eq!(about.interests, ["requests of every code"]);
    let fails = manifest(&json!({
        "name": "v", "version": "1",
        "self_tests": [{ "name": "oneway", "request": { "code": 2001, "oneway": true }, "expect": "drop" }],
    }));
    says(
        &fails.unwrap_err().to_string(),
        &["self-test \"oneway\": impossible verdict: answer to a one-way command"],
    );
}
