//! Every frame of the bench, made once: rings of requests, and answers of which only the opaque is filled in.

use bytes::Bytes;
use gimbal::protocol::{Code, Command, Kind, request as rq};

/// The topic of everything.
pub(crate) const TOPIC: &str = "bench";
/// The only broker.
pub(crate) const BROKER: &str = "broker-a";

/// A topic of the official proxy's own, from which it would pull all the time.
const OWN: &[u8] = b"DefaultHeartBeatSyncerTopic";
/// What the official proxy asks brokers once a minute for each topic and group.
const GET_TOPIC_CONFIG: Code = Code(351);
const GET_SUBSCRIPTIONGROUP_CONFIG: Code = Code(352);

/// What a connection sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Traffic {
    /// `SEND_MESSAGE_V2` with a body of 1 KiB.
    Send,
    /// `PULL_MESSAGE`, answered with 32 messages of 1 KiB.
    Pull,
    /// Three sends, then a pull.
    Mix,
}

fn whole(mut command: Command, kind: Kind) -> Vec<u8> {
    command.set_kind(kind);
    command.version = 513;
    command.encode().unwrap().to_bytes().to_vec()
}

/// A send as Java client 5.5.0 writes it.
pub(crate) fn send(kind: Kind, opaque: i32) -> Vec<u8> {
    let properties = "KEYS\u{1}order-17\u{2}UNIQ_KEY\u{1}FD000000000000000000000000000002326CD430946E09741\
                      7BFDA0000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}created";
    let command = Command::request(rq::SEND_MESSAGE_V2, opaque)
        .with_field("a", "bench-producer")
        .with_field("b", TOPIC)
        .with_field("c", "TBW102")
        .with_field("d", "4")
        .with_field("e", "3")
        .with_field("f", "0")
        .with_field("g", "1795439091499")
        .with_field("h", "0")
        .with_field("i", properties)
        .with_field("j", "0")
        .with_field("k", "false")
        .with_field("m", "false")
        .with_field("n", BROKER)
        .with_body(vec![b'm'; 1024]);
    whole(command, kind)
}

/// A pull as Java client 5.5.0 writes it.
pub(crate) fn pull(kind: Kind, opaque: i32) -> Vec<u8> {
    let command = Command::request(rq::PULL_MESSAGE, opaque)
        .with_field("bname", BROKER)
        .with_field("commitOffset", "0")
        .with_field("consumerGroup", "bench-consumer")
        .with_field("expressionType", "TAG")
        .with_field("maxMsgBytes", "2147483647")
        .with_field("maxMsgNums", "32")
        .with_field("queueId", "1")
        .with_field("queueOffset", "1000")
        .with_field("subVersion", "0")
        .with_field("subscription", "*")
        .with_field("suspendTimeoutMillis", "20000")
        .with_field("sysFlag", "6")
        .with_field("topic", TOPIC);
    whole(command, kind)
}

/// A heartbeat of a producer and consumer.
pub(crate) fn heartbeat(kind: Kind, client: usize) -> Vec<u8> {
    let body = format!(
        r#"{{"clientID":"192.0.2.2@c_{client}","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"bench-consumer","messageModel":"CLUSTERING","subscriptionDataSet":[{{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1795439011487,"tagsSet":[],"topic":"{TOPIC}"}}],"unitMode":false}}],"heartbeatFingerprint":0,"producerDataSet":[{{"groupName":"bench-producer"}}],"withoutSub":false}}"#
    );
    whole(Command::request(rq::HEART_BEAT, 1).with_body(body), kind)
}

/// Requests one after another, twice, so that any run of up to `count` of them is one slice.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    count: usize,
}

