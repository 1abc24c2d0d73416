//! gRPC behind a listener, as it is written and as it is checked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::host_port;
use super::problem::{Problems, join};
use super::tls::{ClientSection, check_client};
use crate::tls::ClientSettings;

/// Where clients that speak gRPC are passed on to, byte for byte: the port is theirs too then.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcSection {
    /// The gRPC port of RocketMQ's own proxy, as host:port. Default: none, and clients that speak gRPC are turned away.
    pub upstream: Option<String>,
    /// Says in a PROXY protocol header (version 2) who the client is. Only where the upstream reads one.
    pub proxy_protocol: bool,
    /// TLS towards the upstream.
    pub tls: ClientSection,
}

/// Where clients that speak gRPC are passed on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grpc {
    /// `host:port`.
    pub upstream: String,
    /// Whether a PROXY protocol header says who the client is.
    pub proxy_protocol: bool,
    /// TLS towards it, if that is spoken.
    pub tls: Option<ClientSettings>,
}

/// Checks what is written at `path`.
pub(super) fn check_grpc(written: &GrpcSection, path: &str, problems: &mut Problems) -> Option<Grpc> {
    const ACCEPTED: &str = "HOST:PORT, such as \"10.0.0.1:8081\" or \"proxy.example.org:8081\"";
    let tls = check_client(&written.tls, true, &join(path, "tls"), problems);
    let at = join(path, "upstream");
    let Some(upstream) = &written.upstream else {
        if *written != GrpcSection::default() {
            problems.error(&at, "is missing", ACCEPTED);
        }
        return None;
    };
    match host_port(upstream) {
        Err(what) => problems.error(&at, what, ACCEPTED),
        Ok((_, 0)) => problems.error(&at, "has port 0", ACCEPTED),
        Ok(_) => {}
    }
    Some(Grpc {
        upstream: upstream.clone(),
        proxy_protocol: written.proxy_protocol,
        tls,
    })
}
