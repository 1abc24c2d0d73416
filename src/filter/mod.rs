//! What a filter is, without saying that it is WebAssembly: what it wants to see, what it may decide, and in what order.
//!
//! ```text
//!  request  ──▶ interest? ──▶ A ──▶ B ──▶ C ──▶ broker      interest and scope are looked at natively;
//!  response ◀──────────────── A ◀── B ◀── C ◀── broker      a command that nobody wants is not decoded
//! ```
//!
//! Invariants of a [`Chain`]:
//!
//! 1. It never changes. A reload makes a new one; whoever began with the old one finishes with it.
//! 2. A filter that fails costs its command at most, as its [`Policy`] says: never the connection, never another filter.
//! 3. What a failed or shadowed filter changed is undone before anybody else sees it.
//! 4. A two-way command is answered, held for a bounded time, or goes on: it is never dropped.
//! 5. A signed command is never forwarded with a broken signature.

mod access;
mod chain;
mod client;
mod failure;
pub mod folder;
mod interest;
mod limits;
mod load;
pub mod messages;
pub mod names;
mod numbers;
mod proxied;
pub mod recorded;
mod state;
mod status;
mod store;
mod subject;
mod trail;
mod verdict;
mod watch;

pub use access::{Access, Action};
pub use chain::{Chain, Member, Mode, Outcome, waits_for_messages};
pub use client::{Client, Origin, OwnTopics};
pub use failure::{Failure, Policy, quiet_code};
pub use interest::{Interest, Patterns, Phase, Scope};
pub use limits::{Limits, Rate};
pub use load::{About, Budget, LoadError, Loaded, Loader, Source};
pub use numbers::{BOUNDS, Change, Labels, Numbers, Value};
pub use proxied::Proxied;
pub use state::State;
pub use status::{CALL_BOUNDS, Counters, Decision};
pub use store::{Store, StoreError, Terms};
pub use subject::{Asked, Names, Parts, Signed, Subject, Way};
pub use trail::{Decided, Trail};
pub use verdict::{Answer, Verdict};
pub use watch::Watch;

/// Which of a filter's functions is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// A request on its way to a broker, or a broker's on its way to the client.
    Request,
    /// The answer to it.
    Response,
    /// A connection, before its first command.
    Connect,
    /// A connection that has ended.
    Disconnect,
}

/// Which functions a filter has.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each interface that a filter may export"
)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hooks {
    /// It sees requests.
    pub requests: bool,
    /// It sees responses.
    pub responses: bool,
    /// It sees connections come and go.
    pub connections: bool,
}

/// One loaded filter with one configuration: what a chain calls.
pub trait Filter: std::fmt::Debug + Send + Sync {
    /// What it asked to see.
    fn interests(&self) -> &[Interest];

    /// Which functions it has.
    fn hooks(&self) -> Hooks;

    /// Calls one function about `subject`, which comes back with what was changed in it. A refused connection is a
    /// [`Verdict::Close`]. Returns within the filter's time budget; never panics.
    fn call(&self, hook: Hook, subject: Box<Subject>) -> (Box<Subject>, Result<Verdict, Failure>);
}
