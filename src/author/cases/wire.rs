//! Requests in the words of messages become commands as clients write them.

use super::file::{BatchSection, CaseSection, HeaderName, MessageSection, OutcomeName, Plain, SendSection};
use super::read::{Reader, oneway, pairs};
use super::{answer, heartbeat};
use crate::filter::Client;
use crate::protocol::body::Properties;
use crate::protocol::{Code, Command, request as rq};

/// What can be shown, by its key.
pub(super) const KINDS: [&str; 12] = [
    "send",
    "batch",
    "pull",
    "pop",
    "ack",
    "heartbeat",
    "route",
    "transaction",
    "send_back",
    "recall",
    "offset",
    "command",
];
/// When everything happens, milliseconds since 1970: cases give the same bytes every time.
pub(super) const NOW: i64 = 1_750_000_000_000;
const BROKER: &str = "broker-a";
const PRODUCERS: &str = "producers";
const CONSUMERS: &str = "consumers";
const OPAQUE: i32 = 1;

/// The keys of what a case shows.
pub(super) fn given(case: &CaseSection) -> Vec<&'static str> {
    let there = [
        case.send.is_some(),
        case.batch.is_some(),
        case.pull.is_some(),
        case.pop.is_some(),
        case.ack.is_some(),
        case.heartbeat.is_some(),
        case.route.is_some(),
        case.transaction.is_some(),
        case.send_back.is_some(),
        case.recall.is_some(),
        case.offset.is_some(),
        case.command.is_some(),
    ];
    let pairs = KINDS.into_iter().zip(there);
    pairs.filter(|(_, there)| *there).map(|(kind, _)| kind).collect()
}

/// The one request that a case shows.
pub(super) fn request(case: &CaseSection, client: &Client, reader: &mut Reader<'_>) -> Option<Command> {
    if let Some(send) = &case.send {
        return Some(send_of(send, reader));
    }
    if let Some(batch) = &case.batch {
        return Some(batch_of(batch, reader));
    }
    if let Some(written) = &case.heartbeat {
        return Some(heartbeat::of(written, client));
    }
    if let Some(written) = &case.command {
        let code = reader.request_code("command.code", &written.code)?;
        let mut command = Command::request(code, OPAQUE).with_body(written.body.clone());
        for (name, value) in pairs(&written.fields) {
            command.set_field(&name, value);
        }
        return Some(oneway(command, written.oneway));
    }
    consuming(case, reader).or_else(|| other(case, reader))
}

/// A command with the ext fields that have a value.
fn command(code: Code, fields: &[(&str, String)]) -> Command {
    let mut command = Command::request(code, OPAQUE);
    for (name, value) in fields {
        command.set_field(name, value.as_str());
    }
    command
}

fn topic(reader: &mut Reader<'_>, kind: &str, topic: &str) -> String {
    if topic.is_empty() {
        reader.wrong(&format!("{kind}.topic"), "is missing", "the name of a topic");
    }
    topic.to_owned()
}

fn or(written: Option<&String>, usual: &str) -> String {
    written.map_or(usual, String::as_str).to_owned()
}

/// The property string of a message.
pub(super) fn properties(message: &MessageSection, reader: &mut Reader<'_>, key: &str) -> String {
    let mut properties = Properties::default();
    let named = [("KEYS", message.key.as_ref()), ("TAGS", message.tag.as_ref())];
    let named = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    let own = message
        .properties
        .iter()
        .map(|(name, Plain(value))| (name.clone(), value.clone()));
    for (name, value) in named.chain(own) {
        if let Err(error) = properties.set(&name, &value) {
            let accepted = "a value without the characters U+0001 and U+0002, and not empty";
            reader.wrong(key, format!("property {name}: {error}"), accepted);
        }
    }
    properties.as_str().to_owned()
}

/// What the header of a send says.
struct Header<'a> {
    code: Code,
    topic: &'a str,
    group: String,
    queue: i32,
    broker: String,
    properties: String,
    reconsumed: i32,
    is_batch: bool,
}

