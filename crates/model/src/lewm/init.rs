//! Random initial weights of LeWM.

use super::config::LewmConfig;
use crate::error::Result;
use crate::param::{ParamSource, Stream};
use crate::spec::TensorSpec;

/// Random initial values, by the parameter's name and shape, each from a stream of its own:
///
/// * encoder: normal numbers of deviation 0.02 cut at two deviations, biases zero (transformers' `ViTModel`);
/// * the maps that make shift, scale and gate of actions: zeros (AdaLN-zero);
/// * positions of the predictor: standard normal numbers;
/// * other matrices and their biases: uniform within ±1/√inputs (PyTorch's `Linear` and `Conv1d`);
/// * norms: ones and zeros.
#[derive(Clone, Copy, Debug)]
pub struct LewmInit {
    /// Seed of all streams.
    pub seed: u64,
}

impl LewmInit {
    /// The same values for a model of `config`.
    pub(super) fn of(self, config: &LewmConfig) -> Source {
        Source { seed: self.seed, tensors: config.tensors() }
    }
}

/// [`LewmInit`] for a model of certain tensors.
pub(super) struct Source {
    seed: u64,
    tensors: Vec<TensorSpec>,
}

impl Source {
    /// Inputs of the matrix that a bias belongs to; 1 where there is none.
    fn inputs_of(&self, bias: &str) -> usize {
        let weight = bias.strip_suffix("bias").map(|start| format!("{start}weight"));
        let weight = self.tensors.iter().find(|tensor| Some(&tensor.name) == weight.as_ref());
        weight.map_or(1, |weight| weight.shape.iter().skip(1).product())
    }
}

impl ParamSource for Source {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let count = shape.iter().product();
        let mut stream = Stream::new(self.seed, name);
        let is_norm = [".net.1.", "norm.", "mlp.net.0.", "layernorm_before.", "layernorm_after."];
        let norm = shape.len() == 1 && is_norm.iter().any(|part| name.contains(part)) && !name.contains("mlp.net.1.");
        if norm {
            let one = name.ends_with(".weight") || name.ends_with(".running_var");
            return Ok(vec![if one { 1.0 } else { 0.0 }; count]);
        }
        if name.contains("adaLN_modulation") || (name.starts_with("encoder.") && name.ends_with(".bias")) {
            return Ok(vec![0.0; count]);
        }
        if name.starts_with("encoder.") {
            return Ok((0..count).map(|_| (0.02 * stream.normal()) as f32).collect());
        }
        if name.ends_with("pos_embedding") {
            return Ok((0..count).map(|_| stream.uncut_normal() as f32).collect());
        }
        let inputs = match shape {
            [_] => self.inputs_of(name),
            [_, rest @ ..] => rest.iter().product(),
            [] => 1,
        };
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        Ok((0..count).map(|_| (bound * (2.0 * stream.unit() - 1.0)) as f32).collect())
    }
}
