//! Rules that values of a configuration must keep.

use super::OptimizerConfig;
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
    /// Those of `[optimizer]`.
    pub fn optimizer(&mut self, p: &OptimizerConfig) {
        self.range("optimizer.lr", p.lr, 0.0, 1e3);
        self.range("optimizer.muon.lr", p.muon.lr, 0.0, 1e3);
        for beta in p.betas {
            self.range("optimizer.betas", beta, 0.0, 1.0 - 1e-9);
        }
        self.range("optimizer.eps", p.eps, 0.0, 1.0);
        self.range("optimizer.weight_decay", p.weight_decay, 0.0, 1e3);
        self.range("optimizer.muon.weight_decay", p.muon.weight_decay, 0.0, 1e3);
        self.range("optimizer.clip", p.clip, 0.0, 1e9);
        self.range("optimizer.muon.momentum", p.muon.momentum, 0.0, 1.0 - 1e-9);
        self.range("optimizer.muon.iterations", f64::from(p.muon.iterations), 1.0, 50.0);
        for (i, group) in p.groups.iter().enumerate() {
            self.range(&format!("optimizer.groups.{i}.lr_scale"), group.lr_scale, 0.0, 1e6);
            let decay = group.weight_decay.unwrap_or(0.0);
            self.range(&format!("optimizer.groups.{i}.weight_decay"), decay, 0.0, 1e3);
        }
    }
}
