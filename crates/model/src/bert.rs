//! BERT, the Y-Encoder of the compact model (all-MiniLM-L6-v2; names of `BertModel`, without the pooler).

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::Attention;
use vljepa_tensor::{Activation, Device, Tensor};

use crate::config::BertConfig;
use crate::error::Result;
use crate::layers::{LayerNorm, Linear, chunked};
use crate::param::{Builder, Forward, Param, ParamSource};
use crate::text::Tokens;
use crate::text_encoder::TextEncoder;

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
            word_embeddings: b.matrix(format!("{name}.word_embeddings.weight"), &[c.vocab_size, d])?,
            position_embeddings: b
                .param(format!("{name}.position_embeddings.weight"), &[c.max_position_embeddings, d])?,
            token_type_embeddings: b.param(format!("{name}.token_type_embeddings.weight"), &[c.type_vocab_size, d])?,
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
        let (batch, len) = tokens.shape();
        let device = tokens.ids().device();
        let words = autograd::gather_rows(&f.var(&self.word_embeddings), tokens.ids())?;
        let places: Vec<u32> = (0..len as u32).collect();
        let places = Tensor::from_u32(device, &[len], &places)?;
        let positions = autograd::gather_rows(&f.var(&self.position_embeddings), &places)?;
        let first = Tensor::from_u32(device, &[1], &[0])?;
        let kinds = autograd::gather_rows(&f.var(&self.token_type_embeddings), &first)?.reshape(&[c.hidden_size])?;
        let words = words.reshape(&[batch, len, c.hidden_size])?;
        let x = autograd::add(&autograd::add(&words, &positions)?, &kinds)?;
        let mut x = self.embeddings_norm.forward(f, &x)?;
        let attention = Attention::new(c.num_attention_heads).key_mask(Some(tokens.mask()));
        for layer in &self.layer {
            x = layer.forward(f, &x, &attention, self.activation)?;
        }
        Ok(x)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.word_embeddings, &self.position_embeddings, &self.token_type_embeddings]);
        self.embeddings_norm.collect(out);
        for layer in &self.layer {
            layer.collect(out);
        }
    }
}
