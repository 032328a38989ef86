//! The Y-Encoder: a text to one vector. A text encoder, pooling, Dense heads, Matryoshka cut, normalisation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Error};

use crate::architectures::{TextEncoderConfig, YEncoderKind};
use crate::error::{ModelError, Result};
use crate::layers::Linear;
use crate::param::{Builder, Forward, Param, ParamSource, Precision};
use crate::spec::{Check, MAX_WIDTH, Specs, TensorSpec};
use crate::text::Tokens;
use crate::text_encoder::{Pooling, TextEncoder};
use crate::tokenizer::TextTokenizer;

/// The Y-Encoder and how a text becomes one vector: pool, Dense heads, cut, normalise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawYEncoder", into = "RawYEncoder")]
pub struct YEncoderConfig {
    /// The encoder's own configuration; `kind` in the file says which architecture it is of.
    pub config: TextEncoderConfig,
    /// From token vectors to one vector. Not stated for the paper's encoder: what the encoder was trained with, the
    /// last token for Qwen 3 and else the mean.
    pub pooling: Pooling,
    /// Longest target, in tokens; longer ones are cut. Paper: 512.
    pub max_target_tokens: usize,
    /// Text put before every target. Not stated: none.
    pub prompt: String,
    /// Linear layers after pooling, as the Dense modules of sentence-transformers. Not stated: none.
    pub dense: Vec<DenseConfig>,
    /// Matryoshka: how many of the first numbers are kept; `None` keeps all.
    pub truncate_dim: Option<usize>,
    /// Whether the vector is L2-normalised at the end, as sentence-transformers does. In VL-JEPA a head follows: no.
    pub normalize: bool,
}

/// A linear layer after pooling: `2_Dense`, `3_Dense` of EmbeddingGemma. No activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseConfig {
    /// Numbers in.
    pub in_features: usize,
    /// Numbers out.
    pub out_features: usize,
    /// Whether it adds a bias.
    #[serde(default)]
    pub bias: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawYEncoder {
    kind: YEncoderKind,
    config: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pooling: Option<Pooling>,
    #[serde(default = "default_text_tokens")]
    max_target_tokens: usize,
    #[serde(default)]
    prompt: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dense: Vec<DenseConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truncate_dim: Option<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    normalize: bool,
}

impl TryFrom<RawYEncoder> for YEncoderConfig {
    type Error = ModelError;

    fn try_from(raw: RawYEncoder) -> Result<Self> {
        let config = raw.kind.unchecked(&raw.config).map_err(|e| ModelError::Config {
            config: "vljepa",
            what: format!("`y_encoder.config` is not readable: {e}"),
        })?;
        Ok(Self {
            pooling: raw.pooling.unwrap_or(config.default_pooling()),
            config,
            max_target_tokens: raw.max_target_tokens,
            prompt: raw.prompt,
            dense: raw.dense,
            truncate_dim: raw.truncate_dim,
            normalize: raw.normalize,
        })
    }
}

impl From<YEncoderConfig> for RawYEncoder {
    fn from(c: YEncoderConfig) -> Self {
        Self {
            kind: c.config.kind(),
            // Plain structs of numbers and strings always have a JSON form.
            config: c.config.to_value().unwrap_or_default(),
            pooling: Some(c.pooling),
            max_target_tokens: c.max_target_tokens,
            prompt: c.prompt,
            dense: c.dense,
            truncate_dim: c.truncate_dim,
            normalize: c.normalize,
        }
    }
}

/// Longest text in tokens where a configuration names none (paper: 512).
pub(crate) fn default_text_tokens() -> usize {
    512
}

impl YEncoderConfig {
    /// An encoder pooled as it was trained, without heads or prompt, texts of up to 512 tokens or what it can take.
    pub fn new(config: TextEncoderConfig) -> Self {
        Self {
            pooling: config.default_pooling(),
            max_target_tokens: default_text_tokens().min(config.max_position_embeddings()),
            config,
            prompt: String::new(),
            dense: Vec::new(),
            truncate_dim: None,
            normalize: false,
        }
    }

