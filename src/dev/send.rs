//! Storing what producers send.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::CLUSTER;
use super::broker::{Broker, CHECK_MAX_TOPIC, HALF_TOPIC, SCHEDULE_TOPIC, TIMER_TOPIC};
use super::delay::delay_of;
use super::properties;
use super::record::{Message, Place, batch_items};
use super::request::{Outcome, Refusal, Reply, Request, SEE_FAQ, refuse};
use super::retry::{DEAD, RETRY};
use super::store::{Layout, PERM_INHERIT, Topic};
use crate::protocol::{Command, request, response};

/// Largest message body (`maxMessageSize`).
const BODY_LIMIT: usize = 4 << 20;
/// Longest property string: its length field is a signed 16-bit number.
const PROPERTIES_LIMIT: usize = 32_767;
/// Longest topic name, and longest one of a retry or dead-letter topic.
const TOPIC_LEN: usize = 127;
const RETRY_TOPIC_LEN: usize = 255;
/// Topics that clients may not send to.
const FORBIDDEN: [&str; 6] = [
    SCHEDULE_TOPIC,
    HALF_TOPIC,
    CHECK_MAX_TOPIC,
    TIMER_TOPIC,
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// The header of a send, long or short form.
#[derive(Default)]
pub(super) struct SendHeader<'a> {
    group: Cow<'a, str>,
    topic: Cow<'a, str>,
    template: Cow<'a, str>,
    template_queues: i32,
    queue: i32,
    sys_flag: i32,
    born_ms: i64,
    flag: i32,
    properties: Cow<'a, str>,
    reconsumed: i32,
    max_reconsume: Option<i32>,
    batch: bool,
}

impl<'a> SendHeader<'a> {
    /// Reads the header; codes 310, 320 and 325 use one-letter names.
    fn read(request: &Request<'a>) -> Result<Self, Refusal> {
        let short = !matches!(
            request.head.code,
            request::SEND_MESSAGE | request::SEND_REPLY_MESSAGE
        );
        let mut header = Self::default();
        request.fields.each(&mut |name, value| {
            let Some(value) = value.text() else { return };
            let name = if short { long_name(name) } else { name };
            match name {
                b"producerGroup" => header.group = value,
                b"topic" => header.topic = value,
                b"defaultTopic" => header.template = value,
                b"defaultTopicQueueNums" => header.template_queues = number(&value),
                b"queueId" => header.queue = number(&value),
                b"sysFlag" => header.sys_flag = number(&value),
                b"bornTimestamp" => header.born_ms = value.trim().parse().unwrap_or_default(),
                b"flag" => header.flag = number(&value),
                b"properties" => header.properties = value,
                b"reconsumeTimes" => header.reconsumed = number(&value),
                b"maxReconsumeTimes" => header.max_reconsume = value.trim().parse().ok(),
                b"batch" => header.batch = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        });
        if header.topic.is_empty() {
            return refuse(response::SYSTEM_ERROR, "the custom field <topic> is null");
        }
        Ok(header)
    }

    /// The message of this header, with the broker's own marks on it.
    fn message(&self, request: &Request<'_>) -> Message {
        let mut properties = self.properties.clone().into_owned();
        properties::remove(&mut properties, &["POP_CK"]);
        Message {
            topic: self.topic.clone().into_owned(),
            queue: self.queue,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_ms: self.born_ms,
            born: request.peer.remote,
            reconsumed: self.reconsumed,
            prepared: 0,
            body: Bytes::new(),
            properties,
        }
    }
}

fn long_name(short: &[u8]) -> &[u8] {
    match short {
        b"a" => b"producerGroup",
        b"b" => b"topic",
        b"c" => b"defaultTopic",
        b"d" => b"defaultTopicQueueNums",
        b"e" => b"queueId",
        b"f" => b"sysFlag",
        b"g" => b"bornTimestamp",
        b"h" => b"flag",
        b"i" => b"properties",
        b"j" => b"reconsumeTimes",
        b"l" => b"maxReconsumeTimes",
        b"m" => b"batch",
        _ => b"",
    }
}

fn number(text: &str) -> i32 {
    text.trim().parse().unwrap_or_default()
}

impl Broker {
    /// `SEND_MESSAGE`, `SEND_MESSAGE_V2`, `SEND_BATCH_MESSAGE`.
    pub(super) fn send(self: &Arc<Self>, request: &Request<'_>) -> Outcome {
        let mut header = SendHeader::read(request)?;
        let body = request.frame.body();
        if body.is_empty() {
            return refuse(response::SYSTEM_ERROR, "java.lang.NullPointerException");
        }
        if body.len() > BODY_LIMIT || header.properties.len() > PROPERTIES_LIMIT {
            return refuse(
                response::MESSAGE_ILLEGAL,
                format!(
                    "the message is illegal, maybe msg body or properties length not matched. msg body length \
                     limit {BODY_LIMIT}B, msg properties length limit 32KB."
                ),
            );
        }
        let topic = self.topic_to_send(&header)?;
        let layout = topic.layout();
        let queues = layout.read.max(layout.write);
        if header.queue >= queues {
            return refuse(
                response::INVALID_PARAMETER,
                format!(
                    "request queueId[{}] is illegal, TopicConfig [topicName={}, readQueueNums={}, \
                     writeQueueNums={}]",
                    header.queue, topic.name, layout.read, layout.write
                ),
            );
        }
        if header.queue < 0 {
            header.queue = fastrand::i32(0..layout.write.max(1));
        }
        if header.batch {
            return self.send_batch(request, &header, &topic);
        }
        let mut message = header.message(request);
        message.body = Bytes::copy_from_slice(body);
        self.send_one(request, &header, message)
    }

