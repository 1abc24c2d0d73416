//! What serves after a start, whatever the folder holds.

use std::net::SocketAddr;
use std::sync::Arc;

use gimbal::filter::folder::Serving;
use gimbal::filter::{Client, Mode, Outcome, Policy, Subject, Way};
use gimbal::protocol::{Command, Head, request, response};

use super::stage::Stage;

#[tokio::test]
async fn after_a_restart_with_a_broken_file_the_last_accepted_version_serves() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    stage.write("20-a.toml", "mode = 'shadow'");
    let running = stage.start().await;
    running.until_versions(&["a=1"]).await;
    drop(running);
    stage.write("20-a.wasm", "bad");
    stage.write("20-a.toml", "mode = 'enforce'");
    let running = stage.start().await;
    let status = running.status("a");
    assert_eq!(
        (status.serving, status.version.as_deref()),
        (Serving::Accepted, Some("1"))
    );
    assert_eq!(status.mode, "shadow", "with the settings it was accepted with");
    assert!(running.in_force.is_ready());
    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    assert_eq!(running.status("a").serving, Serving::Current);
}

#[tokio::test]
async fn a_filter_that_never_loaded_refuses_its_scope_and_keeps_the_proxy_from_being_ready() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "bad");
    stage.write("20-a.toml", "[scope]\ntopics = 'orders'");
    stage.write("30-open.wasm", "bad");
    stage.write("30-open.toml", "on_error = 'open'");
    stage.write("40-off.wasm", "bad");
    stage.write("40-off.toml", "mode = 'off'");
    let running = stage.start().await;
    running.until_versions(&["a=refused"]).await;
    let chain = running.in_force.chain();
    let member = &chain.members()[0];
    assert_eq!(member.scope.topics.written(), ["orders"]);
    assert_eq!((member.policy, member.mode), (Policy::Closed, Mode::Enforce));
    assert!(!running.in_force.is_ready());
    let reasons = running.in_force.unready();
    assert!(
        reasons[0].contains("filter a was never loaded: is \"bad\""),
        "{reasons:?}"
    );
    assert_eq!(running.status("open").serving, Serving::Nothing);

    stage.write("20-a.wasm", "1");
    running.until_versions(&["a=1"]).await;
    assert!(running.in_force.is_ready());
}

#[tokio::test]
async fn what_is_refused_is_answered_and_what_is_out_of_scope_goes_on() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "bad");
    stage.write("20-a.toml", "[scope]\ntopics = 'orders'");
    let running = stage.start().await;
    let decide = |topic: &str| {
        let mut command = Command::request(request::SEND_MESSAGE_V2, 7);
        command.set_field("b", topic.to_owned());
        let frame = command.encode().unwrap();
        let peer: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let client = Arc::new(Client::new(peer, "main".into(), 1));
        let subject = Subject::request(Way::Request, Head::scan(&frame).unwrap(), frame, client);
        running.in_force.chain().decide(Box::new(subject), 0)
    };
    let Outcome::Answer { answer, .. } = decide("orders") else {
        panic!("it is refused")
    };
    assert_eq!(
        answer.code,
        response::MESSAGE_ILLEGAL,
        "producers do not try again"
    );
    let remark = answer.remark.unwrap();
    let reason = "filter a failed: no instance could be made: compile: is \"bad\"";
    assert!(remark.contains(reason), "{remark}");
    assert!(matches!(decide("payments"), Outcome::Forward(_)));
}

#[tokio::test]
async fn a_required_filter_that_is_not_there_at_the_start_is_refused_or_restored() {
    let mut stage = Stage::new();
    stage.required = vec!["a".to_owned()];
    let running = stage.start().await;
    running.until_versions(&["a=refused"]).await;
    stage.write("20-a.wasm", "1");
    running.until_versions(&["a=1"]).await;
    drop(running);
    stage.remove("20-a.wasm");
    let running = stage.start().await;
    assert_eq!(running.status("a").serving, Serving::Accepted);
}
