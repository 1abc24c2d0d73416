//! Clients that misbehave: memory and connections stay bounded, each cause is counted, and everybody else is served.

mod connections;
mod descriptors;
mod frames;
mod memory;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::{Running, SOON};

/// Waits until this is so, however long a busy machine takes; fails after a while.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < 2 * SOON, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Nobody is connected, and nothing is left of those who were.
async fn all_gone(proxy: &Running) {
    let proxy = &proxy.proxy;
    eventually("no connections", || proxy.admission().connections() == 0).await;
    eventually("no openings", || proxy.admission().openings() == 0).await;
    eventually("no addresses", || proxy.admission().addresses() == 0).await;
    eventually("no users", || proxy.core().users.is_empty()).await;
    let memory = &proxy.core().memory;
    eventually("no memory of clients", || memory.clients().used() == 0).await;
    eventually("no memory of brokers", || memory.brokers().used() == 0).await;
    eventually("nobody waits", || memory.clients().waiting() == 0).await;
    eventually("no queues", || memory.queued() == 0).await;
}
