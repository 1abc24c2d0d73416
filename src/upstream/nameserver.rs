//! Asking name servers: one connection, several addresses, fail-over in order, a deadline on every call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as TurnMutex, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::dial;
use crate::protocol::{Command, Frame, Head};
use crate::socket::{Inbox, Outbox, Progress, ReadError, Stream};

/// How long one name server may take for one answer before the next is asked.
const ANSWER_LIMIT: Duration = Duration::from_millis(1_200);
/// How long opening a connection to one name server may take.
const CONNECT_LIMIT: Duration = Duration::from_millis(800);
/// Answers of name servers are small; a route of thousands of brokers stays far below.
const FRAME_LIMIT: usize = 16 << 20;

/// No name server answered.
#[derive(Debug, Clone)]
pub struct NameServerError {
    /// What each said, in the order asked.
    tried: String,
}

impl fmt::Display for NameServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no name server answered: {}", self.tried)
    }
}

impl std::error::Error for NameServerError {}

/// The name servers of one cluster. Cheap to share; every call is answered or fails within a few seconds.
#[derive(Debug)]
pub struct NameServers {
    addresses: ArcSwap<Vec<String>>,
    /// The connection in use, with the address it goes to. One dial at a time.
    current: TurnMutex<Option<(String, Arc<Channel>)>>,
}

/// One open connection; answers find their callers by opaque.
#[derive(Debug)]
struct Channel {
    socket: Stream,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    outbox: Outbox,
    open: HashMap<i32, oneshot::Sender<Frame>>,
    next: i32,
    closed: bool,
}

impl NameServers {
    /// Name servers at these addresses, asked in this order.
    pub fn new(addresses: Vec<String>) -> Self {
        Self {
            addresses: ArcSwap::from_pointee(addresses),
            current: TurnMutex::new(None),
        }
    }

    /// Replaces the addresses; the connection in use is kept while its address stays.
    pub fn set_addresses(&self, addresses: Vec<String>) {
        self.addresses.store(Arc::new(addresses));
    }

    /// Asks one name server, the next when it does not answer, and so on once round.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the answer; the request may still reach the name server.
    pub async fn call(&self, command: &Command) -> Result<Command, NameServerError> {
        let addresses = self.addresses.load_full();
        let mut tried = Vec::new();
        // Once more than there are addresses: the connection in use may have been closed while idle.
        for _ in 0..=addresses.len() {
            if let Some(answer) = self.call_current(&addresses, command, &mut tried).await {
                return Ok(answer);
            }
            debug!(tried = ?tried.last(), "asking the next name server");
        }
        Err(NameServerError {
            tried: tried.join("; "),
        })
    }

    /// Asks every name server; the first failing answer, else the last one. For commands that change something.
    pub async fn call_every(&self, command: &Command) -> Result<Command, NameServerError> {
        let mut tried = Vec::new();
        let mut last = None;
        for address in self.addresses.load_full().iter() {
            match Self::open(address).await {
                Ok(channel) => match channel.call(command).await {
                    Ok(answer) if answer.code.0 != 0 => return Ok(answer),
                    Ok(answer) => last = Some(answer),
                    Err(what) => tried.push(format!("{address}: {what}")),
                },
                Err(what) => tried.push(format!("{address}: {what}")),
            }
        }
        match (last, tried.is_empty()) {
            (Some(answer), true) => Ok(answer),
            _ => Err(NameServerError {
                tried: tried.join("; "),
            }),
        }
    }

    async fn call_current(
        &self,
        all: &[String],
        command: &Command,
        tried: &mut Vec<String>,
    ) -> Option<Command> {
        let (address, channel) = self.channel(all, tried).await?;
        match channel.call(command).await {
            Ok(answer) => Some(answer),
            Err(what) => {
                tried.push(format!("{address}: {what}"));
                let mut current = self.current.lock().await;
                if current
                    .as_ref()
                    .is_some_and(|(_, used)| Arc::ptr_eq(used, &channel))
                {
                    *current = None;
                    // The next dial starts after the address that failed.
                    let start = all
                        .iter()
                        .position(|a| *a == address)
                        .map_or(0, |at| at.saturating_add(1));
                    *current = Self::open_from(all, start, tried).await;
                }
                None
            }
        }
    }

