//! What a listener shakes hands with: certificates towards clients, and TLS towards its gRPC upstream.

use std::sync::Arc;

use tracing::{error, info, warn};

use crate::config::Listener as Settings;
use crate::tls::{ClientTls, Looked, Problem, ServerTls};

/// Both sides, where there is TLS.
#[derive(Debug)]
pub(super) struct Handshakes {
    /// Towards clients.
    pub(super) server: Option<Arc<ServerTls>>,
    /// Towards the gRPC upstream.
    pub(super) grpc: Option<Arc<ClientTls>>,
}

impl Handshakes {
    /// Reads the files of these settings.
    pub(super) fn new(settings: &Settings) -> Result<Self, Problem> {
        let server = settings.tls.as_ref().map(|tls| ServerTls::new(&tls.settings));
        let grpc = settings
            .grpc
            .as_ref()
            .and_then(|grpc| grpc.tls.as_ref())
            .map(ClientTls::new);
        Ok(Self {
            server: server.transpose()?.map(Arc::new),
            grpc: grpc.transpose()?.map(Arc::new),
        })
    }

    /// Those of new settings: what has not changed looks at its files at once; what cannot be read stays as it was,
    /// although it was checked a moment ago.
    pub(super) fn renewed(old: &Self, settings: &Settings) -> Self {
        let name = &settings.name;
        let server = settings.tls.as_ref().map(|tls| &tls.settings);
        let grpc = settings.grpc.as_ref().and_then(|grpc| grpc.tls.as_ref());
        let same_server = old.server.as_ref().filter(|old| Some(old.settings()) == server);
        let same_grpc = old.grpc.as_ref().filter(|old| Some(old.settings()) == grpc);
        let kept = Self {
            server: same_server.cloned(),
            grpc: same_grpc.cloned(),
        };
        kept.look(name, true);
        Self {
            server: server.and_then(|new| {
                kept.server
                    .clone()
                    .or_else(|| or_old(ServerTls::new(new), old.server.as_ref(), name))
            }),
            grpc: grpc.and_then(|new| {
                kept.grpc
                    .clone()
                    .or_else(|| or_old(ClientTls::new(new), old.grpc.as_ref(), name))
            }),
        }
    }

    /// Whether there are any files to look at.
    pub(super) fn has_files(&self) -> bool {
        self.server.is_some() || self.grpc.is_some()
    }

    /// Looks at the files; see [`ServerTls::look`]. Blocks while it reads.
    pub(super) fn look(&self, listener: &str, at_once: bool) {
        if let Some(server) = &self.server {
            tell(&server.look(at_once), listener, "towards clients");
        }
        if let Some(grpc) = &self.grpc {
            tell(&grpc.look(at_once), listener, "towards the gRPC upstream");
        }
    }
}

fn or_old<T>(new: Result<T, Problem>, old: Option<&Arc<T>>, listener: &str) -> Option<Arc<T>> {
    match new {
        Ok(new) => Some(Arc::new(new)),
        Err(problem) => {
            error!(listener, %problem, "the settings of TLS stay as they were");
            old.cloned()
        }
    }
}

fn tell(looked: &Looked, listener: &str, side: &str) {
    match looked {
        Looked::Same => {}
        Looked::Replaced => info!(listener, "new certificates {side} are in force"),
        Looked::Kept(problem) => {
            warn!(listener, file = %problem.path.display(), "new certificates {side} cannot be used, so the old ones stay: {problem}");
        }
    }
}
