//! The stand-in's slower families: pops, delays, retries, transactions, queries, pushes to clients.

use std::time::Duration;

use gimbal::dev::{Cluster, Options};
use gimbal::protocol::body::MessageId;
use gimbal::protocol::{Code, Command, FLAG_ONEWAY, FLAG_RESPONSE, request, response};

use super::{Client, bodies, cluster, pull_fields, send_fields};

const SUBSCRIPTION: &str = r#"{"expressionType":"TAG","subString":"*","subVersion":1,"topic":"T"}"#;

fn pop_fields<'a>(topic: &'a str, poll_ms: &'a str, order: &'a str) -> [(&'a str, &'a str); 9] {
    [
        ("consumerGroup", "g"),
        ("topic", topic),
        ("queueId", "-1"),
        ("maxMsgNums", "32"),
        ("invisibleTime", "400"),
        ("pollTime", poll_ms),
        ("bornTime", "0"),
        ("initMode", "0"),
        ("order", order),
    ]
}

fn handle(popped: &Command) -> String {
    let field = |name| popped.field(name).unwrap();
    let (time, invisible, revive) = (field("popTime"), field("invisibleTime"), field("reviveQid"));
    format!("0 {time} {invisible} {revive} 0 broker-a 0 0")
}

/// The physical offset in the answer to a send.
fn physical(sent: &Command) -> String {
    let id = MessageId::parse(sent.field("msgId").unwrap()).unwrap();
    id.offset.to_string()
}

async fn pull(client: &mut Client, topic: &str, wait: bool) -> Command {
    let flags = if wait { "6" } else { "4" };
    client
        .call(request::PULL_MESSAGE, &pull_fields(topic, "0", flags, "*"), "")
        .await
}

