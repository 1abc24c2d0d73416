//! The access log answers "who is it?" in one line, and never with a body or a key.

use std::path::Path;

use gimbal::config::AccessLog;
use gimbal::filter::{Answer, Verdict};
use gimbal::protocol::{Code, request as rq, response};
use serde_json::Value;

use crate::metrics::eventually;
use crate::support::Group;
use crate::support::filters::{Script, Stage};

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn log_at(path: &Path, sample: f64) -> AccessLog {
    AccessLog {
        path: Some(path.to_string_lossy().into_owned()),
        sample,
        ..AccessLog::default()
    }
}

fn check_denied(denied: &Value) {
    assert_eq!(denied["outcome"], "denied");
    assert_eq!(denied["client"], "c");
    assert!(
        denied["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{denied}"
    );
    assert_eq!(
        (&denied["code"], &denied["name"]),
        (&310.into(), &"SEND_MESSAGE_V2".into())
    );
    assert_eq!(
        (&denied["topic"], &denied["group"]),
        (&"orders".into(), &"shop".into())
    );
    assert_eq!(denied["filters"][0]["filter"], "acl");
    assert_eq!(denied["filters"][0]["verdict"], "answer");
    assert_eq!(denied["filters"][0]["detail"], "16");
    assert_eq!(denied["remark"], "not for you");
    assert!(
        denied["total_us"].is_u64() && denied["chain_us"].is_u64(),
        "{denied}"
    );
}

#[tokio::test]
async fn a_denied_command_is_in_the_log_with_who_what_where_and_which_filter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let filter = Script::of(&[rq::SEND_MESSAGE_V2]).always(Verdict::Answer(Answer::new(
        response::NO_PERMISSION,
        "not for you",
    )));
    let stage = Stage::set(vec![filter.member("acl")], |gimbal| {
        gimbal.with(|config| config.access_log = log_at(&path, 0.0))
    })
    .await;
    let (mut client, mut link) = stage.linked().await;
    let beat = client.beat(&[Group::Producer("shop")]).await;
    let heard = link.expect(rq::HEART_BEAT).await;
    link.answer(&heard, response::SUCCESS).await;
    client.answer(beat).await;
    let fields = [
        ("a", "shop"),
        ("b", "orders"),
        ("n", "a"),
        ("i", "KEYS\u{1}key-4711\u{2}"),
        ("AccessKey", "secret-access"),
        ("Signature", "secret-signature"),
    ];
    let asked = client.ask_with(rq::SEND_MESSAGE_V2, &fields, "body-4711").await;
    client.answer(asked).await;
    // One that passes leaves no line: the share of those is 0.
    let asked = client
        .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
        .await;
    let came = link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&came, response::SUCCESS).await;
    client.answer(asked).await;
    // An error of a broker leaves one.
    let asked = client
        .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
        .await;
    let came = link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&came, response::SYSTEM_ERROR).await;
    client.answer(asked).await;
    eventually("two lines are written", || lines(&path).len() == 2).await;
    let [denied, failed] = &lines(&path)[..] else {
        panic!("two lines");
    };
    check_denied(denied);
    assert_eq!((&failed["broker"], &failed["result"]), (&"a".into(), &1.into()));
    let text = std::fs::read_to_string(&path).unwrap();
    for secret in ["4711", "secret"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_share_of_one_leaves_a_line_for_every_command_and_a_reload_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let stage = Stage::set(Vec::new(), |gimbal| {
        gimbal.with(|config| config.access_log = log_at(&path, 1.0))
    })
    .await;
    let mut client = stage.client().await;
    client.route("T").await;
    eventually("the route is a line", || lines(&path).len() == 1).await;
    assert_eq!(lines(&path)[0]["outcome"], "answered");
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&path, &moved).unwrap();
    let mut config = crate::support::Gimbal::before(&[&stage.ns]).config;
    config.listeners[0].broker_ports = None;
    config.access_log = log_at(&path, 0.0);
    stage.running.proxy.reload(config);
    client.route("T").await;
    let refused = client.call(Code(3_442), &[]).await;
    assert_eq!(refused.head.code, response::REQUEST_CODE_NOT_SUPPORTED);
    eventually("what is refused is a line in the new file", || {
        lines(&path).len() == 1
    })
    .await;
    assert_eq!(lines(&path)[0]["outcome"], "refused");
    assert_eq!(lines(&moved).len(), 1);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_harms_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not-there/access.log");
    let stage = Stage::set(Vec::new(), |gimbal| {
        gimbal.with(|config| config.access_log = log_at(&path, 1.0))
    })
    .await;
    let mut client = stage.client().await;
    client.route("T").await;
    let text = || stage.running.proxy.observers().metrics.text();
    let failed = "gimbal_access_log_lines_total{outcome=\"failed\"} 1";
    eventually("the lost line is counted", || text().contains(failed)).await;
}
