//! One step: loss and gradients of a batch, and what they do to the weights.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use vljepa_model::{Forward, Tokens};
use vljepa_tensor::autograd::Var;
use vljepa_tensor::{Tensor, ops};

use super::Trainer;
use super::report::StepReport;
use super::texts::of_file;
use crate::data::{Batch, Encoded, Pair};
use crate::error::{Result, TrainError};
use crate::objective::{Embeddings, Known, MicroBatch, Seen, Shown, StepTexts, Targets};
use crate::optim::Method;
use crate::random::{Purpose, Stream};

/// Loss and gradients of a batch, still on the device.
pub(super) struct Accumulated {
    /// Of each part: its mean loss, and what that is divided by in the mean over the batch.
    pub losses: Vec<(Tensor, f32)>,
    pub grads: BTreeMap<String, Tensor>,
    /// Those of the first part.
    pub embeddings: Option<Embeddings>,
}

/// Some samples of a batch on the device.
pub(super) struct Part {
    seen: Tensor,
    encoded: bool,
    about: Vec<u32>,
    query: Option<Tokens>,
    /// Which pairs of the batch they have.
    pairs: Range<usize>,
}

impl Part {
    /// Which pairs of the batch they have.
    pub fn pairs(&self) -> Range<usize> {
        self.pairs.clone()
    }

    pub fn shown(&self) -> Shown<'_> {
        let seen = if self.encoded { Seen::Tokens(&self.seen) } else { Seen::Frames(&self.seen) };
        Shown { seen, about: &self.about, query: self.query.as_ref() }
    }
}

/// Adds gradients to those that are there.
pub(super) fn add_to(sums: &mut BTreeMap<String, Tensor>, grads: Vec<(String, Tensor)>) -> Result<()> {
    for (name, grad) in grads {
        let sum = match sums.get(&name) {
            Some(earlier) => ops::add(earlier, &grad)?,
            None => grad,
        };
        sums.insert(name, sum);
    }
    Ok(())
}

impl Accumulated {
    /// The mean loss of the batch from the values of its parts.
    fn mean(&self, values: &[f32]) -> f32 {
        self.losses.iter().enumerate().map(|(i, (_, over))| values.get(i).copied().unwrap_or(f32::NAN) / over).sum()
    }
}

impl Trainer {
    /// Loss and gradients of a batch, its parts accumulated. Gradients are by parameter name.
    ///
    /// # Errors
    /// A batch that is not a multiple of `accumulate`, queries without a tokenizer for them, and what the model and the
    /// operators report.
    pub fn gradients(&self, batch: &Batch) -> Result<(f32, BTreeMap<String, Tensor>)> {
        let sums = self.accumulate(batch)?;
        let losses: Vec<&Tensor> = sums.losses.iter().map(|(loss, _)| loss).collect();
        let values = ops::concat(&losses, 0)?.to_f32()?;
        Ok((sums.mean(&values), sums.grads))
    }

