//! A host for tests: `cargo test` runs a filter on any machine, without Gimbal, a broker or WebAssembly.
//!
//! [`load`] makes a filter of its configuration, as Gimbal does; [`Loaded::request`], [`Loaded::response`] and
//! [`Loaded::connect`] show it commands and connections. As with Gimbal, a command that no interest fits is not shown,
//! messages are there only for an interest with a body, and an impossible verdict is a failure: here a panic. Values,
//! buckets and log lines last for one test, that is: for one thread.

mod accesses;
pub(crate) mod carried;
pub(crate) mod fake;
mod lasting;
mod manifest;
mod request;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

pub use manifest::check as check_manifest;
pub use request::{Client, Message, Request, Response};

use crate::{
    Command, Connections, Filter, Interest, Level, Phase, Requests, Responses, Verdict, pattern::Pattern,
};

/// Makes a filter of its configuration.
///
/// ```ignore
/// let filter = load::<MyFilter>(json!({ "prefix": "blocked-" }))?;
/// ```
#[expect(
    clippy::needless_pass_by_value,
    reason = "`json!` makes values; a borrow would be noise in every test"
)]
pub fn load<F: Filter>(config: Value) -> Result<Loaded<F>, String> {
    let (filter, interests) = crate::hook::load(&config.to_string())?;
    Ok(Loaded { filter, interests })
}

/// A filter with the interests it declared.
#[derive(Debug)]
pub struct Loaded<F> {
    /// The filter itself.
    pub filter: F,
    /// What it wants to see.
    pub interests: Vec<Interest>,
}

/// What became of a command.
#[derive(Debug)]
pub struct Outcome {
    /// What the filter decided; `forward` when it was not asked.
    pub verdict: Verdict,
    /// The command as the filter left it.
    pub command: Request,
    /// Whether any interest fitted, so that the filter was asked.
    pub seen: bool,
}

impl Outcome {
    /// Code of the answer, if the verdict is one.
    pub fn answer_code(&self) -> Option<i32> {
        match &self.verdict {
            Verdict::Answer(answer) => Some(answer.code),
            _ => None,
        }
    }

    /// Remark of the answer, or empty.
    pub fn remark(&self) -> &str {
        match &self.verdict {
            Verdict::Answer(answer) => answer.remark.as_deref().unwrap_or_default(),
            _ => "",
        }
    }
}

impl<F: Filter> Loaded<F> {
    /// Shows the filter a request.
    ///
    /// # Panics
    /// On an impossible verdict, and when a signed command was changed.
    pub fn request(&self, request: Request) -> Outcome
    where
        F: Requests,
    {
        self.show(request, Phase::Request, |filter, command| {
            filter.on_request(command)
        })
    }

    /// Shows the filter a response: a request that was [`answered`](Request::answered).
    ///
    /// # Panics
    /// As with [`request`](Self::request), and for a request without a response.
    pub fn response(&self, answered: Request) -> Outcome
    where
        F: Responses,
    {
        assert!(
            answered.response.is_some(),
            "the request has no response yet: say `.answered(code)` or `.found(messages)`"
        );
        self.show(answered, Phase::Response, |filter, command| {
            filter.on_response(command)
        })
    }

    /// Shows the filter a new connection.
    pub fn connect(&self, client: Client) -> Result<(), String>
    where
        F: Connections,
    {
        state::with(|state| {
            state.client = client;
            state.current = None;
        });
        self.filter.on_connect(&crate::Client::current())
    }

    fn show(&self, request: Request, phase: Phase, hook: impl FnOnce(&F, &Command) -> Verdict) -> Outcome {
        let fitting: Vec<_> = self
            .interests
            .iter()
            .filter(|interest| fits(interest, phase, &request))
            .collect();
        if fitting.is_empty() {
            return Outcome {
                verdict: Verdict::Forward,
                command: request,
                seen: false,
            };
        }
        let needs_body = fitting.iter().any(|interest| interest.needs_body);
        let (verdict, command) = run(request, needs_body, |command| hook(&self.filter, command));
        Outcome {
            verdict,
            command,
            seen: true,
        }
    }
}

