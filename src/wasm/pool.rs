//! Warm instances of one filter.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

/// Idle instances that one thread leaves behind, at most.
const PER_SEAT: usize = 2;

static SEATS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which shard this thread takes from first.
    static SEAT: Cell<usize> = Cell::new(SEATS.fetch_add(1, Ordering::Relaxed));
}

/// Things at rest, a few for each thread: a thread finds again what it used last, warm in its caches, and waits for
/// nobody.
#[derive(Debug)]
pub(super) struct Pool<T> {
    shards: Box<[Shard<T>]>,
}

/// On a cache line of its own, so that threads do not disturb one another.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    /// An empty pool for so many threads.
    pub(super) fn new(threads: usize) -> Self {
        let shards = (0..threads.clamp(1, 256)).map(|_| Shard(Mutex::new(Vec::with_capacity(PER_SEAT))));
        Self {
            shards: shards.collect(),
        }
    }

    /// One that is at rest: this thread's, or another's.
    pub(super) fn take(&self) -> Option<T> {
        let own = self.own()?;
        let found = own.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        found.or_else(|| {
            self.shards.iter().find_map(|shard| match shard.0.try_lock() {
                Ok(mut idle) => idle.pop(),
                Err(TryLockError::Poisoned(idle)) => idle.into_inner().pop(),
                Err(TryLockError::WouldBlock) => None,
            })
        })
    }

    /// Gives one back; it is dropped when this thread has left enough.
    pub(super) fn put(&self, item: T) {
        let Some(own) = self.own() else { return };
        let mut idle = own.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < PER_SEAT {
            idle.push(item);
        } else {
            drop(idle);
            drop(item);
        }
    }

    fn own(&self) -> Option<&Shard<T>> {
        let seat = SEAT.get().checked_rem(self.shards.len())?;
        self.shards.get(seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_finds_again_what_it_left_and_takes_from_others_when_it_has_nothing() {
        let pool = Pool::new(4);
        pool.put("here");
        assert_eq!(pool.take(), Some("here"));
        std::thread::scope(|scope| scope.spawn(|| pool.put("there")).join()).unwrap();
        assert_eq!(pool.take(), Some("there"));
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn what_is_too_many_is_dropped() {
        let pool = Pool::new(1);
        for n in 0..5 {
            pool.put(n);
        }
        assert_eq!([pool.take(), pool.take(), pool.take()], [Some(1), Some(0), None]);
    }
}
