//! The PROXY protocol's headers, version 1 and 2: whose connection it is, as a balancer says.
//!
//! Pure: bytes in, a header out. Whether the sender may say so is judged elsewhere, and before this.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use ppp::{v1, v2};

/// How version 2 begins.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1, its end included.
const LONGEST_V1: usize = 107;
/// Longest header of version 2 that is read; balancers send some hundred bytes.
const LONGEST_V2: usize = 4 << 10;
/// Signature, command, family, length.
const HEAD_V2: usize = 16;
/// Kind and length of a part.
const PART_HEAD: usize = 3;
/// A part with the checksum of the header.
const CRC32C: u8 = 0x03;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Whose connection it is; `None` when it is the balancer's own, as for its health checks.
    pub(super) source: Option<SocketAddr>,
    /// The address that was dialled.
    pub(super) destination: Option<SocketAddr>,
    /// What else is said, by kind.
    pub(super) parts: Vec<(u8, Bytes)>,
}

/// Why bytes are no header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::downstream) enum HeaderError {
    /// It is longer than any that is read: bytes announced, or read without an end.
    TooLong(usize),
    /// It breaks the rules of its version; how.
    Malformed(String),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "it is too long ({bytes} bytes)"),
            Self::Malformed(how) => f.write_str(how),
        }
    }
}

impl std::error::Error for HeaderError {}

/// Takes a header from the beginning of `bytes`, which begin as one: the header and its length; `None` when more bytes
/// are needed.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if bytes.starts_with(SIGNATURE) {
        parse_v2(bytes)
    } else {
        parse_v1(bytes)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let window = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_V1 {
            Ok(None)
        } else {
            Err(HeaderError::TooLong(bytes.len()))
        };
    };
    let length = end.saturating_add(2);
    let line = window.get(..length).unwrap_or_default();
    let header = v1::Header::try_from(line).map_err(|error| malformed(&error))?;
    let (source, destination) = match header.addresses {
        v1::Addresses::Unknown => (None, None),
        v1::Addresses::Tcp4(ends) => (
            Some((ends.source_address, ends.source_port).into()),
            Some((ends.destination_address, ends.destination_port).into()),
        ),
        v1::Addresses::Tcp6(ends) => (
            Some((ends.source_address, ends.source_port).into()),
            Some((ends.destination_address, ends.destination_port).into()),
        ),
    };
    let header = Header {
        source,
        destination,
        parts: Vec::new(),
    };
    Ok(Some((header, length)))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some([high, low]) = bytes.get(HEAD_V2 - 2..HEAD_V2) else {
        return Ok(None);
    };
    let length = HEAD_V2.saturating_add(u16::from_be_bytes([*high, *low]).into());
    if length > LONGEST_V2 {
        return Err(HeaderError::TooLong(length));
    }
    let Some(whole) = bytes.get(..length) else {
        return Ok(None);
    };
    let header = v2::Header::try_from(whole).map_err(|error| malformed(&error))?;
    if header.protocol == v2::Protocol::Datagram {
        return Err(HeaderError::Malformed("it speaks of datagrams".to_owned()));
    }
    let mut parts = Vec::new();
    let mut at = length.saturating_sub(header.tlv_bytes().len());
    for part in header.tlvs() {
        let part = part.map_err(|error| malformed(&error))?;
        let value = at.saturating_add(PART_HEAD);
        if part.kind == CRC32C && !parts.iter().any(|(kind, _)| *kind == CRC32C) {
            check_sum(whole, &part.value, value)?;
        }
        at = value.saturating_add(part.value.len());
        parts.push((part.kind, Bytes::copy_from_slice(&part.value)));
    }
    let (source, destination) = match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ends)) => (
            Some((ends.source_address, ends.source_port).into()),
            Some((ends.destination_address, ends.destination_port).into()),
        ),
        (v2::Command::Proxy, v2::Addresses::IPv6(ends)) => (
            Some((ends.source_address, ends.source_port).into()),
            Some((ends.destination_address, ends.destination_port).into()),
        ),
        // The balancer speaks for itself, or for somebody without an IP address.
        _ => (None, None),
    };
    let header = Header {
        source,
        destination,
        parts,
    };
    Ok(Some((header, length)))
}

