//! The stand-in for RocketMQ, spoken to in raw frames.

mod later;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use gimbal::dev::{Cluster, Options};
use gimbal::protocol::{
    Code, Command, FLAG_ONEWAY, FLAG_RESPONSE, FRAME_LIMIT, Frame, Kind, request, response,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(10);

/// One connection.
struct Client {
    stream: TcpStream,
    input: BytesMut,
    opaque: i32,
    /// What came while something else was waited for.
    kept: VecDeque<Command>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            input: BytesMut::new(),
            opaque: 0,
            kept: VecDeque::new(),
        }
    }

    async fn put(&mut self, command: &Command) {
        let bytes = command.encode().unwrap().to_bytes();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Sends a request without waiting; its opaque.
    async fn ask(&mut self, code: Code, fields: &[(&str, &str)], body: impl Into<Bytes>) -> i32 {
        self.opaque += 1;
        let mut command = Command::request(code, self.opaque).with_body(body);
        for (name, value) in fields {
            command.set_field(name, *value);
        }
        self.put(&command).await;
        self.opaque
    }

    async fn call(&mut self, code: Code, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Command {
        let opaque = self.ask(code, fields, body).await;
        self.answer(opaque).await
    }

    async fn answer(&mut self, opaque: i32) -> Command {
        self.wait(|command| command.flag & FLAG_RESPONSE != 0 && command.opaque == opaque)
            .await
    }

    /// The next request that the server sends with this code.
    async fn pushed(&mut self, code: Code) -> Command {
        self.wait(|command| command.flag & FLAG_RESPONSE == 0 && command.code == code)
            .await
    }

    async fn wait(&mut self, wanted: impl Fn(&Command) -> bool + Send + Sync) -> Command {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).unwrap();
        }
        tokio::time::timeout(DEADLINE, async {
            loop {
                while let Some(frame) = Frame::split(&mut self.input, FRAME_LIMIT).unwrap() {
                    let command = Command::decode(&frame).unwrap();
                    if wanted(&command) {
                        return command;
                    }
                    self.kept.push_back(command);
                }
                let read = self.stream.read_buf(&mut self.input).await.unwrap();
                assert!(read > 0, "the server closed the connection");
            }
        })
        .await
        .expect("nothing came in time")
    }

    async fn create_topic(&mut self, topic: &str, queues: &str) {
        let fields = [
            ("topic", topic),
            ("readQueueNums", queues),
            ("writeQueueNums", queues),
            ("perm", "6"),
        ];
        let answer = self.call(request::UPDATE_AND_CREATE_TOPIC, &fields, "").await;
        assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
    }

    async fn send(&mut self, topic: &str, properties: &str, body: &'static str) -> Command {
        let answer = self
            .call(request::SEND_MESSAGE_V2, &send_fields(topic, properties), body)
            .await;
        assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
        answer
    }

    async fn heartbeat(&mut self, client: &str, group: &str, subscription: &str) {
        let body = format!(
            r#"{{"clientID":"{client}","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET",
            "consumeType":"CONSUME_PASSIVELY","groupName":"{group}","messageModel":"CLUSTERING","unitMode":false,
            "subscriptionDataSet":[{subscription}]}}],"producerDataSet":[{{"groupName":"p_{group}"}}]}}"#
        );
        let answer = self.call(request::HEART_BEAT, &[], body).await;
        assert_eq!(answer.code, response::SUCCESS);
        assert_eq!(answer.version, 513, "the version of a 5.5.0 broker");
    }
}

fn send_fields<'a>(topic: &'a str, properties: &'a str) -> [(&'a str, &'a str); 11] {
    [
        ("a", "p"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties),
        ("j", "0"),
        ("m", "false"),
    ]
}

fn pull_fields<'a>(
    topic: &'a str,
    offset: &'a str,
    flags: &'a str,
    expression: &'a str,
) -> [(&'a str, &'a str); 11] {
    [
        ("consumerGroup", "g"),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        ("sysFlag", flags),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "9000"),
        ("subscription", expression),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ]
}

/// Bodies of the records in an answer.
fn bodies(records: &Bytes) -> Vec<String> {
    let mut rest = records.clone();
    let mut found = Vec::new();
    while rest.has_remaining() {
        let total = usize::try_from(i32::from_be_bytes(rest[..4].try_into().unwrap())).unwrap();
        let record = rest.split_to(total);
        let len = usize::try_from(i32::from_be_bytes(record[84..88].try_into().unwrap())).unwrap();
        found.push(String::from_utf8(record[88..88 + len].to_vec()).unwrap());
    }
    found
}

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let client = Client::connect(cluster.brokers()[0]).await;
    (cluster, client)
}

