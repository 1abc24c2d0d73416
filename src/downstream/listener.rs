//! Listeners: a bound address with its per-broker ports, and the loops that accept on them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use super::accept::Backoff;
use super::admission::{Admission, Admitted, Gate};
use super::grpc::Upstream;
use super::handshakes::Handshakes;
use super::opening::{Openings, Rules};
use super::ports::{PortBook, PortFile, VIP_GAP, derived_range};
use crate::config::{Addressing, Listener as Settings};
use crate::session::{Core, Door, Place};
use crate::socket::Patience;
use crate::tls;
use crate::worker::Workers;

/// Connections the system holds while we are busy (as RocketMQ's servers).
const BACKLOG: i32 = 1_024;

/// Why a listener cannot start.
#[derive(Debug)]
pub enum ListenError {
    /// Its address cannot be bound.
    Bind {
        /// The listener's name.
        listener: String,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file that remembers its brokers' ports cannot be used.
    Ports(io::Error),
    /// A file of its TLS cannot be used.
    Tls(String, tls::Problem),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind {
                listener,
                address,
                source,
            } => {
                write!(f, "listener {listener}: cannot listen on {address}: {source}")
            }
            Self::Ports(error) => write!(f, "the ports of brokers cannot be read: {error}"),
            Self::Tls(listener, problem) => write!(f, "listener {listener}: {problem}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// What every listener of a proxy uses.
#[derive(Debug)]
pub struct Shared {
    /// What sessions share.
    pub core: Arc<Core>,
    /// The folder in which ports are remembered.
    pub state_dir: Option<PathBuf>,
    /// The threads that serve connections.
    pub workers: Workers,
    /// The runtime of the accept loops.
    pub runtime: Handle,
    /// Ends the accept loops.
    pub stop: CancellationToken,
    /// The accept loops.
    pub acceptors: TaskTracker,
    /// Every session.
    pub sessions: TaskTracker,
    /// Limits on connections.
    pub admission: Arc<Admission>,
    /// How connections opened.
    pub openings: Openings,
}

/// One listener, its broker ports included.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    settings: ArcSwap<Settings>,
    handshakes: ArcSwap<Handshakes>,
    bound: SocketAddr,
    /// Another listener takes the IPv4 clients of this port.
    only_v6: bool,
    ports: Mutex<Ports>,
    /// Its connections.
    gate: Arc<Gate>,
    /// For handing itself to the loops of ports opened later.
    this: std::sync::Weak<Self>,
}

#[derive(Debug)]
struct Ports {
    book: PortBook,
    file: PortFile,
    open: BTreeMap<String, u16>,
}

impl Listener {
    /// Binds the address and every broker port known so far, and starts accepting.
    pub fn start(settings: Settings, shared: &Arc<Shared>) -> Result<Arc<Self>, ListenError> {
        let failed = |source| ListenError::Bind {
            listener: settings.name.clone(),
            address: settings.bind,
            source,
        };
        let others = &shared.core.config.load().listeners;
        let only_v6 = others
            .iter()
            .any(|other| other.bind.is_ipv4() && other.bind.port() == settings.bind.port());
        let socket = bind(settings.bind, only_v6).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let range = settings
            .broker_ports
            .unwrap_or_else(|| derived_range(bound.port()));
        let file = PortFile::new(shared.state_dir.as_deref(), &settings.name, bound.port());
        let remembered = file.load().map_err(ListenError::Ports)?;
        let book = PortBook::new(range, settings.brokers.clone(), remembered);
        let known = book.all();
        let handshakes =
            Handshakes::new(&settings).map_err(|problem| ListenError::Tls(settings.name.clone(), problem))?;
        let listener = Arc::new_cyclic(|this| Self {
            shared: Arc::clone(shared),
            settings: ArcSwap::from_pointee(settings),
            handshakes: ArcSwap::from_pointee(handshakes),
            bound,
            only_v6,
            gate: Arc::default(),
            ports: Mutex::new(Ports {
                book,
                file,
                open: BTreeMap::new(),
            }),
            this: std::sync::Weak::clone(this),
        });
        listener.accept_on(socket, None);
        listener.open_vip(bound.port(), None);
        listener.open_ports(&known);
        listener.watch_files();
        Ok(listener)
    }

    /// The bound address.
    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// The ports that stand for one broker each and are open, by broker.
    pub fn open_broker_ports(&self) -> BTreeMap<String, u16> {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.open.clone()
    }

    /// What is known of its certificates towards clients; `None` without TLS.
    pub fn tls_state(&self) -> Option<Arc<tls::State>> {
        self.handshakes
            .load()
            .server
            .as_ref()
            .map(|server| server.state())
    }

    /// What is known of the certificates towards its gRPC upstream; `None` without TLS.
    pub fn grpc_tls_state(&self) -> Option<Arc<tls::State>> {
        self.handshakes.load().grpc.as_ref().map(|client| client.state())
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.shared.admission
    }

    pub(super) fn openings(&self) -> &Openings {
        &self.shared.openings
    }

    /// What is let in now.
    pub(super) fn rules(&self) -> Rules {
        let settings = self.settings.load();
        Rules {
            tls: self.handshakes.load().server.clone(),
            enforces_tls: settings.tls.as_ref().is_some_and(|tls| tls.is_enforced),
            proxy_protocol: settings.proxy_protocol.clone(),
            takes_http2: settings.grpc.is_some(),
        }
    }

    /// Where clients that speak gRPC go now.
    pub(super) fn grpc(&self) -> Option<Upstream> {
        let settings = self.settings.load().grpc.clone()?;
        let tls = self.handshakes.load().grpc.clone();
        Some(Upstream { settings, tls })
    }

    /// Looks at certificates and keys again and again, and uses new ones.
    fn watch_files(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let stop = self.shared.stop.clone();
        let watching = async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(tls::POLL) => {}
                }
                let (handshakes, settings) = (this.handshakes.load_full(), this.settings());
                if handshakes.has_files() {
                    let looking = tokio::task::spawn_blocking(move || handshakes.look(&settings.name, false));
                    // A panic in there has been told by then.
                    drop(looking.await);
                }
            }
        };
        self.shared.acceptors.spawn_on(watching, &self.shared.runtime);
    }

    /// Replaces what can change while listening; the caller has kept what cannot. Ports fixed anew are opened; those
    /// that clients may still know go on to stand for the same broker until the process ends. Files of TLS are looked at
    /// at once.
    pub fn apply(&self, settings: Settings) {
        let known = {
            let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
            let range = settings
                .broker_ports
                .unwrap_or_else(|| derived_range(self.bound.port()));
            let assigned = ports.book.assigned().clone();
            ports.book = PortBook::new(range, settings.brokers.clone(), assigned);
            ports.book.all()
        };
        let handshakes = Handshakes::renewed(&self.handshakes.load(), &settings);
        self.handshakes.store(Arc::new(handshakes));
        self.settings.store(Arc::new(settings));
        self.gate.look_again();
        self.open_ports(&known);
    }

    fn open_ports(&self, known: &BTreeMap<String, u16>) {
        for broker in known.keys() {
            if let Err(what) = self.broker_port(broker) {
                error!(
                    broker,
                    error = what,
                    "the port of a broker cannot be opened; its clients will not reach it"
                );
            }
        }
    }

    /// Opens the port two below, for clients of the 4.4 age. Ports of the system's choice have no such neighbour, and a
    /// neighbour that is taken costs old clients their sends, not everybody the listener.
    fn open_vip(self: &Arc<Self>, port: u16, broker: Option<&Arc<str>>) {
        let Some(low) = port
            .checked_sub(VIP_GAP)
            .filter(|_| self.settings.load().bind.port() != 0)
        else {
            return;
        };
        match bind(SocketAddr::new(self.bound.ip(), low), self.only_v6) {
            Ok(socket) => self.accept_on(socket, broker.cloned()),
            Err(error) => warn!(
                port = low,
                %error,
                "cannot listen two below port {port}: clients older than 4.5.1 will not be able to send"
            ),
        }
    }

    fn accept_on(self: &Arc<Self>, socket: StdListener, broker: Option<Arc<str>>) {
        let this = Arc::clone(self);
        let accepting = async move {
            match TcpListener::from_std(socket) {
                Ok(listener) => this.accept(&listener, broker).await,
                Err(error) => error!(%error, "a bound socket cannot be used"),
            }
        };
        self.shared.acceptors.spawn_on(accepting, &self.shared.runtime);
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener, broker: Option<Arc<str>>) {
        let core = &self.shared.core;
        let mut backoff = Backoff::default();
        loop {
            let next = async {
                let (socket, peer) = listener.accept().await?;
                core.counts.accepted.add();
                // Above a limit, clients wait in the system's backlog, and one of each address here.
                let limit = || self.settings.load().connections;
                let admitted = self.shared.admission.admit(core, &self.gate, limit).await;
                Ok((socket, peer, admitted))
            };
            let accepted: io::Result<_> = tokio::select! {
                () = self.shared.stop.cancelled() => return,
                next = next => next,
            };
            match accepted {
                Ok((socket, peer, admitted)) => {
                    backoff.reset();
                    if let Err(error) = self.serve(socket, peer, broker.clone(), admitted) {
                        debug!(%peer, %error, "a new connection failed at once");
                    }
                }
                Err(error) => backoff.after(&error, &core.counts).await,
            }
        }
    }

    /// Hands a new connection to a worker.
    fn serve(
        self: &Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        broker: Option<Arc<str>>,
        mut admitted: Admitted,
    ) -> io::Result<()> {
        let settings = self.settings.load();
        let patience = Patience {
            keep_alive: settings.keep_alive,
            user_timeout: settings.user_timeout,
        };
        patience.apply(&SockRef::from(&socket))?;
        let local = socket.local_addr()?.ip().to_canonical();
        let socket = socket.into_std()?;
        let place = Place {
            door: Arc::<Self>::clone(self),
            broker,
            local,
        };
        let core = Arc::clone(&self.shared.core);
        let this = Arc::clone(self);
        let work = async move {
            // What was admitted lives as long as the connection.
            match TcpStream::from_std(socket) {
                Ok(socket) => this.begin((core, place), (socket, peer), &mut admitted).await,
                Err(error) => debug!(%peer, %error, "a new connection failed at once"),
            }
        };
        self.shared.sessions.spawn_on(work, self.shared.workers.next());
        Ok(())
    }
}

