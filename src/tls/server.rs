//! TLS towards clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{Connection, ServerConfig, ServerConnection};

use super::file::{CertificateFiles, File, Files, Problem, Report};
use super::kept::{CertificateState, Kept, Looked, State};
use super::subject::dns_names;
use super::{Version, provider};

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked; one that is shown must come from the client authority.
    Optional,
    /// Those without one are turned away.
    Required,
}

/// How clients are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// What to show. Of several, the one that has the name a client asks for, else the first; at least one.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// PEM file with the certificates that those of clients must come from.
    pub client_ca: Option<PathBuf>,
    /// The oldest version spoken.
    pub min_version: Version,
    /// Whether HTTP/2 is offered inside.
    pub offers_h2: bool,
}

impl ServerSettings {
    fn files(&self) -> impl Iterator<Item = (File, &Path)> {
        let own = self.certificates.iter().enumerate().flat_map(|(index, own)| {
            [
                (File::Certificate(index), own.certificate.as_path()),
                (File::Key(index), own.key.as_path()),
            ]
        });
        let ca = self.client_ca.as_deref().map(|path| (File::Authorities, path));
        own.chain(ca)
    }

    /// Looks at every file.
    pub fn check(&self) -> Report {
        let files = Files::read(self.files());
        let own = (0..self.certificates.len()).filter_map(|index| files.certified(index).err());
        let mut problems: Vec<Problem> = own.collect();
        if self.client_ca.is_some() {
            problems.extend(files.authorities(File::Authorities).err());
        }
        if problems.is_empty() {
            problems.extend(build(self, &files).err());
        }
        Report {
            problems,
            warnings: files.warnings(),
        }
    }
}

/// The server's side of handshakes. Looks at its files again when told to.
#[derive(Debug)]
pub struct ServerTls {
    settings: ServerSettings,
    kept: Kept<ServerConfig>,
}

impl ServerTls {
    /// Reads every file. Blocks for as long as that takes.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(settings: &ServerSettings) -> Result<Self, Problem> {
        let files = Files::read(settings.files());
        let (config, certificates) = build(settings, &files)?;
        Ok(Self {
            settings: settings.clone(),
            kept: Kept::new(config, &files, certificates),
        })
    }

    /// What it was built from.
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// A new connection, to be shaken hands over.
    ///
    /// # Errors
    /// None that files which were accepted could cause.
    pub fn connection(&self) -> Result<Connection, rustls::Error> {
        let config = self.kept.current();
        ServerConnection::new(config).map(Connection::from)
    }

    /// What connections are made of now, for servers that shake hands themselves.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.kept.current()
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

fn build(settings: &ServerSettings, files: &Files) -> Result<(ServerConfig, Vec<CertificateState>), Problem> {
    let provider = provider();
    let mut known = Vec::new();
    let mut choices = Vec::new();
    for (index, own) in settings.certificates.iter().enumerate() {
        let certified = files.certified(index)?;
        let leaf = certified.cert.first();
        known.extend(leaf.and_then(|der| CertificateState::of(der, Some(&own.certificate))));
        choices.push(Choice {
            names: leaf.map(|der| dns_names(der)).unwrap_or_default(),
            certified: Arc::new(certified),
        });
    }
    let wants = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(settings.min_version.and_newer())
        .map_err(|error| whole(format!("cannot be used: {error}")))?;
    let authorities = match (&settings.client_ca, settings.client_auth) {
        (_, ClientAuth::None) => None,
        (None, _) => {
            return Err(whole(
                "needs the authorities that certificates of clients come from".to_owned(),
            ));
        }
        (Some(path), _) => Some((path, files.authorities(File::Authorities)?)),
    };
    let wants = match authorities {
        None => wants.with_no_client_auth(),
        Some((path, (roots, certificates))) => {
            known.extend(authority_states(&certificates, path));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match settings.client_auth {
                ClientAuth::Optional => verifier.allow_unauthenticated(),
                ClientAuth::None | ClientAuth::Required => verifier,
            };
            let verifier = verifier.build().map_err(|error| Problem {
                file: File::Authorities,
                path: path.clone(),
                what: format!("cannot be used: {error}"),
            })?;
            wants.with_client_cert_verifier(verifier)
        }
    };
    let mut config = wants.with_cert_resolver(Arc::new(Resolver(choices)));
    if settings.offers_h2 {
        // With HTTP/1.1, so that whoever speaks that alone is told where it is rather than that it cannot be.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok((config, known))
}

fn authority_states(certificates: &[CertificateDer<'_>], path: &Path) -> Vec<CertificateState> {
    let one = |der| {
        let state = CertificateState::of(der, Some(path))?;
        Some(CertificateState {
            is_authority: true,
            ..state
        })
    };
    certificates.iter().filter_map(one).collect()
}

fn whole(what: String) -> Problem {
    Problem {
        file: File::Authorities,
        path: PathBuf::from("TLS"),
        what,
    }
}

/// Picks the certificate for the name that a client asks for.
#[derive(Debug)]
struct Resolver(Vec<Choice>);

#[derive(Debug)]
struct Choice {
    names: Vec<String>,
    certified: Arc<CertifiedKey>,
}

impl Choice {
    fn has(&self, asked: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            // A star stands for one label.
            Some(rest) => asked.split_once('.').is_some_and(|(_, parent)| parent == rest),
            None => name == asked,
        })
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let schemes = hello.signature_schemes();
        let fits = |choice: &&Choice| choice.certified.key.choose_scheme(schemes).is_some();
        let named = || {
            asked
                .as_deref()
                .into_iter()
                .flat_map(|asked| self.0.iter().filter(move |c| c.has(asked)))
        };
        let choice = named()
            .find(fits)
            .or_else(|| named().next())
            .or_else(|| self.0.first());
        choice.map(|choice| Arc::clone(&choice.certified))
    }
}
