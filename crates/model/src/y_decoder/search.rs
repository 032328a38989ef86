//! Sentences word by word, which waits for the device at each: a browser does not allow that.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Error, Tensor, ops};

use super::{MOST, Search, Sentence, YDecoder};
use crate::decoder::KeyValueCache;
use crate::error::{ModelError, Result};
use crate::param::Forward;
use crate::text::Tokens;
use crate::text_encoder::TextEncoder;

/// Sentences that are being written.
struct Begun {
    sentences: Vec<Sentence>,
    cache: KeyValueCache,
    /// Log-probabilities of the next token, a row for each sentence.
    next: Vec<f64>,
}

fn log_softmax(row: &[f32]) -> impl Iterator<Item = f64> + '_ {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = row.iter().map(|value| f64::from(value - most).exp()).sum::<f64>().ln();
    row.iter().map(move |value| f64::from(value - most) - sum)
}

impl YDecoder {
    /// Writes a sentence for each of the embeddings `[B, dim]`, of unit length. Waits for the device at each token.
    ///
    /// # Errors
    /// No beams or too many, and what the device reports.
    pub fn write(&self, embeddings: &Tensor, words: &dyn TextEncoder, search: &Search) -> Result<Vec<Sentence>> {
        if search.beams == 0 || search.beams > MOST {
            let what = format!("{} beams, expected 1 to {MOST}", search.beams);
            return Err(ModelError::Tensor(Error::Invalid(what)));
        }
        let [batch, _] = *embeddings.shape() else {
            let what = format!("embeddings {:?}, [B, dim] is expected", embeddings.shape());
            return Err(ModelError::Tensor(Error::Shape { op: "y_decoder", what }));
        };
        if self.most(search) == 0 {
            return Ok(vec![Sentence { ids: Vec::new(), log_probability: 0.0, ended: false }; batch]);
        }
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
