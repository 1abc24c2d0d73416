//! The admin listener: what operators, Prometheus and Kubernetes ask, the console in a browser, and a few actions.
//!
//! It runs on a thread of its own, so it answers when sessions are busy, and sessions do not notice it. All it shows is
//! handed to it through [`House`]; all that is done goes through [`House::act`].
//!
//! | path | what |
//! |---|---|
//! | `/livez` | 200 while this thread runs; nothing else can fail it, since a restart would not help |
//! | `/readyz` | 200, or 503 with the reasons: draining, a required filter missing, no name server heard yet |
//! | `/metrics` | Prometheus' text format |
//! | `/api/v1/...` | JSON, described by `/api/v1/openapi.json` |
//! | `/` | the console |
//!
//! Name servers that cannot be reached later leave readiness as it is: they are the same for every instance, so all of
//! them would be taken out of service at once, while known routes still serve.

mod acts;
mod api;
mod connection;
mod console;
mod document;
mod guard;
mod house;
mod record;
mod reply;
mod server;
mod stream;
pub mod view;

pub use document::openapi;
pub use guard::{Access, ReadToken};
pub use house::{Action, Ending, House, Recording, Refused};
pub use server::{Options, Server, StartError};