/// Runs a plain function on a command, with its body; the verdict and the command as it was left.
///
/// # Panics
/// On an impossible verdict, and when a signed command was changed.
pub fn decide(request: Request, function: impl FnOnce(&Command) -> Verdict) -> (Verdict, Request) {
    run(request, true, function)
}

#[expect(clippy::panic, reason = "a test fails by panicking")]
fn run(request: Request, needs_body: bool, function: impl FnOnce(&Command) -> Verdict) -> (Verdict, Request) {
    state::with(|state| {
        state.client = request.client.clone();
        state.current = Some(state::Current {
            request,
            needs_body,
            removed: BTreeSet::new(),
            failure: None,
        });
    });
    let verdict = function(&Command::current());
    let Some(current) = state::with(|state| state.current.take()) else {
        panic!("a command was shown while another was being decided");
    };
    if let Some(failure) = current.failure {
        panic!("the filter fails: {failure}");
    }
    if let Some(why) = impossible(&verdict, &current.request) {
        panic!("an impossible verdict: {why}");
    }
    let mut request = current.request;
    let mut number = 0..;
    request.messages.retain(|_| {
        number
            .next()
            .is_none_or(|number| !current.removed.contains(&number))
    });
    (verdict, request)
}

fn impossible(verdict: &Verdict, request: &Request) -> Option<&'static str> {
    match (verdict, request.response.is_some(), request.is_oneway) {
        (Verdict::Answer(_), _, true) => Some("nobody waits for the answer of a one-way command: `drop` it"),
        (Verdict::Drop, _, false) if !request.is_from_broker => {
            Some("a two-way command cannot be dropped: `answer` it")
        }
        (Verdict::Delay(_), true, _) => Some("a response cannot be held"),
        (Verdict::Drop, true, _) => Some("a response cannot be dropped: `answer` in its place"),
        _ => None,
    }
}

fn fits(interest: &Interest, phase: Phase, request: &Request) -> bool {
    let named = interest.codes.contains(&request.code);
    let code = named || interest.codes.is_empty() && !request.is_from_broker;
    let accesses = request
        .accesses
        .clone()
        .unwrap_or_else(|| accesses::derive(request));
    let any = |patterns: &[String], own: Option<String>, touched: Vec<&String>| {
        let names: Vec<&String> = own.iter().chain(touched).collect();
        patterns.is_empty()
            || patterns
                .iter()
                .any(|pattern| names.iter().any(|name| Pattern::new(pattern.as_str()).fits(name)))
    };
    let topics = accesses
        .iter()
        .filter_map(|access| access.topic.as_ref())
        .collect();
    let groups = accesses
        .iter()
        .filter_map(|access| access.group.as_ref())
        .collect();
    code && (interest.phase == phase || interest.phase == Phase::Both)
        && any(&interest.topics, request.topic(), topics)
        && any(&interest.groups, request.group(), groups)
}

/// Lets time pass: buckets fill, values expire.
pub fn advance(time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    state::with(|state| state.now = state.now.saturating_add(nanos));
}

/// Sets the wall clock, nanoseconds since 1970.
pub fn set_time(nanos: u64) {
    state::with(|state| state.now = nanos);
}

/// The lines that were logged so far.
pub fn log_lines() -> Vec<(Level, String)> {
    state::with(|state| state.logs.clone())
}

/// The value of a counter or gauge, or the sum of a histogram; labels as in `held{rule=orders}`.
pub fn metric(name: &str) -> f64 {
    state::with(|state| state.counters.get(name).copied().unwrap_or_default())
}

/// What a topic of the connection of this number is called at the broker.
pub fn topic_at_broker(connection: u64, topic: &str) -> String {
    state::with(|state| state.client.connection = connection);
    lasting::names::topic_at_broker(topic)
}

/// What a group of the connection of this number is called at the broker.
pub fn group_at_broker(connection: u64, group: &str) -> String {
    state::with(|state| state.client.connection = connection);
    lasting::names::group_at_broker(group)
}
