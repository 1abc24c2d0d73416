//! Opening a connection to a broker or name server.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::socket::Stream;

/// Connects to `address` (`host:port`, the host a name or an IP), trying each of its IPs, within `limit` in all.
///
/// # Cancel safety
/// Dropping the future gives up the attempt; nothing stays open.
pub async fn dial(address: &str, limit: Duration) -> io::Result<Stream> {
    let socket = tokio::time::timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_elapsed| {
            io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}"))
        })??;
    socket.set_nodelay(true)?;
    Ok(socket.into())
}
