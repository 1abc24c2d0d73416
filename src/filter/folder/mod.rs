//! The filter folder: what is dropped into it is in force a moment later, and what cannot be used changes nothing.
//!
//! ```text
//!  20-acl.wasm ─┐  look ─▶ settle ─▶ read ─▶ load ─┬─▶ one new chain, atomically
//!  20-acl.toml ─┘                                  └─▶ failed: log and status; the old version goes on
//! ```
//!
//! 1. The order is the order of file names. A filter's name is its file's without number and ending, and its state is
//!    kept under that name: another number is another place, nothing more.
//! 2. One look makes at most one chain. The same bytes and settings make none.
//! 3. Files go by a second look: a folder that is empty for an instant loses nothing, and one that cannot be read loses
//!    nothing either.
//! 4. At the start, what cannot be loaded is replaced by what was accepted last; where there is nothing, and its
//!    operator did not say that it may fail, every command in its scope is refused. A file that cannot be loaded while
//!    the proxy runs, and was never in force, changes nothing.

mod accepted;
mod bytes;
mod events;
mod keeper;
mod kit;
mod listing;
mod news;
mod refusal;
mod settling;
mod sidecar;
mod slot;
mod status;
mod switch;
mod trial;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::events::Events;
use self::keeper::{Keeper, Looked};
use self::status::Report;
use super::{Budget, Chain, Loader};

pub use listing::name_of;
pub use sidecar::{OwnBudget, Read, Sidecar};
pub use status::{Counts, Event, LastFailure, Outcome, Serving, Status, Trouble};
pub use switch::SwitchError;
pub use trial::{Found, Trial, Tried, try_all};

/// Time between two looks, however many events there are.
const PAUSE: Duration = Duration::from_millis(5);

/// Which folder, and how it is looked after.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder; it need not be there yet.
    pub folder: PathBuf,
    /// Where copies of accepted filters are kept; `None` keeps none.
    pub copies: Option<PathBuf>,
    /// What can be changed later.
    pub settings: Settings,
    /// Reads sidecars.
    pub read_sidecar: Read,
    /// How long things take.
    pub timing: Timing,
}

/// What can be changed while the folder is looked after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names of filters that are not removed with their file.
    pub required: Vec<String>,
    /// What a filter may use where its sidecar does not say otherwise.
    pub budget: Budget,
}

/// How long things take. The default is for people; tests shorten it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Whether to listen to the system's file events, too.
    pub events: bool,
    /// How often the folder is looked at when there are no events.
    pub poll: Duration,
    /// For how long a file must look the same before it is read.
    pub settle: Duration,
    /// For how long a file that ends in the middle is taken to be still on its way.
    pub cut_off: Duration,
    /// For how long a file must be gone before its filter is removed.
    pub removal: Duration,
    /// For how long the state of a removed filter is kept, should it come back.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            events: true,
            poll: Duration::from_secs(2),
            settle: Duration::from_millis(30),
            cut_off: Duration::from_secs(2),
            removal: Duration::from_millis(250),
            grace: Duration::from_secs(10),
        }
    }
}

/// The owner of what is loaded; [`Folder::run`] keeps it as the folder says.
#[derive(Debug)]
pub struct Folder {
    keeper: Keeper,
    in_force: InForce,
    settings: watch::Receiver<Settings>,
    orders: mpsc::Receiver<switch::Order>,
    wake: Arc<Notify>,
    again: Duration,
}

/// The filters in force, for whoever asks; clones are the same.
#[derive(Debug, Clone)]
pub struct InForce {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    chain: Arc<ArcSwap<Chain>>,
    known: ArcSwap<Known>,
    generation: watch::Sender<u64>,
    looks: watch::Sender<u64>,
    settings: watch::Sender<Settings>,
    orders: mpsc::Sender<switch::Order>,
    wake: Arc<Notify>,
}

/// How the keeper of the folder is reached.
struct Kept {
    settings: Settings,
    orders: mpsc::Sender<switch::Order>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Known {
    reports: Vec<Report>,
    unready: Vec<String>,
}

impl Folder {
    /// Loads what is in the folder, on a thread for blocking work, and gives it out as generation 1. Never fails: what
    /// cannot be loaded is told in the log and in [`InForce::status`].
    pub async fn open(mut options: Options, loader: Arc<dyn Loader>) -> Self {
        options.folder = std::path::absolute(&options.folder).unwrap_or(options.folder);
        let wake = Arc::new(Notify::new());
        let events = options.timing.events;
        let events = events.then(|| Events::new(&options.folder, Arc::clone(&wake)));
        let (sender, orders) = mpsc::channel(switch::WAITING);
        let kept = Kept {
            settings: options.settings.clone(),
            orders: sender,
            wake: Arc::clone(&wake),
        };
        let in_force = InForce::new(Chain::default(), kept);
        let settings = in_force.shared.settings.subscribe();
        let keeper = Keeper::new(options, loader, events);
        let (keeper, looked) = blocking(keeper, Keeper::start).await;
        let again = looked.again;
        in_force.publish(looked);
        Self {
            keeper,
            in_force,
            settings,
            orders,
            wake,
            again,
        }
    }

