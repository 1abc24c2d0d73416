//! Memory for large frames: reserved from their length word on, first come first served, given back with their bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Frames above this many bytes need a reservation before their rest is read.
pub const LARGE_FRAME: usize = 64 << 10;

/// A number of bytes that many share. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    size: AtomicUsize,
    /// Taken out of what comes back: the budget has shrunk below what was in use.
    owed: AtomicUsize,
    waiting: AtomicUsize,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            inner: Arc::new(Inner {
                free: Arc::new(Semaphore::new(bytes)),
                size: AtomicUsize::new(bytes),
                owed: AtomicUsize::new(0),
                waiting: AtomicUsize::new(0),
            }),
        }
    }

    /// Bytes in all.
    pub fn size(&self) -> usize {
        self.inner.size.load(Ordering::Relaxed)
    }

    /// Bytes reserved now.
    pub fn used(&self) -> usize {
        let owed = self.inner.owed.load(Ordering::Relaxed);
        let free = self.inner.free.available_permits();
        self.size().saturating_add(owed).saturating_sub(free)
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.inner.waiting.load(Ordering::Relaxed)
    }

    /// Changes the size. What is reserved stays reserved; less is free until enough has come back.
    pub fn resize(&self, bytes: usize) {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        let before = self.inner.size.swap(bytes, Ordering::Relaxed);
        if let Some(more) = bytes.checked_sub(before) {
            let paid = self.inner.pay(more);
            self.inner.free.add_permits(more.saturating_sub(paid));
        } else {
            let less = before.saturating_sub(bytes);
            let taken = self.inner.free.forget_permits(less);
            self.inner
                .owed
                .fetch_add(less.saturating_sub(taken), Ordering::Relaxed);
        }
    }

    /// Reserves at once; `None` when too little is free or others wait.
    fn try_reserve(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.inner.free).try_acquire_many_owned(self.permits(bytes));
        Some(self.share(permit.ok()?))
    }

    /// Reserves when it is one's turn.
    ///
    /// # Cancel safety
    /// Dropping the future gives up one's place.
    async fn reserve(&self, bytes: usize) -> Option<Share> {
        let _waiting = Waiting::new(&self.inner.waiting);
        let permit = Arc::clone(&self.inner.free).acquire_many_owned(self.permits(bytes));
        Some(self.share(permit.await.ok()?))
    }

    /// Whatever is larger than the budget may have all of it, alone.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.size())).unwrap_or(u32::MAX)
    }

    fn share(&self, permit: OwnedSemaphorePermit) -> Share {
        Share {
            budget: Arc::clone(&self.inner),
            permit: Some(permit),
        }
    }
}

impl Inner {
    /// Takes up to `most` off what is owed; how much.
    fn pay(&self, most: usize) -> usize {
        let pay = |owed: usize| Some(owed.saturating_sub(most));
        let before = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        before.unwrap_or_default().min(most)
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of one budget; dropping it gives it back.
#[derive(Debug)]
struct Share {
    budget: Arc<Inner>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(mut permit) = self.permit.take() else {
            return;
        };
        if self.budget.owed.load(Ordering::Relaxed) > 0 {
            let paid = self.budget.pay(permit.num_permits());
            if let Some(gone) = permit.split(paid) {
                gone.forget();
            }
        }
    }
}

/// One session's part in the budget of all. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Purse {
    own: Budget,
    whole: Budget,
}

impl Purse {
    /// A session that may have `most` bytes of `whole` at a time.
    pub fn new(most: usize, whole: Budget) -> Self {
        Self {
            own: Budget::new(most),
            whole,
        }
    }

    /// Reserves at once; `None` when too little is free or others wait.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        Some(Reservation {
            _own: self.own.try_reserve(bytes)?,
            _whole: self.whole.try_reserve(bytes)?,
        })
    }

    /// Reserves when it is this session's turn. A frame larger than a budget may have all of it. May wait for ever.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place.
    pub async fn reserve(self, bytes: usize) -> Option<Reservation> {
        // Always in this order: whoever waits for the whole keeps nobody of another session waiting.
        let own = self.own.reserve(bytes).await?;
        let whole = self.whole.reserve(bytes).await?;
        Some(Reservation {
            _own: own,
            _whole: whole,
        })
    }
}