#[tokio::test]
async fn a_route_names_every_broker_of_the_topic_and_an_unknown_topic_is_17() {
    let options = Options {
        brokers: 2,
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let mut client = Client::connect(cluster.nameserver()).await;
    let answer = client
        .call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "none")], "")
        .await;
    assert_eq!(answer.code, response::TOPIC_NOT_EXIST);
    let remark = answer.remark.unwrap();
    assert!(
        remark
            .as_str()
            .starts_with("No topic route info in name server for the topic: none")
    );
    let answer = client
        .call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")], "")
        .await;
    let route: serde_json::Value =
        serde_json::from_slice(&answer.body).expect("strict JSON for a new client");
    let brokers = cluster.brokers();
    assert_eq!(
        route["brokerDatas"][1]["brokerAddrs"]["0"],
        brokers[1].to_string()
    );
    let mut old = Command::request(request::GET_ROUTEINFO_BY_TOPIC, 99).with_field("topic", "broker-b");
    old.version = 293;
    client.put(&old).await;
    let answer = client.answer(99).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("{0:\""), "bare keys for an old client: {text}");
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_sent_is_pulled_and_tags_are_filtered() {
    let (cluster, mut client) = cluster().await;
    for (tag, body) in [("A", "one"), ("B", "two"), ("A", "three")] {
        let answer = client.send("T", &format!("TAGS\u{1}{tag}\u{2}"), body).await;
        assert_eq!(answer.field("queueId"), Some("0"));
        assert_eq!(answer.field("TRACE_ON"), Some("true"));
        assert_eq!(answer.field("msgId").unwrap().len(), 32);
    }
    let answer = client
        .call(request::PULL_MESSAGE, &pull_fields("T", "0", "4", "A"), "")
        .await;
    assert_eq!(answer.code, response::SUCCESS);
    assert_eq!(bodies(&answer.body), ["one", "three"]);
    assert_eq!(answer.field("nextBeginOffset"), Some("3"));
    let answer = client
        .call(request::PULL_MESSAGE, &pull_fields("T", "9", "4", "*"), "")
        .await;
    assert_eq!(answer.code, response::PULL_OFFSET_MOVED);
    let answer = client
        .call(request::PULL_MESSAGE, &pull_fields("T", "0", "0", ""), "")
        .await;
    assert_eq!(
        answer.code,
        response::SUBSCRIPTION_NOT_EXIST,
        "without a heartbeat"
    );
    assert_eq!(cluster.stored(0, "T"), 3);
    cluster.stop().await;
}

#[tokio::test]
async fn a_parked_pull_is_answered_by_the_next_message_that_it_wants() {
    let (cluster, mut consumer) = cluster().await;
    let mut producer = Client::connect(cluster.brokers()[0]).await;
    producer.create_topic("T", "1").await;
    let parked = consumer
        .ask(request::PULL_MESSAGE, &pull_fields("T", "0", "6", "A"), "")
        .await;
    // The answer to a later request proves that the pull is parked.
    let offset = [("topic", "T"), ("queueId", "0")];
    consumer.call(request::GET_MAX_OFFSET, &offset, "").await;
    producer.send("T", "TAGS\u{1}B\u{2}", "unwanted").await;
    producer.send("T", "TAGS\u{1}A\u{2}", "wanted").await;
    let answer = consumer.answer(parked).await;
    assert_eq!(answer.code, response::SUCCESS);
    assert_eq!(bodies(&answer.body), ["wanted"]);
    cluster.stop().await;
}

#[tokio::test]
async fn batches_keep_together_and_one_way_sends_have_no_answer() {
    let (cluster, mut client) = cluster().await;
    let mut batch = Vec::new();
    for body in ["x", "yz"] {
        batch.extend(u32::try_from(22 + body.len()).unwrap().to_be_bytes());
        batch.extend([0; 12]);
        batch.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        batch.extend(body.as_bytes());
        batch.extend([0; 2]);
    }
    let mut fields = send_fields("T", "");
    fields[10] = ("m", "true");
    let answer = client.call(request::SEND_BATCH_MESSAGE, &fields, batch).await;
    assert_eq!(answer.code, response::SUCCESS);
    assert_eq!(answer.field("msgId").unwrap().split(',').count(), 2);
    let mut oneway = Command::request(request::SEND_MESSAGE_V2, 77).with_body("one-way");
    for (name, value) in send_fields("T", "") {
        oneway.set_field(name, value);
    }
    oneway.flag = FLAG_ONEWAY;
    oneway.set_kind(Kind::Binary);
    client.put(&oneway).await;
    let answer = client
        .call(request::PULL_MESSAGE, &pull_fields("T", "0", "4", "*"), "")
        .await;
    assert_eq!(answer.kind(), Kind::Json);
    assert_eq!(bodies(&answer.body), ["x", "yz", "one-way"]);
    assert!(client.kept.is_empty(), "no answer to the one-way send");
    cluster.stop().await;
}

