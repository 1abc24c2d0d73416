//! Traffic in a few numbers, read off the metrics.

use std::collections::BTreeMap;

use crate::admin::view::{Bucket, Overview};
use crate::metrics::{Family, Metrics, Sample, Value, list};

/// Fills in what the metrics know.
pub(super) fn fill(overview: &mut Overview, metrics: &Metrics) {
    for (family, samples) in metrics.sheet().families() {
        for sample in samples {
            add(overview, family, sample);
        }
    }
}

fn add(overview: &mut Overview, family: &Family, sample: &Sample) {
    let labels: Vec<&str> = sample.labels.iter().map(String::as_str).collect();
    let is = |other: &Family| family.name == other.name;
    match (&sample.value, labels.as_slice()) {
        (Value::Number(count), ["request", code]) if is(list::COMMANDS_BEGUN) => {
            let count = whole(*count);
            overview.requests = overview.requests.saturating_add(count);
            raise(&mut overview.codes, code, count);
        }
        (Value::Number(count), ["push", _]) if is(list::COMMANDS_BEGUN) => {
            overview.pushes = overview.pushes.saturating_add(whole(*count));
        }
        (Value::Number(count), ["request", _, outcome]) if is(list::COMMANDS) => {
            raise(&mut overview.outcomes, outcome, whole(*count));
        }
        (Value::Number(count), [topic, _]) if is(list::TOPIC_COMMANDS) => {
            raise(&mut overview.topics, topic, whole(*count));
        }
        (Value::Number(count), ["downstream"]) if is(list::BYTES_RECEIVED) => {
            overview.bytes_in = whole(*count);
        }
        (Value::Number(count), ["downstream"]) if is(list::BYTES_SENT) => overview.bytes_out = whole(*count),
        // Long polls take as long as nothing comes: they would drown everything else.
        (Value::Spread { bounds, counts, .. }, [code]) if is(list::COMMAND_SECONDS) && !is_poll(code) => {
            spread(&mut overview.latency, bounds, counts);
        }
        _ => {}
    }
}

/// Whether requests of this code wait for messages.
fn is_poll(code: &str) -> bool {
    matches!(
        code,
        "PULL_MESSAGE"
            | "LITE_PULL_MESSAGE"
            | "POP_MESSAGE"
            | "POP_LITE_MESSAGE"
            | "POLLING_INFO"
            | "NOTIFICATION"
    )
}

fn raise(counts: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    let count = counts.entry(name.to_owned()).or_default();
    *count = count.saturating_add(by);
}

/// Adds one histogram to the sum of all, whose counts include those of smaller buckets.
fn spread(latency: &mut Vec<Bucket>, bounds: &[f64], counts: &[u64]) {
    if latency.is_empty() {
        let finite = bounds.iter().map(|bound| Some(bound * 1_000.0));
        *latency = finite
            .chain([None])
            .map(|le_ms| Bucket { le_ms, count: 0 })
            .collect();
    }
    let mut sum = 0_u64;
    for (bucket, count) in latency.iter_mut().zip(counts) {
        sum = sum.saturating_add(*count);
        bucket.count = bucket.count.saturating_add(sum);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(labels: &[&str], value: Value) -> Sample {
        Sample {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            more: Vec::new(),
            value,
        }
    }

    #[test]
    fn requests_are_summed_by_code_and_outcome_and_polls_do_not_count_as_slow() {
        let mut overview = Overview::default();
        let number = |labels: &[&str], value| sample(labels, Value::Number(value));
        add(
            &mut overview,
            list::COMMANDS_BEGUN,
            &number(&["request", "SEND_MESSAGE_V2"], 3.0),
        );
        add(
            &mut overview,
            list::COMMANDS_BEGUN,
            &number(&["push", "NOTIFY"], 2.0),
        );
        add(
            &mut overview,
            list::COMMANDS,
            &number(&["request", "SEND_MESSAGE_V2", "denied"], 1.0),
        );
        add(
            &mut overview,
            list::COMMANDS,
            &number(&["request", "HEART_BEAT", "denied"], 4.0),
        );
        add(
            &mut overview,
            list::TOPIC_COMMANDS,
            &number(&["T", "denied"], 5.0),
        );
        assert_eq!((overview.requests, overview.pushes), (3, 2));
        assert_eq!((overview.outcomes["denied"], overview.topics["T"]), (5, 5));
        let times = |counts: &[u64]| Value::Spread {
            bounds: &[0.001, 0.1],
            counts: counts.to_vec(),
            sum: 0.0,
        };
        add(
            &mut overview,
            list::COMMAND_SECONDS,
            &sample(&["SEND_MESSAGE_V2"], times(&[1, 2, 3])),
        );
        add(
            &mut overview,
            list::COMMAND_SECONDS,
            &sample(&["HEART_BEAT"], times(&[1, 0, 0])),
        );
        add(
            &mut overview,
            list::COMMAND_SECONDS,
            &sample(&["PULL_MESSAGE"], times(&[0, 0, 9])),
        );
        let counts: Vec<_> = overview
            .latency
            .iter()
            .map(|bucket| (bucket.le_ms, bucket.count))
            .collect();
        assert_eq!(counts, [(Some(1.0), 2), (Some(100.0), 4), (None, 7)]);
    }
}
