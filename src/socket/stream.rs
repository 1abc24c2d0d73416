//! One TCP connection, in clear or under TLS, read and written without waiting.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use rustls::Connection;
use socket2::SockRef;
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

    /// Waits until there may be something to read.
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
        self.tcp.readable().await
    }

    /// Waits until the socket may take bytes.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Reads once into the spare capacity of `buffer`; 0 when the peer has closed its side.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let Some(mut connection) = self.connection() else {
            return self.tcp.try_read_buf(buffer);
        };
        loop {
            match take_plaintext(&mut connection, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Closed without saying so: frames have lengths, so nothing can be cut off unnoticed.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if connection.read_tls(&mut Nonblocking(&self.tcp))? == 0 {
                return Ok(0);
            }
            process(&self.tcp, &mut connection)?;
        }
    }

    /// Writes once, as much as is taken without waiting. What TLS keeps of it goes with [`Stream::try_flush`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing is taken.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(mut connection) = self.connection() else {
            return self.tcp.try_write_vectored(slices);
        };
        if flush(&self.tcp, &mut connection)? == Progress::Blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = connection.writer().write_vectored(slices)?;
        flush(&self.tcp, &mut connection)?;
        Ok(written)
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
