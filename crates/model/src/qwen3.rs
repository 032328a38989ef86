//! Qwen 3, the backbone of Qwen3-Embedding, as a Y-Encoder.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vljepa_tensor::ops::NormWeight;
use vljepa_tensor::{Activation, Device};

use crate::decoder::{DecoderLayerSpec, DecoderSpec};
use crate::decoder_encoder::{DecoderEncoder, DecoderSizes};
use crate::error::{ModelError, Result};
use crate::param::{Builder, ParamSource};
use crate::rope::{RawRope, Rope};
use crate::spec::{Check, MAX_LAYERS, TensorSpec, parameter_count, parse, parse_value};
use crate::text_encoder::{Architecture, Facts, Pooling, TextEncoder};
use crate::tokenizer::SpecialTokens;

/// `config.json` of `Qwen3Model`. A key that is absent takes the reference's default; others are ignored. The rotary
/// base is read from either spelling (`rope_theta`, or `rope_parameters`) and written as `rope_parameters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawQwen3", into = "RawQwen3")]
pub struct Qwen3Config {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Inner width of the gated MLP.
    pub intermediate_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads.
    pub num_key_value_heads: usize,
    /// Channels of one head; heads × this may differ from the width.
    pub head_dim: usize,
    /// `silu`.
    pub hidden_act: String,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Standard deviation at initialisation.
    pub initializer_range: f64,
    /// Whether the output layer shares the token embedding.
    pub tie_word_embeddings: bool,
    /// Rotary embedding.
    pub rope: Rope,
    /// Token that fills short rows.
    pub pad_token_id: Option<u32>,
}

/// The keys as they stand in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct RawQwen3 {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: usize,
    hidden_act: String,
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    initializer_range: f64,
    tie_word_embeddings: bool,
    attention_bias: bool,
    use_sliding_window: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_scaling: Option<RawRope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RawRope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pad_token_id: Option<u32>,
}

impl Default for RawQwen3 {
    fn default() -> Self {
        Self {
            model_type: Some("qwen3".into()),
            vocab_size: 151_936,
            hidden_size: 4096,
            intermediate_size: 22_016,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: Some(32),
            head_dim: 128,
            hidden_act: "silu".into(),
            rms_norm_eps: 1e-6,
            max_position_embeddings: 32_768,
            initializer_range: 0.02,
            tie_word_embeddings: false,
            attention_bias: false,
            use_sliding_window: false,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
            pad_token_id: None,
        }
    }
}

impl TryFrom<RawQwen3> for Qwen3Config {
    type Error = ModelError;

    fn try_from(raw: RawQwen3) -> Result<Self> {
        let c = Check("qwen3");
        c.model_type(raw.model_type.as_deref(), "qwen3")?;
        if raw.attention_bias || raw.use_sliding_window {
            return c.fail("`attention_bias` and `use_sliding_window` must be false: neither is supported".into());
        }
        let settings = raw.rope_parameters.or(raw.rope_scaling).unwrap_or_default();
        Ok(Self {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            num_key_value_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
            head_dim: raw.head_dim,
            hidden_act: raw.hidden_act,
            rms_norm_eps: raw.rms_norm_eps,
            max_position_embeddings: raw.max_position_embeddings,
            initializer_range: raw.initializer_range,
            tie_word_embeddings: raw.tie_word_embeddings,
            rope: settings.resolve("qwen3", raw.rope_theta.unwrap_or(10_000.0), false)?,
            pad_token_id: raw.pad_token_id,
        })
    }
}

impl From<Qwen3Config> for RawQwen3 {
    fn from(c: Qwen3Config) -> Self {
        Self {
            vocab_size: c.vocab_size,
            hidden_size: c.hidden_size,
            intermediate_size: c.intermediate_size,
            num_hidden_layers: c.num_hidden_layers,
            num_attention_heads: c.num_attention_heads,
            num_key_value_heads: Some(c.num_key_value_heads),
            head_dim: c.head_dim,
            hidden_act: c.hidden_act,
            rms_norm_eps: c.rms_norm_eps,
            max_position_embeddings: c.max_position_embeddings,
            initializer_range: c.initializer_range,
            tie_word_embeddings: c.tie_word_embeddings,
            rope_parameters: Some(c.rope.into()),
            pad_token_id: c.pad_token_id,
            ..Self::default()
        }
    }
}

