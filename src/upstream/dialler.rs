//! Every connection to a broker or a name server begins here: asked of its health, dialled, announced.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tracing::{error, info, warn};

use super::announce::Caller;
use super::dial::{DialError, dial, split};
use super::health::{Health, Life, Peer};
use crate::config::Upstream;
use crate::socket::{Patience, Stream};
use crate::tls::{self, ClientTls, Looked, Problem};

/// Opens connections as the settings say. Shared by all sessions and the name servers.
#[derive(Debug)]
pub struct Dialler {
    manners: ArcSwap<Manners>,
    health: Health,
}

/// How connections are opened.
#[derive(Debug)]
struct Manners {
    settings: Upstream,
    tls: Option<Arc<ClientTls>>,
}

impl Manners {
    /// Those of these settings; what is the same in `old` looks at its files at once.
    fn new(settings: Upstream, old: Option<&Self>) -> Result<Self, Problem> {
        let tls = match &settings.tls {
            None => None,
            Some(wanted) => {
                let same = old.and_then(|old| old.tls.as_ref());
                match same.filter(|same| same.settings() == wanted) {
                    Some(same) => {
                        tell(&same.look(true));
                        Some(Arc::clone(same))
                    }
                    None => Some(Arc::new(ClientTls::new(wanted)?)),
                }
            }
        };
        Ok(Self { settings, tls })
    }
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
    /// Opens connections like this from now on. Blocks while it reads the files of TLS.
    ///
    /// # Errors
    /// A file of TLS cannot be used.
    pub fn new(settings: Upstream) -> Result<Self, Problem> {
        Ok(Self {
            manners: ArcSwap::from_pointee(Manners::new(settings, None)?),
            health: Health::default(),
        })
    }

    /// Opens connections like this from now on; those that are open stay as they are. When a file of TLS cannot be used,
    /// although it was checked a moment ago, nothing changes.
    pub fn apply(&self, settings: Upstream) {
        match Manners::new(settings, Some(&self.manners.load())) {
            Ok(manners) => self.manners.store(Arc::new(manners)),
            Err(problem) => error!(%problem, "the settings of upstream stay as they were"),
        }
    }

    /// Uses new certificates once their files have come to rest. Runs until dropped.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(tls::POLL).await;
            if let Some(tls) = self.manners.load().tls.clone() {
                let looked = tokio::task::spawn_blocking(move || tls.look(false)).await;
                looked.iter().for_each(tell);
            }
        }
    }

    /// What is known of the certificates; `None` in clear.
    pub fn certificates(&self) -> Option<Arc<tls::State>> {
        self.manners.load().tls.as_ref().map(|tls| tls.state())
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
        let manners = self.manners.load_full();
        let host: Arc<str> = split(&peer.address).map_or("", |(host, _)| host).into();
        let outcome = dial(&peer.address, limit, |address| {
            open(address, Arc::clone(&manners), Arc::clone(&host), caller.clone())
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
async fn open(
    address: SocketAddr,
    manners: Arc<Manners>,
    host: Arc<str>,
    caller: Option<Caller>,
) -> io::Result<Stream> {
    let mut tcp = TcpStream::connect(address).await?;
    let settings = &manners.settings;
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
    let Some(tls) = &manners.tls else {
        return Ok(tcp.into());
    };
    let shaken = Stream::handshake(tcp, tls.connection(&host)?, BytesMut::new()).await;
    shaken.map_err(|error| io::Error::new(error.kind(), format!("TLS: {error}")))
}

fn tell(looked: &Looked) {
    match looked {
        Looked::Same => {}
        Looked::Replaced => info!("new certificates towards brokers and name servers are in force"),
        Looked::Kept(problem) => {
            warn!(
                file = %problem.path.display(),
                "new certificates towards brokers and name servers cannot be used, so the old ones stay: {problem}"
            );
        }
    }
}
