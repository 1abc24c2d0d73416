//! Shipped filters beside others: in shadow, beside one that fails, and three in a row.

use gimbal::filter::folder::Serving;
use gimbal::protocol::response;

use super::{
    House, TOPIC, assert_done, assert_refused, bodies, messages, properties, pull, put, send, shipped,
};

/// A filter that stops in the middle of every send.
fn trapping() -> Vec<u8> {
    let prelude = include_str!("../../fixtures/guests/prelude.wat");
    let text = format!(
        r#"(module
  {prelude}
  (func (export "gimbal:filter/lifecycle@0.1.0#init") (param i32 i32) (result i32) (call $interest))
  (func (export "gimbal:filter/requests@0.1.0#on-request") (param $code i32) (result i32)
    (if (i32.eq (local.get $code) (i32.const 310)) (then unreachable))
    (call $forward)))"#,
    );
    wat::parse_str(text).unwrap()
}

const GUARD: &str = "[[config.rules]]\nname = 'house'\nmax_body_bytes = 4\n";

#[tokio::test]
async fn a_filter_in_shadow_refuses_nothing_and_counts_what_it_would_have() {
    let shadow = format!("mode = 'shadow'\n{GUARD}");
    let house = House::with(&[("10-guard", &shadow)]).await;
    let mut client = house.client().await;
    for body in ["four", "fiver"] {
        assert_done(&send(&mut client, TOPIC, "", body).await);
    }
    let counts = house.counts("guard");
    assert_eq!((counts.calls, counts.answers, counts.shadowed), (2, 1, 1));
    house.change("10-guard", GUARD).await;
    let refused = send(&mut client, TOPIC, "", "fiver").await;
    assert_refused(&refused, response::MESSAGE_ILLEGAL, "guard: house");
    assert_eq!(house.counts("guard").shadowed, 1);
}

#[tokio::test]
async fn a_rewrite_in_shadow_changes_nothing() {
    let sidecar = "[[config.rules]]\ncodes = [310]\nset_properties = { via = 'gimbal' }\n";
    let shadow = format!("mode = 'shadow'\n{sidecar}");
    let house = House::with(&[("10-rewrite", &shadow)]).await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, TOPIC, "", "before").await);
    house.change("10-rewrite", sidecar).await;
    assert_done(&send(&mut client, TOPIC, "", "after").await);
    let pulled = pull(&mut client, TOPIC, "g").await;
    let via = |at: usize| messages(&pulled)[at].properties().find("via").map(str::to_owned);
    assert_eq!((via(0), via(1).as_deref()), (None, Some("gimbal")));
}

#[tokio::test]
async fn beside_a_filter_that_traps_sends_pass_or_fail_as_its_sidecar_says() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "10-guard.wasm", &shipped("guard"));
    put(folder.path(), "10-guard.toml", GUARD.as_bytes());
    put(folder.path(), "20-trap.wasm", &trapping());
    put(folder.path(), "20-trap.toml", b"on_error = 'open'\n");
    let house = House::over(folder, |_| {}).await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, TOPIC, "", "pass").await);
    let refused = send(&mut client, TOPIC, "", "fiver").await;
    assert_refused(&refused, response::MESSAGE_ILLEGAL, "guard: house");
    assert_eq!(
        house.counts("trap").failures,
        1,
        "it was not asked about what was refused before"
    );
    house.change("20-trap", "on_error = 'closed'\n").await;
    let failed = send(&mut client, TOPIC, "", "fail").await;
    // Producers do not try a 13 again.
    let said = "gimbal: filter trap failed: it stopped";
    assert_refused(&failed, response::MESSAGE_ILLEGAL, said);
    let refused = send(&mut client, TOPIC, "", "fiver").await;
    assert_refused(&refused, response::MESSAGE_ILLEGAL, "guard: house");
    assert_eq!(house.counts("guard").failures, 0);
    assert_eq!(bodies(&pull(&mut client, TOPIC, "g").await), ["pass"]);
    assert_eq!(house.cluster.stored(0, TOPIC), 1);
}

#[tokio::test]
async fn three_filters_in_a_row_each_see_what_the_one_before_left() {
    let house = House::with(&[
        (
            "10-acl",
            "[config]\ndefault = 'allow'\n[[config.rules]]\nname = 'sealed'\neffect = 'deny'\ntopics = ['secret']\n",
        ),
        (
            "20-rewrite",
            "[config]\ntopic_prefix = 't1%'\n[[config.rules]]\ncodes = [310]\ntopics = ['orders']\nset_properties = { tenant = 't1' }\n",
        ),
        (
            "30-guard",
            "[[config.rules]]\nname = 'house'\nrequired_properties = ['tenant']\n",
        ),
    ])
    .await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, TOPIC, "", "through all").await);
    let refused = send(&mut client, "bills", "", "stopped by the third").await;
    let said = "guard: house: property tenant is missing";
    assert_refused(&refused, response::MESSAGE_ILLEGAL, said);
    let own = properties(&[("tenant", "mine")]);
    assert_done(&send(&mut client, "bills", &own, "brings its own").await);
    let refused = send(&mut client, "secret", &own, "stopped by the first").await;
    assert_refused(&refused, response::NO_PERMISSION, "acl: sealed denies");
    assert_eq!(house.counts("guard").calls, 3, "the third never saw the last");
    assert_eq!(house.cluster.stored(0, "t1%orders"), 1);
    let pulled = pull(&mut client, TOPIC, "g").await;
    assert_eq!(messages(&pulled)[0].topic(), TOPIC);
    assert_eq!(messages(&pulled)[0].properties().find("tenant"), Some("t1"));
    let serving: Vec<Serving> = house
        .proxy
        .filters()
        .status()
        .iter()
        .map(|one| one.serving)
        .collect();
    assert_eq!(serving, [Serving::Current; 3]);
}
