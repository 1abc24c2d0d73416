//! acl: what is denied is answered 16 with the rule, and a denied group is never a member.

use gimbal::protocol::{request as rq, response};

use super::{
    House, TOPIC, assert_done, assert_refused, batch, beat, call, members, pop_fields, properties, pull,
    pull_fields, send, send_fields, tell, until,
};
use crate::support::Client;

const FILE: &str = "10-acl";

/// `spies` may not subscribe, nobody publishes to `secret`.
const RULES: &str = "
[config]
default = 'allow'

[[config.rules]]
name = 'no spies'
effect = 'deny'
groups = ['spies']
actions = ['subscribe']

[[config.rules]]
name = 'sealed'
effect = 'deny'
topics = ['secret']
actions = ['publish']
";
const OPEN: &str = "[config]\ndefault = 'allow'\n";

/// The members of a group, asked at the broker without the proxy.
async fn members_of(behind: &mut Client, group: &str) -> Vec<String> {
    let fields = [("consumerGroup", group)];
    members(&behind.call(rq::GET_CONSUMER_LIST_BY_GROUP, &fields).await)
}

/// Waits until the broker lists exactly these members.
async fn until_members(behind: &mut Client, group: &str, expected: &[&str]) {
    let fields = [("consumerGroup", group)];
    let question = (rq::GET_CONSUMER_LIST_BY_GROUP, &fields[..]);
    until(behind, question, |answer| members(answer) == expected).await;
}

#[tokio::test]
async fn what_is_denied_is_answered_16_with_its_rule_and_one_way_sends_are_dropped() {
    let house = House::with(&[(FILE, RULES)]).await;
    let mut client = house.client().await;
    assert_done(&send(&mut client, TOPIC, "", "fits").await);
    let refused = send(&mut client, "secret", "", "leak").await;
    assert_refused(
        &refused,
        response::NO_PERMISSION,
        "acl: sealed denies 127.0.0.1 to publish topic secret",
    );
    let fields = send_fields("secret", "");
    tell(&mut client, rq::SEND_MESSAGE_V2, &fields, "leak").await;
    let (fields, body) = batch("secret", &["a", "b"]);
    let refused = call(&mut client, rq::SEND_BATCH_MESSAGE, &fields, body).await;
    assert_refused(&refused, response::NO_PERMISSION, "sealed");
    let denied = "acl: no spies denies 127.0.0.1 to subscribe topic orders group spies";
    for code in [rq::PULL_MESSAGE, rq::LITE_PULL_MESSAGE] {
        let refused = client.call(code, &pull_fields(TOPIC, "spies", "0")).await;
        assert_refused(&refused, response::NO_PERMISSION, denied);
        assert_done(&client.call(code, &pull_fields(TOPIC, "g", "0")).await);
    }
    let refused = client.call(rq::POP_MESSAGE, &pop_fields(TOPIC, "spies")).await;
    assert_refused(&refused, response::NO_PERMISSION, denied);
    let offset = [
        ("consumerGroup", "spies"),
        ("topic", TOPIC),
        ("queueId", "0"),
        ("commitOffset", "1"),
        ("bname", "broker-a"),
    ];
    let refused = client.call(rq::UPDATE_CONSUMER_OFFSET, &offset).await;
    assert_refused(&refused, response::NO_PERMISSION, "no spies");
    assert_eq!(house.cluster.stored(0, "secret"), 0);
    assert!(client.leftovers().is_empty());
}

#[tokio::test]
async fn a_denied_group_is_never_a_member_and_the_allowed_one_beside_it_is() {
    let house = House::with(&[(FILE, RULES)]).await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    assert_done(&send(&mut client, TOPIC, "", "there is a topic").await);
    let groups = [("spies", TOPIC), ("readers", TOPIC)];
    assert_done(&beat(&mut client, "c1", &groups).await);
    until_members(&mut behind, "readers", &["c1"]).await;
    assert_eq!(members_of(&mut behind, "spies").await, [""; 0]);
    let mut other = house.client().await;
    assert_done(&beat(&mut other, "c2", &[("readers", TOPIC)]).await);
    until_members(&mut behind, "readers", &["c1", "c2"]).await;
    let list = [("consumerGroup", "spies"), ("bname", "broker-a")];
    let refused = client.call(rq::GET_CONSUMER_LIST_BY_GROUP, &list).await;
    assert_refused(&refused, response::NO_PERMISSION, "no spies denies 127.0.0.1");
}

