//! A contrastive batch whose samples do not fit into memory together: in two passes (Gao et al. 2021, arXiv 2101.06983). The first
//! makes all embeddings, part by part and without a tape; the loss over them gives each row's gradient; the second makes the parts
//! again and hands these gradients on.

use std::collections::BTreeMap;
use std::ops::Range;

use vljepa_model::Forward;
use vljepa_tensor::autograd::{Tape, Var};
use vljepa_tensor::{Tensor, ops};

use super::Trainer;
use super::step::{Accumulated, add_to, duplicate_keys};
use crate::data::Batch;
use crate::error::Result;
use crate::objective::{Known, StepTexts, predict};

/// What makes rows of embeddings.
#[derive(Clone, Debug)]
enum Job {
    /// Predictions about these samples of the batch.
    Samples(Range<usize>),
    /// Targets, of these texts.
    Texts(Range<usize>),
}

impl Trainer {
    /// Loss and gradients of a whole batch in `parts` parts. `chosen` has a right text for each pair.
    pub(super) fn in_two_passes(
        &self,
        batch: &Batch,
        parts: usize,
        chosen: &[String],
        drawn: &StepTexts,
    ) -> Result<Accumulated> {
        let texts: Vec<&str> = chosen.iter().map(String::as_str).chain(self.wrong_texts(&batch.pairs)).collect();
        // A frozen Y-Encoder keeps nothing for the way back; then all texts are one part.
        let in_parts = if self.config.objective.train_y_encoder { parts } else { 1 };
        let samples = split(batch.len(), parts).map(Job::Samples);
        let jobs: Vec<Job> = samples.chain(split(texts.len(), in_parts).map(Job::Texts)).collect();
        let rows = |job: &Job, f: &Forward| -> Result<Var> {
            match job {
                Job::Texts(range) => self.embed(f, &texts[range.clone()]),
                Job::Samples(range) => {
                    let part = self.part(batch, range.clone())?;
                    predict(&self.model, f, &part.shown())
                }
            }
        };
        let without_tape = |job: &Job| Ok(rows(job, &Forward::training(Tape::new(), |_| false))?.value().clone());
        let made = jobs.iter().map(without_tape).collect::<Result<Vec<Tensor>>>()?;

        let (predictions, targets) = made.split_at(parts);
        let [predictions, targets] =
            [predictions, targets].map(|rows| ops::concat(&rows.iter().collect::<Vec<_>>(), 0));
        let (tape, f) = self.pass();
        let o = &self.config.objective;
        let trained = o.train_y_encoder || o.y_head.train;
        let leaf = |rows: Tensor, trained: bool| if trained { tape.leaf(rows) } else { Var::constant(rows) };
        let (predictions, targets) = (leaf(predictions?, true), leaf(targets?, trained));
        let weights: Vec<f32> = batch.pairs.iter().map(|pair| pair.weight).collect();
        let weights = weights.iter().any(|weight| *weight != 1.0).then_some(&weights[..]);
        let (keys, rivals) = (duplicate_keys(&texts), self.rivals(&batch.pairs, &texts));
        let log_scale = self.model.logit_scale(&f);
        let (rivals, directions) = (rivals.as_deref(), drawn.directions.as_ref());
        let known = Known { weights, keys: keys.as_deref(), rivals, directions };
        let loss = self.objective.in_batch(&predictions, &targets, &log_scale, &known)?;
        let mut gradients = tape.backward(&loss.value, None)?;
        let of_rows = [gradients.take(&predictions), gradients.take(&targets)];
        let mut grads = BTreeMap::new();
        add_to(&mut grads, f.gradients(gradients))?;

        let mut next = [0, 0];
        for (job, made) in jobs.iter().zip(&made) {
            let side = usize::from(matches!(job, Job::Texts(_)));
            let (first, count) = (next[side], made.shape()[0]);
            next[side] += count;
            let Some(of_rows) = &of_rows[side] else { continue };
            let (tape, f) = self.pass();
            let rows = rows(job, &f)?;
            if rows.needs_grad() {
                let seed = ops::slice(of_rows, 0, first, count)?;
                add_to(&mut grads, f.gradients(tape.backward(&rows, Some(seed))?))?;
            }
        }
        Ok(Accumulated { losses: vec![(loss.value.value().clone(), 1.0)], grads, embeddings: Some(loss.embeddings) })
    }
}

/// `0..count` in `parts` ranges, the first ones longer by one where they are not alike.
fn split(count: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let start = move |i: usize| i * (count / parts) + i.min(count % parts);
    (0..parts).map(move |i| start(i)..start(i + 1)).filter(|range| !range.is_empty())
}
