//! Values by key, with a time to live and a quota.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes of the longest key.
const KEY_LIMIT: usize = 1024;
/// Keys given at once, at most.
const KEYS_AT_ONCE: usize = 1000;
/// What keeping an entry costs beside its key and value, bytes; it counts towards the quota.
const ENTRY_COST: usize = 64;

/// The store of one filter: shared by its instances and versions, each operation on its own being atomic.
#[derive(Debug, Default)]
pub struct Store(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<String, Entry>,
    /// What all entries cost.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    ends: Option<Instant>,
}

/// Why something cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// The key is longer than 1 KiB; its bytes.
    KeyTooLong(usize),
    /// It would take the store beyond its quota.
    Full {
        /// Bytes that it would then have.
        needed: usize,
        /// Bytes that it may have.
        quota: usize,
    },
    /// What is there is no number: not eight bytes.
    NotANumber(usize),
    /// The sum does not fit into 64 bits.
    Overflow,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyTooLong(len) => write!(f, "the key has {len} bytes; at most {KEY_LIMIT} are accepted"),
            Self::Full { needed, quota } => write!(
                f,
                "the store would have {needed} bytes ({ENTRY_COST} for each entry); its quota is {quota}"
            ),
            Self::NotANumber(len) => write!(
                f,
                "the value has {len} bytes and is no number; a number has eight, little-endian"
            ),
            Self::Overflow => write!(f, "the sum does not fit into a signed 64-bit number"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What is to be kept, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Milliseconds until the entry is gone; `None` keeps it.
    pub ttl_ms: Option<u64>,
    /// Bytes that the whole store may have.
    pub quota: usize,
}

impl Terms {
    fn ends(self, now: Instant) -> Option<Instant> {
        // A time beyond what the clock can hold is for ever.
        self.ttl_ms
            .and_then(|ms| now.checked_add(Duration::from_millis(ms)))
    }
}

impl Store {
    /// The value of a key.
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.entries()
            .live(key, Instant::now())
            .map(|entry| entry.value.clone())
    }

    /// Sets a value.
    pub fn set(&self, key: &str, value: Vec<u8>, terms: Terms) -> Result<(), StoreError> {
        let now = Instant::now();
        self.entries().set(key, value, terms, now)
    }

    /// Removes a key; whether it was there.
    pub fn delete(&self, key: &str) -> bool {
        let mut entries = self.entries();
        let was_there = entries.live(key, Instant::now()).is_some();
        entries.remove(key);
        was_there
    }

    /// Adds to a number and returns the sum. An absent key counts as 0; only then the time to live is looked at.
    pub fn increment(&self, key: &str, by: i64, terms: Terms) -> Result<i64, StoreError> {
        let now = Instant::now();
        let mut entries = self.entries();
        let Some(entry) = entries.live(key, now) else {
            entries.set(key, by.to_le_bytes().to_vec(), terms, now)?;
            return Ok(by);
        };
        let bytes = <[u8; 8]>::try_from(entry.value.as_slice());
        let number = bytes.map_err(|_length| StoreError::NotANumber(entry.value.len()))?;
        let sum = i64::from_le_bytes(number)
            .checked_add(by)
            .ok_or(StoreError::Overflow)?;
        entry.value.copy_from_slice(&sum.to_le_bytes());
        Ok(sum)
    }

    /// Sets `value`, or removes the key without one, if what is there equals `expected`; whether it did.
    pub fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
        terms: Terms,
    ) -> Result<bool, StoreError> {
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.live(key, now).map(|entry| entry.value.as_slice()) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => entries.set(key, value, terms, now)?,
            None => entries.remove(key),
        }
        Ok(true)
    }

    /// Keys that start with `prefix`, in order; at most 1 000.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let now = Instant::now();
        let entries = self.entries();
        let from = entries
            .by_key
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, entry)| entry.is_live(now))
            .map(|(key, _)| key.clone())
            .take(KEYS_AT_ONCE)
            .collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_live(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }
}

