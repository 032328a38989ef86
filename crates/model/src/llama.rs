//! Llama, whose blocks make the Predictor: its configuration, and any slice of its layers, causal or not.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vljepa_tensor::autograd::Var;
use vljepa_tensor::ops::NormWeight;
use vljepa_tensor::{Activation, Device, Tensor};

use crate::decoder::{DecoderLayerSpec, DecoderLayers, DecoderSpec};
use crate::error::{ModelError, Result};
use crate::param::{Builder, Forward, Param, ParamSource};
use crate::rope::{Llama3Scaling, RawRope, Rope};
use crate::spec::{Check, MAX_LAYERS, MAX_WIDTH, TensorSpec, parameter_count, parse, parse_value};
use crate::tokenizer::SpecialTokens;

/// `config.json` of `LlamaModel`. A key that is absent takes the reference's default (Llama 7B); others are ignored.
/// The rotary settings are read from either spelling (`rope_theta` with `rope_scaling`, or `rope_parameters`) and
/// written as `rope_parameters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawLlama", into = "RawLlama")]
pub struct LlamaConfig {
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
    /// Key/value heads; query head q reads head q div (query heads / key heads).
    pub num_key_value_heads: usize,
    /// Channels of one head.
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
}

/// The keys as they stand in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct RawLlama {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    hidden_act: String,
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    initializer_range: f64,
    tie_word_embeddings: bool,
    attention_bias: bool,
    mlp_bias: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_scaling: Option<RawRope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RawRope>,
}

impl Default for RawLlama {
    fn default() -> Self {
        Self {
            model_type: Some("llama".into()),
            vocab_size: 32_000,
            hidden_size: 4096,
            intermediate_size: 11_008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: "silu".into(),
            rms_norm_eps: 1e-6,
            max_position_embeddings: 2048,
            initializer_range: 0.02,
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
        }
    }
}

impl TryFrom<RawLlama> for LlamaConfig {
    type Error = ModelError;

    fn try_from(raw: RawLlama) -> Result<Self> {
        let c = Check("llama");
        c.model_type(raw.model_type.as_deref(), "llama")?;
        if raw.attention_bias || raw.mlp_bias {
            return c
                .fail("`attention_bias` and `mlp_bias` must be false: biased Llama blocks are not supported".into());
        }
        let heads = raw.num_attention_heads;
        c.size("num_attention_heads", heads, MAX_WIDTH)?;
        let head_dim = match raw.head_dim {
            Some(d) => d,
            None => {
                c.divides("num_attention_heads", heads, "hidden_size", raw.hidden_size)?;
                raw.hidden_size / heads
            }
        };
        // The newer spelling wins, as in the reference.
        let settings = raw.rope_parameters.or(raw.rope_scaling).unwrap_or_default();
        let rope = settings.resolve("llama", raw.rope_theta.unwrap_or(10_000.0), true)?;
        Ok(Self {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: raw.num_key_value_heads.unwrap_or(heads),
            head_dim,
            hidden_act: raw.hidden_act,
            rms_norm_eps: raw.rms_norm_eps,
            max_position_embeddings: raw.max_position_embeddings,
            initializer_range: raw.initializer_range,
            tie_word_embeddings: raw.tie_word_embeddings,
            rope,
        })
    }
}

impl From<LlamaConfig> for RawLlama {
    fn from(c: LlamaConfig) -> Self {
        Self {
            model_type: Some("llama".into()),
            vocab_size: c.vocab_size,
            hidden_size: c.hidden_size,
            intermediate_size: c.intermediate_size,
            num_hidden_layers: c.num_hidden_layers,
            num_attention_heads: c.num_attention_heads,
            num_key_value_heads: Some(c.num_key_value_heads),
            head_dim: Some(c.head_dim),
            hidden_act: c.hidden_act,
            rms_norm_eps: c.rms_norm_eps,
            max_position_embeddings: c.max_position_embeddings,
            initializer_range: c.initializer_range,
            tie_word_embeddings: c.tie_word_embeddings,
            attention_bias: false,
            mlp_bias: false,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: Some(c.rope.into()),
        }
    }
}

