//! Which evaluation of a run was the best.

use serde_json::Value;

use crate::metrics::mean_by_key;

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Best {
    /// Its score, and the steps that had been taken.
    best: Option<(f64, u64)>,
    /// Evaluations since.
    since: u64,
}

impl Best {
    /// That of the lines of a log. The evaluation of the finished model is another kind and does not count.
    pub fn of(lines: &[Value]) -> Self {
        let mut best = Self::default();
        for line in lines {
            let Some(cells) = line["validation"].as_object().filter(|_| line["final"] != true) else { continue };
            let found = cells.iter().filter_map(|(key, cell)| Some((key.as_str(), cell["r1"].as_f64()?)));
            best.take(line["step"].as_u64().unwrap_or(0) + 1, mean_by_key(found));
        }
        best
    }

    /// The steps that had been taken at the best one.
    pub fn step(&self) -> Option<u64> {
        self.best.map(|(_, step)| step)
    }

    /// Takes an evaluation after `step` steps, and says whether it is better than all before.
    pub fn take(&mut self, step: u64, score: Option<f64>) -> bool {
        match (score, self.best) {
            (Some(score), Some((best, _))) if score <= best || !score.is_finite() => self.since += 1,
            (Some(score), _) if score.is_finite() => {
                *self = Self { best: Some((score, step)), since: 0 };
                return true;
            }
            _ => self.since += 1,
        }
        false
    }

    /// Whether the last `patience` evaluations were not better than the best; never for a patience of 0.
    pub fn is_over(&self, patience: u64) -> bool {
        patience > 0 && self.best.is_some() && self.since >= patience
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_best_is_the_first_of_the_highest() {
        let line = |step: u64, r1: Value| json!({"step": step - 1, "validation": {"a": {"r1": r1}, "b": {"r1": 0.5}, "c": {}}});
        let lines = [
            json!({"step": 3, "loss": 1.0}),
            line(10, json!(0.1)),
            line(20, json!(0.3)),
            line(30, json!(0.3)),
            line(40, json!(null)),
        ];
        let mut best = Best::of(&lines[..3]);
        assert_eq!((best.step(), best.is_over(1)), (Some(20), false));
        best = Best::of(&lines[..4]);
        assert_eq!((best.step(), best.is_over(1), best.is_over(2), best.is_over(0)), (Some(20), true, false, false));
        // Without "a" the mean is 0.5.
        best = Best::of(&lines);
        assert_eq!(best.step(), Some(40));
        assert!(!best.take(50, None) && !best.take(60, Some(f64::NAN)) && best.is_over(2));
        assert!(best.take(70, Some(0.6)) && best.step() == Some(70));
        assert!(!Best::default().is_over(1));
    }
}
