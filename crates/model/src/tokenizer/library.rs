//! Calls into the tokenizer library, whose panics come out as values.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a call of this thread is under way.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// The result of `call`; `None` where it panics, of which nothing is printed. The process's panic hook stays as it is
/// for all else.
pub(super) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !CALLING.get() {
                hook(panic);
            }
        }));
    });
    let outer = CALLING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    CALLING.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_no_value_and_later_calls_work() {
        assert_eq!(caught(|| 7), Some(7));
        assert_eq!(caught(|| -> u32 { panic!("inside") }), None);
        assert_eq!(caught(|| caught(|| -> u32 { panic!("further inside") })), Some(None));
        assert!(!CALLING.get());
    }
}
