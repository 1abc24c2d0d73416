//! The threads that push metrics and spans to a collector, so that whatever it does, nobody else waits.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use prost::Message as _;
use tokio::time::Instant;
use tracing::{info, warn};

use super::context::Context;
use super::{Observers, Record, spans};
use crate::metrics::{Collector, Course, METRICS_PATH, Tally, list};

/// Where spans are posted to.
const TRACES_PATH: &str = "/v1/traces";
/// Spans that wait for the pusher.
const QUEUE: usize = 4_096;
/// Spans of one push.
const BATCH: usize = 512;
/// A span is pushed no later than this after its end.
const GATHER: Duration = Duration::from_secs(1);
/// How often one looks whether there is a collector now.
const IDLE: Duration = Duration::from_secs(1);

/// A span that is on its way.
pub(super) type Finished = (Arc<Record>, Box<Context>);

/// The collector in force, and the threads that push to it.
#[derive(Debug)]
pub(super) struct Pushers {
    collector: Arc<ArcSwap<Collector>>,
    spans: OnceLock<SyncSender<Finished>>,
    /// Dropped with its observers, which ends the thread of metrics.
    metrics: OnceLock<SyncSender<()>>,
    tally: Arc<Tally>,
}

impl Pushers {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self {
            collector: Arc::default(),
            spans: OnceLock::new(),
            metrics: OnceLock::new(),
            tally,
        }
    }

    /// Puts another collector in force.
    pub(super) fn configure(&self, collector: Collector, observers: &Arc<Observers>) {
        let is_needed = collector.endpoint.is_some();
        self.collector.store(Arc::new(collector));
        if !is_needed {
            return;
        }
        self.metrics.get_or_init(|| {
            let (sender, ended) = sync_channel(1);
            let (collector, observers) = (Arc::clone(&self.collector), Arc::downgrade(observers));
            start("otlp-metrics", move || {
                push_metrics(&collector, &observers, &ended);
            });
            sender
        });
        self.spans.get_or_init(|| {
            let (sender, spans) = sync_channel(QUEUE);
            let (collector, tally) = (Arc::clone(&self.collector), Arc::clone(&self.tally));
            let instance = observers.instance.clone();
            start("otlp-spans", move || {
                push_spans(&collector, &tally, &instance, &spans);
            });
            sender
        });
    }

    /// Hands a span over; it is lost, and counted, when the pusher cannot keep up.
    pub(super) fn push(&self, span: Finished) {
        let sent = self.spans.get().map(|spans| spans.try_send(span));
        if let None | Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = sent {
            self.tally.count(list::TRACES, &["dropped"]);
        }
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(work) {
        warn!(%error, name, "there is no thread for it, and nothing is pushed");
    }
}

fn tell(what: &str, news: Option<String>, outcome: &Result<(), String>) {
    match news {
        Some(news) if outcome.is_ok() => info!(what, "{news}"),
        Some(news) => warn!(what, "{news}"),
        None => {}
    }
}

fn push_metrics(collector: &ArcSwap<Collector>, observers: &Weak<Observers>, ended: &Receiver<()>) {
    let mut course = Course::default();
    let mut since = Instant::now();
    loop {
        if !matches!(
            ended.recv_timeout(IDLE.min(Duration::from_millis(250))),
            Err(RecvTimeoutError::Timeout)
        ) {
            return;
        }
        let settings = collector.load_full();
        let is_on = settings.endpoint.is_some() && !settings.interval.is_zero();
        if !is_on || since.elapsed() < course.pause(settings.interval) {
            continue;
        }
        let Some(observers) = observers.upgrade() else {
            return;
        };
        since = Instant::now();
        let request = observers.metrics.to_otlp(&observers.instance);
        let outcome = settings.push(METRICS_PATH, &request);
        let result = if outcome.is_ok() { "ok" } else { "failed" };
        observers.metrics.tally.count(list::OTLP_PUSHES, &[result]);
        tell("metrics", course.note(&outcome), &outcome);
    }
}

fn push_spans(collector: &ArcSwap<Collector>, tally: &Tally, instance: &str, spans: &Receiver<Finished>) {
    let mut course = Course::default();
    let mut not_before = Instant::now();
    while let Ok(first) = spans.recv() {
        let mut batch = vec![first];
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH {
            match spans.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        let count = f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        if Instant::now() < not_before {
            // The collector is down: what ends meanwhile is lost, since it would only be late.
            tally.add(list::TRACES, &["dropped"], count);
            continue;
        }
        let outcome = collector
            .load()
            .push(TRACES_PATH, &spans::request(&batch, instance).encode_to_vec());
        let result = if outcome.is_ok() { "exported" } else { "dropped" };
        tally.add(list::TRACES, &[result], count);
        tell("spans", course.note(&outcome), &outcome);
        if outcome.is_err() {
            not_before = Instant::now() + course.pause(GATHER);
        }
    }
}
