//! The first bytes of a connection decide what it is.
//!
//! ```text
//!  PROXY header?  ──▶  TLS?  ──▶  remoting (a length below 16 MiB, so 0)  ──▶  a session
//!  from trusted        0x16       HTTP/2 (its preface)                    ──▶  the gRPC upstream
//!  networks alone                 HTTP/1 (a method)                       ──▶  a short answer
//! ```
//!
//! Nothing is ever ambiguous, in clear and inside TLS alike. What is not spoken here is turned away, and told once in a
//! while.

mod counts;
mod first;
mod header;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::ProxyProtocol;
use crate::filter::{Origin, Proxied};
use crate::socket::Stream;
use crate::tls::{ServerTls, peer_subject};
use first::{First, look};
use header::HeaderError;

pub use counts::{Gauge, Openings};

/// Enough to tell the protocols apart, and small commands whole.
const FIRST_READ: usize = 512;

/// What a listener lets in.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// TLS, unless it is disabled.
    pub(super) tls: Option<Arc<ServerTls>>,
    /// Whether clients in clear are turned away.
    pub(super) enforces_tls: bool,
    /// Who may say whom a connection is from.
    pub(super) proxy_protocol: ProxyProtocol,
    /// Whether HTTP/2 is passed on.
    pub(super) takes_http2: bool,
}

/// What a connection turned out to be.
#[derive(Debug)]
pub(super) struct Opened {
    /// Where it goes on, past everything that came first.
    pub(super) stream: Stream,
    /// What was read of it already.
    pub(super) read: BytesMut,
    /// What is spoken.
    pub(super) spoken: Spoken,
    /// Whose it is.
    pub(super) origin: Origin,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// RocketMQ's remoting protocol.
    Remoting,
    /// HTTP/2, and so gRPC.
    Http2,
    /// HTTP/1.
    Http1,
}

