//! Random initial weights of LeWM.

use crate::error::Result;
use crate::param::{ParamSource, Stream};

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
    /// Inputs of the matrix that a bias belongs to, by its name and the width that the bias has.
    fn inputs_of(name: &str, sizes: &Sizes) -> usize {
        let of = [
            ("net.0.bias", sizes.hidden),
            ("net.3.bias", sizes.projection),
            ("patch_embed.bias", sizes.block),
            ("embed.0.bias", sizes.features),
            ("embed.2.bias", sizes.action_mlp),
            ("to_out.0.bias", sizes.inner),
            ("mlp.net.1.bias", sizes.hidden),
            ("mlp.net.4.bias", sizes.mlp),
        ];
        // The longest ending that fits: `mlp.net.1` stands before `net.1`.
        let fits = of.into_iter().filter(|(end, _)| name.ends_with(end));
        fits.max_by_key(|(end, _)| end.len()).map_or(1, |(_, inputs)| inputs)
    }

    /// The same values for a model of `config`.
    pub(super) fn of(self, config: &super::config::LewmConfig) -> Source {
        Source {
            seed: self.seed,
            sizes: Sizes {
                hidden: config.hidden_size,
                projection: config.projection_size,
                block: config.block_size(),
                features: config.action_features,
                action_mlp: config.action_mlp_ratio * config.hidden_size,
                inner: config.inner_size(),
                mlp: config.predictor.mlp_dim,
            },
        }
    }
}

struct Sizes {
    hidden: usize,
    projection: usize,
    block: usize,
    features: usize,
    action_mlp: usize,
    inner: usize,
    mlp: usize,
}

/// [`LewmInit`] for models of certain sizes.
pub(super) struct Source {
    seed: u64,
    sizes: Sizes,
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
            [_] => LewmInit::inputs_of(name, &self.sizes),
            [_, rest @ ..] => rest.iter().product(),
            [] => 1,
        };
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        Ok((0..count).map(|_| (bound * (2.0 * stream.unit() - 1.0)) as f32).collect())
    }
}
