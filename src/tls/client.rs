//! TLS towards servers: brokers, name servers, and what else is dialled.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};

use super::file::{CertificateFiles, File, Files, Problem, Report};
use super::kept::{CertificateState, Kept, Looked, State};
use super::verify::Verifier;
use super::{Version, provider};

/// How far the certificate of a server is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// It comes from a trusted authority and has the name that was dialled.
    #[default]
    Full,
    /// It comes from a trusted authority; its name does not count. For brokers that are dialled by address.
    Ca,
    /// It is not looked at: whoever is in between can read and change everything. RocketMQ's servers show a self-signed
    /// certificate unless they were given another, and nothing else than this accepts that.
    None,
}

/// How servers are met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientSettings {
    /// How far their certificate is believed.
    pub verify: Verify,
    /// PEM file with the certificates that are trusted; `None` trusts what the system trusts.
    pub ca: Option<PathBuf>,
    /// What to show to servers that ask for a certificate.
    pub certificate: Option<CertificateFiles>,
    /// The name to ask for and to expect, in place of the one that is dialled.
    pub server_name: Option<String>,
    /// The oldest version spoken.
    pub min_version: Version,
    /// Whether HTTP/2 is what will be spoken inside.
    pub is_h2: bool,
}

impl ClientSettings {
    fn files(&self) -> impl Iterator<Item = (File, &Path)> {
        let ca = self.ca.as_deref().map(|path| (File::Authorities, path));
        let own = self.certificate.iter().flat_map(|own| {
            [
                (File::Certificate(0), own.certificate.as_path()),
                (File::Key(0), own.key.as_path()),
            ]
        });
        ca.into_iter().chain(own)
    }

    /// Looks at every file.
    pub fn check(&self) -> Report {
        let files = Files::read(self.files());
        let mut report = Report {
            problems: Vec::new(),
            warnings: files.warnings(),
        };
        if self.ca.is_some()
            && let Err(problem) = files.authorities(File::Authorities)
        {
            report.problems.push(problem);
        }
        if self.certificate.is_some()
            && let Err(problem) = files.certified(0)
        {
            report.problems.push(problem);
        }
        if report.problems.is_empty()
            && let Err(problem) = build(self, &files)
        {
            report.problems.push(problem);
        }
        report
    }
}

/// The client's side of handshakes. Looks at its files again when told to.
#[derive(Debug)]
pub struct ClientTls {
    settings: ClientSettings,
    kept: Kept<ClientConfig>,
}

impl ClientTls {
    /// Reads every file. Blocks for as long as that takes.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(settings: &ClientSettings) -> Result<Self, Problem> {
        let files = Files::read(settings.files());
        let (config, certificates) = build(settings, &files)?;
        Ok(Self {
            settings: settings.clone(),
            kept: Kept::new(config, &files, certificates),
        })
    }

    /// What it was built from.
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// A new connection to the server of this name (or IP address), to be shaken hands over.
    ///
    /// # Errors
    /// The name is none that a certificate could have, and it counts.
    pub fn connection(&self, server_name: &str) -> io::Result<Connection> {
        let name = self.settings.server_name.as_deref().unwrap_or(server_name);
        let name = name
            .strip_prefix('[')
            .and_then(|n| n.strip_suffix(']'))
            .unwrap_or(name);
        let name = match ServerName::try_from(name.to_owned()) {
            Ok(name) => name,
            // No name is sent for an address.
            Err(_) if self.settings.verify != Verify::Full => {
                ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into())
            }
            Err(_) => {
                let what = format!(
                    "{name:?} is no name that a certificate could be for; give the server's name in the settings of TLS"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        };
        let config = self.kept.current();
        ClientConnection::new(config, name)
            .map(Connection::from)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// Looks whether the files have changed, and uses them for later handshakes if they can be; `at_once` even if they
    /// may still be changing. Blocks while it reads them.
    pub fn look(&self, at_once: bool) -> Looked {
        let files = Files::read(self.settings.files());
        self.kept
            .look(&files, at_once, |files| build(&self.settings, files))
    }

    /// What is known of the certificates.
    pub fn state(&self) -> Arc<State> {
        self.kept.state()
    }
}

fn build(settings: &ClientSettings, files: &Files) -> Result<(ClientConfig, Vec<CertificateState>), Problem> {
    let provider = provider();
    let (roots, pinned) = match (&settings.ca, settings.verify) {
        (_, Verify::None) => (RootCertStore::empty(), Vec::new()),
        (Some(_), _) => files.authorities(File::Authorities)?,
        (None, _) => (system_roots()?, Vec::new()),
    };
    let mut known: Vec<CertificateState> = Vec::new();
    let verifier = Verifier {
        verify: settings.verify,
        roots,
        pinned: pinned.clone(),
        provider: Arc::clone(&provider),
    };
    let wants = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(settings.min_version.and_newer())
        .map_err(|error| whole(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.certificate {
        None => wants.with_no_client_auth(),
        Some(own) => {
            let certified = files.certified(0)?;
            known.extend(
                certified
                    .cert
                    .first()
                    .and_then(|der| CertificateState::of(der, Some(&own.certificate))),
            );
            wants.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
        }
    };
    known.extend(pinned.iter().filter_map(|der| {
        let state = CertificateState::of(der, settings.ca.as_deref())?;
        Some(CertificateState {
            is_authority: true,
            ..state
        })
    }));
    if settings.is_h2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok((config, known))
}

fn system_roots() -> Result<RootCertStore, Problem> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _unusable) = store.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(store);
    }
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    Err(Problem {
        file: File::Authorities,
        path: PathBuf::from("the system's certificates"),
        what: format!(
            "cannot be used, as there are none ({}); name a file with the authorities to trust",
            errors.join("; ")
        ),
    })
}

fn whole(error: &rustls::Error) -> Problem {
    Problem {
        file: File::Authorities,
        path: PathBuf::from("TLS"),
        what: format!("cannot be used: {error}"),
    }
}
