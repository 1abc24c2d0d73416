//! The wiring: a checked configuration becomes listeners, workers and a directory; one generation follows another.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::{Config, sidecar};
use crate::downstream::{Admission, ListenError, Listener, Openings, Shared};
use crate::filter::Chain;
use crate::filter::folder::{Folder, InForce, Options, Settings, Timing};
use crate::metrics::{Commands, Metrics, Names, list, seconds};
use crate::protocol::{request, response};
use crate::route::{Directory, Transactions};
use crate::session::{BornHostCounts, Core, Counts, Headcount, Memory, Registry, Tap, Waiting};
use crate::telemetry::Observers;
use crate::tls::Problem;
use crate::upstream::{Dialler, NameServers, PeerHealth};
use crate::wasm::Host;

use crate::worker::Workers;

mod admin;
mod edge;
mod house;
mod observing;
mod overview;
mod portray;
mod recording;
mod sources;

pub use admin::{apply_admin, start_admin};
pub use house::{Chronicle, House, Order};

/// How long the last lines of the access log may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Why a proxy cannot start.
#[derive(Debug)]
pub enum StartError {
    /// A listener cannot start.
    Listen(ListenError),
    /// The system gives no threads.
    Workers(std::io::Error),
    /// A file of TLS towards brokers cannot be used.
    Tls(Problem),
    /// The engine for filters cannot start here.
    Engine(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Workers(error) => write!(f, "worker threads cannot be started: {error}"),
            Self::Tls(problem) => write!(f, "upstream.tls: {problem}"),
            Self::Engine(error) => write!(f, "the engine for filters cannot be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running proxy. Dropping it closes every connection at once; [`Proxy::drain`] leaves in order.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    filters: InForce,
    /// Looks after the folder of filters, when there is one.
    keeper: Option<JoinHandle<()>>,
    listeners: Vec<Arc<Listener>>,
    drain: watch::Sender<Option<Instant>>,
    /// It was told to stop.
    leaving: Arc<AtomicBool>,
    refresher: JoinHandle<()>,
    /// Looks after certificates towards brokers.
    watcher: JoinHandle<()>,
    /// Tells sessions of new chains.
    teller: JoinHandle<()>,
}

impl Proxy {
    /// Binds every listener and starts serving, on worker threads and on the runtime this is called in.
    /// Filters are loaded first, so the first command meets them; that takes milliseconds, or seconds for filters with a
    /// language runtime in them that were never compiled here.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Some(folder) = config.filters.folder.clone() else {
            return Self::start_with(config, InForce::fixed(Chain::default()));
        };
        let host = Host::new(config.filters.compiled.clone()).map_err(StartError::Engine)?;
        let options = Options {
            folder,
            copies: config.filters.copies.clone(),
            settings: folder_settings(&config),
            read_sidecar: sidecar::read,
            timing: Timing::default(),
        };
        let folder = Folder::open(options, Arc::new(host)).await;
        let mut proxy = Self::start_with(config, folder.in_force())?;
        proxy.keeper = Some(Handle::current().spawn(folder.run()));
        Ok(proxy)
    }

