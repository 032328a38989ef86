//! The space in which plans are looked for.

use crate::error::{Result, WorldError};

/// The most numbers of an iteration: samples · horizon · width.
pub const MAX_NUMBERS: usize = 1 << 28;

/// The size of a plan, and between what its numbers lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// Blocks of a plan.
    pub horizon: usize,
    /// Numbers of a block: steps of a block times numbers of an action.
    pub width: usize,
    /// Least and greatest value of each number of a block; empty: there are none.
    pub bounds: Vec<(f32, f32)>,
}

impl Space {
    /// A space without bounds, as the published CEM has it.
    pub fn new(horizon: usize, width: usize) -> Self {
        Self { horizon, width, bounds: Vec::new() }
    }

    /// Blocks of `block` actions. `bounds` are those of one action's numbers in the space of the plan: for actions that are
    /// normalised, the environment's range normalised likewise.
    pub fn of_actions(horizon: usize, block: usize, bounds: &[(f32, f32)]) -> Self {
        let bounds: Vec<(f32, f32)> = bounds.iter().copied().cycle().take(block * bounds.len()).collect();
        Self { horizon, width: bounds.len(), bounds }
    }

    /// Numbers of a plan.
    pub fn numbers(&self) -> usize {
        self.horizon * self.width
    }

    /// Moves each number of plans, (…, width), into its bounds.
    pub fn clamp(&self, plans: &mut [f32]) {
        if self.bounds.is_empty() {
            return;
        }
        for block in plans.chunks_exact_mut(self.width) {
            for (value, (low, high)) in block.iter_mut().zip(&self.bounds) {
                *value = value.max(*low).min(*high);
            }
        }
    }

    pub(super) fn check(&self, samples: usize) -> Result<()> {
        let fail = |what: String| Err(WorldError::Options { origin: "planner", what });
        if self.horizon == 0 || self.width == 0 {
            return fail(format!("a plan of {} blocks of {} numbers is empty", self.horizon, self.width));
        }
        let numbers = samples.checked_mul(self.horizon).and_then(|n| n.checked_mul(self.width));
        if numbers.is_none_or(|n| n > MAX_NUMBERS) {
            return fail(format!(
                "{samples} samples of {} blocks of {} numbers are more than {MAX_NUMBERS} numbers",
                self.horizon, self.width
            ));
        }
        if !self.bounds.is_empty() && self.bounds.len() != self.width {
            let (expected, found) = (self.width, self.bounds.len());
            return Err(WorldError::Length {
                origin: "planner",
                what: "bounds of a block".to_owned(),
                expected,
                found,
            });
        }
        match self.bounds.iter().position(|(low, high)| !matches!(low.partial_cmp(high), Some(o) if o.is_le())) {
            Some(i) => {
                let (low, high) = self.bounds[i];
                fail(format!("bounds {i} are {low} to {high}; the first must be the lower"))
            }
            None => Ok(()),
        }
    }
}
