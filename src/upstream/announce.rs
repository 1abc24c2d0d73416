//! The PROXY protocol header that tells a broker whom a connection is for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ppp::{v1, v2};

use crate::config::ProxyHeader;
use crate::filter::Proxied;

/// Whom a connection to a broker is opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub client: SocketAddr,
    /// The address it came in by.
    pub entry: SocketAddr,
    /// What a balancer said of it; its parts are passed on with version 2.
    pub proxied: Option<Arc<Proxied>>,
}

/// Parts of a header that hold for that header alone: a checksum, and padding.
const OWN_PARTS: [u8; 2] = [0x03, 0x04];

impl Caller {
    /// The header in this version; `None` when there is none.
    pub fn header(&self, version: ProxyHeader) -> io::Result<Option<Vec<u8>>> {
        let pair = self.of_one_family();
        match version {
            ProxyHeader::Off => Ok(None),
            ProxyHeader::V1 => Ok(Some(v1::Addresses::from(pair).to_string().into_bytes())),
            ProxyHeader::V2 => {
                let command = v2::Version::Two | v2::Command::Proxy;
                let mut header = v2::Builder::with_addresses(command, v2::Protocol::Stream, pair);
                let parts = self.proxied.iter().flat_map(|proxied| &proxied.parts);
                for (kind, value) in parts.filter(|(kind, _)| !OWN_PARTS.contains(kind)) {
                    header = header.write_tlv(*kind, value)?;
                }
                header.build().map(Some)
            }
        }
    }

    /// Both addresses as IPv4 where both are, else both as IPv6: the header has one family.
    fn of_one_family(&self) -> (SocketAddr, SocketAddr) {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let (client, entry) = (canonical(self.client), canonical(self.entry));
        if client.is_ipv4() == entry.is_ipv4() {
            return (client, entry);
        }
        let wide = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            IpAddr::V6(_) => address,
        };
        (wide(client), wide(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(client: &str, entry: &str) -> Caller {
        Caller {
            client: client.parse().unwrap(),
            entry: entry.parse().unwrap(),
            proxied: None,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "made where it is used")]
    fn text(caller: Caller) -> String {
        String::from_utf8(caller.header(ProxyHeader::V1).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn version_1_is_one_line() {
        assert_eq!(
            text(caller("10.1.2.3:4567", "10.0.0.5:9876")),
            "PROXY TCP4 10.1.2.3 10.0.0.5 4567 9876\r\n"
        );
        assert_eq!(
            text(caller("[2001:db8::1]:4567", "[2001:db8::2]:9876")),
            "PROXY TCP6 2001:db8::1 2001:db8::2 4567 9876\r\n"
        );
    }

    #[test]
    fn version_2_has_its_signature_addresses_and_ports() {
        let header = caller("10.1.2.3:4567", "10.0.0.5:9876")
            .header(ProxyHeader::V2)
            .unwrap()
            .unwrap();
        let mut wanted = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        wanted.extend([10, 1, 2, 3, 10, 0, 0, 5]);
        wanted.extend(4567_u16.to_be_bytes());
        wanted.extend(9876_u16.to_be_bytes());
        assert_eq!(header, wanted);
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
        assert_eq!(
            text(caller("[::ffff:10.1.2.3]:4567", "[::ffff:10.0.0.5]:9876")),
            "PROXY TCP4 10.1.2.3 10.0.0.5 4567 9876\r\n"
        );
    }

    #[test]
    fn addresses_of_two_families_become_one() {
        let text = text(caller("10.1.2.3:4567", "[2001:db8::2]:9876"));
        let words: Vec<&str> = text.trim_end().split(' ').collect();
        assert_eq!(words[1], "TCP6");
        let client: IpAddr = words[2].parse().unwrap();
        assert_eq!(client.to_canonical(), "10.1.2.3".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn what_a_balancer_said_is_passed_on() {
        let mut caller = caller("10.1.2.3:4567", "10.0.0.5:9876");
        caller.proxied = Some(Arc::new(Proxied {
            through: "10.9.9.9:1".parse().unwrap(),
            destination: None,
            parts: vec![
                (0x03, bytes::Bytes::from_static(&[1, 2, 3, 4])),
                (0xea, bytes::Bytes::from_static(b"vpce-1")),
            ],
        }));
        let header = caller.header(ProxyHeader::V2).unwrap().unwrap();
        assert_eq!(header[14..16], 21_u16.to_be_bytes(), "addresses and one part");
        assert_eq!(&header[28..], b"\xea\0\x06vpce-1");
    }

    #[test]
    fn no_header_is_none() {
        let none = caller("10.1.2.3:4567", "10.0.0.5:9876").header(ProxyHeader::Off);
        assert_eq!(none.unwrap(), None);
    }
}
