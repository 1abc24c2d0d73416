//! Write Gimbal filters in Rust: a plain function that decides about a command, tested without a broker.

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
