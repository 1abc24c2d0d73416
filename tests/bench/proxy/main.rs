//! What Gimbal costs beside other things that stand between clients and brokers, measured in one run.
//!
//! `cargo bench --bench proxy` prints tables; `README.md` beside this folder says what they mean and how to repeat them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench prints, has no workers to block, and stops when something is not as expected"
)]

mod bars;
mod cpu;
mod frames;
mod job;
mod latency;
mod load;
mod memory;
mod open;
mod plan;
mod plot;
mod report;
mod sink;
mod subject;

use std::path::PathBuf;

use clap::Parser;

/// Compares a direct connection, `HAProxy`, Gimbal and the official Java proxy, on pinned cores in turns.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "they are options of a command line")]
struct Args {
    /// Less than two minutes instead of ten: two workloads, short rounds, no latency, no memory
    #[arg(long)]
    short: bool,
    /// Only workloads and subjects whose name contains this; may be repeated for one of each
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Seconds of one measurement
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Measurements of each subject under each workload, of which the median counts
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// The binary to measure, instead of this build's
    #[arg(long, value_name = "PATH")]
    gimbal: Option<PathBuf>,
    /// The folder with the jars of the official Java proxy and what it needs
    #[arg(long, value_name = "FOLDER", env = "BENCH_JAVA_PROXY")]
    java_proxy: Option<PathBuf>,
    /// Write the tables into README.md and the plot beside it
    #[arg(long)]
    keep: bool,
    #[arg(long, hide = true)]
    sink: bool,
    #[arg(long, hide = true)]
    load: Option<String>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    drop(rlimit::increase_nofile_limit(u64::MAX));
    if args.sink {
        sink::run();
    } else if let Some(job) = &args.load {
        let sample = load::run(&serde_json::from_str(job).unwrap());
        println!("{}", serde_json::to_string(&sample).unwrap());
    } else {
        plan::run(&args);
    }
}