/// Why a connection is closed before anything was served on it.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It did not come so far in time.
    Slow(Duration),
    /// The other side closed before it had said what it wants.
    Left,
    /// Its socket failed.
    Failed(io::Error),
    /// A PROXY protocol header from where none may come.
    HeaderForbidden,
    /// A PROXY protocol header that is none.
    HeaderMalformed(HeaderError),
    /// No PROXY protocol header, where one must come.
    HeaderMissing,
    /// TLS where it is disabled.
    TlsDisabled,
    /// No TLS where it is enforced.
    TlsRequired,
    /// The handshake failed.
    TlsFailed(io::Error),
    /// gRPC where there is no upstream for it.
    GrpcDisabled,
    /// Nothing that is spoken here; its first byte.
    Foreign(u8),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(limit) => write!(f, "it did not say within {limit:?} what it is"),
            Self::Left => f.write_str("it left without a word"),
            Self::Failed(error) => write!(f, "its socket failed: {error}"),
            Self::HeaderForbidden => f.write_str(
                "it sent a PROXY protocol header, which is taken from the networks in the listener's proxy_protocol alone",
            ),
            Self::HeaderMalformed(error) => write!(f, "its PROXY protocol header cannot be read: {error}"),
            Self::HeaderMissing => f.write_str("it sent no PROXY protocol header, and proxy_protocol_required is set"),
            Self::TlsDisabled => f.write_str("it speaks TLS, and the listener has no certificate"),
            Self::TlsRequired => f.write_str("it does not speak TLS, and the listener enforces it"),
            Self::TlsFailed(error) => write!(f, "its TLS handshake failed: {error}"),
            Self::GrpcDisabled => f.write_str("it speaks gRPC (HTTP/2), and the listener has no grpc.upstream"),
            Self::Foreign(first) => write!(f, "it speaks nothing known here (first byte {first:#04x})"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Finds out what a connection is, within `limit` in all.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub(super) async fn open(
    tcp: TcpStream,
    peer: SocketAddr,
    rules: &Rules,
    limit: Duration,
) -> Result<Opened, Refusal> {
    timeout(limit, find_out(tcp, peer, rules))
        .await
        .unwrap_or(Err(Refusal::Slow(limit)))
}

async fn find_out(tcp: TcpStream, peer: SocketAddr, rules: &Rules) -> Result<Opened, Refusal> {
    let clear = Stream::from(tcp);
    let mut read = BytesMut::new();
    let mut origin = Origin::from(peer);
    let mut first = announced(&clear, &mut read).await?;
    let may_have_header = rules.proxy_protocol.trusts(peer.ip());
    if first == First::Proxy {
        if !may_have_header {
            return Err(Refusal::HeaderForbidden);
        }
        take_header(&clear, &mut read, &mut origin).await?;
        first = announced(&clear, &mut read).await?;
    } else if may_have_header && rules.proxy_protocol.is_required {
        return Err(Refusal::HeaderMissing);
    }
    let stream = if first == First::Tls {
        let tls = rules.tls.as_ref().ok_or(Refusal::TlsDisabled)?;
        let stream = shake_hands(tls, clear, std::mem::take(&mut read)).await?;
        if let Some(subject) = stream.tls(peer_subject).flatten() {
            origin.tls_subject = Some(subject.into());
        }
        first = announced(&stream, &mut read).await?;
        stream
    } else {
        clear
    };
    let is_clear_where_it_must_not = rules.enforces_tls && !stream.is_tls();
    let spoken = match first {
        // Whoever looks with a browser is told where it is.
        First::Http1 => Spoken::Http1,
        First::Remoting | First::Http2 if is_clear_where_it_must_not => return Err(Refusal::TlsRequired),
        First::Remoting => Spoken::Remoting,
        First::Http2 if rules.takes_http2 => Spoken::Http2,
        First::Http2 => return Err(Refusal::GrpcDisabled),
        First::Foreign(first) => return Err(Refusal::Foreign(first)),
        First::More | First::Tls | First::Proxy => {
            return Err(Refusal::Foreign(read.first().copied().unwrap_or_default()));
        }
    };
    Ok(Opened {
        stream,
        read,
        spoken,
        origin,
    })
}

/// Reads until the bytes announce something.
async fn announced(stream: &Stream, read: &mut BytesMut) -> Result<First, Refusal> {
    loop {
        match look(read) {
            First::More => more(stream, read).await?,
            first => return Ok(first),
        }
    }
}

async fn take_header(stream: &Stream, read: &mut BytesMut, origin: &mut Origin) -> Result<(), Refusal> {
    let (header, length) = loop {
        match header::parse(read).map_err(Refusal::HeaderMalformed)? {
            Some(found) => break found,
            None => more(stream, read).await?,
        }
    };
    read.advance(length);
    let proxied = Proxied {
        through: origin.peer,
        destination: header.destination,
        parts: header.parts,
    };
    origin.tls_subject = proxied.verified_name().map(|name| format!("CN={name}").into());
    if let Some(source) = header.source {
        origin.peer = source;
    }
    origin.proxied = Some(Arc::new(proxied));
    Ok(())
}

async fn shake_hands(tls: &ServerTls, clear: Stream, read: BytesMut) -> Result<Stream, Refusal> {
    let failed = |error| Refusal::TlsFailed(io::Error::new(io::ErrorKind::InvalidData, error));
    let connection = tls.connection().map_err(failed)?;
    let stream = clear.under_tls(connection, read).await;
    stream.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Refusal::TlsFailed(io::Error::new(
            error.kind(),
            "the client closed the connection in the middle of it",
        )),
        _ => Refusal::TlsFailed(error),
    })
}

/// Waits for more bytes.
async fn more(stream: &Stream, read: &mut BytesMut) -> Result<(), Refusal> {
    loop {
        read.reserve(FIRST_READ);
        match stream.try_read_buf(read) {
            Ok(0) => return Err(Refusal::Left),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.readable().await.map_err(Refusal::Failed)?;
            }
            Err(error) => return Err(Refusal::Failed(error)),
        }
    }
}
