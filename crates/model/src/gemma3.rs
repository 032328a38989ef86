//! Gemma 3, the backbone of EmbeddingGemma, as a Y-Encoder.

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

/// How far a layer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttentionKind {
    /// The tokens within the window, rotated with the local base.
    #[serde(rename = "sliding_attention")]
    Sliding,
    /// Every token, rotated with the global base.
    #[serde(rename = "full_attention")]
    Full,
}

/// `config.json` of `Gemma3TextModel`. A key that is absent takes the reference's default; others are ignored. The
/// rotary settings are read from either spelling (`rope_theta` with `rope_local_base_freq`, or `rope_parameters` by
/// kind of layer) and written as `rope_parameters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawGemma3", into = "RawGemma3")]
pub struct Gemma3Config {
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
    /// Channels of one head.
    pub head_dim: usize,
    /// `gelu_pytorch_tanh`.
    pub hidden_activation: String,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Standard deviation at initialisation.
    pub initializer_range: f64,
    /// Scores are divided by the square root of this, not of the head dimension.
    pub query_pre_attn_scalar: f64,
    /// The window as the file says it; [`attention_window`](Self::attention_window) is what a layer sees.
    pub sliding_window: usize,
    /// Kind of each layer.
    pub layer_types: Vec<AttentionKind>,
    /// Whether a token sees those after it (EmbeddingGemma).
    pub use_bidirectional_attention: bool,
    /// Base of the rotary frequencies in full layers.
    pub rope_global: Rope,
    /// Base of the rotary frequencies in sliding layers.
    pub rope_local: Rope,
    /// Token that fills short rows.
    pub pad_token_id: u32,
    /// Element type of the published weights, to which the factor of the embedding is rounded.
    pub dtype: Option<String>,
}

/// The keys as they stand in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct RawGemma3 {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    hidden_activation: String,
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    initializer_range: f64,
    query_pre_attn_scalar: f64,
    sliding_window: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_types: Option<Vec<AttentionKind>>,
    #[serde(alias = "_sliding_window_pattern", skip_serializing_if = "Option::is_none")]
    sliding_window_pattern: Option<usize>,
    use_bidirectional_attention: Option<bool>,
    attention_bias: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attn_logit_softcapping: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_local_base_freq: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_scaling: Option<RawRope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RawRopes>,
    pad_token_id: Option<u32>,
    #[serde(alias = "torch_dtype", skip_serializing_if = "Option::is_none")]
    dtype: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct RawRopes {
    full_attention: RawRope,
    sliding_attention: RawRope,
}

impl Default for RawGemma3 {
    fn default() -> Self {
        Self {
            model_type: Some("gemma3_text".into()),
            vocab_size: 262_208,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 256,
            hidden_activation: "gelu_pytorch_tanh".into(),
            rms_norm_eps: 1e-6,
            max_position_embeddings: 131_072,
            initializer_range: 0.02,
            query_pre_attn_scalar: 256.0,
            sliding_window: Some(4096),
            layer_types: None,
            sliding_window_pattern: None,
            use_bidirectional_attention: Some(false),
            attention_bias: false,
            attn_logit_softcapping: None,
            rope_theta: None,
            rope_local_base_freq: None,
            rope_scaling: None,
            rope_parameters: None,
            pad_token_id: Some(0),
            dtype: None,
        }
    }
}

impl TryFrom<RawGemma3> for Gemma3Config {
    type Error = ModelError;