    fn send_one(
        self: &Arc<Self>,
        request: &Request<'_>,
        header: &SendHeader<'_>,
        mut message: Message,
    ) -> Outcome {
        let id = mark(&mut message.properties);
        let queue = message.queue;
        if let Some(group) = header.topic.strip_prefix(RETRY) {
            let most = header
                .max_reconsume
                .unwrap_or_else(|| self.groups.retry_limit(group));
            if message.reconsumed > most {
                self.bury(&mut message, group)?;
            }
        }
        let (place, handle) = if properties::is_true(&message.properties, "TRAN_MSG") {
            (self.store_half(message)?, None)
        } else {
            self.store_or_delay(message)?
        };
        let mut answer = sent(request, &place, queue, place.id().to_string());
        if let Some(id) = id {
            answer.set_field("transactionId", id);
        }
        if let Some(handle) = handle {
            answer.set_field("recallHandle", handle);
        }
        Ok(Reply::Now(answer))
    }

    fn send_batch(&self, request: &Request<'_>, header: &SendHeader<'_>, topic: &Topic) -> Outcome {
        let Some(items) = batch_items(&request.frame.body_bytes()) else {
            return refuse(response::MESSAGE_ILLEGAL, "the batch body does not parse");
        };
        if topic.name.starts_with(RETRY) {
            return refuse(
                response::MESSAGE_ILLEGAL,
                "batch request does not support retry group",
            );
        }
        let like = header.message(request);
        let messages: Vec<Message> = items
            .into_iter()
            .map(|item| {
                let mut message = Message {
                    flag: item.flag,
                    body: Bytes::copy_from_slice(&item.body),
                    properties: item.properties,
                    ..like.clone()
                };
                mark(&mut message.properties);
                message
            })
            .collect();
        let places = self.store.append_all(topic, &messages);
        let ids: Vec<String> = places.iter().map(|place| place.id().to_string()).collect();
        match places.first() {
            Some(first) => Ok(Reply::Now(sent(request, first, header.queue, ids.join(",")))),
            None => refuse(response::MESSAGE_ILLEGAL, "the batch is empty"),
        }
    }

