//! Pulls, and long polls that wait for the next message.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::time::Instant;

use super::broker::Broker;
use super::filter::Filter;
use super::request::{Outcome, Refusal, Reply, Request, answer, refuse};
use super::send::no_topic;
use super::store::Queue;
use crate::protocol::{Code, Command, Head, response};

/// `sysFlag` bits of a pull.
const COMMIT_OFFSET: i32 = 1;
const SUSPEND: i32 = 2;
const SUBSCRIPTION: i32 = 4;
/// Most messages and bytes of one answer (`maxTransferCountOnMessageInMemory` and its bytes).
const COUNT_LIMIT: usize = 32;
const BYTE_LIMIT: usize = 256 << 10;
/// Messages looked at by one pull; with none of them wanted the answer says to go on from there.
const SCAN_LIMIT: usize = 16_000;
/// Messages taken out of a queue at a time.
const CHUNK: usize = 256;
/// Longest wait for a message, whatever the client says.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

/// What a pull wants.
pub(super) struct Pull {
    pub(super) queue: Arc<Queue>,
    pub(super) offset: i64,
    pub(super) count: usize,
    pub(super) bytes: usize,
    pub(super) filter: Arc<Filter>,
}

/// What it got.
pub(super) struct Pulled {
    pub(super) code: Code,
    pub(super) next: i64,
    pub(super) body: BytesMut,
    /// Offsets of the messages in the body.
    pub(super) offsets: Vec<i64>,
    range: (i64, i64),
}

impl Pull {
    /// Looks once.
    pub(super) fn run(&self) -> Pulled {
        let range = self.queue.range();
        let (first, end) = range;
        let mut pulled = Pulled {
            code: response::SUCCESS,
            next: self.offset,
            body: BytesMut::new(),
            offsets: Vec::new(),
            range,
        };
        if self.offset < first || self.offset > end {
            let empty = end == 0 && self.offset == 0;
            pulled.code = if empty {
                response::PULL_NOT_FOUND
            } else {
                response::PULL_OFFSET_MOVED
            };
            pulled.next = if self.offset < first { first } else { end };
            return pulled;
        }
        if self.offset == end {
            pulled.code = response::PULL_NOT_FOUND;
            return pulled;
        }
        self.collect(&mut pulled);
        if pulled.offsets.is_empty() {
            pulled.code = response::PULL_RETRY_IMMEDIATELY;
        }
        pulled
    }

    fn collect(&self, pulled: &mut Pulled) {
        for _ in 0..SCAN_LIMIT / CHUNK {
            let chunk = self.queue.read(pulled.next, CHUNK);
            if chunk.is_empty() {
                return;
            }
            for stored in chunk {
                let full = pulled.offsets.len() >= self.count
                    || pulled.body.len().saturating_add(stored.record.len()) > self.bytes;
                if full && !pulled.offsets.is_empty() {
                    return;
                }
                if self.filter.matches(&stored) {
                    pulled.body.put_slice(&stored.record);
                    pulled.offsets.push(pulled.next);
                }
                pulled.next = pulled.next.saturating_add(1);
            }
        }
    }

    /// Looks again whenever a message comes, until there is one or the deadline has come.
    async fn wait(mut self, deadline: Instant) -> Pulled {
        loop {
            let queue = Arc::clone(&self.queue);
            let mut arrival = std::pin::pin!(queue.arrived.notified());
            arrival.as_mut().enable();
            let pulled = self.run();
            match pulled.code {
                response::PULL_NOT_FOUND => {}
                response::PULL_RETRY_IMMEDIATELY => self.offset = pulled.next,
                _ => return pulled,
            }
            if tokio::time::timeout_at(deadline, arrival).await.is_err() {
                return pulled;
            }
        }
    }
}

impl Pulled {
    fn answer(self, head: &Head) -> Command {
        let found = self.code == response::SUCCESS;
        answer(head, self.code)
            .with_field("suggestWhichBrokerId", "0")
            .with_field("nextBeginOffset", self.next.to_string())
            .with_field("minOffset", self.range.0.to_string())
            .with_field("maxOffset", self.range.1.to_string())
            .with_field("topicSysFlag", "0")
            .with_field("groupSysFlag", "0")
            .with_remark(if found { "FOUND" } else { "OFFSET_OVERFLOW_ONE" })
            .with_body(self.body.freeze())
    }
}

impl Broker {
    /// `PULL_MESSAGE` and `LITE_PULL_MESSAGE`.
    pub(super) fn pull(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("consumerGroup")?;
        let topic_name = request.text("topic")?;
        let queue_id: i32 = request.int("queueId")?;
        let flags: i32 = request.int("sysFlag")?;
        let queue = self.queue_to_read(&topic_name, queue_id, &group)?;
        let filter = self.filter_of(request, &group, &topic_name, flags & SUBSCRIPTION != 0)?;
        let count: usize = request.int("maxMsgNums")?;
        let bytes = request.fields.int("maxMsgBytes").unwrap_or(BYTE_LIMIT);
        let pull = Pull {
            queue,
            offset: request.int("queueOffset")?,
            count: count.clamp(1, COUNT_LIMIT),
            bytes: bytes.min(BYTE_LIMIT),
            filter,
        };
        if flags & COMMIT_OFFSET != 0
            && let Some(offset) = request.fields.int("commitOffset")
        {
            self.offsets.commit(&group, &topic_name, queue_id, offset);
        }
        let pulled = pull.run();
        let suspend = Duration::from_millis(request.fields.int("suspendTimeoutMillis").unwrap_or_default());
        let may_wait = flags & SUSPEND != 0 && request.may_wait && !suspend.is_zero();
        if pulled.code != response::PULL_NOT_FOUND || !may_wait {
            return Ok(Reply::Now(pulled.answer(request.head)));
        }
        let deadline = Instant::now() + suspend.min(WAIT_LIMIT);
        let head = request.head.clone();
        Ok(Reply::Later(Box::pin(async move {
            pull.wait(deadline).await.answer(&head)
        })))
    }

    /// The queue that a consumer reads.
    pub(super) fn queue_to_read(&self, name: &str, id: i32, group: &str) -> Result<Arc<Queue>, Refusal> {
        let Some(topic) = self.store.topic(name) else {
            return no_topic(name);
        };
        let layout = topic.layout();
        if layout.perm & 4 == 0 {
            return refuse(
                response::NO_PERMISSION,
                format!("the topic[{name}] pulling message is forbidden"),
            );
        }
        let queue = topic.queue(id).filter(|_| id < layout.read);
        queue.map_or_else(
            || {
                refuse(
                    response::INVALID_PARAMETER,
                    format!(
                        "queueId[{id}] is illegal, topic:[{name}] topicConfig.readQueueNums:[{}] consumer:[{group}]",
                        layout.read
                    ),
                )
            },
            Ok,
        )
    }

    fn filter_of(
        &self,
        request: &Request<'_>,
        group: &str,
        topic: &str,
        inline: bool,
    ) -> Result<Arc<Filter>, Refusal> {
        if !inline {
            let version = request.fields.int("subVersion").unwrap_or_default();
            return self.groups.filter(group, topic, version);
        }
        let kind = request.fields.find("expressionType").unwrap_or_default();
        let expression = request.fields.find("subscription").unwrap_or_default();
        match Filter::new(&kind, &expression) {
            Ok(filter) => Ok(Arc::new(filter)),
            Err(_) => refuse(
                response::SUBSCRIPTION_PARSE_FAILED,
                "parse the consumer's subscription failed",
            ),
        }
    }
}
