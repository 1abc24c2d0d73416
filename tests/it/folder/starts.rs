//! What serves after a start, whatever the folder holds.

use gimbal::filter::folder::Serving;
use gimbal::filter::{Mode, Policy};

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