    /// The topic of a send, made from its template when it does not exist.
    fn topic_to_send(&self, header: &SendHeader<'_>) -> Result<Arc<Topic>, Refusal> {
        let name = header.topic.as_ref();
        if let Some(topic) = self.store.topic(name)
            && !FORBIDDEN.contains(&name)
        {
            return if topic.layout().perm & 2 == 0 {
                refuse(
                    response::NO_PERMISSION,
                    format!("the broker[{}] sending message is forbidden", self.address.ip()),
                )
            } else {
                Ok(topic)
            };
        }
        check_name(name)?;
        if FORBIDDEN.contains(&name) {
            return refuse(
                response::NO_PERMISSION,
                format!("Sending message to topic[{name}] is forbidden."),
            );
        }
        let layout = if name.starts_with(RETRY) || name.starts_with(DEAD) {
            Some(Layout::queues(1))
        } else {
            self.store
                .topic(&header.template)
                .filter(|template| template.layout().perm & PERM_INHERIT != 0)
                .map(|template| Layout::queues(header.template_queues.clamp(1, template.layout().write)))
        };
        layout
            .and_then(|layout| self.store.topic_or_create(name, layout))
            .map_or_else(|| no_topic(name), Ok)
    }

    /// Stores a message in its queue, or where it waits for its time. The second value is the handle to recall it with.
    pub(super) fn store_or_delay(&self, message: Message) -> Result<(Place, Option<String>), Refusal> {
        match delay_of(&message)? {
            Some(due) => self.store_delayed(message, due),
            None => self
                .store
                .append(&message)
                .map_or_else(|| no_topic(&message.topic), |place| Ok((place, None))),
        }
    }

    /// The producer group and the message of a reply (324, 325), its topic made sure of.
    pub(super) fn reply_message(&self, request: &Request<'_>) -> Result<(String, Message), Refusal> {
        let header = SendHeader::read(request)?;
        if request.frame.body().is_empty() {
            return refuse(
                response::SYSTEM_ERROR,
                "java.lang.NullPointerException: getBody() is null",
            );
        }
        let topic = self.topic_to_send(&header)?;
        let mut message = header.message(request);
        message.queue = message
            .queue
            .clamp(0, topic.layout().write.saturating_sub(1).max(0));
        message.body = Bytes::copy_from_slice(request.frame.body());
        mark(&mut message.properties);
        Ok((header.group.into_owned(), message))
    }
}

/// Adds what a broker adds to every message; returns its unique id, if the producer gave one.
fn mark(text: &mut String) -> Option<String> {
    let id = properties::find(text, "UNIQ_KEY").map(str::to_owned);
    properties::set_absent(text, "CLUSTER", CLUSTER);
    id
}

/// The answer to a stored send.
pub(super) fn sent(request: &Request<'_>, place: &Place, queue: i32, ids: String) -> Command {
    request
        .answer(response::SUCCESS)
        .with_field("msgId", ids)
        .with_field("queueId", queue.to_string())
        .with_field("queueOffset", place.offset.to_string())
        .with_field("MSG_REGION", "DefaultRegion")
        .with_field("TRACE_ON", "true")
}

/// What a broker says about a topic that it does not have.
pub(super) fn no_topic<T>(topic: &str) -> Result<T, Refusal> {
    refuse(
        response::TOPIC_NOT_EXIST,
        format!("topic[{topic}] not exist, apply first please!{SEE_FAQ}"),
    )
}

/// Checks a topic name as brokers do (`TopicValidator.validateTopic`).
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let most = if name.starts_with(RETRY) || name.starts_with(DEAD) {
        RETRY_TOPIC_LEN
    } else {
        TOPIC_LEN
    };
    if name.is_empty() || name.len() > most {
        return refuse(
            response::INVALID_PARAMETER,
            format!("The specified topic is blank or longer than topic max length {most}."),
        );
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'%' | b'|' | b'_' | b'-');
    if name.bytes().all(legal) {
        return Ok(());
    }
    refuse(
        response::INVALID_PARAMETER,
        format!("The specified topic[{name}] contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"),
    )
}