    /// The filters in force, now and later.
    pub fn in_force(&self) -> InForce {
        self.in_force.clone()
    }

    /// Looks after the folder for ever.
    ///
    /// # Cancel safety
    /// Dropping it between two looks leaves the last chain in force; so does dropping it within one.
    pub async fn run(mut self) {
        loop {
            let looked = Instant::now();
            let mut order = None;
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(looked + self.again) => {}
                Some(ordered) = self.orders.recv() => order = Some(ordered),
                changed = self.settings.changed() => {
                    if changed.is_ok() {
                        let settings = self.settings.borrow_and_update().clone();
                        self.keeper.set(settings);
                    }
                }
            }
            sleep_until(looked + PAUSE).await;
            let answer = order.map(|order| (self.keeper.switch(&order.name, order.is_on), order.reply));
            let (keeper, looked) = blocking(self.keeper, Keeper::again).await;
            self.keeper = keeper;
            self.again = looked.again;
            self.in_force.publish(looked);
            if let Some((outcome, reply)) = answer {
                // Whoever asked may have gone.
                drop(reply.send(outcome));
            }
        }
    }
}

/// Runs `look` where it may block and compile.
async fn blocking(mut keeper: Keeper, look: fn(&mut Keeper) -> Looked) -> (Keeper, Looked) {
    let looking = tokio::task::spawn_blocking(move || {
        let looked = look(&mut keeper);
        (keeper, looked)
    });
    match looking.await {
        Ok(looked) => looked,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody waits for what comes after this.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

impl InForce {
    /// This chain and no folder: for a proxy without filters, and for tests.
    pub fn fixed(chain: Chain) -> Self {
        let kept = Kept {
            settings: Settings::default(),
            orders: mpsc::channel(1).0,
            wake: Arc::new(Notify::new()),
        };
        Self::new(chain, kept)
    }

    fn new(chain: Chain, kept: Kept) -> Self {
        let generation = watch::Sender::new(chain.generation());
        Self {
            shared: Arc::new(Shared {
                chain: Arc::new(ArcSwap::from_pointee(chain)),
                known: ArcSwap::default(),
                generation,
                looks: watch::Sender::new(0),
                settings: watch::Sender::new(kept.settings),
                orders: kept.orders,
                wake: kept.wake,
            }),
        }
    }

    /// The chain in force.
    pub fn chain(&self) -> Arc<Chain> {
        self.shared.chain.load_full()
    }

    /// The place where every chain is put, for readers that keep a cache of it.
    pub fn chains(&self) -> &Arc<ArcSwap<Chain>> {
        &self.shared.chain
    }

    /// The generation in force, and every later one; the chain is there before its number is told.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// How many looks at the folder were made: after each, the status may be another.
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.shared.looks.subscribe()
    }

    /// What is known of each filter, by name.
    pub fn status(&self) -> Vec<Status> {
        self.shared.known.load().reports.iter().map(Report::now).collect()
    }

    /// Why commands are refused that a filter should decide about, which was never loaded; empty when the proxy is ready.
    pub fn unready(&self) -> Vec<String> {
        self.shared.known.load().unready.clone()
    }

    /// Whether nothing is refused for want of a filter.
    pub fn is_ready(&self) -> bool {
        self.shared.known.load().unready.is_empty()
    }

    /// Changes settings; filters that they concern are loaded again.
    pub fn set(&self, settings: Settings) {
        self.shared.settings.send_if_modified(|old| {
            let differs = *old != settings;
            *old = settings;
            differs
        });
    }

    /// Puts another chain in force; for a proxy without a folder, and for tests.
    pub fn put(&self, chain: Chain) {
        let generation = chain.generation();
        self.shared.chain.store(Arc::new(chain));
        self.shared.generation.send_replace(generation);
    }

    /// Looks at the folder now, as on a signal.
    pub fn look(&self) {
        self.shared.wake.notify_one();
    }

    fn publish(&self, looked: Looked) {
        let made = looked.chain;
        let generation = made.as_ref().map(Chain::generation);
        if let Some(chain) = made {
            self.shared.chain.store(Arc::new(chain));
        }
        self.shared.known.store(Arc::new(Known {
            reports: looked.reports,
            unready: looked.unready,
        }));
        if let Some(generation) = generation {
            self.shared.generation.send_replace(generation);
        }
        let generation = *self.shared.generation.borrow();
        for news in &looked.news {
            news.tell(generation);
        }
        self.shared
            .looks
            .send_modify(|looks| *looks = looks.saturating_add(1));
    }
}

impl Default for InForce {
    fn default() -> Self {
        Self::fixed(Chain::default())
    }
}
