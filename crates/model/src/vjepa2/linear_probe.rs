//! The linear probe: classes from the mean of frozen tokens, and how it is written as an attentive one.

use vljepa_tensor::Device;
use vljepa_tensor::autograd::Var;

use super::config::Vjepa2Config;
use crate::error::Result;
use crate::layers::Linear;
use crate::param::{Builder, Forward, Param, ParamSource, Precision};

/// A linear layer over what [`LinearProbe::pool`] makes of the tokens.
#[derive(Clone, Debug)]
pub struct LinearProbe {
    classifier: Linear,
}

impl LinearProbe {
    /// A probe of `labels` classes, from parameters named `classifier.…`.
    ///
    /// # Errors
    /// An invalid configuration, and what the source reports.
    pub fn load(device: &Device, config: &Vjepa2Config, labels: usize, source: &mut dyn ParamSource) -> Result<Self> {
        config.validate()?;
        let b = &mut Builder { device, source, precision: Precision::F32 };
        Ok(Self { classifier: Linear::new(b, "classifier", config.hidden_size, labels, true)? })
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.classifier.collect(&mut out);
        out
    }

    /// The mean of the tokens `[N, D]`, each with the mean 0 and the variance 1: `[D]`. That is a LayerNorm without affine
    /// part, so that [`LinearProbe::pooler`] gives the same. Sums are in f64.
    pub fn pool(config: &Vjepa2Config, tokens: &[f32]) -> Vec<f32> {
        let width = config.hidden_size.max(1);
        let mut sums = vec![0.0_f64; width];
        let rows = tokens.chunks_exact(width);
        let count = rows.len().max(1) as f64;
        for row in rows {
            let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / width as f64;
            let variance = row.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / width as f64;
            let scale = 1.0 / (variance + config.layer_norm_eps).sqrt();
            sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += (f64::from(*v) - mean) * scale);
        }
        sums.iter().map(|sum| (sum / count) as f32).collect()
    }

    /// Scores of the classes before the softmax for pooled tokens, `[B, D]` → `[B, labels]`.
    ///
    /// # Errors
    /// When the last axis has another size.
    pub fn forward(&self, f: &Forward, pooled: &Var) -> Result<Var> {
        self.classifier.forward(f, pooled)
    }

    /// The pooler of an [`AttentiveProbe`](super::AttentiveProbe) without self-attention layers
    /// (`num_pooler_layers` 0) that gives what [`LinearProbe::pool`] gives: its query is zero and attends to all tokens alike,
    /// values are the normalised tokens, and the MLP adds nothing. Name, shape and values of each tensor but the classifier's.
    pub fn pooler(config: &Vjepa2Config) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let width = config.hidden_size;
        let plain = Vjepa2Config { num_pooler_layers: 0, ..config.clone() };
        let specs = plain.probe_tensors(1).into_iter().filter(|spec| spec.name.starts_with("pooler."));
        let values = |name: &str, shape: &[usize]| {
            let mut values = vec![0.0; shape.iter().product()];
            if name.ends_with("v_proj.weight") {
                values.iter_mut().step_by(width + 1).for_each(|v| *v = 1.0);
            } else if name.contains("layer_norm") && name.ends_with(".weight") {
                values.fill(1.0);
            }
            values
        };
        specs.map(|spec| (spec.name.clone(), spec.shape.clone(), values(&spec.name, &spec.shape))).collect()
    }
}
