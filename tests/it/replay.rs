//! Recorded commands through filters that come with Gimbal: verdicts, differences, and what is wrong with a file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::cli::{gimbal, output};

const ACL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/filters/acl/acl.wasm");
const HEADER: &str =
    "{\"gimbal\":\"0.1.0\",\"recorded\":\"2026-01-02T03:04:05Z\",\"bodies\":false,\"masked\":[]}";
const DENIES_ORDERS: &str = "[config]\ndefault = \"allow\"\n[[config.rules]]\nname = \"closed\"\neffect = \"deny\"\n\
                             topics = [\"orders\"]\n";
const ALLOWS: &str = "[config]\ndefault = \"allow\"\n";

fn send(at_us: u64, topic: &str) -> String {
    format!(
        "{{\"at_us\":{at_us},\"way\":\"request\",\"session\":1,\"client\":{{\"peer\":\"10.0.0.7:1\",\"id\":\"c@1\",\
         \"language\":\"JAVA\",\"version\":479}},\"command\":{{\"code\":310,\"opaque\":1,\"version\":479,\
         \"fields\":{{\"a\":\"shop\",\"b\":\"{topic}\",\"e\":\"0\"}},\"body_size\":5}}}}"
    )
}

/// A folder with a recording of two sends, and two files of settings.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put("deny.toml", DENIES_ORDERS);
        files.put("allow.toml", ALLOWS);
        let lines = [
            HEADER.to_owned(),
            send(0, "orders"),
            "{\"left_out\":3}".to_owned(),
            send(1_500, "invoices"),
        ];
        files.put("t.jsonl", &(lines.join("\n") + "\n"));
        files
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn replay(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = gimbal(&["replay"]);
        command.args(args).current_dir(self.0.path());
        output(&mut command)
    }
}

#[test]
fn each_command_is_told_with_its_verdict() {
    let files = Files::new();
    let (code, stdout, stderr) = files.replay(&["t.jsonl", "--filter", ACL, "--config", "deny.toml"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{stdout}");
    for part in [
        "request",
        "SEND_MESSAGE_V2",
        "orders shop",
        "c@1",
        "answer 16 NO_PERMISSION",
        " ns",
    ] {
        assert!(lines[0].contains(part), "{part}: {stdout}");
    }
    assert!(
        lines[1].contains("invoices shop") && lines[1].contains("forward"),
        "{stdout}"
    );
    assert_eq!(
        lines[2],
        "2 commands, 1 answer, 1 forward, 3 are missing in the recording"
    );
}

#[test]
fn lines_of_json_say_the_same() {
    let files = Files::new();
    let (code, stdout, _) = files.replay(&["t.jsonl", "--filter", ACL, "--config", "deny.toml", "--json"]);
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["topic"], "orders");
    assert_eq!(lines[0]["decided"]["verdict"], "answer");
    assert_eq!(
        (&lines[1]["line"], &lines[1]["at_us"]),
        (&4.into(), &1_500.into())
    );
    assert_eq!(lines[2]["summary"]["verdicts"]["forward"], 1);
    assert_eq!(lines[2]["summary"]["left_out"], 3);
}

#[test]
fn two_versions_are_told_apart_by_what_they_decide() {
    let files = Files::new();
    let two = |other: &str, more: &[&str]| {
        let mut args = vec!["t.jsonl", "--filter", ACL, "--config", "deny.toml"];
        args.extend(["--against", ACL, "--against-config", other]);
        args.extend(more);
        files.replay(&args)
    };
    let (code, stdout, stderr) = two("allow.toml", &[]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    assert!(
        stdout.contains("    filter   answer 16 NO_PERMISSION"),
        "{stdout}"
    );
    assert!(stdout.contains("    against  forward"), "{stdout}");
    assert!(
        !stdout.contains("invoices"),
        "what does not differ is not told: {stdout}"
    );
    assert!(stdout.ends_with("1 differ\n"), "{stdout}");
    assert_eq!(two("allow.toml", &["--ok-differences"]).0, Some(0));
    let (code, stdout, _) = two("deny.toml", &[]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.ends_with("0 differ\n") && stdout.lines().count() == 1,
        "{stdout}"
    );
}

#[test]
fn a_recording_may_come_from_a_pipe_and_be_cut_short() {
    let files = Files::new();
    let text = std::fs::read_to_string(files.0.path().join("t.jsonl")).unwrap();
    let (cut, _) = text.split_at(text.len() - 20);
    let mut command = gimbal(&["replay", "-", "--filter", ACL, "--config", "deny.toml", "--pace"]);
    command
        .current_dir(files.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(cut.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.starts_with("warning: -: line 4 is cut short"), "{stderr}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .ends_with("1 commands, 1 answer, 3 are missing in the recording\n")
    );
    let (_, stdout, _) = files.replay(&[
        "t.jsonl",
        "--filter",
        ACL,
        "--config",
        "deny.toml",
        "--limit",
        "1",
    ]);
    assert!(stdout.contains("\n1 commands, "), "{stdout}");
}

#[test]
fn what_cannot_be_replayed_is_told_with_its_place() {
    let files = Files::new();
    files.put(
        "bad.jsonl",
        &format!("{HEADER}\n{}\nnonsense\n", send(0, "orders")),
    );
    files.put("none.jsonl", "hello\n");
    files.put("bad.toml", "[confg]\n");
    files.put("bad.wasm", "no filter");
    let missing = Path::new("missing.jsonl").to_str().unwrap();
    for (args, said) in [
        (
            vec!["bad.jsonl", "--filter", ACL, "--config", "allow.toml"],
            "bad.jsonl: line 3: it is not JSON",
        ),
        (
            vec!["none.jsonl", "--filter", ACL, "--config", "allow.toml"],
            "none.jsonl: line 1: it is not the first line of a recording",
        ),
        (
            vec![missing, "--filter", ACL, "--config", "allow.toml"],
            "missing.jsonl cannot be read",
        ),
        (
            vec!["t.jsonl", "--filter", "gone.wasm"],
            "gone.wasm cannot be read",
        ),
        (vec!["t.jsonl", "--filter", "bad.wasm"], "bad.wasm"),
        (vec!["t.jsonl", "--filter", ACL, "--config", "bad.toml"], "confg"),
    ] {
        let (code, _, stderr) = files.replay(&args);
        assert_eq!(code, Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    for args in [
        vec!["t.jsonl"],
        vec!["t.jsonl", "--filter", ACL, "--ok-differences"],
    ] {
        assert_eq!(files.replay(&args).0, Some(2), "{args:?}");
    }
}
