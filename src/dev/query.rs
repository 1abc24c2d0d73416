//! Finding messages by key, by unique id and by offset id.

use bytes::BytesMut;

use super::broker::Broker;
use super::record::Message;
use super::request::{Outcome, Reply, Request, refuse};
use super::store::now_ms;
use crate::protocol::response;

/// Most messages of one answer (`defaultQueryMaxNum` is 32 too).
const MOST: usize = 64;
/// Messages read out of a queue at a time.
const CHUNK: usize = 256;

impl Broker {
    /// `QUERY_MESSAGE`: there is no index here, every message of the topic is looked at.
    pub(super) fn query_messages(&self, request: &Request<'_>) -> Outcome {
        let name = request.text("topic")?;
        let key = request.text("key")?;
        let most = request.int("maxNum").unwrap_or(MOST).clamp(1, MOST);
        let from: i64 = request.int("beginTimestamp")?;
        let to: i64 = request.int("endTimestamp")?;
        let unique = request.fields.is_true("_UNIQUE_KEY_QUERY");
        let mut body = BytesMut::new();
        let mut found = 0_usize;
        let mut last = 0_i64;
        for queue in self
            .store
            .topic(&name)
            .map(|topic| topic.queues())
            .unwrap_or_default()
        {
            let mut offset = queue.search(from);
            loop {
                let chunk = queue.read(offset, CHUNK);
                if chunk.is_empty() || found >= most {
                    break;
                }
                for stored in chunk {
                    offset = offset.saturating_add(1);
                    let in_time = stored.store_ms <= to;
                    let message = Message::decode(&stored.record).filter(|_| in_time && found < most);
                    if let Some((message, place)) = message
                        && has_key(&message, &key, unique)
                    {
                        body.extend_from_slice(&stored.record);
                        found = found.saturating_add(1);
                        last = last.max(place.physical);
                    }
                }
            }
        }
        if found == 0 {
            return refuse(
                response::QUERY_NOT_FOUND,
                "can not find message, maybe time range not correct",
            );
        }
        let answer = request
            .answer(response::SUCCESS)
            .with_field("indexLastUpdateTimestamp", now_ms().to_string())
            .with_field("indexLastUpdatePhyoffset", last.to_string());
        Ok(Reply::Now(answer.with_body(body.freeze())))
    }

    /// `VIEW_MESSAGE_BY_ID`.
    pub(super) fn view_message(&self, request: &Request<'_>) -> Outcome {
        let offset: i64 = request.int("offset")?;
        match self.store.at(offset) {
            Some(record) => Ok(Reply::Now(request.answer(response::SUCCESS).with_body(record))),
            None => refuse(
                response::SYSTEM_ERROR,
                format!("can not find message by the offset, {offset}"),
            ),
        }
    }
}

fn has_key(message: &Message, key: &str, unique: bool) -> bool {
    let by_id = message.property("UNIQ_KEY") == Some(key);
    let keys = message.property("KEYS").unwrap_or_default();
    by_id || (!unique && keys.split(' ').any(|one| one == key))
}
