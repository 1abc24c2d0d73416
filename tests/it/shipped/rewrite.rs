//! rewrite: properties and fields change on their way, and tenants use the same names without meeting.

use gimbal::config::Listener;
use gimbal::protocol::body::MessageId;
use gimbal::protocol::{request as rq, response};

use super::{
    House, TOPIC, assert_done, assert_refused, beat, bodies, members, messages, pop_fields, properties, pull,
    pull_fields, send, until,
};
use crate::support::free_ports;

const FILE: &str = "10-rewrite";
/// Two tenants by where they come in.
const TENANTS: &str = "
[config]
topic_prefix = '{listener}%'
group_prefix = '{listener}%'

[config.topics]
holidays = 'shared-holidays'
";

/// A house with two doors: listener 0 is `red`, listener 1 is `blue`.
async fn two_doors(sidecar: &str) -> House {
    House::set(&[(FILE, sidecar)], |config| {
        let red = &mut config.listeners[0];
        "red".clone_into(&mut red.name);
        let blue = Listener {
            name: "blue".to_owned(),
            broker_ports: Some(free_ports()),
            ..red.clone()
        };
        config.listeners.push(blue);
    })
    .await
}

#[tokio::test]
async fn properties_are_set_renamed_and_removed_on_the_way_to_the_broker() {
    let sidecar = "
[[config.rules]]
codes = [10, 310, 320]
topics = ['orders*']
set_properties = { via = 'gimbal-{listener}', about = '{topic}', who = '{user}' }
remove_properties = ['debug']
rename_properties = { old = 'new' }
";
    let house = House::with(&[(FILE, sidecar)]).await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    let given = properties(&[("debug", "1"), ("old", "o"), ("TAGS", "t")]);
    assert_done(&send(&mut client, TOPIC, &given, "body").await);
    assert_done(&send(&mut client, "bills", &given, "body").await);
    for client in [&mut client, &mut behind] {
        let pulled = pull(client, TOPIC, "g").await;
        let message = &messages(&pulled)[0];
        let found = |name| message.properties().find(name);
        assert_eq!(found("via"), Some("gimbal-main"));
        assert_eq!(found("about"), Some(TOPIC));
        assert_eq!(found("who"), None, "a value that is not known is not set");
        assert_eq!(
            (found("debug"), found("old"), found("new")),
            (None, None, Some("o"))
        );
        assert_eq!(found("TAGS"), Some("t"));
        assert_eq!(&message.body()[..], b"body");
    }
    let other = pull(&mut client, "bills", "g").await;
    assert_eq!(messages(&other)[0].properties().find("debug"), Some("1"));
}

#[tokio::test]
async fn fields_change_both_ways_and_properties_on_the_way_to_the_consumer() {
    let sidecar = "
[[config.rules]]
codes = [11]
set_fields = { maxMsgNums = '1' }

[[config.rules]]
phase = 'response'
codes = [11]
set_fields = { zone = '{listener}' }
remove_fields = ['groupSysFlag']
rename_fields = { topicSysFlag = 'renamed' }
remove_properties = ['internal']
";
    let house = House::with(&[(FILE, sidecar)]).await;
    let (mut client, mut behind) = (house.client().await, house.behind().await);
    let given = properties(&[("internal", "1"), ("kept", "2")]);
    for body in ["a", "b"] {
        assert_done(&send(&mut client, TOPIC, &given, body).await);
    }
    let pulled = pull(&mut client, TOPIC, "g").await;
    assert_eq!(bodies(&pulled), ["a"], "the broker was asked for one");
    assert_eq!(pulled.field("zone"), Some("main"));
    assert_eq!(
        (
            pulled.field("groupSysFlag"),
            pulled.field("topicSysFlag"),
            pulled.field("renamed")
        ),
        (None, None, Some("0"))
    );
    let kept = |answer, name| messages(answer)[0].properties().find(name).map(str::to_owned);
    assert_eq!(kept(&pulled, "internal"), None);
    assert_eq!(kept(&pulled, "kept").as_deref(), Some("2"));
    let stored = pull(&mut behind, TOPIC, "g").await;
    assert_eq!(
        kept(&stored, "internal").as_deref(),
        Some("1"),
        "what is stored stays as it is"
    );
}

