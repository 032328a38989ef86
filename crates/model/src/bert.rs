//! BERT, the Y-Encoder of the compact model (all-MiniLM-L6-v2; names of `BertModel`, without the pooler).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::Attention;
use vljepa_tensor::{Activation, Device, Tensor};

use crate::error::Result;
use crate::layers::{LayerNorm, Linear, chunked};
use crate::param::{Builder, Forward, Param, ParamSource};
use crate::spec::{Check, MAX_LAYERS, MAX_ROWS, MAX_WIDTH, Specs, TensorSpec, parameter_count, parse, parse_value};
use crate::text::Tokens;
use crate::text_encoder::{Architecture, Facts, Pooling, TextEncoder};
use crate::tokenizer::SpecialTokens;

/// `config.json` of `BertModel`. A key that is absent takes the reference's default (BERT base); others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// `bert`.
    pub model_type: Option<String>,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// `gelu`, the exact erf form.
    pub hidden_act: String,
    /// Learned positions, the longest input.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding; row 0 is used.
    pub type_vocab_size: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Dropout on hidden states, training only.
    pub hidden_dropout_prob: f64,
    /// Dropout on attention probabilities, training only.
    pub attention_probs_dropout_prob: f64,
    /// Standard deviation at initialisation.
    pub initializer_range: f64,
    /// Token that fills short rows.
    pub pad_token_id: Option<u32>,
    /// `absolute`.
    pub position_embedding_type: String,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            model_type: Some("bert".into()),
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            initializer_range: 0.02,
            pad_token_id: Some(0),
            position_embedding_type: "absolute".into(),
        }
    }
}

impl BertConfig {
    /// all-MiniLM-L6-v2.
    pub fn minilm_l6() -> Self {
        Self { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536, ..Self::default() }
    }

    /// Parses a `config.json` and [`validate`](Self::validate)s it.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config), with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse("bert", json)?;
        config.validate()?;
        Ok(config)
    }

    /// [`from_json`](Self::from_json) of JSON that is parsed already.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config).
    pub fn from_value(json: &Value) -> Result<Self> {
        let config: Self = parse_value("bert", json)?;
        config.validate()?;
        Ok(config)
    }

    /// Channels of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Checks sizes, divisibility and that nothing unsupported is asked for.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config) with the key at fault.
    pub fn validate(&self) -> Result<()> {
        let c = Check("bert");
        c.model_type(self.model_type.as_deref(), "bert")?;
        c.size("vocab_size", self.vocab_size, MAX_ROWS)?;
        c.size("hidden_size", self.hidden_size, MAX_WIDTH)?;
        c.size("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS)?;
        c.size("num_attention_heads", self.num_attention_heads, self.hidden_size)?;
        c.size("intermediate_size", self.intermediate_size, MAX_WIDTH)?;
        c.size("max_position_embeddings", self.max_position_embeddings, MAX_ROWS)?;
        c.size("type_vocab_size", self.type_vocab_size, 1 << 10)?;
        c.divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        c.number("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0)?;
        c.number("initializer_range", self.initializer_range, 0.0, 10.0)?;
        for (key, p) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&p) {
                return c.fail(format!("`{key}` is {p}, must be in 0..1"));
            }
        }
        c.one_of("hidden_act", &self.hidden_act, &["gelu"])?;
        c.one_of("position_embedding_type", &self.position_embedding_type, &["absolute"])?;
        if let Some(pad) = self.pad_token_id
            && pad as usize >= self.vocab_size
        {
            return c.fail(format!("`pad_token_id` is {pad}, outside the vocabulary of {}", self.vocab_size));
        }
        c.parameters(&self.tensors())
    }

    /// Tensors under the names of `BertModel`, without the pooler, which nothing here uses.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let d = self.hidden_size;
        s.add("embeddings.word_embeddings.weight", &[self.vocab_size, d]);
        s.add("embeddings.position_embeddings.weight", &[self.max_position_embeddings, d]);
        s.add("embeddings.token_type_embeddings.weight", &[self.type_vocab_size, d]);
        s.layer_norm("embeddings.LayerNorm", d);
        for i in 0..self.num_hidden_layers {
            let name = format!("encoder.layer.{i}");
            for part in ["query", "key", "value"] {
                s.linear(&format!("{name}.attention.self.{part}"), d, d, true);
            }
            s.linear(&format!("{name}.attention.output.dense"), d, d, true);
            s.layer_norm(&format!("{name}.attention.output.LayerNorm"), d);
            s.linear(&format!("{name}.intermediate.dense"), d, self.intermediate_size, true);
            s.linear(&format!("{name}.output.dense"), self.intermediate_size, d, true);
            s.layer_norm(&format!("{name}.output.LayerNorm"), d);
        }
        s.0
    }

    /// Tensors that BERT checkpoints carry and that loading skips.
    pub const IGNORED: &'static [&'static str] = &["pooler.", "embeddings.position_ids", "cls."];

    /// Parameters, without the pooler.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.tensors())
    }
}

impl Architecture for BertConfig {
    fn facts() -> &'static Facts {
        &Facts {
            title: "BERT",
            model_type: "bert",
            pooling: Pooling::Mean,
            special_tokens: SpecialTokens::Template,
            token_embedding: "embeddings.word_embeddings.weight",
            prefix: "bert.",
            ignored: Self::IGNORED,
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
        self.hidden_size
    }

    fn pad_token_id(&self) -> u32 {
        self.pad_token_id.unwrap_or(0)
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        self.tensors()
    }

    fn validate(&self) -> Result<()> {
        self.validate()
    }

    fn build(&self, b: &mut Builder<'_>, prefix: &str) -> Result<Arc<dyn TextEncoder>> {
        Ok(Arc::new(Bert::new(b, prefix, self)?))
    }
}

