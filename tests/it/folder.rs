//! The filter folder, with a loader that takes text for WebAssembly: what happens to files, and what is in force then.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gimbal::config::sidecar;
use gimbal::filter::folder::{Event, Folder, InForce, Options, Serving, Settings, Status, Timing};
use gimbal::filter::{
    About, Budget, Chain, Failure, Filter, Hook, Hooks, Interest, LoadError, Loaded, Loader, Mode, Patterns,
    Policy, Source, State, Subject, Verdict,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Far above what anything here takes.
const SOON: Duration = Duration::from_secs(10);

/// Loads any text but one that begins with `bad`; what was loaded last is remembered.
#[derive(Debug, Default)]
struct Fake {
    loads: AtomicUsize,
    states: Mutex<Vec<Arc<State>>>,
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
struct Stage {
    files: TempDir,
    state: TempDir,
    loader: Arc<Fake>,
    required: Vec<String>,
    timing: Timing,
}

struct Running<'a> {
    stage: &'a Stage,
    in_force: InForce,
    task: JoinHandle<()>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    fn new() -> Self {
        Self {
            files: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            loader: Arc::default(),
            required: Vec::new(),
            timing: Timing::default(),
        }
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.files.path().join(file)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(file), text).unwrap();
    }

    /// Puts a file there as careful programs do.
    fn put(&self, file: &str, text: &str) {
        self.write(".new", text);
        fs::rename(self.path(".new"), self.path(file)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    fn loads(&self) -> usize {
        self.loader.loads.load(Ordering::SeqCst)
    }

    async fn start(&self) -> Running<'_> {
        self.start_in(self.files.path()).await
    }

    async fn start_in(&self, folder: &Path) -> Running<'_> {
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
    async fn until(&self, what: &str, is_so: impl Fn(&InForce) -> bool) {
        let mut looks = self.in_force.looks();
        let waiting = async {
            while !is_so(&self.in_force) {
                looks.changed().await.unwrap();
            }
        };
        let waited = timeout(SOON, waiting).await;
        assert!(waited.is_ok(), "{what}: {:#?}", self.in_force.status());
    }

    async fn until_versions(&self, expected: &[&str]) {
        let what = format!("waiting for {expected:?}");
        self.until(&what, |now| versions(&now.chain(), now) == expected)
            .await;
    }

    async fn until_trouble(&self, name: &str, part: &str) -> Status {
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
    async fn rest(&self) {
        let mut looks = self.in_force.looks();
        let began = Instant::now();
        while began.elapsed() < self.stage.timing.settle * 4 {
            looks.mark_unchanged();
            self.in_force.look();
            timeout(SOON, looks.changed()).await.unwrap().unwrap();
        }
    }

    fn status(&self, name: &str) -> Status {
        let mut all = self.in_force.status().into_iter();
        all.find(|status| status.name == name).unwrap()
    }

    fn generation(&self) -> u64 {
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

#[tokio::test]
async fn files_come_change_move_and_go() {
    let stage = Stage::new();
    stage.write("20-b.wasm", "1");
    let running = stage.start().await;
    running.until_versions(&["b=1"]).await;
    assert_eq!(
        running.generation(),
        1,
        "what is there at the start is the first generation"
    );

    stage.write("10-a.wasm", "1");
    running.until_versions(&["a=1", "b=1"]).await;
    stage.put("20-b.wasm", "2");
    running.until_versions(&["a=1", "b=2"]).await;

    let (loads, counters) = (
        stage.loads(),
        Arc::clone(&running.in_force.chain().members()[0].counters),
    );
    fs::rename(stage.path("10-a.wasm"), stage.path("30-a.wasm")).unwrap();
    running.until_versions(&["b=2", "a=1"]).await;
    assert_eq!(stage.loads(), loads, "another place needs no new instance");
    let chain = running.in_force.chain();
    assert!(
        Arc::ptr_eq(&counters, &chain.members()[1].counters),
        "counters stay"
    );

    stage.remove("20-b.wasm");
    running.until_versions(&["a=1"]).await;
    assert_eq!(running.in_force.status().len(), 1, "nothing is left of it");
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_version_and_says_why() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    for broken in ["bad", "panic"] {
        stage.write("20-a.wasm", broken);
        running
            .until_trouble(
                "a",
                if broken == "bad" {
                    "is \"bad\"; accepted: something good"
                } else {
                    "panicked"
                },
            )
            .await;
        let status = running.status("a");
        assert_eq!(
            (status.serving, status.version.as_deref()),
            (Serving::Kept, Some("1"))
        );
        assert_eq!(running.generation(), 1);
    }
    assert!(running.in_force.is_ready(), "the old version serves");
    let loads = stage.loads();
    running.rest().await;
    assert_eq!(stage.loads(), loads, "a broken file is not tried again and again");

    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    let status = running.status("a");
    assert_eq!((status.serving, status.trouble), (Serving::Current, None));
    let events: Vec<Event> = status.history.iter().map(|outcome| outcome.event).collect();
    assert_eq!(
        events,
        [Event::Loaded, Event::Failed, Event::Failed, Event::Loaded]
    );
}

#[tokio::test]
async fn the_old_bytes_again_end_the_trouble_without_a_load() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.write("20-a.wasm", "bad");
    running.until_trouble("a", "bad").await;
    let loads = stage.loads();
    stage.write("20-a.wasm", "1");
    running
        .until("no trouble", |now| now.status()[0].trouble.is_none())
        .await;
    assert_eq!((stage.loads(), running.generation()), (loads, 1));
}

#[tokio::test]
async fn the_same_bytes_are_nothing() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    stage.write("20-a.toml", "[config]\nx = 1");
    let running = stage.start().await;
    stage.put("20-a.wasm", "1");
    stage.put("20-a.toml", "# a word more\n[config]\nx = 1");
    running.rest().await;
    assert_eq!((stage.loads(), running.generation()), (1, 1));
}

#[tokio::test]
async fn settings_around_a_filter_need_no_new_instance_and_its_own_do() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    let member = |of: &InForce| (of.chain().members()[0].mode, of.chain().members()[0].policy);
    stage.put("20-a.toml", "mode = 'shadow'\non_error = 'open'");
    running
        .until("shadow", |now| member(now) == (Mode::Shadow, Policy::Open))
        .await;
    assert_eq!((stage.loads(), running.generation()), (1, 2));

    stage.put("20-a.toml", "[config]\nx = 1");
    running
        .until("config", |now| member(now) == (Mode::Enforce, Policy::Closed))
        .await;
    assert_eq!(stage.loads(), 2);

    stage.put("20-a.toml", "mode = 'on'");
    let status = running
        .until_trouble("a", "accepted: one of enforce, shadow, off")
        .await;
    assert_eq!(status.serving, Serving::Kept);

    stage.put("20-a.toml", "mode = 'off'");
    running.until_versions(&[]).await;
    assert_eq!(running.status("a").mode, "off");
    stage.remove("20-a.toml");
    running.until_versions(&["a=1"]).await;
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_waited_for() {
    let stage = Stage::new();
    let running = stage.start().await;
    let module = b"\0asm\x01\0\0\0\x00\x05\x04name\x01\x01\x00";
    stage.write("20-a.wasm", &module[..12]);
    running.rest().await;
    assert_eq!(
        running
            .in_force
            .status()
            .iter()
            .filter(|s| s.trouble.is_some())
            .count(),
        0
    );
    assert_eq!(stage.loads(), 0, "nobody was shown half a file");
    stage.write("20-a.wasm", module);
    running
        .until("whole", |now| now.chain().members().len() == 1)
        .await;
}

#[tokio::test]
async fn a_file_that_stays_cut_off_is_reported() {
    let mut stage = Stage::new();
    stage.timing.cut_off = Duration::from_millis(300);
    let running = stage.start().await;
    stage.write("20-a.wasm", b"\0asm\x01\0\0\0\x00\x05\x04na");
    let status = running.until_trouble("a", "20-a.wasm is cut off").await;
    assert_eq!(status.serving, Serving::Nothing);
    assert!(
        running.in_force.is_ready(),
        "what was never in force takes nothing away"
    );
}

#[tokio::test]
async fn a_folder_that_is_empty_for_an_instant_loses_nothing() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.remove("20-a.wasm");
    running.rest().await;
    stage.write("20-a.wasm", "1");
    running.rest().await;
    assert_eq!((running.generation(), stage.loads()), (1, 1));

    let aside = stage.path("..aside");
    let folder = stage.files.path();
    fs::create_dir(&aside).unwrap();
    fs::rename(stage.path("20-a.wasm"), aside.join("20-a.wasm")).unwrap();
    fs::rename(aside.join("20-a.wasm"), folder.join("20-a.wasm")).unwrap();
    running.rest().await;
    assert_eq!((running.generation(), stage.loads()), (1, 1));
}

#[tokio::test]
async fn a_required_filter_stays_until_it_is_no_longer_required() {
    let mut stage = Stage::new();
    stage.required = vec!["a".to_owned()];
    stage.timing.removal = Duration::from_millis(10);
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.remove("20-a.wasm");
    running
        .until("kept", |now| now.status()[0].serving == Serving::Kept)
        .await;
    running.rest().await;
    running.until_versions(&["a=1"]).await;
    running.in_force.set(Settings::default());
    running.until_versions(&[]).await;
}

#[tokio::test]
async fn state_outlives_versions_and_a_short_absence() {
    let mut stage = Stage::new();
    stage.timing.removal = Duration::from_millis(10);
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    stage.remove("20-a.wasm");
    running.until_versions(&[]).await;
    stage.write("20-a.wasm", "3");
    running.until_versions(&["a=3"]).await;
    let states = stage.loader.states.lock().unwrap();
    assert!(states.iter().all(|state| Arc::ptr_eq(state, &states[0])));
}

#[tokio::test]
async fn a_swapped_link_swaps_every_filter_at_once() {
    let stage = Stage::new();
    for (version, text) in [("..1", "1"), ("..2", "2")] {
        fs::create_dir(stage.path(version)).unwrap();
        stage.write(&format!("{version}/10-a.wasm"), text);
        stage.write(&format!("{version}/20-b.wasm"), text);
    }
    symlink("..1", stage.path("..data")).unwrap();
    symlink("..data/10-a.wasm", stage.path("10-a.wasm")).unwrap();
    symlink("..data/20-b.wasm", stage.path("20-b.wasm")).unwrap();
    let running = stage.start().await;
    running.until_versions(&["a=1", "b=1"]).await;
    symlink("..2", stage.path("..data_tmp")).unwrap();
    fs::rename(stage.path("..data_tmp"), stage.path("..data")).unwrap();
    running.until_versions(&["a=2", "b=2"]).await;
    assert_eq!(running.generation(), 2, "one look, one chain");
}

#[tokio::test]
async fn a_folder_that_comes_later_or_is_replaced_is_seen() {
    let stage = Stage::new();
    let folder = stage.path("filters.d");
    let running = stage.start_in(&folder).await;
    running.until_versions(&[]).await;
    fs::create_dir(&folder).unwrap();
    stage.write("filters.d/20-a.wasm", "1");
    running.until_versions(&["a=1"]).await;

    fs::rename(&folder, stage.path("old")).unwrap();
    running.rest().await;
    running.until_versions(&["a=1"]).await;
    fs::create_dir(stage.path("new")).unwrap();
    stage.write("new/20-a.wasm", "2");
    fs::rename(stage.path("new"), &folder).unwrap();
    running.until_versions(&["a=2"]).await;
    stage.write("filters.d/20-a.wasm", "3");
    running.until_versions(&["a=3"]).await;
}

#[tokio::test]
async fn after_a_restart_with_a_broken_file_the_last_accepted_version_serves() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "1");
    stage.write("20-a.toml", "mode = 'shadow'");
    let running = stage.start().await;
    running.until_versions(&["a=1"]).await;
    drop(running);
    stage.write("20-a.wasm", "bad");
    stage.write("20-a.toml", "mode = 'enforce'");
    let running = stage.start().await;
    let status = running.status("a");
    assert_eq!(
        (status.serving, status.version.as_deref()),
        (Serving::Accepted, Some("1"))
    );
    assert_eq!(status.mode, "shadow", "with the settings it was accepted with");
    assert!(running.in_force.is_ready());
    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    assert_eq!(running.status("a").serving, Serving::Current);
}

