//! The access log: a line of JSON for every command that went wrong, and for a share of the others.
//!
//! A thread of its own writes, behind a queue with a bound: a disk that is slow costs lines, which are counted, and
//! never a command.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{info, warn};
use wildmatch::WildMatch;

use super::observers::Brief;
use super::{Outcome, Record};
use crate::metrics::{Tally, list};

/// Lines that wait for the writer.
const QUEUE: usize = 8_192;
/// Lines are on disk no later than this.
const FLUSH: Duration = Duration::from_millis(200);

/// Which commands leave a line, and where.
#[derive(Debug, Clone, Default)]
pub struct AccessSettings {
    /// A file, `stderr` or `stdout`; `None` for no lines.
    pub path: Option<String>,
    /// The share of commands that no rule is about, from 0 to 1.
    pub sample: f64,
    /// The first that fits decides.
    pub rules: Vec<AccessRule>,
}

/// Commands with a share of their own. What is empty fits everything.
#[derive(Debug, Clone, Default)]
pub struct AccessRule {
    /// Request codes.
    pub codes: Vec<i32>,
    /// Patterns of topics.
    pub topics: Vec<WildMatch>,
    /// Patterns of groups.
    pub groups: Vec<WildMatch>,
    /// Patterns of client ids.
    pub clients: Vec<WildMatch>,
    /// Patterns of users.
    pub users: Vec<WildMatch>,
    /// Outcomes.
    pub outcomes: Vec<Outcome>,
    /// Their share.
    pub sample: f64,
}

/// The access log.
#[derive(Debug, Default)]
pub struct AccessLog {
    is_on: AtomicBool,
    settings: ArcSwap<AccessSettings>,
    /// Where lines go from the writer's next job on, when that has changed.
    target: Arc<Mutex<Option<Target>>>,
    writer: OnceLock<SyncSender<Job>>,
    tally: Arc<Tally>,
    /// The last problem with the file, so that it is told once.
    trouble: Arc<Mutex<Option<String>>>,
}

/// A file, `stderr` or `stdout`, to be opened; or nothing any more.
type Target = Option<String>;

/// What the writer is to do.
#[derive(Debug)]
enum Job {
    Write(Arc<Record>),
    /// There is another target; nothing is said here that could be lost when the queue is full.
    Look,
    /// Everything before this is written.
    Sync(SyncSender<()>),
}

impl AccessRule {
    fn fits(&self, brief: &Brief<'_>) -> bool {
        let any = |patterns: &[WildMatch], name: Option<&str>| {
            patterns.is_empty()
                || name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
        };
        (self.codes.is_empty() || self.codes.contains(&brief.code))
            && (self.outcomes.is_empty() || self.outcomes.contains(&brief.outcome))
            && any(&self.topics, brief.topic)
            && any(&self.groups, brief.group)
            && any(&self.clients, brief.client)
            && any(&self.users, brief.user)
    }
}

impl AccessLog {
    /// An access log that is off; its lines are counted in `tally`.
    pub fn new(tally: Arc<Tally>) -> Self {
        Self {
            tally,
            ..Self::default()
        }
    }

    /// Puts settings in force and opens the file again, as after a rotation.
    pub fn configure(&self, settings: AccessSettings) {
        let path = settings.path.clone();
        self.is_on.store(path.is_some(), Ordering::Relaxed);
        self.settings.store(Arc::new(settings));
        if path.is_none() && self.writer.get().is_none() {
            return;
        }
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
        let writer = self.writer.get_or_init(|| {
            let (sender, jobs) = sync_channel(QUEUE);
            let (tally, trouble) = (Arc::clone(&self.tally), Arc::clone(&self.trouble));
            let target = Arc::clone(&self.target);
            let work = move || {
                Writer {
                    tally,
                    trouble,
                    target,
                    file: None,
                    path: None,
                }
                .run(&jobs);
            };
            if let Err(error) = std::thread::Builder::new()
                .name("access-log".to_owned())
                .spawn(work)
            {
                warn!(%error, "the access log has no thread and writes nothing");
            }
            sender
        });
        // When the queue is full, the writer looks before the next of its lines.
        writer.try_send(Job::Look).unwrap_or_default();
    }

    /// Whether this command leaves a line.
    pub(super) fn wants(&self, brief: &Brief<'_>) -> bool {
        if !self.is_on.load(Ordering::Relaxed) {
            return false;
        }
        if brief.is_bad() {
            return true;
        }
        let settings = self.settings.load();
        let rule = settings.rules.iter().find(|rule| rule.fits(brief));
        let share = rule.map_or(settings.sample, |rule| rule.sample);
        share > 0.0 && fastrand::f64() < share
    }

    /// Leaves a line about this command.
    pub(super) fn write(&self, record: &Arc<Record>) {
        let Some(writer) = self.writer.get() else { return };
        match writer.try_send(Job::Write(Arc::clone(record))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.tally.count(list::ACCESS_LINES, &["dropped"]);
            }
        }
    }

    /// Waits until all lines so far are written, at most this long.
    pub fn flush(&self, limit: Duration) {
        let Some(writer) = self.writer.get() else { return };
        let (done, written) = sync_channel(1);
        if writer.try_send(Job::Sync(done)).is_ok() {
            // Late or never: whoever asked goes on in either case.
            written.recv_timeout(limit).unwrap_or_default();
        }
    }
}

