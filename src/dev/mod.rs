//! Throw-away stub.
use std::net::SocketAddr;
/// Stub.
#[derive(Debug)]
pub struct Cluster(Options, tokio::net::TcpListener);
/// Stub.
#[derive(Debug)]
pub struct Options {
    /// Stub.
    pub nameserver: SocketAddr,
    /// Stub.
    pub broker: SocketAddr,
    /// Stub.
    pub brokers: usize,
}
impl Cluster {
    /// Stub.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let l = tokio::net::TcpListener::bind(options.nameserver).await?;
        Ok(Self(options, l))
    }
    /// Stub.
    pub fn nameserver(&self) -> SocketAddr {
        self.1.local_addr().unwrap()
    }
    /// Stub.
    pub fn brokers(&self) -> Vec<SocketAddr> {
        vec![self.0.broker]
    }
}
