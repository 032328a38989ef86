//! One step: loss and gradients of a batch, and what they do to the weights.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use vljepa_model::{Forward, ModelError, TextTokenizer, Tokens};
use vljepa_tensor::autograd::{Tape, Var};
use vljepa_tensor::{Tensor, ops};

use super::Trainer;
use super::report::StepReport;
use crate::data::{Batch, Encoded};
use crate::error::{Result, TrainError};
use crate::objective::{MicroBatch, Seen, StepTexts, Targets};
use crate::optim::Method;
use crate::random::{Purpose, Stream};

/// Loss and gradients of a batch, still on the device.
struct Accumulated {
    /// Of each part: its mean loss, and what that is divided by in the mean over the batch.
    losses: Vec<(Tensor, f32)>,
    grads: BTreeMap<String, Tensor>,
}

impl Accumulated {
    /// The mean loss of the batch from the values of its parts.
    fn mean(&self, values: &[f32]) -> f32 {
        self.losses.iter().enumerate().map(|(i, (_, over))| values.get(i).copied().unwrap_or(f32::NAN) / over).sum()
    }
}

/// For `map_err`: the fault of a tokenizer, with the name of its file.
fn of_file(tokenizer: &TextTokenizer) -> impl FnOnce(ModelError) -> TrainError {
    let file = tokenizer.file().map(str::to_owned);
    move |error| match file {
        Some(file) => TrainError::Invalid(format!("{file}: {error}")),
        None => error.into(),
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
        let (count, side) = (batch.len() / parts, batch.size as usize);
        let shape = match batch.encoded {
            Some(Encoded { tokens, width }) => vec![count, tokens, width],
            None => vec![count, batch.frames, 3, side, side],
        };
        let values = shape.iter().skip(1).product::<usize>();
        let even = batch.weights.iter().all(|weight| *weight == 1.0);
        let total: f32 = batch.weights.iter().sum();
        let texts = self.objective.texts_at(&self.device, self.config.seed, batch.step)?;
        let chosen = self.chosen_texts(batch, &texts);
        let mut sums = Accumulated { losses: Vec::with_capacity(parts), grads: BTreeMap::new() };
        for rows in (0..parts).map(|i| i * count..(i + 1) * count) {
            let pixels = &batch.pixels[rows.start * values..rows.end * values];
            let seen = Tensor::from_f32(&self.device, &shape, pixels)?;
            let (tape, trained) = (Tape::new(), self.trained.clone());
            let f = Forward::training(tape.clone(), move |name| trained.contains(name));
            let classes: Vec<u32> = batch.classes[rows.clone()].iter().filter_map(|class| *class).collect();
            let (targets, keys) = match &chosen {
                Some(chosen) => {
                    let chosen = &chosen[rows.clone()];
                    (Targets::Embeddings(self.embed(&f, chosen)?), duplicate_keys(chosen))
                }
                None => (Targets::Classes(&classes), duplicate_keys(&classes)),
            };
            let query = self.queries_of(batch, rows.clone())?;
            let weights = &batch.weights[rows];
            let over = if even { parts as f32 } else { total / weights.iter().sum::<f32>() };
            let samples = MicroBatch {
                seen: match batch.encoded {
                    Some(_) => Seen::Tokens(&seen),
                    None => Seen::Frames(&seen),
                },
                query: query.as_ref(),
                targets,
                weights: (!even).then_some(weights),
                keys: keys.as_deref(),
            };
            let loss = self.objective.loss(&self.model, &f, &samples, &texts)?;
            let seed = ops::full(&self.device, loss.shape(), 1.0 / over)?;
            for (name, grad) in f.gradients(tape.backward(&loss, Some(seed))?) {
                let sum = match sums.grads.get(&name) {
                    Some(earlier) => ops::add(earlier, &grad)?,
                    None => grad,
                };
                sums.grads.insert(name, sum);
            }
            sums.losses.push((loss.value().clone(), over));
        }
        Ok(sums)
    }

    /// A right text of each sample, where the step embeds texts: where the Y-Encoder is trained, or samples have no classes.
    /// A function of seed and step alone.
    fn chosen_texts(&self, batch: &Batch, texts: &StepTexts) -> Option<Vec<String>> {
        let o = &self.config.objective;
        let bank = self.source.bank();
        if bank.is_some() && !o.train_y_encoder && batch.classes.iter().all(Option::is_some) {
            return None;
        }
        let mut dice = Stream::new(self.config.seed, Purpose::Text, batch.step);
        let mut any = |texts: &[String]| texts.get(dice.below(texts.len())).cloned().unwrap_or_default();
        let text = |(class, targets): (&Option<u32>, &Vec<String>)| match (bank, *class) {
            (Some(bank), Some(class)) => {
                let kind = texts.choice.get(class as usize).and_then(|&kind| o.texts.get(kind as usize));
                kind.map_or_else(String::new, |&kind| bank.text(class as usize, kind))
            }
            _ => any(targets),
        };
        Some(batch.classes.iter().zip(&batch.targets).map(text).collect())
    }

    /// Target embeddings of texts, `[B, embedding_dim]`, not normalised.
    fn embed(&self, f: &Forward, texts: &[String]) -> Result<Var> {
        let y = &self.model.config.y_encoder;
        let (ids, _) = self.tokenizer.encode_all(&y.prompt, texts).map_err(of_file(&self.tokenizer))?;
        let tokens = Tokens::new(&self.device, &ids, y.config.pad_token_id())?;
        if self.config.objective.train_y_encoder {
            return Ok(self.model.encode_text(f, &tokens)?);
        }
        let pooled = self.model.pool_text(&Forward::inference(), &tokens)?;
        Ok(self.model.project_text(f, &pooled)?)
    }

    /// The queries of some samples of a batch; `None` where none of them has one.
    fn queries_of(&self, batch: &Batch, rows: Range<usize>) -> Result<Option<Tokens>> {
        let queries = &batch.queries[rows.clone()];
        let Some(first) = queries.iter().position(Option::is_some) else { return Ok(None) };
        let Some(tokenizer) = &self.queries else {
            let origin = &batch.origins[rows.start + first];
            return Err(TrainError::Invalid(format!("{origin} has a query, and the run has no tokenizer for queries")));
        };
        let ids = |query: &Option<String>| match query {
            Some(text) => Ok(tokenizer.encode(text).map_err(of_file(tokenizer))?.ids),
            None => Ok(Vec::new()),
        };
        let ids = queries.iter().map(ids).collect::<Result<Vec<_>>>()?;
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
fn duplicate_keys<T: Eq + std::hash::Hash>(items: &[T]) -> Option<Vec<u32>> {
    let mut first = HashMap::new();
    let keys: Vec<u32> = (0u32..).zip(items).map(|(i, item)| *first.entry(item).or_insert(i)).collect();
    (first.len() < items.len()).then_some(keys)
}
