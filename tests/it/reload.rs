//! Filters swapped under load: no command fails, the newest policy holds, and memory stays where it was.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gimbal::dev::{Cluster, Options};
use gimbal::protocol::{Code, request, response};
use gimbal::proxy::Proxy;
use tokio::time::timeout;

use super::support::{Client, Gimbal, NameServer, Speaks};

/// How often the filter is replaced; `TEST_SWAPS` says otherwise.
const SWAPS: u32 = 60;
/// Versions that take turns. Each answers the probe with a code of its own.
const VERSIONS: u32 = 4;
/// A code that no client sends, allowed for the probe.
const PROBE: Code = Code(9_100);
/// Far above what a reload takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A filter that sees every send and answers the probe with the number of its version.
fn version(number: u32) -> Vec<u8> {
    let prelude = include_str!("../fixtures/guests/prelude.wat");
    let text = format!(
        r#"(module
  {prelude}
  (func (export "gimbal:filter/lifecycle@0.1.0#init") (param i32 i32) (result i32) (call $interest))
  (func (export "gimbal:filter/requests@0.1.0#on-request") (param $code i32) (result i32)
    (if (i32.eq (local.get $code) (i32.const {probe}))
      (then (return (call $answer (i32.const {number}) (i32.const 0) (i32.const 0)))))
    (call $forward)))"#,
        probe = PROBE.0,
    );
    wat::parse_str(text).unwrap()
}

/// Replaces the file as an installer does: written beside, then moved into place.
fn put(folder: &Path, bytes: &[u8]) {
    let beside = folder.join(".20-probe.new");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, folder.join("20-probe.wasm")).unwrap();
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Sends one message after the other until it is told to stop; counts those that were stored.
async fn send(mut client: Client, stop: Arc<AtomicBool>, stored: Arc<AtomicU64>) {
    let fields = [
        ("a", "p"),
        ("b", "reload"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1"),
        ("h", "0"),
        ("n", "broker-a"),
    ];
    while !stop.load(Ordering::Relaxed) {
        let opaque = client.ask_with(request::SEND_MESSAGE_V2, &fields, "hello").await;
        let answer = client.answer(opaque).await;
        assert_eq!(answer.head.code, response::SUCCESS, "{:?}", answer.command.remark);
        stored.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(clippy::print_stderr, reason = "the numbers of a long run are worth seeing")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_are_swapped_under_load_and_no_command_fails() {
    let swaps = std::env::var("TEST_SWAPS").map_or(SWAPS, |text| text.parse().unwrap());
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let versions: Vec<Vec<u8>> = (0..VERSIONS).map(|number| version(3_000 + number)).collect();
    put(folder.path(), &versions[0]);
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let ns = NameServer::start().await;
    let mut config = Gimbal::before(&[&ns]).config;
    config.nameservers = vec![cluster.nameserver().to_string()];
    config.allow.codes.push(PROBE);
    config.filters.folder = Some(folder.path().to_owned());
    config.filters.compiled = Some(state.path().to_owned());
    let proxy = Proxy::start(config).await.unwrap();
    let address = proxy.addresses()[0].1;

    let (stop, stored) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = Client::connect(address, Speaks::NAMED).await;
        load.spawn(send(client, Arc::clone(&stop), Arc::clone(&stored)));
    }
    let mut probe = Client::connect(address, Speaks::NAMED).await;
    let mut generations = proxy.filters().generations();
    let mut settled = 0;
    for swap in 1..=swaps {
        let number = swap % VERSIONS;
        let before = *generations.borrow();
        put(folder.path(), &versions[usize::try_from(number).unwrap()]);
        let next = timeout(PATIENCE, generations.wait_for(|now| *now > before)).await;
        next.unwrap_or_else(|_late| panic!("swap {swap} came into force: {:?}", proxy.filters().status()))
            .unwrap();
        let answer = probe.call(PROBE, &[]).await;
        let expected = i32::try_from(3_000 + number).unwrap();
        assert_eq!(
            answer.head.code.0, expected,
            "the version put last decides after swap {swap}"
        );
        if swap == swaps / 5 {
            settled = resident();
        }
    }
    let grown = resident().saturating_sub(settled);
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.expect("no send failed, and no connection was cut");
    }
    let stored = stored.load(Ordering::Relaxed);
    eprintln!(
        "{swaps} swaps, {stored} sends stored, {} KiB more than after a fifth of them",
        grown >> 10
    );
    assert!(
        stored > u64::from(swaps),
        "sends went on all the while: {stored} in {swaps} swaps"
    );
    // What senders left in the stand-in broker, at most 2 KiB each, and slack for an allocator with many threads.
    let allowed = stored * 2_048 + (48 << 20);
    assert!(
        grown < allowed,
        "memory grew by {grown} bytes in {swaps} swaps; {allowed} are allowed"
    );
}
