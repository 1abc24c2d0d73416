//! Numbers that others keep, as metrics: filters, routes, what waits in sessions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::filter::folder::{InForce, Serving, Status};
use crate::filter::{BOUNDS, CALL_BOUNDS, Labels, Value as Own};
use crate::metrics::{Metrics, Sheet, Value, list, to_f64};
use crate::route::Directory;
use crate::session::Waiting;

/// Has these asked at every look at the metrics.
pub(super) fn add(metrics: &Metrics, filters: InForce, directory: &Arc<Directory>, waiting: &Arc<Waiting>) {
    metrics.add(move |sheet: &mut Sheet| of_filters(sheet, &filters));
    let directory = Arc::downgrade(directory);
    metrics.add(move |sheet: &mut Sheet| {
        if let Some(directory) = directory.upgrade() {
            of_routes(sheet, &directory);
        }
    });
    let waiting = Arc::clone(waiting);
    metrics.add(move |sheet: &mut Sheet| {
        sheet.count(list::COMMANDS_HELD, &[], waiting.held.load(Ordering::Relaxed));
        sheet.count(list::COMMANDS_PARKED, &[], waiting.parked.load(Ordering::Relaxed));
    });
}

fn of_routes(sheet: &mut Sheet, directory: &Directory) {
    let (kept, hits, misses) = directory.cache_counts();
    sheet.count(
        list::ROUTE_CACHE_SIZE,
        &[],
        u64::try_from(kept).unwrap_or(u64::MAX),
    );
    sheet.count(list::ROUTE_CACHE_LOOKUPS, &["hit"], hits);
    sheet.count(list::ROUTE_CACHE_LOOKUPS, &["miss"], misses);
}

fn of_filters(sheet: &mut Sheet, filters: &InForce) {
    sheet.count(list::CHAIN_GENERATION, &[], filters.chain().generation());
    let changes = filters.changes();
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    sheet.count(list::RELOADS, &["filter", "ok"], read(&changes.ok));
    sheet.count(list::RELOADS, &["filter", "failed"], read(&changes.failed));
    if read(&changes.last) > 0 {
        sheet.count(list::RELOAD_TIME, &["filter"], read(&changes.last));
    }
    for status in filters.status() {
        of_filter(sheet, &status);
    }
    for (filter, numbers) in filters.numbers() {
        for (name, labels, value) in numbers {
            own(sheet, [&filter, &name], labels, &value);
        }
    }
}

fn of_filter(sheet: &mut Sheet, status: &Status) {
    let name = status.name.as_str();
    let serving = match status.serving {
        Serving::Current => "current",
        Serving::Kept => "kept",
        Serving::Accepted => "accepted",
        Serving::Refusal => "refusal",
        Serving::Nothing => "nothing",
    };
    let version = status.version.as_deref().unwrap_or_default();
    sheet.put(list::FILTER_INFO, &[name, version, status.mode, serving], 1.0);
    sheet.count(list::FILTER_TROUBLE, &[name], u64::from(status.trouble.is_some()));
    let counts = &status.counters;
    sheet.count(list::FILTER_CALLS, &[name], counts.calls);
    for (verdict, count) in [
        ("forward", counts.forwards),
        ("answer", counts.answers),
        ("delay", counts.delays),
        ("drop", counts.drops),
        ("close", counts.closes),
    ] {
        sheet.count(list::FILTER_VERDICTS, &[name, verdict], count);
    }
    sheet.count(list::FILTER_SHADOWED, &[name], counts.shadowed);
    sheet.count(list::FILTER_FAILURES, &[name], counts.failures);
    let times = Value::Spread {
        bounds: &CALL_BOUNDS,
        counts: counts.times.clone(),
        sum: Duration::from_nanos(counts.nanos).as_secs_f64(),
    };
    sheet.add(list::FILTER_SECONDS, &[name], Vec::new(), times);
}

/// A number that a filter counts by itself.
fn own(sheet: &mut Sheet, names: [&str; 2], labels: Labels, value: &Own) {
    // The labels of the family come first; a filter's own of the same name is set apart, as Prometheus does it.
    let apart = |name: String| match name.as_str() {
        "filter" | "name" | "le" => format!("exported_{name}"),
        name if name.starts_with("__") => format!("exported{name}"),
        _ => name,
    };
    let labels = labels
        .into_iter()
        .map(|(name, value)| (apart(name), value))
        .collect();
    let (family, value) = match value {
        Own::Counter(count) => (list::FILTER_OWN_TOTAL, Value::Number(to_f64(*count))),
        Own::Gauge(level) => (list::FILTER_OWN_LEVEL, Value::Number(*level)),
        Own::Histogram { at_most, sum, count } => {
            let below = std::iter::once(&0).chain(at_most);
            let counts = at_most.iter().chain([count]).zip(below);
            let counts = counts.map(|(upto, below)| upto.saturating_sub(*below)).collect();
            let spread = Value::Spread {
                bounds: &BOUNDS,
                counts,
                sum: *sum,
            };
            (list::FILTER_OWN_SPREAD, spread)
        }
    };
    sheet.add(family, &names, labels, value);
}
