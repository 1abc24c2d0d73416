//! The order of events: which subjects, which workloads, round after round.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Args;
use super::cpu;
use super::frames::Traffic;
use super::job::{Job, Sample};
use super::latency::{self, Latency};
use super::memory::{self, Memory};
use super::report::{Report, Row};
use super::subject::{Process, Stand, Subject, Upstream};

/// The core of what is measured, and the core of generator and sink.
const CORES: [usize; 2] = [0, 1];

/// What clients do.
#[derive(Debug, Clone, Copy)]
struct Workload {
    name: &'static str,
    traffic: Traffic,
    binary: bool,
    connections: usize,
    depth: u64,
    idle: usize,
}

const fn workload(name: &'static str, traffic: Traffic, connections: usize, depth: u64) -> Workload {
    Workload {
        name,
        traffic,
        binary: false,
        connections,
        depth,
        idle: 0,
    }
}

const fn in_binary(this: Workload, name: &'static str) -> Workload {
    Workload {
        name,
        binary: true,
        ..this
    }
}

const SEND_1: Workload = workload("send, 1 in flight", Traffic::Send, 32, 1);
const SEND_64: Workload = workload("send, 64 in flight", Traffic::Send, 8, 64);
const PULL: Workload = workload("pull 32 x 1 KiB", Traffic::Pull, 32, 1);
const MIX: Workload = Workload {
    idle: 1_000,
    ..workload("mix, 1 000 idle", Traffic::Mix, 32, 4)
};

/// All workloads; the first two make the short form.
const WORKLOADS: [Workload; 7] = [
    SEND_1,
    SEND_64,
    in_binary(SEND_1, "send, 1 in flight, binary"),
    in_binary(SEND_64, "send, 64 in flight, binary"),
    PULL,
    in_binary(PULL, "pull 32 x 1 KiB, binary"),
    MIX,
];

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Extent {
    seconds: f64,
    rounds: usize,
}

/// Runs what the arguments ask for.
pub(crate) fn run(args: &Args) {
    let gimbal = args
        .gimbal
        .clone()
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gimbal")));
    let gimbal = gimbal.canonicalize().expect("there is a binary to measure");
    let scratch = tempfile::tempdir().unwrap();
    let stand = Stand {
        core: CORES[0],
        gimbal: gimbal.clone(),
        java: args.java_proxy.clone(),
        folder: scratch.path().to_owned(),
    };
    let upstream = Upstream::start(CORES[1]);
    let mut report = Report::new(&gimbal);
    let subjects = subjects(&stand, &upstream, args, &mut report);
    let extent = Extent {
        seconds: args.seconds.unwrap_or(if args.short { 1.0 } else { 3.0 }),
        rounds: args.rounds.unwrap_or(if args.short { 3 } else { 5 }),
    };
    report.say(&format!(
        "Each figure is the median of {} measurements of {} s.\n",
        extent.rounds, extent.seconds
    ));
    let workloads: Vec<Workload> = WORKLOADS
        .iter()
        .take(if args.short { 2 } else { WORKLOADS.len() })
        .filter(|workload| {
            chosen(
                &args.only,
                workload.name,
                &WORKLOADS.map(|workload| workload.name),
            )
        })
        .copied()
        .collect();
    for workload in &workloads {
        let found = rounds(&subjects, &upstream, *workload, extent);
        report.rows(workload.name, found);
    }
    if cpu::counts_instructions() {
        for workload in &workloads {
            for subject in &subjects {
                instructions(subject, &upstream, *workload, &mut report);
            }
        }
    } else {
        report.say("This machine has no counters of instructions.\n");
    }
    if !args.short {
        for workload in workloads
            .iter()
            .filter(|workload| workload.depth == 1 && !workload.binary)
        {
            let found = latencies(&subjects, &upstream, *workload, extent, &report);
            report.latencies(workload.name, found);
        }
        drop(subjects);
        report.memories(memories(&stand, &upstream, args));
    }
    report.end(args.keep);
}

/// Whether `--only` leaves this name in: it names none of this sort, or this one.
fn chosen(only: &[String], name: &str, sort: &[&str]) -> bool {
    let about = |wanted: &&String| sort.iter().any(|name| name.contains(wanted.as_str()));
    let mut wanted = only.iter().filter(about).peekable();
    wanted.peek().is_none() || wanted.any(|wanted| name.contains(wanted.as_str()))
}

const NAMES: [&str; 6] = [
    "direct",
    "haproxy",
    "gimbal",
    "gimbal, 1 filter",
    "gimbal, 3 filters",
    "java proxy",
];

