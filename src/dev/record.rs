//! Messages as a broker stores and hands them out: the record format of `MessageDecoder.decode`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::properties;
use crate::protocol::body::MessageId;

/// `sysFlag`: the transaction bits.
pub(super) const TRANSACTION_BITS: i32 = 0xC;
/// `sysFlag`: a committed transaction message.
pub(super) const TRANSACTION_COMMIT: i32 = 0x8;
const BORN_HOST_V6: i32 = 0x10;
const STORE_HOST_V6: i32 = 0x20;
/// Magic of records with a one-byte topic length (`MessageVersion.MESSAGE_VERSION_V1`).
const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of records with a two-byte topic length.
const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Longest topic of the first form.
const TOPIC_V1: usize = 127;

/// A message without the place where it is stored.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) queue: i32,
    pub(super) flag: i32,
    pub(super) sys_flag: i32,
    pub(super) born_ms: i64,
    pub(super) born: SocketAddr,
    pub(super) reconsumed: i32,
    pub(super) prepared: i64,
    pub(super) body: Bytes,
    pub(super) properties: String,
}

/// Where and when a message is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: i64,
    pub(super) physical: i64,
    pub(super) store_ms: i64,
    pub(super) store: SocketAddr,
}

impl Place {
    /// The offset message id.
    pub(super) fn id(&self) -> MessageId {
        MessageId {
            host: self.store,
            offset: self.physical.cast_unsigned(),
        }
    }
}

impl Message {
    /// The value of a property.
    pub(super) fn property(&self, key: &str) -> Option<&str> {
        properties::find(&self.properties, key)
    }

    /// The record.
    pub(super) fn encode(&self, place: &Place) -> Bytes {
        let mut sys_flag = self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6);
        if self.born.is_ipv6() {
            sys_flag |= BORN_HOST_V6;
        }
        if place.store.is_ipv6() {
            sys_flag |= STORE_HOST_V6;
        }
        let long_topic = self.topic.len() > TOPIC_V1;
        let hosts = host_len(self.born).saturating_add(host_len(place.store));
        let total = [
            75,
            hosts,
            self.body.len(),
            usize::from(long_topic),
            self.topic.len(),
            self.properties.len(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add);
        let mut out = BytesMut::with_capacity(total);
        out.put_i32(len_i32(total));
        out.put_u32(if long_topic { MAGIC_V2 } else { MAGIC_V1 });
        out.put_u32(crc32fast::hash(&self.body) & 0x7FFF_FFFF);
        out.put_i32(self.queue);
        out.put_i32(self.flag);
        out.put_i64(place.offset);
        out.put_i64(place.physical);
        out.put_i32(sys_flag);
        out.put_i64(self.born_ms);
        put_host(&mut out, self.born);
        out.put_i64(place.store_ms);
        put_host(&mut out, place.store);
        out.put_i32(self.reconsumed);
        out.put_i64(self.prepared);
        out.put_i32(len_i32(self.body.len()));
        out.put_slice(&self.body);
        let topic_len = u16::try_from(self.topic.len()).unwrap_or(u16::MAX);
        match u8::try_from(topic_len) {
            Ok(len) if !long_topic => out.put_u8(len),
            _ => out.put_u16(topic_len),
        }
        out.put_slice(self.topic.as_bytes());
        out.put_u16(u16::try_from(self.properties.len()).unwrap_or(u16::MAX));
        out.put_slice(self.properties.as_bytes());
        out.freeze()
    }

    /// The message of one whole record; `None` when it does not parse.
    pub(super) fn decode(record: &Bytes) -> Option<(Self, Place)> {
        let mut rest = record.clone();
        rest.try_get_i32().ok()?;
        let magic = rest.try_get_u32().ok()?;
        rest.try_get_i32().ok()?;
        let queue = rest.try_get_i32().ok()?;
        let flag = rest.try_get_i32().ok()?;
        let offset = rest.try_get_i64().ok()?;
        let physical = rest.try_get_i64().ok()?;
        let sys_flag = rest.try_get_i32().ok()?;
        let born_ms = rest.try_get_i64().ok()?;
        let born = take_host(&mut rest, sys_flag & BORN_HOST_V6 != 0)?;
        let store_ms = rest.try_get_i64().ok()?;
        let store = take_host(&mut rest, sys_flag & STORE_HOST_V6 != 0)?;
        let reconsumed = rest.try_get_i32().ok()?;
        let prepared = rest.try_get_i64().ok()?;
        let body_len = usize::try_from(rest.try_get_i32().ok()?).ok()?;
        let body = take(&mut rest, body_len)?;
        let topic_len = if magic == MAGIC_V2 {
            usize::from(rest.try_get_u16().ok()?)
        } else {
            usize::from(rest.try_get_u8().ok()?)
        };
        let topic = String::from_utf8_lossy(&take(&mut rest, topic_len)?).into_owned();
        let properties_len = usize::from(rest.try_get_u16().ok()?);
        let properties = String::from_utf8_lossy(&take(&mut rest, properties_len)?).into_owned();
        let message = Self {
            topic,
            queue,
            flag,
            sys_flag,
            born_ms,
            born,
            reconsumed,
            prepared,
            body,
            properties,
        };
        let place = Place {
            offset,
            physical,
            store_ms,
            store,
        };
        Some((message, place))
    }
}

