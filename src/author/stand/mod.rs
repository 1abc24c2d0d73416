//! The host as a library: a filter on the engine of the proxy, shown commands without any broker.

mod change;
mod decision;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

pub use change::Change;
pub use decision::Decision;

use crate::filter::{
    About, Asked, Budget, Chain, Client, Counters, Hooks, LoadError, Loader, Member, Mode, Outcome, Policy,
    Scope, Source, State, Subject, Verdict, Way,
};
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, FRAME_LIMIT, Frame, Head};
use crate::wasm::{Host, Manifest, Metering};

/// The longest delay of a send: what the proxy allows, so that producers are answered before they give up.
const SEND_HOLD: Duration = Duration::from_millis(1_500);
/// The longest delay of other commands.
const HOLD: Duration = Duration::from_secs(15);

/// What a [`Stand`] is made of: a filter and what its operator would say of it.
///
/// ```no_run
/// use gimbal::author::Setup;
/// use gimbal::protocol::{Command, request};
/// use serde_json::json;
///
/// // In a test of a Rust project: the filter as it was built, and the configuration to try.
/// let stand = Setup::open("tenants.wasm")?
///     .with_config(json!({"prefix": "a."}))
///     .load()?;
///
/// let send = Command::request(request::SEND_MESSAGE_V2, 1)
///     .with_field("a", "producers")
///     .with_field("b", "orders")
///     .with_body("hello");
/// let decision = stand.request(&send, &gimbal::author::stand::client())?;
///
/// assert_eq!(decision.verdict.name(), "forward", "{decision}");
/// assert_eq!(decision.field("b"), Some("a.orders"));
/// # Ok::<(), gimbal::author::StandError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Setup {
    source: Source,
    policy: Option<Policy>,
}

/// A filter alone on the production engine, in a real chain: shown one command after the other.
///
/// Its state (`store`, `limit`) lives as long as the stand. Self-tests of its manifest are not run when it is loaded.
#[derive(Debug)]
pub struct Stand {
    chain: Chain,
    hooks: Hooks,
    about: About,
    counters: Arc<Counters>,
}

/// Why nothing could be tried.
#[derive(Debug)]
pub enum StandError {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// There is no engine on this machine; why.
    Engine(String),
    /// It is no filter that can be used, or not with this configuration.
    Load(LoadError),
    /// The command to show cannot be written; why.
    Command(String),
}

impl fmt::Display for StandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Engine(why) => write!(f, "{why}"),
            Self::Load(error) => write!(f, "{error}"),
            Self::Command(why) => write!(f, "the command cannot be written: {why}"),
        }
    }
}

impl std::error::Error for StandError {}

impl From<LoadError> for StandError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// The client that sends what is shown, when it does not matter which: 127.0.0.1, by the listener `default`.
pub fn client() -> Client {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
    Client::new(peer, "default".into(), 1)
}

impl Setup {
    /// The filter in this file.
    ///
    /// # Errors
    /// [`StandError::Read`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StandError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| StandError::Read(path.to_owned(), error))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok(Self::of(&name.unwrap_or_default(), bytes))
    }

    /// The filter that these bytes are: a component or a core module.
    pub fn of(name: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            source: Source {
                name: name.into(),
                bytes: bytes.into(),
                config: Value::Object(serde_json::Map::new()),
                budget: Budget::default(),
                grants: None,
                state: Arc::default(),
            },
            policy: None,
        }
    }

    /// The same with this configuration.
    #[must_use]
    pub fn with_config(mut self, config: Value) -> Self {
        self.source.config = config;
        self
    }

    /// The same with these interfaces and no others; without this, those it asks for.
    #[must_use]
    pub fn with_grants(mut self, grants: Vec<String>) -> Self {
        self.source.grants = Some(grants);
        self
    }

    /// The same with another budget.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.source.budget = budget;
        self
    }

    /// The same with another failure policy than its manifest says (closed without one).
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> &Bytes {
        &self.source.bytes
    }

    /// Its name: that of the file without its ending.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// What it says of itself, if it has a manifest.
    ///
    /// # Errors
    /// [`StandError::Load`] when it has one that is damaged.
    pub fn manifest(&self) -> Result<Option<Manifest>, StandError> {
        Manifest::find(&self.source.bytes).map_err(|error| {
            StandError::Load(LoadError {
                step: "read",
                what: error.what,
                accepted: error.accepted,
            })
        })
    }

    /// Loads it on an engine of its own. Takes milliseconds for small guests, seconds for those with a language runtime.
    ///
    /// # Errors
    /// [`StandError::Engine`] and [`StandError::Load`].
    pub fn load(&self) -> Result<Stand, StandError> {
        let host = Host::for_trials(None, Metering::Off).map_err(StandError::Engine)?;
        self.load_on(&host)
    }

    /// Loads it on this engine, with a state of its own: many stands of one file share what was compiled.
    ///
    /// # Errors
    /// [`StandError::Load`].
    pub fn load_on(&self, host: &Host) -> Result<Stand, StandError> {
        let mut source = self.source.clone();
        source.state = Arc::new(State::default());
        let name = Arc::clone(&source.name);
        let loaded = host.load(source)?;
        let counters = Arc::new(Counters::default());
        let hooks = loaded.filter.hooks();
        let member = Member {
            name,
            id: 1,
            filter: loaded.filter,
            scope: Scope::default(),
            mode: Mode::Enforce,
            policy: self.policy.or(loaded.about.policy).unwrap_or_default(),
            counters: Arc::clone(&counters),
        };
        Ok(Stand {
            chain: Chain::new(1, vec![member]),
            hooks,
            about: loaded.about,
            counters,
        })
    }
}

