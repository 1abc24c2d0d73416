//! One end of a connection that does what the test says, and the brokers made of such ends.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use gimbal::protocol::{Code, Command, FLAG_RESPONSE, FRAME_LIMIT, Frame, Head, request, response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::tls::Wire;

/// Every wait ends here at the latest, with a failure.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A command as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) frame: Frame,
    pub(crate) head: Head,
    pub(crate) command: Command,
}

impl Received {
    pub(crate) fn new(frame: Frame) -> Self {
        let head = Head::scan(&frame).unwrap();
        let command = Command::decode(&frame).unwrap();
        Self { frame, head, command }
    }

    /// The value of an ext field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.command.field(name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.command.body.to_vec()).unwrap()
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: Wire,
    input: BytesMut,
    who: String,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream, who: impl Into<String>) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::over(Wire::Clear(stream), who)
    }

    pub(crate) fn over(stream: Wire, who: impl Into<String>) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            who: who.into(),
        }
    }

    /// The address of this end.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.tcp().local_addr().unwrap()
    }

    /// Shakes hands as a server on what was in clear so far.
    pub(crate) async fn under_tls(self, server: &tokio_rustls::TlsAcceptor) -> std::io::Result<Self> {
        assert!(self.input.is_empty(), "{}: unread input", self.who);
        let Wire::Clear(tcp) = self.stream else {
            panic!("{}: under TLS already", self.who);
        };
        let tls = timeout(SOON, server.accept(tcp)).await.unwrap()?;
        Ok(Self::over(Wire::Served(Box::new(tls)), self.who))
    }

    /// The next bytes, whatever they are.
    pub(crate) async fn raw(&mut self, count: usize) -> Vec<u8> {
        // Not a byte more: what follows may be for somebody else.
        let fill = async {
            while self.input.len() < count {
                let mut piece = vec![0; count - self.input.len()];
                let read = self.stream.read(&mut piece).await.unwrap();
                assert_ne!(read, 0, "closed");
                self.input.extend_from_slice(&piece[..read]);
            }
        };
        timeout(SOON, fill)
            .await
            .unwrap_or_else(|_| panic!("{}: fewer than {count} bytes came", self.who));
        self.input.split_to(count).to_vec()
    }

    /// The next frame, or `None` when the other side has closed.
    pub(crate) async fn next_or_end(&mut self) -> Option<Received> {
        let next = async {
            loop {
                if let Some(frame) = Frame::split(&mut self.input, FRAME_LIMIT).unwrap() {
                    return Some(Received::new(frame));
                }
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        timeout(SOON, next)
            .await
            .unwrap_or_else(|_| panic!("{}: nothing came in {SOON:?}", self.who))
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Received {
        let who = self.who.clone();
        self.next_or_end()
            .await
            .unwrap_or_else(|| panic!("{who}: closed instead of sending"))
    }

    /// The next frame, which must be a request with this code.
    pub(crate) async fn expect(&mut self, code: Code) -> Received {
        let received = self.next().await;
        assert_eq!(
            (received.head.code, received.head.is_response()),
            (code, false),
            "{}: {:?}",
            self.who,
            received.command
        );
        received
    }

    /// The next frame, which must be the answer to this opaque.
    pub(crate) async fn expect_answer(&mut self, opaque: i32) -> Received {
        let received = self.next().await;
        assert_eq!(
            (received.head.opaque, received.head.is_response()),
            (opaque, true),
            "{}: {:?}",
            self.who,
            received.command
        );
        received
    }

    /// The other side closes without saying anything more.
    pub(crate) async fn expect_end(&mut self) {
        let who = self.who.clone();
        if let Some(received) = self.next_or_end().await {
            panic!("{who}: expected the end, got {:?}", received.command);
        }
    }

    /// Whether the other side stays silent and open for `how_long`.
    pub(crate) async fn is_quiet(&mut self, how_long: Duration) -> bool {
        assert!(self.input.is_empty(), "{}: unread input", self.who);
        timeout(how_long, self.stream.read_buf(&mut self.input))
            .await
            .is_err()
    }

    pub(crate) async fn put(&mut self, command: &Command) {
        self.put_bytes(&command.encode().unwrap().to_bytes()).await;
    }

    /// Writes a command to somebody who may be gone.
    pub(crate) async fn try_put(&mut self, command: &Command) -> std::io::Result<()> {
        self.stream
            .write_all(&command.encode().unwrap().to_bytes())
            .await?;
        self.stream.flush().await
    }

    pub(crate) async fn put_bytes(&mut self, bytes: &[u8]) {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(SOON, write)
            .await
            .unwrap_or_else(|_| panic!("{}: the other side takes no bytes", self.who))
            .unwrap();
    }

    /// Writes bytes beneath TLS.
    pub(crate) async fn put_raw(&mut self, bytes: &[u8]) {
        let tcp = self.stream.tcp();
        tcp.writable().await.unwrap();
        assert_eq!(tcp.try_write(bytes).unwrap(), bytes.len());
    }

    /// Both directions, for doing things at once.
    pub(crate) fn split(self) -> (ReadHalf<Wire>, WriteHalf<Wire>) {
        tokio::io::split(self.stream)
    }

    /// Writes until the other side takes no more for `quiet`, or `most` bytes are out; how many were.
    pub(crate) async fn put_until_stuck(&mut self, bytes: &[u8], quiet: Duration, most: usize) -> usize {
        let mut written = 0;
        let mut at = 0;
        while written < most {
            match timeout(quiet, self.stream.write(&bytes[at..])).await {
                Ok(taken) => {
                    let taken = taken.unwrap();
                    written += taken;
                    at = (at + taken) % bytes.len();
                }
                Err(_) => break,
            }
        }
        written
    }

    /// Answers a request with a code and nothing else.
    pub(crate) async fn answer(&mut self, asked: &Received, code: Code) {
        self.answer_with(asked, Command::answer(&asked.head, asked.frame.kind(), code))
            .await;
    }

    /// Answers a request with this command, whose opaque and flag are put right.
    pub(crate) async fn answer_with(&mut self, asked: &Received, mut answer: Command) {
        answer.opaque = asked.head.opaque;
        answer.flag |= FLAG_RESPONSE;
        self.put(&answer).await;
    }

    /// Takes the heartbeat that opens a link and answers it.
    pub(crate) async fn greet(&mut self) -> Received {
        let beat = self.expect(request::HEART_BEAT).await;
        self.answer(&beat, response::SUCCESS).await;
        beat
    }

    /// Closes with a reset, as a killed process with unread bytes does.
    pub(crate) fn reset(self) {
        self.stream.tcp().set_zero_linger().unwrap();
    }

    /// The bytes that come until the other side has said its last.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = self.input.split().to_vec();
        timeout(SOON, self.stream.read_to_end(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        bytes
    }

    /// Exactly so many bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        let read = async {
            while self.input.len() < length {
                assert!(
                    self.stream.read_buf(&mut self.input).await.unwrap() > 0,
                    "{}: closed",
                    self.who
                );
            }
        };
        timeout(SOON, read)
            .await
            .unwrap_or_else(|_| panic!("{}: not so many bytes came", self.who));
        self.input.split_to(length).to_vec()
    }

    /// Says that nothing more will be written.
    pub(crate) async fn shut(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

/// A broker that does nothing by itself.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

impl Broker {
    pub(crate) fn start(name: &str) -> Self {
        Self::at(name, "127.0.0.1:0".parse().unwrap())
    }

    /// A broker at a known address, where another was before.
    pub(crate) fn at(name: &str, address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(64).unwrap();
        Self {
            name: name.to_owned(),
            address: listener.local_addr().unwrap(),
            listener,
        }
    }

    /// The next link of the proxy.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = timeout(SOON, self.listener.accept())
            .await
            .unwrap_or_else(|_| panic!("{}: no link came in {SOON:?}", self.name))
            .unwrap();
        Peer::new(stream, self.name.clone())
    }

    /// The next link, its greeting taken.
    pub(crate) async fn accept_greeted(&self) -> Peer {
        let mut link = self.accept().await;
        link.greet().await;
        link
    }

    /// Whether nobody dials for `how_long`.
    pub(crate) async fn is_left_alone(&self, how_long: Duration) -> bool {
        timeout(how_long, self.listener.accept()).await.is_err()
    }
}
