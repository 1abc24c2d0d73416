//! Where a command goes.
//!
//! A *topic route* is what a name server answers: topic to queues and brokers. The [`Directory`] learns them, keeps
//! the addresses of brokers by name, and asks one question at a time per topic. The *router* is [`plan`]: from a request
//! code and its fields to a [`Plan`], which names a broker, a topic or a group but never an address. [`Transactions`]
//! remembers which broker holds a half message for clients that will not say.

mod directory;
mod max_wait;
mod permit;
mod router;
mod table;
mod transactions;

pub use directory::{Directory, Lookup, LookupError};
pub use max_wait::{max_hold, max_wait, wait_after_hold};
pub use permit::{is_nameserver_code, refusal};
pub use router::{Plan, plan};
pub use table::BrokerAddress;
pub use transactions::{HalfMessage, Transactions};
