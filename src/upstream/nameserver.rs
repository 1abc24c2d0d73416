//! Asking name servers: one connection, several addresses, fail-over in order, a deadline on every call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as TurnMutex, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::{Connection, DialError, Dialler, Peer};
use crate::protocol::{Command, Frame, Head};
use crate::socket::{Inbox, Outbox, Progress, ReadError};

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
    dialler: Arc<Dialler>,
    /// The connection in use. One dial at a time.
    current: TurnMutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    /// The connection, with the address it goes to.
    used: Option<(String, Arc<Channel>)>,
    /// The address that the next dial begins with comes after this one, which failed.
    after: Option<String>,
}

/// One open connection; answers find their callers by opaque.
#[derive(Debug)]
struct Channel {
    connection: Connection,
    calls: Mutex<Calls>,
}

/// Why a call has no answer.
#[derive(Debug)]
enum Trouble {
    /// The connection was lost, perhaps long ago: the same name server may answer on another.
    Lost(String),
    /// Nothing came in time: the same name server would let everybody wait once more.
    Silent(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) | Self::Silent(what) => f.write_str(what),
        }
    }
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
    pub fn new(addresses: Vec<String>, dialler: Arc<Dialler>) -> Self {
        Self {
            addresses: ArcSwap::from_pointee(addresses),
            dialler,
            current: TurnMutex::default(),
        }
    }

    /// Replaces the addresses; the connection in use is kept while its address stays.
    pub fn set_addresses(&self, addresses: Vec<String>) {
        self.addresses.store(Arc::new(addresses));
    }

    /// How the connections are opened.
    pub fn dialler(&self) -> &Arc<Dialler> {
        &self.dialler
    }

    /// Asks one name server, the next when it does not answer, and so on once round. One whose connection was lost is
    /// asked once more, since it may have been closed while idle.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the answer; the request may still reach the name server.
    pub async fn call(&self, command: &Command) -> Result<Command, NameServerError> {
        let addresses = self.addresses.load_full();
        let mut tried = Vec::new();
        let mut lost = Vec::new();
        let mut done = Vec::new();
        for _ in 0..=addresses.len() {
            let left: Vec<&String> = addresses.iter().filter(|a| !done.contains(*a)).collect();
            let Some((address, channel)) = self.channel(&left, &mut tried).await else {
                break;
            };
            let trouble = match channel.call(command).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            debug!(peer = address, error = %trouble, "asking the next name server");
            channel.connection.life.lost(&trouble.to_string());
            tried.push(format!("{address}: {trouble}"));
            self.give_up(&address, &channel).await;
            if matches!(trouble, Trouble::Silent(_)) || lost.contains(&address) {
                done.push(address);
            } else {
                lost.push(address);
            }
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
            match self.open(address).await {
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

    /// The connection is used no more; the next dial begins after its address.
    async fn give_up(&self, address: &str, channel: &Arc<Channel>) {
        let mut current = self.current.lock().await;
        let is_used = |(_, used): &(String, Arc<Channel>)| Arc::ptr_eq(used, channel);
        if current.used.as_ref().is_some_and(is_used) {
            *current = Current {
                used: None,
                after: Some(address.to_owned()),
            };
        }
    }

    /// The open connection if it goes to one of these addresses, or a new one to the first of them that takes it.
    async fn channel(&self, left: &[&String], tried: &mut Vec<String>) -> Option<(String, Arc<Channel>)> {
        let mut current = self.current.lock().await;
        if let Some((address, channel)) = &current.used
            && left.contains(&address)
            && !channel.calls().closed
        {
            return Some((address.clone(), Arc::clone(channel)));
        }
        let after = current
            .after
            .as_ref()
            .and_then(|a| left.iter().position(|b| *b == a));
        let start = after.map_or(0, |at| at.saturating_add(1));
        for address in left.iter().cycle().skip(start).take(left.len()) {
            match self.open(address).await {
                Ok(channel) => {
                    let opened = ((*address).clone(), channel);
                    current.used = Some(opened.clone());
                    return Some(opened);
                }
                Err(what) => {
                    debug!(peer = *address, error = %what, "name server cannot be reached");
                    tried.push(format!("{address}: {what}"));
                }
            }
        }
        None
    }

    async fn open(&self, address: &str) -> Result<Arc<Channel>, DialError> {
        let peer = Peer::name_server(address);
        let channel = Arc::new(Channel {
            connection: self.dialler.connect(&peer, CONNECT_LIMIT, None).await?,
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

    async fn call(&self, command: &Command) -> Result<Command, Trouble> {
        let lost = |error: std::io::Error| Trouble::Lost(error.to_string());
        let answer = self.send(command).map_err(Trouble::Lost)?;
        let socket = &self.connection.stream;
        loop {
            let progress = { self.calls().outbox.flush(socket) };
            match progress.map_err(lost)? {
                Progress::Done => break,
                Progress::Blocked => timeout(ANSWER_LIMIT, socket.writable())
                    .await
                    .map_err(|_elapsed| Trouble::Silent("takes no bytes".to_owned()))?
                    .map_err(lost)?,
            }
        }
        let frame = timeout(ANSWER_LIMIT, answer)
            .await
            .map_err(|_elapsed| Trouble::Silent(format!("no answer within {ANSWER_LIMIT:?}")))?
            .map_err(|_closed| Trouble::Lost("connection lost".to_owned()))?;
        Command::decode(&frame).map_err(|error| Trouble::Silent(error.to_string()))
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
        if timeout(Duration::from_secs(10), channel.connection.stream.readable())
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
            channel.connection.life.lost(&error.to_string());
            let mut calls = channel.calls();
            calls.closed = true;
            calls.open.clear();
            return;
        }
    }
}

fn deliver(channel: &Channel, inbox: &mut Inbox) -> Result<(), ReadError> {
    while inbox.fill(&channel.connection.stream)? {
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
