//! The Y-Decoder: from an embedding back to a sentence (arXiv 2512.10942, §3.1, where its architecture is not stated).
//!
//! Ours: a linear map makes the embedding a few tokens, a prefix, and a small causal Llama goes on from there. Its words are the Y-Encoder's
//! through a linear map, before the layers and behind them, so that it needs no table of its own.

use serde::{Deserialize, Serialize};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Error, Tensor, ops};

use crate::decoder::{DecoderLayers, KeyValueCache};
use crate::error::{ModelError, Result};
use crate::layers::Linear;
use crate::llama::LlamaConfig;
use crate::param::{Builder, Forward, Param};
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
    /// are not at a disadvantage.
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

/// Sentences that are being written.
struct Begun {
    sentences: Vec<Sentence>,
    cache: KeyValueCache,
    /// Log-probabilities of the next token, a row for each sentence.
    next: Vec<f64>,
}

fn log_softmax(row: &[f32]) -> impl Iterator<Item = f64> + '_ {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|value| f64::from(value - most).exp()).sum();
    row.iter().map(move |value| f64::from(value - most) - sum.ln())
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

    /// Writes a sentence for each of the embeddings `[B, dim]`, of unit length. Waits for the device at each token.
    ///
    /// # Errors
    /// No beams or too many, and what the device reports.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn write(&self, embeddings: &Tensor, words: &dyn TextEncoder, search: &Search) -> Result<Vec<Sentence>> {
        if search.beams == 0 || search.beams > MOST {
            let what = format!("{} beams, expected 1 to {MOST}", search.beams);
            return Err(ModelError::Tensor(Error::Invalid(what)));
        }
        let [batch, _] = *embeddings.shape() else {
            let what = format!("embeddings {:?}, [B, dim] is expected", embeddings.shape());
            return Err(ModelError::Tensor(Error::Shape { op: "y_decoder", what }));
        };
        if search.beams == 1 {
            return self.greedy(embeddings, words, self.most(search));
        }
        let one = |i: usize| self.beam(&ops::slice(embeddings, 0, i, 1)?, words, search);
        (0..batch).map(one).collect()
    }

    fn most(&self, search: &Search) -> usize {
        search.max_tokens.unwrap_or(usize::MAX).min(self.config.max_tokens)
    }

    fn started(&self, embeddings: &Tensor, words: &dyn TextEncoder) -> Result<Begun> {
        let (f, mut cache) = (Forward::inference(), KeyValueCache::default());
        let prefix = self.begin(&f, &Var::constant(embeddings.clone()))?;
        let hidden = self.layers.extend(&f, &prefix, &mut cache)?;
        let next = self.next(&f, &hidden, words)?;
        let none = Sentence { ids: Vec::new(), log_probability: 0.0, ended: false };
        Ok(Begun { sentences: vec![none; embeddings.shape()[0]], cache, next })
    }

    /// Log-probabilities of what follows the last token of each row.
    fn next(&self, f: &Forward, hidden: &Var, words: &dyn TextEncoder) -> Result<Vec<f64>> {
        let [batch, len, width] = *hidden.shape() else { return Ok(Vec::new()) };
        let last = autograd::slice(hidden, 1, len - 1, 1)?.reshape(&[batch, width])?;
        let logits = self.logits(f, &last, words)?.value().to_f32()?;
        Ok(logits.chunks_exact(self.config.config.vocab_size).flat_map(log_softmax).collect())
    }

    /// Adds a token to each sentence.
    fn step(&self, begun: &mut Begun, ids: &[u32], words: &dyn TextEncoder, device: &Tensor) -> Result<()> {
        let f = Forward::inference();
        let tokens = Tokens::new(device.device(), &ids.iter().map(|id| vec![*id]).collect::<Vec<_>>(), 0)?;
        let x = self.embed_projection.forward(&f, &words.words(&f, &tokens)?)?;
        let hidden = self.layers.extend(&f, &x, &mut begun.cache)?;
        begun.next = self.next(&f, &hidden, words)?;
        Ok(())
    }

    fn greedy(&self, embeddings: &Tensor, words: &dyn TextEncoder, most: usize) -> Result<Vec<Sentence>> {
        let vocabulary = self.config.config.vocab_size;
        let mut begun = self.started(embeddings, words)?;
        loop {
            let mut ids = Vec::with_capacity(begun.sentences.len());
            for (sentence, row) in begun.sentences.iter_mut().zip(begun.next.chunks_exact(vocabulary)) {
                // The first of equal ones.
                let best = row.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
                let (id, log) = best.map_or((self.config.end_id, 0.0), |(id, log)| (id as u32, *log));
                ids.push(id);
                if !sentence.ended && sentence.ids.len() < most {
                    sentence.log_probability += log;
                    sentence.ended = id == self.config.end_id;
                    if !sentence.ended {
                        sentence.ids.push(id);
                    }
                }
            }
            if begun.sentences.iter().all(|sentence| sentence.ended || sentence.ids.len() >= most) {
                return Ok(begun.sentences);
            }
            self.step(&mut begun, &ids, words, embeddings)?;
        }
    }

    /// The best sentence of a search that follows several at once.
    fn beam(&self, embedding: &Tensor, words: &dyn TextEncoder, search: &Search) -> Result<Sentence> {
        let (vocabulary, most) = (self.config.config.vocab_size, self.most(search));
        let mut begun = self.started(embedding, words)?;
        let mut done: Vec<Sentence> = Vec::new();
        loop {
            // Each sentence with each of its likeliest tokens; one more than beams, since one of them may end it.
            let mut further: Vec<(usize, u32, f64)> = Vec::new();
            for (i, row) in begun.next.chunks_exact(vocabulary).enumerate() {
                let mut ids: Vec<usize> = (0..vocabulary).collect();
                let by = |a: &usize, b: &usize| row[*b].total_cmp(&row[*a]).then(a.cmp(b));
                let count = (search.beams + 1).min(vocabulary);
                ids.select_nth_unstable_by(count - 1, by);
                ids.truncate(count);
                let so_far = begun.sentences[i].log_probability;
                further.extend(ids.into_iter().map(|id| (i, id as u32, so_far + row[id])));
            }
            further.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)).then(a.1.cmp(&b.1)));
            let mut kept: Vec<(usize, u32, f64)> = Vec::new();
            for (from, id, log_probability) in further {
                let ids = &begun.sentences[from].ids;
                if id == self.config.end_id {
                    done.push(Sentence { ids: ids.clone(), log_probability, ended: true });
                } else if kept.len() < search.beams {
                    kept.push((from, id, log_probability));
                }
                if kept.len() == search.beams {
                    break;
                }
            }
            let next: Vec<Sentence> = kept
                .iter()
                .map(|(from, id, log_probability)| {
                    let mut ids = begun.sentences[*from].ids.clone();
                    ids.push(*id);
                    Sentence { ids, log_probability: *log_probability, ended: false }
                })
                .collect();
            let best = |all: &[Sentence]| {
                all.iter().map(|one| one.score(search.length_penalty)).fold(f64::NEG_INFINITY, f64::max)
            };
            let full = next.first().is_none_or(|sentence| sentence.ids.len() >= most);
            // As many as beams have ended, and none that goes on is ahead of them.
            if full || (done.len() >= search.beams && best(&done) >= best(&next)) {
                if done.is_empty() || full {
                    done.extend(next);
                }
                let by = |a: &Sentence, b: &Sentence| {
                    a.score(search.length_penalty).total_cmp(&b.score(search.length_penalty))
                };
                let none = || Sentence { ids: Vec::new(), log_probability: 0.0, ended: false };
                return Ok(done.into_iter().rev().max_by(by).unwrap_or_else(none));
            }
            begun.cache.select(&kept.iter().map(|(from, _, _)| *from as u32).collect::<Vec<_>>())?;
            begun.sentences = next;
            let ids: Vec<u32> = kept.iter().map(|(_, id, _)| *id).collect();
            self.step(&mut begun, &ids, words, embedding)?;
        }
    }
}
