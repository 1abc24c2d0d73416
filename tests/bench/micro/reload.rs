//! How long it takes from a filter's file being replaced until commands meet the new version.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gimbal::config::sidecar;
use gimbal::filter::folder::{Folder, Options, Settings, Timing};
use gimbal::wasm::Host;

/// Versions that are put there.
const VERSIONS: u64 = 21;
const FILTER: &str = "bench";
const LIMIT: &str =
    "[config]\n[[config.rules]]\nname = \"bench\"\ndirection = \"send\"\nmessages_per_second = 1000000000\n";

/// The same filter with a custom section of its own at the end, so that nothing that was compiled can be used again.
fn version(bytes: &[u8], number: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // A custom section: its id, its length, the length of its name, its name, eight bytes.
    bytes.extend_from_slice(&[0, 10, 1, b'v']);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes
}

async fn replaced(folder: &Path, bytes: &[u8], sidecar: &str) -> Vec<Duration> {
    let put = |number: u64| {
        let fresh = folder.join(".fresh");
        fs::write(&fresh, version(bytes, number)).unwrap();
        fs::rename(fresh, folder.join(format!("{FILTER}.wasm"))).unwrap();
    };
    fs::write(folder.join(format!("{FILTER}.toml")), sidecar).unwrap();
    put(0);
    let options = Options {
        folder: folder.to_owned(),
        copies: None,
        settings: Settings::default(),
        read_sidecar: sidecar::read,
        timing: Timing::default(),
    };
    let looked_after = Folder::open(options, Arc::new(Host::new(None).unwrap())).await;
    let in_force = looked_after.in_force();
    assert!(in_force.is_ready(), "the filter is loaded");
    let mut generations = in_force.generations();
    let keeper = tokio::spawn(looked_after.run());
    let mut times = Vec::new();
    for number in 1..=VERSIONS {
        tokio::time::sleep(Duration::from_millis(100)).await;
        generations.mark_unchanged();
        let began = Instant::now();
        put(number);
        generations.changed().await.unwrap();
        times.push(began.elapsed());
    }
    keeper.abort();
    times.sort_unstable();
    times
}

/// Prints the table.
pub(crate) fn run() {
    let limit = include_bytes!("../../../filters/rate-limit/rate-limit.wasm");
    println!();
    table(&super::hook::guest(), "");
    table(limit, LIMIT);
}

fn table(bytes: &[u8], sidecar: &str) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let times = runtime.block_on(replaced(folder.path(), bytes, sidecar));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let (best, middle) = (milliseconds(times[0]), milliseconds(times[times.len() / 2]));
    let what = format!(
        "reload, ms from file to live, never compiled before, {} KB",
        bytes.len() / 1_000
    );
    println!("{what:58} {best:>7.1} {middle:>7.1}");
}
