//! Which broker a command goes to. Brokers do not notice what is not meant for them, so every claim names the link.

use std::time::Duration;

use gimbal::config::Addressing;
use gimbal::protocol::{Code, Command, request as rq, response};
use serde_json::json;

use crate::support::{Broker, Client, Gimbal, Group, NameServer, Peer, Running, Speaks};

/// Two brokers, topic `T` on both, and a proxy that gives everybody the shared address.
async fn two() -> (Broker, Broker, NameServer, Running) {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns])
        .addressing(Addressing::Shared)
        .start()
        .await;
    (a, b, ns, proxy)
}

/// The next command of a fresh link reaches this broker, is answered, and the answer reaches the client.
async fn lands_at(broker: &Broker, code: Code, client: &mut Client, opaque: i32) -> Peer {
    let mut link = broker.accept().await;
    lands_on(&mut link, code, client, opaque).await;
    link
}

async fn lands_on(link: &mut Peer, code: Code, client: &mut Client, opaque: i32) {
    let asked = link.expect(code).await;
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn every_code_with_a_name_goes_to_the_broker_it_names() {
    let (_a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "b")]).await;
    let mut link = lands_at(&b, rq::GET_MIN_OFFSET, &mut client, opaque).await;
    let by_bname = [
        rq::SEND_MESSAGE,
        rq::PULL_MESSAGE,
        rq::LITE_PULL_MESSAGE,
        rq::QUERY_MESSAGE,
        rq::QUERY_CONSUMER_OFFSET,
        rq::UPDATE_CONSUMER_OFFSET,
        rq::SEARCH_OFFSET_BY_TIMESTAMP,
        rq::GET_MAX_OFFSET,
        rq::GET_EARLIEST_MSG_STORETIME,
        rq::VIEW_MESSAGE_BY_ID,
        rq::CONSUMER_SEND_MSG_BACK,
        rq::END_TRANSACTION,
        rq::GET_CONSUMER_LIST_BY_GROUP,
        rq::CHECK_CLIENT_CONFIG,
        rq::QUERY_ASSIGNMENT,
        rq::RECALL_MESSAGE,
        rq::POP_MESSAGE,
        rq::ACK_MESSAGE,
        rq::PEEK_MESSAGE,
        rq::CHANGE_MESSAGE_INVISIBLETIME,
        rq::NOTIFICATION,
        rq::POLLING_INFO,
    ];
    for code in by_bname {
        let opaque = client.ask(code, &[("bname", "b"), ("topic", "T")]).await;
        lands_on(&mut link, code, &mut client, opaque).await;
    }
    for code in [rq::SEND_MESSAGE_V2, rq::SEND_BATCH_MESSAGE] {
        let opaque = client.ask(code, &[("n", "b"), ("b", "T")]).await;
        lands_on(&mut link, code, &mut client, opaque).await;
    }
}

#[tokio::test]
async fn a_known_name_in_the_command_beats_the_port_it_came_in_by() {
    let (a, b, ns, _) = two().await;
    let ports = Gimbal::before(&[&ns]).start().await;
    let mut client = ports.client_on_port_of("a", "T").await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "b")]).await;
    lands_at(&b, rq::GET_MIN_OFFSET, &mut client, opaque).await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[]).await;
    lands_at(&a, rq::GET_MIN_OFFSET, &mut client, opaque).await;
}

#[tokio::test]
async fn an_unknown_name_on_a_port_goes_to_the_broker_of_the_port() {
    let (a, _b, ns, _) = two().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client_on_port_of("a", "T").await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "unheard-of")]).await;
    lands_at(&a, rq::GET_MIN_OFFSET, &mut client, opaque).await;
}

#[tokio::test]
async fn what_names_nobody_goes_to_the_broker_of_the_port() {
    let (_a, b, ns, _) = two().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client_on_port_of("b", "T").await;
    let opaque = client.ask(rq::PULL_MESSAGE, &[("topic", "T")]).await;
    let mut link = lands_at(&b, rq::PULL_MESSAGE, &mut client, opaque).await;
    for code in [
        rq::SEND_MESSAGE,
        rq::SEND_MESSAGE_V2,
        rq::QUERY_CONSUMER_OFFSET,
        rq::GET_CONSUMER_LIST_BY_GROUP,
        rq::QUERY_MESSAGE,
        rq::LOCK_BATCH_MQ,
        rq::CHECK_CLIENT_CONFIG,
        rq::QUERY_ASSIGNMENT,
        rq::END_TRANSACTION,
        rq::UNREGISTER_CLIENT,
        rq::HEART_BEAT,
    ] {
        let opaque = client.ask_with(code, &[("topic", "T")], "{}").await;
        lands_on(&mut link, code, &mut client, opaque).await;
    }
}

