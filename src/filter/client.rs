//! Who is at the other end of a session, as filters may know it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Proxied;
use crate::protocol::Language;

/// How a client came in.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The client's address; after a PROXY protocol header, the one it says.
    pub peer: SocketAddr,
    /// Subject of the TLS certificate that the client has proved to hold, as text after RFC 4514. Where a trusted balancer
    /// ends TLS: `CN=` and the common name that it verified.
    pub tls_subject: Option<Arc<str>>,
    /// What a balancer said of it.
    pub proxied: Option<Arc<Proxied>>,
}

impl From<SocketAddr> for Origin {
    /// A client that came straight, in clear.
    fn from(peer: SocketAddr) -> Self {
        Self {
            peer,
            tls_subject: None,
            proxied: None,
        }
    }
}

/// Facts about a client connection. What changes with a command (the user, the client id) is set per command.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's address.
    pub peer: SocketAddr,
    /// Name of the listener.
    pub listener: Arc<str>,
    /// Number of the connection.
    pub connection: u64,
    /// Client id of the last heartbeat.
    pub client_id: Option<Arc<str>>,
    /// Verified user of the command under decision.
    pub user: Option<Arc<str>>,
    /// Subject of a verified TLS certificate.
    pub tls_subject: Option<Arc<str>>,
    /// What a balancer said of it.
    pub proxied: Option<Arc<Proxied>>,
    /// Language of the last request.
    pub language: Language,
    /// Version ordinal of the last request.
    pub version: i32,
    /// Topics that no filter can map.
    pub own_topics: OwnTopics,
}

/// Tells topics that belong to brokers and clusters, named as those are. Without a way to tell, none does.
#[derive(Clone, Default)]
pub struct OwnTopics(Option<Arc<Tell>>);

type Tell = dyn Fn(&str) -> bool + Send + Sync;

impl OwnTopics {
    /// Those that `has` says yes to.
    pub fn new(has: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(has)))
    }

    /// Whether this topic is one.
    pub fn has(&self, topic: &str) -> bool {
        self.0.as_ref().is_some_and(|has| has(topic))
    }
}

impl fmt::Debug for OwnTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnTopics")
    }
}

impl Client {
    /// A client that has said nothing yet.
    pub fn new(origin: impl Into<Origin>, listener: Arc<str>, connection: u64) -> Self {
        let Origin {
            peer,
            tls_subject,
            proxied,
        } = origin.into();
        Self {
            peer,
            listener,
            connection,
            client_id: None,
            user: None,
            tls_subject,
            proxied,
            language: Language::JAVA,
            version: 0,
            own_topics: OwnTopics::default(),
        }
    }

    /// The same on a cluster with these topics of its own.
    #[must_use]
    pub fn with_own_topics(mut self, own_topics: OwnTopics) -> Self {
        self.own_topics = own_topics;
        self
    }
}
