//! Stored messages in place, as far as their store host goes: a few bytes change where they stand, and nothing is decoded.

use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};

/// The address that replaces a store host: an IP literal with the per-broker port.
pub type StoreHost = SocketAddr;

/// `sysFlag`: the born host is IPv6.
pub(super) const BORN_HOST_V6: u32 = 0x10;
/// `sysFlag`: the store host is IPv6.
pub(super) const STORE_HOST_V6: u32 = 0x20;
/// Magic of a record with a topic length of one byte.
pub(super) const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record with a topic length of two bytes.
pub(super) const MAGIC_V2: u32 = 0xDAA3_20AB;
const MAGIC_AT: usize = 4;
const SYS_FLAG_AT: usize = 36;
const BORN_HOST_AT: usize = 48;

/// The records of `body` with their store hosts replaced by `host`; records of the other address family keep theirs.
/// A body that does not parse as records to its end is left as it is from there on.
pub fn rewrite_store_hosts(body: &Bytes, host: StoreHost) -> Bytes {
    let mut out: Option<BytesMut> = None;
    let mut at = 0_usize;
    while let Some(record) = body.get(at..).and_then(record) {
        if let Some((offset, v6)) = store_host(record)
            && v6 == host.is_ipv6()
        {
            let address = address_bytes(host);
            if record.len() < offset.saturating_add(address.len()) {
                break;
            }
            let start = at.saturating_add(offset);
            let edited = out.get_or_insert_with(|| BytesMut::from(&body[..]));
            if let Some(slot) = edited.get_mut(start..start.saturating_add(address.len())) {
                slot.copy_from_slice(&address);
            }
        }
        at = at.saturating_add(record.len());
    }
    out.map_or_else(|| body.clone(), BytesMut::freeze)
}

/// How many records a body holds, stored messages or items of a batch: each begins with its length.
pub fn records_in(body: &[u8]) -> u64 {
    const WORD: usize = 4;
    let mut rest = body;
    let mut count: u64 = 0;
    while let Some(length) = word(rest, 0).and_then(|length| usize::try_from(length).ok())
        && length >= WORD
        && let Some(next) = rest.get(length..)
    {
        count = count.saturating_add(1);
        rest = next;
    }
    count
}

/// The first record of `bytes`, when it is whole.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let total = usize::try_from(word(bytes, 0)?).ok()?;
    bytes
        .get(..total)
        .filter(|record| record.len() > BORN_HOST_AT)
        .filter(|record| word(record, MAGIC_AT).is_some_and(|magic| matches!(magic, MAGIC_V1 | MAGIC_V2)))
}

/// Where the store host stands in a record, and whether it is IPv6.
fn store_host(record: &[u8]) -> Option<(usize, bool)> {
    let sys_flag = word(record, SYS_FLAG_AT)?;
    let born_host_len = if sys_flag & BORN_HOST_V6 == 0 { 8 } else { 20 };
    // Born host, then the store timestamp of 8 bytes.
    let at = BORN_HOST_AT.saturating_add(born_host_len).saturating_add(8);
    Some((at, sys_flag & STORE_HOST_V6 != 0))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn address_bytes(host: SocketAddr) -> Vec<u8> {
    let mut bytes = match host.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend_from_slice(&u32::from(host.port()).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "00000074daa320a73610a6860000000300000000000000000000000a00000000000003e8000000000000018bcfe56800c0a8000a0000c3500000018bcfe5687b0a00000100002a9f0000000000000000000000000000000568656c6c6f0254310012544147530154616741024b455953016b3102";

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn only_the_store_host_changes() {
        let two = Bytes::from(hex(&RECORD.repeat(2)));
        let edited = rewrite_store_hosts(&two, "127.0.0.1:12002".parse().unwrap());
        let expected = RECORD.replace("0a00000100002a9f", "7f00000100002ee2").repeat(2);
        assert_eq!(edited[..], hex(&expected)[..]);
    }

    #[test]
    fn what_does_not_fit_is_left_alone() {
        let record = Bytes::from(hex(RECORD));
        assert_eq!(
            rewrite_store_hosts(&record, "[::1]:1".parse().unwrap()),
            record,
            "other family"
        );
        let cut = record.slice(..100);
        assert_eq!(
            rewrite_store_hosts(&cut, "127.0.0.1:1".parse().unwrap()),
            cut,
            "cut record"
        );
        let zero = Bytes::from_static(&[0; 64]);
        assert_eq!(
            rewrite_store_hosts(&zero, "127.0.0.1:1".parse().unwrap()),
            zero,
            "zero length"
        );
    }
}
