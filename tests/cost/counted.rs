//! Counters in the allocator and in the C library's calls for sockets, for all threads that are not left out.
#![expect(
    unsafe_code,
    reason = "an allocator and the C library's functions are unsafe by their types"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, c_void, epoll_event, iovec, msghdr, size_t, ssize_t};

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// What this thread does from now on is not counted.
pub(crate) fn leave_out_this_thread() {
    LEFT_OUT.set(true);
}

fn count(counter: &AtomicU64) {
    // A thread that ends has no locals any more.
    if !LEFT_OUT.try_with(Cell::get).unwrap_or(true) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static RECEIVES: AtomicU64 = AtomicU64::new(0);
static SENDS: AtomicU64 = AtomicU64::new(0);
static WAITS: AtomicU64 = AtomicU64::new(0);
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// What was done so far.
#[derive(Debug)]
pub(crate) struct Count {
    /// Blocks taken from the allocator, or resized by it.
    pub(crate) allocations: u64,
    /// `read`, `recv`, `readv` and `recvmsg`; `write`, `send`, `writev` and `sendmsg`; waiting for events; asking for
    /// others.
    receives: u64,
    sends: u64,
    waits: u64,
    changes: u64,
}

impl Count {
    pub(crate) fn now() -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            allocations: read(&ALLOCATIONS),
            receives: read(&RECEIVES),
            sends: read(&SENDS),
            waits: read(&WAITS),
            changes: read(&CHANGES),
        }
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            allocations: self.allocations - before.allocations,
            receives: self.receives - before.receives,
            sends: self.sends - before.sends,
            waits: self.waits - before.waits,
            changes: self.changes - before.changes,
        }
    }

    /// System calls in all.
    pub(crate) fn calls(&self) -> u64 {
        self.receives + self.sends + self.waits + self.changes
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            allocations,
            receives,
            sends,
            waits,
            changes,
        } = self;
        write!(
            f,
            "{allocations} allocations, {receives} reads, {sends} writes, {waits} waits for events, {changes} changes of \
             what is waited for"
        )
    }
}

struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: everything is the system allocator's; a counter changes nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&ALLOCATIONS);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Functions of the C library that this program has instead: they count, and make the system call.
macro_rules! calls {
    ($($counter:ident: $name:ident = $call:ident($($argument:ident: $type:ty),*) -> $answer:ty $(, then $more:expr)*;)*) => {$(
        // SAFETY: the name and the types are those of the C library, which does the same.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $answer {
            count(&$counter);
            // SAFETY: as the caller promised; the system call has the arguments of the function.
            let answer = unsafe { libc::syscall(libc::$call, $($argument,)* $($more),*) };
            #[expect(clippy::cast_possible_truncation, clippy::allow_attributes, reason = "a count of bytes or events")]
            #[allow(clippy::useless_conversion, trivial_numeric_casts, reason = "one of two types")]
            { answer as $answer }
        }
    )*};
}

calls! {
    RECEIVES: read = SYS_read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t;
    RECEIVES: readv = SYS_readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t;
    RECEIVES: recvmsg = SYS_recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    RECEIVES: recv = SYS_recvfrom(fd: c_int, buffer: *mut c_void, len: size_t, flags: c_int) -> ssize_t, then 0_usize, then 0_usize;
    SENDS: write = SYS_write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t;
    SENDS: writev = SYS_writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t;
    SENDS: sendmsg = SYS_sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    SENDS: send = SYS_sendto(fd: c_int, buffer: *const c_void, len: size_t, flags: c_int) -> ssize_t, then 0_usize, then 0_usize;
    WAITS: epoll_wait = SYS_epoll_pwait(poll: c_int, events: *mut epoll_event, count: c_int, limit: c_int) -> c_int, then 0_usize, then 8_usize;
    CHANGES: epoll_ctl = SYS_epoll_ctl(poll: c_int, action: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
}
