//! Commands as they are counted: by code and outcome, in arrays that each thread has a share of.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::histogram::{Histogram, Total};
use super::list;
use super::sheet::Sheet;

/// Numbers with a name, in order of the number.
pub type Codes = &'static [(i32, &'static str)];

/// What is counted under no name of its own.
pub const OTHER: &str = "other";
/// Ways of a command, as the label says.
pub const WAYS: [&str; 2] = ["request", "push"];
/// Outcomes of a command, as the label says.
pub const OUTCOMES: [&str; 8] = [
    "forwarded",
    "answered",
    "denied",
    "dropped",
    "closed",
    "refused",
    "failed",
    "abandoned",
];
/// The most shares there are; threads beyond them share one with another.
const SHARES: usize = 16;

/// A command that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its way, a place in [`WAYS`].
    pub way: usize,
    /// Its request code.
    pub code: i32,
    /// Its outcome, a place in [`OUTCOMES`].
    pub outcome: usize,
    /// The code of its answer, if there was one.
    pub result: Option<i32>,
    /// From its arrival to its end.
    pub total: Duration,
    /// The part of it spent waiting for brokers and name servers.
    pub upstream: Option<Duration>,
    /// The part of it spent in filters.
    pub chain: Option<Duration>,
}

/// Counters of all commands.
#[derive(Debug)]
pub struct Commands {
    codes: Codes,
    results: Codes,
    shares: Box<[Share]>,
}

/// What one thread counts; aligned so that no two share a line of the processor's cache.
#[derive(Debug)]
#[repr(align(128))]
struct Share {
    /// By way and code.
    begun: [Box<[AtomicU64]>; 2],
    /// By way, code and outcome.
    ended: [Box<[[AtomicU64; OUTCOMES.len()]]>; 2],
    /// By code of the request, then of the answer.
    results: Box<[Box<[AtomicU64]>]>,
    /// By code.
    total: Box<[Histogram]>,
    upstream: Box<[Histogram]>,
    chain: Histogram,
    /// From clients, to clients, from brokers, to brokers.
    bytes: [AtomicU64; 4],
}

/// Where bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// From a client.
    FromClient,
    /// To a client.
    ToClient,
    /// From a broker or name server.
    FromBroker,
    /// To a broker.
    ToBroker,
}

fn many<T: Default>(count: usize) -> Box<[T]> {
    std::iter::repeat_with(T::default).take(count).collect()
}

fn add(counter: Option<&AtomicU64>, by: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// The place of a code; codes without a name share the last.
fn place(codes: Codes, code: i32) -> usize {
    codes
        .binary_search_by_key(&code, |(code, _)| *code)
        .unwrap_or(codes.len())
}

fn name(codes: Codes, place: usize) -> &'static str {
    codes.get(place).map_or(OTHER, |(_, name)| name)
}

impl Share {
    fn new(codes: usize, results: usize) -> Self {
        Self {
            begun: [many(codes), many(codes)],
            ended: [many(codes), many(codes)],
            results: std::iter::repeat_with(|| many(results)).take(codes).collect(),
            total: many(codes),
            upstream: many(codes),
            chain: Histogram::default(),
            bytes: Default::default(),
        }
    }
}

