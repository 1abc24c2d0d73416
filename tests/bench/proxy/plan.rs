//! The order of events: which subjects, which workloads, round after round.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::Args;
use super::frames::Traffic;
use super::job::{Job, Sample};
use super::report::{self, Row};
use super::subject::{Process, Stand, Subject, Upstream};

/// The core of what is measured, and the core of generator and sink.
const CORES: [usize; 2] = [0, 1];

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) traffic: Traffic,
    pub(crate) binary: bool,
    pub(crate) connections: usize,
    pub(crate) depth: u64,
    pub(crate) idle: usize,
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
        folder: scratch.path().to_owned(),
    };
    let upstream = Upstream::start(CORES[1]);
    let subjects = subjects(&stand, &upstream, args);
    let extent = Extent {
        seconds: args.seconds.unwrap_or(if args.short { 1.5 } else { 4.0 }),
        rounds: args.rounds.unwrap_or(if args.short { 2 } else { 3 }),
    };
    let workloads: Vec<Workload> = WORKLOADS
        .iter()
        .take(if args.short { 2 } else { WORKLOADS.len() })
        .filter(|workload| chosen(&args.only, workload.name, &WORKLOADS.map(|workload| workload.name)))
        .copied()
        .collect();
    println!("{}\n", report::machine(&gimbal));
    let mut rows = Vec::new();
    for workload in workloads {
        let found = rounds(&subjects, &upstream, workload, extent);
        report::table(workload.name, &found);
        rows.extend(found);
    }
    report::save(&rows, &gimbal);
}

/// Whether `--only` leaves this name in: it names none of this sort, or this one.
fn chosen(only: &[String], name: &str, sort: &[&str]) -> bool {
    let about = |wanted: &&String| sort.iter().any(|name| name.contains(wanted.as_str()));
    let mut wanted = only.iter().filter(about).peekable();
    wanted.peek().is_none() || wanted.any(|wanted| name.contains(wanted.as_str()))
}

const NAMES: [&str; 5] = ["direct", "haproxy", "gimbal", "gimbal, 1 filter", "gimbal, 3 filters"];

fn subjects(stand: &Stand, upstream: &Upstream, args: &Args) -> Vec<Subject> {
    let mut found = Vec::new();
    for name in NAMES.into_iter().filter(|name| chosen(&args.only, name, &NAMES)) {
        let subject = match name {
            "direct" => Ok(Stand::direct(upstream)),
            "haproxy" => stand.haproxy(upstream),
            "gimbal" => stand.gimbal(upstream, 0),
            "gimbal, 1 filter" => stand.gimbal(upstream, 1),
            _ => stand.gimbal(upstream, 3),
        };
        match subject {
            Ok(subject) => found.push(subject),
            Err(reason) => println!("{name} is left out: {reason}"),
        }
    }
    found
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
