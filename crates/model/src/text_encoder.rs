//! Text encoders: token ids to token vectors, whatever the architecture.

use std::fmt::Debug;

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Error};

use crate::bert::Bert;
use crate::config::{Gemma3Config, Qwen3Config, TensorSpec, TextEncoderConfig};
use crate::decoder::DecoderLayers;
use crate::error::{ModelError, Result};
use crate::layers::EmbeddingTable;
use crate::param::{Builder, Forward, Param, ParamSource};
use crate::text::Tokens;
use crate::weights::WeightSource;

/// Token ids to token vectors.
pub trait TextEncoder: Debug {
    /// Width of a token vector.
    fn hidden_size(&self) -> usize;

    /// Rows of the token embedding.
    fn vocab_size(&self) -> usize;

    /// Longest text, in tokens.
    fn max_tokens(&self) -> usize;

    /// Token vectors, `[B, N]` ids → `[B, N, D]`. Padding is not attended to; its own vectors mean nothing.
    ///
    /// # Errors
    /// When a text is too long, or an id lies outside the vocabulary.
    fn forward(&self, f: &Forward, tokens: &Tokens) -> Result<Var>;

    /// Every parameter, appended to `out`.
    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>);

    /// Every parameter.
    fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    /// Names and shapes of the parameters.
    fn tensors(&self) -> Vec<TensorSpec> {
        let spec = |p: &Param| TensorSpec { name: p.name().to_owned(), shape: p.tensor().shape().to_vec() };
        self.params().into_iter().map(spec).collect()
    }

    /// Checks ids and length against the encoder.
    ///
    /// # Errors
    /// As [`TextEncoder::forward`].
    fn check(&self, tokens: &Tokens) -> Result<()> {
        let bad = |what| ModelError::Tensor(Error::Shape { op: "text encoder", what });
        let (_, len) = tokens.shape();
        if len > self.max_tokens() {
            return Err(bad(format!("{len} tokens, the model has {} positions", self.max_tokens())));
        }
        if tokens.largest_id() as usize >= self.vocab_size() {
            let (id, rows) = (tokens.largest_id(), self.vocab_size());
            return Err(bad(format!("token id {id} outside the vocabulary of {rows}")));
        }
        Ok(())
    }
}

/// The backbone of EmbeddingGemma (Gemma 3) or of Qwen3-Embedding: token embedding, decoder layers, final norm.
#[derive(Clone, Debug)]
pub struct DecoderEncoder {
    embed_tokens: EmbeddingTable,
    /// Factor of the token embeddings; 1 but for Gemma.
    embedding_scale: f32,
    layers: DecoderLayers,
    hidden_size: usize,
    max_tokens: usize,
}

impl DecoderEncoder {
    /// Builds the encoder from parameters named `{prefix}embed_tokens.weight`, `{prefix}layers.{i}.…`, `{prefix}norm.weight`.
    pub(crate) fn gemma3(b: &mut Builder<'_>, prefix: &str, c: &Gemma3Config) -> Result<Self> {
        Ok(DecoderEncoder {
            embed_tokens: EmbeddingTable::new(b, format!("{prefix}embed_tokens.weight"), c.vocab_size, c.hidden_size)?,
            embedding_scale: c.embedding_scale(),
            layers: DecoderLayers::new(b, prefix, c.decoder(), 0..c.num_hidden_layers, true)?,
            hidden_size: c.hidden_size,
            max_tokens: c.max_position_embeddings,
        })
    }

    /// As [`DecoderEncoder::gemma3`].
    pub(crate) fn qwen3(b: &mut Builder<'_>, prefix: &str, c: &Qwen3Config) -> Result<Self> {
        Ok(DecoderEncoder {
            embed_tokens: EmbeddingTable::new(b, format!("{prefix}embed_tokens.weight"), c.vocab_size, c.hidden_size)?,
            embedding_scale: 1.0,
            layers: DecoderLayers::new(b, prefix, c.decoder(), 0..c.num_hidden_layers, true)?,
            hidden_size: c.hidden_size,
            max_tokens: c.max_position_embeddings,
        })
    }