    /// The same with filters that somebody else looks after.
    pub fn start_with(config: Config, filters: InForce) -> Result<Self, StartError> {
        let runtime = Handle::current();
        let workers = Workers::start(config.workers).map_err(StartError::Workers)?;
        let dialler = Arc::new(Dialler::new(config.upstream.clone()).map_err(StartError::Tls)?);
        let nameservers = NameServers::new(config.nameservers.clone(), Arc::clone(&dialler));
        let directory = Arc::new(Directory::new(nameservers, runtime.clone()));
        directory.set_credentials(config.credentials.clone());
        let (drain, drain_seen) = watch::channel(None);
        let settings = config.listeners.clone();
        let state_dir = config.state_dir.clone();
        let watched = Arc::clone(&dialler);
        let memory = Memory::new(config.limits.memory);
        let waiting = Arc::new(Waiting::default());
        let observers = Arc::new(new_observers(&config));
        sources::add(&observers.metrics, filters.clone(), &directory, &waiting);
        observers.configure(observing::settings(&config));
        let core = Arc::new(Core {
            config: ArcSwap::from_pointee(config),
            directory: Arc::clone(&directory),
            dialler,
            born_hosts: BornHostCounts::default(),
            transactions: Transactions::default(),
            sessions: Registry::default(),
            drain: drain_seen,
            filters: filters.clone(),
            memory,
            counts: Counts::default(),
            users: Headcount::default(),
            observers: Arc::clone(&observers),
            tap: Tap::default(),
            waiting,
        });
        let shared = Arc::new(Shared {
            core,
            state_dir,
            workers,
            runtime: runtime.clone(),
            stop: CancellationToken::new(),
            acceptors: TaskTracker::new(),
            sessions: TaskTracker::new(),
            openings: Openings::default(),
            admission: Arc::new(Admission::default()),
        });
        let mut proxy = Self {
            teller: runtime.spawn(tell_of_chains(Arc::clone(&shared.core))),
            shared,
            filters,
            keeper: None,
            listeners: Vec::new(),
            drain,
            leaving: Arc::default(),
            refresher: runtime.spawn(directory.keep_fresh()),
            watcher: runtime.spawn(watched.keep_fresh()),
        };
        for listener in settings {
            let listener = Listener::start(listener, &proxy.shared).map_err(StartError::Listen)?;
            proxy.listeners.push(listener);
        }
        edge::add(&observers.metrics, &proxy.shared, &proxy.listeners);
        recording::count(&observers.metrics, &proxy.shared.core.tap);
        Ok(proxy)
    }

