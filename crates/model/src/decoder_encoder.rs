//! A stack of decoder layers as a text encoder: what Gemma 3 and Qwen 3 are as Y-Encoders.

use vljepa_tensor::autograd::{self, Var};

use crate::decoder::{DecoderLayers, DecoderSpec};
use crate::error::Result;
use crate::layers::EmbeddingTable;
use crate::param::{Builder, Forward, Param};
use crate::text::Tokens;
use crate::text_encoder::TextEncoder;

/// Token embedding, decoder layers, final norm: the backbone of EmbeddingGemma (Gemma 3) or of Qwen3-Embedding.
#[derive(Clone, Debug)]
pub struct DecoderEncoder {
    embed_tokens: EmbeddingTable,
    layers: DecoderLayers,
    hidden_size: usize,
    sizes: DecoderSizes,
}

/// What an encoder has beside its layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecoderSizes {
    /// Rows of the token embedding.
    pub(crate) vocab_size: usize,
    /// Longest text, in tokens.
    pub(crate) max_tokens: usize,
    /// Factor of the token embeddings.
    pub(crate) embedding_scale: f32,
}

impl DecoderEncoder {
    /// Builds the encoder from parameters named `{prefix}embed_tokens.weight`, `{prefix}layers.{i}.…`,
    /// `{prefix}norm.weight`.
    pub(crate) fn new(b: &mut Builder<'_>, prefix: &str, spec: DecoderSpec, sizes: DecoderSizes) -> Result<Self> {
        let (hidden_size, depth) = (spec.hidden_size, spec.layers.len());
        let table = format!("{prefix}embed_tokens.weight");
        Ok(DecoderEncoder {
            embed_tokens: EmbeddingTable::new(b, table, sizes.vocab_size, hidden_size)?,
            layers: DecoderLayers::new(b, prefix, spec, 0..depth, true)?,
            hidden_size,
            sizes,
        })
    }

    fn run(&self, f: &Forward, tokens: &Tokens, mut each: impl FnMut(&Var)) -> Result<Var> {
        self.check(tokens)?;
        let mut x = self.words(f, tokens)?;
        if self.sizes.embedding_scale != 1.0 {
            x = autograd::scale(&x, self.sizes.embedding_scale)?;
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
        self.sizes.max_tokens
    }

    fn forward(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        self.run(f, tokens, |_| ())
    }

    fn words(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        self.check_ids(tokens)?;
        let (batch, len) = tokens.shape();
        Ok(self.embed_tokens.forward(f, tokens.ids())?.reshape(&[batch, len, self.hidden_size])?)
    }

    fn word_table(&self) -> Option<&Param> {
        self.embed_tokens.whole()
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.embed_tokens.collect(out);
        self.layers.collect(out);
    }

    fn table_in_parts(&self) -> Option<&str> {
        self.embed_tokens.in_parts()
    }
}
