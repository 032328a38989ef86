//! Configuration of the Y-Encoder: a text encoder, and how its token vectors become one vector.

use super::{BertConfig, Check, Gemma3Config, MAX_WIDTH, Qwen3Config, Specs, TensorSpec};
use crate::error::{ModelError, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The Y-Encoder and how a text becomes one vector: pool, Dense heads, cut, normalise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawYEncoder", into = "RawYEncoder")]
pub struct YEncoderConfig {
    /// The encoder's own configuration; `kind` in the file says which architecture it is of.
    pub config: TextEncoderConfig,
    /// From token vectors to one vector. Not stated for the paper's encoder: what the encoder was trained with, the last
    /// token for Qwen 3 and else the mean.
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

/// Architectures of the Y-Encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum YEncoderKind {
    /// BERT, e.g. all-MiniLM-L6-v2.
    Bert,
    /// Gemma 3, e.g. EmbeddingGemma-300M.
    Gemma3,
    /// Qwen 3, e.g. Qwen3-Embedding-0.6B.
    Qwen3,
}

/// The configuration of a text encoder, by architecture.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum TextEncoderConfig {
    Bert(BertConfig),
    Gemma3(Gemma3Config),
    Qwen3(Qwen3Config),
}

/// From token vectors to one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooling {
    /// Mean over the real tokens.
    #[default]
    Mean,
    /// The last real token.
    Last,
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

/// Prompts of EmbeddingGemma by task: what its authors put before a text.
pub const EMBEDDING_GEMMA_PROMPTS: &[(&str, &str)] = &[
    ("query", "task: search result | query: "),
    ("document", "title: none | text: "),
    ("question answering", "task: question answering | query: "),
    ("fact checking", "task: fact checking | query: "),
    ("classification", "task: classification | query: "),
    ("clustering", "task: clustering | query: "),
    ("sentence similarity", "task: sentence similarity | query: "),
    ("code retrieval", "task: code retrieval | query: "),
];

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawYEncoder {
    kind: YEncoderKind,
    config: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pooling: Option<Pooling>,
    #[serde(default = "super::vljepa::default_text_tokens")]
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
        let config = TextEncoderConfig::from_value(raw.kind, raw.config)?;
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
        let config = match &c.config {
            TextEncoderConfig::Bert(config) => serde_json::to_value(config),
            TextEncoderConfig::Gemma3(config) => serde_json::to_value(config),
            TextEncoderConfig::Qwen3(config) => serde_json::to_value(config),
        };
        Self {
            kind: c.config.kind(),
            // Plain structs of numbers and strings always have a JSON form.
            config: config.unwrap_or_default(),
            pooling: Some(c.pooling),
            max_target_tokens: c.max_target_tokens,
            prompt: c.prompt,
            dense: c.dense,
            truncate_dim: c.truncate_dim,
            normalize: c.normalize,
        }
    }
}

impl TextEncoderConfig {
    fn from_value(kind: YEncoderKind, config: Value) -> Result<Self> {
        let bad = |e: serde_json::Error| ModelError::Config {
            config: "vljepa",
            what: format!("`y_encoder.config` is not readable: {e}"),
        };
        Ok(match kind {
            YEncoderKind::Bert => Self::Bert(serde_json::from_value(config).map_err(bad)?),
            YEncoderKind::Gemma3 => Self::Gemma3(serde_json::from_value(config).map_err(bad)?),
            YEncoderKind::Qwen3 => Self::Qwen3(serde_json::from_value(config).map_err(bad)?),
        })
    }

    /// Parse a checkpoint's `config.json` by its `model_type` and [`validate`](Self::validate) it.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: Value = super::parse("text encoder", json)?;
        let kind = match value["model_type"].as_str() {
            Some("bert") => YEncoderKind::Bert,
            Some("gemma3_text") => YEncoderKind::Gemma3,
            Some("qwen3") => YEncoderKind::Qwen3,
            found => {
                let found = found.unwrap_or("missing");
                return Check("text encoder")
                    .fail(format!("`model_type` is {found}, supported: bert, gemma3_text, qwen3"));
            }
        };
        let config = Self::from_value(kind, value)?;
        config.validate()?;
        Ok(config)
    }

    /// The architecture.
    pub fn kind(&self) -> YEncoderKind {
        match self {
            Self::Bert(_) => YEncoderKind::Bert,
            Self::Gemma3(_) => YEncoderKind::Gemma3,
            Self::Qwen3(_) => YEncoderKind::Qwen3,
        }
    }

    /// How the published encoders of this architecture pool.
    pub fn default_pooling(&self) -> Pooling {
        match self {
            Self::Bert(_) | Self::Gemma3(_) => Pooling::Mean,
            Self::Qwen3(_) => Pooling::Last,
        }
    }

    /// Width.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::Bert(c) => c.hidden_size,
            Self::Gemma3(c) => c.hidden_size,
            Self::Qwen3(c) => c.hidden_size,
        }
    }

    /// Depth.
    pub fn num_hidden_layers(&self) -> usize {
        match self {
            Self::Bert(c) => c.num_hidden_layers,
            Self::Gemma3(c) => c.num_hidden_layers,
            Self::Qwen3(c) => c.num_hidden_layers,
        }
    }

    /// Rows of the token embedding.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Bert(c) => c.vocab_size,
            Self::Gemma3(c) => c.vocab_size,
            Self::Qwen3(c) => c.vocab_size,
        }
    }

    /// Longest text, in tokens.
    pub fn max_position_embeddings(&self) -> usize {
        match self {
            Self::Bert(c) => c.max_position_embeddings,
            Self::Gemma3(c) => c.max_position_embeddings,
            Self::Qwen3(c) => c.max_position_embeddings,
        }
    }

    /// Token that fills short rows, which never changes a result: the file's, else what the architecture's tokenizer
    /// pads with (Qwen 3: `<|endoftext|>`), else 0.
    pub fn pad_token_id(&self) -> u32 {
        const QWEN3_END_OF_TEXT: u32 = 151_643;
        match self {
            Self::Bert(c) => c.pad_token_id.unwrap_or(0),
            Self::Gemma3(c) => c.pad_token_id,
            Self::Qwen3(c) => {
                let known = if c.vocab_size > QWEN3_END_OF_TEXT as usize { QWEN3_END_OF_TEXT } else { 0 };
                c.pad_token_id.unwrap_or(known)
            }
        }
    }

    /// The tensors under the checkpoint's names.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        match self {
            Self::Bert(c) => c.tensors(),
            Self::Gemma3(c) => c.tensors(),
            Self::Qwen3(c) => c.tensors(),
        }
    }

    /// Starts of the names of tensors that checkpoints carry and that loading skips.
    pub fn ignored(&self) -> &'static [&'static str] {
        match self {
            Self::Bert(_) => BertConfig::IGNORED,
            Self::Gemma3(_) | Self::Qwen3(_) => &["lm_head."],
        }
    }

    /// Check the configuration of the architecture.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Bert(c) => c.validate(),
            Self::Gemma3(c) => c.validate(),
            Self::Qwen3(c) => c.validate(),
        }
    }
}

impl YEncoderConfig {
    /// An encoder pooled as it was trained, without heads or prompt, texts of up to 512 tokens or what it can take.
    pub fn new(config: TextEncoderConfig) -> Self {
        Self {
            pooling: config.default_pooling(),
            max_target_tokens: super::vljepa::default_text_tokens().min(config.max_position_embeddings()),
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

    /// Check the encoder and that what follows it fits.
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
