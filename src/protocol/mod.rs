//! The remoting wire format: bytes in, values out. No sockets, tasks, clocks or logs.
//!
//! ```text
//!  0        4        8                 8+H                4+L
//!  +--------+-+------+-----------------+------------------+
//!  | length |T|  H   | header, H bytes | body             |
//!  |   L    | |      | T=0 JSON        | opaque bytes     |
//!  |        | |      | T=1 binary      |                  |
//!  +--------+-+------+-----------------+------------------+
//!  big-endian; L counts everything after itself
//! ```
//!
//! Three depths of knowing a command, each paid for only when needed: a [`Frame`] (where it ends), a [`Head`] (what it
//! is, found by one scan that builds nothing), a [`Command`] (every field, editable). What is not edited keeps its bytes.
#![warn(clippy::arithmetic_side_effects)]

mod binary;
pub mod body;
mod code;
mod codec;
mod command;
mod entries;
mod error;
mod frame;
mod head;
mod index;
mod json;
mod language;
mod patch;
mod scan;
mod unescape;

pub use code::{Code, request, response};
pub use command::{Command, Field, OWN_VERSION, Text, version_name};
pub use error::{DecodeError, EncodeError};
pub use frame::{FRAME_LIMIT, Frame, Kind};
pub use head::{FieldSink, Fields, Head, Value};
pub use index::Index;
pub use language::Language;

/// Bit 0 of `flag`: the frame is a response.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit 1 of `flag`: nobody waits for an answer.
pub const FLAG_ONEWAY: i32 = 2;
