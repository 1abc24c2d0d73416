//! Stored messages as they stand in answers and pushes (`MessageDecoder.decode`): every field readable, topic, properties
//! and body editable; a record that is not edited keeps its bytes.
//!
//! ```text
//!  0      4      8     12   …    84+h      88+h   88+h+b
//!  +------+------+-----+--------+---------+------+-------+-------+-------+-------+
//!  | total| magic| CRC | fields | body len| body | topic | topic | props | props |
//!  | size |      |     |        |    b    |      | len   |       | len   |       |
//!  +------+------+-----+--------+---------+------+-------+-------+-------+-------+
//!  h: 12 for each of the two hosts that is IPv6; the topic length has 1 byte (magic V1) or 2 (V2)
//! ```
//!
//! A record whose `sysFlag` has both 0x40 and 0x80 is an inner batch: its body is a batch that the consumer splits into
//! messages. Its properties are those of the whole; its body is neither read nor replaced here.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::{self, BodyError, Cursor};
use super::record::{BORN_HOST_V6, MAGIC_V1, MAGIC_V2, STORE_HOST_V6};
use super::{EditError, Properties};

/// `sysFlag`, both bits: the body is a batch to be split by the consumer.
const INNER_BATCH: i32 = 0xC0;
/// Longest topic of a record with a topic length of one byte.
const TOPIC_V1: usize = 127;
/// Longest topic of a record with a topic length of two bytes.
const TOPIC_V2: usize = 32_767;
/// Where the fields begin that no edit touches.
const FIELDS_AT: usize = 12;
/// A checksum of the whole record that some brokers append; it is wrong once the record is edited, and optional.
const RECORD_CRC: &str = "__CRC32#";

/// One stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The record as it came.
    record: Bytes,
    /// Where the body length stands in it.
    body_at: usize,
    has_wide_topic: bool,
    queue_id: i32,
    flag: i32,
    queue_offset: i64,
    physical_offset: i64,
    sys_flag: i32,
    born_timestamp: i64,
    reconsume_times: i32,
    body: Bytes,
    topic: String,
    /// The topic as it is stored, which may be no UTF-8.
    topic_bytes: Bytes,
    properties: Properties,
    is_changed: bool,
}

impl StoredMessage {
    /// The records of `body`, which must be whole to its end.
    pub fn decode_all(body: &Bytes) -> Result<Vec<Self>, BodyError> {
        cursor::all(body, Self::decode)
    }

