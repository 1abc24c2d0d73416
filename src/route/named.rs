//! What a request's ext fields name, found in one pass: topic, group, queue, broker.

use std::borrow::Cow;

use crate::protocol::request as rq;
use crate::protocol::{Code, DecodeError, FieldSink, Fields, Frame, Head, Value};

/// A field's value.
type Text<'a> = Option<Cow<'a, str>>;

/// Fields that say what a request is about, as far as it has them.
#[derive(Debug, Default)]
pub struct Named<'a> {
    /// Something was found.
    is_seen: bool,
    is_short: bool,
    topic: Option<Value<'a>>,
    topic_short: Option<Value<'a>>,
    origin_topic: Option<Value<'a>>,
    consumer_group: Option<Value<'a>>,
    producer_group: Option<Value<'a>>,
    group: Option<Value<'a>>,
    group_short: Option<Value<'a>>,
    template: Option<Value<'a>>,
    template_short: Option<Value<'a>>,
    queue: Option<Value<'a>>,
    queue_short: Option<Value<'a>>,
    bname: Option<Value<'a>>,
    bname_short: Option<Value<'a>>,
    broker_name: Option<Value<'a>>,
    handle: Option<Value<'a>>,
    batch: Option<Value<'a>>,
    batch_short: Option<Value<'a>>,
}

impl<'a> Named<'a> {
    /// Of a request of this code.
    pub fn of(code: Code, fields: &Fields<'a>) -> Self {
        let mut named = Self::default();
        fields.each(&mut |key, value| named.field(key, value));
        named.is_short = is_short(code);
        named
    }

    /// The head of a frame and what it names, in one pass for both.
    pub fn scan(frame: &'a Frame) -> Result<(Head, Self), DecodeError> {
        let mut named = Self::default();
        let head = Head::scan_with(frame, &mut named)?;
        named.is_short = is_short(head.code);
        Ok((head, named))
    }

    fn place(&mut self, key: &[u8]) -> Option<&mut Option<Value<'a>>> {
        Some(match key {
            [b'b'] => &mut self.topic_short,
            [b'a'] => &mut self.group_short,
            [b'c'] => &mut self.template_short,
            [b'e'] => &mut self.queue_short,
            [b'n'] => &mut self.bname_short,
            [b'm'] => &mut self.batch_short,
            [_] => return None,
            b"topic" => &mut self.topic,
            b"originTopic" => &mut self.origin_topic,
            b"consumerGroup" => &mut self.consumer_group,
            b"producerGroup" => &mut self.producer_group,
            b"group" => &mut self.group,
            b"defaultTopic" => &mut self.template,
            b"queueId" => &mut self.queue,
            b"bname" => &mut self.bname,
            b"brokerName" => &mut self.broker_name,
            b"extraInfo" => &mut self.handle,
            b"batch" => &mut self.batch,
            _ => return None,
        })
    }

    /// The topic that a request of this code is about.
    pub fn topic(&self, code: Code) -> Text<'a> {
        let topic = match code {
            rq::CONSUMER_SEND_MSG_BACK => self.origin_topic,
            _ => self.either(self.topic, self.topic_short),
        };
        text(topic).filter(|topic| !topic.is_empty())
    }

    /// The producer or consumer group.
    pub fn group(&self) -> Text<'a> {
        let group = if self.is_short {
            text(self.group_short)
        } else {
            let long = [self.consumer_group, self.producer_group, self.group];
            long.into_iter().find_map(text)
        };
        group.filter(|group| !group.is_empty())
    }

    /// Whether the body of a send is a batch of messages.
    pub fn is_batch(&self, code: Code) -> bool {
        let batch = || text(self.either(self.batch, self.batch_short));
        code == rq::SEND_BATCH_MESSAGE || batch().is_some_and(|batch| batch.eq_ignore_ascii_case("true"))
    }

    /// The name of the broker.
    pub(super) fn broker(&self, code: Code) -> Text<'a> {
        let first = self.bname_short.filter(|_| self.is_short);
        let second = match code {
            // What tools and brokers put into a direct consumption.
            rq::CONSUME_MESSAGE_DIRECTLY => self.broker_name,
            _ => None,
        };
        [first, self.bname, second].into_iter().find_map(text)
    }

    /// Topic and queue, in the long form or the short.
    pub(super) fn static_queue(&self) -> Option<(Cow<'a, str>, i64)> {
        let topic = [self.topic, self.topic_short].into_iter().find_map(text)?;
        let queue = [self.queue, self.queue_short].into_iter().find_map(text)?;
        Some((topic, queue.trim().parse().ok()?))
    }

    /// The topic as the field says it, even empty.
    pub(super) fn topic_text(&self) -> Option<String> {
        text(self.either(self.topic, self.topic_short)).map(Cow::into_owned)
    }

    /// The template topic of auto-creation.
    pub(super) fn template(&self) -> Option<String> {
        text(self.either(self.template, self.template_short)).map(Cow::into_owned)
    }

    /// The queue of a send.
    pub(super) fn queue(&self) -> Option<i64> {
        let queue = text(self.either(self.queue, self.queue_short))?;
        queue.trim().parse().ok()
    }

    /// The consumer group.
    pub(super) fn consumer_group(&self) -> Text<'a> {
        text(self.consumer_group)
    }

    /// The handle of a message that was popped.
    pub(super) fn handle(&self) -> Text<'a> {
        text(self.handle)
    }

    fn either(&self, long: Option<Value<'a>>, short: Option<Value<'a>>) -> Option<Value<'a>> {
        if self.is_short { short } else { long }
    }
}

/// What was written; none for null.
fn text(value: Option<Value<'_>>) -> Text<'_> {
    value?.text()
}

impl<'a> FieldSink<'a> for Named<'a> {
    fn begin(&mut self) {
        // Few headers have fields twice.
        if self.is_seen {
            *self = Self::default();
        }
    }

    fn field(&mut self, name: &[u8], value: Value<'a>) {
        // The last one counts when a field occurs twice, and a null takes it back.
        if let Some(place) = self.place(name) {
            *place = Some(value);
            self.is_seen = true;
        }
    }
}

/// Whether fields of this code have names of one letter.
fn is_short(code: Code) -> bool {
    matches!(
        code,
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2
    )
}
