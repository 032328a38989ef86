//! The Y-Decoder: from an embedding back to a sentence (arXiv 2512.10942, §3.1, where its architecture is not stated).
//!
//! Ours: a linear map makes the embedding a few tokens, a prefix, and a small causal Llama goes on from there. Its words are the Y-Encoder's
//! through a linear map, before the layers and behind them, so that it needs no table of its own.

#[cfg(not(target_arch = "wasm32"))]
mod search;

use serde::{Deserialize, Serialize};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Error};

use crate::decoder::DecoderLayers;
use crate::error::{ModelError, Result};
use crate::layers::Linear;
use crate::llama::LlamaConfig;
use crate::param::{Builder, Forward, Param, ParamSource};
use crate::spec::{Check, Specs, TensorSpec, parse, renamed};
use crate::text::Tokens;
use crate::text_encoder::TextEncoder;

/// Most tokens of a prefix, and beams of a search.
const MOST: usize = 64;

/// The Y-Decoder of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YDecoderConfig {
    /// Its layers; `vocab_size` is that of the Y-Encoder.
    pub config: LlamaConfig,
    /// Tokens that an embedding becomes.
    #[serde(default = "four")]
    pub prefix_tokens: usize,
    /// Longest sentence, in tokens.
    #[serde(default = "sixty_four")]
    pub max_tokens: usize,
    /// The token that ends a sentence, by which the Y-Encoder's tokenizer ends its texts.
    pub end_id: u32,
}

fn four() -> usize {
    4
}

fn sixty_four() -> usize {
    64
}

impl YDecoderConfig {
    /// Parses the key `y_decoder` of a `config.json`, standing alone.
    ///
    /// # Errors
    /// [`ModelError::Config`], with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        parse("y_decoder", json)
    }

    /// Checks sizes; `vocab_size` is that of the Y-Encoder.
    pub(crate) fn check(&self, c: &Check, vocab_size: usize) -> Result<()> {
        self.config.validate()?;
        c.size("y_decoder.prefix_tokens", self.prefix_tokens, MOST)?;
        c.size("y_decoder.max_tokens", self.max_tokens, self.config.max_position_embeddings)?;
        let own = self.config.vocab_size;
        if own != vocab_size {
            return c.fail(format!(
                "`y_decoder.config.vocab_size` is {own}; its words are the Y-Encoder's, which has {vocab_size}"
            ));
        }
        let (most, places) = (self.prefix_tokens + self.max_tokens, self.config.max_position_embeddings);
        if most > places {
            return c.fail(format!(
                "`y_decoder.prefix_tokens` and `max_tokens` are {most} in all; `config.max_position_embeddings` is {places}"
            ));
        }
        if self.end_id as usize >= own {
            return c.fail(format!("`y_decoder.end_id` is {}, outside the vocabulary of {own}", self.end_id));
        }
        Ok(())
    }

    /// Its tensors under `y_decoder.`, for embeddings of `dim` numbers and words of `width`.
    pub(crate) fn tensors(&self, dim: usize, width: usize) -> Vec<TensorSpec> {
        let (mut s, hidden) = (Specs::default(), self.config.hidden_size);
        s.linear("y_decoder.prefix", dim, self.prefix_tokens * hidden, true);
        s.linear("y_decoder.embed_projection", width, hidden, false);
        s.0.extend(renamed(self.config.layer_tensors(0..self.config.num_hidden_layers), "model.", "y_decoder."));
        s.add("y_decoder.norm.weight", &[hidden]);
        s.linear("y_decoder.lm_projection", hidden, width, false);
        s.add("y_decoder.lm_head.bias", &[self.config.vocab_size]);
        s.0
    }
}

/// How sentences are searched for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Sentences that are followed at once; 1 takes the likeliest token each time.
    pub beams: usize,
    /// The score of a sentence is its log-probability divided by its number of tokens to this power: above 0, longer sentences
    /// are not at a disadvantage. Above 0 a search ends, as that of transformers, where no sentence that goes on is ahead by its score so far.
    pub length_penalty: f64,
    /// Longest sentence, in tokens; at most what the configuration allows.
    pub max_tokens: Option<usize>,
}

impl Default for Search {
    fn default() -> Self {
        Self { beams: 1, length_penalty: 1.0, max_tokens: None }
    }
}

/// A sentence that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// Its tokens, without the one that ends it.
    pub ids: Vec<u32>,
    /// The sum of the logarithms of their probabilities, the end included.
    pub log_probability: f64,
    /// Whether it was ended, and not cut at the longest length.
    pub ended: bool,
}