    fn accumulate(&self, batch: &Batch) -> Result<Accumulated> {
        let parts = self.config.accumulate;
        if batch.is_empty() || parts == 0 || !batch.len().is_multiple_of(parts) {
            return Err(TrainError::Invalid(format!("{} samples cannot be split into {parts} parts", batch.len())));
        }
        let count = batch.len() / parts;
        let even = batch.pairs.iter().all(|pair| pair.weight == 1.0);
        let total: f32 = batch.pairs.iter().map(|pair| pair.weight).sum();
        let texts = self.objective.texts_at(&self.device, self.config.seed, batch.step)?;
        if let Some(decoder) = &self.config.decoder {
            return self.sentences(batch, &self.right_texts(batch, &texts), decoder);
        }
        let chosen = self.chosen_texts(batch, &texts);
        if let Some(chosen) = chosen.as_ref().filter(|_| self.config.objective.cached && parts > 1) {
            return self.in_two_passes(batch, parts, chosen, &texts);
        }
        let mut sums = Accumulated { losses: Vec::with_capacity(parts), grads: BTreeMap::new(), embeddings: None };
        for samples in (0..parts).map(|i| i * count..(i + 1) * count) {
            let part = self.part(batch, samples)?;
            let pairs = &batch.pairs[part.pairs.clone()];
            let (tape, f) = self.pass();
            let classes: Vec<u32> = pairs.iter().filter_map(|pair| pair.class).collect();
            let wrong = self.wrong_texts(pairs);
            let (targets, keys, rivals) = match &chosen {
                Some(chosen) => {
                    let all: Vec<&str> = chosen[part.pairs.clone()].iter().map(String::as_str).chain(wrong).collect();
                    (Targets::Embeddings(self.embed(&f, &all)?), duplicate_keys(&all), self.rivals(pairs, &all))
                }
                None => (Targets::Classes(&classes), duplicate_keys(&classes), None),
            };
            let weights: Vec<f32> = pairs.iter().map(|pair| pair.weight).collect();
            let over = total / weights.iter().sum::<f32>();
            let samples = MicroBatch {
                shown: part.shown(),
                targets,
                known: Known {
                    weights: (!even).then_some(&weights),
                    keys: keys.as_deref(),
                    rivals: rivals.as_deref(),
                    directions: texts.directions.as_ref(),
                },
            };
            let loss = self.objective.loss(&self.model, &f, &samples, &texts)?;
            let seed = ops::full(&self.device, loss.value.shape(), 1.0 / over)?;
            add_to(&mut sums.grads, f.gradients(tape.backward(&loss.value, Some(seed))?))?;
            sums.losses.push((loss.value.value().clone(), over));
            sums.embeddings.get_or_insert(loss.embeddings);
        }
        Ok(sums)
    }

    /// Uploads some samples of a batch, with what is asked about them.
    pub(super) fn part(&self, batch: &Batch, samples: Range<usize>) -> Result<Part> {
        let (count, side) = (samples.len(), batch.size as usize);
        let shape = match batch.encoded {
            Some(Encoded { tokens, width }) => vec![count, tokens, width],
            None => vec![count, batch.frames, 3, side, side],
        };
        let values = shape.iter().skip(1).product::<usize>();
        let pixels = &batch.pixels[samples.start * values..samples.end * values];
        let pairs = batch.pairs_about(samples.clone());
        Ok(Part {
            seen: Tensor::from_f32(&self.device, &shape, pixels)?,
            encoded: batch.encoded.is_some(),
            about: batch.about[pairs.clone()].iter().map(|&about| about - samples.start as u32).collect(),
            query: self.queries_of(batch, pairs.clone())?,
            pairs,
        })
    }

    /// A right text of each sample, where the step embeds texts: where the Y-Encoder is trained, samples have no classes, or embeddings
    /// are cached.
    /// A function of seed and step alone.
    fn chosen_texts(&self, batch: &Batch, texts: &StepTexts) -> Option<Vec<String>> {
        let o = &self.config.objective;
        let bank = self.source.bank();
        let cached = o.cached && self.config.accumulate > 1;
        if bank.is_some() && !o.train_y_encoder && !cached && batch.pairs.iter().all(|pair| pair.class.is_some()) {
            return None;
        }
        Some(self.right_texts(batch, texts))
    }

    /// A right text of each pair. A function of seed and step alone.
    pub(super) fn right_texts(&self, batch: &Batch, texts: &StepTexts) -> Vec<String> {
        let (o, bank) = (&self.config.objective, self.source.bank());
        let mut dice = Stream::new(self.config.seed, Purpose::Text, batch.step);
        let mut any = |texts: &[String]| texts.get(dice.below(texts.len())).cloned().unwrap_or_default();
        let text = |pair: &Pair| match (bank, pair.class) {
            (Some(bank), Some(class)) => {
                let kind = texts.choice.get(class as usize).and_then(|&kind| o.texts.get(kind as usize));
                kind.map_or_else(String::new, |&kind| bank.text(class as usize, kind))
            }
            _ => any(&pair.targets),
        };
        batch.pairs.iter().map(text).collect()
    }

