//! Token buckets by key.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Parts that are locked on their own, so that sessions on several threads seldom wait for one another.
const SHARDS: usize = 16;
/// Buckets of one part, at most; 100 000 in all.
const BUCKETS: usize = 6_250;
/// Bytes of a key that count.
const KEY_LIMIT: usize = 1024;

/// The buckets of one filter.
///
/// A bucket that is full again is as good as none and is forgotten when room is needed. There are at most 100 000: when
/// so many are not full, those that were used longest ago are forgotten first, and begin full when they come again.
/// Of keys, the first 1 024 bytes count.
#[derive(Debug, Default)]
pub struct Limits {
    shards: [Mutex<HashMap<Box<str>, Bucket>>; SHARDS],
    hasher: RandomState,
}

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Permits per second; what is no positive number never fills it.
    pub per_second: f64,
    /// Permits that it holds.
    pub burst: u64,
}

#[derive(Debug)]
struct Bucket {
    permits: f64,
    rate: Rate,
    at: Instant,
}

impl Limits {
    /// Takes permits, or says after how many milliseconds it would; then nothing is taken.
    pub fn acquire(&self, key: &str, permits: u64, rate: Rate) -> Result<(), u64> {
        self.acquire_at(key, permits, rate, Instant::now())
    }

    /// Takes permits in any case; milliseconds until the bucket is out of debt.
    pub fn charge(&self, key: &str, permits: u64, rate: Rate) -> u64 {
        self.charge_at(key, permits, rate, Instant::now())
    }

    fn acquire_at(&self, key: &str, permits: u64, rate: Rate, now: Instant) -> Result<(), u64> {
        self.with(key, rate, now, |bucket| {
            let (wanted, burst) = (float(permits), float(rate.burst));
            // More than fits is given to a full bucket, which is then in debt.
            let needed = wanted.min(burst);
            if bucket.permits >= needed {
                bucket.permits -= wanted;
                return Ok(());
            }
            Err(bucket.wait_for(needed))
        })
    }

    fn charge_at(&self, key: &str, permits: u64, rate: Rate, now: Instant) -> u64 {
        self.with(key, rate, now, |bucket| {
            bucket.permits -= float(permits);
            bucket.wait_for(0.0)
        })
    }

    fn with<T>(&self, key: &str, rate: Rate, now: Instant, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let key = key.get(..key.floor_char_boundary(KEY_LIMIT)).unwrap_or(key);
        let mut buckets = self.shard(key);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.refill(rate, now);
            return act(bucket);
        }
        if buckets.len() >= BUCKETS || buckets.len() == buckets.capacity() {
            make_room(&mut buckets, now);
        }
        let mut bucket = Bucket {
            permits: float(rate.burst),
            rate,
            at: now,
        };
        let outcome = act(&mut bucket);
        buckets.insert(key.into(), bucket);
        outcome
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, HashMap<Box<str>, Bucket>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(hash).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    /// What came in since the last look, at the rate that held then.
    fn refill(&mut self, rate: Rate, now: Instant) {
        self.permits = self.permits_at(now).min(float(rate.burst));
        self.at = now;
        self.rate = rate;
    }

    fn permits_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let came = if self.rate.fills() {
            passed * self.rate.per_second
        } else {
            0.0
        };
        (self.permits + came).min(float(self.rate.burst))
    }

    fn is_full(&self, now: Instant) -> bool {
        self.permits_at(now) >= float(self.rate.burst)
    }

    /// Milliseconds until it holds this much.
    fn wait_for(&self, permits: f64) -> u64 {
        let lacking = permits - self.permits;
        if lacking <= 0.0 {
            return 0;
        }
        if !self.rate.fills() {
            return u64::MAX;
        }
        millis(lacking / self.rate.per_second)
    }
}

impl Rate {
    fn fills(self) -> bool {
        self.per_second > 0.0 && self.per_second.is_finite()
    }
}

