//! A folder of files, somebody looking after it, and a loader that takes text for WebAssembly.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gimbal::config::sidecar;
use gimbal::filter::folder::{Folder, InForce, Options, Settings, Status, Timing};
use gimbal::filter::{
    About, Budget, Chain, Failure, Filter, Hook, Hooks, Interest, LoadError, Loaded, Loader, Patterns,
    Source, State, Subject, Verdict,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Far above what anything here takes.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Loads any text but one that begins with `bad`; what was loaded last is remembered.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    loads: AtomicUsize,
    pub(crate) states: Mutex<Vec<Arc<State>>>,
}

#[derive(Debug)]
struct Nothing(Vec<Interest>);

impl Filter for Nothing {
    fn interests(&self) -> &[Interest] {
        &self.0
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            requests: true,
            ..Hooks::default()
        }
    }

    fn call(&self, _hook: Hook, subject: Box<Subject>) -> (Box<Subject>, Result<Verdict, Failure>) {
        (subject, Ok(Verdict::Forward))
    }
}

impl Loader for Fake {
    fn load(&self, source: Source) -> Result<Loaded, LoadError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.states.lock().unwrap().push(Arc::clone(&source.state));
        let text = String::from_utf8_lossy(&source.bytes).into_owned();
        assert!(!text.starts_with("panic"), "told to");
        if text.starts_with("bad") {
            return Err(LoadError {
                step: "compile",
                what: format!("is {text:?}"),
                accepted: "something good".to_owned(),
            });
        }
        let interest = Interest {
            codes: Vec::new(),
            requests: true,
            responses: false,
            topics: Patterns::default(),
            groups: Patterns::default(),
            needs_body: false,
        };
        Ok(Loaded {
            filter: Arc::new(Nothing(vec![interest])),
            about: About {
                version: Some(text),
                ..About::default()
            },
        })
    }
}

/// A folder with somebody looking after it.
pub(crate) struct Stage {
    pub(crate) files: TempDir,
    state: TempDir,
    pub(crate) loader: Arc<Fake>,
    pub(crate) required: Vec<String>,
    pub(crate) timing: Timing,
}

pub(crate) struct Running<'a> {
    stage: &'a Stage,
    pub(crate) in_force: InForce,
    task: JoinHandle<()>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            files: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            loader: Arc::default(),
            required: Vec::new(),
            timing: Timing::default(),
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.files.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(file), text).unwrap();
    }

    /// Puts a file there as careful programs do.
    pub(crate) fn put(&self, file: &str, text: &str) {
        self.write(".new", text);
        fs::rename(self.path(".new"), self.path(file)).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    pub(crate) fn loads(&self) -> usize {
        self.loader.loads.load(Ordering::SeqCst)
    }

    pub(crate) async fn start(&self) -> Running<'_> {
        self.start_in(self.files.path()).await
    }

    pub(crate) async fn start_in(&self, folder: &Path) -> Running<'_> {
        let options = Options {
            folder: folder.to_owned(),
            copies: Some(self.state.path().join("filters")),
            settings: Settings {
                required: self.required.clone(),
                budget: Budget::default(),
            },
            read_sidecar: sidecar::read,
            timing: self.timing,
        };
        let folder = Folder::open(options, Arc::clone(&self.loader) as Arc<dyn Loader>).await;
        Running {
            stage: self,
            in_force: folder.in_force(),
            task: tokio::spawn(folder.run()),
        }
    }
}

impl Running<'_> {
    /// Waits until `is_so`, looking again after each look of the folder's.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&InForce) -> bool + Send + Sync) {
        let mut looks = self.in_force.looks();
        let waiting = async {
            while !is_so(&self.in_force) {
                looks.changed().await.unwrap();
            }
        };
        let waited = timeout(SOON, waiting).await;
        assert!(waited.is_ok(), "{what}: {:#?}", self.in_force.status());
    }

    pub(crate) async fn until_versions(&self, expected: &[&str]) {
        let what = format!("waiting for {expected:?}");
        self.until(&what, |now| versions(&now.chain(), now) == expected)
            .await;
    }

    pub(crate) async fn until_trouble(&self, name: &str, part: &str) -> Status {
        let found = |now: &InForce| {
            let status = now.status().into_iter().find(|one| one.name == name)?;
            let trouble = status.trouble.clone()?;
            format!("{}: {}", trouble.step, trouble.text)
                .contains(part)
                .then_some(status)
        };
        self.until(part, |now| found(now).is_some()).await;
        found(&self.in_force).unwrap()
    }

    /// Lets the folder look again and again until everything has settled: what has not happened then does not happen.
    pub(crate) async fn rest(&self) {
        let mut looks = self.in_force.looks();
        let began = Instant::now();
        while began.elapsed() < self.stage.timing.settle * 4 {
            looks.mark_unchanged();
            self.in_force.look();
            timeout(SOON, looks.changed()).await.unwrap().unwrap();
        }
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        let mut all = self.in_force.status().into_iter();
        all.find(|status| status.name == name).unwrap()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.in_force.chain().generation()
    }
}

/// Name and version of each member, in order: `acl=1`.
fn versions(chain: &Chain, in_force: &InForce) -> Vec<String> {
    let status = in_force.status();
    let version = |name: &str| {
        let found = status.iter().find(|status| status.name == name);
        found.and_then(|status| status.version.clone())
    };
    chain
        .members()
        .iter()
        .map(|member| {
            format!(
                "{}={}",
                member.name,
                version(&member.name).unwrap_or_else(|| "refused".into())
            )
        })
        .collect()
}
