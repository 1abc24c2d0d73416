//! The Prometheus text format, version 0.0.4.

use std::fmt::Write as _;

use super::family::Family;
use super::sheet::{Sample, Sheet, Value, to_f64};

/// What to say it is, in `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes all values.
pub(super) fn write(sheet: &Sheet) -> String {
    let mut text = String::new();
    for (family, samples) in sheet.families() {
        line(
            &mut text,
            format_args!("# HELP {} {}", family.name, escaped(family.help, false)),
        );
        line(
            &mut text,
            format_args!("# TYPE {} {}", family.name, family.kind.name()),
        );
        for sample in samples {
            write_sample(&mut text, family, sample);
        }
    }
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    if writeln!(text, "{what}").is_err() {
        debug_assert!(false, "writing to a string does not fail");
    }
}

fn write_sample(text: &mut String, family: &Family, sample: &Sample) {
    let name = family.name;
    let labels = labels_of(family, sample);
    match &sample.value {
        Value::Number(number) => {
            line(
                text,
                format_args!("{name}{} {}", braces(&labels, None), plain(*number)),
            );
        }
        Value::Spread { bounds, counts, sum } => {
            let mut below: u64 = 0;
            let ends = bounds.iter().copied().chain([f64::INFINITY]);
            for (bound, count) in ends.zip(counts) {
                below = below.saturating_add(*count);
                let bound = plain(bound);
                line(
                    text,
                    format_args!("{name}_bucket{} {below}", braces(&labels, Some(&bound))),
                );
            }
            line(
                text,
                format_args!("{name}_sum{} {}", braces(&labels, None), plain(*sum)),
            );
            line(
                text,
                format_args!("{name}_count{} {}", braces(&labels, None), plain(to_f64(below))),
            );
        }
    }
}

/// `name="value"`, separated by commas.
fn labels_of(family: &Family, sample: &Sample) -> String {
    let own = family
        .labels
        .iter()
        .copied()
        .zip(sample.labels.iter().map(String::as_str));
    let more = sample
        .more
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs: Vec<String> = own
        .chain(more)
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true)))
        .collect();
    pairs.join(",")
}

fn braces(labels: &str, bound: Option<&str>) -> String {
    match (labels.is_empty(), bound) {
        (true, None) => String::new(),
        (true, Some(bound)) => format!("{{le=\"{bound}\"}}"),
        (false, None) => format!("{{{labels}}}"),
        (false, Some(bound)) => format!("{{{labels},le=\"{bound}\"}}"),
    }
}

fn plain(number: f64) -> String {
    if number == f64::INFINITY {
        return "+Inf".to_owned();
    }
    if number == f64::NEG_INFINITY {
        return "-Inf".to_owned();
    }
    number.to_string()
}

fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::list;

    #[test]
    fn a_sheet_is_written_as_prometheus_reads_it() {
        let mut sheet = Sheet::default();
        sheet.put(list::BUILD_INFO, &["1 \"x\"\\\n"], 1.0);
        let spread = Value::Spread {
            bounds: &[0.5, 1.0],
            counts: vec![2, 0, 1],
            sum: 7.25,
        };
        sheet.add(list::CHAIN_SECONDS, &[], Vec::new(), spread);
        let text = write(&sheet);
        assert!(text.contains(
            "# TYPE gimbal_build_info gauge\ngimbal_build_info{version=\"1 \\\"x\\\"\\\\\\n\"} 1\n"
        ));
        let histogram = "gimbal_chain_duration_seconds_bucket{le=\"0.5\"} 2\n\
                         gimbal_chain_duration_seconds_bucket{le=\"1\"} 2\n\
                         gimbal_chain_duration_seconds_bucket{le=\"+Inf\"} 3\n\
                         gimbal_chain_duration_seconds_sum 7.25\n\
                         gimbal_chain_duration_seconds_count 3\n";
        assert!(text.ends_with(histogram), "{text}");
    }
}