#[tokio::test]
async fn offsets_are_committed_found_and_searched() {
    let (cluster, mut client) = cluster().await;
    client.send("T", "", "one").await;
    let queue = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    let mut strict = queue.to_vec();
    strict.push(("setZeroIfNotFound", "false"));
    let answer = client.call(request::QUERY_CONSUMER_OFFSET, &strict, "").await;
    assert_eq!(answer.code, response::QUERY_NOT_FOUND);
    let mut commit = queue.to_vec();
    commit.push(("commitOffset", "1"));
    client.call(request::UPDATE_CONSUMER_OFFSET, &commit, "").await;
    let answer = client.call(request::QUERY_CONSUMER_OFFSET, &queue, "").await;
    assert_eq!(answer.field("offset"), Some("1"));
    for (code, field, value) in [
        (request::GET_MAX_OFFSET, "offset", "1"),
        (request::GET_MIN_OFFSET, "offset", "0"),
    ] {
        let answer = client.call(code, &queue, "").await;
        assert_eq!(answer.field(field), Some(value));
    }
    let search = [("topic", "T"), ("queueId", "0"), ("timestamp", "0")];
    let answer = client
        .call(request::SEARCH_OFFSET_BY_TIMESTAMP, &search, "")
        .await;
    assert_eq!(answer.field("offset"), Some("0"));
    let answer = client.call(request::GET_EARLIEST_MSG_STORETIME, &queue, "").await;
    assert!(answer.field("timestamp").unwrap().parse::<i64>().unwrap() > 0);
    cluster.stop().await;
}

#[tokio::test]
async fn members_hear_of_each_other_and_locks_have_one_holder() {
    let (cluster, mut first) = cluster().await;
    let subscription = r#"{"expressionType":"TAG","subString":"*","subVersion":1,"topic":"T"}"#;
    first.heartbeat("c1", "g", subscription).await;
    first.pushed(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
    let mut second = Client::connect(cluster.brokers()[0]).await;
    second.heartbeat("c2", "g", subscription).await;
    let push = first.pushed(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
    assert_eq!(push.field("consumerGroup"), Some("g"));
    assert_eq!(push.flag, FLAG_ONEWAY);
    let group = [("consumerGroup", "g")];
    let answer = first.call(request::GET_CONSUMER_LIST_BY_GROUP, &group, "").await;
    assert_eq!(&answer.body[..], br#"{"consumerIdList":["c1","c2"]}"#);
    let queue = r#"{"brokerName":"broker-a","queueId":0,"topic":"T"}"#;
    for (client, locked) in [("c1", 1), ("c2", 0)] {
        let body = format!(r#"{{"clientId":"{client}","consumerGroup":"g","mqSet":[{queue}]}}"#);
        let answer = first.call(request::LOCK_BATCH_MQ, &[], body).await;
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["lockOKMQSet"].as_array().unwrap().len(), locked, "{client}");
    }
    drop(second);
    first.pushed(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
    let answer = first.call(request::GET_CONSUMER_LIST_BY_GROUP, &group, "").await;
    assert_eq!(&answer.body[..], br#"{"consumerIdList":["c1"]}"#);
    cluster.stop().await;
}

#[tokio::test]
async fn an_unknown_code_is_refused_and_stopping_closes_connections() {
    let (cluster, mut client) = cluster().await;
    let answer = client.call(Code(4711), &[], "").await;
    assert_eq!(answer.code, response::REQUEST_CODE_NOT_SUPPORTED);
    assert_eq!(
        answer.remark.unwrap().as_str(),
        " request type 4711 not supported"
    );
    assert_eq!(cluster.connections(0), 1);
    cluster.stop().await;
    assert_eq!(client.stream.read_buf(&mut client.input).await.unwrap_or(0), 0);
}