impl Stand {
    /// What is known of the filter.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Which functions it has.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Shows it a request on its way to a broker; codes that brokers send (39, 40, 220, 221, 307, 309, 326) go the other
    /// way.
    ///
    /// # Errors
    /// [`StandError::Command`].
    pub fn request(&self, command: &Command, client: &Client) -> Result<Decision, StandError> {
        let (head, frame) = framed(command)?;
        let subject = self.subject(&head, &frame, &Arc::new(client.clone()));
        self.judge(command, subject.watched(), |chain, subject| {
            chain.decide(subject, 0)
        })
    }

    /// Shows it the answer to a request, which it is not shown.
    ///
    /// # Errors
    /// [`StandError::Command`].
    pub fn response(
        &self,
        request: &Command,
        answer: &Command,
        client: &Client,
    ) -> Result<Decision, StandError> {
        let (head, frame) = framed(request)?;
        let asked = Asked::of(&head, &frame);
        let way = if is_of_brokers(request.code) {
            Way::PushResponse
        } else {
            Way::Response
        };
        let (head, frame) = framed(answer)?;
        let subject = Subject::response(way, head, frame, asked, Arc::new(client.clone()));
        let subject = subject.with_limits(Duration::ZERO, FRAME_LIMIT).watched();
        self.judge(answer, subject, |chain, subject| {
            chain.respond(subject, usize::MAX)
        })
    }

    /// Shows it a connection that begins: it goes on, or is closed.
    pub fn connect(&self, client: &Client) -> Decision {
        let subject = Subject::connection(Arc::new(client.clone())).watched();
        let calls = self.calls();
        let (mut subject, outcome) = self.chain.connect(Box::new(subject), &mut Vec::new());
        let trail = subject.take_trail();
        let watch = subject.take_watch();
        let mut decision = Decision::new(&trail, watch, self.calls() > calls);
        decision.verdict = match outcome {
            Ok(()) => Verdict::Forward,
            Err(reason) => Verdict::Close(reason),
        };
        decision.note_names(&subject);
        decision
    }

    /// Shows it a connection that has ended.
    pub fn disconnect(&self, client: &Client) {
        let subject = Subject::connection(Arc::new(client.clone()));
        self.chain.disconnect(Box::new(subject), &[1]);
    }

    /// A request as the chain takes it, with what the proxy would allow; nothing is noted of it.
    pub fn subject(&self, head: &Head, frame: &Frame, client: &Arc<Client>) -> Subject {
        let way = if is_of_brokers(head.code) {
            Way::Push
        } else {
            Way::Request
        };
        let mut client = Client::clone(client);
        client.language = head.language;
        client.version = head.version;
        Subject::request(way, head.clone(), frame.clone(), Arc::new(client))
            .with_limits(longest_delay(head.code), FRAME_LIMIT)
    }

    /// The chain of this one filter.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    fn calls(&self) -> u64 {
        self.counters.calls.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn judge(
        &self,
        before: &Command,
        subject: Subject,
        ask: impl FnOnce(&Chain, Box<Subject>) -> Outcome,
    ) -> Result<Decision, StandError> {
        let (way, code) = (subject.way(), subject.request_code());
        let calls = self.calls();
        let mut outcome = ask(&self.chain, Box::new(subject));
        let trail = outcome.take_trail();
        let mut decision = Decision::new(&trail, outcome.take_watch(), self.calls() > calls);
        decision
            .follow(way, code, before, outcome)
            .map_err(StandError::Command)?;
        Ok(decision)
    }
}

/// The command as it travels.
pub(crate) fn framed(command: &Command) -> Result<(Head, Frame), StandError> {
    let wrong = |what: String| StandError::Command(what);
    let frame = command.encode().map_err(|error| wrong(error.to_string()))?;
    let head = Head::scan(&frame).map_err(|error| wrong(error.to_string()))?;
    Ok((head, frame))
}

/// Codes that brokers send to clients.
pub(crate) fn is_of_brokers(code: Code) -> bool {
    matches!(code.0, 39 | 40 | 220 | 221 | 307 | 309 | 326)
}

/// How long the proxy lets a filter hold such a command, as good as it can be said without the operator's settings.
fn longest_delay(code: Code) -> Duration {
    match code {
        rq::HEART_BEAT | rq::UNREGISTER_CLIENT | rq::LOCK_BATCH_MQ | rq::UNLOCK_BATCH_MQ => Duration::ZERO,
        _ if is_of_brokers(code) => Duration::ZERO,
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE | rq::POP_MESSAGE | rq::NOTIFICATION | rq::QUERY_MESSAGE => {
            HOLD
        }
        _ => SEND_HOLD,
    }
}
