//! Tables, and the files that hold every figure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::job::{Sample, float};
use super::latency::Latency;
use super::memory::Memory;
use super::{bars, plot};

/// One subject under one workload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) workload: String,
    /// Commands a second.
    pub(crate) per_second: f64,
    /// Processor time for each command, microseconds: of the proxy if there is one, of the sink, of the generator.
    pub(crate) proxy: Option<f64>,
    /// Of one core, what the proxy used.
    pub(crate) busy: Option<f64>,
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
    let at = |at: usize| figures.get(at).copied().unwrap_or(f64::NAN);
    let half = figures.len() / 2;
    if figures.len() % 2 == 1 {
        at(half)
    } else {
        f64::midpoint(at(half.wrapping_sub(1)), at(half))
    }
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
            busy: proxied.then(|| middle(&|sample| sample.used[1] / sample.seconds)),
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

/// Everything found so far, and the text that says it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: String,
    commit: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) memories: Vec<Memory>,
    #[serde(skip)]
    text: String,
}

impl Report {
    /// One that says where and what this is.
    pub(crate) fn new(gimbal: &Path) -> Self {
        let mut this = Self {
            machine: machine(gimbal),
            commit: commit(),
            rows: Vec::new(),
            latencies: Vec::new(),
            memories: Vec::new(),
            text: String::new(),
        };
        let command: Vec<String> = std::env::args()
            .skip(1)
            .filter(|word| word != "--bench")
            // Where things lie on this machine is of no use to others.
            .map(|word| if word.starts_with('/') { "PATH".to_owned() } else { word })
            .collect();
        let dashes = if command.is_empty() { "" } else { " -- " };
        this.say(&format!(
            "`cargo bench --bench proxy{dashes}{}`\n",
            command.join(" ")
        ));
        this.say(&format!("{}\n", this.machine.clone()));
        this
    }

    /// Prints a line and keeps it.
    pub(crate) fn say(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// What was found under one workload.
    pub(crate) fn under(&self, workload: &str) -> Vec<Row> {
        self.rows
            .iter()
            .filter(|row| row.workload == workload)
            .cloned()
            .collect()
    }

    /// Says the rows of one workload.
    pub(crate) fn rows(&mut self, workload: &str, rows: Vec<Row>) {
        let haproxy = rows.iter().find(|row| row.subject == "haproxy");
        self.say(&format!("### {workload}\n"));
        self.say(
            "| | commands/s | x HAProxy | proxy, us/command | x HAProxy | proxy busy | wake-ups/command | RSS, MB | sink, us | \
             generator, us |",
        );
        self.say("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        for row in &rows {
            if let Some(reason) = &row.void {
                self.say(&format!("| {} | {reason} | | | | | | | | |", row.subject));
                continue;
            }
            let speed = haproxy.map(|haproxy| row.per_second / haproxy.per_second);
            let cost = haproxy.and_then(|haproxy| Some(row.proxy? / haproxy.proxy?));
            self.say(&format!(
                "| {} | {:.0} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} |",
                row.subject,
                row.per_second,
                show(speed, 2),
                show(row.proxy, 2),
                show(cost, 2),
                show(row.busy, 2),
                show(row.wakeups, 2),
                show(row.resident.map(|bytes| float(bytes) / 1e6), 1),
                row.sink,
                row.generator,
            ));
        }
        self.say("");
        self.rows.extend(rows);
    }

    /// Says the latencies of one workload.
    pub(crate) fn latencies(&mut self, workload: &str, rows: Vec<Latency>) {
        let direct = rows.iter().find(|row| row.subject == "direct");
        self.say(&format!("### {workload}, open loop at half load\n"));
        self.say(
            "| | commands/s | p50, us | p99, us | p99.9, us | added p50 | added p99 | proxy, us/command |",
        );
        self.say("|---|---:|---:|---:|---:|---:|---:|---:|");
        for row in &rows {
            if let Some(reason) = &row.void {
                self.say(&format!(
                    "| {} | {:.0} | {reason} | | | | | |",
                    row.subject, row.rate
                ));
                continue;
            }
            let added = |at: usize| direct.map(|direct| row.quantiles[at] - direct.quantiles[at]);
            let [middle, most, nearly_all] = row.quantiles;
            self.say(&format!(
                "| {} | {:.0} | {middle:.0} | {most:.0} | {nearly_all:.0} | {} | {} | {} |",
                row.subject,
                row.rate,
                show(added(0), 0),
                show(added(1), 0),
                show(row.proxy, 2),
            ));
        }
        self.say("");
        self.latencies.extend(rows);
    }

    /// Says what idle clients cost.
    pub(crate) fn memories(&mut self, rows: Vec<Memory>) {
        self.say("### memory of a fresh process\n");
        self.say("| | nobody connected, MB | idle connections | with them, MB | each, KB |");
        self.say("|---|---:|---:|---:|---:|");
        for row in &rows {
            self.say(&format!(
                "| {} | {:.1} | {} | {:.1} | {:.1} |",
                row.subject,
                float(row.idle) / 1e6,
                row.connections,
                float(row.connected) / 1e6,
                row.each() / 1e3,
            ));
        }
        self.say("");
        self.memories = rows;
    }

    /// Says the bars, and writes every figure to `proxy.json` and `proxy.svg`; into the repository if it is to be kept.
    pub(crate) fn end(&mut self, keep: bool) {
        for line in bars::lines(self) {
            self.say(&line);
        }
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        self.say(&format!(
            "\nLoad at the end: {}.",
            load.split(' ').next().unwrap_or_default()
        ));
        let folder = target();
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("proxy.json"),
            serde_json::to_string_pretty(self).unwrap(),
        )
        .unwrap();
        fs::write(folder.join("proxy.md"), &self.text).unwrap();
        let caption = format!("{}; {}", self.commit, self.machine);
        plot::draw(self, &caption, &folder.join("proxy.svg"));
        println!("every figure and the plot: {}/proxy.*", folder.display());
        if keep {
            let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
            fs::copy(folder.join("proxy.svg"), room.join("proxy.svg")).unwrap();
            let readme = room.join("README.md");
            let text = fs::read_to_string(&readme).unwrap();
            let (before, rest) = text
                .split_once(BEGIN)
                .expect("README.md says where the last run begins");
            let (_, after) = rest
                .split_once(END)
                .expect("README.md says where the last run ends");
            fs::write(readme, format!("{before}{BEGIN}\n{}\n{END}{after}", self.text)).unwrap();
        }
    }
}

/// Between these lines of README.md lies the last run.
const BEGIN: &str = "<!-- last run -->";
const END: &str = "<!-- end of last run -->";

fn said_by(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The commit measured; with a sign when files differ from it.
fn commit() -> String {
    let commit = said_by("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = said_by("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    format!("{commit}{}", if changed { " with changes" } else { "" })
}

/// One line on where and what this was.
fn machine(gimbal: &Path) -> String {
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
fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("bench")
}
