//! Write Gimbal filters in Rust: a plain function that decides about a command, tested without a broker.
//!
//! A filter is a type with a configuration, a list of what it wants to see, and a function for each hook it has. This
//! one, with its configuration and its test, keeps topics of a kind from being sent to:
//!
//! ```
//! use gimbal_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Frozen {
//!     topics: Patterns,
//! }
//!
//! impl Filter for Frozen {
//!     type Config = Self;
//!     fn new(config: Self) -> Result<Self, String> {
//!         Ok(config)
//!     }
//!     fn interests(&self) -> Vec<Interest> {
//!         vec![Interest::sends().topics(self.topics.iter())]
//!     }
//! }
//!
//! impl Requests for Frozen {
//!     fn on_request(&self, command: &Command) -> Verdict {
//!         if command.is_oneway() {
//!             return Verdict::Drop;
//!         }
//!         Verdict::answer(code::MESSAGE_ILLEGAL, format!("{} is frozen", command.topic().unwrap_or_default()))
//!     }
//! }
//! # // A doc test has no manifest beside it; a filter's crate says:
//! # /*
//!
//! gimbal_sdk::export!(Frozen);
//! # */
//!
//! # fn main() {
//! use gimbal_sdk::testing::{Request, load};
//!
//! let filter = load::<Frozen>(serde_json::json!({ "topics": ["old-*"] })).unwrap();
//! assert_eq!(filter.request(Request::send("old-orders")).answer_code(), Some(13));
//! assert_eq!(filter.request(Request::send("orders")).verdict, Verdict::Forward);
//! # }
//! ```
//!
//! # The crate
//!
//! A filter is a crate with `crate-type = ["cdylib", "rlib"]`, this one and `serde` as dependencies, and a file
//! `manifest.json` beside its `Cargo.toml` (see below). `cargo build --release --target wasm32-unknown-unknown` makes the
//! artefact: put it into Gimbal's filter folder as it is. [`export!`] lists the hooks: `requests`, which is what it means
//! without a list, `responses` and `connections`; the artefact exports those and no more.
//!
//! # What a hook can do
//!
//! * [`Command`]: what is asked or answered. Topic, group, queue and broker are the same for every version of clients;
//!   ext fields go by their names on the wire. [`accesses`](Command::accesses) tells all that a command touches.
//! * [`Messages`]: the user messages inside a send, an answer or a push. The host keeps lengths, checksums, compression and
//!   offsets right. Needs an interest [`with_body`](Interest::with_body).
//! * [`Client`] and [`Names`]: who it is, and what its topics and groups are called at brokers.
//! * [`Store`] and [`Limit`]: values and token buckets that outlive instances.
//! * [`metrics`], [`clock`], [`random`], and the macros [`trace!`], [`debug!`], [`info!`], [`warn!`], [`error!`].
//! * [`Patterns`] and [`Networks`]: `["orders-*"]` and `["10.0.0.0/8"]` in a configuration.
//!
//! # What holds for verdicts
//!
//! * A producer that is answered 215 or 13 gives up at once; 1, 2, 14, 16 and 17 make it try other brokers. Consumers try
//!   everything again, 215 after 20 ms: hold them with [`Verdict::Delay`] instead.
//! * Nobody waits for the answer of a one-way command: drop it. A two-way command cannot be dropped: its client would wait.
//! * Heartbeats, locks and leaving are never held.
//! * A response is forwarded or answered in its place; it cannot be held or dropped.
//! * An impossible verdict, a panic, or a change to a signed command that cannot be signed again is a failure: the
//!   operator's `on_error` decides what becomes of the command. The text of a panic goes to the log.
//!
//! # Tests
//!
//! On any other machine than WebAssembly the same functions are served by [`testing`], which keeps to the rules above: a
//! command that no interest fits is not shown, messages are there only for an interest with a body, and an impossible
//! verdict fails the test. [`testing::check_manifest`] runs the manifest's self-tests, which Gimbal runs at every load.
//!
//! # The manifest
//!
//! ```json
//! {
//!   "name": "frozen",
//!   "version": "0.1.0",
//!   "description": "Keeps topics from being sent to",
//!   "config": { "type": "object", "required": ["topics"], "additionalProperties": false,
//!               "properties": { "topics": { "type": "array", "items": { "type": "string" } } } },
//!   "imports": ["command", "log"],
//!   "on_error": "closed",
//!   "self_tests": [{
//!     "name": "a frozen topic takes nothing",
//!     "config": { "topics": ["old"] },
//!     "request": { "code": 310, "fields": { "b": "old" }, "body": "x" },
//!     "expect": { "answer": 13 }
//!   }]
//! }
//! ```
//!
//! `config` is a JSON schema (draft 2020-12) of the configuration; `imports` the interfaces it uses, `log` among them for
//! panics; `on_error` the failure policy where the operator gives none. A self-test expects `"forward"`, `"delay"`,
//! `"drop"`, `"close"` or `{"answer": code}`; its request may say `"oneway": true` and
//! `"client": {"ip": "10.0.0.1", "user": "alice"}`.

#[expect(
    clippy::mem_forget,
    clippy::same_length_and_capacity,
    reason = "generated code hands memory to the host and back"
)]
#[doc(hidden)]
pub mod bindings;
mod client;
pub mod code;
mod command;
pub mod config;
#[doc(hidden)]
pub mod hook;
pub mod log;
mod message;
mod network;
mod pattern;
mod store;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod verdict;

pub use bindings::gimbal::filter::types::{Access, Action, Answer, Code, Interest, Level, Phase, Verdict};
pub use client::{Client, Names};
pub use command::Command;
pub use hook::{Connections, Filter, Requests, Responses};
pub use log::{clock, metrics, random};
pub use message::{Message, Messages};
pub use network::{Network, Networks};
pub use pattern::{Pattern, Patterns};
pub use store::{Limit, Store};

#[cfg(target_family = "wasm")]
use bindings::gimbal::filter as host;
#[cfg(not(target_family = "wasm"))]
use testing::fake as host;

/// What nearly every filter uses: `use gimbal_sdk::prelude::*;`.
pub mod prelude {
    pub use serde::Deserialize;

    pub use crate::{
        Client, Code, Command, Connections, Filter, Interest, Limit, Message, Messages, Networks, Patterns,
        Requests, Responses, Store, Verdict, code, metrics,
    };
}
