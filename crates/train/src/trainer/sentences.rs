//! Training the Y-Decoder: the cross-entropy of texts, given their embeddings with noise.

use std::collections::BTreeMap;

use vljepa_model::{Search, Tokens, YDecoder};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::CrossEntropy;
use vljepa_tensor::{Tensor, ops};

use super::Trainer;
use super::step::{Accumulated, add_to};
use super::texts::of_file;
use crate::data::Batch;
use crate::error::{Result, TrainError};
use crate::metrics::{Cell, NamedCell, Validation};
use crate::random::{Purpose, Stream};

/// Stands where no token is foretold.
const NONE: u32 = u32::MAX;
/// Texts of an evaluation.
const MEASURED: usize = 128;
/// Below the norms that vectors are divided by.
const EPS: f32 = 1e-12;

impl Trainer {
    fn decoder(&self) -> Result<&YDecoder> {
        let missing = || {
            let what = "`decoder.config` is missing: the model of `model.folder` has no Y-Decoder to train on";
            TrainError::setting("decoder.config", what)
        };
        self.model.y_decoder().ok_or_else(missing)
    }

    /// Loss and gradients of the texts of a batch in `parts`, one text for each pair.
    pub(super) fn sentences(&self, batch: &Batch, texts: &[String], parts: usize, noise: f32) -> Result<Accumulated> {
        let mut sums = Accumulated { losses: Vec::with_capacity(parts), grads: BTreeMap::new(), embeddings: None };
        let count = batch.len() / parts;
        for part in (0..parts).map(|i| i * count..(i + 1) * count) {
            let pairs = batch.pairs_about(part);
            let texts: Vec<&str> = texts[pairs.clone()].iter().map(String::as_str).collect();
            let (tape, f) = self.pass();
            let embeddings = self.noisy(&texts, noise, (batch.step << 24) + pairs.start as u64)?;
            let (tokens, right) = self.foretold(&texts)?;
            let words = self.model.y_encoder.text_encoder();
            let logits = self.decoder()?.forward(&f, &embeddings, &tokens, words)?;
            let (rows, width) = logits.value().rows_cols();
            let loss = autograd::cross_entropy(
                &logits.reshape(&[rows, width])?,
                &right,
                CrossEntropy::default().ignore_index(NONE),
            )?;
            let over = parts as f32;
            let seed = ops::full(&self.device, loss.shape(), 1.0 / over)?;
            add_to(&mut sums.grads, f.gradients(tape.backward(&loss, Some(seed))?))?;
            sums.losses.push((loss.value().clone(), over));
        }
        Ok(sums)
    }

    /// The tokens of texts, and of each place what follows: `[texts · (tokens + 1)]`.
    fn foretold(&self, texts: &[&str]) -> Result<(Tokens, Tensor)> {
        let config = self.decoder()?.config();
        let most = config.max_tokens.saturating_sub(1);
        let ids = |text: &&str| {
            let mut ids = self.tokenizer.encode_bare(text).map_err(of_file(&self.tokenizer))?;
            ids.truncate(most);
            Ok(ids)
        };
        let ids = texts.iter().map(ids).collect::<Result<Vec<_>>>()?;
        let tokens = Tokens::new(&self.device, &ids, config.end_id)?;
        let len = tokens.shape().1 + 1;
        let mut right = vec![NONE; ids.len() * len];
        for (ids, row) in ids.iter().zip(right.chunks_exact_mut(len)) {
            row[..ids.len()].copy_from_slice(ids);
            row[ids.len()] = config.end_id;
        }
        Ok((tokens, Tensor::from_u32(&self.device, &[right.len()], &right)?))
    }

    /// Embeddings of texts with noise, of unit length. A function of texts, seed and place alone.
    fn noisy(&self, texts: &[&str], noise: f32, at: u64) -> Result<Var> {
        let f = vljepa_model::Forward::inference();
        let unit = ops::l2_normalize(self.embed(&f, texts)?.value(), EPS)?.value;
        if noise <= 0.0 {
            return Ok(Var::constant(unit));
        }
        let (mut dice, dim) = (Stream::new(self.config.seed, Purpose::Noise, at), self.model.config.embedding_dim);
        let mut values = Vec::with_capacity(texts.len() * dim);
        for _ in texts {
            let size = f64::from(noise) * dice.below(1 << 24) as f64 / f64::from(1 << 24);
            let row: Vec<f64> = (0..dim).map(|_| dice.normal()).collect();
            let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            values.extend(row.into_iter().map(|value| (size * value / norm) as f32));
        }
        let noise = Tensor::from_f32(&self.device, &[texts.len(), dim], &values)?;
        Ok(Var::constant(ops::l2_normalize(&ops::add(&unit, &noise)?, EPS)?.value))
    }

    /// How many of the source's texts are written back word for word from their embeddings.
    pub(super) fn written_back(&self) -> Result<Validation> {
        let mut texts = self.source.texts(&self.config.objective.texts);
        texts.sort();
        texts.dedup();
        let step = (texts.len() / MEASURED).max(1);
        let texts: Vec<&str> = texts.iter().step_by(step).take(MEASURED).map(String::as_str).collect();
        let most = self.decoder()?.config().max_tokens;
        let mut hits = 0;
        for part in texts.chunks(16) {
            let embeddings = self.noisy(part, 0.0, 0)?;
            let written = self.model.write(embeddings.value(), &Search::default())?.unwrap_or_default();
            for (text, sentence) in part.iter().zip(written) {
                let mut ids = self.tokenizer.encode_bare(text).map_err(of_file(&self.tokenizer))?;
                ids.truncate(most);
                hits += usize::from(sentence.ids == ids);
            }
        }
        let n = texts.len();
        let cell = Cell { n, r1: (n > 0).then(|| hits as f64 / n as f64), ..Cell::default() };
        Ok(Validation(vec![NamedCell { key: "written_back".into(), title: "texts written back".into(), cell }]))
    }
}
