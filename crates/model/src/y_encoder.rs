//! The Y-Encoder: a text to one vector. A text encoder, pooling, Dense heads, Matryoshka cut, normalisation.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Error};

use crate::config::{Pooling, YEncoderConfig};
use crate::error::{ModelError, Result};
use crate::layers::Linear;
use crate::param::{Builder, Forward, Param, ParamSource, Precision};
use crate::text::Tokens;
use crate::text_encoder::{AnyTextEncoder, TextEncoder};

/// Added below norms that vectors are divided by, as in the reference.
const NORM_EPS: f32 = 1e-12;

/// A text encoder with what makes one vector of its token vectors.
#[derive(Clone, Debug)]
pub struct YEncoder {
    pooling: Pooling,
    truncate_dim: Option<usize>,
    normalize: bool,
    encoder: AnyTextEncoder,
    dense: Vec<Linear>,
}

impl YEncoder {
    /// Builds the encoder from the names of [`YEncoderConfig::tensors`] under `prefix`.
    pub(crate) fn new(b: &mut Builder<'_>, prefix: &str, config: &YEncoderConfig) -> Result<Self> {
        let mut dense = Vec::with_capacity(config.dense.len());
        let encoder = AnyTextEncoder::new(b, prefix, &config.config)?;
        for (i, d) in config.dense.iter().enumerate() {
            let name = format!("{prefix}dense.{i}.linear");
            dense.push(Linear::new(b, &name, d.in_features, d.out_features, d.bias)?);
        }
        Ok(YEncoder {
            pooling: config.pooling,
            truncate_dim: config.truncate_dim,
            normalize: config.normalize,
            encoder,
            dense,
        })
    }

    /// The encoder alone, from the names of [`YEncoderConfig::tensors`] under `prefix`.
    ///
    /// # Errors
    /// When the configuration does not hold together, and what the source reports.
    pub fn load(device: &Device, config: &YEncoderConfig, source: &mut dyn ParamSource, prefix: &str) -> Result<Self> {
        Self::load_as(device, config, source, prefix, Precision::F32)
    }

    /// [`YEncoder::load`] with matrices and tables in `precision`.
    ///
    /// # Errors
    /// As [`YEncoder::load`], and a number that the precision cannot hold.
    pub fn load_as(
        device: &Device,
        config: &YEncoderConfig,
        source: &mut dyn ParamSource,
        prefix: &str,
        precision: Precision,
    ) -> Result<Self> {
        config.validate()?;
        Self::new(&mut Builder { device, source, precision }, prefix, config)
    }

    /// The encoder proper: token ids to token vectors.
    pub fn text_encoder(&self) -> &dyn TextEncoder {
        self.encoder.get()
    }

    /// One vector per text, `[B, N]` ids → `[B, output_size]`. A text without tokens pools to zeros.
    ///
    /// # Errors
    /// When a text is too long or an id lies outside the vocabulary.
    pub fn forward(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        let hidden = self.encoder.get().forward(f, tokens)?;
        let mut x = match self.pooling {
            Pooling::Mean => autograd::masked_mean(&hidden, Some(tokens.mask()))?,
            // The mean over that one token: selects, so that nothing of the others gets in.
            Pooling::Last => autograd::masked_mean(&hidden, Some(&tokens.last_mask()?))?,
        };
        for dense in &self.dense {
            x = dense.forward(f, &x)?;
        }
        if let Some(dim) = self.truncate_dim {
            if dim > x.shape()[1] {
                let what = format!("{dim} numbers of {:?} asked for", x.shape());
                return Err(ModelError::Tensor(Error::Shape { op: "truncate_dim", what }));
            }
            x = autograd::slice(&x, 1, 0, dim)?;
        }
        Ok(if self.normalize { autograd::l2_normalize(&x, NORM_EPS)? } else { x })
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    /// The name of a token embedding that lies in parts.
    pub(crate) fn table_in_parts(&self) -> Option<&str> {
        self.encoder.table_in_parts()
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.encoder.get().collect(out);
        for dense in &self.dense {
            dense.collect(out);
        }
    }
}
