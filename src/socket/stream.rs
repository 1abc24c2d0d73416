//! One TCP connection, in clear or under TLS, read and written without waiting.

use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use rustls::Connection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Progress;

/// A connected stream. Any task of its session may read and write it; nobody holds anything across an await.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    tls: Option<Box<Mutex<Connection>>>,
}

impl From<TcpStream> for Stream {
    /// A stream in clear.
    fn from(tcp: TcpStream) -> Self {
        Self { tcp, tls: None }
    }
}

impl Stream {
    /// Shakes hands; `first` is what was read from the socket before.
    ///
    /// # Errors
    /// As [`Stream::under_tls`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn handshake(tcp: TcpStream, connection: Connection, first: BytesMut) -> io::Result<Self> {
        Self::from(tcp).under_tls(connection, first).await
    }

    /// Shakes hands on a stream in clear; `first` is what was read from it before.
    ///
    /// # Errors
    /// The socket failed or was closed, or the peer and `connection` do not agree; the peer has then been told why.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn under_tls(mut self, mut connection: Connection, mut first: BytesMut) -> io::Result<Self> {
        let tcp = &self.tcp;
        while first.has_remaining() {
            let taken = connection.read_tls(&mut (&mut first).reader())?;
            if taken == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "more than a handshake at once",
                ));
            }
            process(tcp, &mut connection)?;
        }
        loop {
            while connection.wants_write() {
                match connection.write_tls(&mut Nonblocking(tcp)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.writable().await?,
                    Err(error) => return Err(error),
                    Ok(_written) => {}
                }
            }
            if !connection.is_handshaking() {
                break;
            }
            match connection.read_tls(&mut Nonblocking(tcp)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.readable().await?,
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_read) => process(tcp, &mut connection)?,
            }
        }
        self.tls = Some(Box::new(Mutex::new(connection)));
        Ok(self)
    }

    /// Whether the stream is under TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What `look` finds in the TLS connection; `None` in clear.
    pub fn tls<T>(&self, look: impl FnOnce(&Connection) -> T) -> Option<T> {
        self.connection().map(|connection| look(&connection))
    }

    /// The address of the other end of the socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }

    /// The address of this end of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The socket's options.
    pub fn options(&self) -> SockRef<'_> {
        SockRef::from(&self.tcp)
    }

    /// Waits until there may be something to read. Only the task that asked last is woken.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn readable(&self) -> io::Result<()> {
        // What has been decrypted already does not make the socket readable again.
        let has_more = self
            .connection()
            .is_some_and(|connection| !connection.wants_read());
        if has_more {
            return Ok(());
        }
        poll_fn(|cx| self.tcp.poll_read_ready(cx)).await
    }

    /// Waits until the socket may take bytes. Only the task that asked last is woken.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.tcp.poll_write_ready(cx)).await
    }

    /// Reads once into `buffer`; 0 when the peer has closed its side.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut connection) = self.connection() else {
            return drained_or(&self.tcp, buffer.len(), || self.tcp.try_read(buffer));
        };
        read_tls(&self.tcp, &mut connection, &mut |connection| {
            connection.reader().read(buffer)
        })
    }

    /// The same into the spare capacity of `buffer`.
    pub fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let Some(mut connection) = self.connection() else {
            let spare = buffer.capacity().saturating_sub(buffer.len()).max(1);
            return drained_or(&self.tcp, spare, || self.tcp.try_read_buf(buffer));
        };
        read_tls(&self.tcp, &mut connection, &mut |connection| {
            take_plaintext(connection, buffer)
        })
    }

    /// Writes once, as much as is taken without waiting. What TLS keeps of it goes with [`Stream::try_flush`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing is taken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.connection() {
            None => self.tcp.try_write(bytes),
            Some(mut connection) => write_tls(&self.tcp, &mut connection, &[IoSlice::new(bytes)]),
        }
    }

    /// The same of several pieces.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.connection() {
            None => self.tcp.try_write_vectored(slices),
            Some(mut connection) => write_tls(&self.tcp, &mut connection, slices),
        }
    }

    /// Writes what TLS has kept.
    pub fn try_flush(&self) -> io::Result<Progress> {
        match self.connection() {
            Some(mut connection) => flush(&self.tcp, &mut connection),
            None => Ok(Progress::Done),
        }
    }

    /// Says that nothing more will be written.
    pub fn close_write(&self) -> io::Result<()> {
        self.say_goodbye();
        SockRef::from(&self.tcp).shutdown(std::net::Shutdown::Write)
    }

    fn say_goodbye(&self) {
        if let Some(mut connection) = self.connection() {
            connection.send_close_notify();
            // The peer may be gone already.
            drop(flush(&self.tcp, &mut connection));
        }
    }

    fn connection(&self) -> Option<MutexGuard<'_, Connection>> {
        let tls = self.tls.as_ref()?;
        Some(tls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

/// Reads by `read`, which asks for `wanted` bytes. A socket that gives fewer has no more for now: it is not asked again
/// until it says that something came, which saves a system call that would find nothing.
fn drained_or(tcp: &TcpStream, wanted: usize, read: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    let mut taken = 0;
    let outcome = tcp.try_io(Interest::READABLE, || {
        let count = read()?;
        if count == 0 || count >= wanted {
            return Ok(count);
        }
        taken = count;
        // To the runtime this means that the socket is to be waited for.
        Err(io::ErrorKind::WouldBlock.into())
    });
    if taken > 0 { Ok(taken) } else { outcome }
}

/// Decrypts until `take` gets something.
fn read_tls(
    tcp: &TcpStream,
    connection: &mut Connection,
    take: &mut dyn FnMut(&mut Connection) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match take(connection) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Closed without saying so: frames have lengths, so nothing can be cut off unnoticed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            other => return other,
        }
        if connection.read_tls(&mut Nonblocking(tcp))? == 0 {
            return Ok(0);
        }
        process(tcp, connection)?;
    }
}

