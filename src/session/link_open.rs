//! How a link comes to be: finds the broker, dials, and comes back to it when it was lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::drain::Leaving;
use super::gauges::Counted;
use super::state::Slot;
use super::{Session, State};
use crate::config::ProxyHeader;
use crate::metrics::list;
use crate::route::LookupError;
use crate::upstream::{Connection, Link, Peer, Role};

/// Waits between attempts to come back to a broker at which the client is registered.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Sessions that wait for the same broker come back to it spread over this time, milliseconds.
const SPREAD: u64 = 250;

impl Session {
    pub(super) fn open_link(self: &Arc<Self>, state: &mut State, broker: &str, attempt: usize) -> u32 {
        let name: Arc<str> = broker.into();
        let wake = Arc::new(Notify::new());
        let id = state.add_link(Slot {
            link: Link::new(Arc::clone(&name)),
            socket: None,
            wake: Arc::clone(&wake),
            retired: false,
            greeting: Vec::new(),
            store_host: None,
        });
        let this = Arc::clone(self);
        state.spawn(async move {
            if attempt > 0 {
                Box::pin(this.wait_to_come_back(attempt, &name, &wake)).await;
            }
            let outcome = this.drive(id, attempt, &name, &wake).await;
            this.link_lost(id, attempt, &outcome);
        });
        id
    }

    /// Waits before another attempt: until its time, until the broker is wanted by a command, or until somebody else has
    /// reached it.
    async fn wait_to_come_back(&self, attempt: usize, broker: &str, wake: &Notify) {
        let wait = BACKOFF
            .get(attempt.saturating_sub(1))
            .or(BACKOFF.last())
            .copied()
            .unwrap_or_default();
        let jitter = Duration::from_millis(fastrand::u64(..50));
        let recovered = async {
            self.core.dialler.health().recovered(Role::Broker, broker).await;
            sleep(Duration::from_millis(fastrand::u64(..SPREAD))).await;
        };
        tokio::select! {
            () = sleep(wait + jitter) => {}
            () = wake.notified() => {}
            () = recovered => {}
        }
    }

    /// Serves the link until it is over; says why it ended.
    async fn drive(self: &Arc<Self>, id: u32, attempt: usize, broker: &Arc<str>, wake: &Notify) -> String {
        let config = self.core.config.load_full();
        let directory = &self.core.directory;
        let place = match attempt {
            0 => Box::pin(directory.resolve(broker)).await,
            // Coming back: every session of a broker does so at once, and the table is asked for as long as it is used.
            _ => directory.address(broker).ok_or(LookupError::Unknown),
        };
        let place = match place {
            Ok(place) => place,
            Err(error) => return format!("broker {broker}: {error}"),
        };
        let peer = Peer::broker(broker, &place.address);
        let caller = Some(self.caller());
        // On the heap while it lasts: a link's task is as large as the largest thing it ever waits for.
        let dialled = Box::pin(self.core.dialler.connect(&peer, config.timeouts.connect, caller));
        let Connection { stream, life } = match dialled.await {
            Ok(connection) => connection,
            Err(error) => {
                directory.suspect(broker);
                return format!("broker {broker} at {} cannot be reached: {error}", place.address);
            }
        };
        let socket = Arc::new(stream);
        let tally = &self.core.observers.metrics.tally;
        tally.count(list::LINKS_OPENED, &[broker]);
        let _open = Counted::new(&self.core, broker);
        self.opened(id, &socket, (place.address.clone(), place.is_master));
        let mut heard = false;
        let ended = self.read_broker(id, (&socket, wake), &mut heard).await;
        directory.suspect(broker);
        let Some(error) = ended else {
            return format!("broker {broker} has moved away from {}", place.address);
        };
        // Brokers from before 5.1.4 take the header for a broken frame.
        let hint = match config.upstream.proxy_protocol {
            ProxyHeader::V1 | ProxyHeader::V2 if !heard => {
                ", before it said anything; brokers older than 5.1.4 close connections that begin with a PROXY header"
            }
            _ => "",
        };
        let what = format!("{error}{hint}");
        life.lost(&what);
        format!("connection to broker {broker} at {} lost: {what}", place.address)
    }

    /// Opens the link again when the client is registered at that broker, which may be back any moment.
    pub(super) fn come_back(self: &Arc<Self>, state: &mut State, slot: &Slot, attempt: usize) {
        let now = Instant::now();
        let wanted = state
            .beat
            .as_ref()
            .is_some_and(|beat| beat.is_current(now) && beat.passed.is_some());
        let free = !state.by_broker.contains_key(&slot.link.broker);
        if wanted
            && free
            && !slot.retired
            && state.leaving != Leaving::Now
            && self.core.directory.knows(&slot.link.broker)
        {
            self.open_link(state, &slot.link.broker, attempt);
        }
    }
}