    /// The body that these records make.
    pub fn encode_all<'a>(messages: impl IntoIterator<Item = &'a Self>) -> Result<Bytes, EditError> {
        let mut out = BytesMut::new();
        for message in messages {
            message.encode_into(&mut out)?;
        }
        Ok(out.freeze())
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, BodyError> {
        let start = cursor.at();
        let total = cursor.word()?;
        let has_wide_topic = match cursor.word()?.cast_unsigned() {
            MAGIC_V1 => false,
            MAGIC_V2 => true,
            _ => {
                return Err(BodyError {
                    offset: start,
                    what: "no magic of a stored message",
                });
            }
        };
        cursor.word()?;
        let queue_id = cursor.word()?;
        let flag = cursor.word()?;
        let queue_offset = cursor.long()?;
        let physical_offset = cursor.long()?;
        let sys_flag = cursor.word()?;
        let born_timestamp = cursor.long()?;
        cursor.take(host_len(sys_flag, BORN_HOST_V6))?;
        cursor.long()?;
        cursor.take(host_len(sys_flag, STORE_HOST_V6))?;
        let reconsume_times = cursor.word()?;
        cursor.long()?;
        let body_at = cursor.at().saturating_sub(start);
        let body = cursor.sized()?;
        let topic_bytes = if has_wide_topic {
            cursor.short_sized()?
        } else {
            // Java reads a signed byte: above 127 it would fail.
            let len = usize::from(cursor.byte()?);
            if len > TOPIC_V1 {
                return Err(cursor.error("a topic length above 127 in a record of the first form"));
            }
            cursor.take(len)?
        };
        let properties = Properties::from_bytes(&cursor.short_sized()?);
        let record = cursor.since(start);
        // Clients read field by field, others skip by the total size: both must end in the same place.
        if usize::try_from(total) != Ok(record.len()) {
            return Err(BodyError {
                offset: start,
                what: "a record whose size is not that of its fields",
            });
        }
        Ok(Self {
            record,
            body_at,
            has_wide_topic,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp,
            reconsume_times,
            body,
            topic: String::from_utf8_lossy(&topic_bytes).into_owned(),
            topic_bytes,
            properties,
            is_changed: false,
        })
    }

    /// Appends the record: its own bytes, or new ones with lengths and checksum put right.
    pub fn encode_into(&self, out: &mut BytesMut) -> Result<(), EditError> {
        if !self.is_changed() {
            out.put_slice(&self.record);
            return Ok(());
        }
        let mut properties = self.properties.clone();
        properties.remove(RECORD_CRC);
        let properties = properties.as_bytes();
        let fields = self.record.get(FIELDS_AT..self.body_at).unwrap_or_default();
        let topic_len_len = if self.has_wide_topic { 2 } else { 1 };
        let total = [
            self.body_at,
            4,
            self.body.len(),
            topic_len_len,
            self.topic_bytes.len(),
            2,
            properties.len(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add);
        let too_long = || EditError::BodyTooLong {
            bytes: self.body.len(),
        };
        let total_word = i32::try_from(total).map_err(|_wide| too_long())?;
        out.reserve(total);
        out.put_i32(total_word);
        out.put_u32(if self.has_wide_topic { MAGIC_V2 } else { MAGIC_V1 });
        out.put_u32(crc32fast::hash(&self.body) & 0x7FFF_FFFF);
        out.put_slice(fields);
        out.put_i32(i32::try_from(self.body.len()).map_err(|_wide| too_long())?);
        out.put_slice(&self.body);
        // Neither can be too long: setters see to that.
        let topic_len = u16::try_from(self.topic_bytes.len()).unwrap_or(u16::MAX);
        if self.has_wide_topic {
            out.put_u16(topic_len);
        } else {
            out.put_u8(u8::try_from(topic_len).unwrap_or(u8::MAX));
        }
        out.put_slice(&self.topic_bytes);
        out.put_u16(u16::try_from(properties.len()).unwrap_or(u16::MAX));
        out.put_slice(properties);
        Ok(())
    }

    /// Whether anything was edited.
    pub fn is_changed(&self) -> bool {
        self.is_changed || self.properties.is_changed()
    }

    /// The broker's number of its queue.
    pub fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// The producer's own bits.
    pub fn flag(&self) -> i32 {
        self.flag
    }

    /// Where it stands in its queue.
    pub fn queue_offset(&self) -> i64 {
        self.queue_offset
    }

    /// Where it stands in the broker's commit log, bytes.
    pub fn physical_offset(&self) -> i64 {
        self.physical_offset
    }

    /// Bits that tell about compression, transactions and host families.
    pub fn sys_flag(&self) -> i32 {
        self.sys_flag
    }

    /// When it was made, milliseconds since 1970 by the producer's clock.
    pub fn born_timestamp(&self) -> i64 {
        self.born_timestamp
    }

    /// How often it was delivered before.
    pub fn reconsume_times(&self) -> i32 {
        self.reconsume_times
    }

    /// The topic it is stored under, which may be a retry or system topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Stores it under another topic. The record keeps its form, so that a topic of more than 127 bytes fits only where
    /// the topic length already has two bytes.
    pub fn set_topic(&mut self, topic: &str) -> Result<(), EditError> {
        let limit = if self.has_wide_topic { TOPIC_V2 } else { TOPIC_V1 };
        if topic.is_empty() || topic.len() > limit {
            return Err(EditError::TopicLength {
                bytes: topic.len(),
                limit,
            });
        }
        if topic != self.topic {
            topic.clone_into(&mut self.topic);
            self.topic_bytes = Bytes::copy_from_slice(topic.as_bytes());
            self.is_changed = true;
        }
        Ok(())
    }

    /// Its properties.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Its properties, to be edited.
    pub fn properties_mut(&mut self) -> &mut Properties {
        &mut self.properties
    }

    /// Whether the body is a batch that its consumer splits.
    pub fn is_inner_batch(&self) -> bool {
        self.sys_flag & INNER_BATCH == INNER_BATCH
    }

    /// The body as it is stored, compressed or not.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Replaces the body as it is stored: compressed as `sys_flag` says.
    pub fn set_body(&mut self, body: Bytes) -> Result<(), EditError> {
        if self.is_inner_batch() {
            return Err(EditError::InnerBatch);
        }
        if i32::try_from(body.len()).is_err() {
            return Err(EditError::BodyTooLong { bytes: body.len() });
        }
        if body != self.body {
            self.body = body;
            self.is_changed = true;
        }
        Ok(())
    }
}

fn host_len(sys_flag: i32, v6: u32) -> usize {
    if sys_flag.cast_unsigned() & v6 == 0 { 8 } else { 20 }
}

#[cfg(test)]
mod tests;