/// Moves decrypted bytes into the spare capacity of `buffer`.
fn take_plaintext(connection: &mut Connection, buffer: &mut BytesMut) -> io::Result<usize> {
    let mut reader = connection.reader();
    let spare = buffer.capacity().saturating_sub(buffer.len()).max(1);
    let plain = reader.fill_buf()?;
    let plain = plain.get(..spare).unwrap_or(plain);
    let taken = plain.len();
    buffer.extend_from_slice(plain);
    reader.consume(taken);
    Ok(taken)
}

/// Takes in what was read; a peer that breaks the rules is told so.
fn process(tcp: &TcpStream, connection: &mut Connection) -> io::Result<()> {
    let outcome = connection.process_new_packets();
    match outcome {
        Ok(_state) => flush(tcp, connection).map(drop),
        Err(error) => {
            drop(flush(tcp, connection));
            Err(io::Error::new(io::ErrorKind::InvalidData, error))
        }
    }
}

fn write_tls(tcp: &TcpStream, connection: &mut Connection, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    if flush(tcp, connection)? == Progress::Blocked {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let written = connection.writer().write_vectored(slices)?;
    flush(tcp, connection)?;
    Ok(written)
}

fn flush(tcp: &TcpStream, connection: &mut Connection) -> io::Result<Progress> {
    while connection.wants_write() {
        match connection.write_tls(&mut Nonblocking(tcp)) {
            Ok(_written) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
            Err(error) => return Err(error),
        }
    }
    Ok(Progress::Done)
}

/// The socket for those who read and write without knowing of tasks.
struct Nonblocking<'a>(&'a TcpStream);

