//! Who is at the other end of a session, as filters may know it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::protocol::Language;

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
    /// Language of the last request.
    pub language: Language,
    /// Version ordinal of the last request.
    pub version: i32,
}

impl Client {
    /// A client that has said nothing yet.
    pub fn new(peer: SocketAddr, listener: Arc<str>, connection: u64) -> Self {
        Self {
            peer,
            listener,
            connection,
            client_id: None,
            user: None,
            tls_subject: None,
            language: Language::JAVA,
            version: 0,
        }
    }
}