#[tokio::test]
async fn two_tenants_use_the_same_names_and_meet_neither_messages_nor_members() {
    let house = two_doors(TENANTS).await;
    let mut behind = house.behind().await;
    for (at, tenant) in ["red", "blue"].into_iter().enumerate() {
        let mut client = house.client_of(at).await;
        assert_done(&send(&mut client, TOPIC, "", tenant).await);
        let route = client.route(TOPIC).await;
        assert_eq!(route["brokerDatas"][0]["brokerName"], "broker-a", "{route}");
        assert!(
            !route.to_string().contains('%'),
            "no name of the broker's: {route}"
        );
        for answer in [
            pull(&mut client, TOPIC, "g").await,
            client.call(rq::POP_MESSAGE, &pop_fields(TOPIC, "g")).await,
        ] {
            assert_eq!(bodies(&answer), [tenant]);
            assert_eq!(messages(&answer)[0].topic(), TOPIC);
        }
        assert_done(&beat(&mut client, tenant, &[("g", TOPIC)]).await);
        let group = format!("{tenant}%g");
        let list = [("consumerGroup", group.as_str())];
        let question = (rq::GET_CONSUMER_LIST_BY_GROUP, &list[..]);
        until(&mut behind, question, |answer| members(answer) == [tenant]).await;
        let own = [("consumerGroup", "g"), ("bname", "broker-a")];
        let listed = client.call(rq::GET_CONSUMER_LIST_BY_GROUP, &own).await;
        assert_eq!(members(&listed), [tenant], "nobody of the other tenant");
        let unknown = client
            .call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "nowhere")])
            .await;
        assert_refused(&unknown, response::TOPIC_NOT_EXIST, "nowhere");
        let remark = super::remark(&unknown);
        assert!(
            !remark.contains('%'),
            "clients never see the broker's names: {remark}"
        );
    }
    let stored = |topic: &str| house.cluster.stored(0, topic);
    assert_eq!(
        (stored(TOPIC), stored("red%orders"), stored("blue%orders")),
        (0, 1, 1),
        "the broker holds prefixed names alone"
    );
    let list = [("consumerGroup", "g")];
    let none = behind.call(rq::GET_CONSUMER_LIST_BY_GROUP, &list).await;
    assert_eq!(members(&none), [""; 0]);
}

#[tokio::test]
async fn a_topic_of_the_table_is_shared_and_has_no_prefix() {
    let house = two_doors(TENANTS).await;
    let (mut red, mut blue) = (house.client_of(0).await, house.client_of(1).await);
    assert_done(&send(&mut red, "holidays", "", "easter").await);
    let pulled = pull(&mut blue, "holidays", "g").await;
    assert_eq!(bodies(&pulled), ["easter"]);
    assert_eq!(messages(&pulled)[0].topic(), "holidays");
    assert_eq!(house.cluster.stored(0, "shared-holidays"), 1);
}

#[tokio::test]
async fn a_message_handed_back_comes_again_to_its_tenant_alone() {
    let house = two_doors(TENANTS).await;
    let (mut red, mut blue) = (house.client_of(0).await, house.client_of(1).await);
    let sent = send(&mut red, TOPIC, "", "bad").await;
    assert_done(&sent);
    assert_done(&send(&mut blue, TOPIC, "", "there is a topic").await);
    let place = MessageId::parse(sent.field("msgId").unwrap()).unwrap();
    let place = place.offset.to_string();
    let back = [
        ("group", "g"),
        ("offset", place.as_str()),
        ("delayLevel", "1"),
        ("originTopic", TOPIC),
        ("maxReconsumeTimes", "16"),
        ("bname", "broker-a"),
    ];
    assert_done(&red.call(rq::CONSUMER_SEND_MSG_BACK, &back).await);
    let mut fields = pull_fields("%RETRY%g", "g", "0");
    fields[5].1 = "6";
    let again = red.call(rq::PULL_MESSAGE, &fields).await;
    assert_eq!(bodies(&again), ["bad"]);
    let message = &messages(&again)[0];
    assert_eq!(message.topic(), "%RETRY%g");
    assert_eq!(message.properties().find("RETRY_TOPIC"), Some(TOPIC));
    assert_eq!(house.cluster.stored(0, "%RETRY%red%g"), 1);
    let none = pull(&mut blue, "%RETRY%g", "g").await;
    assert_refused(&none, response::TOPIC_NOT_EXIST, "%RETRY%g");
    let remark = super::remark(&none);
    assert!(!remark.contains("blue%"), "{remark}");
}

#[tokio::test]
async fn a_tenant_whose_prefix_is_not_known_is_refused() {
    let house = House::with(&[(FILE, "[config]\ntopic_prefix = '{user}%'\n")]).await;
    let mut client = house.client().await;
    let refused = send(&mut client, TOPIC, "", "whose?").await;
    assert_refused(&refused, response::NO_PERMISSION, "rewrite: ");
    assert_eq!(house.cluster.stored(0, TOPIC), 0);
}
