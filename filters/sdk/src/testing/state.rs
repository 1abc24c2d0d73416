//! What the host of a test remembers: time, values, buckets, log lines, numbers, and the command under decision.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::request::{Client, Request};
use crate::Level;

/// One test's host. Tests run on threads of their own, so each has one.
#[derive(Debug)]
pub(super) struct State {
    pub(super) current: Option<Current>,
    pub(super) client: Client,
    pub(super) names: HashMap<u64, Names>,
    pub(super) values: BTreeMap<String, Value>,
    pub(super) buckets: HashMap<String, Bucket>,
    pub(super) logs: Vec<(Level, String)>,
    pub(super) counters: BTreeMap<String, f64>,
    /// Nanoseconds; the wall clock and the other one are the same here.
    pub(super) now: u64,
    pub(super) random: u64,
    pub(super) quota: usize,
}

#[derive(Debug)]
pub(super) struct Current {
    pub(super) request: Request,
    pub(super) needs_body: bool,
    /// Numbers of the messages that were taken out.
    pub(super) removed: BTreeSet<u32>,
    pub(super) failure: Option<String>,
}

/// The mapping of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) topic_prefix: String,
    pub(super) group_prefix: String,
    pub(super) topics: BTreeMap<String, String>,
    pub(super) groups: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    /// Nanoseconds.
    pub(super) until: Option<u64>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            current: None,
            client: Client::default(),
            names: HashMap::new(),
            values: BTreeMap::new(),
            buckets: HashMap::new(),
            logs: Vec::new(),
            counters: BTreeMap::new(),
            now: 1_700_000_000_000_000_000,
            random: 0x9E37_79B9_7F4A_7C15,
            quota: 1024 * 1024,
        }
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

pub(super) fn with<T>(act: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| act(&mut state.borrow_mut()))
}

/// A token bucket as the host keeps it.
#[derive(Debug)]
pub(super) struct Bucket {
    level: f64,
    at: u64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "permits and milliseconds of a test are small"
)]
impl Bucket {
    pub(super) fn new(burst: u64, now: u64) -> Self {
        Self {
            level: burst as f64,
            at: now,
        }
    }

    pub(super) fn acquire(&mut self, permits: u64, rate: f64, burst: u64, now: u64) -> Result<(), u64> {
        self.fill(rate, burst, now);
        // More than the burst is given when the bucket is full.
        let wanted = permits.min(burst) as f64;
        if self.level >= wanted {
            self.level -= permits as f64;
            return Ok(());
        }
        Err(milliseconds(wanted - self.level, rate))
    }

    pub(super) fn charge(&mut self, permits: u64, rate: f64, burst: u64, now: u64) -> u64 {
        self.fill(rate, burst, now);
        self.level -= permits as f64;
        if self.level >= 0.0 {
            0
        } else {
            milliseconds(-self.level, rate)
        }
    }

    fn fill(&mut self, rate: f64, burst: u64, now: u64) {
        let seconds = now.saturating_sub(self.at) as f64 / 1e9;
        self.level = (self.level + seconds * rate.max(0.0)).min(burst as f64);
        self.at = now;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that is too large becomes the largest integer, which is what is meant"
)]
fn milliseconds(permits: f64, rate: f64) -> u64 {
    if rate > 0.0 {
        (permits / rate * 1000.0).ceil() as u64
    } else {
        u64::MAX
    }
}
