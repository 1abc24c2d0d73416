//! Claims about what an access list lets through.

use gimbal_sdk::testing::{self, Loaded, Request, load, metric};
use gimbal_sdk::{Access, Action, Verdict};
use serde_json::{Value, json};

use super::Acl;

fn acl(config: Value) -> Loaded<Acl> {
    load(config).unwrap()
}

/// Alice publishes and subscribes to orders with her groups, bob only publishes, nobody else anything.
fn shop() -> Loaded<Acl> {
    acl(json!({
        "default": "deny",
        "rules": [
            { "name": "no secrets", "effect": "deny", "topics": ["orders-secret"] },
            { "effect": "allow", "users": ["alice"], "topics": ["orders-*"], "groups": ["shop-*"],
              "actions": ["publish", "subscribe"] },
            { "effect": "allow", "users": ["bob"], "topics": ["orders-*"], "actions": ["publish"] },
            { "effect": "allow", "addresses": ["10.0.0.0/8"], "actions": ["read"], "topics": ["*"] },
        ],
    }))
}

fn passes(acl: &Loaded<Acl>, request: Request) -> bool {
    let outcome = acl.request(request);
    assert!(matches!(outcome.answer_code(), None | Some(16)));
    outcome.verdict == Verdict::Forward
}

#[test]
fn the_first_rule_that_fits_decides() {
    let acl = shop();
    for (request, allowed) in [
        (Request::send("orders-eu").user("alice"), true),
        (Request::send("orders-eu").user("bob"), true),
        (Request::send("orders-eu").user("eve"), false),
        (Request::send("orders-eu"), false),
        (Request::send("bills").user("alice"), false),
        (Request::send("orders-secret").user("alice"), false),
        (Request::pull("orders-eu", "shop-1").user("alice"), true),
        (Request::pull("orders-eu", "other").user("alice"), false),
        (Request::pull("orders-eu", "shop-1").user("bob"), false),
        (Request::pop("orders-eu", "shop-1").user("alice"), true),
    ] {
        let text = format!("{request:?}");
        assert_eq!(passes(&acl, request), allowed, "{text}");
    }
}

