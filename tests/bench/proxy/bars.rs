//! Each bar beside what this run found.

use super::job::float;
use super::report::{Report, Row};

const ONE: &str = "send, 1 in flight";
const MANY: &str = "send, 64 in flight";

/// A bar on a figure: at most or at least so much.
struct Bar {
    what: String,
    found: f64,
    limit: f64,
    at_least: bool,
    unit: &'static str,
}

impl Bar {
    fn line(&self) -> String {
        let Self {
            what, found, limit, ..
        } = self;
        let (sign, met) = if self.at_least {
            ("&ge;", found >= limit)
        } else {
            ("&le;", found <= limit)
        };
        // How far on the wrong side of the bar, or on the right one.
        let by = (found / limit - 1.0).abs() * 100.0;
        let verdict = if met { "met" } else { "**missed**" };
        format!(
            "| {what} | {sign} {limit}{unit} | {found:.2}{unit} | {verdict} by {by:.0} % |",
            unit = self.unit
        )
    }
}

fn row<'a>(report: &'a Report, workload: &str, subject: &str) -> Option<&'a Row> {
    report
        .rows
        .iter()
        .find(|row| row.workload == workload && row.subject == subject && row.void.is_none())
}

/// A ratio of two subjects under one workload.
fn ratio(report: &Report, workload: &str, other: &str, figure: impl Fn(&Row) -> Option<f64>) -> Option<f64> {
    let ours = figure(row(report, workload, "gimbal")?)?;
    Some(ours / figure(row(report, workload, other)?)?)
}

fn compared(report: &Report, bars: &mut Vec<Bar>) {
    let mut at = |workload: &str, other: &'static str, cost: f64, speed: f64| {
        if let Some(found) = ratio(report, workload, other, |row| row.proxy) {
            bars.push(Bar {
                what: format!("processor time for each command: {workload}, against {other}"),
                found,
                limit: cost,
                at_least: false,
                unit: "x",
            });
        }
        if let Some(found) = ratio(report, workload, other, |row| Some(row.per_second)) {
            bars.push(Bar {
                what: format!("commands a second: {workload}, against {other}"),
                found,
                limit: speed,
                at_least: true,
                unit: "x",
            });
        }
    };
    at(ONE, "haproxy", 1.2, 0.9);
    at(MANY, "haproxy", 2.0, 0.9);
    at(ONE, "java proxy", 0.125, 5.0);
    at(MANY, "java proxy", 0.125, 5.0);
}

fn late(report: &Report, bars: &mut Vec<Bar>) {
    let found = |subject: &str, at: usize| {
        let of = |subject: &str| {
            let row = report
                .latencies
                .iter()
                .find(|row| row.workload == ONE && row.subject == subject && row.void.is_none())?;
            Some(row.quantiles[at])
        };
        Some(of(subject)? - of("direct")?)
    };
    for (at, name) in ["median", "p99"].into_iter().enumerate() {
        let (Some(ours), Some(theirs)) = (found("gimbal", at), found("haproxy", at)) else {
            continue;
        };
        bars.push(Bar {
            what: format!("added {name} at half load, against haproxy ({ours:.0} and {theirs:.0} us)"),
            found: ours / theirs,
            limit: 1.2,
            at_least: false,
            unit: "x",
        });
    }
}

fn heavy(report: &Report, bars: &mut Vec<Bar>) {
    let Some(memory) = report.memories.iter().find(|row| row.subject == "gimbal") else {
        return;
    };
    let mut bar = |what: &str, found: f64, limit: f64, unit: &'static str| {
        bars.push(Bar {
            what: what.to_owned(),
            found,
            limit,
            at_least: false,
            unit,
        });
    };
    bar(
        "memory with nobody connected",
        float(memory.idle) / 1e6,
        30.0,
        " MB",
    );
    bar("memory for each idle client", memory.each() / 1e3, 15.0, " KB");
}

/// The table of bars; empty when nothing was measured that has one.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let mut bars = Vec::new();
    compared(report, &mut bars);
    late(report, &mut bars);
    heavy(report, &mut bars);
    if bars.is_empty() {
        return Vec::new();
    }
    ["### bars\n", "| | bar | found | |", "|---|---:|---:|---|"]
        .map(str::to_owned)
        .into_iter()
        .chain(bars.iter().map(Bar::line))
        .collect()
}
