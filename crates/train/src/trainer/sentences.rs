//! Training the Y-Decoder: the cross-entropy of texts, given their embeddings with noise, or what the Predictor predicts.

use std::collections::BTreeMap;

use vljepa_model::{Search, Tokens, YDecoder};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::CrossEntropy;
use vljepa_tensor::{Tensor, ops};

use super::Trainer;
use super::step::{Accumulated, add_to};
use super::texts::of_file;
use crate::config::{DecoderConfig, DecoderInput};
use crate::data::Batch;
use crate::error::{Result, TrainError};
use crate::feed::Maker;
use crate::metrics::{Cell, NamedCell, Validation};
use crate::objective::predict;
use crate::random::{Purpose, Stream};

/// Stands where no token is foretold.
const NONE: u32 = u32::MAX;
/// Texts of an evaluation, and how many are written at once.
const MEASURED: usize = 128;
const PART: usize = 16;
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

    /// Loss and gradients of the texts of a batch, one text for each pair.
    pub(super) fn sentences(&self, batch: &Batch, texts: &[String], decoder: &DecoderConfig) -> Result<Accumulated> {
        let parts = self.config.accumulate;
        let mut sums = Accumulated { losses: Vec::with_capacity(parts), grads: BTreeMap::new(), embeddings: None };
        let each = batch.len() / parts;
        let lengths = texts.iter().map(|text| self.ids(text).map(|(_, foretold)| foretold));
        let total = lengths.sum::<Result<usize>>()? as f32;
        for part in (0..parts).map(|i| i * each..(i + 1) * each) {
            let pairs = batch.pairs_about(part.clone());
            let texts: Vec<&str> = texts[pairs.clone()].iter().map(String::as_str).collect();
            let (tape, f) = self.pass();
            let embeddings = match decoder.from {
                DecoderInput::Texts => self.noisy(&texts, decoder.noise, (batch.step << 24) + pairs.start as u64)?,
                DecoderInput::Predictions => {
                    let predicted = predict(&self.model, &f, &self.part(batch, part)?.shown())?;
                    autograd::l2_normalize(&predicted, EPS)?
                }
            };
            let (tokens, right, count) = self.foretold(&texts)?;
            let words = self.model.y_encoder.text_encoder();
            let logits = self.decoder()?.forward(&f, &embeddings, &tokens, words)?;
            let (rows, width) = logits.value().rows_cols();
            let loss = autograd::cross_entropy(
                &logits.reshape(&[rows, width])?,
                &right,
                CrossEntropy::default().ignore_index(NONE),
            )?;
            // The mean over all tokens of the batch.
            let over = total / count as f32;
            let seed = ops::full(&self.device, loss.shape(), 1.0 / over)?;
            add_to(&mut sums.grads, f.gradients(tape.backward(&loss, Some(seed))?))?;
            sums.losses.push((loss.value().clone(), over));
        }
        Ok(sums)
    }

    /// The tokens of a text, cut to what the decoder writes, and how many are foretold: the end too where it was not cut.
    fn ids(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let most = self.decoder()?.config().max_tokens;
        let mut ids = self.tokenizer.encode_bare(text).map_err(of_file(&self.tokenizer))?;
        let foretold = (ids.len() + 1).min(most);
        ids.truncate(most);
        Ok((ids, foretold))
    }

    /// The tokens of texts, of each place what follows, `[texts · (tokens + 1)]`, and how many places that is.
    fn foretold(&self, texts: &[&str]) -> Result<(Tokens, Tensor, usize)> {
        let end = self.decoder()?.config().end_id;
        let ids = texts.iter().map(|text| self.ids(text)).collect::<Result<Vec<_>>>()?;
        let count = ids.iter().map(|(_, foretold)| foretold).sum();
        let tokens = Tokens::new(&self.device, &ids.iter().map(|(ids, _)| ids.clone()).collect::<Vec<_>>(), end)?;
        let len = tokens.shape().1 + 1;
        let mut right = vec![NONE; ids.len() * len];
        for ((ids, foretold), row) in ids.iter().zip(right.chunks_exact_mut(len)) {
            row[..ids.len()].copy_from_slice(ids);
            if *foretold > ids.len() {
                row[ids.len()] = end;
            }
        }
        Ok((tokens, Tensor::from_u32(&self.device, &[right.len()], &right)?, count))
    }

    /// Embeddings of texts with noise, of unit length. A function of texts, seed and the places of the texts alone: the first stands at `at`.
    fn noisy(&self, texts: &[&str], noise: f32, at: u64) -> Result<Var> {
        let f = vljepa_model::Forward::inference();
        let unit = ops::l2_normalize(self.embed(&f, texts)?.value(), EPS)?.value;
        if noise <= 0.0 {
            return Ok(Var::constant(unit));
        }
        let dim = self.model.config.embedding_dim;
        let mut values = Vec::with_capacity(texts.len() * dim);
        for (place, _) in (at..).zip(texts) {
            let mut dice = Stream::new(self.config.seed, Purpose::Noise, place);
            let size = f64::from(noise) * dice.below(1 << 24) as f64 / f64::from(1 << 24);
            let row: Vec<f64> = (0..dim).map(|_| dice.normal()).collect();
            let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            values.extend(row.into_iter().map(|value| (size * value / norm) as f32));
        }
        let noise = Tensor::from_f32(&self.device, &[texts.len(), dim], &values)?;
        Ok(Var::constant(ops::l2_normalize(&ops::add(&unit, &noise)?, EPS)?.value))
    }

    /// How many texts are written word for word: those of the source from their own embeddings, or of samples that come after the run's from what
    /// is predicted of them.
    pub(super) fn written(&self, decoder: &DecoderConfig) -> Result<Validation> {
        let (mut hits, mut n) = (0, 0);
        let mut count = |texts: &[&str], embeddings: &Tensor| -> Result<()> {
            let written = self.model.write(embeddings, &Search::default())?.unwrap_or_default();
            for (text, sentence) in texts.iter().zip(written) {
                hits += usize::from(sentence.ids == self.ids(text)?.0);
                n += 1;
            }
            Ok(())
        };
        let (key, title) = match decoder.from {
            DecoderInput::Texts => {
                let mut texts = self.source.texts(&self.config.objective.texts);
                texts.sort();
                texts.dedup();
                let step = (texts.len() / MEASURED).max(1);
                let texts: Vec<&str> = texts.iter().step_by(step).take(MEASURED).map(String::as_str).collect();
                for part in texts.chunks(PART) {
                    count(part, self.noisy(part, 0.0, 0)?.value())?;
                }
                ("written_back", "texts written back")
            }
            DecoderInput::Predictions => {
                let maker = Maker::new(self.source.clone(), self.config.clone(), self.preprocess());
                let maker = self.stored.iter().fold(maker, |maker, stored| maker.with_features(stored.clone()));
                let batch = maker.make(self.config.steps)?;
                let texts = self.objective.texts_at(&self.device, self.config.seed, batch.step)?;
                let texts = self.right_texts(&batch, &texts);
                for first in (0..batch.len()).step_by(PART) {
                    let part = self.part(&batch, first..batch.len().min(first + PART))?;
                    let f = vljepa_model::Forward::inference();
                    let predicted = predict(&self.model, &f, &part.shown())?;
                    let unit = ops::l2_normalize(predicted.value(), EPS)?.value;
                    count(&texts[part.pairs()].iter().map(String::as_str).collect::<Vec<_>>(), &unit)?;
                }
                ("written", "texts written of samples")
            }
        };
        let r1 = (n > 0).then(|| hits as f64 / n as f64);
        let cell = Cell { n, r1, ..Cell::default() };
        Ok(Validation(vec![NamedCell { key: key.into(), title: title.into(), cell }]))
    }
}