impl Qwen3Config {
    /// Qwen3-Embedding-0.6B.
    pub fn qwen3_embedding_600m() -> Self {
        Self {
            vocab_size: 151_669,
            hidden_size: 1024,
            intermediate_size: 3072,
            num_hidden_layers: 28,
            num_attention_heads: 16,
            num_key_value_heads: 8,
            head_dim: 128,
            hidden_act: "silu".into(),
            rms_norm_eps: 1e-6,
            max_position_embeddings: 32_768,
            initializer_range: 0.02,
            tie_word_embeddings: true,
            rope: Rope::plain(1e6),
            pad_token_id: None,
        }
    }

    /// Parses a `config.json` and [`validate`](Self::validate)s it.
    ///
    /// # Errors
    /// [`ModelError::Config`], with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::of_raw(parse("qwen3", json)?)
    }

    /// [`from_json`](Self::from_json) of JSON that is parsed already.
    ///
    /// # Errors
    /// [`ModelError::Config`].
    pub fn from_value(json: &Value) -> Result<Self> {
        Self::of_raw(parse_value("qwen3", json)?)
    }

    fn of_raw(raw: RawQwen3) -> Result<Self> {
        let config = Self::try_from(raw)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks sizes, divisibility and that nothing unsupported is asked for.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the key at fault.
    pub fn validate(&self) -> Result<()> {
        let c = Check("qwen3");
        c.size("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS)?;
        self.decoder().check(&c, self.vocab_size)?;
        c.size("max_position_embeddings", self.max_position_embeddings, 1 << 30)?;
        c.number("initializer_range", self.initializer_range, 0.0, 10.0)?;
        c.one_of("hidden_act", &self.hidden_act, &["silu"])?;
        if let Some(pad) = self.pad_token_id
            && pad as usize >= self.vocab_size
        {
            return c.fail(format!("`pad_token_id` is {pad}, outside the vocabulary of {}", self.vocab_size));
        }
        c.parameters(&self.tensors())
    }

    /// Tensors under the names of the embedding release, which have no `model.` before them; the output layer is left
    /// out.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        self.decoder().tensors("", self.vocab_size)
    }

    /// Parameters without the output layer.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.tensors())
    }

    fn decoder(&self) -> DecoderSpec {
        DecoderSpec {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            rms_norm_eps: self.rms_norm_eps,
            norm: NormWeight::Plain,
            activation: Activation::Silu,
            scale: None,
            qk_norm: true,
            sandwich: false,
            causal: true,
            layers: vec![DecoderLayerSpec { rope: self.rope, window: None }; self.num_hidden_layers],
        }
    }

    /// The encoder, from parameters named `{prefix}embed_tokens.weight`, `{prefix}layers.{i}.…`, `{prefix}norm.weight`.
    fn encoder(&self, b: &mut Builder<'_>, prefix: &str) -> Result<DecoderEncoder> {
        let sizes = DecoderSizes {
            vocab_size: self.vocab_size,
            max_tokens: self.max_position_embeddings,
            embedding_scale: 1.0,
        };
        DecoderEncoder::new(b, prefix, self.decoder(), sizes)
    }
}

impl Architecture for Qwen3Config {
    fn facts() -> &'static Facts {
        &Facts {
            title: "Qwen 3",
            model_type: "qwen3",
            pooling: Pooling::Last,
            // As Qwen3-Embedding frames; files of the language models add nothing.
            special_tokens: SpecialTokens::Around { before: &[], after: &["<|endoftext|>"] },
            token_embedding: "embed_tokens.weight",
            prefix: "model.",
            ignored: &["lm_head."],
        }
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    fn num_hidden_layers(&self) -> usize {
        self.num_hidden_layers
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn max_position_embeddings(&self) -> usize {
        self.max_position_embeddings
    }

    fn attention_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    fn pad_token_id(&self) -> u32 {
        let known = if self.vocab_size > END_OF_TEXT as usize { END_OF_TEXT } else { 0 };
        self.pad_token_id.unwrap_or(known)
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        self.tensors()
    }

    fn validate(&self) -> Result<()> {
        self.validate()
    }

    fn build(&self, b: &mut Builder<'_>, prefix: &str) -> Result<Arc<dyn TextEncoder>> {
        Ok(Arc::new(self.encoder(b, prefix)?))
    }
}

/// `<|endoftext|>`, with which the tokenizer pads.
const END_OF_TEXT: u32 = 151_643;

impl DecoderEncoder {
    /// Qwen 3 alone; as [`DecoderEncoder::load_gemma3`].
    ///
    /// # Errors
    /// An invalid configuration, and what the source reports.
    pub fn load_qwen3(
        device: &Device,
        config: &Qwen3Config,
        source: &mut dyn ParamSource,
        prefix: &str,
    ) -> Result<Self> {
        config.validate()?;
        config.encoder(&mut Builder::new(device, source), prefix)
    }
}