impl Read for Nonblocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Nonblocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use rcgen::KeyPair;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
        SupportedProtocolVersion,
    };
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::protocol::{Code, Command, FRAME_LIMIT};
    use crate::socket::{Inbox, Outbox, ReadError};

    const SOON: Duration = Duration::from_secs(20);

    /// The two sides of a handshake that will succeed, client first.
    fn sides(version: &'static SupportedProtocolVersion) -> (Connection, Connection) {
        let key = KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        (
            ClientConnection::new(Arc::new(client), name).unwrap().into(),
            ServerConnection::new(Arc::new(server)).unwrap().into(),
        )
    }

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn streams(version: &'static SupportedProtocolVersion) -> (Stream, Stream) {
        let ((client, server), (near, far)) = (sides(version), sockets().await);
        let (client, server) = tokio::join!(
            Stream::handshake(near, client, BytesMut::new()),
            Stream::handshake(far, server, BytesMut::new())
        );
        (client.unwrap(), server.unwrap())
    }

    /// Frames of these sizes, each with its number in it.
    fn frames(sizes: &[usize]) -> Vec<Command> {
        let one = |(at, size): (usize, &usize)| {
            let body = vec![u8::try_from(at % 251).unwrap(); *size];
            Command::request(Code(10), i32::try_from(at).unwrap()).with_body(Bytes::from(body))
        };
        sizes.iter().enumerate().map(one).collect()
    }

    /// Writes all of it as a session does: as much as is taken, then when there is room again.
    async fn send(stream: &Stream, commands: &[Command]) {
        let mut outbox = Outbox::default();
        for command in commands {
            outbox.push(command.encode().unwrap());
        }
        while outbox.flush(stream).unwrap() == Progress::Blocked {
            stream.writable().await.unwrap();
        }
        assert!(outbox.is_empty());
    }

    async fn receive(stream: &Stream, commands: &[Command]) {
        let mut inbox = Inbox::new(FRAME_LIMIT);
        for expected in commands {
            let frame = loop {
                if let Some(frame) = inbox.next_frame().unwrap() {
                    break frame;
                }
                stream.readable().await.unwrap();
                inbox.fill(stream).unwrap();
            };
            let command = Command::decode(&frame).unwrap();
            assert_eq!(command.opaque, expected.opaque);
            assert!(
                command.body == expected.body,
                "frame {} comes whole",
                expected.opaque
            );
        }
    }

    #[tokio::test]
    async fn frames_of_all_sizes_cross_both_ways_at_once() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (client, server) = streams(version).await;
            let sizes = [0, 1, 16_300, 16_384, 16_385, 70_000, 5, 5_000_000, 0, 300_000];
            let commands = frames(&sizes);
            let both = async {
                tokio::join!(
                    send(&client, &commands),
                    send(&server, &commands),
                    receive(&client, &commands),
                    receive(&server, &commands)
                )
            };
            timeout(SOON, both)
                .await
                .expect("neither side waits for the other for ever");
        }
    }

    #[tokio::test]
    async fn many_small_frames_in_one_record_are_all_found() {
        let (client, server) = streams(&rustls::version::TLS13).await;
        let commands = frames(&vec![3; 2_000]);
        let both = async { tokio::join!(send(&client, &commands), receive(&server, &commands)) };
        timeout(SOON, both)
            .await
            .expect("nothing stays behind in the record");
    }

    #[tokio::test]
    async fn what_came_with_the_handshake_is_not_lost() {
        // A client of TLS 1.3 sends its first command together with the end of its handshake.
        let ((client, server), (near, far)) = (sides(&rustls::version::TLS13), sockets().await);
        let commands = frames(&[100]);
        let (sent, ()) = tokio::join!(
            async {
                let client = Stream::handshake(near, client, BytesMut::new()).await.unwrap();
                send(&client, &commands).await;
                client
            },
            async {
                far.readable().await.unwrap();
                let mut first = BytesMut::with_capacity(64);
                far.try_read_buf(&mut first).unwrap();
                assert!(!first.is_empty());
                let server = Stream::handshake(far, server, first).await.unwrap();
                timeout(SOON, receive(&server, &commands)).await.unwrap();
            }
        );
        assert!(sent.is_tls());
    }

    #[tokio::test]
    async fn the_end_is_the_end_said_or_not() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for says_goodbye in [true, false] {
                let (client, server) = streams(version).await;
                send(&client, &frames(&[10])).await;
                if says_goodbye {
                    client.close_write().unwrap();
                } else {
                    client.options().shutdown(std::net::Shutdown::Write).unwrap();
                }
                receive(&server, &frames(&[10])).await;
                let mut inbox = Inbox::new(FRAME_LIMIT);
                let end = async {
                    loop {
                        server.readable().await.unwrap();
                        match inbox.fill(&server) {
                            Err(ReadError::Closed) => return,
                            other => assert!(!other.unwrap(), "nothing comes any more"),
                        }
                    }
                };
                timeout(SOON, end).await.expect("the end is seen");
                // The other way is still open.
                let answer = frames(&[70_000]);
                let both = async { tokio::join!(send(&server, &answer), receive(&client, &answer)) };
                timeout(SOON, both).await.expect("answers still go out");
            }
        }
    }

    #[tokio::test]
    async fn records_that_are_none_are_an_error() {
        let (client, server) = streams(&rustls::version::TLS13).await;
        client.tcp.writable().await.unwrap();
        client.tcp.try_write(&[0x17, 3, 3, 0, 4, 1, 2, 3, 4]).unwrap();
        let mut buffer = BytesMut::with_capacity(100);
        let error = async {
            loop {
                server.readable().await.unwrap();
                match server.try_read_buf(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
        };
        let error = timeout(SOON, error).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_blocks_without_growth() {
        let (client, server) = streams(&rustls::version::TLS13).await;
        let mut outbox = Outbox::default();
        for command in frames(&[16_000_000]) {
            outbox.push(command.encode().unwrap());
        }
        let full = outbox.len();
        assert_eq!(outbox.flush(&server).unwrap(), Progress::Blocked);
        assert_eq!(outbox.flush(&server).unwrap(), Progress::Blocked, "and again");
        assert!(
            outbox.len() > 4 << 20,
            "TLS keeps a buffer's worth of {full} bytes at most"
        );
        let commands = frames(&[16_000_000]);
        let both = async {
            tokio::join!(receive(&client, &commands), async {
                while outbox.flush(&server).unwrap() == Progress::Blocked {
                    server.writable().await.unwrap();
                }
            })
        };
        timeout(SOON, both).await.expect("it goes on where it stopped");
    }
}
