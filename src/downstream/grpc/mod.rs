//! Clients that speak gRPC are passed on to RocketMQ's own proxy, byte for byte.
//!
//! Nothing is decoded but the length of the frames that come back, so that the client can be told at a frame's end that
//! this proxy leaves: it then opens no more streams here, and finishes those it has.

mod frames;

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use ppp::v2;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::opening::{Opened, Openings};
use crate::config::{Grpc, Timeouts};
use crate::filter::Origin;
use crate::socket::{Progress, Stream};
use crate::tls::ClientTls;
use frames::Frames;

/// Bytes taken at once in one direction; more are taken when these are written.
const PIECE: usize = 16 << 10;

/// Where to, and how.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) settings: Grpc,
    pub(super) tls: Option<Arc<ClientTls>>,
}

impl Upstream {
    /// Opens a connection for this client, its PROXY protocol header sent.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(super) async fn dial(&self, opened: &Opened, limits: &Timeouts) -> io::Result<Stream> {
        let late = || {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("not connected within {:?}", limits.connect),
            )
        };
        let connecting = TcpStream::connect(&self.settings.upstream);
        let tcp = timeout(limits.connect, connecting)
            .await
            .map_err(|_elapsed| late())??;
        tcp.set_nodelay(true)?;
        let stream = Stream::from(tcp);
        if self.settings.proxy_protocol {
            let mut header = header(&opened.origin, &opened.stream)?;
            write_all(&stream, &mut header).await?;
        }
        let Some(tls) = &self.tls else { return Ok(stream) };
        let host = self
            .settings
            .upstream
            .rsplit_once(':')
            .map_or("", |(host, _)| host);
        let shaken = stream.under_tls(tls.connection(host)?, BytesMut::new());
        timeout(limits.connect, shaken)
            .await
            .map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))?
    }
}

/// Who the client is, as a PROXY protocol header of version 2.
fn header(origin: &Origin, stream: &Stream) -> io::Result<Bytes> {
    let local = origin.proxied.as_ref().and_then(|proxied| proxied.destination);
    let local = match local {
        Some(local) => local,
        None => stream.local_addr()?,
    };
    let mut ends = (origin.peer, local);
    if ends.0.is_ipv4() != ends.1.is_ipv4() {
        // One header has addresses of one kind.
        let mapped = |end: std::net::SocketAddr| match end.ip() {
            std::net::IpAddr::V4(ip) => (ip.to_ipv6_mapped(), end.port()).into(),
            std::net::IpAddr::V6(_) => end,
        };
        ends = (mapped(ends.0), mapped(ends.1));
    }
    let mut builder =
        v2::Builder::with_addresses(v2::Version::Two | v2::Command::Proxy, v2::Protocol::Stream, ends);
    let server_name = stream.tls(|tls| match tls {
        rustls::Connection::Server(tls) => tls.server_name().map(str::to_owned),
        rustls::Connection::Client(_) => None,
    });
    if let Some(name) = server_name.flatten() {
        builder = builder.write_tlv(v2::Type::Authority, name.as_bytes())?;
    }
    if stream.is_tls() {
        builder = builder.write_tlv(v2::Type::SSL, &about_tls(origin, stream))?;
    }
    Ok(builder.build()?.into())
}

/// The part of a header about the client's TLS: flags, the verdict, version, common name.
fn about_tls(origin: &Origin, stream: &Stream) -> Vec<u8> {
    /// The client speaks TLS; it showed a certificate on this connection.
    const SPOKEN: u8 = 0x01;
    const SHOWN: u8 = 0x02;
    let version = stream.tls(|tls| match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    });
    let name = origin.tls_subject.as_deref();
    let flags = if name.is_some() { SPOKEN | SHOWN } else { SPOKEN };
    let mut part = vec![flags, 0, 0, 0, 0];
    let mut push = |kind: v2::Type, text: &str| {
        if let Ok(length) = u16::try_from(text.len()) {
            part.push(kind.into());
            part.extend(length.to_be_bytes());
            part.extend(text.as_bytes());
        }
    };
    if let Some(version) = version {
        push(v2::Type::SSLVersion, version);
    }
    if let Some(name) = name.and_then(common_name) {
        push(v2::Type::SSLCommonName, name);
    }
    part
}

/// The common name in a subject, where it is written without escapes.
fn common_name(subject: &str) -> Option<&str> {
    let mut parts = subject.split(',');
    parts
        .find_map(|part| part.strip_prefix("CN="))
        .filter(|name| !name.contains('\\'))
}

