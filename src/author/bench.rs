//! What a filter costs: nanoseconds for each call on the production engine, fuel on one that counts it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::cases::{Case, Shown};
use super::corpus::{CorpusError, Entry, Item};
use super::stand::{Setup, Stand, StandError, client, framed};
use crate::filter::recorded::Direction;
use crate::filter::{Asked, Client, Outcome, Subject, Way};
use crate::protocol::{Code, FRAME_LIMIT, Frame, Head};
use crate::wasm::Host;

/// Calls before anything is measured.
const WARM_UP: usize = 500;
/// Calls that are measured, at most and at least.
const CALLS: usize = 20_000;
const LEAST: usize = 100;
/// Time that is spent on one sample after the least number of calls.
const PATIENCE: Duration = Duration::from_millis(500);
/// Commands of a recording that are measured under one name, at most.
const SAMPLES: usize = 1_000;

/// Commands that are measured together.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Their name: that of the case, or of the request code of recorded commands.
    pub name: String,
    /// The configuration to measure with; none for the one that is given.
    pub config: Option<Value>,
    /// What is shown, and to whom it belongs; at least one.
    pub shown: Vec<(Shown, Client)>,
}

/// What one sample costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The middle call.
    pub p50: Duration,
    /// The call that is slower than 99 of 100.
    pub p99: Duration,
    /// Fuel of the most expensive command: the same on every machine.
    pub fuel: u64,
    /// Memory of an instance afterwards, bytes.
    pub memory: usize,
    /// Calls that were measured.
    pub calls: usize,
    /// The verdict of the last one.
    pub verdict: String,
}

/// The cases as samples, one each; those that show a connection are left out.
pub fn of_cases(cases: &[Case]) -> Vec<Sample> {
    let commands = cases
        .iter()
        .filter(|case| !matches!(case.shown, Shown::Connection));
    let samples = commands.map(|case| Sample {
        name: case.name.clone(),
        config: Some(case.config.clone()),
        shown: vec![(case.shown.clone(), case.client.clone())],
    });
    samples.collect()
}

/// Recorded commands as samples, one for each request code and way.
///
/// # Errors
/// What cannot be read, with its line.
pub fn of_recording(
    items: impl Iterator<Item = Result<Item, CorpusError>>,
) -> Result<Vec<Sample>, CorpusError> {
    let mut samples: Vec<Sample> = Vec::new();
    for item in items {
        let Item::Command(entry) = item? else { continue };
        let name = name(&entry);
        let place = samples.iter().position(|sample| sample.name == name);
        let Entry {
            command,
            asked,
            client,
            ..
        } = *entry;
        let shown = match asked {
            Some(request) => Shown::Response {
                request,
                answer: command,
            },
            None => Shown::Request(command),
        };
        let one = (shown, Client::clone(&client));
        match place.and_then(|place| samples.get_mut(place)) {
            Some(sample) if sample.shown.len() < SAMPLES => sample.shown.push(one),
            Some(_full) => {}
            None => samples.push(Sample {
                name,
                config: None,
                shown: vec![one],
            }),
        }
    }
    Ok(samples)
}

fn name(entry: &Entry) -> String {
    let code = entry.request().code;
    let known = crate::protocol::request::name(code).map_or_else(|| code.to_string(), str::to_owned);
    match entry.way {
        Direction::Request => known,
        _ => format!("{known} {}", way(entry)),
    }
}

fn way(entry: &Entry) -> &'static str {
    if entry.asked.is_some() {
        "answers"
    } else {
        "pushes"
    }
}

/// Measures one sample: times on `host`, fuel on `meter`, which counts it.
///
/// # Errors
/// The filter cannot be loaded with the sample's configuration, or a command cannot be written.
pub fn measure(setup: &Setup, sample: &Sample, host: &Host, meter: &Host) -> Result<Cost, StandError> {
    let setup = match &sample.config {
        Some(config) => setup.clone().with_config(config.clone()),
        None => setup.clone(),
    };
    let mut fuel = 0;
    let mut memory = 0;
    let metered = setup.load_on(meter)?;
    let mut verdict = String::new();
    for (shown, client) in &sample.shown {
        let decision = match shown {
            Shown::Request(command) => metered.request(command, client)?,
            Shown::Response { request, answer } => metered.response(request, answer, client)?,
            Shown::Connection => continue,
        };
        fuel = fuel.max(decision.fuel.unwrap_or_default());
        memory = memory.max(decision.memory);
        verdict = decision.verdict_line();
    }
    let stand = setup.load_on(host)?;
    let ready: Result<Vec<Ready>, StandError> = sample
        .shown
        .iter()
        .map(|(shown, client)| Ready::of(shown, client))
        .collect();
    let mut times = times(&stand, &ready?);
    times.sort_unstable();
    Ok(Cost {
        p50: at(&times, 50),
        p99: at(&times, 99),
        fuel,
        memory,
        calls: times.len(),
        verdict,
    })
}

