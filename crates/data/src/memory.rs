//! One budget of memory for all threads that decode: each asks for what its picture will take, by the header, before any pixel
//! is decoded, and waits its turn.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that are decoded into at once.
pub(crate) const BUDGET: u64 = 1 << 30;

static DECODERS: Budget = Budget::new(BUDGET);

thread_local! {
    /// How many parts of the budget this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Waits until `bytes` of the budget are free. More than the whole budget waits until it is all free.
///
/// A thread that holds a part gets another at once: it would wait for itself where a pool of threads gives it a second task in
/// the middle of the first, and two threads could wait for each other.
pub(crate) fn hold(bytes: u64) -> Held {
    DECODERS.hold(bytes)
}

struct Budget {
    bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: u64,
    /// Numbers of the next to come and of the next to be served: nobody overtakes a large picture.
    tickets: u64,
    serving: u64,
}

impl Budget {
    const fn new(bytes: u64) -> Self {
        Self { bytes, state: Mutex::new(State { free: bytes, tickets: 0, serving: 0 }), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&'static self, bytes: u64) -> Held {
        let mut bytes = bytes.min(self.bytes);
        if HELD.get() > 0 {
            bytes = 0;
        } else {
            let mut state = self.state();
            let ticket = state.tickets;
            state.tickets += 1;
            while state.serving != ticket || state.free < bytes {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.free -= bytes;
            state.serving += 1;
            self.changed.notify_all();
        }
        HELD.set(HELD.get() + 1);
        Held { budget: self, bytes, of_this_thread: PhantomData }
    }
}

/// A part of the budget, given back when it is dropped.
pub(crate) struct Held {
    budget: &'static Budget,
    bytes: u64,
    /// Counted on the thread that took it, so it stays there.
    of_this_thread: PhantomData<*const ()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(1));
        self.budget.state().free += self.bytes;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_share_the_budget() {
        static BUDGET: Budget = Budget::new(100);
        static NOW: AtomicU64 = AtomicU64::new(0);
        static MOST: AtomicU64 = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for bytes in [30, 100, 60, 7, 45, 300, 99, 1] {
                scope.spawn(move || {
                    for _ in 0..5 {
                        let held = BUDGET.hold(bytes);
                        let now = NOW.fetch_add(held.bytes, Ordering::SeqCst) + held.bytes;
                        MOST.fetch_max(now, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(1));
                        NOW.fetch_sub(held.bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = MOST.load(Ordering::SeqCst);
        assert!(most <= 100 && most > 60, "{most}");
        assert_eq!(BUDGET.state().free, 100);
    }

    #[test]
    fn a_thread_never_waits_for_itself() {
        static BUDGET: Budget = Budget::new(10);
        let first = BUDGET.hold(8);
        let second = BUDGET.hold(8);
        assert_eq!((first.bytes, second.bytes), (8, 0));
        drop((first, second));
        assert_eq!(BUDGET.hold(11).bytes, 10);
    }
}
