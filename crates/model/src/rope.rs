//! Rotary position embeddings, half-split, as configurations describe them.

use crate::error::{ModelError, Result};
use crate::spec::Check;
use serde::{Deserialize, Serialize};
use vljepa_tensor::ops;

/// Rotary position embedding, half-split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// The llama3 frequency rule; `None` leaves the frequencies alone.
    pub scaling: Option<Llama3Scaling>,
}

/// The llama3 rule: long wavelengths are stretched by `factor`, short ones kept, those between blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// Stretch of the low frequencies.
    pub factor: f64,
    /// Wavelengths above context / this are stretched.
    pub low_freq_factor: f64,
    /// Wavelengths below context / this are kept.
    pub high_freq_factor: f64,
    /// Context length before the stretch.
    pub original_max_position_embeddings: usize,
}

impl Rope {
    /// Frequencies of one base, none stretched.
    pub fn plain(theta: f64) -> Self {
        Rope { theta, scaling: None }
    }

    /// Inverse frequencies (head_dim / 2) in radians per position: [`ops::rope_half_frequencies`] of this
    /// configuration.
    pub fn inv_freq(&self, head_dim: usize) -> Vec<f32> {
        let scaling = self.scaling.map(|s| ops::Llama3Scaling {
            factor: s.factor,
            low_freq_factor: s.low_freq_factor,
            high_freq_factor: s.high_freq_factor,
            original_max_position_embeddings: s.original_max_position_embeddings as f64,
        });
        ops::rope_half_frequencies(head_dim, self.theta, scaling.as_ref())
    }

    pub(crate) fn check(&self, c: &Check) -> Result<()> {
        c.number("rope_theta", self.theta, 1.0, 1e12)?;
        if let Some(s) = self.scaling {
            c.number("factor", s.factor, 0.0, 1e6)?;
            c.number("low_freq_factor", s.low_freq_factor, 0.0, 1e6)?;
            c.number("high_freq_factor", s.high_freq_factor, s.low_freq_factor, 1e6)?;
            c.size("original_max_position_embeddings", s.original_max_position_embeddings, 1 << 30)?;
        }
        Ok(())
    }
}

/// The keys of `rope_parameters` or `rope_scaling` as they stand in the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RawRope {
    #[serde(alias = "type", skip_serializing_if = "Option::is_none")]
    rope_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low_freq_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high_freq_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_max_position_embeddings: Option<usize>,
}

impl RawRope {
    /// The settings with `theta` where the file names none. `llama3` says whether that rule is supported here.
    pub(crate) fn resolve(self, config: &'static str, theta: f64, llama3: bool) -> Result<Rope> {
        let theta = self.rope_theta.unwrap_or(theta);
        let scaling = match self.rope_type.as_deref() {
            None | Some("default") => None,
            Some("llama3") if llama3 => {
                let missing = |key: &str| ModelError::Config {
                    config,
                    what: format!("rotary type \"llama3\" needs `{key}` in `rope_parameters` or `rope_scaling`"),
                };
                Some(Llama3Scaling {
                    factor: self.factor.ok_or_else(|| missing("factor"))?,
                    low_freq_factor: self.low_freq_factor.ok_or_else(|| missing("low_freq_factor"))?,
                    high_freq_factor: self.high_freq_factor.ok_or_else(|| missing("high_freq_factor"))?,
                    original_max_position_embeddings: self
                        .original_max_position_embeddings
                        .ok_or_else(|| missing("original_max_position_embeddings"))?,
                })
            }
            Some(other) => {
                let supported = if llama3 { "default, llama3" } else { "default" };
                return Check(config).fail(format!("`rope_type` is \"{other}\", supported: {supported}"));
            }
        };
        Ok(Rope { theta, scaling })
    }
}

impl From<Rope> for RawRope {
    fn from(rope: Rope) -> Self {
        let s = rope.scaling;
        Self {
            rope_type: Some(if s.is_some() { "llama3" } else { "default" }.into()),
            rope_theta: Some(rope.theta),
            factor: s.map(|s| s.factor),
            low_freq_factor: s.map(|s| s.low_freq_factor),
            high_freq_factor: s.map(|s| s.high_freq_factor),
            original_max_position_embeddings: s.map(|s| s.original_max_position_embeddings),
        }
    }
}