/// The time below which so many of a hundred are.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    let place = sorted.len().saturating_mul(percent) / 100;
    let last = sorted.len().saturating_sub(1);
    sorted.get(place.min(last)).copied().unwrap_or_default()
}

/// A command as it is when it reaches the chain.
struct Ready {
    code: Code,
    head: Head,
    frame: Frame,
    client: Arc<Client>,
    asked: Option<Arc<Asked>>,
}

impl Ready {
    fn of(shown: &Shown, client: &Client) -> Result<Self, StandError> {
        let (command, asked) = match shown {
            Shown::Request(command) => (command, None),
            Shown::Response { request, answer } => {
                let (head, frame) = framed(request)?;
                (answer, Some(Asked::of(&head, &frame)))
            }
            Shown::Connection => return Err(StandError::Command("a connection has none".to_owned())),
        };
        let (head, frame) = framed(command)?;
        Ok(Self {
            code: asked.as_ref().map_or(command.code, |asked| asked.code),
            head,
            frame,
            client: Arc::new(client.clone()),
            asked,
        })
    }

    /// Decides once; how long that took. The command is made before, and goes afterwards.
    fn decide(&self, stand: &Stand) -> Duration {
        let subject = match &self.asked {
            None => stand.subject(&self.head, &self.frame, &self.client),
            Some(asked) => {
                let way = if super::stand::is_of_brokers(self.code) {
                    Way::PushResponse
                } else {
                    Way::Response
                };
                let (head, frame) = (self.head.clone(), self.frame.clone());
                let subject =
                    Subject::response(way, head, frame, Arc::clone(asked), Arc::clone(&self.client));
                subject.with_limits(Duration::ZERO, FRAME_LIMIT)
            }
        };
        let subject = Box::new(subject);
        let began = Instant::now();
        let outcome: Outcome = if self.asked.is_some() {
            stand.chain().respond(subject, usize::MAX)
        } else {
            stand.chain().decide(subject, 0)
        };
        let took = began.elapsed();
        drop(outcome);
        took
    }
}

fn times(stand: &Stand, ready: &[Ready]) -> Vec<Duration> {
    let clock = clock();
    let began = Instant::now();
    let mut each = ready.iter().cycle();
    for one in each.by_ref().take(WARM_UP) {
        one.decide(stand);
        if began.elapsed() > PATIENCE {
            break;
        }
    }
    let began = Instant::now();
    let mut times = Vec::new();
    for one in each.take(CALLS) {
        times.push(one.decide(stand).saturating_sub(clock));
        if times.len() >= LEAST && began.elapsed() > PATIENCE {
            break;
        }
    }
    times
}

/// What looking at the clock takes, which is no cost of the filter.
fn clock() -> Duration {
    let mut looks: Vec<Duration> = (0..WARM_UP).map(|_| Instant::now().elapsed()).collect();
    looks.sort_unstable();
    at(&looks, 50)
}

/// Commands to measure a filter with that has no cases: a send and a pull.
pub fn usual() -> Vec<Sample> {
    const TEXT: &str = "[[case]]\nname = 'a send'\nsend = { topic = 'orders', body = 'hello', key = 'k', tag = 't' }\n\
                        [[case]]\nname = 'a pull'\npull = { topic = 'orders' }\n";
    let cases = super::cases::read("usual", TEXT).unwrap_or_default();
    let samples = of_cases(&cases).into_iter().map(|sample| Sample {
        config: None,
        shown: sample
            .shown
            .into_iter()
            .map(|(shown, _)| (shown, client()))
            .collect(),
        ..sample
    });
    samples.collect()
}