#[tokio::test]
async fn popped_messages_are_acknowledged_or_come_again() {
    let (cluster, mut client) = cluster().await;
    client.create_topic("T", "1").await;
    client.send("T", "", "one").await;
    client.send("T", "", "two").await;
    let popped = client
        .call(request::POP_MESSAGE, &pop_fields("T", "0", "false"), "")
        .await;
    assert_eq!(popped.code, response::SUCCESS);
    assert_eq!(bodies(&popped.body), ["one", "two"]);
    assert_eq!(popped.field("startOffsetInfo"), Some("0 0 0"));
    assert_eq!(popped.field("msgOffsetInfo"), Some("0 0 0,1"));
    let handle = handle(&popped);
    let ack = [
        ("consumerGroup", "g"),
        ("topic", "T"),
        ("queueId", "0"),
        ("extraInfo", handle.as_str()),
        ("offset", "0"),
    ];
    let answer = client.call(request::ACK_MESSAGE, &ack, "").await;
    assert_eq!(answer.code, response::SUCCESS);
    // The second one was not acknowledged: a poll gets it when its time is over.
    let again = client
        .call(request::POP_MESSAGE, &pop_fields("T", "9000", "false"), "")
        .await;
    assert_eq!(bodies(&again.body), ["two"]);
    assert_eq!(
        again.field("startOffsetInfo"),
        Some("1 0 0"),
        "from the retry topic"
    );
    assert_eq!(cluster.stored(0, "%RETRY%g_T"), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn an_orderly_pop_waits_for_its_acknowledgement_and_keeps_its_attempt() {
    let (cluster, mut client) = cluster().await;
    client.create_topic("T", "1").await;
    client.send("T", "", "one").await;
    let mut fields = pop_fields("T", "0", "true").to_vec();
    fields.push(("attemptId", "a"));
    let first = client.call(request::POP_MESSAGE, &fields, "").await;
    assert_eq!(bodies(&first.body), ["one"]);
    assert_eq!(first.field("reviveQid"), Some("999"));
    client.send("T", "", "two").await;
    let same = client.call(request::POP_MESSAGE, &fields, "").await;
    assert_eq!(bodies(&same.body), ["one"], "the same attempt");
    fields[9].1 = "b";
    let other = client.call(request::POP_MESSAGE, &fields, "").await;
    assert_eq!(other.code, response::POLLING_TIMEOUT, "the queue stands still");
    let handle = handle(&same);
    let place = [
        ("consumerGroup", "g"),
        ("topic", "T"),
        ("queueId", "0"),
        ("extraInfo", handle.as_str()),
        ("offset", "0"),
    ];
    client.call(request::ACK_MESSAGE, &place, "").await;
    let next = client.call(request::POP_MESSAGE, &fields, "").await;
    assert_eq!(bodies(&next.body), ["two"]);
    cluster.stop().await;
}

#[tokio::test]
async fn invisible_time_changes_batches_are_acknowledged_and_polls_are_counted() {
    let (cluster, mut client) = cluster().await;
    client.create_topic("T", "1").await;
    client.send("T", "", "one").await;
    client.send("T", "", "two").await;
    let peeked = client
        .call(request::PEEK_MESSAGE, &pop_fields("T", "0", "false"), "")
        .await;
    assert_eq!(bodies(&peeked.body), ["one", "two"]);
    let popped = client
        .call(request::POP_MESSAGE, &pop_fields("T", "0", "false"), "")
        .await;
    let old = handle(&popped);
    let change = [
        ("consumerGroup", "g"),
        ("topic", "T"),
        ("queueId", "0"),
        ("extraInfo", old.as_str()),
        ("offset", "0"),
        ("invisibleTime", "60000"),
    ];
    let changed = client
        .call(request::CHANGE_MESSAGE_INVISIBLETIME, &change, "")
        .await;
    assert_eq!(changed.code, response::SUCCESS);
    let (first, second) = (
        changed.field("popTime").unwrap(),
        popped.field("popTime").unwrap(),
    );
    assert_ne!(first, second, "the handle is a new one");
    let ack = |time: &str, bits: &str| {
        format!(r#"{{"c":"g","t":"T","r":"0","so":0,"q":0,"rq":0,"pt":{time},"it":400,"b":"{bits}"}}"#)
    };
    // Bit 0 with the new pop time, bit 1 with the old.
    let body = format!(
        r#"{{"brokerName":"broker-a","acks":[{},{}]}}"#,
        ack(first, "AQ=="),
        ack(second, "Ag==")
    );
    let answer = client.call(request::BATCH_ACK_MESSAGE, &[], body).await;
    assert_eq!(answer.code, response::SUCCESS);
    let queue = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    let answer = client.call(request::QUERY_CONSUMER_OFFSET, &queue, "").await;
    assert_eq!(answer.field("offset"), Some("2"), "both are done");
    let parked = client
        .ask(request::NOTIFICATION, &pop_fields("T", "9000", "false"), "")
        .await;
    let info = client
        .call(request::POLLING_INFO, &pop_fields("T", "0", "false"), "")
        .await;
    assert_eq!(info.field("pollingNum"), Some("1"));
    client.send("T", "", "three").await;
    assert_eq!(client.answer(parked).await.field("hasMsg"), Some("true"));
    cluster.stop().await;
}

#[tokio::test]
async fn delayed_messages_come_in_their_time_unless_recalled() {
    let (cluster, mut client) = cluster().await;
    client.create_topic("T", "1").await;
    let recalled = client
        .send("T", "TIMER_DELAY_MS\u{1}500\u{2}UNIQ_KEY\u{1}U\u{2}", "recalled")
        .await;
    let handle = recalled.field("recallHandle").unwrap().to_owned();
    let fields = [("topic", "T"), ("recallHandle", handle.as_str())];
    let answer = client.call(request::RECALL_MESSAGE, &fields, "").await;
    assert_eq!(answer.field("msgId"), Some("U"));
    client.send("T", "DELAY\u{1}1\u{2}", "delayed").await;
    assert_eq!(cluster.stored(0, "T"), 0);
    let answer = pull(&mut client, "T", true).await;
    assert_eq!(bodies(&answer.body), ["delayed"]);
    let answer = client.call(request::RECALL_MESSAGE, &fields, "").await;
    assert_eq!(answer.code, response::ILLEGAL_OPERATION);
    cluster.stop().await;
}

#[tokio::test]
async fn a_message_sent_back_is_retried_and_at_last_buried() {
    let (cluster, mut client) = cluster().await;
    let sent = client.send("T", "", "bad").await;
    let offset = physical(&sent);
    let mut fields = [
        ("group", "g"),
        ("offset", offset.as_str()),
        ("delayLevel", "1"),
        ("maxReconsumeTimes", "16"),
    ];
    let answer = client.call(request::CONSUMER_SEND_MSG_BACK, &fields, "").await;
    assert_eq!(answer.code, response::SUCCESS);
    let again = pull(&mut client, "%RETRY%g", true).await;
    assert_eq!(bodies(&again.body), ["bad"]);
    assert_eq!(again.body[72..76], 1_i32.to_be_bytes(), "reconsumed once");
    fields[3].1 = "0";
    client.call(request::CONSUMER_SEND_MSG_BACK, &fields, "").await;
    assert_eq!(cluster.stored(0, "%DLQ%g"), 1);
    fields[1].1 = "123";
    let answer = client.call(request::CONSUMER_SEND_MSG_BACK, &fields, "").await;
    assert_eq!(answer.code, response::SYSTEM_ERROR);
    cluster.stop().await;
}

/// Ends the transaction of a sent half message.
async fn end(client: &mut Client, half: &Command, verdict: &str) -> Command {
    let physical = physical(half);
    let fields = [
        ("producerGroup", "p_g"),
        ("tranStateTableOffset", half.field("queueOffset").unwrap()),
        ("commitLogOffset", physical.as_str()),
        ("commitOrRollback", verdict),
    ];
    client.call(request::END_TRANSACTION, &fields, "").await
}

#[tokio::test]
async fn half_messages_are_committed_rolled_back_or_asked_about() {
    let options = Options {
        check_interval: Duration::from_millis(50),
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let mut client = Client::connect(cluster.brokers()[0]).await;
    let mut other = Client::connect(cluster.brokers()[0]).await;
    let half = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p_g\u{2}UNIQ_KEY\u{1}U\u{2}";
    let committed = other.send("T", half, "committed").await;
    assert_eq!(committed.field("transactionId"), Some("U"));
    let rolled_back = other.send("T", half, "rolled back").await;
    assert_eq!(cluster.stored(0, "T"), 0);
    assert_eq!(end(&mut other, &committed, "8").await.code, response::SUCCESS);
    assert_eq!(end(&mut other, &rolled_back, "12").await.code, response::SUCCESS);
    assert_eq!(
        end(&mut other, &committed, "8").await.code,
        response::SYSTEM_ERROR,
        "it is over"
    );
    assert_eq!(cluster.stored(0, "T"), 1);
    client.heartbeat("c", "g", SUBSCRIPTION).await;
    let silent = other.send("T", half, "silent").await;
    let check = client.pushed(request::CHECK_TRANSACTION_STATE).await;
    assert_eq!(check.field("bname"), Some("broker-a"));
    assert_eq!(check.field("tranStateTableOffset"), silent.field("queueOffset"));
    assert_eq!(bodies(&check.body), ["silent"]);
    end(&mut client, &silent, "8").await;
    assert_eq!(cluster.stored(0, "T"), 2);
    cluster.stop().await;
}

#[tokio::test]
async fn messages_are_found_by_key_unique_id_and_offset_id() {
    let (cluster, mut client) = cluster().await;
    let sent = client
        .send("T", "KEYS\u{1}k1 k2\u{2}UNIQ_KEY\u{1}U\u{2}", "found")
        .await;
    for (key, unique, code) in [
        ("k2", "false", response::SUCCESS),
        ("U", "true", response::SUCCESS),
        ("k2", "true", response::QUERY_NOT_FOUND),
    ] {
        let fields = [
            ("topic", "T"),
            ("key", key),
            ("maxNum", "8"),
            ("beginTimestamp", "0"),
            ("endTimestamp", "9999999999999"),
            ("_UNIQUE_KEY_QUERY", unique),
        ];
        let answer = client.call(request::QUERY_MESSAGE, &fields, "").await;
        assert_eq!(answer.code, code, "{key} {unique}");
    }
    let offset = physical(&sent);
    let answer = client
        .call(request::VIEW_MESSAGE_BY_ID, &[("offset", offset.as_str())], "")
        .await;
    assert_eq!(bodies(&answer.body), ["found"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_reply_is_pushed_to_the_asking_client() {
    let (cluster, mut asker) = cluster().await;
    asker.heartbeat("asker", "g", SUBSCRIPTION).await;
    let mut replier = Client::connect(cluster.brokers()[0]).await;
    let topic = "DefaultCluster_REPLY_TOPIC";
    let lost = send_fields(topic, "REPLY_TO_CLIENT\u{1}nobody\u{2}");
    let answer = replier.call(request::SEND_REPLY_MESSAGE_V2, &lost, "reply").await;
    assert_eq!(answer.code, response::SYSTEM_ERROR);
    assert_eq!(
        answer.remark.unwrap().as_str(),
        "push reply message fail, channel of <nobody> not found."
    );
    let fields = send_fields(topic, "REPLY_TO_CLIENT\u{1}asker\u{2}");
    let opaque = replier
        .ask(request::SEND_REPLY_MESSAGE_V2, &fields, "reply")
        .await;
    let push = asker.pushed(request::PUSH_REPLY_MESSAGE_TO_CLIENT).await;
    assert_eq!(&push.body[..], b"reply");
    assert_eq!(push.field("producerGroup"), Some("p"));
    assert_eq!(push.flag & FLAG_ONEWAY, 0, "it wants an answer");
    let mut said = Command::request(Code(0), push.opaque);
    said.flag = FLAG_RESPONSE;
    asker.put(&said).await;
    assert_eq!(replier.answer(opaque).await.code, response::SUCCESS);
    cluster.stop().await;
}

#[tokio::test]
async fn a_tools_question_reaches_the_client_it_names() {
    let (cluster, mut consumer) = cluster().await;
    consumer.heartbeat("c", "g", SUBSCRIPTION).await;
    let mut tool = Client::connect(cluster.brokers()[0]).await;
    let fields = [("consumerGroup", "g"), ("clientId", "c")];
    let opaque = tool.ask(request::GET_CONSUMER_RUNNING_INFO, &fields, "").await;
    let push = consumer.pushed(request::GET_CONSUMER_RUNNING_INFO).await;
    let mut said = Command::request(Code(0), push.opaque).with_body("info");
    said.flag = FLAG_RESPONSE;
    consumer.put(&said).await;
    assert_eq!(&tool.answer(opaque).await.body[..], b"info");
    consumer.send("T", "", "one").await;
    let fields = [("group", "g"), ("topic", "T"), ("timestamp", "0")];
    let answer = tool
        .call(request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, "")
        .await;
    let push = consumer.pushed(request::RESET_CONSUMER_CLIENT_OFFSET).await;
    assert_eq!(push.body, answer.body);
    assert!(
        push.body
            .starts_with(br#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"T"}:0"#)
    );
    let list = tool
        .call(
            request::GET_CONSUMER_CONNECTION_LIST,
            &[("consumerGroup", "g")],
            "",
        )
        .await;
    let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list["connectionSet"][0]["clientId"], "c");
    cluster.stop().await;
}

#[tokio::test]
async fn the_broker_assigns_queues_and_says_how_to_get_them() {
    let (cluster, mut client) = cluster().await;
    client.create_topic("T", "2").await;
    client.heartbeat("c", "g", SUBSCRIPTION).await;
    let asked = r#"{"topic":"T","consumerGroup":"g","clientId":"c","strategyName":"AVG","messageModel":"CLUSTERING"}"#;
    let answer = client.call(request::QUERY_ASSIGNMENT, &[], asked).await;
    let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(list["messageQueueAssignments"].as_array().unwrap().len(), 2);
    assert_eq!(list["messageQueueAssignments"][0]["mode"], "PULL");
    let mode = r#"{"topic":"T","consumerGroup":"g","mode":"POP","popShareQueueNum":8}"#;
    client.call(request::SET_MESSAGE_REQUEST_MODE, &[], mode).await;
    let answer = client.call(request::QUERY_ASSIGNMENT, &[], asked).await;
    let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let entry = &list["messageQueueAssignments"][0];
    assert_eq!(entry["mode"], "POP");
    assert_eq!(entry["messageQueue"]["queueId"], -1);
    cluster.stop().await;
}

#[tokio::test]
async fn an_sql_subscription_is_checked_and_filters() {
    let (cluster, mut client) = cluster().await;
    for (expression, code) in [
        ("a > 5 AND b IS NULL", response::SUCCESS),
        ("a >", response::SUBSCRIPTION_PARSE_FAILED),
    ] {
        let body = format!(
            r#"{{"clientId":"c","group":"g","subscriptionData":{{"expressionType":"SQL92","subString":"{expression}"}}}}"#
        );
        let answer = client.call(request::CHECK_CLIENT_CONFIG, &[], body).await;
        assert_eq!(answer.code, code, "{expression}");
    }
    client.send("T", "a\u{1}9\u{2}", "wanted").await;
    client.send("T", "a\u{1}1\u{2}", "unwanted").await;
    let subscription = r#"{"expressionType":"SQL92","subString":"a > 5","subVersion":7,"topic":"T"}"#;
    client.heartbeat("c", "g", subscription).await;
    let answer = client
        .call(request::PULL_MESSAGE, &pull_fields("T", "0", "0", ""), "")
        .await;
    assert_eq!(bodies(&answer.body), ["wanted"]);
    cluster.stop().await;
}
