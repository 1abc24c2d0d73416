//! The admin listener's thread: it accepts, and serves what the rest of this room says.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::api::{Desk, router};
use super::connection::{Caller, Connection};
use super::guard::{Access, Guard, ReadToken};
use super::house::House;
use crate::tls::{Looked, POLL, ServerTls};

/// Connections at a time; above it, callers wait in the system's backlog.
const CONNECTIONS: usize = 256;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How to start.
#[derive(Debug)]
pub struct Options {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Who may ask.
    pub access: Access,
    /// Reads the file with the token.
    pub read_token: ReadToken,
    /// How to shake hands; `None` speaks in clear.
    pub tls: Option<ServerTls>,
}

/// Why the admin listener cannot start.
#[derive(Debug)]
pub enum StartError {
    /// Its address cannot be bound.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Its TLS cannot be used; why.
    Tls(String),
    /// Its token cannot be read; why.
    Token(String),
    /// The system gives no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } => {
                write!(f, "the admin listener cannot listen on {address}: {source}")
            }
            Self::Tls(what) => write!(f, "the admin listener's TLS: {what}"),
            Self::Token(what) => f.write_str(what),
            Self::Thread(error) => write!(f, "the admin listener gets no thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// The admin listener. Dropping it closes every connection to it.
#[derive(Debug)]
pub struct Server {
    bound: SocketAddr,
    guard: Arc<Guard>,
    stop: CancellationToken,
}

impl Server {
    /// Binds, and serves `house` from a thread of its own.
    pub fn start(options: Options, house: Arc<dyn House>) -> Result<Self, StartError> {
        let Options {
            bind,
            access,
            read_token,
            tls,
        } = options;
        let guard = Arc::new(Guard::new(access, read_token).map_err(StartError::Token)?);
        let failed = |source| StartError::Bind {
            address: bind,
            source,
        };
        let socket = StdListener::bind(bind).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let stop = CancellationToken::new();
        let (stopped, desk) = (stop.clone(), Desk::new(house, Arc::clone(&guard)));
        let thread = std::thread::Builder::new().name("gimbal-admin".to_owned());
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = serve(socket, tls.map(Arc::new), router(desk)) => {}
                }
            });
        };
        thread.spawn(work).map_err(StartError::Thread)?;
        Ok(Self { bound, guard, stop })
    }

    /// The bound address.
    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Other rules hold for who may ask, from the next request on.
    pub fn set_access(&self, access: Access) {
        self.guard.set(access);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(socket: StdListener, tls: Option<Arc<ServerTls>>, router: Router) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "the admin listener's socket cannot be used"),
    };
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let (sender, incoming) = mpsc::channel(1);
    if let Some(tls) = &tls {
        tokio::spawn(watch(Arc::clone(tls)));
    }
    tokio::spawn(accept(listener, tls, sender));
    let service = router.into_make_service_with_connect_info::<Caller>();
    if let Err(error) = axum::serve(Door { incoming, address }, service).await {
        error!(%error, "the admin listener has ended");
    }
}

type Accepted = (Connection, Caller);

/// Looks at the files of TLS again and again, and uses new ones.
async fn watch(tls: Arc<ServerTls>) {
    loop {
        tokio::time::sleep(POLL).await;
        let tls = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || tls.look(false)).await {
            Ok(Looked::Replaced) => info!("the admin listener shows new certificates"),
            Ok(Looked::Kept(problem)) => {
                warn!(error = %problem, "the admin listener keeps its old certificates");
            }
            Ok(Looked::Same) | Err(_) => {}
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<ServerTls>>, sender: mpsc::Sender<Accepted>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, peer)) => {
                let (sender, tls) = (sender.clone(), tls.clone());
                tokio::spawn(async move {
                    if let Some(accepted) = open(socket, tls, (peer, permit)).await {
                        // Nobody takes it when the listener has ended.
                        drop(sender.send(accepted).await);
                    }
                });
            }
            Err(error) => {
                warn!(%error, "the admin listener cannot accept; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn open(
    socket: TcpStream,
    tls: Option<Arc<ServerTls>>,
    (peer, permit): (SocketAddr, OwnedSemaphorePermit),
) -> Option<Accepted> {
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%peer, %error, "a connection to the admin listener failed at once");
        return None;
    }
    let mut caller = Caller {
        peer,
        has_certificate: false,
    };
    let Some(tls) = tls else {
        return Some((Connection::new(socket, permit), caller));
    };
    let shaking = TlsAcceptor::from(tls.config()).accept(socket);
    match timeout(HANDSHAKE, shaking).await {
        Ok(Ok(stream)) => {
            let (_, connection) = stream.get_ref();
            // One that is shown has been found good, or there would be no connection.
            caller.has_certificate = connection
                .peer_certificates()
                .is_some_and(|shown| !shown.is_empty());
            Some((Connection::new(stream, permit), caller))
        }
        Ok(Err(error)) => {
            debug!(%peer, %error, "a handshake with the admin listener failed");
            None
        }
        Err(_elapsed) => None,
    }
}

/// Connections that are ready to be served.
struct Door {
    incoming: mpsc::Receiver<Accepted>,
    address: SocketAddr,
}

impl Listener for Door {
    type Io = Connection;
    type Addr = Caller;

    async fn accept(&mut self) -> Accepted {
        match self.incoming.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(Caller {
            peer: self.address,
            has_certificate: false,
        })
    }
}

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}