#[tokio::test]
async fn an_unknown_name_on_the_shared_address_is_asked_about_and_then_unavailable() {
    let (_a, _b, ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let answer = client
        .call(rq::PULL_MESSAGE, &[("bname", "unheard-of"), ("topic", "T")])
        .await;
    assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
    let remark = answer.command.remark.unwrap();
    assert!(remark.as_str().contains("unheard-of"), "{remark:?}");
    assert_eq!(ns.asked_for("unheard-of"), 1);
    let codes: Vec<Code> = ns.asked().iter().map(|asked| asked.head.code).collect();
    assert!(
        !codes.contains(&rq::PULL_MESSAGE),
        "no command is for a name server: {codes:?}"
    );
}

#[tokio::test]
async fn a_broker_nobody_asked_a_route_of_is_found_in_the_table_of_brokers() {
    let (_a, _b, ns, proxy) = two().await;
    let late = Broker::start("late");
    ns.broker("late", &[(0, late.address)]);
    let mut client = proxy.client().await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "late")]).await;
    lands_at(&late, rq::GET_MIN_OFFSET, &mut client, opaque).await;
}

#[tokio::test]
async fn a_stale_name_in_a_retry_is_not_corrected() {
    let (a, b, ns, proxy) = two().await;
    let mut client = proxy.client().await;
    client.route("T").await;
    ns.topic("T", &[&b]);
    client.route("T").await;
    let opaque = client
        .ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T"), ("e", "0")])
        .await;
    lands_at(&a, rq::SEND_MESSAGE_V2, &mut client, opaque).await;
}

#[tokio::test]
async fn locks_go_to_the_brokers_in_the_body_each_with_its_own_queues() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let queue = |broker: &str, id: i32| json!({"brokerName": broker, "queueId": id, "topic": "T"});
    let body = json!({"clientId": "c", "consumerGroup": "g", "onlyThisBroker": false,
                      "mqSet": [queue("b", 1), queue("a", 0), queue("b", 2)]});
    let opaque = client.ask_with(rq::LOCK_BATCH_MQ, &[], &body.to_string()).await;
    let (mut at_a, mut at_b) = (a.accept().await, b.accept().await);
    for (link, granted) in [(&mut at_a, vec![queue("a", 0)]), (&mut at_b, vec![queue("b", 2)])] {
        let asked = link.expect(rq::LOCK_BATCH_MQ).await;
        let part: serde_json::Value = serde_json::from_slice(&asked.command.body).unwrap();
        let owner = &granted[0]["brokerName"];
        let queues = part["mqSet"].as_array().unwrap();
        assert!(queues.iter().all(|queue| queue["brokerName"] == *owner), "{part}");
        assert_eq!(
            (&part["clientId"], &part["consumerGroup"]),
            (&json!("c"), &json!("g"))
        );
        let answer = Command::answer(&asked.head, asked.frame.kind(), response::SUCCESS)
            .with_body(json!({"lockOKMQSet": granted}).to_string());
        link.answer_with(&asked, answer).await;
    }
    let answer = client.answer(opaque).await;
    let locked: serde_json::Value = serde_json::from_slice(&answer.command.body).unwrap();
    let mut names: Vec<String> = locked["lockOKMQSet"]
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| format!("{}{}", queue["brokerName"].as_str().unwrap(), queue["queueId"]))
        .collect();
    names.sort();
    assert_eq!(names, ["a0", "b2"]);
}

