//! Who may come in: limits on connections in all, of a listener, of an address, and on those that have not said a word.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::session::{Core, Headcount, Pass};

/// An opening younger than this is not closed to make room for others: its bytes may be here and not looked at yet.
const YOUNG: Duration = Duration::from_secs(3);

/// A number of connections, above which new ones wait.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicUsize,
    room: Notify,
}

/// One connection that has passed a gate.
#[derive(Debug)]
pub(super) struct Passed(Arc<Gate>);

impl Gate {
    /// Waits until fewer than `limit` are open; calls `on_wait` if that takes any waiting.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub(super) async fn enter(
        self: &Arc<Self>,
        limit: impl Fn() -> usize + Sync,
        on_wait: impl FnOnce() + Send,
    ) -> Passed {
        let mut on_wait = Some(on_wait);
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            let limit = limit();
            let one_more = |open: usize| (open < limit).then(|| open.saturating_add(1));
            let entered = self
                .open
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
            if entered.is_ok() {
                return Passed(Arc::clone(self));
            }
            if let Some(on_wait) = on_wait.take() {
                on_wait();
            }
            room.await;
        }
    }

    /// The limit may have changed.
    pub(super) fn look_again(&self) {
        self.room.notify_waiters();
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.room.notify_waiters();
    }
}

/// Connections of which it is not known yet what they speak, oldest first.
#[derive(Debug, Default)]
pub(super) struct Openings {
    inner: Mutex<Waiting>,
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// One opening in progress. Dropping it ends it, whatever it came to.
#[derive(Debug)]
pub(super) struct OpeningPass {
    openings: Arc<Openings>,
    number: u64,
    cut: Arc<Notify>,
}

impl Openings {
    /// Takes a place; at the limit that of the oldest, which is closed unless it is young: then waits.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    async fn enter(self: &Arc<Self>, core: &Core) -> OpeningPass {
        let mut waited = false;
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            let limit = core.config.load().limits.openings;
            let wait = match self.try_enter(limit) {
                Ok((pass, is_cut)) => {
                    if is_cut && let Some(left_out) = core.counts.openings_cut.note() {
                        info!(
                            limit,
                            left_out, "limits.openings reached: closing connections that say nothing"
                        );
                    }
                    return pass;
                }
                Err(wait) => wait,
            };
            if !std::mem::replace(&mut waited, true) {
                core.counts.waited_for_openings.add();
            }
            tokio::select! {
                () = room => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// A place, and whether somebody lost it; or how long the oldest is still young.
    fn try_enter(self: &Arc<Self>, limit: usize) -> Result<(OpeningPass, bool), Duration> {
        let now = Instant::now();
        let mut waiting = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_cut = false;
        if waiting.since.len() >= limit.max(1)
            && let Some(oldest) = waiting.since.first_entry()
        {
            let age = now.duration_since(oldest.get().0);
            if age < YOUNG {
                return Err(YOUNG.saturating_sub(age));
            }
            oldest.remove().1.notify_one();
            is_cut = true;
        }
        let number = waiting.next;
        waiting.next = number.wrapping_add(1);
        let cut = Arc::new(Notify::new());
        waiting.since.insert(number, (now, Arc::clone(&cut)));
        drop(waiting);
        let openings = Arc::clone(self);
        Ok((
            OpeningPass {
                openings,
                number,
                cut,
            },
            is_cut,
        ))
    }

    /// How many are in progress.
    fn len(&self) -> usize {
        let waiting = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.since.len()
    }
}

impl Drop for OpeningPass {
    fn drop(&mut self) {
        let mut waiting = self.openings.inner.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.since.remove(&self.number);
        drop(waiting);
        self.openings.room.notify_waiters();
    }
}

/// The limits that all listeners share.
#[derive(Debug, Default)]
pub struct Admission {
    all: Arc<Gate>,
    openings: Arc<Openings>,
    addresses: Headcount<IpAddr>,
}

/// A connection that has been let in; dropping it makes room.
#[derive(Debug)]
pub(super) struct Admitted {
    _listener: Passed,
    _all: Passed,
    opening: Option<OpeningPass>,
    address: Option<Pass<IpAddr>>,
}

impl Admission {
    /// Lets a connection in when there is room on its listener and in all.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub(super) async fn admit(
        &self,
        core: &Core,
        listener: &Arc<Gate>,
        limit: impl Fn() -> Option<usize> + Send + Sync,
    ) -> Admitted {
        let no_room = || {
            if let Some(left_out) = core.counts.waited_for_listener.note() {
                info!(left_out, "connections of a listener reached: new ones wait");
            }
        };
        let on_listener = listener.enter(|| limit().unwrap_or(usize::MAX), no_room).await;
        let no_room = || {
            if let Some(left_out) = core.counts.waited_for_all.note() {
                info!(left_out, "limits.connections reached: new ones wait");
            }
        };
        let in_all = self
            .all
            .enter(|| core.config.load().limits.connections, no_room)
            .await;
        Admitted {
            _listener: on_listener,
            _all: in_all,
            opening: Some(self.openings.enter(core).await),
            address: None,
        }
    }

    /// Counts a connection whose client is known now; whether there may be one more of its address.
    pub(super) fn count_address(&self, core: &Core, admitted: &mut Admitted, client: IpAddr) -> bool {
        admitted.opening = None;
        let limit = core.config.load().limits.connections_per_address;
        admitted.address = self.addresses.enter(network(client), limit);
        if admitted.address.is_some() {
            return true;
        }
        if let Some(left_out) = core.counts.refused_by_address.note() {
            info!(peer = %client, limit, left_out, "closed: too many connections of this address");
        }
        false
    }

    /// The limits may have changed.
    pub fn look_again(&self) {
        self.all.look_again();
        self.openings.room.notify_waiters();
    }

    /// Client connections now, openings included.
    pub fn connections(&self) -> usize {
        self.all.open()
    }

    /// Openings in progress.
    pub fn openings(&self) -> usize {
        self.openings.len()
    }

    /// Different addresses (networks, of IPv6) that are connected.
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }
}

impl Admitted {
    /// Waits until the opening has to make room for others; for ever once it is over.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn is_cut(&self) {
        match &self.opening {
            Some(opening) => opening.cut.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// What an address counts as: of IPv6 the first 64 bits, since a client has all the rest to itself.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_counts_by_its_first_half_and_mapped_ipv4_as_what_it_is() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8:0:0:ffff::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn at_its_limit_a_gate_lets_the_next_in_when_one_has_gone() {
        let gate = Arc::new(Gate::default());
        let first = gate.enter(|| 1, || ()).await;
        let second = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(|| 1, || ()).await }
        });
        tokio::task::yield_now().await;
        assert_eq!((gate.open(), second.is_finished()), (1, false));
        drop(first);
        drop(second.await.unwrap());
        assert_eq!(gate.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_opening_makes_room_once_it_is_no_longer_young() {
        let openings = Arc::new(Openings::default());
        let (oldest, _) = openings.try_enter(2).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let (younger, _) = openings.try_enter(2).unwrap();
        assert_eq!(openings.try_enter(2).unwrap_err(), Duration::from_secs(2));
        tokio::time::advance(YOUNG).await;
        let (third, is_cut) = openings.try_enter(2).unwrap();
        assert!(is_cut);
        oldest.cut.notified().await;
        drop(oldest);
        assert_eq!(openings.len(), 2);
        drop((younger, third));
        assert_eq!(openings.len(), 0);
    }
}
