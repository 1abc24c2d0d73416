//! Recorded commands through a filter: what it decides about each, on the engine of the proxy and without any broker.

mod changes;
mod verdicts;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::build::compiled;
use super::corpus::{Entry, FrameError};
use crate::config::problem::Problems;
use crate::config::sidecar;
use crate::filter::folder::Sidecar;
use crate::filter::recorded::Direction;
use crate::filter::{
    Asked, Budget, Chain, Counters, LoadError, Loader, Member, Mode, Source, State, Subject,
};
use crate::protocol::FRAME_LIMIT;
use crate::wasm::Host;

pub use verdicts::Decided;

/// The longest delay that a filter may ask for here: what the proxy allows for long polls.
const HOLD: Duration = Duration::from_secs(15);

/// A filter alone in a chain, with the settings that its operator gives it. What it stores lives as long as this.
#[derive(Debug)]
pub struct Trial {
    chain: Chain,
    counters: Arc<Counters>,
}

/// Why a filter cannot be tried.
#[derive(Debug)]
pub enum TrialError {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// Its settings are wrong.
    Settings(Problems),
    /// There is no engine on this machine; why.
    Engine(String),
    /// It is no filter that can be used, or not with these settings.
    Load(PathBuf, LoadError),
}

impl fmt::Display for TrialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            Self::Settings(problems) => problems.fmt(f),
            Self::Engine(why) => f.write_str(why),
            Self::Load(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for TrialError {}

impl Trial {
    /// Loads the filter in `wasm` with the settings in `settings`, a file as it stands beside a filter. Takes
    /// milliseconds for small guests, seconds for those with a language runtime in them.
    pub fn load(wasm: &Path, settings: Option<&Path>) -> Result<Self, TrialError> {
        let bytes = std::fs::read(wasm).map_err(|error| TrialError::Read(wasm.to_owned(), error))?;
        let settings = settings.map_or_else(|| Ok(Sidecar::default()), read_settings)?;
        let name: Arc<str> = wasm
            .file_stem()
            .map_or_else(|| "filter".into(), |stem| stem.to_string_lossy().into());
        let host = Host::new(compiled()).map_err(TrialError::Engine)?;
        let default = Budget::default();
        let source = Source {
            name: Arc::clone(&name),
            bytes: bytes.into(),
            config: settings.config,
            budget: Budget {
                time: settings.budget.time.unwrap_or(default.time),
                memory: settings.budget.memory.unwrap_or(default.memory),
                store: settings.budget.store.unwrap_or(default.store),
            },
            grants: settings.grants,
            state: Arc::new(State::default()),
        };
        let loaded = host
            .load(source)
            .map_err(|error| TrialError::Load(wasm.to_owned(), error))?;
        let counters = Arc::new(Counters::default());
        let member = Member {
            name,
            id: 1,
            filter: loaded.filter,
            scope: settings.scope,
            // Shadow mode is for traffic; here one wants to see.
            mode: Mode::Enforce,
            policy: settings.on_error.or(loaded.about.policy).unwrap_or_default(),
            counters: Arc::clone(&counters),
        };
        Ok(Self {
            chain: Chain::new(1, vec![member]),
            counters,
        })
    }

    /// Shows it a command.
    pub fn show(&self, entry: &Entry) -> Result<Decided, FrameError> {
        let (head, frame) = Entry::framed(&entry.command)?;
        let client = Arc::clone(&entry.client);
        let calls = self.counters.calls.load(Ordering::Relaxed);
        let way = entry.way.way();
        let outcome = if let Some(asked) = &entry.asked {
            let (asked_head, asked_frame) = Entry::framed(asked)?;
            let asked = Asked::of(&asked_head, &asked_frame);
            let subject = Subject::response(way, head, frame, asked, client)
                .with_broker(entry.broker.clone())
                .with_limits(Duration::ZERO, FRAME_LIMIT);
            self.chain.respond(Box::new(subject), usize::MAX)
        } else {
            let longest = match entry.way {
                Direction::Push => Duration::ZERO,
                Direction::Request | Direction::Response => HOLD,
            };
            let subject = Subject::request(way, head, frame, client).with_limits(longest, FRAME_LIMIT);
            self.chain.decide(Box::new(subject), 0)
        };
        let was_called = self.counters.calls.load(Ordering::Relaxed) > calls;
        Ok(Decided::new(&entry.command, outcome, was_called))
    }
}

fn read_settings(path: &Path) -> Result<Sidecar, TrialError> {
    let text = std::fs::read_to_string(path).map_err(|error| TrialError::Read(path.to_owned(), error))?;
    sidecar::check(&path.display().to_string(), &text).map_err(TrialError::Settings)
}
