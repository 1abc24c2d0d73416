//! Every connection to a broker or a name server begins here: asked of its health, dialled, announced.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::announce::Caller;
use super::dial::{DialError, dial};
use super::health::{Health, Life, Peer};
use crate::config::Upstream;
use crate::socket::{Patience, Stream};

/// Opens connections as the settings say. Shared by all sessions and the name servers.
#[derive(Debug)]
pub struct Dialler {
    settings: ArcSwap<Upstream>,
    health: Health,
}

/// An open connection. Its peer counts as alive until this is dropped.
#[derive(Debug)]
pub struct Connection {
    /// The stream.
    pub stream: Stream,
    /// Its place among the connections to this peer.
    pub life: Life,
}

impl Dialler {
    /// Opens connections like this from now on.
    pub fn new(settings: Upstream) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings),
            health: Health::default(),
        }
    }

    /// Opens connections like this from now on; those that are open stay as they are.
    pub fn apply(&self, settings: Upstream) {
        self.settings.store(Arc::new(settings));
    }

    /// How brokers and name servers fare.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Connects to `peer` within `limit` in all. For a client's session, `caller` is whom the connection is for.
    ///
    /// # Errors
    /// The peer is not tried now, or each of its addresses failed; the error says what each said.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the attempt; nothing stays open.
    pub async fn connect(
        &self,
        peer: &Peer,
        limit: Duration,
        caller: Option<Caller>,
    ) -> Result<Connection, DialError> {
        let attempt = self
            .health
            .attempt(peer)
            .map_err(|refused| DialError::before(refused.to_string()))?;
        let settings = self.settings.load_full();
        let outcome = dial(&peer.address, limit, |address| {
            open(address, Arc::clone(&settings), caller)
        });
        match outcome.await {
            Ok(stream) => Ok(Connection {
                stream,
                life: attempt.succeeded(),
            }),
            Err(error) if error.is_ours() => {
                attempt.failed_here(&error.to_string());
                Err(error)
            }
            Err(error) => {
                attempt.failed(&error.to_string());
                Err(error)
            }
        }
    }
}

/// Opens one connection to one address.
async fn open(address: SocketAddr, settings: Arc<Upstream>, caller: Option<Caller>) -> io::Result<Stream> {
    let mut tcp = TcpStream::connect(address).await?;
    let patience = Patience {
        keep_alive: settings.keep_alive,
        user_timeout: settings.user_timeout,
    };
    patience.apply(&SockRef::from(&tcp))?;
    if let Some(caller) = caller
        && let Some(header) = caller.header(settings.proxy_protocol)?
    {
        tcp.write_all(&header).await?;
    }
    Ok(tcp.into())
}