/// Memory for one frame; dropping it gives it back.
#[derive(Debug)]
pub struct Reservation {
    _own: Share,
    _whole: Share,
}

impl Reservation {
    /// Keeps the reservation for as long as any part of `bytes` lives.
    pub(super) fn keep_with(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Owned {
            bytes,
            _reservation: self,
        })
    }
}

struct Owned {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn what_is_reserved_lives_as_long_as_the_bytes_do() {
        let whole = Budget::new(4 * MIB);
        let purse = Purse::new(4 * MIB, whole.clone());
        let reservation = purse.try_reserve(MIB).unwrap();
        let bytes = reservation.keep_with(Bytes::from(vec![7; MIB]));
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(whole.used(), MIB);
        drop(part);
        assert_eq!(whole.used(), 0);
    }

    #[tokio::test]
    async fn the_first_to_ask_is_the_first_to_get() {
        let whole = Budget::new(4 * MIB);
        let purse = || Purse::new(4 * MIB, whole.clone());
        let held = purse().try_reserve(3 * MIB).unwrap();
        let mut large = Box::pin(purse().reserve(4 * MIB));
        assert!(futures_pending(&mut large).await);
        assert_eq!(whole.waiting(), 1);
        // There is room for a small one, but it came later.
        assert!(purse().try_reserve(MIB).is_none());
        drop(held);
        drop(large.await.unwrap());
        assert_eq!((whole.used(), whole.waiting()), (0, 0));
        drop(purse().try_reserve(MIB).unwrap());
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_takes_nothing_along() {
        let whole = Budget::new(4 * MIB);
        let purse = || Purse::new(4 * MIB, whole.clone());
        let held = purse().try_reserve(3 * MIB).unwrap();
        let mut late = Box::pin(purse().reserve(2 * MIB));
        assert!(futures_pending(&mut late).await);
        drop(late);
        assert_eq!((whole.used(), whole.waiting()), (3 * MIB, 0));
        drop(held);
        assert_eq!(whole.used(), 0);
    }

    #[tokio::test]
    async fn one_session_has_at_most_its_own_part() {
        let whole = Budget::new(100 * MIB);
        let purse = Purse::new(2 * MIB, whole.clone());
        let first = purse.try_reserve(2 * MIB).unwrap();
        assert!(purse.try_reserve(MIB).is_none());
        assert_eq!(whole.used(), 2 * MIB);
        drop(first);
        drop(purse.try_reserve(MIB).unwrap());
    }

    #[tokio::test]
    async fn what_is_larger_than_the_budget_has_it_alone() {
        let whole = Budget::new(MIB);
        let purse = Purse::new(MIB, whole.clone());
        let all = purse.try_reserve(16 * MIB).unwrap();
        assert!(purse.try_reserve(1).is_none());
        drop(all);
        assert_eq!(whole.used(), 0);
    }

    #[tokio::test]
    async fn a_budget_that_shrinks_is_paid_off_by_what_comes_back() {
        let whole = Budget::new(4 * MIB);
        let purse = Purse::new(8 * MIB, whole.clone());
        let held = purse.try_reserve(3 * MIB).unwrap();
        whole.resize(2 * MIB);
        assert_eq!((whole.size(), whole.used()), (2 * MIB, 3 * MIB));
        assert!(purse.try_reserve(1).is_none());
        drop(held);
        assert_eq!(whole.used(), 0);
        let held = purse.try_reserve(2 * MIB).unwrap();
        assert!(purse.try_reserve(1).is_none());
        whole.resize(5 * MIB);
        let more = purse.try_reserve(3 * MIB).unwrap();
        assert_eq!(whole.used(), 5 * MIB);
        drop((held, more));
        assert_eq!(whole.used(), 0);
    }

    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        tokio::select! {
            biased;
            _ = future => false,
            () = tokio::task::yield_now() => true,
        }
    }
}