impl Door for Listener {
    fn name(&self) -> Arc<str> {
        self.settings.load().name.as_str().into()
    }

    fn addressing(&self) -> Addressing {
        self.settings.load().addressing
    }

    fn shared_port(&self) -> u16 {
        self.bound.port()
    }

    fn advertised_host(&self) -> Option<String> {
        self.settings.load().advertise.clone()
    }

    fn rewrites_store_hosts(&self) -> bool {
        self.settings.load().rewrite_store_host
    }

    fn broker_port(&self, broker: &str) -> Result<u16, String> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = ports.book.port(broker);
        if let Some(open) = ports
            .open
            .get(broker)
            .filter(|open| wanted.is_none_or(|port| port == **open))
        {
            return Ok(*open);
        }
        let this = self.this.upgrade().ok_or("the listener is closed")?;
        let name: Arc<str> = broker.into();
        let at = |port| SocketAddr::new(self.bound.ip(), port);
        let port = if let Some(port) = wanted {
            let socket = bind(at(port), self.only_v6).map_err(|error| {
                format!("port {port} stands for broker {broker} but cannot be listened on: {error}")
            })?;
            this.accept_on(socket, Some(Arc::clone(&name)));
            this.open_vip(port, Some(&name));
            port
        } else {
            let both = |port: u16| {
                let low = port.checked_sub(VIP_GAP)?;
                Some([
                    bind(at(port), self.only_v6).ok()?,
                    bind(at(low), self.only_v6).ok()?,
                ])
            };
            let (port, sockets) = ports.book.assign(broker, both).map_err(|full| full.to_string())?;
            for socket in sockets {
                this.accept_on(socket, Some(Arc::clone(&name)));
            }
            if let Err(error) = ports.file.store(ports.book.assigned()) {
                warn!(%error, broker, port, "the port of a broker cannot be remembered; it may change at a restart");
            }
            port
        };
        ports.open.insert(broker.to_owned(), port);
        Ok(port)
    }
}

/// Binds a listening socket. An IPv6 wildcard takes IPv4 clients too, unless `only_v6`.
fn bind(address: SocketAddr, only_v6: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    SockRef::from(&socket).set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
