//! Everybody who wants to hear of commands: counters hear of each, the others of those they ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::access::{AccessLog, AccessSettings};
use super::context::{Context, Parent};
use super::push::Pushers;
use super::{Outcome, Record, Tail};
use crate::metrics::{Collector, Family, Metrics, list};

/// Answers of brokers that an operator wants to hear of: system error and busy, not supported, illegal, not available,
/// no permission, invalid parameter, flow control.
const BAD_RESULTS: [i32; 8] = [1, 2, 3, 13, 14, 16, 29, 215];

/// Counters that are told from the start, so that their first step is one for whoever looks at rates.
const FROM_THE_START: [(&Family, &str); 12] = [
    (list::ACCESS_LINES, "written"),
    (list::ACCESS_LINES, "dropped"),
    (list::ACCESS_LINES, "failed"),
    (list::OTLP_PUSHES, "ok"),
    (list::OTLP_PUSHES, "failed"),
    (list::TRACES, "exported"),
    (list::TRACES, "dropped"),
    (list::CONNECTIONS_CLOSED, "gone"),
    (list::CONNECTIONS_CLOSED, "malformed"),
    (list::CONNECTIONS_CLOSED, "idle"),
    (list::CONNECTIONS_CLOSED, "drained"),
    (list::CONNECTIONS_CLOSED, "filter"),
];

/// Whoever hears of commands; shared by all sessions.
#[derive(Debug)]
pub struct Observers {
    /// The numbers.
    pub metrics: Metrics,
    /// The live tail.
    pub tail: Tail,
    access: AccessLog,
    pushers: Pushers,
    tracing: Tracing,
    /// Tells this process from others to a collector.
    pub(super) instance: String,
}

/// Which commands become spans.
#[derive(Debug, Default)]
struct Tracing {
    is_on: AtomicBool,
    propagates: AtomicBool,
    /// The share, as its bits.
    sample: AtomicU64,
}

/// What observers do.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The access log.
    pub access: AccessSettings,
    /// The share of commands that become spans, from 0 to 1.
    pub sample: f64,
    /// Whether traces go on inside messages.
    pub propagate: bool,
    /// Where metrics and spans are pushed to.
    pub collector: Collector,
}

/// What is known of a command at its end without making a record of it.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a> {
    /// Its request code.
    pub code: i32,
    /// The topic it named.
    pub topic: Option<&'a str>,
    /// The group it named.
    pub group: Option<&'a str>,
    /// The client's id.
    pub client: Option<&'a str>,
    /// Who signed it.
    pub user: Option<&'a str>,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of its answer.
    pub result: Option<i32>,
}

impl Brief<'_> {
    /// Whether it went wrong: denied, refused, failed, or answered with an error by its broker.
    pub fn is_bad(&self) -> bool {
        match self.outcome {
            Outcome::Denied | Outcome::Dropped | Outcome::Closed | Outcome::Refused | Outcome::Failed => true,
            Outcome::Forwarded => self.result.is_some_and(|result| BAD_RESULTS.contains(&result)),
            Outcome::Answered | Outcome::Abandoned => false,
        }
    }
}

impl Observers {
    /// Observers with these numbers and nobody else.
    pub fn new(metrics: Metrics) -> Self {
        for (family, label) in FROM_THE_START {
            metrics.tally.add(family, &[label], 0.0);
        }
        for outcome in ["ok", "failed"] {
            metrics.tally.add(list::RELOADS, &["config", outcome], 0.0);
        }
        metrics.tally.set(list::SESSIONS_DRAINING, &[], 0.0);
        Self {
            tail: Tail::default(),
            access: AccessLog::new(Arc::clone(&metrics.tally)),
            pushers: Pushers::new(Arc::clone(&metrics.tally)),
            tracing: Tracing::default(),
            instance: format!("{:016x}", fastrand::u64(..)),
            metrics,
        }
    }

    /// Puts settings in force. The file of the access log is opened again.
    pub fn configure(self: &Arc<Self>, settings: Settings) {
        let tracing = &self.tracing;
        let has_collector = settings.collector.endpoint.is_some();
        tracing.sample.store(settings.sample.to_bits(), Ordering::Relaxed);
        tracing.propagates.store(settings.propagate, Ordering::Relaxed);
        tracing
            .is_on
            .store(settings.sample > 0.0 && has_collector, Ordering::Relaxed);
        self.access.configure(settings.access);
        self.pushers.configure(settings.collector, self);
    }

    /// Whether any command becomes a span.
    pub fn traces(&self) -> bool {
        self.tracing.is_on.load(Ordering::Relaxed)
    }

    /// Whether sampled traces go on inside messages.
    pub fn propagates(&self) -> bool {
        self.tracing.propagates.load(Ordering::Relaxed)
    }

    /// The span of a command, if it becomes one: as its trace says, else by chance.
    pub fn sampled(&self, parent: Option<&str>, state: Option<&str>) -> Option<Box<Context>> {
        if !self.traces() {
            return None;
        }
        let parent = parent.and_then(Parent::read);
        let is_sampled = match parent {
            Some(parent) => parent.is_sampled,
            None => fastrand::f64() < f64::from_bits(self.tracing.sample.load(Ordering::Relaxed)),
        };
        is_sampled.then(|| Box::new(Context::new(parent, state)))
    }

    /// Tells of a command that has ended, to those who want to hear of it; `record` is called only if somebody does.
    pub fn ended(&self, brief: &Brief<'_>, context: Option<Box<Context>>, record: impl FnOnce() -> Record) {
        let (watched, logged) = (self.tail.is_watched(), self.access.wants(brief));
        if !watched && !logged && context.is_none() {
            return;
        }
        let record = Arc::new(record());
        if logged {
            self.access.write(&record);
        }
        if let Some(context) = context {
            self.pushers.push((Arc::clone(&record), context));
        }
        if watched {
            self.tail.tell(record);
        }
    }

    /// Waits until the access log is written, at most this long. Blocks.
    pub fn flush(&self, limit: Duration) {
        self.access.flush(limit);
    }
}