    /// The bound address of every listener, by name.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.listeners
            .iter()
            .map(|listener| (listener.settings().name.clone(), listener.bound()))
            .collect()
    }

    /// The filters: the chain in force, and what is known of each.
    pub fn filters(&self) -> &InForce {
        &self.filters
    }

    /// Every listener, with its settings and what is known of its certificates.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// How connections opened, of all listeners.
    pub fn openings(&self) -> &Openings {
        &self.shared.openings
    }

    /// What sessions share: counts and memory among it.
    pub fn core(&self) -> &Core {
        &self.shared.core
    }

    /// Limits on connections, and how many there are.
    pub fn admission(&self) -> &Admission {
        &self.shared.admission
    }

    /// Whoever hears of commands: the numbers and the live tail.
    pub fn observers(&self) -> &Arc<Observers> {
        &self.shared.core.observers
    }

    /// Client connections now.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.len()
    }

    /// How brokers and name servers fare.
    pub fn health(&self) -> Vec<PeerHealth> {
        self.shared.core.dialler.health().snapshot()
    }

    /// What is known of the certificates towards brokers and name servers; `None` in clear.
    pub fn upstream_certificates(&self) -> Option<Arc<crate::tls::State>> {
        self.shared.core.dialler.certificates()
    }

    /// What became of stamping clients' addresses into sends.
    pub fn born_hosts(&self) -> &BornHostCounts {
        &self.shared.core.born_hosts
    }

    /// Puts a new configuration in force, all of it but what it returns: settings that need a restart and keep their
    /// old value until then.
    pub fn reload(&self, mut config: Config) -> Vec<String> {
        let old = self.shared.core.config.load_full();
        let mut restart = Vec::new();
        let mut kept = Vec::new();
        for listener in &self.listeners {
            let before = listener.settings();
            let Some(at) = config.listeners.iter().position(|new| new.name == before.name) else {
                restart.push(format!("listener.{} (removed)", before.name));
                kept.push((*before).clone());
                continue;
            };
            let mut after = config.listeners.remove(at);
            if after.bind != before.bind {
                restart.push(format!("listener.{}.bind", before.name));
                after.bind = before.bind;
            }
            listener.apply(after.clone());
            kept.push(after);
        }
        restart.extend(
            config
                .listeners
                .iter()
                .map(|new| format!("listener.{} (new)", new.name)),
        );
        config.listeners = kept;
        let filters = &mut config.filters;
        keep(&mut filters.folder, &old.filters.folder, "filters", &mut restart);
        filters.copies.clone_from(&old.filters.copies);
        filters.compiled.clone_from(&old.filters.compiled);
        self.filters.set(folder_settings(&config));
        keep(&mut config.workers, &old.workers, "workers", &mut restart);
        admin::keep_bind(&mut config, &old, &mut restart);
        keep(&mut config.state_dir, &old.state_dir, "state_dir", &mut restart);
        self.shared
            .core
            .directory
            .set_nameservers(config.nameservers.clone());
        self.shared
            .core
            .directory
            .set_credentials(config.credentials.clone());
        self.shared.core.dialler.apply(config.upstream.clone());
        self.shared.core.memory.resize(config.limits.memory);
        self.observers().configure(observing::settings(&config));
        let metrics = &self.observers().metrics;
        metrics
            .names
            .set_most(config.metrics.topics, config.metrics.groups);
        metrics.tally.count(list::RELOADS, &["config", "ok"]);
        metrics
            .tally
            .set(list::RELOAD_TIME, &["config"], seconds(SystemTime::now()));
        self.shared.core.config.store(Arc::new(config));
        self.shared.admission.look_again();
        restart
    }

    /// A configuration could not be used, and the one in force stays.
    pub fn not_reloaded(&self) {
        self.observers()
            .metrics
            .tally
            .count(list::RELOADS, &["config", "failed"]);
    }

    /// Leaves in order: accepts for `drain.delay` more, then lets every session finish until `drain.deadline`.
    ///
    /// # Cancel safety
    /// Dropping the future closes what is left at once.
    pub async fn drain(self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.observers()
            .metrics
            .tally
            .set(list::SESSIONS_DRAINING, &[], 1.0);
        let settings = self.shared.core.config.load().drain.clone();
        if !settings.delay.is_zero() {
            tokio::time::sleep(settings.delay).await;
        }
        self.shared.stop.cancel();
        // From here on the addresses are free for whoever comes next.
        self.shared.acceptors.close();
        self.shared.acceptors.wait().await;
        let deadline = Instant::now() + settings.deadline;
        debug!(
            sessions = self.sessions(),
            "no longer accepting; letting sessions finish"
        );
        self.drain.send_replace(Some(deadline));
        self.shared.core.sessions.wake_all();
        self.shared.sessions.close();
        if timeout_at(deadline, self.shared.sessions.wait()).await.is_err() {
            warn!(
                sessions = self.sessions(),
                "closing sessions that did not finish in time"
            );
        }
        let observers = Arc::clone(self.observers());
        let flushing = tokio::task::spawn_blocking(move || observers.flush(FLUSH_LIMIT));
        if let Err(error) = flushing.await {
            warn!(%error, "the last lines of the access log may be lost");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.refresher.abort();
        self.watcher.abort();
        self.teller.abort();
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
        // Sessions keep the workers alive that they run on.
        self.shared.workers.stop();
    }
}

/// Wakes every session when another chain is in force.
async fn tell_of_chains(core: Arc<Core>) {
    let mut generations = core.filters.generations();
    while generations.changed().await.is_ok() {
        core.sessions.wake_all();
    }
}

fn folder_settings(config: &Config) -> Settings {
    Settings {
        required: config.filters.required.clone(),
        budget: config.filters.budget,
    }
}

/// Whoever will hear of commands; nothing has happened yet.
fn new_observers(config: &Config) -> Observers {
    Observers::new(Metrics::new(
        env!("CARGO_PKG_VERSION"),
        Commands::new(request::NUMBERS, response::NUMBERS),
        Names::new(config.metrics.topics, config.metrics.groups),
    ))
}

/// Keeps a setting that only a restart can change.
fn keep<T: Clone + PartialEq>(new: &mut T, old: &T, name: &str, restart: &mut Vec<String>) {
    if new != old {
        restart.push(name.to_owned());
        new.clone_from(old);
    }
}