impl Commands {
    /// Counters for these request and response codes, both in order of their numbers.
    pub fn new(codes: Codes, results: Codes) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = || Share::new(codes.len().saturating_add(1), results.len().saturating_add(1));
        Self {
            codes,
            results,
            shares: std::iter::repeat_with(share)
                .take(threads.clamp(1, SHARES))
                .collect(),
        }
    }

    /// The share of this thread.
    fn share(&self) -> Option<&Share> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
        }
        let thread = THREAD.get().unwrap_or_else(|| {
            let thread = THREADS.fetch_add(1, Ordering::Relaxed);
            THREAD.set(Some(thread));
            thread
        });
        self.shares.get(thread.checked_rem(self.shares.len())?)
    }

    /// A command came in.
    pub fn began(&self, way: usize, code: i32) {
        let Some(share) = self.share() else { return };
        let codes = share.begun.get(way);
        add(codes.and_then(|codes| codes.get(place(self.codes, code))), 1);
    }

    /// A command has ended.
    pub fn ended(&self, ended: &Ended) {
        let Some(share) = self.share() else { return };
        let code = place(self.codes, ended.code);
        let outcomes = share.ended.get(ended.way).and_then(|codes| codes.get(code));
        add(outcomes.and_then(|outcomes| outcomes.get(ended.outcome)), 1);
        if ended.way != 0 {
            return;
        }
        if let Some(result) = ended.result {
            let results = share.results.get(code);
            add(
                results.and_then(|results| results.get(place(self.results, result))),
                1,
            );
        }
        if let Some(total) = share.total.get(code) {
            total.observe(ended.total);
        }
        if let (Some(upstream), Some(time)) = (share.upstream.get(code), ended.upstream) {
            upstream.observe(time);
        }
        if let Some(time) = ended.chain {
            share.chain.observe(time);
        }
    }

    /// A frame of this many bytes came in or went out.
    pub fn moved(&self, traffic: Traffic, bytes: usize) {
        let Some(share) = self.share() else { return };
        let [from_client, to_client, from_broker, to_broker] = &share.bytes;
        let counter = match traffic {
            Traffic::FromClient => from_client,
            Traffic::ToClient => to_client,
            Traffic::FromBroker => from_broker,
            Traffic::ToBroker => to_broker,
        };
        add(Some(counter), u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn sum(&self, read: impl Fn(&Share) -> Option<&AtomicU64>) -> u64 {
        let each = self.shares.iter().filter_map(read);
        each.fold(0, |sum, counter| {
            sum.saturating_add(counter.load(Ordering::Relaxed))
        })
    }

    /// Puts everything on the sheet.
    pub fn collect(&self, sheet: &mut Sheet) {
        for (way, way_name) in WAYS.into_iter().enumerate() {
            let mut open: u64 = 0;
            for code in 0..=self.codes.len() {
                // Ends first: a command that ends in between must not be missing among those that began.
                let ended: Vec<u64> = (0..OUTCOMES.len())
                    .map(|outcome| self.sum(|share| share.ended.get(way)?.get(code)?.get(outcome)))
                    .collect();
                let begun = self.sum(|share| share.begun.get(way)?.get(code));
                if begun == 0 {
                    continue;
                }
                let code = name(self.codes, code);
                sheet.count(list::COMMANDS_BEGUN, &[way_name, code], begun);
                open = open.saturating_add(begun.saturating_sub(ended.iter().sum()));
                for (outcome, count) in OUTCOMES.into_iter().zip(ended) {
                    sheet.count(list::COMMANDS, &[way_name, code, outcome], count);
                }
            }
            sheet.count(list::COMMANDS_IN_FLIGHT, &[way_name], open);
        }
        self.collect_results(sheet);
        self.collect_times(sheet);
        let traffic = [
            (list::BYTES_RECEIVED, "downstream"),
            (list::BYTES_SENT, "downstream"),
            (list::BYTES_RECEIVED, "upstream"),
            (list::BYTES_SENT, "upstream"),
        ];
        for (at, (family, side)) in traffic.into_iter().enumerate() {
            sheet.count(family, &[side], self.sum(|share| share.bytes.get(at)));
        }
    }

    fn collect_results(&self, sheet: &mut Sheet) {
        for code in 0..=self.codes.len() {
            for result in 0..=self.results.len() {
                let count = self.sum(|share| share.results.get(code)?.get(result));
                if count > 0 {
                    let labels = [name(self.codes, code), name(self.results, result)];
                    sheet.count(list::RESULTS, &labels, count);
                }
            }
        }
    }

    fn collect_times(&self, sheet: &mut Sheet) {
        let mut chain = Total::default();
        for share in &self.shares {
            chain.add(&share.chain);
        }
        for code in 0..=self.codes.len() {
            let (mut total, mut upstream) = (Total::default(), Total::default());
            for share in &self.shares {
                share
                    .total
                    .get(code)
                    .into_iter()
                    .for_each(|histogram| total.add(histogram));
                share
                    .upstream
                    .get(code)
                    .into_iter()
                    .for_each(|histogram| upstream.add(histogram));
            }
            let labels = [name(self.codes, code)];
            for (family, times) in [(list::COMMAND_SECONDS, total), (list::UPSTREAM_SECONDS, upstream)] {
                if times.count() > 0 {
                    sheet.add(family, &labels, Vec::new(), times.to_value());
                }
            }
        }
        sheet.add(list::CHAIN_SECONDS, &[], Vec::new(), chain.to_value());
    }
}
