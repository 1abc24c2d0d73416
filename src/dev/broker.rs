//! One broker: what it holds, and which handler takes which request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::CLUSTER;
use super::assignment::Modes;
use super::connection::{Peer, Service};
use super::delay::Delays;
use super::group::{Groups, check_client};
use super::lock::Locks;
use super::nameserver::NameServer;
use super::offset::Offsets;
use super::pop::Pops;
use super::request::{Outcome, Reply, Request};
use super::store::{Layout, PERM_INHERIT, PERM_READ_WRITE, Store};
use super::transaction::Halves;
use crate::protocol::request;

/// The topic whose layout new topics inherit.
pub(super) const TEMPLATE: &str = "TBW102";
/// Where delayed messages of a level wait (`TopicValidator.RMQ_SYS_SCHEDULE_TOPIC`).
pub(super) const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where messages with a delay or time of their own wait.
pub(super) const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Where half messages wait.
pub(super) const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Where half messages go that nobody decided about.
pub(super) const CHECK_MAX_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// A broker.
#[derive(Debug)]
pub(super) struct Broker {
    /// Its name in routes.
    pub(super) name: String,
    /// Its address in routes and records.
    pub(super) address: SocketAddr,
    pub(super) store: Store,
    pub(super) offsets: Offsets,
    pub(super) groups: Groups,
    pub(super) locks: Locks,
    pub(super) delays: Delays,
    pub(super) halves: Halves,
    pub(super) modes: Modes,
    pub(super) pops: Pops,
    /// Connections now.
    pub(super) connections: AtomicUsize,
    pub(super) check_interval: Duration,
    nameserver: OnceLock<Weak<NameServer>>,
}

impl Broker {
    /// A broker with the system topics and nothing else.
    pub(super) fn new(name: String, address: SocketAddr, check_interval: Duration) -> Self {
        let store = Store::new(address);
        let reply = format!("{CLUSTER}_REPLY_TOPIC");
        for (topic, queues) in [
            (name.as_str(), 1),
            (CLUSTER, 16),
            (reply.as_str(), 1),
            (SCHEDULE_TOPIC, 18),
            (TIMER_TOPIC, 1),
            (HALF_TOPIC, 1),
            (CHECK_MAX_TOPIC, 1),
            ("SELF_TEST_TOPIC", 1),
            ("OFFSET_MOVED_EVENT", 1),
            ("RMQ_SYS_TRACE_TOPIC", 1),
        ] {
            store.set_topic(topic, Layout::queues(queues));
        }
        let template = Layout {
            perm: PERM_READ_WRITE | PERM_INHERIT,
            ..Layout::queues(8)
        };
        store.set_topic(TEMPLATE, template);
        Self {
            name,
            address,
            store,
            offsets: Offsets::default(),
            groups: Groups::default(),
            locks: Locks::default(),
            delays: Delays::default(),
            halves: Halves::default(),
            modes: Modes::default(),
            pops: Pops::default(),
            connections: AtomicUsize::new(0),
            check_interval,
            nameserver: OnceLock::new(),
        }
    }

    /// Makes the broker known to the name server that it asks for routes; once.
    pub(super) fn register(&self, nameserver: &Arc<NameServer>) {
        // Only the first call counts; there is no second.
        self.nameserver.set(Arc::downgrade(nameserver)).ok();
    }

    /// The name server it is registered with.
    pub(super) fn nameserver(&self) -> Option<Arc<NameServer>> {
        self.nameserver.get()?.upgrade()
    }

    /// Starts what runs by the clock.
    pub(super) fn spawn_chores(self: &Arc<Self>, tasks: &mut JoinSet<()>, stop: &watch::Receiver<bool>) {
        tasks.spawn(Arc::clone(self).deliver_delayed(stop.clone()));
        tasks.spawn(Arc::clone(self).check_halves(stop.clone()));
        tasks.spawn(Arc::clone(self).revive_popped(stop.clone()));
    }

    fn dispatch(self: &Arc<Self>, request: &Request<'_>) -> Outcome {
        match request.head.code {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
                self.send(request)
            }
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => self.pull(request),
            request::CONSUMER_SEND_MSG_BACK => self.send_back(request),
            request::HEART_BEAT => self.heartbeat(request),
            request::UNREGISTER_CLIENT => self.unregister(request),
            request::GET_CONSUMER_LIST_BY_GROUP => self.consumer_list(request),
            request::CHECK_CLIENT_CONFIG => check_client(request),
            request::END_TRANSACTION => self.end_transaction(request),
            request::LOCK_BATCH_MQ => self.lock_queues(request),
            request::UNLOCK_BATCH_MQ => self.unlock_queues(request),
            request::QUERY_CONSUMER_OFFSET => self.query_offset(request),
            request::UPDATE_CONSUMER_OFFSET => self.update_offset(request),
            request::SEARCH_OFFSET_BY_TIMESTAMP => self.search_offset(request),
            request::GET_MAX_OFFSET => self.max_offset(request),
            request::GET_MIN_OFFSET => self.min_offset(request),
            request::GET_EARLIEST_MSG_STORETIME => self.earliest_time(request),
            request::QUERY_MESSAGE => self.query_messages(request),
            request::VIEW_MESSAGE_BY_ID => self.view_message(request),
            request::SEND_REPLY_MESSAGE | request::SEND_REPLY_MESSAGE_V2 => self.reply(request),
            request::POP_MESSAGE => self.pop(request),
            request::ACK_MESSAGE => self.acknowledge(request),
            request::BATCH_ACK_MESSAGE => self.acknowledge_batch(request),
            request::CHANGE_MESSAGE_INVISIBLETIME => self.change_invisible(request),
            request::PEEK_MESSAGE => self.peek(request),
            request::NOTIFICATION => self.notification(request),
            request::POLLING_INFO => self.polling_info(request),
            _ => self.administer(request),
        }
    }
}

impl Service for Broker {
    fn handle(self: &Arc<Self>, request: &Request<'_>) -> Reply {
        self.dispatch(request)
            .unwrap_or_else(|refusal| Reply::Now(request.refused(refusal)))
    }

    fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&self, peer: &Peer) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.groups.forget_peer(peer);
    }
}
