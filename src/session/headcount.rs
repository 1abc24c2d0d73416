//! How many there are of each: connections of an address, connections of a user.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by key. Cloning shares it. Nothing is kept of a key whose count is zero.
#[derive(Debug)]
pub struct Headcount<K> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K> Default for Headcount<K> {
    fn default() -> Self {
        Self {
            counts: Arc::default(),
        }
    }
}

impl<K: Hash + Eq + Clone + Debug> Headcount<K> {
    /// Counts one more of `key`, until the pass is dropped; `None` when there are `limit` already.
    pub fn enter(&self, key: K, limit: Option<usize>) -> Option<Pass<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = counts.get(&key).copied().unwrap_or_default();
        if limit.is_some_and(|limit| before >= limit) {
            return None;
        }
        counts.insert(key.clone(), before.saturating_add(1));
        Some(Pass {
            counts: Arc::clone(&self.counts),
            key,
        })
    }

    /// How many different keys there are.
    pub fn len(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One that is counted.
#[derive(Debug)]
pub struct Pass<K: Hash + Eq + Debug> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Hash + Eq + Debug> Pass<K> {
    /// What it is counted as.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq + Debug> Drop for Pass<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = counts.get_mut(&self.key) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_limit_and_leaves_nothing_behind() {
        let count = Headcount::default();
        let a = count.enter("a", Some(2)).unwrap();
        let again = count.enter("a", Some(2)).unwrap();
        assert!(count.enter("a", Some(2)).is_none());
        let b = count.enter("b", Some(2)).unwrap();
        drop(again);
        let a_third = count.enter("a", Some(2)).unwrap();
        let unlimited = count.enter("a", None).unwrap();
        drop((a, a_third, b));
        assert_eq!(count.len(), 1);
        drop(unlimited);
        assert!(count.is_empty());
    }
}