impl LlamaConfig {
    /// Llama-3.2-1B, whose last eight layers are the paper's Predictor.
    pub fn llama_3_2_1b() -> Self {
        Self {
            vocab_size: 128_256,
            hidden_size: 2048,
            intermediate_size: 8192,
            num_hidden_layers: 16,
            num_attention_heads: 32,
            num_key_value_heads: 8,
            head_dim: 64,
            hidden_act: "silu".into(),
            rms_norm_eps: 1e-5,
            max_position_embeddings: 131_072,
            initializer_range: 0.02,
            tie_word_embeddings: true,
            rope: Rope {
                theta: 500_000.0,
                scaling: Some(Llama3Scaling {
                    factor: 32.0,
                    low_freq_factor: 1.0,
                    high_freq_factor: 4.0,
                    original_max_position_embeddings: 8192,
                }),
            },
        }
    }

    /// `<|begin_of_text|>` before a text, as Llama 3 reads it, whatever the tokenizer's file says.
    pub const SPECIAL_TOKENS: SpecialTokens = SpecialTokens::Around { before: &["<|begin_of_text|>"], after: &[] };

    /// Parses a `config.json` and [`validate`](Self::validate)s it.
    ///
    /// # Errors
    /// [`ModelError::Config`], with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::of_raw(parse("llama", json)?)
    }

    /// [`from_json`](Self::from_json) of JSON that is parsed already.
    ///
    /// # Errors
    /// [`ModelError::Config`].
    pub fn from_value(json: &Value) -> Result<Self> {
        Self::of_raw(parse_value("llama", json)?)
    }

    fn of_raw(raw: RawLlama) -> Result<Self> {
        let config = Self::try_from(raw)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks sizes, divisibility and that nothing unsupported is asked for.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the key at fault.
    pub fn validate(&self) -> Result<()> {
        let c = Check("llama");
        c.size("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS)?;
        self.decoder(true).check(&c, self.vocab_size)?;
        c.size("max_position_embeddings", self.max_position_embeddings, 1 << 30)?;
        c.number("initializer_range", self.initializer_range, 0.0, 10.0)?;
        c.one_of("hidden_act", &self.hidden_act, &["silu"])?;
        c.parameters(&self.tensors())
    }

    /// Tensors of the whole model under the checkpoint's names (`model.…`; the output layer is tied).
    pub fn tensors(&self) -> Vec<TensorSpec> {
        self.decoder(true).tensors("model.", self.vocab_size)
    }

    /// Tensors of some of the layers.
    pub fn layer_tensors(&self, layers: Range<usize>) -> Vec<TensorSpec> {
        self.decoder(true).layer_tensors("model.", layers)
    }

    /// The stack of layers, with or without the causal mask.
    pub(crate) fn decoder(&self, causal: bool) -> DecoderSpec {
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
            qk_norm: false,
            sandwich: false,
            causal,
            layers: vec![DecoderLayerSpec { rope: self.rope, window: None }; self.num_hidden_layers],
        }
    }

    /// Parameters of the whole model.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.tensors())
    }
}

/// A stack of Llama layers with an optional final norm.
#[derive(Clone, Debug)]
pub struct LlamaLayers(DecoderLayers);

impl LlamaLayers {
    /// Builds layers named `{prefix}.layers.{i}.…`, i from `first`, and `{prefix}.norm` when `final_norm`.
    pub(crate) fn new(
        b: &mut Builder<'_>,
        prefix: &str,
        config: &LlamaConfig,
        layers: Range<usize>,
        causal: bool,
        final_norm: bool,
    ) -> Result<Self> {
        let spec = config.decoder(causal);
        Ok(LlamaLayers(DecoderLayers::new(b, &format!("{prefix}."), spec, layers, final_norm)?))
    }

    /// Some layers alone, from parameters named `{prefix}.layers.{i}.…` (`model` in the published files).
    ///
    /// # Errors
    /// When the slice is empty or ends beyond the model, and what the source reports.
    pub fn load(
        device: &Device,
        config: &LlamaConfig,
        source: &mut dyn ParamSource,
        prefix: &str,
        layers: Range<usize>,
        causal: bool,
        final_norm: bool,
    ) -> Result<Self> {
        config.validate()?;
        Self::new(&mut Builder::new(device, source), prefix, config, layers, causal, final_norm)
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    /// Runs the layers on embeddings `[B, N, D]`; positions count from 0. `key_mask` `[B, N]` (u32) is 0 for padding,
    /// which no token attends to.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, f: &Forward, x: &Var, key_mask: Option<&Tensor>) -> Result<Var> {
        self.0.run(f, x, key_mask, |_| ())
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.0.collect(out);
    }
}
