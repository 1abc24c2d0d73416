//! One connection to the admin listener, which ends when nothing has moved on it for a while.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

/// A connection on which no byte moves for this long is closed. The live tail sends a comment more often.
const IDLE: Duration = Duration::from_mins(1);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    /// It has shown a certificate of the CA for callers.
    pub(super) has_certificate: bool,
}

/// What can be read and written, in clear or under TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An accepted connection.
pub(super) struct Connection {
    io: Box<dyn Io>,
    until: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Holds `permit` while it is open.
    pub(super) fn new(io: impl Io + 'static, permit: OwnedSemaphorePermit) -> Self {
        Self {
            io: Box::new(io),
            until: Box::pin(sleep(IDLE)),
            _permit: permit,
        }
    }

    /// Something has moved, or nothing has for too long.
    fn moved<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.until.as_mut().reset(Instant::now() + IDLE);
            return outcome;
        }
        match self.until.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_read(cx, buf);
        self.moved(cx, outcome)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.moved(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
