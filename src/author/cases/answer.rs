//! Answers of brokers, with the messages that they carry.

use bytes::{BufMut, Bytes, BytesMut};

use super::file::{AnswerSection, MessageSection};
use super::read::{Reader, pairs};
use super::wire::{NOW, properties};
use crate::protocol::{Code, Command, request as rq, response};

/// Magic of a stored message whose topic length has one byte.
const MAGIC: u32 = 0xDAA3_20A7;
/// Bytes of a stored message beside body, topic and properties, with two IPv4 hosts.
const FIXED: usize = 91;
/// Bytes of an item of a batch beside body and properties.
const ITEM: usize = 22;
/// Longest topic of such a record.
const TOPIC: usize = 127;

/// The answer to this request.
pub(super) fn of(written: &AnswerSection, request: &Command, reader: &mut Reader<'_>) -> Option<Command> {
    let code = match &written.code {
        Some(code) => reader.response_code("answer.code", code)?,
        None => response::SUCCESS,
    };
    let mut command = Command::request(code, request.opaque);
    command.flag = crate::protocol::FLAG_RESPONSE;
    command.remark = written.remark.as_deref().map(Into::into);
    for (name, value) in usual(request, code, written.messages.len()) {
        command.set_field(name, value);
    }
    for (name, value) in pairs(&written.fields) {
        command.set_field(&name, value);
    }
    let carries = matches!(
        request.code,
        rq::PULL_MESSAGE
            | rq::LITE_PULL_MESSAGE
            | rq::POP_MESSAGE
            | rq::QUERY_MESSAGE
            | rq::VIEW_MESSAGE_BY_ID
    );
    if written.messages.is_empty() {
        command.body = written.body.clone().into();
        return Some(command);
    }
    if !carries || code != response::SUCCESS {
        let accepted = "messages in an answer with code 0 to a pull, a pop, or a command 12, 33 or 361";
        reader.wrong(
            "answer.messages",
            "stand in an answer that carries none",
            accepted,
        );
    }
    if !written.body.is_empty() {
        reader.wrong(
            "answer.body",
            "stands beside messages, which are the body",
            "one of the two",
        );
    }
    command.body = stored(written, request, reader);
    Some(command)
}

/// What brokers write beside the answer.
fn usual(request: &Command, code: Code, messages: usize) -> Vec<(&'static str, String)> {
    let first = request
        .field("queueOffset")
        .and_then(|text| text.parse::<i64>().ok());
    let first = first.unwrap_or_default();
    let next = first.saturating_add(i64::try_from(messages).unwrap_or(i64::MAX));
    match request.code {
        rq::SEND_MESSAGE | rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE if code == response::SUCCESS => vec![
            ("msgId", "7F000001000074D70000000000000000".to_owned()),
            ("queueId", "0".to_owned()),
            ("queueOffset", "0".to_owned()),
        ],
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE => vec![
            ("suggestWhichBrokerId", "0".to_owned()),
            ("nextBeginOffset", next.to_string()),
            ("minOffset", "0".to_owned()),
            ("maxOffset", next.to_string()),
        ],
        rq::POP_MESSAGE if code == response::SUCCESS => {
            let offsets: Vec<String> = (0..messages).map(|at| at.to_string()).collect();
            vec![
                ("popTime", NOW.to_string()),
                ("invisibleTime", "60000".to_owned()),
                ("reviveQid", "0".to_owned()),
                ("restNum", "0".to_owned()),
                ("startOffsetInfo", "0 0 0".to_owned()),
                ("msgOffsetInfo", format!("0 0 {}", offsets.join(","))),
            ]
        }
        _ => Vec::new(),
    }
}

fn stored(written: &AnswerSection, request: &Command, reader: &mut Reader<'_>) -> Bytes {
    let mut out = BytesMut::new();
    let begins = request
        .field("queueOffset")
        .and_then(|text| text.parse::<i64>().ok());
    for (at, message) in written.messages.iter().enumerate() {
        let key = format!("answer.messages[{at}]");
        let properties = properties(message, reader, &key);
        let topic = message.topic.as_deref().or_else(|| request.field("topic"));
        let topic = topic.unwrap_or_default();
        if topic.is_empty() || topic.len() > TOPIC {
            let what = format!("has {} bytes", topic.len());
            reader.wrong(&format!("{key}.topic"), what, format!("1 to {TOPIC}"));
            continue;
        }
        let place = i64::try_from(at).unwrap_or(i64::MAX);
        let offset = begins.unwrap_or_default().saturating_add(place);
        let place = message.offset.unwrap_or(offset);
        record(&mut out, message, (topic, &properties), place);
    }
    out.freeze()
}

/// One stored message (`MessageDecoder.decode`).
fn record(out: &mut BytesMut, message: &MessageSection, (topic, properties): (&str, &str), offset: i64) {
    let body = message.body.as_bytes();
    let total = [FIXED, body.len(), topic.len(), properties.len()];
    let total = total.into_iter().fold(0, usize::saturating_add);
    out.put_i32(length(total));
    out.put_u32(MAGIC);
    out.put_u32(crc32fast::hash(body) & 0x7FFF_FFFF);
    // Queue, flag, offset in the queue and in the log, sysFlag.
    out.put_i32(0);
    out.put_i32(0);
    out.put_i64(offset);
    out.put_i64(offset.saturating_mul(1_000));
    out.put_i32(0);
    // Born and stored: when, and at which IPv4 address and port.
    for port in [40_000, 10_911] {
        out.put_i64(NOW);
        out.put_slice(&[127, 0, 0, 1]);
        out.put_i32(port);
    }
    out.put_i32(message.reconsumed.unwrap_or_default());
    out.put_i64(0);
    out.put_i32(length(body.len()));
    out.put_slice(body);
    out.put_u8(u8::try_from(topic.len()).unwrap_or(u8::MAX));
    out.put_slice(topic.as_bytes());
    out.put_u16(u16::try_from(properties.len()).unwrap_or(u16::MAX));
    out.put_slice(properties.as_bytes());
}

/// One item of a batch.
pub(super) fn batch_item(out: &mut Vec<u8>, body: &[u8], properties: &[u8]) {
    let total = ITEM.saturating_add(body.len()).saturating_add(properties.len());
    out.put_i32(length(total));
    // Magic and checksum, which writers leave 0, and the producer's flag.
    out.put_i64(0);
    out.put_i32(0);
    out.put_i32(length(body.len()));
    out.put_slice(body);
    out.put_u16(u16::try_from(properties.len()).unwrap_or(u16::MAX));
    out.put_slice(properties);
}

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