#[tokio::test]
async fn a_filter_that_never_loaded_refuses_its_scope_and_keeps_the_proxy_from_being_ready() {
    let stage = Stage::new();
    stage.write("20-a.wasm", "bad");
    stage.write("20-a.toml", "[scope]\ntopics = 'orders'");
    stage.write("30-open.wasm", "bad");
    stage.write("30-open.toml", "on_error = 'open'");
    stage.write("40-off.wasm", "bad");
    stage.write("40-off.toml", "mode = 'off'");
    let running = stage.start().await;
    running.until_versions(&["a=refused"]).await;
    let chain = running.in_force.chain();
    let member = &chain.members()[0];
    assert_eq!(member.scope.topics.written(), ["orders"]);
    assert_eq!((member.policy, member.mode), (Policy::Closed, Mode::Enforce));
    assert!(!running.in_force.is_ready());
    let reasons = running.in_force.unready();
    assert!(
        reasons[0].contains("filter a was never loaded: is \"bad\""),
        "{reasons:?}"
    );
    assert_eq!(running.status("open").serving, Serving::Nothing);

    stage.write("20-a.wasm", "1");
    running.until_versions(&["a=1"]).await;
    assert!(running.in_force.is_ready());
}

#[tokio::test]
async fn a_required_filter_that_is_not_there_at_the_start_is_refused_or_restored() {
    let mut stage = Stage::new();
    stage.required = vec!["a".to_owned()];
    let running = stage.start().await;
    running.until_versions(&["a=refused"]).await;
    stage.write("20-a.wasm", "1");
    running.until_versions(&["a=1"]).await;
    drop(running);
    stage.remove("20-a.wasm");
    let running = stage.start().await;
    assert_eq!(running.status("a").serving, Serving::Accepted);
}

