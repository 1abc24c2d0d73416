//! Files with certificates and keys: what is in them, or what is wrong with them.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::provider;

/// Bytes of one file; bundles of all public authorities have a quarter of this.
const LARGEST: u64 = 1 << 20;

/// A certificate with those that issued it, and its private key; both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate first, then the one that issued it, and so on; the root may be left out.
    pub certificate: PathBuf,
    /// The key, in PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Which file of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The certificate with this index.
    Certificate(usize),
    /// The key of the certificate with this index.
    Key(usize),
    /// The certificates of authorities.
    Authorities,
}

/// What keeps a file from being used, or is to be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which file it is.
    pub file: File,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it, a phrase.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.what)
    }
}

impl std::error::Error for Problem {}

/// Everything found while looking at the files of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What keeps them from being used.
    pub problems: Vec<Problem>,
    /// What does not, but somebody should know.
    pub warnings: Vec<Problem>,
}

/// One part of a PEM file: what it is, and its bytes.
type Section = (SectionKind, Vec<u8>);

/// The bytes of files, read once.
#[derive(Debug)]
pub(super) struct Files(Vec<Content>);

struct Content {
    file: File,
    path: PathBuf,
    bytes: Result<Vec<u8>, String>,
    /// Its permission bits.
    mode: u32,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The same bytes, or none, in each file. Differing bytes differ here too, but for accidents.
pub(super) type Fingerprint = Vec<Option<u64>>;

impl Files {
    /// Reads these files. What cannot be read is told by whoever needs it.
    pub(super) fn read<'a>(files: impl IntoIterator<Item = (File, &'a Path)>) -> Self {
        let read = |(file, path): (File, &Path)| {
            let mut mode = 0;
            let bytes = std::fs::File::open(path).and_then(|open| {
                mode = open.metadata()?.permissions().mode();
                let mut bytes = Vec::new();
                open.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes)?;
                Ok(bytes)
            });
            let bytes = match bytes {
                Err(error) => Err(format!("cannot be read: {error}")),
                Ok(bytes) if bytes.len() as u64 > LARGEST => Err(format!("has more than {LARGEST} bytes")),
                Ok(bytes) => Ok(bytes),
            };
            Content {
                file,
                path: path.to_owned(),
                bytes,
                mode,
            }
        };
        Self(files.into_iter().map(read).collect())
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let one = |content: &Content| {
            let bytes = content.bytes.as_ref().ok()?;
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            Some(hasher.finish())
        };
        self.0.iter().map(one).collect()
    }

    fn content(&self, file: File) -> Option<&Content> {
        self.0.iter().find(|content| content.file == file)
    }

    /// The certificates in a file; at least one.
    pub(super) fn certificates(&self, file: File) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let (content, sections) = self.sections(file)?;
        let found: Vec<CertificateDer<'static>> = sections
            .into_iter()
            .filter(|(kind, _)| *kind == SectionKind::Certificate)
            .map(|(_, der)| CertificateDer::from(der))
            .collect();
        if found.is_empty() {
            return Err(
                content.problem("holds no certificate; expected PEM, with -----BEGIN CERTIFICATE-----")
            );
        }
        for (at, certificate) in found.iter().enumerate() {
            X509Certificate::from_der(certificate).map_err(|error| {
                content.problem(format!("holds something else as certificate {}: {error}", at + 1))
            })?;
        }
        Ok(found)
    }

    /// The certificates in a file, as those of authorities that are trusted.
    pub(super) fn authorities(
        &self,
        file: File,
    ) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Problem> {
        let certificates = self.certificates(file)?;
        let mut store = RootCertStore::empty();
        for (at, certificate) in certificates.iter().enumerate() {
            store.add(certificate.clone()).map_err(|error| {
                self.problem(
                    file,
                    format!("holds no authority as certificate {}: {error}", at + 1),
                )
            })?;
        }
        Ok((store, certificates))
    }

    /// Certificate `index` with its key.
    pub(super) fn certified(&self, index: usize) -> Result<CertifiedKey, Problem> {
        let chain = self.certificates(File::Certificate(index))?;
        let key = provider()
            .key_provider
            .load_private_key(self.key(index)?)
            .map_err(|error| {
                self.problem(
                    File::Key(index),
                    format!("holds a key of a kind that cannot be used: {error}"),
                )
            })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                let certificate = self
                    .content(File::Certificate(index))
                    .map(|content| content.path.display());
                let what = certificate.map_or_else(String::new, |path| format!("is not the key of {path}"));
                Err(self.problem(File::Key(index), what))
            }
            // Kinds of keys that cannot be compared are found out by the first handshake.
            _ => Ok(certified),
        }
    }

    fn key(&self, index: usize) -> Result<PrivateKeyDer<'static>, Problem> {
        let (content, sections) = self.sections(File::Key(index))?;
        let key = sections.into_iter().find_map(|(kind, der)| match kind {
            SectionKind::PrivateKey => Some(PrivatePkcs8KeyDer::from(der).into()),
            SectionKind::RsaPrivateKey => Some(PrivatePkcs1KeyDer::from(der).into()),
            SectionKind::EcPrivateKey => Some(PrivateSec1KeyDer::from(der).into()),
            _ => None,
        });
        let is_encrypted = || {
            let bytes = content.bytes.as_deref().unwrap_or_default();
            String::from_utf8_lossy(bytes).contains("ENCRYPTED")
        };
        key.ok_or_else(|| {
            content.problem(if is_encrypted() {
                "holds an encrypted key; expected one without a password, as `openssl pkey -in FILE -out PLAIN` writes"
            } else {
                "holds no private key; expected PEM, with -----BEGIN PRIVATE KEY-----"
            })
        })
    }

    /// Expired and not yet valid certificates, and keys that everybody can read.
    pub(super) fn warnings(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for content in &self.0 {
            match content.file {
                File::Key(_) if content.mode & 0o004 != 0 => {
                    let mode = content.mode & 0o777;
                    found.push(content.problem(format!(
                        "holds a private key that everybody can read (mode {mode:o})"
                    )));
                }
                File::Key(_) => {}
                file @ (File::Certificate(_) | File::Authorities) => {
                    let certificates = self.certificates(file).unwrap_or_default();
                    found.extend(certificates.iter().find_map(|der| {
                        let (_, certificate) = X509Certificate::from_der(der).ok()?;
                        let valid = certificate.validity();
                        (!valid.is_valid()).then(|| {
                            let (from, to) = (valid.not_before, valid.not_after);
                            let who = super::subject::text(certificate.subject());
                            content.problem(format!(
                                "holds a certificate ({who}) that is valid from {from} to {to}, not now"
                            ))
                        })
                    }));
                }
            }
        }
        found
    }

    fn sections(&self, file: File) -> Result<(&Content, Vec<Section>), Problem> {
        let content = self
            .content(file)
            .ok_or_else(|| self.problem(file, "is not given"))?;
        let bytes = content.bytes.as_ref().map_err(|what| content.problem(what))?;
        let sections: Result<Vec<_>, pem::Error> = Section::pem_slice_iter(bytes).collect();
        let sections = sections.map_err(|error| content.problem(format!("is not PEM: {error}")))?;
        Ok((content, sections))
    }

    fn problem(&self, file: File, what: impl Into<String>) -> Problem {
        match self.content(file) {
            Some(content) => content.problem(what),
            None => Problem {
                file,
                path: PathBuf::new(),
                what: what.into(),
            },
        }
    }
}

impl Content {
    fn problem(&self, what: impl Into<String>) -> Problem {
        Problem {
            file: self.file,
            path: self.path.clone(),
            what: what.into(),
        }
    }
}