/// Forgets full buckets; if that is not enough, an eighth of the others, those used longest ago.
fn make_room(buckets: &mut HashMap<Box<str>, Bucket>, now: Instant) {
    buckets.retain(|_, bucket| !bucket.is_full(now));
    if buckets.len() < BUCKETS {
        return;
    }
    let mut times: Vec<Instant> = buckets.values().map(|bucket| bucket.at).collect();
    let eighth = times.len() / 8;
    let (_, oldest_to_stay, _) = times.select_nth_unstable(eighth);
    let (oldest_to_stay, mut left) = (*oldest_to_stay, eighth.max(1));
    buckets.retain(|_, bucket| {
        let goes = left > 0 && bucket.at <= oldest_to_stay;
        left = left.saturating_sub(usize::from(goes));
        !goes
    });
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts permits beyond 2^53 one by one"
)]
fn float(permits: u64) -> f64 {
    permits as f64
}

/// Whole milliseconds, rounded up, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that is out of range becomes the nearest number"
)]
fn millis(seconds: f64) -> u64 {
    ((seconds * 1000.0).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TEN: Rate = Rate {
        per_second: 10.0,
        burst: 5,
    };

    #[test]
    fn a_bucket_begins_full_and_fills_at_its_rate() {
        let (limits, start) = (Limits::default(), Instant::now());
        let later = |ms| start + Duration::from_millis(ms);
        assert_eq!(limits.acquire_at("k", 5, TEN, start), Ok(()));
        assert_eq!(limits.acquire_at("k", 1, TEN, start), Err(100));
        assert_eq!(
            limits.acquire_at("k", 3, TEN, later(100)),
            Err(200),
            "nothing was taken"
        );
        assert_eq!(limits.acquire_at("k", 3, TEN, later(300)), Ok(()));
        assert_eq!(limits.acquire_at("other", 5, TEN, later(300)), Ok(()));
    }

    #[test]
    fn more_than_fits_is_given_to_a_full_bucket_and_leaves_debt() {
        let (limits, start) = (Limits::default(), Instant::now());
        assert_eq!(limits.acquire_at("k", 15, TEN, start), Ok(()));
        assert_eq!(limits.charge_at("k", 0, TEN, start), 1000);
        assert_eq!(limits.acquire_at("k", 15, TEN, start), Err(1500));
    }

    #[test]
    fn a_charge_takes_in_any_case() {
        let (limits, start) = (Limits::default(), Instant::now());
        assert_eq!(limits.charge_at("k", 5, TEN, start), 0);
        assert_eq!(limits.charge_at("k", 20, TEN, start), 2000);
        assert_eq!(
            limits.charge_at("k", 0, TEN, start + Duration::from_secs(1)),
            1000
        );
    }

    #[test]
    fn a_rate_that_is_no_positive_number_never_fills() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let (limits, start) = (Limits::default(), Instant::now());
            let rate = Rate { per_second, burst: 1 };
            assert_eq!(limits.acquire_at("k", 1, rate, start), Ok(()));
            assert_eq!(
                limits.acquire_at("k", 1, rate, start + Duration::from_secs(9)),
                Err(u64::MAX)
            );
        }
    }

    #[test]
    fn a_new_rate_holds_from_the_next_call_on() {
        let (limits, start) = (Limits::default(), Instant::now());
        let fast = Rate {
            per_second: 1000.0,
            burst: 50,
        };
        assert_eq!(limits.acquire_at("k", 5, TEN, start), Ok(()));
        assert_eq!(limits.acquire_at("k", 2, fast, start), Err(2));
        let small = Rate {
            per_second: 10.0,
            burst: 1,
        };
        assert_eq!(
            limits.acquire_at("k", 1, small, start + Duration::from_secs(9)),
            Ok(())
        );
        assert_eq!(
            limits.acquire_at("k", 1, small, start + Duration::from_secs(9)),
            Err(100)
        );
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten_and_their_number_is_bounded() {
        let (limits, start) = (Limits::default(), Instant::now());
        for n in 0..10_000 {
            limits.charge_at(&format!("short{n}"), 1, TEN, start);
        }
        let later = start + Duration::from_secs(10);
        for n in 0..120_000 {
            limits.charge_at(&format!("long{n}"), 1_000, TEN, later);
        }
        let kept: usize = limits
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum();
        assert!((80_000..=100_000).contains(&kept), "{kept}");
        let short = limits
            .shards
            .iter()
            .any(|shard| shard.lock().unwrap().keys().any(|key| key.starts_with("short")));
        assert!(!short);
    }
}
