//! What was built from files stays in force until newer files can be used.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::file::{Files, Fingerprint, Problem};
use super::subject::{dns_names, text};

/// How often files are looked at; what has changed is used once it has not changed for as long again.
pub const POLL: Duration = Duration::from_secs(1);

/// What is known of the certificates of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct State {
    /// Those in force: certificates in their order, then authorities.
    pub certificates: Vec<CertificateState>,
    /// When they were read, in seconds since 1970.
    pub loaded_at: u64,
    /// Why newer files are not used; absent while the files in force are the newest.
    pub error: Option<String>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CertificateState {
    /// The file it came from; absent for those of the system.
    #[schema(value_type = Option<String>)]
    pub file: Option<PathBuf>,
    /// Whose it is, as text after RFC 4514.
    pub subject: String,
    /// The names it stands for.
    pub names: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    /// Whether it only says which others are trusted.
    pub is_authority: bool,
}

impl CertificateState {
    /// What is known of this certificate; `None` if it is none.
    pub(super) fn of(der: &CertificateDer<'_>, file: Option<&std::path::Path>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            file: file.map(ToOwned::to_owned),
            subject: text(certificate.subject()),
            names: dns_names(der),
            not_after: certificate.validity().not_after.timestamp(),
            is_authority: false,
        })
    }
}

/// What came of looking at the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// Nothing new, or nothing that has come to rest.
    Same,
    /// Newer files are in force.
    Replaced,
    /// Newer files cannot be used, and the old ones stay in force. Told once for the same files.
    Kept(Problem),
}

/// Something built from files.
#[derive(Debug)]
pub(super) struct Kept<T> {
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
    state: ArcSwap<State>,
}

#[derive(Debug)]
struct Seen {
    /// What was judged last.
    judged: Fingerprint,
    /// What differed from that at the last look.
    restless: Option<Fingerprint>,
}

impl<T> Kept<T> {
    pub(super) fn new(built: T, files: &Files, certificates: Vec<CertificateState>) -> Self {
        Self {
            current: ArcSwap::from_pointee(built),
            seen: Mutex::new(Seen {
                judged: files.fingerprint(),
                restless: None,
            }),
            state: ArcSwap::from_pointee(State {
                certificates,
                loaded_at: now(),
                error: None,
            }),
        }
    }

    pub(super) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Judges `files` if they differ from those judged last; unless `at_once`, only when they have come to rest.
    pub(super) fn look(
        &self,
        files: &Files,
        at_once: bool,
        build: impl FnOnce(&Files) -> Result<(T, Vec<CertificateState>), Problem>,
    ) -> Looked {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now_there = files.fingerprint();
        if now_there == seen.judged {
            seen.restless = None;
            return Looked::Same;
        }
        if !at_once && seen.restless.as_ref() != Some(&now_there) {
            seen.restless = Some(now_there);
            return Looked::Same;
        }
        seen.restless = None;
        seen.judged = now_there;
        match build(files) {
            Ok((built, certificates)) => {
                self.current.store(Arc::new(built));
                self.state.store(Arc::new(State {
                    certificates,
                    loaded_at: now(),
                    error: None,
                }));
                Looked::Replaced
            }
            Err(problem) => {
                let mut state = State::clone(&self.state.load());
                state.error = Some(problem.to_string());
                self.state.store(Arc::new(state));
                Looked::Kept(problem)
            }
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