impl Header<'_> {
    fn command(&self) -> Command {
        let is_long = self.code == rq::SEND_MESSAGE;
        let name = |long: &'static str, short: &'static str| if is_long { long } else { short };
        command(
            self.code,
            &[
                (name("producerGroup", "a"), self.group.clone()),
                (name("topic", "b"), self.topic.to_owned()),
                (name("defaultTopic", "c"), "TBW102".to_owned()),
                (name("defaultTopicQueueNums", "d"), "4".to_owned()),
                (name("queueId", "e"), self.queue.to_string()),
                (name("sysFlag", "f"), "0".to_owned()),
                (name("bornTimestamp", "g"), NOW.to_string()),
                (name("flag", "h"), "0".to_owned()),
                (name("properties", "i"), self.properties.clone()),
                (name("reconsumeTimes", "j"), self.reconsumed.to_string()),
                (name("unitMode", "k"), "false".to_owned()),
                (name("batch", "m"), self.is_batch.to_string()),
                (name("brokerName", "n"), self.broker.clone()),
            ],
        )
    }
}

fn send_of(written: &SendSection, reader: &mut Reader<'_>) -> Command {
    let message = MessageSection {
        tag: written.tag.clone(),
        key: written.key.clone(),
        properties: written.properties.clone(),
        ..MessageSection::default()
    };
    let header = Header {
        code: match written.header {
            Some(HeaderName::V1) => rq::SEND_MESSAGE,
            Some(HeaderName::V2) | None => rq::SEND_MESSAGE_V2,
        },
        topic: &topic(reader, "send", &written.topic),
        group: or(written.group.as_ref(), PRODUCERS),
        queue: written.queue.unwrap_or_default(),
        broker: or(written.broker.as_ref(), BROKER),
        properties: properties(&message, reader, "send"),
        reconsumed: written.reconsumed.unwrap_or_default(),
        is_batch: false,
    };
    let command = header.command().with_body(written.body.clone());
    oneway(command, written.oneway)
}

fn batch_of(written: &BatchSection, reader: &mut Reader<'_>) -> Command {
    if written.messages.is_empty() {
        let accepted = "at least one, such as messages = [{ body = \"hello\" }]";
        reader.wrong("batch.messages", "is empty", accepted);
    }
    let mut body = Vec::new();
    for (at, message) in written.messages.iter().enumerate() {
        let properties = properties(message, reader, &format!("batch.messages[{at}]"));
        answer::batch_item(&mut body, message.body.as_bytes(), properties.as_bytes());
    }
    let header = Header {
        code: rq::SEND_BATCH_MESSAGE,
        topic: &topic(reader, "batch", &written.topic),
        group: or(written.group.as_ref(), PRODUCERS),
        queue: written.queue.unwrap_or_default(),
        broker: or(written.broker.as_ref(), BROKER),
        properties: String::new(),
        reconsumed: 0,
        is_batch: true,
    };
    oneway(header.command().with_body(body), written.oneway)
}

/// What consumers ask of brokers.
fn consuming(case: &CaseSection, reader: &mut Reader<'_>) -> Option<Command> {
    if let Some(pull) = &case.pull {
        return Some(command(
            rq::PULL_MESSAGE,
            &[
                ("consumerGroup", or(pull.group.as_ref(), CONSUMERS)),
                ("topic", topic(reader, "pull", &pull.topic)),
                ("queueId", pull.queue.unwrap_or_default().to_string()),
                ("queueOffset", pull.offset.unwrap_or_default().to_string()),
                ("maxMsgNums", pull.max.unwrap_or(32).to_string()),
                ("sysFlag", "6".to_owned()),
                ("commitOffset", "0".to_owned()),
                ("suspendTimeoutMillis", "15000".to_owned()),
                ("subscription", or(pull.tags.as_ref(), "*")),
                ("subVersion", "0".to_owned()),
                ("expressionType", "TAG".to_owned()),
                ("bname", or(pull.broker.as_ref(), BROKER)),
            ],
        ));
    }
    if let Some(pop) = &case.pop {
        return Some(command(
            rq::POP_MESSAGE,
            &[
                ("consumerGroup", or(pop.group.as_ref(), CONSUMERS)),
                ("topic", topic(reader, "pop", &pop.topic)),
                ("queueId", pop.queue.unwrap_or(-1).to_string()),
                ("maxMsgNums", pop.max.unwrap_or(32).to_string()),
                ("invisibleTime", "60000".to_owned()),
                ("pollTime", "15000".to_owned()),
                ("bornTime", NOW.to_string()),
                ("initMode", "0".to_owned()),
                ("expType", "TAG".to_owned()),
                ("exp", or(pop.tags.as_ref(), "*")),
                ("order", pop.ordered.to_string()),
                ("bname", or(pop.broker.as_ref(), BROKER)),
            ],
        ));
    }
    let ack = case.ack.as_ref()?;
    let (queue, offset) = (ack.queue.unwrap_or_default(), ack.offset.unwrap_or_default());
    let broker = or(ack.broker.as_ref(), BROKER);
    let usual = format!("{offset} {NOW} 60000 0 0 {broker} {queue} {offset}");
    Some(command(
        rq::ACK_MESSAGE,
        &[
            ("consumerGroup", or(ack.group.as_ref(), CONSUMERS)),
            ("topic", topic(reader, "ack", &ack.topic)),
            ("queueId", queue.to_string()),
            ("offset", offset.to_string()),
            ("extraInfo", or(ack.handle.as_ref(), &usual)),
            ("bname", broker),
        ],
    ))
}