#[test]
fn a_refusal_says_which_rule_denied_what_to_whom() {
    let acl = shop();
    let remark = |request| acl.request(request).remark().to_owned();
    assert_eq!(
        remark(Request::send("orders-secret").user("alice").ip("10.0.0.7")),
        "acl: no secrets denies user alice at 10.0.0.7 to publish topic orders-secret"
    );
    assert_eq!(
        remark(Request::pull("bills", "g")),
        "acl: no rule allows 192.0.2.1 to subscribe topic bills group g"
    );
    assert!((metric("refused{action=publish,rule=no secrets}") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_oneway_command_is_dropped() {
    let acl = shop();
    assert_eq!(
        acl.request(Request::send("bills").oneway()).verdict,
        Verdict::Drop
    );
    let commit = Request::new(15)
        .field("topic", "bills")
        .field("consumerGroup", "g")
        .oneway();
    assert_eq!(acl.request(commit).verdict, Verdict::Drop);
}

#[test]
fn a_denied_group_is_taken_out_of_a_heartbeat_and_the_rest_goes_on() {
    let acl = shop();
    let heartbeat = Request::heartbeat(
        "c",
        &[
            ("shop-1", &["orders-eu", "%RETRY%shop-1"]),
            ("spy", &["orders-eu"]),
            ("shop-2", &["orders-eu", "orders-secret"]),
        ],
    );
    let outcome = acl.request(heartbeat.clone().user("alice"));
    assert_eq!(outcome.verdict, Verdict::Forward);
    assert_eq!(outcome.command.removed_groups, ["spy", "shop-2"]);
    let outcome = acl.request(heartbeat);
    assert_eq!(outcome.command.removed_groups, ["shop-1", "spy", "shop-2"]);
}

#[test]
fn a_heartbeat_is_refused_as_a_whole_where_configured() {
    let acl = acl(json!({ "default": "deny", "heartbeats": "refuse" }));
    let refused = acl.request(Request::heartbeat("c", &[("g", &["orders"])]));
    assert_eq!(refused.answer_code(), Some(16));
    assert!(
        passes(&acl, Request::heartbeat("c", &[])),
        "producers alone touch nothing"
    );
}

#[test]
fn what_consuming_needs_is_allowed_with_it() {
    let acl = shop();
    let alice = |code| Request::new(code).user("alice");
    for request in [
        alice(105).field("topic", "orders-eu"),
        alice(38).field("consumerGroup", "shop-1"),
        alice(30).field("topic", "orders-eu"),
        alice(14)
            .field("topic", "orders-eu")
            .field("consumerGroup", "shop-1"),
        alice(36).field("group", "shop-1"),
        alice(35).field("consumerGroup", "never-heard-of"),
        alice(41).body(r#"{"consumerGroup":"shop-1","mqSet":[{"topic":"orders-eu"}]}"#),
        alice(400).body(r#"{"consumerGroup":"shop-1","topic":"orders-eu"}"#),
        alice(200_151).body(r#"{"acks":[{"c":"shop-1","t":"orders-eu"}]}"#),
        Request::send("%RETRY%shop-1").user("alice"),
        Request::pull("%RETRY%shop-1", "shop-1").user("alice"),
        Request::pull("%DLQ%shop-1", "shop-1").user("alice"),
    ] {
        let text = format!("{request:?}");
        assert!(passes(&acl, request), "{text}");
    }
    for request in [
        alice(38).field("consumerGroup", "other"),
        alice(36).field("group", "other"),
        alice(41).body(r#"{"consumerGroup":"shop-1","mqSet":[{"topic":"orders-eu"},{"topic":"bills"}]}"#),
        alice(200_151).body(r#"{"acks":[{"c":"shop-1","t":"orders-eu"},{"c":"x","t":"orders-eu"}]}"#),
        Request::send("%RETRY%other").user("alice"),
    ] {
        let text = format!("{request:?}");
        assert!(!passes(&acl, request), "{text}");
    }
}

#[test]
fn gaps_of_other_lists_are_closed() {
    let acl = shop();
    for code in [11, 361, 200_050, 200_052, 200_054] {
        let fetch = |group: &str| {
            Request::new(code)
                .field("topic", "orders-eu")
                .field("consumerGroup", group)
                .user("alice")
        };
        assert!(
            passes(&acl, fetch("shop-1")) && !passes(&acl, fetch("spy")),
            "{code}"
        );
    }
    for (code, topic, group) in [(324, "topic", "producerGroup"), (325, "b", "a")] {
        let reply = |to: &str| {
            Request::new(code)
                .field(topic, to)
                .field(group, "p")
                .user("alice")
        };
        assert!(
            passes(&acl, reply("orders-eu")) && !passes(&acl, reply("bills")),
            "{code}"
        );
        assert!(passes(&acl, reply("DefaultCluster_REPLY_TOPIC")), "{code}");
    }
    assert!(
        !passes(&acl, Request::send("DefaultCluster_REPLY_TOPIC")),
        "only replies go there freely"
    );
}

#[test]
fn an_end_of_a_transaction_without_topic_is_judged_by_its_group() {
    let acl = acl(json!({ "default": "deny", "rules": [{ "effect": "allow", "groups": ["tx-*"] }] }));
    let end = |group: &str| Request::new(37).field("producerGroup", group);
    assert_eq!(acl.request(end("tx-1")).verdict, Verdict::Forward);
    assert_eq!(acl.request(end("other")).verdict, Verdict::Drop);
}

#[test]
fn system_topics_need_no_rules() {
    let acl = shop();
    assert!(passes(&acl, Request::send("RMQ_SYS_TRACE_TOPIC")));
    assert!(passes(&acl, Request::new(105).field("topic", "TBW102")));
    assert!(passes(
        &acl,
        Request::new(30).field("topic", "DefaultCluster_REPLY_TOPIC")
    ));
    assert!(
        !passes(&acl, Request::pull("RMQ_SYS_TRACE_TOPIC", "spy")),
        "traces tell what others send"
    );
    assert!(!passes(&acl, Request::send("SCHEDULE_TOPIC_XXXX")));
    let strict = super::tests::acl(json!({ "default": "deny", "system_topics": "rules", "routes": "rules" }));
    assert!(!passes(&strict, Request::send("RMQ_SYS_TRACE_TOPIC")));
    assert!(!passes(&strict, Request::new(105).field("topic", "TBW102")));
}

#[test]
fn a_message_by_its_id_alone_needs_a_rule_for_everything() {
    let view = Request::new(33).field("offset", "1").access(Access {
        action: Action::Read,
        topic: None,
        group: None,
    });
    assert!(!passes(&shop(), view.clone().user("alice")));
    let open = acl(json!({ "default": "deny", "rules": [{ "effect": "allow", "users": ["root"] }] }));
    assert!(passes(&open, view.user("root")));
}

#[test]
fn a_rule_about_groups_alone_opens_no_topic() {
    let acl = acl(json!({ "default": "deny", "rules": [{ "effect": "allow", "groups": ["g"] }] }));
    assert!(!passes(&acl, Request::send("orders")));
    assert!(passes(&acl, Request::pull("orders", "g")));
}

#[test]
fn a_denied_topic_closes_no_group() {
    let acl = acl(json!({ "default": "allow", "rules": [{ "effect": "deny", "topics": ["secret"] }] }));
    assert!(passes(&acl, Request::new(38).field("consumerGroup", "g")));
    assert!(!passes(&acl, Request::pull("secret", "g")));
}

#[test]
fn addresses_are_ranges() {
    let acl = shop();
    let read = |ip: &str| Request::new(30).field("topic", "bills").ip(ip);
    assert!(passes(&acl, read("10.9.9.9")) && !passes(&acl, read("11.0.0.1")));
}

#[test]
fn a_wrong_configuration_says_what_is_wrong() {
    for (config, error) in [
        (json!({}), "config: missing field `default`"),
        (
            json!({ "default": "maybe" }),
            "config.default: unknown variant `maybe`, expected `allow` or `deny`",
        ),
        (
            json!({ "default": "deny", "rules": [{ "effect": "allow", "addresses": ["10.0.0.0/40"] }] }),
            "config.rules[0].addresses[0]: `10.0.0.0/40` is no address range",
        ),
        (
            json!({ "default": "deny", "rules": [{ "effect": "allow", "topic": ["x"] }] }),
            "config.rules[0].topic: unknown field `topic`, expected one of ",
        ),
        (
            json!({ "default": "deny", "rules": [{ "effect": "allow", "topics": [""] }] }),
            "config.rules[0].topics[0]: an empty pattern fits nothing",
        ),
    ] {
        let found = load::<Acl>(config).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn the_manifest_holds() {
    testing::check_manifest::<Acl>(include_str!("../manifest.json"), "acl", env!("CARGO_PKG_VERSION"));
}
