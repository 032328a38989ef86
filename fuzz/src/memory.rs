//! An allocator that counts what is held, and refuses beyond a limit. A refused allocation ends the process, which the
//! parent takes for a finding.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Lets the process hold `bytes` more than it holds now.
pub fn allow(bytes: usize) {
    MOST.store(HELD.load(Relaxed).saturating_add(bytes), Relaxed);
}

/// Counts and passes on to the system.
pub struct Counting;

impl Counting {
    fn take(bytes: usize) -> bool {
        let held = HELD.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let fits = held <= MOST.load(Relaxed);
        if !fits {
            HELD.fetch_sub(bytes, Relaxed);
        }
        fits
    }
}

// SAFETY: every call goes to `System` with the caller's own arguments; a refusal is null, as the trait asks.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if Self::take(layout.size()) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if Self::take(layout.size()) { unsafe { System.alloc_zeroed(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !Self::take(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        HELD.fetch_sub(if moved.is_null() { size } else { layout.size() }, Relaxed);
        moved
    }
}
