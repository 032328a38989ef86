//! Which planner, with what settings.

use serde::{Deserialize, Serialize};

use super::icem::Icem;
use crate::error::{Result, WorldError};

/// The cross-entropy method: candidates are drawn from a normal distribution, which then takes the mean and the standard deviation of
/// the best. The first candidate is the mean itself; the plan is the last mean. The defaults are those of the published world model
/// (stable-worldmodel, `planning/solver/cem.py`; the paper has 10 iterations where contact is not the matter).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cem {
    /// Candidates of an iteration.
    pub samples: usize,
    /// How many of the best are kept.
    pub elites: usize,
    /// Iterations.
    pub iterations: usize,
    /// Standard deviation of the first iteration.
    pub std: f32,
}

impl Default for Cem {
    fn default() -> Self {
        Self { samples: 300, elites: 30, iterations: 30, std: 1.0 }
    }
}

/// Model predictive path integral control: the mean of the candidates weighted by exp(−cost / temperature), around which the next
/// are drawn with the same standard deviation (stable-worldmodel, `planning/solver/mppi.py`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mppi {
    /// Candidates of an iteration.
    pub samples: usize,
    /// How many of the best are weighted; all with as many as samples.
    pub elites: usize,
    /// Iterations.
    pub iterations: usize,
    /// Standard deviation of candidates.
    pub std: f32,
    /// What a difference of cost is divided by.
    pub temperature: f32,
}

impl Default for Mppi {
    fn default() -> Self {
        Self { samples: 300, elites: 30, iterations: 30, std: 1.0, temperature: 0.5 }
    }
}

/// A planner with its settings. As JSON or TOML: `{"kind": "cem", "samples": 300}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Planner {
    /// The cross-entropy method.
    Cem(Cem),
    /// The improved cross-entropy method.
    Icem(Icem),
    /// Model predictive path integral control.
    Mppi(Mppi),
}

impl Default for Planner {
    fn default() -> Self {
        Self::Cem(Cem::default())
    }
}

impl Planner {
    /// Candidates of an iteration.
    pub fn samples(&self) -> usize {
        match self {
            Self::Cem(options) => options.samples,
            Self::Icem(options) => options.samples,
            Self::Mppi(options) => options.samples,
        }
    }

    /// Iterations.
    pub fn iterations(&self) -> usize {
        match self {
            Self::Cem(options) => options.iterations,
            Self::Icem(options) => options.iterations,
            Self::Mppi(options) => options.iterations,
        }
    }

    pub(super) fn elites(&self) -> usize {
        match self {
            Self::Cem(options) => options.elites,
            Self::Icem(options) => options.elites,
            Self::Mppi(options) => options.elites,
        }
    }

    pub(super) fn std(&self) -> f32 {
        match self {
            Self::Cem(options) => options.std,
            Self::Icem(options) => options.std,
            Self::Mppi(options) => options.std,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let fail = |what: String| Err(WorldError::Options { origin: "planner", what });
        let (samples, elites) = (self.samples(), self.elites());
        if self.iterations() == 0 {
            return fail("iterations is 0; at least 1 is needed".to_owned());
        }
        if elites == 0 || elites > samples {
            return fail(format!("elites is {elites}; 1 to {samples}, the number of samples, are possible"));
        }
        let above_zero = |key: &str, value: f32| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => fail(format!("{key} is {value}; it must be finite and above 0")),
        };
        above_zero("std", self.std())?;
        match self {
            Self::Cem(_) => Ok(()),
            Self::Icem(options) => options.check(),
            Self::Mppi(options) => above_zero("temperature", options.temperature),
        }
    }
}
