//! Rules that values of a configuration must keep.

use crate::schedule::Schedule;

/// Collects the first broken rule.
pub(crate) struct Rules(pub Option<(String, String)>);

impl Rules {
    pub fn need(&mut self, key: &str, holds: bool, what: impl FnOnce() -> String) {
        if self.0.is_none() && !holds {
            self.0 = Some((key.to_owned(), what()));
        }
    }

    pub fn range(&mut self, key: &str, value: f64, low: f64, high: f64) {
        // Written so that NaN fails too.
        self.need(key, value >= low && value <= high, || format!("`{key}` is {value}, must be in {low}..={high}"));
    }

    /// Those of `[schedule]`.
    pub fn schedule(&mut self, s: &Schedule) {
        for (key, value) in [("warmup", s.warmup), ("decay", s.decay), ("end", s.end)] {
            self.range(&format!("schedule.{key}"), value, 0.0, 1.0);
        }
    }
}
