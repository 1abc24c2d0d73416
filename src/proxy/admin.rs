//! The admin listener of a proxy: its settings become those of the room that serves it.

use std::sync::Arc;

use super::House;
use crate::admin::{Access, Options, Server, StartError};
use crate::config::admin::read_token;
use crate::config::{Admin, Config};
use crate::tls::{CertificateFiles, ClientAuth, ServerSettings, ServerTls, Version};

/// Starts the admin listener.
pub fn start_admin(settings: &Admin, house: Arc<House>) -> Result<Server, StartError> {
    let tls = settings.tls.as_ref().map(|tls| {
        let settings = ServerSettings {
            certificates: vec![CertificateFiles {
                certificate: tls.certificate.clone(),
                key: tls.key.clone(),
            }],
            client_auth: match tls.client_ca {
                Some(_) => ClientAuth::Optional,
                None => ClientAuth::None,
            },
            client_ca: tls.client_ca.clone(),
            min_version: Version::Tls12,
            offers_h2: false,
        };
        ServerTls::new(&settings).map_err(|problem| StartError::Tls(problem.to_string()))
    });
    let options = Options {
        bind: settings.bind,
        access: access(settings),
        read_token,
        tls: tls.transpose()?,
    };
    Server::start(options, house)
}

/// Puts in force what a reload can change.
pub fn apply_admin(server: &Server, config: &Config) {
    if let Some(settings) = &config.admin {
        server.set_access(access(settings));
    }
}

fn access(settings: &Admin) -> Access {
    Access {
        token_file: settings.token_file.clone(),
        has_client_ca: settings.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        open: settings.open.clone(),
        hosts: settings.hosts.clone(),
    }
}

/// The address and the names of TLS files hold until a restart. So does the token where these change: what would do for
/// the new ones may leave the old ones open to everybody.
pub(super) fn keep_bind(config: &mut Config, old: &Config, restart: &mut Vec<String>) {
    match (&mut config.admin, &old.admin) {
        (Some(new), Some(old)) => {
            if new.bind != old.bind || new.tls != old.tls {
                new.token_file.clone_from(&old.token_file);
            }
            super::keep(&mut new.bind, &old.bind, "admin.bind", restart);
            super::keep(&mut new.tls, &old.tls, "admin.tls", restart);
        }
        (None, None) => {}
        (new, old) => super::keep(new, old, "admin.bind", restart),
    }
}
