//! Tables, and the file that holds every figure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;
use serde_json::json;

use super::job::{Sample, float};

/// One subject under one workload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) workload: String,
    /// Commands a second.
    pub(crate) per_second: f64,
    /// Processor time for each command, microseconds: of the proxy if there is one, of the sink, of the generator.
    pub(crate) proxy: Option<f64>,
    pub(crate) sink: f64,
    pub(crate) generator: f64,
    /// Wake-ups of the proxy for each command.
    pub(crate) wakeups: Option<f64>,
    /// Memory of the proxy under this load, bytes.
    pub(crate) resident: Option<u64>,
    pub(crate) void: Option<String>,
    /// Every round's sample.
    pub(crate) samples: Vec<Sample>,
}

/// The middle of some figures.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Row {
    /// The medians of a subject's rounds.
    pub(crate) fn of(subject: &str, workload: &str, samples: Vec<Sample>) -> Self {
        let void = samples.iter().find_map(|sample| sample.void.clone());
        let good: Vec<&Sample> = samples.iter().filter(|sample| sample.void.is_none()).collect();
        let middle = |figure: &dyn Fn(&Sample) -> f64| median(good.iter().map(|sample| figure(sample)));
        let proxied = good.first().is_some_and(|sample| sample.used.len() > 1);
        Self {
            subject: subject.to_owned(),
            workload: workload.to_owned(),
            per_second: middle(&Sample::per_second),
            proxy: proxied.then(|| middle(&|sample| sample.each(1))),
            sink: middle(&|sample| sample.each(0)),
            generator: middle(&Sample::own_each),
            wakeups: proxied
                .then(|| middle(&|sample| float(sample.wakeups[1]) / float(sample.commands.max(1)))),
            resident: good.last().and_then(|sample| sample.resident.get(1).copied()),
            void,
            samples,
        }
    }
}

fn show(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.decimals$}"))
}

/// Prints the rows of one workload as Markdown.
pub(crate) fn table(workload: &str, rows: &[Row]) {
    let haproxy = rows.iter().find(|row| row.subject == "haproxy");
    println!("### {workload}\n");
    println!(
        "| | commands/s | proxy, us/command | x HAProxy | wake-ups/command | RSS, MB | sink, us | generator, us |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        if let Some(reason) = &row.void {
            println!("| {} | {reason} | | | | | | |", row.subject);
            continue;
        }
        let ratio = haproxy.and_then(|haproxy| Some(row.proxy? / haproxy.proxy?));
        println!(
            "| {} | {:.0} | {} | {} | {} | {} | {:.2} | {:.2} |",
            row.subject,
            row.per_second,
            show(row.proxy, 2),
            show(ratio, 2),
            show(row.wakeups, 2),
            show(row.resident.map(|bytes| float(bytes) / 1e6), 1),
            row.sink,
            row.generator,
        );
    }
    println!();
}

fn said_by(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The commit measured; with a sign when files differ from it.
pub(crate) fn commit() -> String {
    let commit = said_by("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = said_by("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    format!("{commit}{}", if changed { " with changes" } else { "" })
}

/// One line on where and what this was.
pub(crate) fn machine(gimbal: &Path) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let haproxy = said_by("/usr/sbin/haproxy", &["-v"])
        .and_then(|text| Some(text.split_whitespace().nth(2)?.to_owned()))
        .unwrap_or_else(|| "none".to_owned());
    let profile = if gimbal.components().any(|part| part.as_os_str() == "debug") {
        "debug"
    } else {
        "release"
    };
    format!(
        "{model}, {cores} cores, Linux {}, load {} at the start; Gimbal {} ({profile} build), HAProxy {haproxy}",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
        commit(),
    )
}

/// Where builds go.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("bench")
}

/// Writes every figure to `proxy.json`.
pub(crate) fn save(rows: &[Row], gimbal: &Path) {
    let folder = target();
    fs::create_dir_all(&folder).unwrap();
    let whole = json!({ "machine": machine(gimbal), "commit": commit(), "rows": rows });
    let path = folder.join("proxy.json");
    fs::write(&path, serde_json::to_string_pretty(&whole).unwrap()).unwrap();
    println!("every figure: {}", path.display());
}
