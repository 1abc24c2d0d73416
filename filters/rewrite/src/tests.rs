//! Claims about what clients send and brokers get.

use gimbal_sdk::Verdict;
use gimbal_sdk::testing::{self, Client, Loaded, Message, Request, group_at_broker, load, topic_at_broker};
use serde_json::{Value, json};

use super::Rewrite;

fn rewrite(config: Value) -> Loaded<Rewrite> {
    load(config).unwrap()
}

fn rule(rule: &Value) -> Loaded<Rewrite> {
    rewrite(json!({ "rules": [rule] }))
}

fn property<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let found = message.properties.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn fields_are_removed_renamed_and_set() {
    let rewrite = rule(&json!({
        "codes": [310], "topics": ["orders-*"],
        "remove_fields": ["debug"], "rename_fields": { "old": "new" }, "set_fields": { "from": "{ip}/{listener}/{topic}" },
    }));
    let send = |topic: &str| {
        Request::send(topic)
            .field("debug", "1")
            .field("old", "2")
            .ip("10.0.0.7")
    };
    let changed = rewrite.request(send("orders-eu")).command;
    assert_eq!(
        [
            changed.value("debug"),
            changed.value("old"),
            changed.value("new"),
            changed.value("from")
        ],
        [None, None, Some("2"), Some("10.0.0.7/default/orders-eu")]
    );
    assert_eq!(rewrite.request(send("bills")).command, send("bills"));
    assert_eq!(
        rewrite
            .request(Request::pull("orders-eu", "g"))
            .command
            .value("from"),
        None
    );
}

#[test]
fn properties_change_in_every_message_of_a_send() {
    let rewrite = rule(&json!({
        "remove_properties": ["secret"], "rename_properties": { "a": "b" },
        "set_properties": { "tenant": "{user}", "via": "gimbal" },
    }));
    let messages = [
        Message::new("1").property("secret", "x"),
        Message::new("2").property("a", "y"),
    ];
    let changed = rewrite
        .request(Request::batch("orders", messages).user("shop"))
        .command;
    let [first, second] = changed.messages.as_slice() else {
        panic!("{changed:?}")
    };
    assert_eq!(property(first, "secret"), None);
    assert_eq!(property(second, "b"), Some("y"));
    for message in [first, second] {
        assert_eq!(
            (property(message, "tenant"), property(message, "via")),
            (Some("shop"), Some("gimbal"))
        );
    }
}

#[test]
fn a_value_whose_fact_is_not_known_is_not_set() {
    let rewrite = rule(&json!({ "set_properties": { "tenant": "{user}" }, "set_fields": { "t": "{user}" } }));
    let changed = rewrite.request(Request::send("orders")).command;
    assert_eq!(changed, Request::send("orders"));
}

#[test]
fn properties_change_on_the_way_to_consumers_by_the_messages_own_topic() {
    let rewrite = rule(&json!({
        "phase": "response", "topics": ["orders"], "set_properties": { "seen-by": "{group}" },
    }));
    let answer = Request::pull("%RETRY%g", "g").found([
        Message::new("x").property("RETRY_TOPIC", "orders"),
        Message::new("y").topic("bills"),
    ]);
    let changed = rewrite.response(answer).command;
    assert_eq!(property(&changed.messages[0], "seen-by"), Some("g"));
    assert_eq!(property(&changed.messages[1], "seen-by"), None);
    assert!(!rewrite.request(Request::send("orders")).seen);
}

#[test]
fn a_fixed_prefix_holds_from_the_beginning_of_a_connection() {
    let rewrite =
        rewrite(json!({ "topic_prefix": "eu-", "group_prefix": "{listener}%", "topics": { "old": "new" } }));
    let client = Client {
        connection: 7,
        listener: "public".to_owned(),
        ..Client::default()
    };
    assert_eq!(rewrite.connect(client), Ok(()));
    assert_eq!(topic_at_broker(7, "orders"), "eu-orders");
    assert_eq!(group_at_broker(7, "g"), "public%g");
    assert_eq!(topic_at_broker(8, "orders"), "orders", "another connection");
    assert!(rewrite.interests.is_empty(), "nothing is left to do for commands");
}

#[test]
fn a_prefix_by_user_holds_from_the_first_command_and_keeps_tenants_apart() {
    let rewrite = rewrite(json!({ "topic_prefix": "{user}%", "group_prefix": "{user}%" }));
    for (number, user) in [(1, "shop"), (2, "shop-2")] {
        let client = Client {
            connection: number,
            ..Client::default()
        };
        assert_eq!(rewrite.connect(client), Ok(()));
        let send = Request::send("orders").user(user).connection(number);
        assert_eq!(rewrite.request(send).verdict, Verdict::Forward);
        assert_eq!(topic_at_broker(number, "orders"), format!("{user}%orders"));
        assert_eq!(group_at_broker(number, "g"), format!("{user}%g"));
    }
}

#[test]
fn without_its_prefix_nothing_of_a_tenant_goes_on() {
    let rewrite = rewrite(json!({ "topic_prefix": "{user}%" }));
    let refused = rewrite.request(Request::send("orders"));
    assert_eq!(
        (refused.answer_code(), refused.remark()),
        (Some(16), "rewrite: {user} is not known")
    );
    assert_eq!(
        rewrite.request(Request::send("orders").oneway()).verdict,
        Verdict::Drop
    );
    let refused = rewrite.request(Request::pull("orders", "g").user("a%b"));
    assert_eq!(
        refused.remark(),
        "rewrite: {user} is `a%b`, and `%` is not allowed in names"
    );
}

#[test]
fn what_cannot_be_changed_is_refused() {
    let rewrite = rule(&json!({ "codes": [310], "set_properties": { "a": "b" } }));
    let signed = std::panic::catch_unwind(|| rewrite.request(Request::send("orders").signed()));
    assert!(
        signed.is_err(),
        "a change to a signed command is a failure, which the host decides about"
    );
}

#[test]
fn a_wrong_configuration_says_what_is_wrong() {
    for (config, error) in [
        (
            json!({ "rules": [{ "codes": [310] }] }),
            "config.rules[0]: the rule changes nothing",
        ),
        (
            json!({ "rules": [{ "set_fields": { "Signature": "x" } }] }),
            "config.rules[0]: `Signature` belongs to the client's signature",
        ),
        (
            json!({ "topic_prefix": "{user}-" }),
            "config.topic_prefix: after {user} there must be `%` or `|`",
        ),
        (
            json!({ "topic_prefix": "{name}" }),
            "config.topic_prefix: `{name}`: there is no {name}, but {user}",
        ),
        (json!({ "prefix": "x" }), "config.prefix: unknown field `prefix`"),
    ] {
        let found = load::<Rewrite>(config).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn the_manifest_holds() {
    testing::check_manifest::<Rewrite>(
        include_str!("../manifest.json"),
        "rewrite",
        env!("CARGO_PKG_VERSION"),
    );
}