impl Ring {
    /// `count` requests, each with an opaque of its own; more than are ever in flight on a connection.
    pub(crate) fn new(traffic: Traffic, kind: Kind, count: usize) -> Self {
        let mut this = Self {
            bytes: Vec::new(),
            starts: vec![0],
            count,
        };
        for at in 0..count * 2 {
            let opaque = i32::try_from(at % count).unwrap() + 10_000;
            let frame = match traffic {
                Traffic::Pull => pull(kind, opaque),
                Traffic::Mix if at % count % 4 == 3 => pull(kind, opaque),
                Traffic::Send | Traffic::Mix => send(kind, opaque),
            };
            this.bytes.extend_from_slice(&frame);
            this.starts.push(this.bytes.len());
        }
        this
    }

    /// The requests from the `from`th to before the `to`th of a connection; at most as many as the ring has.
    pub(crate) fn slice(&self, from: u64, to: u64) -> &[u8] {
        let count = u64::try_from(self.count).unwrap();
        let first = usize::try_from(from % count).unwrap();
        let len = usize::try_from(to - from).unwrap();
        &self.bytes[self.starts[first]..self.starts[first + len]]
    }

    /// How long the `at`th request is.
    pub(crate) fn len(&self, at: u64) -> usize {
        self.slice(at, at + 1).len()
    }
}

/// An answer that lacks its opaque alone.
#[derive(Debug)]
pub(crate) struct Answer {
    before: Vec<u8>,
    after: Vec<u8>,
    kind: Kind,
}

/// An opaque that no other number in a frame is equal to.
const MARK: i32 = 1_234_567_890;

impl Answer {
    fn new(mut command: Command, kind: Kind) -> Self {
        command.opaque = MARK;
        command.flag = gimbal::protocol::FLAG_RESPONSE;
        let bytes = whole(command, kind);
        let mark = match kind {
            Kind::Json => MARK.to_string().into_bytes(),
            Kind::Binary => MARK.to_be_bytes().to_vec(),
        };
        let at = bytes.windows(mark.len()).position(|part| part == mark).unwrap();
        Self {
            before: bytes[..at].to_vec(),
            after: bytes[at + mark.len()..].to_vec(),
            kind,
        }
    }

    /// Appends the answer to the request with this opaque, which in JSON is given as it was written.
    pub(crate) fn write(&self, opaque: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.before);
        out.extend_from_slice(opaque);
        out.extend_from_slice(&self.after);
        let total = u32::try_from(out.len() - start - 4).unwrap();
        out[start..start + 4].copy_from_slice(&total.to_be_bytes());
        if self.kind == Kind::Json {
            let header = u32::from_be_bytes([0, self.before[5], self.before[6], self.before[7]]) as usize
                + opaque.len()
                - MARK.to_string().len();
            let header = u32::try_from(header).unwrap().to_be_bytes();
            out[start + 5..start + 8].copy_from_slice(&header[1..]);
        }
    }
}

/// All answers of the sink in one serialisation.
#[derive(Debug)]
pub(crate) struct Answers {
    send: Answer,
    pull: Answer,
    heartbeat: Answer,
    route: Answer,
    /// Of a topic that nobody is to consume.
    one_way_route: Answer,
    cluster: Answer,
    topic: Answer,
    group: Answer,
    done: Answer,
}