#[tokio::test]
async fn a_heartbeat_may_be_refused_as_a_whole() {
    let sidecar = RULES.replace("default =", "heartbeats = 'refuse'\ndefault =");
    let house = House::with(&[(FILE, &sidecar)]).await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    assert_done(&send(&mut client, TOPIC, "", "there is a topic").await);
    let groups = [("spies", TOPIC), ("readers", TOPIC)];
    let refused = beat(&mut client, "c1", &groups).await;
    assert_refused(&refused, response::NO_PERMISSION, "no spies");
    assert_eq!(members_of(&mut behind, "readers").await, [""; 0]);
}

#[tokio::test]
async fn a_member_is_thrown_out_at_once_when_denied_and_back_when_allowed() {
    let house = House::with(&[(FILE, OPEN)]).await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    assert_done(&send(&mut client, TOPIC, "", "there is a topic").await);
    let groups = [("spies", TOPIC), ("readers", TOPIC)];
    assert_done(&beat(&mut client, "c1", &groups).await);
    until_members(&mut behind, "spies", &["c1"]).await;
    assert_done(&pull(&mut client, TOPIC, "spies").await);
    // Not a word from the client from here on, but for what proves that it is still connected.
    house.change(FILE, RULES).await;
    until_members(&mut behind, "spies", &[]).await;
    assert_eq!(members_of(&mut behind, "readers").await, ["c1"]);
    house.change(FILE, OPEN).await;
    until_members(&mut behind, "spies", &["c1"]).await;
    assert_done(&pull(&mut client, TOPIC, "spies").await);
}

#[tokio::test]
async fn a_reply_is_a_send_and_everybody_may_answer_unless_the_rules_say() {
    let sidecar = "[config]\ndefault = 'deny'\n";
    let house = House::set(&[(FILE, sidecar)], |config| config.allow.request_reply = true).await;
    let mut client = house.client().await;
    let answers = properties(&[("REPLY_TO_CLIENT", "nobody")]);
    let short = send_fields("DefaultCluster_REPLY_TOPIC", &answers);
    let long = [
        ("producerGroup", "shop"),
        ("topic", "DefaultCluster_REPLY_TOPIC"),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "4"),
        ("queueId", "0"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1700000000000"),
        ("flag", "0"),
        ("properties", answers.as_str()),
        ("bname", "broker-a"),
    ];
    for (code, fields) in [
        (rq::SEND_REPLY_MESSAGE_V2, &short[..]),
        (rq::SEND_REPLY_MESSAGE, &long[..]),
    ] {
        let answer = call(&mut client, code, fields, "reply").await;
        assert_refused(
            &answer,
            response::SYSTEM_ERROR,
            "push reply message fail, channel of <nobody>",
        );
    }
    house
        .change(FILE, &format!("{sidecar}system_topics = 'rules'\n"))
        .await;
    for (code, fields) in [
        (rq::SEND_REPLY_MESSAGE_V2, &short[..]),
        (rq::SEND_REPLY_MESSAGE, &long[..]),
    ] {
        let answer = call(&mut client, code, fields, "reply").await;
        assert_refused(
            &answer,
            response::NO_PERMISSION,
            "no rule allows 127.0.0.1 to publish topic",
        );
    }
}

#[tokio::test]
async fn whoever_names_an_allowed_group_does_not_get_what_another_could_not_consume() {
    let house = House::with(&[(FILE, RULES)]).await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    for topic in ["%DLQ%spies", "%RETRY%spies"] {
        assert_done(&send(&mut behind, topic, "", "of the spies").await);
        for code in [rq::PULL_MESSAGE, rq::LITE_PULL_MESSAGE] {
            let refused = client.call(code, &pull_fields(topic, "readers", "0")).await;
            assert_refused(&refused, response::NO_PERMISSION, "no spies");
        }
        let refused = client.call(rq::POP_MESSAGE, &pop_fields(topic, "readers")).await;
        assert_refused(&refused, response::NO_PERMISSION, "no spies");
    }
    assert_done(&send(&mut behind, "%RETRY%readers", "", "their own").await);
    assert_done(&pull(&mut client, "%RETRY%readers", "readers").await);
}