    /// The wrong texts of some pairs, each once, where the objective reads them.
    pub(super) fn wrong_texts<'a>(&self, pairs: &'a [Pair]) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut seen = HashSet::new();
        let read = self.config.objective.wrong > 0.0 || self.config.objective.own > 0.0;
        let wrong = pairs.iter().filter(move |_| read).flat_map(|pair| pair.wrong.iter().map(String::as_str));
        wrong.filter(move |text| seen.insert(*text))
    }

    /// For each pair its wrong texts among `texts`, which begin with the right text of each pair; `None` where the objective does not
    /// read them.
    pub(super) fn rivals(&self, pairs: &[Pair], texts: &[&str]) -> Option<Vec<Vec<u32>>> {
        if self.config.objective.own == 0.0 {
            return None;
        }
        let wrong = texts.get(pairs.len()..)?.iter();
        let place: HashMap<&str, u32> = wrong.copied().zip(pairs.len() as u32..).collect();
        // What is right after all is no rival.
        let of = |(pair, right): (&Pair, &&str)| {
            let wrong = pair.wrong.iter().map(String::as_str).filter(|text| text != right);
            wrong.filter_map(|text| place.get(text).copied()).collect()
        };
        Some(pairs.iter().zip(texts).map(of).collect())
    }

    /// Target embeddings of texts, `[texts, embedding_dim]`, not normalised.
    pub(super) fn embed(&self, f: &Forward, texts: &[&str]) -> Result<Var> {
        let y = &self.model.config.y_encoder;
        if self.config.objective.train_y_encoder {
            let (ids, _) = self.tokenizer.encode_all(&y.prompt, texts).map_err(of_file(&self.tokenizer))?;
            return Ok(self.model.encode_text(f, &Tokens::new(&self.device, &ids, y.config.pad_token_id())?)?);
        }
        let (mut different, mut number) = (Vec::new(), HashMap::new());
        let mut rows: Vec<u32> = Vec::with_capacity(texts.len());
        for &text in texts {
            rows.push(*number.entry(text).or_insert_with(|| {
                different.push(text);
                different.len() as u32 - 1
            }));
        }
        let features = self.frozen_texts.features(&self.device, &self.model, &self.tokenizer, &different)?;
        let features = Tensor::from_f32(&self.device, &[different.len(), y.output_size()], &features)?;
        let rows = ops::upload_ids(&self.device, &[texts.len()], &rows, different.len())?;
        Ok(self.model.project_text(f, &Var::constant(ops::gather_rows(&features, &rows)?))?)
    }

    /// The queries of some pairs of a batch; `None` where none of them has one.
    fn queries_of(&self, batch: &Batch, rows: Range<usize>) -> Result<Option<Tokens>> {
        let pairs = &batch.pairs[rows.clone()];
        let Some(first) = pairs.iter().position(|pair| pair.query.is_some()) else { return Ok(None) };
        let Some(tokenizer) = &self.queries else {
            let origin = &batch.origins[batch.about[rows.start + first] as usize];
            return Err(TrainError::Invalid(format!("{origin} has a query, and the run has no tokenizer for queries")));
        };
        let dropout = self.config.data.query_dropout;
        let mut dice = Stream::new(self.config.seed, Purpose::Query, (batch.step << 24) + rows.start as u64);
        let ids = |pair: &Pair| {
            let Some(text) = &pair.query else { return Ok(Vec::new()) };
            let mut ids = tokenizer.encode(text).map_err(of_file(tokenizer))?.ids;
            if dropout > 0.0 {
                // One stays: a query without tokens asks nothing.
                let kept = ids.get(dice.below(ids.len())).copied();
                ids.retain(|_| dice.below(1 << 24) as f64 >= dropout * f64::from(1 << 24));
                if ids.is_empty() {
                    ids.extend(kept);
                }
            }
            Ok(ids)
        };
        let ids = pairs.iter().map(ids).collect::<Result<Vec<_>>>()?;
        Ok(Some(Tokens::new(&self.device, &ids, self.model.config.predictor.query_pad_id)?))
    }

    /// One optimiser step. The weights change only when loss and gradients are finite. The host waits for the device once,
    /// before the update.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`], as [`Trainer::gradients`], and what the optimiser reports.
    pub fn step(&mut self, batch: &Batch) -> Result<StepReport> {
        let sums = self.accumulate(batch)?;
        // Muon's update does not depend on the size of its gradients: only AdamW's are clipped. They stand first.
        let clipped = |name: &&String| self.optimizer.plan(name).is_some_and(|p| p.method == Method::Adamw);
        let (mut order, others): (Vec<&String>, Vec<&String>) = sums.grads.keys().partition(clipped);
        let adamw = order.len();
        order.extend(others);
        let scale = self.model.logit_scale(&Forward::inference());
        let mut read: Vec<&Tensor> = sums.losses.iter().map(|(loss, _)| loss).chain([scale.value()]).collect();
        let grads: Vec<&Tensor> = order.iter().filter_map(|name| sums.grads.get(*name)).collect();
        let squares = if grads.is_empty() { None } else { Some(ops::square_sums(&grads)?) };
        let limit = self.config.optimizer.clip;
        let clip = match &squares {
            Some(squares) if limit > 0.0 && adamw > 0 => {
                Some(ops::clip_scale(&ops::slice(squares, 0, 0, adamw)?, limit as f32)?)
            }
            _ => None,
        };
        read.extend(&squares);
        let values = ops::concat(&read, 0)?.to_f32()?;
        let parts = sums.losses.len();
        let loss = sums.mean(&values);
        let squares: BTreeMap<&String, f32> =
            order.into_iter().zip(values.get(parts + 1..).unwrap_or_default().iter().copied()).collect();
        if !loss.is_finite() || squares.values().any(|s| !s.is_finite()) {
            let tensor = self.first_non_finite(&squares)?;
            return Err(TrainError::NonFinite { step: self.step, tensor, loss });
        }
        let factor = self.config.schedule.factor(self.step, self.config.steps);
        let params = self.model.params();
        self.optimizer.step(&params, &sums.grads, factor, clip.as_ref())?;
        if let (Some(ema), Some(config)) = (&self.ema, self.config.ema) {
            ema.update(&params, config.decay(self.step + 1, self.config.steps))?;
        }
        let grad_norm = squares.values().map(|s| f64::from(*s)).sum::<f64>().sqrt() as f32;
        let max = self.model.config.temperature.max_scale as f32;
        let scale = values.get(parts).map_or(f32::NAN, |s| s.exp().min(max));
        let report = StepReport { step: self.step, loss, grad_norm, factor, scale };
        self.step += 1;
        self.embeddings = sums.embeddings;
        Ok(report)
    }

    /// The first tensor that is not finite: weights come before gradients, since they make all gradients so.
    fn first_non_finite(&self, squares: &BTreeMap<&String, f32>) -> Result<String> {
        for param in self.model.params() {
            if param.tensor().to_f32()?.iter().any(|v| !v.is_finite()) {
                return Ok(format!("weight {}", param.name()));
            }
        }
        let broken = squares.iter().find(|(_, s)| !s.is_finite());
        Ok(broken.map_or_else(|| "the loss".into(), |(name, _)| format!("gradient of {name}")))
    }
}

/// A number for each of `items`, equal ones for equal items; `None` where all differ.
pub(super) fn duplicate_keys<T: Eq + std::hash::Hash>(items: &[T]) -> Option<Vec<u32>> {
    let mut first = HashMap::new();
    let keys: Vec<u32> = (0u32..).zip(items).map(|(i, item)| *first.entry(item).or_insert(i)).collect();
    (first.len() < items.len()).then_some(keys)
}