    /// Gemma 3 alone, from parameters named `{prefix}embed_tokens.weight` and so on; [`checkpoint_prefix`] finds the
    /// prefix of a published file.
    ///
    /// # Errors
    /// What the source reports.
    pub fn load_gemma3(
        device: &Device,
        config: &Gemma3Config,
        source: &mut dyn ParamSource,
        prefix: &str,
    ) -> Result<Self> {
        config.validate()?;
        Self::gemma3(&mut Builder::new(device, source), prefix, config)
    }

    /// Qwen 3 alone; as [`DecoderEncoder::load_gemma3`].
    ///
    /// # Errors
    /// What the source reports.
    pub fn load_qwen3(
        device: &Device,
        config: &Qwen3Config,
        source: &mut dyn ParamSource,
        prefix: &str,
    ) -> Result<Self> {
        config.validate()?;
        Self::qwen3(&mut Builder::new(device, source), prefix, config)
    }

    fn run(&self, f: &Forward, tokens: &Tokens, mut each: impl FnMut(&Var)) -> Result<Var> {
        self.check(tokens)?;
        let (batch, len) = tokens.shape();
        let words = self.embed_tokens.forward(f, tokens.ids())?;
        let mut x = words.reshape(&[batch, len, self.hidden_size])?;
        if self.embedding_scale != 1.0 {
            x = autograd::scale(&x, self.embedding_scale)?;
        }
        each(&x);
        self.layers.run(f, &x, Some(tokens.mask()), each)
    }

    /// The token vectors after the embedding and after each layer, before the last norm, for comparison with other
    /// implementations.
    ///
    /// # Errors
    /// As [`TextEncoder::forward`].
    pub fn hidden_states(&self, f: &Forward, tokens: &Tokens) -> Result<Vec<Var>> {
        let mut states = Vec::new();
        self.run(f, tokens, |x| states.push(x.clone()))?;
        Ok(states)
    }
}

impl TextEncoder for DecoderEncoder {
    fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    fn vocab_size(&self) -> usize {
        self.embed_tokens.rows()
    }

    fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn forward(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        self.run(f, tokens, |_| ())
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.embed_tokens.collect(out);
        self.layers.collect(out);
    }
}

/// A text encoder of any architecture, so that models that hold one stay plain values.
#[derive(Clone, Debug)]
pub(crate) enum AnyTextEncoder {
    Bert(Box<Bert>),
    Decoder(Box<DecoderEncoder>),
}

impl AnyTextEncoder {
    /// Builds what `config` says from parameters with the checkpoint's names under `prefix`.
    pub(crate) fn new(b: &mut Builder<'_>, prefix: &str, config: &TextEncoderConfig) -> Result<Self> {
        Ok(match config {
            TextEncoderConfig::Bert(c) => Self::Bert(Bert::new(b, prefix, c)?.into()),
            TextEncoderConfig::Gemma3(c) => Self::Decoder(DecoderEncoder::gemma3(b, prefix, c)?.into()),
            TextEncoderConfig::Qwen3(c) => Self::Decoder(DecoderEncoder::qwen3(b, prefix, c)?.into()),
        })
    }

    pub(crate) fn get(&self) -> &dyn TextEncoder {
        match self {
            Self::Bert(bert) => bert.as_ref(),
            Self::Decoder(decoder) => decoder.as_ref(),
        }
    }

    /// The name of a token embedding that lies in parts.
    pub(crate) fn table_in_parts(&self) -> Option<&str> {
        match self {
            Self::Bert(_) => None,
            Self::Decoder(decoder) => decoder.embed_tokens.in_parts(),
        }
    }
}

/// What the names of a text encoder's tensors start with in a published file: `model.` or `bert.` where a checkpoint holds
/// more than the encoder, nothing in the files of sentence-transformers.
pub fn checkpoint_prefix(weights: &(impl WeightSource + ?Sized)) -> &'static str {
    let first = ["embed_tokens.weight", "embeddings.word_embeddings.weight"];
    let holds = |prefix: &&str| first.iter().any(|name| weights.tensor(&format!("{prefix}{name}")).is_some());
    ["", "model.", "bert."].into_iter().find(holds).unwrap_or("")
}