    fn try_from(raw: RawGemma3) -> Result<Self> {
        let c = Check("gemma3");
        c.model_type(raw.model_type.as_deref(), "gemma3_text")?;
        if raw.attention_bias {
            return c.fail("`attention_bias` must be false: biased attention is not supported".into());
        }
        if raw.attn_logit_softcapping.is_some() {
            return c.fail("`attn_logit_softcapping` must be null: capped scores are not supported".into());
        }
        c.size("num_hidden_layers", raw.num_hidden_layers, MAX_LAYERS)?;
        let pattern = raw.sliding_window_pattern.unwrap_or(6);
        c.size("sliding_window_pattern", pattern, MAX_LAYERS)?;
        let by_pattern = |i: usize| match (i + 1) % pattern {
            0 => AttentionKind::Full,
            _ => AttentionKind::Sliding,
        };
        let ropes = raw.rope_parameters.unwrap_or_default();
        // `rope_scaling` of the older spelling is about the full layers alone.
        let global = raw.rope_scaling.unwrap_or(ropes.full_attention);
        Ok(Self {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            num_key_value_heads: raw.num_key_value_heads,
            head_dim: raw.head_dim,
            hidden_activation: raw.hidden_activation,
            rms_norm_eps: raw.rms_norm_eps,
            max_position_embeddings: raw.max_position_embeddings,
            initializer_range: raw.initializer_range,
            query_pre_attn_scalar: raw.query_pre_attn_scalar,
            sliding_window: raw.sliding_window.unwrap_or(4096),
            layer_types: raw.layer_types.unwrap_or_else(|| (0..raw.num_hidden_layers).map(by_pattern).collect()),
            use_bidirectional_attention: raw.use_bidirectional_attention.unwrap_or(false),
            rope_global: global.resolve("gemma3", raw.rope_theta.unwrap_or(1e6), false)?,
            rope_local: ropes.sliding_attention.resolve("gemma3", raw.rope_local_base_freq.unwrap_or(1e4), false)?,
            pad_token_id: raw.pad_token_id.unwrap_or(0),
            dtype: raw.dtype,
        })
    }
}

impl From<Gemma3Config> for RawGemma3 {
    fn from(c: Gemma3Config) -> Self {
        Self {
            vocab_size: c.vocab_size,
            hidden_size: c.hidden_size,
            intermediate_size: c.intermediate_size,
            num_hidden_layers: c.num_hidden_layers,
            num_attention_heads: c.num_attention_heads,
            num_key_value_heads: c.num_key_value_heads,
            head_dim: c.head_dim,
            hidden_activation: c.hidden_activation,
            rms_norm_eps: c.rms_norm_eps,
            max_position_embeddings: c.max_position_embeddings,
            initializer_range: c.initializer_range,
            query_pre_attn_scalar: c.query_pre_attn_scalar,
            sliding_window: Some(c.sliding_window),
            layer_types: Some(c.layer_types),
            use_bidirectional_attention: Some(c.use_bidirectional_attention),
            rope_parameters: Some(RawRopes {
                full_attention: c.rope_global.into(),
                sliding_attention: c.rope_local.into(),
            }),
            pad_token_id: Some(c.pad_token_id),
            dtype: c.dtype,
            ..Self::default()
        }
    }
}

impl Gemma3Config {
    /// EmbeddingGemma-300M (arXiv 2509.20354).
    pub fn embedding_gemma_300m() -> Self {
        let kind = |i: usize| if (i + 1).is_multiple_of(6) { AttentionKind::Full } else { AttentionKind::Sliding };
        Self {
            vocab_size: 262_144,
            hidden_size: 768,
            intermediate_size: 1152,
            num_hidden_layers: 24,
            num_attention_heads: 3,
            num_key_value_heads: 1,
            head_dim: 256,
            hidden_activation: "gelu_pytorch_tanh".into(),
            rms_norm_eps: 1e-6,
            max_position_embeddings: 2048,
            initializer_range: 0.02,
            query_pre_attn_scalar: 256.0,
            sliding_window: 512,
            layer_types: (0..24).map(kind).collect(),
            use_bidirectional_attention: true,
            rope_global: Rope::plain(1e6),
            rope_local: Rope::plain(1e4),
            pad_token_id: 0,
            dtype: Some("float32".into()),
        }
    }