impl Answers {
    /// The answers of a cluster with one broker, at this address.
    pub(crate) fn new(kind: Kind, broker: &str) -> Self {
        let answer = |command: Command| Answer::new(command, kind);
        let ok = || Command::request(Code(0), 0);
        let data = format!(
            r#"{{"brokerAddrs":{{"0":"{broker}"}},"brokerName":"{BROKER}","cluster":"DefaultCluster","enableActingMaster":false}}"#
        );
        let route = |perm: u8| {
            format!(
                r#"{{"brokerDatas":[{data}],"filterServerTable":{{}},"queueDatas":[{{"brokerName":"{BROKER}","perm":{perm},"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}}]}}"#
            )
        };
        let topic = format!(
            r#"{{"attributes":{{}},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"{TOPIC}","topicSysFlag":0,"writeQueueNums":8}}"#
        );
        let group = r#"{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"bench-consumer","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}"#;
        let cluster = format!(
            r#"{{"brokerAddrTable":{{"{BROKER}":{data}}},"clusterAddrTable":{{"DefaultCluster":["{BROKER}"]}}}}"#
        );
        Self {
            send: answer(
                ok().with_field("MSG_REGION", "DefaultRegion")
                    .with_field("TRACE_ON", "true")
                    .with_field("msgId", "7F000001000074D7000000000000B75F")
                    .with_field("queueId", "0")
                    .with_field("queueOffset", "24")
                    .with_field(
                        "transactionId",
                        "FD000000000000000000000000000002597830946E09741A63910000",
                    ),
            ),
            pull: answer(
                ok().with_remark("FOUND")
                    .with_field("groupSysFlag", "0")
                    .with_field("maxOffset", "1000000")
                    .with_field("minOffset", "0")
                    .with_field("nextBeginOffset", "1032")
                    .with_field("suggestWhichBrokerId", "0")
                    .with_field("topicSysFlag", "0")
                    .with_body(stored(32)),
            ),
            heartbeat: answer(
                ok().with_field("IS_SUB_CHANGE", "true")
                    .with_field("IS_SUPPORT_HEART_BEAT_V2", "true"),
            ),
            route: answer(ok().with_body(route(6))),
            one_way_route: answer(ok().with_body(route(2))),
            cluster: answer(ok().with_body(cluster)),
            topic: answer(ok().with_body(topic)),
            group: answer(ok().with_body(group)),
            done: answer(ok().with_field("offset", "0").with_field("version", "0")),
        }
    }

    /// The answer to a request with this code and header.
    pub(crate) fn of(&self, code: i32, header: &[u8]) -> &Answer {
        match Code(code) {
            rq::SEND_MESSAGE | rq::SEND_MESSAGE_V2 => &self.send,
            rq::GET_ROUTEINFO_BY_TOPIC if header.windows(OWN.len()).any(|part| part == OWN) => {
                &self.one_way_route
            }
            GET_TOPIC_CONFIG => &self.topic,
            GET_SUBSCRIPTIONGROUP_CONFIG => &self.group,
            rq::PULL_MESSAGE => &self.pull,
            rq::HEART_BEAT => &self.heartbeat,
            rq::GET_ROUTEINFO_BY_TOPIC => &self.route,
            rq::GET_BROKER_CLUSTER_INFO => &self.cluster,
            _ => &self.done,
        }
    }
}

/// Messages of 1 KiB as a broker stores them.
fn stored(count: u64) -> Bytes {
    let body = [b'm'; 1024];
    let properties = "KEYS\u{1}order-17\u{2}TAGS\u{1}created\u{2}CLUSTER\u{1}DefaultCluster";
    let mut all = Vec::new();
    for at in 0..count {
        let mut message = Vec::new();
        let mut word = |value: u32| message.extend_from_slice(&value.to_be_bytes());
        // Size (below), magic, checksum of the body, queue, flag, offset in the queue, offset in the log.
        for value in [0, 0xDAA3_20A7, crc32fast::hash(&body) & 0x7FFF_FFFF, 1, 0, 0] {
            word(value);
        }
        word(u32::try_from(1_000 + at).unwrap());
        for value in [0, u32::try_from(at * 1_200).unwrap(), 0] {
            word(value);
        }
        // Born at and where, stored at and where, consumed how often, prepared transaction.
        let host = u32::from_be_bytes([127, 0, 0, 1]);
        for value in [418, 1_000, host, 5_000, 418, 1_000, host, 10_911, 0, 0, 0] {
            word(value);
        }
        word(u32::try_from(body.len()).unwrap());
        message.extend_from_slice(&body);
        message.push(u8::try_from(TOPIC.len()).unwrap());
        message.extend_from_slice(TOPIC.as_bytes());
        message.extend_from_slice(&u16::try_from(properties.len()).unwrap().to_be_bytes());
        message.extend_from_slice(properties.as_bytes());
        let size = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&size.to_be_bytes());
        all.extend_from_slice(&message);
    }
    all.into()
}
