//! The client at the other end of the connection, and what its topics and groups are called at brokers.

use crate::host::{client as host, names};

/// The client whose command is under decision.
#[derive(Debug)]
pub struct Client(());

impl Client {
    #[doc(hidden)]
    pub fn current() -> Self {
        Self(())
    }

    /// Its address as `ip:port`, with brackets around IPv6.
    pub fn peer(&self) -> String {
        host::peer()
    }

    /// Its IP address alone.
    pub fn ip(&self) -> String {
        host::ip()
    }

    /// Name of the listener it came in by.
    pub fn listener(&self) -> String {
        host::listener()
    }

    /// Its client id, once a heartbeat or the command under decision told it.
    pub fn id(&self) -> Option<String> {
        host::client_id()
    }

    /// Language of its last request.
    pub fn language(&self) -> String {
        host::language()
    }

    /// Version ordinal of its last request.
    pub fn version(&self) -> i32 {
        host::version()
    }

    /// The access key of the command's signature, if it was verified at this edge. Never a name that the client merely
    /// claims.
    pub fn user(&self) -> Option<String> {
        host::user()
    }

    /// Subject of its TLS certificate, if it showed one that was verified.
    pub fn tls_subject(&self) -> Option<String> {
        host::tls_subject()
    }

    /// Number of the connection; never used twice while Gimbal runs.
    pub fn connection(&self) -> u64 {
        host::connection()
    }

    /// The mapping of topics and groups of this connection.
    pub fn names(&self) -> Names {
        Names::current()
    }
}

/// What topics and groups of this connection are called at brokers. The host replaces them wherever a name travels,
/// both ways. A mapping belongs to the connection and to the filter that made it.
#[derive(Debug)]
pub struct Names(());

impl Names {
    pub(crate) fn current() -> Self {
        Self(())
    }

    /// Puts this before every topic; empty for none. Letters, digits, `_`, `-`, `%` and `|`.
    pub fn set_topic_prefix(&self, prefix: &str) -> Result<(), String> {
        names::set_topic_prefix(prefix)
    }

    /// Puts this before every group.
    pub fn set_group_prefix(&self, prefix: &str) -> Result<(), String> {
        names::set_group_prefix(prefix)
    }

    /// Maps one topic; it goes before the prefix.
    pub fn map_topic(&self, client: &str, broker: &str) -> Result<(), String> {
        names::map_topic(client, broker)
    }

    /// Maps one group.
    pub fn map_group(&self, client: &str, broker: &str) -> Result<(), String> {
        names::map_group(client, broker)
    }

    /// Ends the mapping.
    pub fn clear(&self) {
        names::clear();
    }

    /// What a topic of the client is called at the broker.
    pub fn topic_at_broker(&self, topic: &str) -> String {
        names::topic_at_broker(topic)
    }

    /// What a group of the client is called at the broker.
    pub fn group_at_broker(&self, group: &str) -> String {
        names::group_at_broker(group)
    }
}