fn malformed(error: &dyn fmt::Display) -> HeaderError {
    HeaderError::Malformed(error.to_string())
}

/// Checks the header's checksum, which was taken with zeros in its own place.
fn check_sum(header: &[u8], said: &[u8], place: usize) -> Result<(), HeaderError> {
    let own = place..place.saturating_add(4);
    let bytes = header.iter().enumerate();
    let zeroed = bytes.map(|(at, byte)| if own.contains(&at) { 0 } else { *byte });
    if crc32c(zeroed).to_be_bytes() == said {
        Ok(())
    } else {
        Err(HeaderError::Malformed("its checksum is wrong".to_owned()))
    }
}

/// The CRC of Castagnoli, bit by bit: headers are short and rarely have one.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let sum = bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (POLYNOMIAL & (sum & 1).wrapping_neg())
        })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    const ENDS: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x26, 0x94];

    #[test]
    fn both_versions_say_whose_connection_it_is() {
        let source: SocketAddr = "192.0.2.7:12345".parse().unwrap();
        let text = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 9876\r\nrest".to_vec();
        for bytes in [text, v2(0x21, 0x11, &ENDS)] {
            let (header, length) = parse(&bytes).unwrap().unwrap();
            assert_eq!(header.source, Some(source));
            assert_eq!(header.destination, Some("10.0.0.1:9876".parse().unwrap()));
            for end in 6..length {
                let begun = bytes[..end].starts_with(b"PROXY ") || bytes[..end].starts_with(SIGNATURE);
                assert!(
                    !begun || parse(&bytes[..end]) == Ok(None),
                    "{end} bytes are not enough"
                );
            }
        }
        let six = b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n";
        assert_eq!(
            parse(six).unwrap().unwrap().0.source,
            Some("[2001:db8::1]:1".parse().unwrap())
        );
    }

    #[test]
    fn a_balancer_may_speak_for_itself() {
        for bytes in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, &ENDS),
            v2(0x21, 0x00, &[]),
        ] {
            let (header, length) = parse(&bytes).unwrap().unwrap();
            assert_eq!((header.source, length), (None, bytes.len()));
        }
    }

    #[test]
    fn forged_headers_are_refused() {
        let mut short_part = ENDS.to_vec();
        short_part.extend([2, 0, 9, b'x']);
        for bytes in [
            b"PROXY TCP4 192.0.2.777 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 99999\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            [b"PROXY ".to_vec(), vec![b'x'; 120]].concat(),
            v2(0x31, 0x11, &ENDS),
            v2(0x2f, 0x11, &ENDS),
            v2(0x21, 0x12, &ENDS),
            v2(0x21, 0x51, &ENDS),
            v2(0x21, 0x21, &ENDS),
            v2(0x21, 0x11, &short_part),
            v2(0x21, 0x11, &[0; 4_096]),
        ] {
            assert!(parse(&bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(
            parse(&[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat()),
            Err(HeaderError::TooLong(65_551)),
            "refused before it is read"
        );
    }

    #[test]
    fn a_checksum_must_be_right_where_there_is_one() {
        let mut bytes = v2(0x21, 0x11, &[&ENDS[..], &[CRC32C, 0, 4, 0, 0, 0, 0]].concat());
        let sum = crc32c(bytes.iter().copied());
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&sum.to_be_bytes());
        assert!(parse(&bytes).is_ok());
        bytes[20] ^= 1;
        assert_eq!(
            parse(&bytes),
            Err(HeaderError::Malformed("its checksum is wrong".to_owned()))
        );
        assert_eq!(
            crc32c(b"123456789".iter().copied()),
            0xe306_9283,
            "the check value of this CRC"
        );
    }
}
