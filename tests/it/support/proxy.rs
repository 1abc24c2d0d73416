//! A proxy in this process, as a sentence: in front of which name servers, with which settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use gimbal::config::{
    AccessLog, Addressing, Allow, Config, Drain, Filters, Limits, Listener, Metrics, Otlp, ProxyProtocol,
    Timeouts, Tracing, Upstream,
};
use gimbal::protocol::Code;
use gimbal::proxy::Proxy;

use super::client::{Client, Speaks};
use super::nameserver::NameServer;
use super::peer::SOON;

/// A proxy about to start.
#[derive(Debug)]
pub(crate) struct Gimbal {
    pub(crate) config: Config,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) proxy: Proxy,
    pub(crate) address: SocketAddr,
}

/// A range of ports that no other test of this run takes: four brokers' worth.
pub(crate) fn free_ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const LEN: u16 = 16;
    // Two runs at once begin in different places; what is taken all the same is passed over.
    let start = u16::try_from(std::process::id() % 900).unwrap();
    let slot = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 1_000;
    let first = 14_000 + slot * LEN;
    (first, first + LEN - 1)
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

impl Gimbal {
    pub(crate) fn before(nameservers: &[&NameServer]) -> Self {
        let listener = Listener {
            name: "main".to_owned(),
            bind: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            addressing: Addressing::Auto,
            broker_ports: Some(free_ports()),
            brokers: BTreeMap::new(),
            rewrite_store_host: false,
            keep_alive: None,
            user_timeout: None,
            tls: None,
            proxy_protocol: ProxyProtocol::default(),
            grpc: None,
            connections: None,
        };
        Self {
            config: Config {
                nameservers: nameservers.iter().map(|ns| ns.address.to_string()).collect(),
                listeners: vec![listener],
                allow: Allow::default(),
                limits: Limits::default(),
                timeouts: Timeouts::default(),
                drain: Drain::default(),
                upstream: Upstream::default(),
                state_dir: None,
                filters: Filters::default(),
                workers: 2,
                credentials: None,
                admin: None,
                metrics: Metrics::default(),
                access_log: AccessLog::default(),
                tracing: Tracing::default(),
                otlp: Otlp::default(),
            },
        }
    }

    pub(crate) fn listener(&mut self) -> &mut Listener {
        &mut self.config.listeners[0]
    }

    pub(crate) fn addressing(mut self, addressing: Addressing) -> Self {
        self.listener().addressing = addressing;
        self
    }

    /// The listener has a port of its own choice rather than the system's, and so the port two below, too.
    pub(crate) fn at_a_fixed_port(mut self) -> Self {
        let (first, _) = free_ports();
        let free =
            (first + 2..first + 8_000).find(|port| [*port, port - 2].iter().all(|port| is_free(*port)));
        self.listener().bind.set_port(free.unwrap());
        self
    }

    /// The ports of brokers are remembered in this folder, for a listener at the same port.
    pub(crate) fn remembering(self, folder: PathBuf) -> Self {
        let mut this = self.at_a_fixed_port();
        this.config.state_dir = Some(folder);
        this
    }

    /// How long this code may wait for its broker.
    pub(crate) fn waiting(mut self, code: Code, limit: Duration) -> Self {
        self.config.timeouts.commands.insert(code, limit);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) async fn start(self) -> Running {
        let proxy = Proxy::start(self.config).await.unwrap();
        let address = proxy.addresses()[0].1;
        Running { proxy, address }
    }
}

impl Running {
    /// Connections closed before anything was served on them, for this cause.
    pub(crate) fn refused(&self, cause: &str) -> u64 {
        let mut counts = self.proxy.openings().refused();
        counts.find(|(name, _)| *name == cause).unwrap().1
    }

    /// Waits until so many connections were closed for this cause: they are counted a moment after they are closed.
    pub(crate) async fn has_refused(&self, count: u64, cause: &str) {
        let reached = async {
            while self.refused(cause) != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let reached = tokio::time::timeout(SOON, reached).await;
        assert!(
            reached.is_ok(),
            "{} instead of {count} were refused as {cause}",
            self.refused(cause)
        );
    }

    /// A client that names the broker in every command, on the shared address.
    pub(crate) async fn client(&self) -> Client {
        self.client_that(Speaks::NAMED).await
    }

    pub(crate) async fn client_that(&self, speaks: Speaks) -> Client {
        Client::connect(self.address, speaks).await
    }

    /// A client on the port of a broker, learnt from the route of `topic`.
    pub(crate) async fn client_on_port_of(&self, broker: &str, topic: &str) -> Client {
        let mut asking = self.client_that(Speaks::NAMELESS).await;
        let route = asking.route(topic).await;
        let address = address_of(&route, broker).parse().unwrap();
        Client::connect(address, Speaks::NAMELESS).await
    }
}

/// The first address of a broker in a route.
pub(crate) fn address_of(route: &serde_json::Value, broker: &str) -> String {
    let brokers = route["brokerDatas"].as_array().unwrap();
    let data = brokers.iter().find(|data| data["brokerName"] == broker).unwrap();
    let first = data["brokerAddrs"].as_object().unwrap().values().next().unwrap();
    first.as_str().unwrap().to_owned()
}
