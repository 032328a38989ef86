//! What a trainer gives: the report of a step, the files of a checkpoint, the trained model.

use crate::metrics::Validation;

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, from 0.
    pub step: u64,
    /// Mean loss of its samples, before its update.
    pub loss: f32,
    /// Global norm of all gradients, before clipping.
    pub grad_norm: f32,
    /// Factor of the learning rates.
    pub factor: f64,
    /// 1/τ before the update.
    pub scale: f32,
}

/// What a run has made.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The bytes of `model.safetensors`.
    pub weights: Vec<u8>,
    /// Their figures on validation data.
    pub validation: Validation,
}

/// A file of a checkpoint: its name and its bytes.
pub type NamedFile = (&'static str, Vec<u8>);
