//! How connections opened, in numbers; and log lines about those that did not, once in a while.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{debug, info, warn};

use super::{Opened, Refusal, Spoken};
use crate::telemetry::Sometimes;

/// Connections that opened and that did not, since the start; of all listeners.
#[derive(Debug, Default)]
pub struct Openings {
    /// Those that speak remoting, in clear or under TLS.
    pub remoting: AtomicU64,
    /// Those that speak HTTP/2, passed on to the gRPC upstream.
    pub http2: AtomicU64,
    /// Those that speak HTTP/1, told where they are.
    pub http1: AtomicU64,
    /// Those under TLS, whatever is spoken inside.
    pub tls: AtomicU64,
    /// Those with a PROXY protocol header.
    pub proxied: AtomicU64,
    /// Connections passed on to the gRPC upstream now.
    pub grpc_now: Gauge,
    /// Those that could not be passed on, as their upstream could not be reached.
    pub grpc_failed: AtomicU64,
    /// Bytes passed on to the gRPC upstream, without what TLS adds.
    pub grpc_sent: AtomicU64,
    /// Bytes passed on from the gRPC upstream, without what TLS adds.
    pub grpc_received: AtomicU64,
    /// Those closed before anything was served, by [`Self::CAUSES`].
    refused: [Refused; Self::CAUSES.len()],
    unreachable: Sometimes,
}

/// What is counted up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// One more, until this is dropped.
#[derive(Debug)]
pub(in crate::downstream) struct Counted<'a>(&'a Gauge);

#[derive(Debug, Default)]
struct Refused {
    count: AtomicU64,
    voice: Sometimes,
}

impl Gauge {
    /// How many there are.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::downstream) fn one_more(&self) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Openings {
    /// Why connections are closed before anything is served on them, one word each.
    pub const CAUSES: [&'static str; 11] = [
        "slow",
        "left",
        "failed",
        "header_forbidden",
        "header_malformed",
        "header_missing",
        "tls_disabled",
        "tls_required",
        "tls_failed",
        "grpc_disabled",
        "foreign",
    ];

    /// How many were closed before anything was served, by cause.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .refused
            .iter()
            .map(|refused| refused.count.load(Ordering::Relaxed));
        Self::CAUSES.into_iter().zip(counts)
    }

    pub(in crate::downstream) fn note_opened(&self, opened: &Opened) {
        let spoken = match opened.spoken {
            Spoken::Remoting => &self.remoting,
            Spoken::Http2 => &self.http2,
            Spoken::Http1 => &self.http1,
        };
        spoken.fetch_add(1, Ordering::Relaxed);
        if opened.stream.is_tls() {
            self.tls.fetch_add(1, Ordering::Relaxed);
        }
        if opened.origin.proxied.is_some() {
            self.proxied.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(in crate::downstream) fn note_refused(&self, refusal: &Refusal, listener: &str, peer: SocketAddr) {
        let Some(refused) = self.refused.get(refusal.cause()) else {
            return;
        };
        refused.count.fetch_add(1, Ordering::Relaxed);
        match refusal {
            // Health checks of balancers do this all day.
            Refusal::Left | Refusal::Failed(_) => {
                debug!(listener, %peer, "a connection is closed: {refusal}");
            }
            _ => {
                let Some(left_out) = refused.voice.turn() else {
                    return;
                };
                if let Refusal::Slow(_) = refusal {
                    info!(listener, %peer, left_out, "a connection is closed: {refusal}");
                } else {
                    warn!(listener, %peer, left_out, "a connection is refused: {refusal}");
                }
            }
        }
    }

    pub(in crate::downstream) fn note_unreachable(
        &self,
        listener: &str,
        upstream: &str,
        error: &std::io::Error,
    ) {
        self.grpc_failed.fetch_add(1, Ordering::Relaxed);
        if let Some(left_out) = self.unreachable.turn() {
            warn!(listener, upstream, %error, left_out, "a gRPC client is closed: its upstream cannot be reached");
        }
    }
}

impl Refusal {
    /// Its place among [`Openings::CAUSES`].
    fn cause(&self) -> usize {
        match self {
            Self::Slow(_) => 0,
            Self::Left => 1,
            Self::Failed(_) => 2,
            Self::HeaderForbidden => 3,
            Self::HeaderMalformed(_) => 4,
            Self::HeaderMissing => 5,
            Self::TlsDisabled => 6,
            Self::TlsRequired => 7,
            Self::TlsFailed(_) => 8,
            Self::GrpcDisabled => 9,
            Self::Foreign(_) => 10,
        }
    }
}
