//! rewrite for tenants, where names hide: locks, handles, retries of pops, transactions, and what brokers push.

use gimbal::config::Listener;
use gimbal::protocol::{Code, Command, FLAG_RESPONSE, request as rq, response};
use serde_json::{Value, json};

use super::{House, TOPIC, assert_done, beat, bodies, call, messages, pop_fields, properties, send};
use crate::support::{Client, Received, free_ports};

/// A house with two doors: listener 0 is `red`, listener 1 is `blue`, and each is a tenant.
async fn two_doors() -> House {
    let sidecar = "[config]\ntopic_prefix = '{listener}%'\ngroup_prefix = '{listener}%'\n";
    House::set(&[("10-rewrite", sidecar)], |config| {
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

/// Nothing in this answer or push is a name that only the broker knows.
#[track_caller]
fn assert_own_names(received: &Received) {
    let text = String::from_utf8_lossy(&received.frame.to_bytes()).into_owned();
    assert!(!text.contains("red%") && !text.contains("blue%"), "{text}");
}

#[tokio::test]
async fn both_tenants_lock_the_queue_of_the_same_name() {
    let house = two_doors().await;
    for at in [0, 1] {
        let mut client = house.client_of(at).await;
        assert_done(&send(&mut client, TOPIC, "", "there is a topic").await);
        let queue = json!({"brokerName": "broker-a", "queueId": 0, "topic": TOPIC});
        let lock = json!({"clientId": "c", "consumerGroup": "g", "mqSet": [queue]}).to_string();
        let locked = call(&mut client, rq::LOCK_BATCH_MQ, &[], lock.clone()).await;
        assert_done(&locked);
        let body: Value = serde_json::from_slice(&locked.command.body).unwrap();
        assert_eq!(body["lockOKMQSet"], json!([queue]), "tenant {at}");
        let other = lock.replace("\"c\"", "\"d\"");
        let taken = call(&mut client, rq::LOCK_BATCH_MQ, &[], other).await;
        let body: Value = serde_json::from_slice(&taken.command.body).unwrap();
        assert_eq!(
            body["lockOKMQSet"],
            json!([]),
            "within a tenant a lock has one holder"
        );
    }
}

#[tokio::test]
async fn offsets_are_those_of_the_tenant() {
    let house = two_doors().await;
    let (mut red, mut blue) = (house.client_of(0).await, house.client_of(1).await);
    for client in [&mut red, &mut blue] {
        assert_done(&send(client, TOPIC, "", "there is a topic").await);
    }
    let queue = [
        ("consumerGroup", "g"),
        ("topic", TOPIC),
        ("queueId", "0"),
        ("setZeroIfNotFound", "false"),
        ("bname", "broker-a"),
    ];
    let mut commit = queue;
    commit[3] = ("commitOffset", "1");
    assert_done(&red.call(rq::UPDATE_CONSUMER_OFFSET, &commit).await);
    let own = red.call(rq::QUERY_CONSUMER_OFFSET, &queue).await;
    assert_eq!(own.field("offset"), Some("1"));
    let other = blue.call(rq::QUERY_CONSUMER_OFFSET, &queue).await;
    assert_eq!(other.head.code, response::QUERY_NOT_FOUND, "{:?}", other.command);
    assert_own_names(&other);
}

#[tokio::test]
async fn a_popped_message_comes_again_under_its_own_name_and_is_acknowledged() {
    let house = two_doors().await;
    let mut client = house.client_of(0).await;
    assert_done(&send(&mut client, TOPIC, "", "slow").await);
    let mut fields = pop_fields(TOPIC, "g");
    fields[4].1 = "300";
    assert_eq!(bodies(&client.call(rq::POP_MESSAGE, &fields).await), ["slow"]);
    // Nobody acknowledged it: it comes again from the retry topic of group and topic.
    (fields[4].1, fields[5].1) = ("60000", "9000");
    let again = client.call(rq::POP_MESSAGE, &fields).await;
    assert_eq!(bodies(&again), ["slow"]);
    assert_own_names(&again);
    let message = &messages(&again)[0];
    assert_eq!(message.topic(), TOPIC);
    let handle = message.properties().find("POP_CK").unwrap().to_owned();
    let offset = handle.split(' ').next_back().unwrap().to_owned();
    // As clients do whose message came from the retry topic.
    let ack = [
        ("consumerGroup", "g"),
        ("topic", "%RETRY%g_orders"),
        ("queueId", "0"),
        ("extraInfo", handle.as_str()),
        ("offset", offset.as_str()),
        ("bname", "broker-a"),
    ];
    let acked = client.call(rq::ACK_MESSAGE, &ack).await;
    assert_done(&acked);
    assert_eq!(house.cluster.stored(0, "%RETRY%red%g_red%orders"), 1);
    let topic = "%RETRY%red%g_red%orders";
    let place = [("consumerGroup", "red%g"), ("topic", topic), ("queueId", "0")];
    let done = house.behind().await.call(rq::QUERY_CONSUMER_OFFSET, &place).await;
    assert_eq!(done.field("offset"), Some("1"), "{:?}", done.command);
}

/// Ends the transaction of a half message that the broker asks about.
async fn commit(client: &mut Client, check: &Received, group: &str) {
    let field = |name: &str| check.field(name).unwrap_or_default().to_owned();
    let (table, log) = (field("tranStateTableOffset"), field("commitLogOffset"));
    let end = [
        ("producerGroup", group),
        ("tranStateTableOffset", table.as_str()),
        ("commitLogOffset", log.as_str()),
        ("commitOrRollback", "8"),
        ("fromTransactionCheck", "true"),
        ("topic", TOPIC),
        ("bname", "broker-a"),
    ];
    client.tell(rq::END_TRANSACTION, &end).await;
}

#[tokio::test]
async fn a_broker_asks_the_tenants_producer_about_its_transaction() {
    let house = two_doors().await;
    let mut client = house.client_of(0).await;
    assert_done(&send(&mut client, TOPIC, "", "there is a topic").await);
    assert_done(&beat(&mut client, "c", &[("g", TOPIC)]).await);
    let half = properties(&[("TRAN_MSG", "true"), ("PGROUP", "shop"), ("UNIQ_KEY", "U")]);
    assert_done(&send(&mut client, TOPIC, &half, "half").await);
    let check = client.pushed(rq::CHECK_TRANSACTION_STATE).await;
    assert_own_names(&check);
    let message = &messages(&check)[0];
    assert_eq!(message.topic(), TOPIC);
    assert_eq!(message.properties().find("PGROUP"), Some("shop"));
    assert_eq!(message.properties().find("REAL_TOPIC").unwrap_or(TOPIC), TOPIC);
    commit(&mut client, &check, "shop").await;
    let mut fields = super::pull_fields(TOPIC, "g", "1");
    fields[5].1 = "6";
    let pulled = client.call(rq::PULL_MESSAGE, &fields).await;
    assert_eq!(bodies(&pulled), ["half"]);
    assert_own_names(&pulled);
    assert_eq!(house.cluster.stored(0, "red%orders"), 2);
}

#[tokio::test]
async fn members_hear_of_each_other_by_the_names_they_know() {
    let house = two_doors().await;
    let (mut first, mut second) = (house.client_of(0).await, house.client_of(0).await);
    assert_done(&send(&mut first, TOPIC, "", "there is a topic").await);
    assert_done(&beat(&mut first, "c1", &[("g", TOPIC)]).await);
    let push = first.pushed(rq::NOTIFY_CONSUMER_IDS_CHANGED).await;
    assert_eq!(push.field("consumerGroup"), Some("g"));
    assert_done(&beat(&mut second, "c2", &[("g", TOPIC)]).await);
    let push = first.pushed(rq::NOTIFY_CONSUMER_IDS_CHANGED).await;
    assert_eq!(push.field("consumerGroup"), Some("g"));
    assert_own_names(&push);
}

#[tokio::test]
async fn a_tools_question_reaches_the_member_of_the_tenant() {
    // Tools speak to brokers by the names of brokers.
    let house = two_doors().await;
    let (mut consumer, mut tool) = (house.client_of(0).await, house.behind().await);
    assert_done(&send(&mut consumer, TOPIC, "", "there is a topic").await);
    assert_done(&beat(&mut consumer, "c", &[("g", TOPIC)]).await);
    let reset = [
        ("group", "red%g"),
        ("topic", "red%orders"),
        ("timestamp", "0"),
        ("isForce", "true"),
    ];
    assert_done(&tool.call(rq::INVOKE_BROKER_TO_RESET_OFFSET, &reset).await);
    let push = consumer.pushed(rq::RESET_CONSUMER_CLIENT_OFFSET).await;
    assert_eq!(
        (push.field("group"), push.field("topic")),
        (Some("g"), Some(TOPIC))
    );
    assert_own_names(&push);
    let asked = [("consumerGroup", "red%g"), ("clientId", "c")];
    let opaque = tool.ask(rq::GET_CONSUMER_RUNNING_INFO, &asked).await;
    let push = consumer.pushed(rq::GET_CONSUMER_RUNNING_INFO).await;
    assert_own_names(&push);
    let mut said =
        Command::request(Code(0), push.head.opaque).with_body(r#"{"subscriptionSet":[{"topic":"orders"}]}"#);
    said.flag = FLAG_RESPONSE;
    consumer.peer.put(&said).await;
    let info = tool.answer(opaque).await;
    assert_eq!(info.text(), r#"{"subscriptionSet":[{"topic":"red%orders"}]}"#);
}