/// What else clients ask.
fn other(case: &CaseSection, reader: &mut Reader<'_>) -> Option<Command> {
    const ID: &str = "C0000202000000000000000000000001";
    if let Some(route) = &case.route {
        let topic = topic(reader, "route", &route.topic);
        return Some(command(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]));
    }
    if let Some(end) = &case.transaction {
        let outcome = match end.outcome.unwrap_or(OutcomeName::Commit) {
            OutcomeName::Commit => 8,
            OutcomeName::Rollback => 12,
            OutcomeName::Unknown => 0,
        };
        let fields = [
            ("producerGroup", or(end.group.as_ref(), PRODUCERS)),
            ("topic", topic(reader, "transaction", &end.topic)),
            ("tranStateTableOffset", "0".to_owned()),
            ("commitLogOffset", "0".to_owned()),
            ("commitOrRollback", outcome.to_string()),
            ("fromTransactionCheck", end.checked.to_string()),
            ("msgId", ID.to_owned()),
            ("transactionId", ID.to_owned()),
            ("bname", or(end.broker.as_ref(), BROKER)),
        ];
        // Nobody waits for an answer to it.
        return Some(oneway(command(rq::END_TRANSACTION, &fields), true));
    }
    if let Some(back) = &case.send_back {
        let fields = [
            ("group", or(back.group.as_ref(), CONSUMERS)),
            ("originTopic", topic(reader, "send_back", &back.topic)),
            ("originMsgId", ID.to_owned()),
            ("offset", "0".to_owned()),
            ("delayLevel", back.level.unwrap_or_default().to_string()),
            ("maxReconsumeTimes", "16".to_owned()),
            ("unitMode", "false".to_owned()),
            ("bname", or(back.broker.as_ref(), BROKER)),
        ];
        return Some(command(rq::CONSUMER_SEND_MSG_BACK, &fields));
    }
    if let Some(recall) = &case.recall {
        let fields = [
            ("producerGroup", or(recall.group.as_ref(), PRODUCERS)),
            ("topic", topic(reader, "recall", &recall.topic)),
            ("recallHandle", or(recall.handle.as_ref(), "djEgaGFuZGxl")),
            ("bname", or(recall.broker.as_ref(), BROKER)),
        ];
        return Some(command(rq::RECALL_MESSAGE, &fields));
    }
    let offset = case.offset.as_ref()?;
    let mut fields = vec![
        ("consumerGroup", or(offset.group.as_ref(), CONSUMERS)),
        ("topic", topic(reader, "offset", &offset.topic)),
        ("queueId", offset.queue.unwrap_or_default().to_string()),
        ("bname", or(offset.broker.as_ref(), BROKER)),
    ];
    Some(match offset.commit {
        Some(commit) => {
            fields.push(("commitOffset", commit.to_string()));
            oneway(command(rq::UPDATE_CONSUMER_OFFSET, &fields), true)
        }
        None => command(rq::QUERY_CONSUMER_OFFSET, &fields),
    })
}