impl Sentence {
    fn score(&self, penalty: f64) -> f64 {
        // The end counts as a token.
        self.log_probability / ((self.ids.len() + usize::from(self.ended)).max(1) as f64).powf(penalty)
    }
}

/// From embeddings to sentences.
#[derive(Clone, Debug)]
pub struct YDecoder {
    config: YDecoderConfig,
    prefix: Linear,
    embed_projection: Linear,
    layers: DecoderLayers,
    lm_projection: Linear,
    lm_bias: Param,
}

impl YDecoder {
    pub(crate) fn new(b: &mut Builder<'_>, c: &YDecoderConfig, dim: usize, width: usize) -> Result<Self> {
        let hidden = c.config.hidden_size;
        Ok(Self {
            prefix: Linear::new(b, "y_decoder.prefix", dim, c.prefix_tokens * hidden, true)?,
            embed_projection: Linear::new(b, "y_decoder.embed_projection", width, hidden, false)?,
            layers: DecoderLayers::new(b, "y_decoder.", c.config.decoder(true), 0..c.config.num_hidden_layers, true)?,
            lm_projection: Linear::new(b, "y_decoder.lm_projection", hidden, width, false)?,
            lm_bias: b.param("y_decoder.lm_head.bias", &[c.config.vocab_size])?,
            config: c.clone(),
        })
    }

    /// The decoder alone, for embeddings of `dim` numbers and words of `width`, from parameters named `y_decoder.…`.
    ///
    /// # Errors
    /// What the source reports.
    pub fn load(
        device: &Device,
        config: &YDecoderConfig,
        [dim, width]: [usize; 2],
        source: &mut dyn ParamSource,
    ) -> Result<Self> {
        config.check(&Check("y_decoder"), config.config.vocab_size)?;
        Self::new(&mut Builder::new(device, source), config, dim, width)
    }

    /// The configuration.
    pub fn config(&self) -> &YDecoderConfig {
        &self.config
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.prefix.collect(out);
        self.embed_projection.collect(out);
        self.layers.collect(out);
        self.lm_projection.collect(out);
        out.push(&self.lm_bias);
    }

    /// `[B, dim]` embeddings of unit length → `[B, prefix tokens, hidden]`.
    fn begin(&self, f: &Forward, embeddings: &Var) -> Result<Var> {
        let batch = embeddings.shape()[0];
        let prefix = self.prefix.forward(f, embeddings)?;
        Ok(prefix.reshape(&[batch, self.config.prefix_tokens, self.config.config.hidden_size])?)
    }

    /// `[.., hidden]` → `[.., vocabulary]`.
    fn logits(&self, f: &Forward, hidden: &Var, words: &dyn TextEncoder) -> Result<Var> {
        let Some(table) = words.word_table() else {
            let what = "the Y-Encoder's token embedding lies on the device in parts, and a Y-Decoder needs it whole";
            return Err(ModelError::Tensor(Error::Invalid(what.into())));
        };
        let as_words = self.lm_projection.forward(f, hidden)?;
        Ok(autograd::linear(&as_words, &f.var(table), Some(&f.var(&self.lm_bias)))?)
    }

    /// Logits of each token of `[B, N]` sentences and of what follows them, given the embeddings `[B, dim]`, of unit length:
    /// `[B, N + 1, vocabulary]`. Row `i` foretells token `i`, the last row what follows.
    ///
    /// # Errors
    /// When shapes do not fit, or a sentence is longer than the configuration allows.
    pub fn forward(&self, f: &Forward, embeddings: &Var, tokens: &Tokens, words: &dyn TextEncoder) -> Result<Var> {
        let (batch, len) = tokens.shape();
        if batch != embeddings.shape()[0] || len > self.config.max_tokens {
            let (most, count) = (self.config.max_tokens, embeddings.shape()[0]);
            let what = format!("{batch} sentences of {len} tokens for {count} embeddings and at most {most} tokens");
            return Err(ModelError::Tensor(Error::Shape { op: "y_decoder", what }));
        }
        let prefix = self.begin(f, embeddings)?;
        let x = match len {
            0 => prefix,
            _ => autograd::concat(&[&prefix, &self.embed_projection.forward(f, &words.words(f, tokens)?)?], 1)?,
        };
        let hidden = self.layers.run(f, &x, None, |_| ())?;
        let from = self.config.prefix_tokens - 1;
        self.logits(f, &autograd::slice(&hidden, 1, from, len + 1)?, words)
    }
}