#[tokio::test]
async fn an_unlock_of_one_broker_goes_there_byte_for_byte() {
    let (_a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let body = r#"{ "mqSet":[{"topic":"T","queueId":1,"brokerName":"b"}],"clientId":"c"}"#;
    let opaque = client.ask_with(rq::UNLOCK_BATCH_MQ, &[], body).await;
    let mut link = b.accept().await;
    let asked = link.expect(rq::UNLOCK_BATCH_MQ).await;
    assert_eq!(asked.text(), body);
    link.answer(&asked, response::SUCCESS).await;
    client.answer(opaque).await;
}

#[tokio::test]
async fn acks_go_where_the_handle_or_the_body_says() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let handle = [("topic", "T"), ("extraInfo", "0 1700000000000 60000 0 1 b 3 7")];
    let opaque = client.ask(rq::ACK_MESSAGE, &handle).await;
    let mut at_b = lands_at(&b, rq::ACK_MESSAGE, &mut client, opaque).await;
    let opaque = client.ask(rq::CHANGE_MESSAGE_INVISIBLETIME, &handle).await;
    lands_on(&mut at_b, rq::CHANGE_MESSAGE_INVISIBLETIME, &mut client, opaque).await;
    let opaque = client
        .ask_with(rq::BATCH_ACK_MESSAGE, &[], r#"{"acks":[],"brokerName":"a"}"#)
        .await;
    lands_at(&a, rq::BATCH_ACK_MESSAGE, &mut client, opaque).await;
}

#[tokio::test]
async fn members_are_asked_of_a_broker_that_holds_the_registration() {
    let (a, b, ns, proxy) = two().await;
    ns.topic("U", &[&b]);
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    client.route("T").await;
    let beat = client.beat(&[Group::Consumer("g", "U")]).await;
    // Both brokers may hear of the client; only b holds group g for sure, as it has topic U.
    let mut at_b = b.accept_greeted().await;
    a.accept_greeted().await;
    client.answer(beat).await;
    let opaque = client
        .ask(rq::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "g")])
        .await;
    lands_on(&mut at_b, rq::GET_CONSUMER_LIST_BY_GROUP, &mut client, opaque).await;
}

#[tokio::test]
async fn questions_about_a_topic_go_to_a_broker_that_has_it() {
    let (_a, b, ns, proxy) = two().await;
    ns.topic("U", &[&b]);
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    client.route("T").await;
    let opaque = client
        .ask_with(
            rq::CHECK_CLIENT_CONFIG,
            &[],
            r#"{"group":"g","subscriptionData":{"topic":"U"}}"#,
        )
        .await;
    let mut link = lands_at(&b, rq::CHECK_CLIENT_CONFIG, &mut client, opaque).await;
    let opaque = client
        .ask_with(rq::QUERY_ASSIGNMENT, &[], r#"{"topic":"U"}"#)
        .await;
    lands_on(&mut link, rq::QUERY_ASSIGNMENT, &mut client, opaque).await;
    let opaque = client
        .ask(rq::GET_MAX_OFFSET, &[("topic", "U"), ("queueId", "0")])
        .await;
    lands_on(&mut link, rq::GET_MAX_OFFSET, &mut client, opaque).await;
}

#[tokio::test]
async fn nameless_pulls_offsets_and_acks_are_refused_and_never_guessed() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    client.route("T").await;
    for code in [
        rq::PULL_MESSAGE,
        rq::QUERY_CONSUMER_OFFSET,
        rq::UPDATE_CONSUMER_OFFSET,
        rq::GET_MIN_OFFSET,
        rq::SEARCH_OFFSET_BY_TIMESTAMP,
        rq::ACK_MESSAGE,
        rq::POP_MESSAGE,
        rq::CONSUMER_SEND_MSG_BACK,
        rq::VIEW_MESSAGE_BY_ID,
    ] {
        let answer = client.call(code, &[("topic", "T"), ("queueId", "0")]).await;
        assert_eq!(answer.head.code, response::VERSION_NOT_SUPPORTED, "{code}");
        let remark = answer.command.remark.unwrap();
        assert!(remark.as_str().contains("addressing"), "{remark:?}");
    }
    let moment = Duration::from_millis(50);
    assert!(a.is_left_alone(moment).await && b.is_left_alone(moment).await);
}

#[tokio::test]
async fn a_nameless_pull_goes_to_the_only_broker_of_its_topic_not_to_the_only_one_heard_of() {
    let (a, b, ns, proxy) = two().await;
    ns.topic("on-a", &[&a]);
    ns.topic("on-b", &[&b]);
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    // All that the proxy has been asked about so far is on broker a.
    client.route("on-a").await;
    let opaque = client.ask(rq::PULL_MESSAGE, &[("topic", "on-b")]).await;
    lands_at(&b, rq::PULL_MESSAGE, &mut client, opaque).await;
}

