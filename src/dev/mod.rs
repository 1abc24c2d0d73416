//! A stand-in for RocketMQ: a name server and brokers in memory, in this process.
//!
//! It exists so that Gimbal can be tried, tested and measured on a machine with nothing but Rust. It speaks the remoting
//! protocol well enough for the Java clients of 4.4.0 to 5.5.0 and the Go client: sends, pulls, pops, offsets, delays,
//! retries, transactions, order locks, tags and SQL filters, queries, request and reply.
//!
//! **It is not a broker.** Do not keep anything in it that you would miss:
//!
//! * Nothing is written to disk. When it stops, topics, messages and offsets are gone.
//! * At most 256 MiB of messages are kept per broker. Beyond that **the oldest are dropped without a word**, read or
//!   not, delayed or not, and the least offsets of their queues move up.
//! * There are no slaves, no replication, no controller, no static topics, no TLS, no access control, no quotas, no
//!   flow control, no idle time-out, and only the few admin commands that tests need.
//! * What a real broker does every few seconds (waking long polls, reviving popped messages) happens here at once, and
//!   some answers are simpler. It answers like a 5.5.0 broker so that clients work, not so that they are proven right:
//!   a test that passes here still has to pass against the real thing.
//!
//! It takes nothing from the proxy but the codec ([`crate::protocol`]), so that one mistake cannot hide another.

mod admin;
mod assignment;
mod base64;
mod broker;
mod connection;
mod delay;
mod filter;
mod flight;
mod group;
mod lock;
mod nameserver;
mod offset;
mod polling;
mod pop;
mod properties;
mod pull;
mod push;
mod query;
mod record;
mod request;
mod retry;
mod send;
mod store;
mod transaction;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use broker::Broker;
use nameserver::NameServer;

/// The cluster all brokers belong to.
const CLUSTER: &str = "DefaultCluster";
/// Clients of the 4.4 age send to the port two below the advertised one.
const VIP_OFFSET: u16 = 2;
/// Ports between one broker and the next, when the first has a fixed one.
const BROKER_STEP: u16 = 10;
/// Ephemeral ports tried until the one two below is free as well.
const BIND_TRIES: usize = 50;

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the name server listens; port 0 takes any free one.
    pub nameserver: SocketAddr,
    /// Where the first broker listens; the others take every tenth port after it, or with port 0 any free one. Each
    /// also listens two ports below when it can, for clients that send there.
    pub broker: SocketAddr,
    /// How many brokers: `broker-a`, `broker-b` and so on, at most 26.
    pub brokers: usize,
    /// Age at which a silent transaction is checked, and the pause between checks.
    pub check_interval: Duration,
}

impl Default for Options {
    /// One broker, all on loopback, ports chosen by the system, transactions checked after 6 s.
    fn default() -> Self {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            nameserver: any,
            broker: any,
            brokers: 1,
            check_interval: Duration::from_secs(6),
        }
    }
}

/// A running name server with its brokers. Dropping it ends them without waiting; [`Cluster::stop`] waits.
#[derive(Debug)]
pub struct Cluster {
    nameserver: SocketAddr,
    brokers: Vec<Arc<Broker>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Cluster {
    /// Binds everything and starts to serve. Must be called inside a tokio runtime.
    pub async fn start(options: Options) -> io::Result<Self> {
        let nameserver = TcpListener::bind(options.nameserver).await?;
        let nameserver_address = reachable(nameserver.local_addr()?);
        let mut bound = Vec::new();
        for (at, letter) in ('a'..='z').take(options.brokers).enumerate() {
            let (plain, vip) = bind_broker(options.broker, at).await?;
            let address = reachable(plain.local_addr()?);
            let broker = Arc::new(Broker::new(
                format!("broker-{letter}"),
                address,
                options.check_interval,
            ));
            bound.push((broker, plain, vip));
        }
        let brokers: Vec<_> = bound.iter().map(|(broker, ..)| Arc::clone(broker)).collect();
        let registry = Arc::new(NameServer::new(brokers.clone()));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (broker, plain, vip) in bound {
            broker.register(&registry);
            broker.spawn_chores(&mut tasks, &stopped);
            if let Some(vip) = vip {
                tasks.spawn(connection::listen(Arc::clone(&broker), vip, stopped.clone()));
            }
            tasks.spawn(connection::listen(broker, plain, stopped.clone()));
        }
        tasks.spawn(connection::listen(registry, nameserver, stopped));
        Ok(Self {
            nameserver: nameserver_address,
            brokers,
            stop,
            tasks,
        })
    }

    /// Where the name server listens.
    pub fn nameserver(&self) -> SocketAddr {
        self.nameserver
    }

    /// Where the brokers listen, in order of their names.
    pub fn brokers(&self) -> Vec<SocketAddr> {
        self.brokers.iter().map(|broker| broker.address).collect()
    }

    /// Ends everything: on return all connections are closed and all tasks have ended.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }

    /// Messages of `topic` that the broker of this index holds, all queues together.
    pub fn stored(&self, broker: usize, topic: &str) -> usize {
        let topic = self
            .brokers
            .get(broker)
            .and_then(|broker| broker.store.topic(topic));
        topic.map_or(0, |topic| {
            let held = topic.queues().into_iter().map(|queue| {
                let (first, next) = queue.range();
                usize::try_from(next.saturating_sub(first)).unwrap_or_default()
            });
            held.sum()
        })
    }

    /// Connections that the broker of this index has now.
    pub fn connections(&self, broker: usize) -> usize {
        self.brokers
            .get(broker)
            .map_or(0, |broker| broker.connections.load(Ordering::Relaxed))
    }
}

/// The address to hand out for a socket that may be bound to every interface.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// Binds a broker's port and, when it is free, the one that old clients send to.
async fn bind_broker(first: SocketAddr, at: usize) -> io::Result<(TcpListener, Option<TcpListener>)> {
    let mut address = first;
    if first.port() != 0 {
        let step = u16::try_from(at).unwrap_or(u16::MAX).saturating_mul(BROKER_STEP);
        address.set_port(first.port().saturating_add(step));
        let plain = TcpListener::bind(address).await?;
        return Ok((plain, bind_vip(address).await));
    }
    let mut tried = Vec::new();
    for _ in 0..BIND_TRIES {
        let plain = TcpListener::bind(address).await?;
        let vip = bind_vip(plain.local_addr()?).await;
        if vip.is_some() {
            return Ok((plain, vip));
        }
        // Kept until the search ends, so that the same port is not offered again.
        tried.push(plain);
    }
    Ok((TcpListener::bind(address).await?, None))
}

async fn bind_vip(mut address: SocketAddr) -> Option<TcpListener> {
    address.set_port(address.port().checked_sub(VIP_OFFSET)?);
    TcpListener::bind(address).await.ok()
}
