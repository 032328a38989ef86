//! What goes wrong with a plan.

use crate::error::WorldError;

/// What goes wrong with a plan: a cost that fails, or options that do not fit.
#[derive(Debug, thiserror::Error)]
pub enum PlanError<E> {
    /// Options, sizes or a number of costs that do not fit.
    #[error(transparent)]
    Problem(#[from] WorldError),
    /// The cost failed.
    #[error("{0}")]
    Cost(E),
}
