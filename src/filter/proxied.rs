//! What a balancer said of a client in a PROXY protocol header.

use std::net::SocketAddr;

use bytes::Bytes;

/// Kinds of parts (TLVs) of a header, version 2.
mod kind {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const SSL: u8 = 0x20;
    pub(super) const SSL_VERSION: u8 = 0x21;
    pub(super) const SSL_COMMON_NAME: u8 = 0x22;
}

/// What a balancer said of a client. It comes from networks that the operator trusts in this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    /// The balancer's own address.
    pub through: SocketAddr,
    /// The address that the client dialled.
    pub destination: Option<SocketAddr>,
    /// What else it said, by kind, in its order; the header's size bounds it.
    pub parts: Vec<(u8, Bytes)>,
}

impl Proxied {
    /// The host name that the client asked for, as in SNI.
    pub fn authority(&self) -> Option<&str> {
        text(self.part(kind::AUTHORITY)?)
    }

    /// What the client and the balancer agreed to speak inside TLS.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.part(kind::ALPN)
    }

    /// The balancer's name for this connection, 128 bytes at most.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.part(kind::UNIQUE_ID)
    }

    /// The version of TLS between the client and the balancer, as `TLSv1.3`; `None` without TLS.
    pub fn tls_version(&self) -> Option<&str> {
        text(self.tls_part(kind::SSL_VERSION)?)
    }

    /// The common name of a certificate that the client showed and the balancer verified.
    pub fn verified_name(&self) -> Option<&str> {
        /// The client showed a certificate, on this connection or on the session that it goes on with.
        const SHOWN: u8 = 0x02 | 0x04;
        let tls = self.part(kind::SSL)?;
        let is_shown = tls.first()? & SHOWN != 0;
        let is_verified = tls.get(1..5)? == [0; 4];
        let name = text(self.tls_part(kind::SSL_COMMON_NAME)?)?;
        (is_shown && is_verified).then_some(name)
    }

    fn part(&self, wanted: u8) -> Option<&[u8]> {
        let part = self.parts.iter().find(|(kind, _)| *kind == wanted);
        part.map(|(_, value)| value.as_ref())
    }

    /// A part inside the one about TLS, which begins with a byte of flags and four of the verdict.
    fn tls_part(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = self.part(kind::SSL)?.get(5..)?;
        while let [kind, high, low, after @ ..] = rest {
            let (value, next) = after.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
            if *kind == wanted {
                return Some(value);
            }
            rest = next;
        }
        None
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
