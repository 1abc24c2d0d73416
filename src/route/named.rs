//! What a request's ext fields name, found in one pass: topic, group, queue, broker.

use std::borrow::Cow;

use crate::protocol::request as rq;
use crate::protocol::{Code, Fields};

/// A field's value.
type Text<'a> = Option<Cow<'a, str>>;

/// Fields that say what a request is about, as far as it has them.
#[derive(Debug, Default)]
pub struct Named<'a> {
    is_short: bool,
    topic: Text<'a>,
    topic_short: Text<'a>,
    origin_topic: Text<'a>,
    consumer_group: Text<'a>,
    producer_group: Text<'a>,
    group: Text<'a>,
    group_short: Text<'a>,
    template: Text<'a>,
    template_short: Text<'a>,
    queue: Text<'a>,
    queue_short: Text<'a>,
    bname: Text<'a>,
    bname_short: Text<'a>,
    broker_name: Text<'a>,
    handle: Text<'a>,
    batch: Text<'a>,
    batch_short: Text<'a>,
}

impl<'a> Named<'a> {
    /// Of a request of this code.
    pub fn of(code: Code, fields: &Fields<'a>) -> Self {
        let mut named = Self {
            is_short: is_short(code),
            ..Self::default()
        };
        // The last one counts when a field occurs twice, and a null takes it back.
        fields.each(&mut |key, value| {
            if let Some(place) = named.place(key) {
                *place = value;
            }
        });
        named
    }

    fn place(&mut self, key: &[u8]) -> Option<&mut Text<'a>> {
        Some(match key {
            b"topic" => &mut self.topic,
            b"b" => &mut self.topic_short,
            b"originTopic" => &mut self.origin_topic,
            b"consumerGroup" => &mut self.consumer_group,
            b"producerGroup" => &mut self.producer_group,
            b"group" => &mut self.group,
            b"a" => &mut self.group_short,
            b"defaultTopic" => &mut self.template,
            b"c" => &mut self.template_short,
            b"queueId" => &mut self.queue,
            b"e" => &mut self.queue_short,
            b"bname" => &mut self.bname,
            b"n" => &mut self.bname_short,
            b"brokerName" => &mut self.broker_name,
            b"extraInfo" => &mut self.handle,
            b"batch" => &mut self.batch,
            b"m" => &mut self.batch_short,
            _ => return None,
        })
    }

    /// The topic that a request of this code is about.
    pub fn topic(&self, code: Code) -> Option<&str> {
        let topic = match code {
            rq::CONSUMER_SEND_MSG_BACK => &self.origin_topic,
            _ => self.either(&self.topic, &self.topic_short),
        };
        topic.as_deref().filter(|topic| !topic.is_empty())
    }

    /// The producer or consumer group.
    pub fn group(&self) -> Option<&str> {
        let long = [&self.consumer_group, &self.producer_group, &self.group];
        let group = if self.is_short {
            self.group_short.as_deref()
        } else {
            long.into_iter().find_map(Option::as_deref)
        };
        group.filter(|group| !group.is_empty())
    }

    /// Whether the body of a send is a batch of messages.
    pub fn is_batch(&self, code: Code) -> bool {
        let batch = self.either(&self.batch, &self.batch_short);
        code == rq::SEND_BATCH_MESSAGE
            || batch
                .as_deref()
                .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The name of the broker.
    pub(super) fn broker(&self, code: Code) -> Option<&str> {
        let second = match code {
            // What tools and brokers put into a direct consumption.
            rq::CONSUME_MESSAGE_DIRECTLY => self.broker_name.as_deref(),
            _ => None,
        };
        let first = self.bname_short.as_deref().filter(|_| self.is_short);
        first.or(self.bname.as_deref()).or(second)
    }

    /// Topic and queue, in the long form or the short.
    pub(super) fn static_queue(&self) -> Option<(&str, i64)> {
        let topic = self.topic.as_deref().or(self.topic_short.as_deref())?;
        let queue = self.queue.as_deref().or(self.queue_short.as_deref())?;
        Some((topic, queue.trim().parse().ok()?))
    }

    /// The topic as the field says it, even empty.
    pub(super) fn topic_text(&self) -> Option<String> {
        self.either(&self.topic, &self.topic_short)
            .as_deref()
            .map(str::to_owned)
    }

    /// The template topic of auto-creation.
    pub(super) fn template(&self) -> Option<String> {
        self.either(&self.template, &self.template_short)
            .as_deref()
            .map(str::to_owned)
    }

    /// The queue of a send.
    pub(super) fn queue(&self) -> Option<i64> {
        self.either(&self.queue, &self.queue_short)
            .as_deref()?
            .trim()
            .parse()
            .ok()
    }

    /// The consumer group.
    pub(super) fn consumer_group(&self) -> Option<&str> {
        self.consumer_group.as_deref()
    }

    /// The handle of a message that was popped.
    pub(super) fn handle(&self) -> Option<&str> {
        self.handle.as_deref()
    }

    fn either<'s>(&'s self, long: &'s Text<'a>, short: &'s Text<'a>) -> &'s Text<'a> {
        if self.is_short { short } else { long }
    }
}

/// Whether fields of this code have names of one letter.
fn is_short(code: Code) -> bool {
    matches!(
        code,
        rq::SEND_MESSAGE_V2 | rq::SEND_BATCH_MESSAGE | rq::SEND_REPLY_MESSAGE_V2
    )
}