    /// Parses a `config.json` and [`validate`](Self::validate)s it.
    ///
    /// # Errors
    /// [`ModelError::Config`], with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::of_raw(parse("gemma3", json)?)
    }

    /// [`from_json`](Self::from_json) of JSON that is parsed already.
    ///
    /// # Errors
    /// [`ModelError::Config`].
    pub fn from_value(json: &Value) -> Result<Self> {
        Self::of_raw(parse_value("gemma3", json)?)
    }

    fn of_raw(raw: RawGemma3) -> Result<Self> {
        let config = Self::try_from(raw)?;
        config.validate()?;
        Ok(config)
    }

    /// Exclusive distance at which a token of a sliding layer is seen: token i sees j where |i − j| is below it.
    ///
    /// Under bidirectional attention the file's number is the whole width, of which half lies on each side: 512 → 257.
    /// transformers writes the width, which then is even; an odd number was written by versions that saved what they
    /// had already halved, and stays as it is: 257 → 257.
    pub fn attention_window(&self) -> usize {
        match self.use_bidirectional_attention && self.sliding_window.is_multiple_of(2) {
            true => self.sliding_window / 2 + 1,
            false => self.sliding_window,
        }
    }

    /// What token embeddings are multiplied by: √width, rounded to [`dtype`](Self::dtype) as the reference does (√768
    /// is 27.7128 in f32 and 27.75 in bf16).
    pub fn embedding_scale(&self) -> f32 {
        let scale = (self.hidden_size as f64).sqrt();
        match self.dtype.as_deref() {
            Some("bfloat16") => half::bf16::from_f64(scale).to_f32(),
            Some("float16") => half::f16::from_f64(scale).to_f32(),
            _ => scale as f32,
        }
    }

    /// Checks sizes, divisibility and that nothing unsupported is asked for.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the key at fault.
    pub fn validate(&self) -> Result<()> {
        let c = Check("gemma3");
        c.size("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS)?;
        if self.layer_types.len() != self.num_hidden_layers {
            let (types, layers) = (self.layer_types.len(), self.num_hidden_layers);
            return c.fail(format!("`layer_types` names {types} layers, `num_hidden_layers` is {layers}"));
        }
        self.decoder().check(&c, self.vocab_size)?;
        c.size("max_position_embeddings", self.max_position_embeddings, 1 << 30)?;
        c.size("sliding_window", self.sliding_window, 1 << 30)?;
        c.number("query_pre_attn_scalar", self.query_pre_attn_scalar, 0.0, 1e6)?;
        c.number("initializer_range", self.initializer_range, 0.0, 10.0)?;
        c.one_of("hidden_activation", &self.hidden_activation, &["gelu_pytorch_tanh"])?;
        if let Some(dtype) = &self.dtype {
            c.one_of("dtype", dtype, &["float32", "bfloat16", "float16"])?;
        }
        if self.pad_token_id as usize >= self.vocab_size {
            let (id, n) = (self.pad_token_id, self.vocab_size);
            return c.fail(format!("`pad_token_id` is {id}, outside the vocabulary of {n}"));
        }
        c.parameters(&self.tensors())
    }

    /// Tensors under the names of the sentence-transformers file, which have no `model.` before them.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        self.decoder().tensors("", self.vocab_size)
    }

    /// Parameters of the backbone.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.tensors())
    }

    fn decoder(&self) -> DecoderSpec {
        let layer = |kind: &AttentionKind| match kind {
            AttentionKind::Sliding => DecoderLayerSpec { rope: self.rope_local, window: Some(self.attention_window()) },
            AttentionKind::Full => DecoderLayerSpec { rope: self.rope_global, window: None },
        };
        DecoderSpec {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            rms_norm_eps: self.rms_norm_eps,
            norm: NormWeight::OnePlus,
            activation: Activation::GeluTanh,
            scale: Some(self.query_pre_attn_scalar.powf(-0.5) as f32),
            qk_norm: true,
            sandwich: true,
            causal: !self.use_bidirectional_attention,
            layers: self.layer_types.iter().map(layer).collect(),
        }
    }

    /// The encoder, from parameters named `{prefix}embed_tokens.weight`, `{prefix}layers.{i}.…`, `{prefix}norm.weight`.
    fn encoder(&self, b: &mut Builder<'_>, prefix: &str) -> Result<DecoderEncoder> {
        let sizes = DecoderSizes {
            vocab_size: self.vocab_size,
            max_tokens: self.max_position_embeddings,
            embedding_scale: self.embedding_scale(),
        };
        DecoderEncoder::new(b, prefix, self.decoder(), sizes)
    }
}

impl Architecture for Gemma3Config {
    fn facts() -> &'static Facts {
        &Facts {
            title: "Gemma 3",
            model_type: "gemma3_text",
            pooling: Pooling::Mean,
            // As EmbeddingGemma frames; files of the language models add `<bos>` alone.
            special_tokens: SpecialTokens::Around { before: &["<bos>"], after: &["<eos>"] },
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
        self.pad_token_id
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

impl DecoderEncoder {
    /// Gemma 3 alone, from parameters named `{prefix}embed_tokens.weight` and so on;
    /// [`checkpoint_prefix`](crate::checkpoint_prefix) finds the prefix of a published file.
    ///
    /// # Errors
    /// An invalid configuration, and what the source reports.
    pub fn load_gemma3(
        device: &Device,
        config: &Gemma3Config,
        source: &mut dyn ParamSource,
        prefix: &str,
    ) -> Result<Self> {
        config.validate()?;
        config.encoder(&mut Builder::new(device, source), prefix)
    }
}