/// Passes bytes on, both ways, until both sides have said their last, nothing was said for `timeouts.idle`, or the proxy
/// has drained.
pub(super) async fn pass_on(
    client: Opened,
    upstream: Stream,
    idle: std::time::Duration,
    mut drain: watch::Receiver<Option<Instant>>,
    counts: &Openings,
) {
    let _one = counts.grpc_now.one_more();
    let peer = client.origin.peer;
    let heard = Heard(Mutex::new(Instant::now()));
    let leaving = drain.clone();
    let up = Way {
        from: &client.stream,
        to: &upstream,
        bytes: &counts.grpc_sent,
        heard: &heard,
    };
    let down = Way {
        from: &upstream,
        to: &client.stream,
        bytes: &counts.grpc_received,
        heard: &heard,
    };
    let both = async { tokio::try_join!(up.carry(client.read), down.carry_frames(leaving)).map(drop) };
    let silence = async {
        loop {
            let end = heard.last() + idle;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    };
    let drained = async {
        let Ok(deadline) = drain.wait_for(Option::is_some).await.map(|deadline| *deadline) else {
            return;
        };
        if let Some(deadline) = deadline {
            sleep_until(deadline).await;
        }
    };
    tokio::select! {
        ended = both => match ended {
            Ok(()) => debug!(%peer, "a gRPC client is gone"),
            Err(error) => debug!(%peer, %error, "a gRPC client is gone"),
        },
        () = silence => debug!(%peer, "a gRPC client is closed: silent for too long"),
        () = drained => debug!(%peer, "a gRPC client is closed: the proxy is leaving"),
    }
}

/// When the last byte went either way.
struct Heard(Mutex<Instant>);

impl Heard {
    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// One direction.
struct Way<'a> {
    from: &'a Stream,
    to: &'a Stream,
    bytes: &'a AtomicU64,
    heard: &'a Heard,
}

impl Way<'_> {
    /// Carries `first` and what is read until the end, and says that there is no more.
    async fn carry(&self, first: BytesMut) -> io::Result<()> {
        let mut piece = first;
        loop {
            self.write(&mut piece).await?;
            if self.read(&mut piece).await? == 0 {
                return self.end();
            }
        }
    }

    /// The same, with a word to the client between two frames when the proxy leaves.
    async fn carry_frames(&self, mut drain: watch::Receiver<Option<Instant>>) -> io::Result<()> {
        let mut piece = BytesMut::new();
        let mut frames = Frames::default();
        let (mut is_leaving, mut has_said) = (false, false);
        loop {
            tokio::select! {
                read = self.read(&mut piece) => {
                    if read? == 0 {
                        return self.end();
                    }
                }
                left = drain.wait_for(Option::is_some), if !is_leaving => {
                    if left.is_err() {
                        return Ok(());
                    }
                    is_leaving = true;
                }
            }
            is_leaving |= drain.borrow().is_some();
            if is_leaving && !has_said {
                let mut until_boundary = frames.split_at_boundary(&mut piece);
                self.write(&mut until_boundary).await?;
                if frames.is_at_boundary() {
                    self.write(&mut BytesMut::from(frames::GO_AWAY)).await?;
                    has_said = true;
                }
            }
            frames.pass(&piece);
            self.write(&mut piece).await?;
        }
    }

    /// Reads once; 0 at the end. Nothing is lost when this is dropped.
    async fn read(&self, piece: &mut BytesMut) -> io::Result<usize> {
        loop {
            piece.reserve(PIECE);
            match self.from.try_read_buf(piece) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.from.readable().await?,
                other => {
                    self.heard.now();
                    return other;
                }
            }
        }
    }

    async fn write(&self, piece: &mut BytesMut) -> io::Result<()> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        write_all(self.to, piece).await?;
        self.bytes.fetch_add(length, Ordering::Relaxed);
        self.heard.now();
        Ok(())
    }

    fn end(&self) -> io::Result<()> {
        self.to.close_write()
    }
}

/// Writes everything, as fast as it is taken.
pub(super) async fn write_all(to: &Stream, bytes: &mut impl Buf) -> io::Result<()> {
    while bytes.has_remaining() {
        match to.try_write_vectored(&[IoSlice::new(bytes.chunk())]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    while to.try_flush()? == Progress::Blocked {
        to.writable().await?;
    }
    Ok(())
}
