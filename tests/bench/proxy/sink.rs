//! The sink: name server and broker in one process, one thread, answers made beforehand.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use gimbal::protocol::Kind;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::frames::Answers;

/// Bytes read at once; answers to what one read brings leave in one write.
const READ: usize = 256 << 10;
const NAME_SERVER: Token = Token(0);
const BROKER: Token = Token(1);

struct Peer {
    stream: TcpStream,
    /// The beginning of a request whose end has not come.
    rest: Vec<u8>,
    /// What the socket did not take.
    waiting: Vec<u8>,
}

struct Sink {
    json: Answers,
    binary: Answers,
    out: Vec<u8>,
}

/// Its two listeners, before it serves.
pub(crate) struct Doors {
    listeners: [TcpListener; 2],
}

impl Doors {
    /// Binds ports of the system's choice on loopback.
    pub(crate) fn bind() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listeners: [TcpListener::bind(any).unwrap(), TcpListener::bind(any).unwrap()],
        }
    }

    /// Where its name server and its broker listen.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        self.listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap())
    }
}

/// Serves until it is killed, and prints the addresses of its name server and its broker first.
pub(crate) fn run() {
    let doors = Doors::bind();
    let [nameserver, broker] = doors.addresses();
    println!("{nameserver} {broker}");
    serve(doors);
}

/// Serves for ever.
pub(crate) fn serve(doors: Doors) {
    let mut poll = Poll::new().unwrap();
    let broker = doors.addresses()[1].to_string();
    let mut doors = doors.listeners;
    for (door, token) in doors.iter_mut().zip([NAME_SERVER, BROKER]) {
        poll.registry().register(door, token, Interest::READABLE).unwrap();
    }
    let mut sink = Sink {
        json: Answers::new(Kind::Json, &broker),
        binary: Answers::new(Kind::Binary, &broker),
        out: Vec::with_capacity(READ * 2),
    };
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut scratch = vec![0; READ];
    let mut events = Events::with_capacity(1_024);
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
            continue;
        }
        for event in &events {
            let Token(token) = event.token();
            if token < doors.len() {
                while let Ok((mut stream, _)) = doors[token].accept() {
                    stream.set_nodelay(true).unwrap();
                    let at = free.pop().unwrap_or_else(|| {
                        peers.push(None);
                        peers.len() - 1
                    });
                    let token = Token(at + doors.len());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, token, interest).unwrap();
                    peers[at] = Some(Peer {
                        stream,
                        rest: Vec::new(),
                        waiting: Vec::new(),
                    });
                }
                continue;
            }
            let at = token - doors.len();
            let Some(peer) = peers[at].as_mut() else { continue };
            let mut open = !event.is_writable() || sink.flush(peer);
            if open && event.is_readable() {
                open = sink.serve(peer, &mut scratch);
            }
            if !open {
                peers[at] = None;
                free.push(at);
            }
        }
    }
}

impl Sink {
    /// Reads what there is and answers it; whether the connection goes on.
    fn serve(&mut self, peer: &mut Peer, scratch: &mut [u8]) -> bool {
        loop {
            let held = peer.rest.len();
            scratch[..held].copy_from_slice(&peer.rest);
            peer.rest.clear();
            let room = scratch.len() - held;
            let read = match peer.stream.read(&mut scratch[held..]) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    peer.rest.extend_from_slice(&scratch[..held]);
                    return true;
                }
                Err(_gone) => return false,
            };
            let mut bytes = &scratch[..held + read];
            while let Some(total) = total(bytes).filter(|total| *total <= bytes.len()) {
                self.answer(&bytes[..total]);
                bytes = &bytes[total..];
            }
            peer.rest.extend_from_slice(bytes);
            if !self.flush(peer) {
                return false;
            }
            // Less than there was room for: the socket is empty, and the next byte is an event.
            if read < room {
                return true;
            }
        }
    }

    fn answer(&mut self, frame: &[u8]) {
        let header_len = u32::from_be_bytes([0, frame[5], frame[6], frame[7]]) as usize;
        let header = &frame[8..8 + header_len];
        if frame[4] == 1 {
            let code = i32::from(i16::from_be_bytes([header[0], header[1]]));
            let oneway = header[12] & 2 != 0;
            if !oneway {
                self.binary.of(code, header).write(&header[5..9], &mut self.out);
            }
            return;
        }
        let code = number(header, b"\"code\":", false);
        let code = std::str::from_utf8(code).unwrap().parse().unwrap();
        let flag = number(header, b"\"flag\":", true);
        if flag != b"2" {
            let opaque = number(header, b"\"opaque\":", true);
            self.json.of(code, header).write(opaque, &mut self.out);
        }
    }

    /// Writes what waits and what was answered just now; whether the connection goes on.
    fn flush(&mut self, peer: &mut Peer) -> bool {
        let behind = !peer.waiting.is_empty();
        if behind {
            peer.waiting.append(&mut self.out);
        }
        let bytes = if behind { &peer.waiting } else { &self.out };
        let mut written = 0;
        while written < bytes.len() {
            match peer.stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_gone) => {
                    self.out.clear();
                    return false;
                }
            }
        }
        if behind {
            peer.waiting.drain(..written);
        } else {
            peer.waiting.extend_from_slice(&self.out[written..]);
            self.out.clear();
        }
        true
    }
}

/// How long the frame at the front is, once its length has come.
pub(crate) fn total(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*length) as usize + 4)
}

/// The digits after `key`, sought from the end or from the front.
fn number<'a>(header: &'a [u8], key: &[u8], from_end: bool) -> &'a [u8] {
    let mut places = header.windows(key.len());
    let at = if from_end {
        places.rposition(|part| part == key)
    } else {
        places.position(|part| part == key)
    };
    let rest = &header[at.map_or(0, |at| at + key.len())..];
    let len = rest
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'-')
        .count();
    &rest[..len]
}