    /// The open connection, or a new one to the first address that takes it.
    async fn channel(&self, all: &[String], tried: &mut Vec<String>) -> Option<(String, Arc<Channel>)> {
        let mut current = self.current.lock().await;
        let usable = current
            .as_ref()
            .is_some_and(|(address, channel)| all.contains(address) && !channel.calls().closed);
        if !usable {
            *current = Self::open_from(all, 0, tried).await;
        }
        current.clone()
    }

    async fn open_from(
        all: &[String],
        start: usize,
        tried: &mut Vec<String>,
    ) -> Option<(String, Arc<Channel>)> {
        for address in all.iter().cycle().skip(start).take(all.len()) {
            match Self::open(address).await {
                Ok(channel) => return Some((address.clone(), channel)),
                Err(what) => {
                    debug!(peer = address, error = %what, "name server cannot be reached");
                    tried.push(format!("{address}: {what}"));
                }
            }
        }
        None
    }

    async fn open(address: &str) -> std::io::Result<Arc<Channel>> {
        let socket = dial(address, CONNECT_LIMIT).await?;
        let channel = Arc::new(Channel {
            socket,
            calls: Mutex::default(),
        });
        // The reader holds the only other reference while calls are open; it ends with the socket.
        tokio::spawn(read(Arc::downgrade(&channel)));
        Ok(channel)
    }
}

impl Channel {
    fn calls(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, command: &Command) -> Result<Command, String> {
        let answer = self.send(command)?;
        loop {
            let progress = { self.calls().outbox.flush(&self.socket) };
            match progress.map_err(|error| error.to_string())? {
                Progress::Done => break,
                Progress::Blocked => timeout(ANSWER_LIMIT, self.socket.writable())
                    .await
                    .map_err(|_elapsed| "takes no bytes".to_owned())?
                    .map_err(|error| error.to_string())?,
            }
        }
        let frame = timeout(ANSWER_LIMIT, answer)
            .await
            .map_err(|_elapsed| format!("no answer within {ANSWER_LIMIT:?}"))?
            .map_err(|_closed| "connection lost".to_owned())?;
        Command::decode(&frame).map_err(|error| error.to_string())
    }

    fn send(&self, command: &Command) -> Result<oneshot::Receiver<Frame>, String> {
        let mut calls = self.calls();
        if calls.closed {
            return Err("connection lost".to_owned());
        }
        calls.next = calls.next.wrapping_add(1);
        let mut command = command.clone();
        command.opaque = calls.next;
        let frame = command.encode().map_err(|error| error.to_string())?;
        let (sender, receiver) = oneshot::channel();
        calls.open.retain(|_, caller| !caller.is_closed());
        calls.open.insert(command.opaque, sender);
        calls.outbox.push(frame);
        Ok(receiver)
    }
}

/// Reads answers until the connection ends or nobody holds it any more.
async fn read(channel: std::sync::Weak<Channel>) {
    let mut inbox = Inbox::new(FRAME_LIMIT);
    while let Some(channel) = channel.upgrade() {
        // Wakes up now and then to see whether anybody still holds the connection.
        if timeout(Duration::from_secs(10), channel.socket.readable())
            .await
            .is_err()
        {
            if Arc::strong_count(&channel) == 1 {
                return;
            }
            continue;
        }
        if let Err(error) = deliver(&channel, &mut inbox) {
            debug!(%error, "name server connection ended");
            let mut calls = channel.calls();
            calls.closed = true;
            calls.open.clear();
            return;
        }
    }
}

fn deliver(channel: &Channel, inbox: &mut Inbox) -> Result<(), ReadError> {
    while inbox.fill(&channel.socket)? {
        while let Some(frame) = inbox.next_frame()? {
            let head = Head::scan(&frame)?;
            if head.is_response()
                && let Some(caller) = channel.calls().open.remove(&head.opaque)
            {
                // The caller may have given up meanwhile.
                drop(caller.send(frame));
            }
        }
    }
    Ok(())
}
