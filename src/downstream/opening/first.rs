//! What the first bytes of a connection, or of what is inside TLS, announce.
//!
//! Pure: bytes in, a word out. No two of these can be mistaken for each other, whatever follows.

/// How HTTP/2 begins.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How a PROXY protocol header begins: version 1, version 2.
const PROXY: [&[u8]; 2] = [b"PROXY ", super::header::SIGNATURE];
/// How requests of HTTP/1 begin.
const HTTP1: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
];
/// A TLS record with a handshake in it.
const TLS_HANDSHAKE: u8 = 0x16;

/// What is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// More bytes are needed to tell.
    More,
    /// A remoting frame: its length is below 16 MiB, so its first byte is 0.
    Remoting,
    /// A TLS handshake.
    Tls,
    /// A PROXY protocol header.
    Proxy,
    /// HTTP/2.
    Http2,
    /// HTTP/1.
    Http1,
    /// Nothing spoken here; the first byte.
    Foreign(u8),
}

/// Looks at the bytes read so far.
pub(super) fn look(bytes: &[u8]) -> First {
    let first = match bytes.first() {
        None => return First::More,
        Some(0) => return First::Remoting,
        Some(&TLS_HANDSHAKE) => return First::Tls,
        Some(first) => *first,
    };
    let texts = [(HTTP2, First::Http2)]
        .into_iter()
        .chain(PROXY.map(|text| (text, First::Proxy)))
        .chain(HTTP1.map(|text| (text, First::Http1)));
    let mut found = First::Foreign(first);
    for (text, word) in texts {
        if bytes.starts_with(text) {
            return word;
        }
        if text.starts_with(bytes) {
            found = First::More;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_is_told_however_its_bytes_arrive() {
        let cases = [
            (&b"\0\0\x01\0"[..], First::Remoting),
            (b"\x16\x03\x01\x02\x00", First::Tls),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", First::Proxy),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", First::Proxy),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", First::Http2),
            (b"POST / HTTP/1.1\r\n", First::Http1),
            (b"PUT / HTTP/1.1\r\n", First::Http1),
            (b"GET / HTTP/1.1\r\n", First::Http1),
        ];
        for (bytes, expected) in cases {
            let told = (0..=bytes.len()).map(|end| look(&bytes[..end]));
            let told: Vec<First> = told.skip_while(|word| *word == First::More).collect();
            assert!(
                !told.is_empty() && told.iter().all(|word| *word == expected),
                "{bytes:?}: {told:?}"
            );
        }
    }

    #[test]
    fn what_is_not_spoken_is_told_at_its_first_wrong_byte() {
        for (bytes, first) in [
            (&b"\xff"[..], 0xff),
            (b"PRINT", b'P'),
            (b"\r\n\r\n\r", b'\r'),
            (b"SSH-2.0", b'S'),
        ] {
            assert_eq!(look(bytes), First::Foreign(first), "{bytes:?}");
        }
    }
}