fn start(name: &str, stand: &Stand, upstream: &Upstream) -> Result<Subject, String> {
    match name {
        "direct" => Ok(Stand::direct(upstream)),
        "haproxy" => stand.haproxy(upstream),
        "gimbal" => stand.gimbal(upstream, 0),
        "gimbal, 1 filter" => stand.gimbal(upstream, 1),
        "gimbal, 3 filters" => stand.gimbal(upstream, 3),
        _ => stand.java(upstream),
    }
}

fn subjects(stand: &Stand, upstream: &Upstream, args: &Args, report: &mut Report) -> Vec<Subject> {
    let mut found = Vec::new();
    for name in NAMES.into_iter().filter(|name| chosen(&args.only, name, &NAMES)) {
        match start(name, stand, upstream) {
            Ok(subject) => {
                if name == "java proxy" {
                    warm(&subject, upstream);
                }
                found.push(subject);
            }
            Err(reason) => report.say(&format!("{name} is left out: {reason}.")),
        }
    }
    found
}

/// A virtual machine gets faster in its first half minute; what counts is what it is then.
fn warm(subject: &Subject, upstream: &Upstream) {
    for workload in [SEND_1, SEND_64, PULL] {
        for binary in [false, true] {
            drop(measure(&job(
                subject,
                upstream,
                Workload { binary, ..workload },
                5.0,
            )));
        }
    }
}

/// Fresh processes, one after another, without and with idle clients.
fn memories(stand: &Stand, upstream: &Upstream, args: &Args) -> Vec<Memory> {
    NAMES
        .into_iter()
        .filter(|name| chosen(&args.only, name, &NAMES))
        .filter_map(|name| memory::weigh(&start(name, stand, upstream).ok()?, upstream))
        .collect()
}

/// Instructions for each command, counted in the middle of a measurement of its own.
fn instructions(subject: &Subject, upstream: &Upstream, workload: Workload, report: &mut Report) {
    let Some(proxy) = subject.process.as_ref().map(Process::id) else {
        return;
    };
    let job = job(subject, upstream, workload, 4.0);
    let generator = std::thread::spawn(move || measure(&job));
    std::thread::sleep(Duration::from_secs(2));
    let found = cpu::instructions(proxy, 1.0);
    let sample = generator.join().unwrap();
    if let Some(found) = found.filter(|_| sample.void.is_none()) {
        let each = found / sample.per_second();
        report.say(&format!(
            "{}, {}: {each:.0} instructions for each command",
            subject.name, workload.name
        ));
    }
}

/// The subjects in turn at half load, round after round.
fn latencies(
    subjects: &[Subject],
    upstream: &Upstream,
    workload: Workload,
    extent: Extent,
    report: &Report,
) -> Vec<Latency> {
    let rows: Vec<Row> = report.under(workload.name);
    let rates: Vec<Option<f64>> = subjects
        .iter()
        .map(|subject| latency::rate(&rows, subject.name))
        .collect();
    let mut samples: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
    for _ in 0..extent.rounds {
        for (at, subject) in subjects.iter().enumerate() {
            let Some(rate) = rates[at] else { continue };
            let job = Job {
                rate: Some(rate),
                ..job(subject, upstream, workload, extent.seconds)
            };
            samples.entry(at).or_default().push(measure(&job));
        }
    }
    samples
        .into_iter()
        .filter_map(|(at, samples)| {
            Some(Latency::of(
                subjects[at].name,
                workload.name,
                rates[at]?,
                &samples,
            ))
        })
        .collect()
}

/// Runs one measurement in a process of its own.
pub(crate) fn measure(job: &Job) -> Sample {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--load", &serde_json::to_string(job).unwrap()]);
    let mut process = Process::pinned(CORES[1], &mut command);
    serde_json::from_str(&process.line()).expect("the generator reports")
}

/// The subjects in turn, round after round, so that what else the machine does meets all of them.
fn rounds(subjects: &[Subject], upstream: &Upstream, workload: Workload, extent: Extent) -> Vec<Row> {
    let mut samples: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
    for _ in 0..extent.rounds {
        for (at, subject) in subjects.iter().enumerate() {
            let sample = measure(&job(subject, upstream, workload, extent.seconds));
            samples.entry(at).or_default().push(sample);
        }
    }
    samples
        .into_iter()
        .map(|(at, samples)| Row::of(subjects[at].name, workload.name, samples))
        .collect()
}

/// The sink's process comes first, the proxy's second.
fn job(subject: &Subject, upstream: &Upstream, workload: Workload, seconds: f64) -> Job {
    let proxy = subject.process.as_ref().map(Process::id);
    Job {
        target: subject.address,
        binary: workload.binary,
        traffic: workload.traffic,
        connections: workload.connections,
        idle: workload.idle,
        depth: workload.depth,
        rate: None,
        seconds,
        processes: [upstream.process.id()].into_iter().chain(proxy).collect(),
    }
}