#[tokio::test]
async fn polling_alone_finds_everything() {
    let mut stage = Stage::new();
    stage.timing.events = false;
    stage.timing.poll = Duration::from_millis(50);
    stage.write("20-a.wasm", "1");
    let running = stage.start().await;
    stage.write("20-a.wasm", "2");
    running.until_versions(&["a=2"]).await;
    stage.write("20-a.toml", "mode = 'off'");
    running.until_versions(&[]).await;
    stage.remove("20-a.toml");
    running.until_versions(&["a=2"]).await;
    stage.remove("20-a.wasm");
    running.until("gone", |now| now.status().is_empty()).await;
}

#[tokio::test]
async fn another_default_budget_loads_those_filters_again_that_have_no_own() {
    let stage = Stage::new();
    stage.write("10-a.wasm", "1");
    stage.write("20-b.wasm", "1");
    stage.write(
        "20-b.toml",
        "[budget]\ntime = '1ms'\nmemory = '1 MiB'\nstore = '1 KiB'",
    );
    let running = stage.start().await;
    let ids = |now: &InForce| -> Vec<u64> { now.chain().members().iter().map(|member| member.id).collect() };
    let before = ids(&running.in_force);
    running.in_force.set(Settings {
        required: Vec::new(),
        budget: Budget {
            time: Duration::from_millis(20),
            ..Budget::default()
        },
    });
    running
        .until("new instances", |now| ids(now)[0] != before[0])
        .await;
    assert_eq!(ids(&running.in_force)[1], before[1]);
    assert_eq!(stage.loads(), 3);
}
