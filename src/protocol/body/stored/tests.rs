//! Records of both forms, as they came, edited, cut and hostile.

use proptest::prelude::*;

use super::*;

const RECORD: &str = "00000074daa320a73610a6860000000300000000000000000000000a00000000000003e8000000000000018bcfe56800c0a8000a0000c3500000018bcfe5687b0a00000100002a9f0000000000000000000000000000000568656c6c6f0254310012544147530154616741024b455953016b3102";

fn hex(text: &str) -> Bytes {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A record with these lengths right, whatever it holds.
fn record(sys_flag: i32, wide: bool, body: &[u8], topic: &[u8], properties: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i32(0);
    out.put_u32(if wide { MAGIC_V2 } else { MAGIC_V1 });
    out.put_u32(crc32fast::hash(body) & 0x7FFF_FFFF);
    out.put_i32(3);
    out.put_i32(0);
    out.put_i64(10);
    out.put_i64(1_000);
    out.put_i32(sys_flag);
    out.put_i64(1_700_000_000_000);
    out.put_slice(&vec![1; host_len(sys_flag, BORN_HOST_V6)]);
    out.put_i64(1_700_000_000_123);
    out.put_slice(&vec![2; host_len(sys_flag, STORE_HOST_V6)]);
    out.put_i32(4);
    out.put_i64(0);
    out.put_i32(i32::try_from(body.len()).unwrap());
    out.put_slice(body);
    if wide {
        out.put_i16(i16::try_from(topic.len()).unwrap());
    } else {
        out.put_u8(u8::try_from(topic.len()).unwrap());
    }
    out.put_slice(topic);
    out.put_i16(i16::try_from(properties.len()).unwrap());
    out.put_slice(properties);
    let total = i32::try_from(out.len()).unwrap().to_be_bytes();
    out[..4].copy_from_slice(&total);
    out
}

fn one(body: impl Into<Bytes>) -> StoredMessage {
    let mut all = StoredMessage::decode_all(&body.into()).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn every_field_of_a_record_is_read() {
    let message = one(hex(RECORD));
    assert_eq!(message.topic(), "T1");
    assert_eq!(
        (message.queue_id(), message.flag(), message.sys_flag()),
        (3, 0, 0)
    );
    assert_eq!((message.queue_offset(), message.physical_offset()), (10, 1_000));
    assert_eq!(
        (message.born_timestamp(), message.reconsume_times()),
        (1_700_000_000_000, 0)
    );
    assert_eq!(message.body(), "hello");
    assert_eq!(message.properties().find("TAGS"), Some("TagA"));
    assert!(!message.is_inner_batch());
}

#[test]
fn an_edited_record_has_lengths_and_checksum_right() {
    for sys_flag in [0, 0x10, 0x20, 0x30] {
        for wide in [false, true] {
            let mut message = one(record(
                sys_flag,
                wide,
                b"hello",
                b"T1",
                b"a\x011\x02__CRC32#\x01123\x02",
            ));
            message.set_topic("tenant_T1").unwrap();
            message.set_body(Bytes::from_static(b"good bye")).unwrap();
            message.properties_mut().set("b", "2").unwrap();
            let wanted = record(sys_flag, wide, b"good bye", b"tenant_T1", b"a\x011\x02b\x012\x02");
            assert_eq!(
                StoredMessage::encode_all([&message]).unwrap(),
                wanted,
                "{sys_flag:#x} {wide}"
            );
        }
    }
}

#[test]
fn setting_what_is_there_keeps_the_bytes() {
    // A wrong checksum shows that nothing was written anew.
    let mut bytes = record(0, false, b"hello", b"T1", b"a\x011\x02");
    bytes[8] ^= 1;
    let mut message = one(bytes.clone());
    message.set_topic("T1").unwrap();
    message.set_body(Bytes::from_static(b"hello")).unwrap();
    message.properties_mut().set("a", "1").unwrap();
    assert!(!message.is_changed());
    assert_eq!(StoredMessage::encode_all([&message]).unwrap(), bytes);
}

#[test]
fn a_topic_fits_the_form_of_its_record() {
    let limits = [(false, 127), (true, 32_767)];
    for (wide, limit) in limits {
        let mut message = one(record(0, wide, b"", b"T1", b""));
        message.set_topic(&"x".repeat(limit)).unwrap();
        let bytes = limit + 1;
        assert_eq!(
            message.set_topic(&"x".repeat(bytes)),
            Err(EditError::TopicLength { bytes, limit })
        );
        assert!(message.set_topic("").is_err());
        let again = one(StoredMessage::encode_all([&message]).unwrap());
        assert_eq!(again.topic().len(), limit);
    }
}

#[test]
fn the_body_of_an_inner_batch_is_not_replaced() {
    let mut message = one(record(0xC0, false, b"items", b"T1", b""));
    assert_eq!(message.set_body(Bytes::new()), Err(EditError::InnerBatch));
    assert!(!one(record(0x40, false, b"", b"T1", b"")).is_inner_batch());
}

#[test]
fn a_body_that_does_not_parse_to_its_end_says_where() {
    let whole = record(0, false, b"hello", b"T1", b"");
    let error = |body: Vec<u8>| StoredMessage::decode_all(&body.into()).unwrap_err();
    let cut = [&whole[..], &whole[..whole.len() - 1]].concat();
    assert_eq!(
        error(cut).offset,
        whole.len() * 2 - 2,
        "the properties length is cut"
    );
    let mut magic = [&whole[..], &whole[..]].concat();
    magic[whole.len() + 7] = 0xD4;
    assert_eq!(error(magic).offset, whole.len());
    let mut size = whole.clone();
    size[3] += 1;
    assert_eq!(error(size).offset, 0);
    let mut negative = whole;
    negative[84] = 0xFF;
    assert_eq!(error(negative).offset, 84);
}

proptest! {
    #[test]
    fn hostile_bodies_do_not_panic(
        mut body in proptest::collection::vec(any::<u8>(), 0..200),
        sys_flag in any::<i32>(),
        total in any::<bool>(),
    ) {
        // As far as the magic, so that the fields are reached at all.
        let size = i32::try_from(body.len()).unwrap();
        if let Some(head) = body.get_mut(..8) {
            head[4..].copy_from_slice(&MAGIC_V2.to_be_bytes());
            if total {
                head[..4].copy_from_slice(&size.to_be_bytes());
            }
        }
        if let Some(flags) = body.get_mut(36..40) {
            flags.copy_from_slice(&sys_flag.to_be_bytes());
        }
        let body = Bytes::from(body);
        if let Ok(messages) = StoredMessage::decode_all(&body) {
            prop_assert_eq!(StoredMessage::encode_all(&messages).unwrap(), body);
        }
    }

    #[test]
    fn records_survive(
        sys_flag in any::<i32>(),
        wide in any::<bool>(),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        topic in proptest::collection::vec(any::<u8>(), 0..128),
        properties in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let two = record(sys_flag, wide, &body, &topic, &properties).repeat(2);
        let mut messages = StoredMessage::decode_all(&two.clone().into()).unwrap();
        prop_assert_eq!(messages.len(), 2);
        prop_assert_eq!(&StoredMessage::encode_all(&messages).unwrap(), &two);
        messages[0].properties_mut().set("n", "v").unwrap();
        let edited = StoredMessage::encode_all(&messages).unwrap();
        let again = StoredMessage::decode_all(&edited).unwrap();
        prop_assert_eq!(again[0].properties().find("n"), Some("v"));
        prop_assert_eq!(again[0].body(), &body);
        prop_assert_eq!(&again[1], &messages[1]);
    }
}
