//! Offset message ids: where a message is stored, as upper-case hex (`MessageDecoder.createMessageId`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An offset message id: the store host and the commit-log offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId {
    /// The broker's address as stored.
    pub host: SocketAddr,
    /// Commit-log offset.
    pub offset: u64,
}

impl MessageId {
    /// Reads 32 (IPv4) or 56 (IPv6) hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 28];
        let slots = bytes.get_mut(..text.len() / 2).filter(|_| {
            matches!(text.len(), 32 | 56) && text.bytes().all(|digit| digit.is_ascii_hexdigit())
        })?;
        for (slot, digits) in slots.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *slot = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        let slots = &*slots;
        let (ip, rest) = if slots.len() == 16 {
            let (ip, rest) = slots.split_first_chunk::<4>()?;
            (IpAddr::V4(Ipv4Addr::from(*ip)), rest)
        } else {
            let (ip, rest) = slots.split_first_chunk::<16>()?;
            (IpAddr::V6(Ipv6Addr::from(*ip)), rest)
        };
        let (port, offset) = rest.split_first_chunk::<4>()?;
        let port = u16::try_from(u32::from_be_bytes(*port)).ok()?;
        Some(Self {
            host: SocketAddr::new(ip, port),
            offset: u64::from_be_bytes(*offset.first_chunk()?),
        })
    }
}

impl MessageId {
    /// The ids in a send answer, one or more separated by commas, with another host; ids of the other address family
    /// keep theirs.
    pub fn with_host(ids: &str, host: SocketAddr) -> String {
        let rewritten = ids.split(',').map(|id| match Self::parse(id) {
            Some(parsed) if parsed.host.is_ipv4() == host.is_ipv4() => Self { host, ..parsed }.to_string(),
            _ => id.to_owned(),
        });
        rewritten.collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.ip() {
            IpAddr::V4(ip) => ip.octets().iter().try_for_each(|b| write!(f, "{b:02X}"))?,
            IpAddr::V6(ip) => ip.octets().iter().try_for_each(|b| write!(f, "{b:02X}"))?,
        }
        write!(f, "{:08X}{:016X}", self.host.port(), self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_both_families_survive() {
        for text in [
            "0A00000100002A9F00000000000003E8",
            "FE80000000000000000000000000000100002A9F00000000000003E8",
        ] {
            assert_eq!(MessageId::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "0A00000100002A9F00000000000003E",
            "ZA00000100002A9F00000000000003E8",
            "0A000001FFFF2A9F00000000000003E8",
            "+A00000100002A9F00000000000003E8",
        ] {
            assert_eq!(MessageId::parse(bad), None, "{bad}");
        }
    }
}
