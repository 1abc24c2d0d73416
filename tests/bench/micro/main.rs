//! What the parts cost: frames, heads, filter hooks, a reload.
//!
//! `cargo bench --bench micro` prints tables. Figures are the best and the middle of many batches; other work on the
//! machine makes the middle worse, and the best tells what the code costs.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench prints, and stops when something is not as expected"
)]

mod hook;
mod reload;
mod wire;

use std::time::{Duration, Instant};

const BATCH: u32 = 1_000;
const BATCHES: usize = 400;

fn heading(what: &str) {
    println!("\n{what:58} {:>7} {:>7}", "best", "middle");
}

/// Times `work`: the best and the middle batch, nanoseconds a call.
fn time(what: &str, mut work: impl FnMut()) {
    for _ in 0..BATCH {
        work();
    }
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..BATCH {
                work();
            }
            began.elapsed()
        })
        .collect();
    batches.sort_unstable();
    let each = |batch: Duration| batch.as_nanos() / u128::from(BATCH);
    println!(
        "{what:58} {:>7} {:>7}",
        each(batches[0]),
        each(batches[BATCHES / 2])
    );
}

fn main() {
    wire::run();
    hook::run();
    reload::run();
}
