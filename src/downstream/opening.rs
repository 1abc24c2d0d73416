//! The first bytes of a connection decide what it is.
//!
//! Remoting frames begin with a length below 16 MiB, so their first byte is 0. TLS begins with 0x16, the PROXY protocol
//! with `P` (v1) or 0x0D (v2), HTTP/2 with `PRI`, HTTP/1 with a method: nothing is ever ambiguous. This is the place
//! where they are told apart; what is not spoken here is turned away.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Enough to tell the protocols apart, and small commands whole.
const FIRST_READ: usize = 512;

/// What a connection turned out to be.
#[derive(Debug)]
pub(super) enum Opening {
    /// Remoting in clear; with the bytes read so far.
    Remoting(BytesMut),
    /// Something else, by its first byte.
    Foreign(u8),
    /// The client left, or said nothing for too long.
    Silent,
}

/// Waits for the first bytes, `limit` at most.
pub(super) async fn open(socket: &TcpStream, limit: Duration) -> io::Result<Opening> {
    let first = async {
        loop {
            socket.readable().await?;
            let mut bytes = BytesMut::with_capacity(FIRST_READ);
            match socket.try_read_buf(&mut bytes) {
                Ok(_) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    let Ok(bytes) = timeout(limit, first).await else {
        return Ok(Opening::Silent);
    };
    let bytes = bytes?;
    Ok(match bytes.first() {
        None => Opening::Silent,
        Some(0) => Opening::Remoting(bytes),
        Some(other) => Opening::Foreign(*other),
    })
}