    /// Numbers in the vector of a text.
    pub fn output_size(&self) -> usize {
        self.truncate_dim.unwrap_or(self.dense_size())
    }

    /// Numbers before the cut.
    fn dense_size(&self) -> usize {
        self.dense.last().map_or(self.config.hidden_size(), |d| d.out_features)
    }

    /// Checks the encoder, and that what follows it fits.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the key at fault.
    pub fn validate(&self) -> Result<()> {
        let c = Check("vljepa");
        self.config.validate()?;
        c.size("y_encoder.max_target_tokens", self.max_target_tokens, self.config.max_position_embeddings())?;
        let mut width = self.config.hidden_size();
        c.size("y_encoder.dense layers", self.dense.len() + 1, 16)?;
        for (i, dense) in self.dense.iter().enumerate() {
            if dense.in_features != width {
                let found = dense.in_features;
                return c.fail(format!("`y_encoder.dense[{i}].in_features` is {found}, {width} numbers come in"));
            }
            width = dense.out_features;
            c.size("y_encoder.dense.out_features", width, MAX_WIDTH)?;
        }
        match self.truncate_dim {
            Some(dim) => c.size("y_encoder.truncate_dim", dim, width),
            None => Ok(()),
        }
    }

    /// The encoder's tensors under the checkpoint's names, and `dense.{i}.linear.{weight,bias}`.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs(self.config.tensors());
        for (i, dense) in self.dense.iter().enumerate() {
            s.linear(&format!("dense.{i}.linear"), dense.in_features, dense.out_features, dense.bias);
        }
        s.0
    }
}

/// Added below norms that vectors are divided by, as in the reference.
const NORM_EPS: f32 = 1e-12;

/// A text encoder, and how its token vectors become one vector.
#[derive(Clone, Debug)]
pub struct YEncoder {
    pooling: Pooling,
    truncate_dim: Option<usize>,
    normalize: bool,
    encoder: Arc<dyn TextEncoder>,
    dense: Vec<Linear>,
}

impl YEncoder {
    /// Builds the encoder from the names of [`YEncoderConfig::tensors`] under `prefix`.
    pub(crate) fn new(b: &mut Builder<'_>, prefix: &str, config: &YEncoderConfig) -> Result<Self> {
        let mut dense = Vec::with_capacity(config.dense.len());
        let encoder = config.config.build(b, prefix)?;
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
    /// When the configuration is not valid, and what the source reports.
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
        self.encoder.as_ref()
    }

    /// One vector per text, `[B, N]` ids → `[B, output_size]`. A text without tokens pools to zeros.
    ///
    /// # Errors
    /// When a text is too long or an id lies outside the vocabulary.
    pub fn forward(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        let hidden = self.encoder.forward(f, tokens)?;
        let mut x = match self.pooling {
            Pooling::Mean => autograd::masked_mean(&hidden, Some(tokens.mask()))?,
            // A mean over one token selects it, and nothing of the others gets in.
            Pooling::Last => autograd::masked_mean(&hidden, Some(&tokens.last_mask()?))?,
            Pooling::Cls => autograd::masked_mean(&hidden, Some(&tokens.first_mask()?))?,
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

    /// The name of a token embedding that lies on the device in parts.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn table_in_parts(&self) -> Option<&str> {
        self.encoder.table_in_parts()
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.encoder.collect(out);
        for dense in &self.dense {
            dense.collect(out);
        }
    }
}

impl TextTokenizer {
    /// The tokenizer of the Y-Encoder: its special tokens, its longest text, ids within its embedding table.
    ///
    /// # Errors
    /// As [`TextTokenizer::with_special_tokens`].
    pub fn for_targets(json: &[u8], config: &YEncoderConfig) -> Result<Self> {
        let special = config.config.kind().special_tokens();
        let tokenizer = Self::with_special_tokens(json, config.max_target_tokens, special)?;
        Ok(tokenizer.for_table(config.config.vocab_size()))
    }
}