impl Entries {
    /// The entry of a key, unless its time is over: then it is removed.
    fn live(&mut self, key: &str, now: Instant) -> Option<&mut Entry> {
        if !self.by_key.get(key)?.is_live(now) {
            self.remove(key);
            return None;
        }
        self.by_key.get_mut(key)
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes = self.bytes.saturating_sub(cost(key, &entry.value));
        }
    }

    fn set(&mut self, key: &str, value: Vec<u8>, terms: Terms, now: Instant) -> Result<(), StoreError> {
        let (ends, quota) = (terms.ends(now), terms.quota);
        if key.len() > KEY_LIMIT {
            return Err(StoreError::KeyTooLong(key.len()));
        }
        if self.with(key, &value) > quota {
            self.sweep(now);
        }
        let needed = self.with(key, &value);
        if needed > quota {
            return Err(StoreError::Full { needed, quota });
        }
        self.bytes = needed;
        self.by_key.insert(key.to_owned(), Entry { value, ends });
        Ok(())
    }

    /// What all entries would cost with this one.
    fn with(&self, key: &str, value: &[u8]) -> usize {
        let before = self.by_key.get(key).map_or(0, |entry| cost(key, &entry.value));
        self.bytes.saturating_sub(before).saturating_add(cost(key, value))
    }

    /// Forgets whatever is over.
    fn sweep(&mut self, now: Instant) {
        let mut freed = 0_usize;
        self.by_key.retain(|key, entry| {
            let is_live = entry.is_live(now);
            if !is_live {
                freed = freed.saturating_add(cost(key, &entry.value));
            }
            is_live
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len().saturating_add(value.len()).saturating_add(ENTRY_COST)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a time to live is waited for")]
mod tests {
    use super::*;

    const FOR_EVER: Terms = Terms {
        ttl_ms: None,
        quota: 1 << 20,
    };

    fn for_ms(ms: u64) -> Terms {
        Terms {
            ttl_ms: Some(ms),
            ..FOR_EVER
        }
    }

    #[test]
    fn a_value_is_there_until_its_time_is_over() {
        let store = Store::default();
        store.set("kept", b"1".to_vec(), FOR_EVER).unwrap();
        store.set("short", b"2".to_vec(), for_ms(20)).unwrap();
        store.set("endless", b"3".to_vec(), for_ms(u64::MAX)).unwrap();
        assert_eq!(store.read("short"), Some(b"2".to_vec()));
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(store.read("short"), None);
        assert_eq!(store.keys(""), ["endless", "kept"]);
        assert!(store.delete("kept") && !store.delete("kept") && !store.delete("short"));
    }

    #[test]
    fn a_full_store_says_so_and_takes_writes_again_when_something_is_over() {
        let store = Store::default();
        let quota = |ttl_ms| Terms { ttl_ms, quota: 200 };
        store.set("a", vec![0; 100], quota(Some(20))).unwrap();
        let error = store.set("b", vec![0; 100], quota(None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the store would have 330 bytes (64 for each entry); its quota is 200"
        );
        std::thread::sleep(Duration::from_millis(30));
        store.set("b", vec![0; 100], quota(None)).unwrap();
        store.set("b", vec![0; 120], quota(None)).unwrap();
        assert_eq!(store.entries().bytes, 185);
        store.delete("b");
        assert_eq!(store.entries().bytes, 0);
    }

    #[test]
    fn a_number_counts_up_and_keeps_its_first_time_to_live() {
        let store = Store::default();
        assert_eq!(store.increment("n", 5, for_ms(40)), Ok(5));
        assert_eq!(store.increment("n", -7, for_ms(100_000)), Ok(-2));
        assert_eq!(store.read("n"), Some((-2_i64).to_le_bytes().to_vec()));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(store.increment("n", 1, FOR_EVER), Ok(1));
        assert_eq!(
            store.increment("n", i64::MAX, FOR_EVER),
            Err(StoreError::Overflow)
        );
        store.set("text", b"abc".to_vec(), FOR_EVER).unwrap();
        assert_eq!(
            store.increment("text", 1, FOR_EVER),
            Err(StoreError::NotANumber(3))
        );
    }

    #[test]
    fn a_swap_happens_only_over_what_was_expected() {
        let store = Store::default();
        assert_eq!(
            store.swap("k", Some(b"x"), Some(b"y".to_vec()), FOR_EVER),
            Ok(false)
        );
        assert_eq!(store.swap("k", None, Some(b"y".to_vec()), FOR_EVER), Ok(true));
        assert_eq!(store.swap("k", Some(b"y"), None, FOR_EVER), Ok(true));
        assert_eq!(store.read("k"), None);
    }

    #[test]
    fn keys_are_bounded_in_length_and_number() {
        let store = Store::default();
        let error = store.set(&"k".repeat(1025), Vec::new(), FOR_EVER).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the key has 1025 bytes; at most 1024 are accepted"
        );
        for n in 0..1100 {
            store.set(&format!("p{n:04}"), Vec::new(), FOR_EVER).unwrap();
        }
        store.set("q", Vec::new(), FOR_EVER).unwrap();
        let keys = store.keys("p");
        assert_eq!(
            (keys.len(), keys.last().map(String::as_str)),
            (1000, Some("p0999"))
        );
    }
}