#[tokio::test]
async fn a_nameless_send_goes_to_a_broker_that_takes_writes_for_its_queue() {
    let (a, b, ns, proxy) = two().await;
    let data = |broker: &Broker, perm: i32, queues: i32| json!({"brokerName": broker.name, "perm": perm, "readQueueNums": 8, "writeQueueNums": queues});
    let at = |broker: &Broker| json!({"brokerName": broker.name, "cluster": "C", "brokerAddrs": {"0": broker.address.to_string()}});
    let route = json!({"brokerDatas": [at(&a), at(&b)], "queueDatas": [data(&a, 6, 4), data(&b, 6, 8)]});
    ns.route("uneven", &route.to_string());
    let route = json!({"brokerDatas": [at(&a), at(&b)], "queueDatas": [data(&a, 4, 8), data(&b, 6, 8)]});
    ns.route("read-only", &route.to_string());
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let fields = [("topic", "uneven"), ("queueId", "6"), ("defaultTopic", "TBW102")];
    let opaque = client.ask(rq::SEND_MESSAGE, &fields).await;
    let mut at_b = lands_at(&b, rq::SEND_MESSAGE, &mut client, opaque).await;
    for _ in 0..4 {
        let fields = [("b", "read-only"), ("e", "0"), ("c", "TBW102")];
        let opaque = client.ask(rq::SEND_MESSAGE_V2, &fields).await;
        lands_on(&mut at_b, rq::SEND_MESSAGE_V2, &mut client, opaque).await;
    }
}

#[tokio::test]
async fn a_nameless_send_to_a_new_topic_goes_where_its_template_is() {
    let (_a, b, ns, proxy) = two().await;
    ns.topic("TBW102", &[&b]);
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    client.route("T").await;
    let fields = [("topic", "new"), ("queueId", "1"), ("defaultTopic", "TBW102")];
    let opaque = client.ask(rq::SEND_MESSAGE, &fields).await;
    lands_at(&b, rq::SEND_MESSAGE, &mut client, opaque).await;
}

#[tokio::test]
async fn a_queue_of_a_static_topic_goes_to_its_owner() {
    let (a, b, ns, proxy) = two().await;
    let at = |broker: &Broker| json!({"brokerName": broker.name, "cluster": "C", "brokerAddrs": {"0": broker.address.to_string()}});
    let owns = |name: &str, ids: serde_json::Value, epoch: i32| json!({"bname": name, "currIdMap": ids, "epoch": epoch, "scope": "__global__", "topic": "S", "totalQueues": 2});
    let route = json!({"brokerDatas": [at(&a), at(&b)], "queueDatas": [],
        "topicQueueMappingByBroker": {"a": owns("a", json!({"0": 0, "1": 1}), 1), "b": owns("b", json!({"1": 0}), 2)}});
    ns.route("S", &route.to_string());
    let mut client = proxy.client().await;
    let mock = |queue| [("bname", "__syslo__global__"), ("topic", "S"), ("queueId", queue)];
    let opaque = client.ask(rq::PULL_MESSAGE, &mock("0")).await;
    lands_at(&a, rq::PULL_MESSAGE, &mut client, opaque).await;
    let opaque = client.ask(rq::PULL_MESSAGE, &mock("1")).await;
    let mut at_b = lands_at(&b, rq::PULL_MESSAGE, &mut client, opaque).await;
    let body = json!({"mqSet": [{"brokerName": "__syslo__global__", "queueId": 1, "topic": "S"}]});
    let opaque = client.ask_with(rq::LOCK_BATCH_MQ, &[], &body.to_string()).await;
    lands_on(&mut at_b, rq::LOCK_BATCH_MQ, &mut client, opaque).await;
    let answer = client.call(rq::PULL_MESSAGE, &mock("7")).await;
    assert_eq!(
        answer.head.code,
        response::VERSION_NOT_SUPPORTED,
        "queue 7 has no owner"
    );
}

#[tokio::test]
async fn commands_of_one_topic_keep_their_order_while_its_route_is_asked_for() {
    let (_a, b, ns, proxy) = two().await;
    ns.topic("U", &[&b]);
    ns.hush();
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let mut opaques = Vec::new();
    for queue in ["0", "1", "2", "3"] {
        opaques.push(
            client
                .ask(rq::PULL_MESSAGE, &[("topic", "U"), ("queueId", queue)])
                .await,
        );
    }
    client.sync().await;
    ns.speak();
    let mut link = b.accept().await;
    for opaque in opaques {
        lands_on(&mut link, rq::PULL_MESSAGE, &mut client, opaque).await;
    }
}

#[tokio::test]
async fn name_server_codes_go_to_the_name_server_in_its_words() {
    let (_a, _b, ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let answer = client
        .call(rq::GET_KV_CONFIG, &[("namespace", "n"), ("key", "k")])
        .await;
    assert_eq!(answer.head.code, response::SUCCESS);
    let asked = ns.asked().pop().unwrap();
    assert_eq!(
        (asked.head.code, asked.field("key")),
        (rq::GET_KV_CONFIG, Some("k"))
    );
}
