//! Which commands a filter wants to see, and which its operator lets it see; judged without calling it.

use std::net::IpAddr;

use ipnet::IpNet;
use wildmatch::WildMatch;

use super::{Client, access::Facts};
use crate::protocol::Code;

/// On which of its two ways a command is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The request.
    Request,
    /// The response.
    Response,
}

/// Patterns with `*` for any text and `?` for one character; none at all means anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patterns(Vec<WildMatch>);

impl Patterns {
    /// Patterns as written.
    pub fn new<T: AsRef<str>>(written: &[T]) -> Self {
        Self(
            written
                .iter()
                .map(|pattern| WildMatch::new(pattern.as_ref()))
                .collect(),
        )
    }

    /// Whether anything fits.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        self.is_any() || self.0.iter().any(|pattern| pattern.matches(text))
    }

    /// Whether any of `names` fits; without names only "anything" fits.
    fn matches_any<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        self.is_any() || names.any(|name| self.matches(name))
    }

    /// The patterns as written.
    pub fn written(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

/// One kind of command that a filter asked to see.
#[expect(
    clippy::struct_excessive_bools,
    reason = "three independent wishes, as the contract has them"
)]
#[derive(Debug, Clone, PartialEq)]
pub struct Interest {
    /// Request codes; empty for every code that clients send.
    pub codes: Vec<Code>,
    /// Whether it wants the request.
    pub requests: bool,
    /// Whether it wants the response.
    pub responses: bool,
    /// Topics.
    pub topics: Patterns,
    /// Groups.
    pub groups: Patterns,
    /// Whether it reads or changes bodies.
    pub needs_body: bool,
}

impl Interest {
    /// Whether it may want commands of this code in this phase; `is_push` for requests of brokers.
    pub(super) fn wants_code(&self, phase: Phase, code: Code, is_push: bool) -> bool {
        let in_phase = match phase {
            Phase::Request => self.requests,
            Phase::Response => self.responses,
        };
        in_phase && (self.codes.contains(&code) || (self.codes.is_empty() && !is_push))
    }

    /// Whether the names in the command fit.
    pub(super) fn wants_names(&self, facts: &Facts) -> bool {
        self.topics.matches_any(facts.topics()) && self.groups.matches_any(facts.groups())
    }

    /// Whether it must know which topics and groups there are.
    pub(super) fn looks_at_names(&self) -> bool {
        !self.topics.is_any() || !self.groups.is_any()
    }
}

/// What the operator lets a filter see; empty parts mean anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// Topics.
    pub topics: Patterns,
    /// Groups.
    pub groups: Patterns,
    /// Client ids.
    pub clients: Patterns,
    /// Verified users; commands without one fit only "anything".
    pub users: Patterns,
    /// Client addresses.
    pub addresses: Vec<IpNet>,
    /// Listeners by name.
    pub listeners: Patterns,
    /// Request codes.
    pub codes: Vec<Code>,
}

impl Scope {
    /// Whether commands of this code may be seen.
    pub(super) fn has_code(&self, code: Code) -> bool {
        self.codes.is_empty() || self.codes.contains(&code)
    }

    /// Whether this client's commands may be seen.
    pub(super) fn has_client(&self, client: &Client) -> bool {
        let optional = |patterns: &Patterns, name: Option<&str>| patterns.matches_any(name.into_iter());
        let address = canonical(client.peer.ip());
        self.listeners.matches(&client.listener)
            && optional(&self.clients, client.client_id.as_deref())
            && optional(&self.users, client.user.as_deref())
            && (self.addresses.is_empty() || self.addresses.iter().any(|net| net.contains(&address)))
    }

    /// Whether commands with these names may be seen.
    pub(super) fn has_names(&self, facts: &Facts) -> bool {
        self.topics.matches_any(facts.topics()) && self.groups.matches_any(facts.groups())
    }

    /// Whether it must know which topics and groups there are.
    pub(super) fn looks_at_names(&self) -> bool {
        !self.topics.is_any() || !self.groups.is_any()
    }
}

/// An IPv4 address that came in on an IPv6 socket is an IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
