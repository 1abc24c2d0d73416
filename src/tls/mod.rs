//! TLS: the only place that reads certificates and keys and decides how handshakes are made.
//!
//! [`ServerTls`] is what clients meet, [`ClientTls`] what servers meet. Both are built from [files](File) and look at
//! them again when told to: what can be used is in force for the next handshake, what cannot changes nothing and is
//! told, in the log and in [`State`]. Nothing here opens a socket.

mod client;
mod file;
mod kept;
mod made;
mod server;
mod subject;
mod verify;

pub use client::{ClientSettings, ClientTls, Verify};
pub use file::{CertificateFiles, File, Problem, Report};
pub use kept::{CertificateState, Looked, POLL, State};
pub use made::{Made, self_signed};
pub use server::{ClientAuth, ServerSettings, ServerTls};
pub use subject::peer_subject;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// 1.2: what RocketMQ's clients of every age speak.
    #[default]
    Tls12,
    /// 1.3.
    Tls13,
}

static TLS12_UP: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
static TLS13_UP: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

impl Version {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => &TLS12_UP,
            Self::Tls13 => &TLS13_UP,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
