//! `gimbal filter test`, `bench` and `inspect` as an author meets them.

use std::path::{Path, PathBuf};

use crate::cli::{gimbal, output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with a filter made of text, and its cases.
fn project(text: &str, cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let prelude = include_str!("../fixtures/guests/prelude.wat");
    let wasm = wat::parse_str(text.replace(";; prelude", prelude)).unwrap();
    std::fs::write(folder.path().join("filter.toml"), "name = 'mine'\nlang = 'c'\n").unwrap();
    std::fs::write(folder.path().join("mine.wasm"), wasm).unwrap();
    std::fs::write(folder.path().join("cases.toml"), cases).unwrap();
    folder
}

fn filter(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let all: Vec<&str> = ["filter"].iter().chain(args).copied().collect();
    output(gimbal(&all).current_dir(folder))
}

const VERDICTS: &str = include_str!("../fixtures/guests/verdicts.wat");

#[test]
fn cases_of_shipped_filters_are_fulfilled() {
    for name in ["acl", "rate-limit"] {
        let (code, stdout, stderr) = filter(&root(), &["test", &format!("filters/{name}")]);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(!stdout.contains("FAILED"), "{stdout}");
        assert!(stdout.contains("self-tests of the manifest"), "{stdout}");
        assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    }
}

#[test]
fn a_case_that_is_not_as_expected_says_how_and_fails() {
    let cases = "[[case]]\nname = 'a stamp'\ncommand = { code = 2005 }\nexpect = { fields = { seen = 'no', lost = '' } }\n\
                 [[case]]\nname = 'a refusal'\ncommand = { code = 2001 }\nexpect = { verdict = 'answer', code = 13 }\n\
                 [[case]]\nname = 'a hold'\ncommand = { code = 2002 }\nexpect = { delay = '25ms' }\n\
                 [[case]]\nname = 'a trap'\ncommand = { code = 2010 }\n\
                 [[case]]\nname = 'a trap that is meant'\ncommand = { code = 2010 }\nexpect = { failure = '*lost*' }\n";
    let folder = project(VERDICTS, cases);
    let (code, stdout, _) = filter(folder.path(), &["test"]);
    assert_eq!(code, Some(1), "{stdout}");
    for wanted in [
        "field seen: expected \"no\", got \"yes\"",
        "+ field seen = yes",
        "code: expected 13, got 16",
        "ok      a hold",
        "FAILED  a trap ",
        "5 cases: 2 ok, 3 failed",
    ] {
        assert!(stdout.contains(wanted), "{wanted}\n{stdout}");
    }
    let (code, stdout, _) = filter(folder.path(), &["test", "--filter-case", "hold"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("1 case: 1 ok"), "{stdout}");
    let (code, _, stderr) = filter(folder.path(), &["test", "--filter-case", "nowhere"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("no case has \"nowhere\" in its name"), "{stderr}");
}

#[test]
fn verdicts_that_make_clients_storm_are_warned_of() {
    let always_16 = r#"(module
  ;; prelude
  (func (export "gimbal:filter/lifecycle@0.1.0#init") (param i32 i32) (result i32) (call $interest))
  (func (export "gimbal:filter/requests@0.1.0#on-request") (param i32) (result i32)
    (call $answer (i32.const 215) (i32.const 64) (i32.const 0))))"#;
    let cases = "[[case]]\nname = 'a pull'\npull = { topic = 'T' }\n\
                 [[case]]\nname = 'a pull, meant so'\npull = { topic = 'T' }\nexpect = { retried = true }\n\
                 [[case]]\nname = 'a send'\nsend = { topic = 'T' }\n";
    let folder = project(always_16, cases);
    let (code, stdout, _) = filter(folder.path(), &["test"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert_eq!(stdout.matches("warning  ").count(), 1, "{stdout}");
    assert!(
        stdout.contains("consumers ask again after 20 ms after 215"),
        "{stdout}"
    );
    assert!(stdout.contains("3 cases: 3 ok, 1 warning"), "{stdout}");
}

#[test]
fn a_bad_case_file_is_explained_line_by_line() {
    let folder = project(
        VERDICTS,
        "[[case]]\nname = 'a'\nsedn = {}\n[[case]]\nname = 'b'\n",
    );
    let (code, _, stderr) = filter(folder.path(), &["test"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("case[0].sedn  (./cases.toml:3)"), "{stderr}");
    assert!(stderr.contains("accepted: send (closest)"), "{stderr}");
    assert!(stderr.contains("(./cases.toml:4)"), "{stderr}");
}

#[test]
fn a_project_that_was_not_built_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("filter.toml"), "name = 'mine'\n").unwrap();
    let (code, _, stderr) = filter(folder.path(), &["test"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("mine.wasm is not there; build it first"),
        "{stderr}"
    );
}

#[test]
fn a_bench_measures_every_case_and_fails_beyond_its_budgets() {
    let hook = include_str!("../fixtures/guests/hook.wat");
    let cases = "[[case]]\nname = 'two strings read'\nsend = { topic = 'T' }\n";
    let folder = project(hook, cases);
    let (code, stdout, stderr) = filter(folder.path(), &["bench"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("two strings read"), "{stdout}");
    assert!(
        stdout.contains("64.0 KiB  forward"),
        "the memory of an instance: {stdout}"
    );
    let (code, stdout, _) = filter(folder.path(), &["bench", "--fuel-budget", "5"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("over budget: \"two strings read\" uses"),
        "{stdout}"
    );
    let (code, stdout, _) = filter(
        folder.path(),
        &["bench", "--budget", "1ns", "--fuel-budget", "1000000"],
    );
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("more than the budget of 1 ns"), "{stdout}");
    let fuel = |stdout: &str| {
        let line = stdout
            .lines()
            .find(|line| line.starts_with("two strings read"))
            .unwrap();
        line.split("  ")
            .filter(|part| !part.trim().is_empty())
            .nth(3)
            .unwrap()
            .trim()
            .to_owned()
    };
    let (_, again, _) = filter(folder.path(), &["bench"]);
    assert_eq!(fuel(&stdout), fuel(&again), "fuel is the same every time");
}

#[test]
fn inspect_tells_what_is_inside() {
    let (code, stdout, stderr) = filter(&root(), &["inspect", "filters/acl/acl.wasm"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for wanted in [
        "acl 0.1.0",
        "core module",
        "Rust",
        "lifecycle, requests",
        "command, client, log",
        "default:",
    ] {
        assert!(stdout.contains(wanted), "{wanted}\n{stdout}");
    }
    assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    let (code, stdout, _) = filter(&root(), &["inspect", "filters/rate-limit", "--json"]);
    assert_eq!(code, Some(0), "{stdout}");
    let found: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(found["name"], "rate-limit");
    assert_eq!(found["on_error"], "open");
    assert_eq!(found["language"], "Rust");
    assert_eq!(found["problem"], serde_json::Value::Null);
    assert!(
        found["interests"].as_array().is_some_and(|all| !all.is_empty()),
        "{found}"
    );
}

#[test]
fn inspect_tells_why_a_file_cannot_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = wat::parse_str("(module (import \"env\" \"f\" (func)))").unwrap();
    std::fs::write(folder.path().join("foreign.wasm"), foreign).unwrap();
    std::fs::write(folder.path().join("text.wasm"), "not one").unwrap();
    let (code, stdout, _) = filter(folder.path(), &["inspect", "foreign.wasm"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("foreign     env"), "{stdout}");
    assert!(
        stdout.contains("cannot be loaded: imports: it imports `env`"),
        "{stdout}"
    );
    let (code, stdout, _) = filter(folder.path(), &["inspect", "text.wasm"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("the file is not WebAssembly"), "{stdout}");
}

#[test]
fn the_schema_of_cases_describes_every_key() {
    let (code, stdout, _) = output(&mut gimbal(&["schema", "cases"]));
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let case = &schema["properties"]["case"]["items"]["properties"];
    let keys = case.as_object().unwrap();
    assert!(keys.len() > 15, "{keys:?}");
    for (key, about) in keys {
        assert!(about["description"].is_string(), "{key}");
    }
}
