//! Stopping a verb that runs without end: the first interrupt asks it to finish, the second one ends the process.

use std::sync::atomic::{AtomicU8, Ordering};

/// No verb finishes by itself: an interrupt ends the process.
const AT_ONCE: u8 = 0;
/// A verb looks for the wish to stop.
const LISTENING: u8 = 1;
/// It is to stop.
const WANTED: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(AT_ONCE);

/// From now on the first interrupt only asks to finish.
pub fn listen() {
    STATE.store(LISTENING, Ordering::SeqCst);
}

/// Whether an interrupt has come since [`listen`].
pub fn is_wanted() -> bool {
    STATE.load(Ordering::SeqCst) == WANTED
}

/// An interrupt has come; whether a verb will finish because of it.
pub fn interrupt() -> bool {
    STATE.compare_exchange(LISTENING, WANTED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}
