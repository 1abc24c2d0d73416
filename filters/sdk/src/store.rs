//! What outlives an instance: values and token buckets, shared by all instances and versions of a filter.

use std::time::Duration;

use crate::host::{limit, store};

/// Values by key, in this Gimbal's memory alone; gone when the filter's file is removed or Gimbal ends. A filter has a
/// quota (1 MiB unless its operator says otherwise); writes beyond it are errors.
#[derive(Debug)]
pub struct Store(());

impl Store {
    /// The value of a key.
    pub fn get(key: &str) -> Option<Vec<u8>> {
        store::get(key)
    }

    /// Sets a value; with `ttl` it is gone after that time.
    pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), String> {
        store::set(key, value, milliseconds(ttl))
    }

    /// Removes a value; whether it was there.
    pub fn delete(key: &str) -> bool {
        store::delete(key)
    }

    /// Adds to a number and returns the sum. An absent key counts as 0 and gets the `ttl`.
    pub fn increment(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, String> {
        store::increment(key, by, milliseconds(ttl))
    }

    /// Sets `value` (none: removes) if what is there equals `expected` (none: nothing is there); whether it did.
    pub fn compare_and_swap(
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, String> {
        store::compare_and_swap(key, expected, value, milliseconds(ttl))
    }

    /// At most 1 000 keys that start with `prefix`, in order.
    pub fn keys(prefix: &str) -> Vec<String> {
        store::keys(prefix)
    }
}

fn milliseconds(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

/// A token bucket: it fills with `rate` permits per second up to `burst`, and begins full. Making this value makes no
/// bucket yet; the first use does.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    key: String,
    rate: f64,
    burst: u64,
}

impl Limit {
    /// The bucket of this key. `burst` is at least 1.
    pub fn new(key: impl Into<String>, rate: f64, burst: u64) -> Self {
        Self {
            key: key.into(),
            rate,
            burst: burst.max(1),
        }
    }

    /// Takes permits, or says after how many milliseconds it would; then nothing is taken.
    pub fn acquire(&self, permits: u64) -> Result<(), u64> {
        limit::acquire(&self.key, permits, self.rate, self.burst)
    }

    /// Takes permits in any case, also into debt; milliseconds until the bucket is out of debt.
    pub fn charge(&self, permits: u64) -> u64 {
        limit::charge(&self.key, permits, self.rate, self.burst)
    }

    /// Milliseconds until the bucket is out of debt; 0 if it is not in debt.
    pub fn debt(&self) -> u64 {
        self.charge(0)
    }
}
