//! One client's connection: frames in, answers and pushes out, and the requests that still wait for something.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};

use super::request::{Reply, Request};
use super::store::lock;
use crate::protocol::{Command, FLAG_ONEWAY, FRAME_LIMIT, Frame, Head};

/// Pushes that may wait for a client that does not read; further ones are lost, as a real broker loses them after 10 ms.
const PUSHES: usize = 1024;
/// Long polls one connection may have waiting; further ones end at once, as at their deadline.
const WAITING: usize = 4096;
/// Answers are written when this many bytes have gathered, or when the bytes read so far are used up.
const WRITE_AT: usize = 1 << 20;
const READ_SIZE: usize = 64 << 10;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What listens: the name server or a broker.
pub(super) trait Service: Send + Sync + 'static {
    /// Carries out one request. Runs on the connection's task: it must not block.
    fn handle(self: &Arc<Self>, request: &Request<'_>) -> Reply;
    /// A client has connected.
    fn opened(&self) {}
    /// It is gone.
    fn closed(&self, _peer: &Peer) {}
}

/// A connected client, as far as others may reach it.
#[derive(Debug)]
pub(super) struct Peer {
    id: u64,
    /// Its address.
    pub(super) remote: SocketAddr,
    pushes: mpsc::Sender<Frame>,
    calls: Mutex<HashMap<i32, oneshot::Sender<Command>>>,
    opaque: AtomicI32,
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Peer {
    /// Sends a one-way request to the client; false when it is gone or does not read.
    pub(super) fn push(&self, mut command: Command) -> bool {
        command.opaque = self.opaque.fetch_add(1, Ordering::Relaxed);
        command.flag |= FLAG_ONEWAY;
        self.put(&command)
    }

    /// Asks the client and waits for its answer; `None` when it is gone or silent for longer than `limit`.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the call.
    pub(super) async fn call(&self, mut command: Command, limit: Duration) -> Option<Command> {
        let opaque = self.opaque.fetch_add(1, Ordering::Relaxed);
        command.opaque = opaque;
        let (answer, answered) = oneshot::channel();
        let _forget = Forget { peer: self, opaque };
        lock(&self.calls).insert(opaque, answer);
        if !self.put(&command) {
            return None;
        }
        tokio::time::timeout(limit, answered).await.ok()?.ok()
    }

    fn put(&self, command: &Command) -> bool {
        command
            .encode()
            .is_ok_and(|frame| self.pushes.try_send(frame).is_ok())
    }

    fn answered(&self, frame: &Frame, head: &Head) {
        let Some(waiting) = lock(&self.calls).remove(&head.opaque) else {
            return;
        };
        if let Ok(command) = Command::decode(frame) {
            // The asker may have given up meanwhile.
            waiting.send(command).ok();
        }
    }
}

struct Forget<'a> {
    peer: &'a Peer,
    opaque: i32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.peer.calls).remove(&self.opaque);
    }
}

/// Accepts connections until `stop` says so, then ends them all.
pub(super) async fn listen<S: Service>(
    service: Arc<S>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    let stopping = stop.clone();
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    clients.spawn(serve(Arc::clone(&service), stream, remote, stopping.clone()));
                }
                // Out of descriptors, most likely: wait for some to be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// Waits until everything is to end; also when nobody is left to say so.
///
/// # Cancel safety
/// Nothing is lost when the future is dropped.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the cluster was dropped.
    stop.wait_for(|stop| *stop).await.ok();
}

async fn serve<S: Service>(
    service: Arc<S>,
    stream: TcpStream,
    remote: SocketAddr,
    mut stop: watch::Receiver<bool>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (pushes, inbox) = mpsc::channel(PUSHES);
    let peer = Arc::new(Peer {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        remote,
        pushes,
        calls: Mutex::default(),
        opaque: AtomicI32::new(0),
    });
    service.opened();
    let mut connection = Connection {
        stream,
        inbox,
        out: BytesMut::new(),
        waiting: JoinSet::new(),
        gone: Gone { service, peer },
    };
    tokio::select! {
        () = stopped(&mut stop) => {}
        _ended = connection.run() => {}
    }
    connection.waiting.shutdown().await;
}

/// Tells the service that the client is gone, also when the task is aborted.
struct Gone<S: Service> {
    service: Arc<S>,
    peer: Arc<Peer>,
}

impl<S: Service> Drop for Gone<S> {
    fn drop(&mut self) {
        self.service.closed(&self.peer);
    }
}

struct Connection<S: Service> {
    stream: TcpStream,
    inbox: mpsc::Receiver<Frame>,
    out: BytesMut,
    waiting: JoinSet<Option<Frame>>,
    gone: Gone<S>,
}

impl<S: Service> Connection<S> {
    async fn run(&mut self) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(READ_SIZE);
        loop {
            tokio::select! {
                read = self.stream.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.take(&mut input).await?;
                }
                Some(frame) = self.inbox.recv() => put(&mut self.out, frame),
                Some(done) = self.waiting.join_next() => self.finished(done),
            }
            while let Ok(frame) = self.inbox.try_recv() {
                put(&mut self.out, frame);
            }
            while let Some(done) = self.waiting.try_join_next() {
                self.finished(done);
            }
            self.write().await?;
        }
    }

    async fn take(&mut self, input: &mut BytesMut) -> io::Result<()> {
        while let Some(frame) = Frame::split(input, FRAME_LIMIT).map_err(io::Error::other)? {
            let head = Head::scan(&frame).map_err(io::Error::other)?;
            self.one(&frame, &head);
            if self.out.len() >= WRITE_AT {
                self.write().await?;
            }
        }
        let total = Frame::total(input, FRAME_LIMIT).map_err(io::Error::other)?;
        input.reserve(total.map_or(READ_SIZE, |total| {
            total.saturating_sub(input.len()).max(READ_SIZE)
        }));
        Ok(())
    }

    fn one(&mut self, frame: &Frame, head: &Head) {
        if head.is_response() {
            self.gone.peer.answered(frame, head);
            return;
        }
        let request = Request {
            frame,
            head,
            fields: head.fields(frame),
            peer: &self.gone.peer,
            may_wait: self.waiting.len() < WAITING,
        };
        match self.gone.service.handle(&request) {
            Reply::Now(command) if !head.is_oneway() => {
                if let Ok(frame) = command.encode() {
                    put(&mut self.out, frame);
                }
            }
            Reply::Now(_) => {}
            Reply::Later(work) => self.wait(work, head.is_oneway()),
        }
    }

    fn wait(&mut self, work: Pin<Box<dyn Future<Output = Command> + Send>>, oneway: bool) {
        self.waiting.spawn(async move {
            let command = work.await;
            if oneway { None } else { command.encode().ok() }
        });
    }

    fn finished(&mut self, done: Result<Option<Frame>, JoinError>) {
        if let Ok(Some(frame)) = done {
            put(&mut self.out, frame);
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.stream.write_all(&self.out).await?;
        if self.out.capacity() > WRITE_AT {
            self.out = BytesMut::new();
        } else {
            self.out.clear();
        }
        Ok(())
    }
}

fn put(out: &mut BytesMut, frame: Frame) {
    for chunk in frame.into_chunks() {
        out.put_slice(&chunk);
    }
}
