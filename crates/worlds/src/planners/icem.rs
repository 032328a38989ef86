//! The improved cross-entropy method (Pinneri and others, CoRL 2020).

use serde::{Deserialize, Serialize};

use crate::error::{Result, WorldError};

/// The cross-entropy method with noise that is correlated over time, mean and standard deviation that change slowly, and elites that
/// are kept from iteration to iteration and from plan to plan. The defaults are those of stable-worldmodel
/// (`planning/solver/icem.py`).
///
/// That code clamps normalised candidates to the environment's range, which is wrong wherever an action's standard deviation is not
/// 1. Here the bounds are those of [`super::Space`], which are given in the space of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Icem {
    /// Candidates of an iteration.
    pub samples: usize,
    /// How many of the best are kept.
    pub elites: usize,
    /// Iterations.
    pub iterations: usize,
    /// Standard deviation of the first iteration.
    pub std: f32,
    /// The noise's power falls with frequency to this power; 0 is white noise. Each sequence of a candidate's noise has the standard
    /// deviation 1 over time.
    pub exponent: f32,
    /// Share of the old mean and standard deviation that stays in an iteration.
    pub momentum: f32,
    /// How many elites are candidates of the next iteration again.
    pub keep: usize,
    /// Whether the plan is the best candidate of the last iteration, not the last mean.
    pub take_best: bool,
}

impl Default for Icem {
    fn default() -> Self {
        Self {
            samples: 300,
            elites: 30,
            iterations: 30,
            std: 1.0,
            exponent: 2.0,
            momentum: 0.1,
            keep: 5,
            take_best: false,
        }
    }
}

impl Icem {
    pub(super) fn check(&self) -> Result<()> {
        let fail = |what: String| Err(WorldError::Options { origin: "planner", what });
        if !(0.0..=8.0).contains(&self.exponent) {
            return fail(format!("exponent is {}; 0 to 8 are possible", self.exponent));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return fail(format!("momentum is {}; it is at least 0 and below 1", self.momentum));
        }
        if self.keep > self.elites || self.keep >= self.samples {
            return fail(format!(
                "keep is {}; at most {}, the number of elites, and less than {}, that of samples, are possible",
                self.keep, self.elites, self.samples
            ));
        }
        Ok(())
    }
}