/// The thread's side.
struct Writer {
    tally: Arc<Tally>,
    trouble: Arc<Mutex<Option<String>>>,
    target: Arc<Mutex<Option<Target>>>,
    file: Option<BufWriter<Box<dyn Write + Send>>>,
    path: Option<String>,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = jobs.recv_timeout(FLUSH);
            self.turn_to_target();
            match job {
                Ok(Job::Write(record)) => self.write(&record),
                Ok(Job::Look) => {}
                Ok(Job::Sync(done)) => {
                    self.flush();
                    // Whoever asked may have gone on.
                    done.try_send(()).unwrap_or_default();
                }
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
        }
    }

    fn turn_to_target(&mut self) {
        let changed = self.target.lock().unwrap_or_else(PoisonError::into_inner).take();
        match changed {
            Some(Some(path)) => self.open(path),
            Some(None) => {
                self.flush();
                (self.file, self.path) = (None, None);
            }
            None => {}
        }
    }

    fn open(&mut self, path: String) {
        self.flush();
        let opened: std::io::Result<Box<dyn Write + Send>> = match path.as_str() {
            "stderr" => Ok(Box::new(std::io::stderr())),
            "stdout" => Ok(Box::new(std::io::stdout())),
            file => OpenOptions::new()
                .append(true)
                .create(true)
                .open(file)
                .map(|file| Box::new(file) as Box<dyn Write + Send>),
        };
        self.path = Some(path);
        let outcome = opened.map(|file| self.file = Some(BufWriter::new(file)));
        if outcome.is_err() {
            self.file = None;
        }
        self.tell(outcome.err());
    }

    fn write(&mut self, record: &Record) {
        if self.file.is_none()
            && let Some(path) = self.path.clone()
        {
            // The folder may be there now.
            self.open(path);
        }
        let Some(file) = &mut self.file else {
            return self.tally.count(list::ACCESS_LINES, &["failed"]);
        };
        let written = serde_json::to_writer(&mut *file, record)
            .map_err(std::io::Error::from)
            .and_then(|()| file.write_all(b"\n"));
        let outcome = if written.is_ok() { "written" } else { "failed" };
        self.tally.count(list::ACCESS_LINES, &[outcome]);
        if written.is_err() {
            self.tell(written.err());
        }
    }

    fn flush(&mut self) {
        if let Some(error) = self.file.as_mut().and_then(|file| file.flush().err()) {
            self.tell(Some(error));
        }
    }

    /// One line in the log when it begins to fail, or fails otherwise, and one when it works again.
    fn tell(&self, error: Option<std::io::Error>) {
        let path = self.path.as_deref().unwrap_or_default();
        let now = error.map(|error| error.to_string());
        let mut before = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*before, &now) {
            (old, Some(error)) if old.as_ref() != Some(error) => {
                warn!(
                    path,
                    error, "the access log cannot be written; its lines are lost"
                );
            }
            (Some(_), None) => info!(path, "the access log is written again"),
            _ => {}
        }
        *before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::record;

    fn brief(outcome: Outcome, topic: &str) -> Brief<'_> {
        Brief {
            code: 310,
            topic: Some(topic),
            group: None,
            client: None,
            user: None,
            outcome,
            result: Some(0),
        }
    }

    fn on(settings: AccessSettings) -> AccessLog {
        let log = AccessLog::default();
        log.is_on.store(true, Ordering::Relaxed);
        log.settings.store(Arc::new(settings));
        log
    }

    #[test]
    fn what_went_wrong_always_leaves_a_line_and_the_rest_by_the_first_rule_that_fits() {
        let rule = |pattern: &str, sample| AccessRule {
            topics: vec![WildMatch::new(pattern)],
            sample,
            ..AccessRule::default()
        };
        let log = on(AccessSettings {
            path: Some("x".to_owned()),
            sample: 0.0,
            rules: vec![rule("orders-*", 1.0), rule("*", 0.0)],
        });
        assert!(log.wants(&brief(Outcome::Denied, "other")));
        assert!(log.wants(&brief(Outcome::Failed, "other")));
        assert!(log.wants(&brief(Outcome::Forwarded, "orders-eu")));
        assert!(!log.wants(&brief(Outcome::Forwarded, "other")));
        let refused_by_broker = Brief {
            result: Some(1),
            ..brief(Outcome::Forwarded, "other")
        };
        assert!(log.wants(&refused_by_broker));
        assert!(!AccessLog::default().wants(&brief(Outcome::Denied, "other")));
    }

    #[test]
    fn a_rotated_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let settings = AccessSettings {
            path: Some(path.to_string_lossy().into_owned()),
            ..AccessSettings::default()
        };
        let log = AccessLog::new(Arc::default());
        log.configure(settings.clone());
        log.write(&Arc::new(record()));
        log.flush(Duration::from_secs(10));
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        log.configure(settings);
        log.write(&Arc::new(record()));
        log.flush(Duration::from_secs(10));
        for name in ["access.log", "access.log.1"] {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(text.lines().count(), 1, "{name}");
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["outcome"], "denied");
            assert_eq!(line["filters"][0]["filter"], "acl");
        }
        assert!((log.tally.read(list::ACCESS_LINES, &["written"]) - 2.0).abs() < 0.1);
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_lines_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/access.log");
        let log = AccessLog::new(Arc::default());
        log.configure(AccessSettings {
            path: Some(path.to_string_lossy().into_owned()),
            ..AccessSettings::default()
        });
        log.write(&Arc::new(record()));
        log.flush(Duration::from_secs(10));
        assert!((log.tally.read(list::ACCESS_LINES, &["failed"]) - 1.0).abs() < 0.1);
        std::fs::create_dir(folder.path().join("later")).unwrap();
        log.write(&Arc::new(record()));
        log.flush(Duration::from_secs(10));
        assert!((log.tally.read(list::ACCESS_LINES, &["written"]) - 1.0).abs() < 0.1);
    }
}