#[derive(Clone, Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

/// BERT without its pooler: token ids to token vectors.
#[derive(Clone, Debug)]
pub struct Bert {
    config: BertConfig,
    activation: Activation,
    word_embeddings: Param,
    position_embeddings: Param,
    token_type_embeddings: Param,
    embeddings_norm: LayerNorm,
    layer: Vec<Layer>,
}

impl Layer {
    fn new(b: &mut Builder<'_>, name: &str, c: &BertConfig) -> Result<Self> {
        let (d, m, eps) = (c.hidden_size, c.intermediate_size, c.layer_norm_eps);
        Ok(Layer {
            query: Linear::new(b, &format!("{name}.attention.self.query"), d, d, true)?,
            key: Linear::new(b, &format!("{name}.attention.self.key"), d, d, true)?,
            value: Linear::new(b, &format!("{name}.attention.self.value"), d, d, true)?,
            attention_output: Linear::new(b, &format!("{name}.attention.output.dense"), d, d, true)?,
            attention_norm: LayerNorm::new(b, &format!("{name}.attention.output.LayerNorm"), d, eps)?,
            intermediate: Linear::new(b, &format!("{name}.intermediate.dense"), d, m, true)?,
            output: Linear::new(b, &format!("{name}.output.dense"), m, d, true)?,
            output_norm: LayerNorm::new(b, &format!("{name}.output.LayerNorm"), d, eps)?,
        })
    }

    fn forward(&self, f: &Forward, x: &Var, attention: &Attention<'_>, activation: Activation) -> Result<Var> {
        let (q, k, v) = (self.query.forward(f, x)?, self.key.forward(f, x)?, self.value.forward(f, x)?);
        let mixed = autograd::attention(&q, &k, &v, attention)?;
        let x = self.attention_norm.forward(f, &autograd::add(x, &self.attention_output.forward(f, &mixed)?)?)?;
        let h = chunked(f, &x, self.intermediate.outputs(), |x| {
            self.output.forward(f, &autograd::activate(&self.intermediate.forward(f, x)?, activation)?)
        })?;
        self.output_norm.forward(f, &autograd::add(&x, &h)?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        for linear in [&self.query, &self.key, &self.value, &self.attention_output] {
            linear.collect(out);
        }
        self.attention_norm.collect(out);
        self.intermediate.collect(out);
        self.output.collect(out);
        self.output_norm.collect(out);
    }
}

impl Bert {
    /// Builds the encoder from parameters named `{prefix}embeddings.…` and `{prefix}encoder.layer.{i}.…`.
    pub(crate) fn new(b: &mut Builder<'_>, prefix: &str, config: &BertConfig) -> Result<Self> {
        let (c, d) = (config, config.hidden_size);
        let name = format!("{prefix}embeddings");
        Ok(Bert {
            activation: match c.hidden_act.as_str() {
                "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
                _ => Activation::Gelu,
            },
            word_embeddings: b.matrix(format!("{name}.word_embeddings.weight"), &[c.vocab_size, d])?.into_table(),
            position_embeddings: b
                .param(format!("{name}.position_embeddings.weight"), &[c.max_position_embeddings, d])?
                .into_table(),
            token_type_embeddings: b
                .param(format!("{name}.token_type_embeddings.weight"), &[c.type_vocab_size, d])?
                .into_table(),
            embeddings_norm: LayerNorm::new(b, &format!("{name}.LayerNorm"), d, c.layer_norm_eps)?,
            layer: (0..c.num_hidden_layers)
                .map(|i| Layer::new(b, &format!("{prefix}encoder.layer.{i}"), c))
                .collect::<Result<_>>()?,
            config: c.clone(),
        })
    }

    /// The encoder alone, from parameters named `{prefix}embeddings.…` and `{prefix}encoder.layer.{i}.…`.
    ///
    /// # Errors
    /// What the source reports.
    pub fn load(device: &Device, config: &BertConfig, source: &mut dyn ParamSource, prefix: &str) -> Result<Self> {
        config.validate()?;
        Self::new(&mut Builder::new(device, source), prefix, config)
    }
}

impl TextEncoder for Bert {
    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn max_tokens(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn forward(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        self.check(tokens)?;
        let c = &self.config;
        let (_, len) = tokens.shape();
        let device = tokens.ids().device();
        let places: Vec<u32> = (0..len as u32).collect();
        let places = Tensor::from_u32(device, &[len], &places)?;
        let positions = autograd::gather_rows(&f.var(&self.position_embeddings), &places)?;
        let first = Tensor::from_u32(device, &[1], &[0])?;
        let kinds = autograd::gather_rows(&f.var(&self.token_type_embeddings), &first)?.reshape(&[c.hidden_size])?;
        let x = autograd::add(&autograd::add(&self.words(f, tokens)?, &positions)?, &kinds)?;
        let mut x = self.embeddings_norm.forward(f, &x)?;
        let attention = Attention::new(c.num_attention_heads).key_mask(Some(tokens.mask()));
        for layer in &self.layer {
            x = layer.forward(f, &x, &attention, self.activation)?;
        }
        Ok(x)
    }

    fn words(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        self.check_ids(tokens)?;
        let (batch, len) = tokens.shape();
        let words = autograd::gather_rows(&f.var(&self.word_embeddings), tokens.ids())?;
        Ok(words.reshape(&[batch, len, self.config.hidden_size])?)
    }

    fn word_table(&self) -> Option<&Param> {
        Some(&self.word_embeddings)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.word_embeddings, &self.position_embeddings, &self.token_type_embeddings]);
        self.embeddings_norm.collect(out);
        for layer in &self.layer {
            layer.collect(out);
        }
    }
}