/// One message of a batch body: its flag, body and properties.
pub(super) struct Item {
    pub(super) flag: i32,
    pub(super) body: Bytes,
    pub(super) properties: String,
}

/// The items of a batch body (`MessageDecoder.decodeMessages`); `None` when it does not parse to its end.
pub(super) fn batch_items(body: &Bytes) -> Option<Vec<Item>> {
    let mut rest = body.clone();
    let mut items = Vec::new();
    while rest.has_remaining() {
        take(&mut rest, 12)?;
        let flag = rest.try_get_i32().ok()?;
        let body_len = usize::try_from(rest.try_get_i32().ok()?).ok()?;
        let body = take(&mut rest, body_len)?;
        let properties_len = usize::from(rest.try_get_u16().ok()?);
        let properties = String::from_utf8_lossy(&take(&mut rest, properties_len)?).into_owned();
        items.push(Item {
            flag,
            body,
            properties,
        });
    }
    Some(items)
}

fn take(rest: &mut Bytes, len: usize) -> Option<Bytes> {
    (rest.len() >= len).then(|| rest.split_to(len))
}

fn len_i32(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

fn host_len(host: SocketAddr) -> usize {
    if host.is_ipv6() { 20 } else { 8 }
}

fn put_host(out: &mut BytesMut, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_i32(i32::from(host.port()));
}

fn take_host(rest: &mut Bytes, v6: bool) -> Option<SocketAddr> {
    let ip = if v6 {
        IpAddr::V6(Ipv6Addr::from(rest.try_get_u128().ok()?))
    } else {
        IpAddr::V4(Ipv4Addr::from(rest.try_get_u32().ok()?))
    };
    let port = u16::try_from(rest.try_get_i32().ok()?).ok()?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            topic: "T1".to_owned(),
            queue: 3,
            flag: 0,
            sys_flag: 0,
            born_ms: 1_700_000_000_000,
            born: "192.168.0.10:50000".parse().unwrap(),
            reconsumed: 0,
            prepared: 0,
            body: Bytes::from_static(b"hello"),
            properties: "TAGS\u{1}TagA\u{2}KEYS\u{1}k1\u{2}".to_owned(),
        }
    }

    #[test]
    fn a_record_is_byte_for_byte_what_a_broker_stores() {
        let place = Place {
            offset: 10,
            physical: 1000,
            store_ms: 1_700_000_000_123,
            store: "10.0.0.1:10911".parse().unwrap(),
        };
        let record = message().encode(&place);
        let wanted = "00000074daa320a73610a6860000000300000000000000000000000a00000000000003e8000000000000018bcf\
                      e56800c0a8000a0000c3500000018bcfe5687b0a00000100002a9f0000000000000000000000000000000568656c\
                      6c6f0254310012544147530154616741024b455953016b3102";
        let digits: Vec<u8> = wanted
            .bytes()
            .filter_map(|digit| char::from(digit).to_digit(16)?.try_into().ok())
            .collect();
        let wanted: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        assert_eq!(record, wanted);
        assert_eq!(place.id().to_string(), "0A00000100002A9F00000000000003E8");
    }

    #[test]
    fn records_with_long_topics_and_wide_hosts_survive() {
        let mut message = message();
        message.topic = "%RETRY%".to_owned() + &"x".repeat(200);
        message.born = "[2001:db8::1]:5".parse().unwrap();
        let place = Place {
            offset: 1,
            physical: 2,
            store_ms: 3,
            store: "[::1]:4".parse().unwrap(),
        };
        let (again, at) = Message::decode(&message.encode(&place)).unwrap();
        assert_eq!(
            (again.topic, again.born, at.store),
            (message.topic, message.born, place.store)
        );
        assert_eq!(again.properties, message.properties);
    }
}
