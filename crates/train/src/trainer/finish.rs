//! What a run has made: figures on validation data, the fitted head, the weights.

use vljepa_embed::{Embedder, at_size};
use vljepa_model::Storage;

use super::Trainer;
use super::report::Trained;
use crate::error::{Result, TrainError};
use crate::linalg::{Affine, regress};
use crate::metrics::Validation;
use crate::objective::needs_classes;

impl Trainer {
    /// Evaluates the averaged weights (the present ones without averaging) on validation data.
    ///
    /// # Errors
    /// What data and model report.
    pub fn validate(&self) -> Result<Validation> {
        self.averaged(|| self.measure())
    }

    /// What the run has made: averaged weights where there are any, the head fitted where that is asked for.
    ///
    /// # Errors
    /// What data and model report.
    pub fn finish(&self, storage: Storage) -> Result<Trained> {
        self.finish_with(storage, &mut |_| ())
    }

    /// [`Trainer::finish`], which calls `progress` before each part that takes long, with what it does.
    ///
    /// # Errors
    /// As [`Trainer::finish`].
    pub fn finish_with(&self, storage: Storage, progress: &mut dyn FnMut(&str)) -> Result<Trained> {
        // Fitted once, for weights and figures.
        self.averaged(|| {
            self.fitted(progress, || Ok(Trained { validation: self.measure()?, weights: self.model.save(storage)? }))
        })
    }

    /// Evaluates the weights that are in the model.
    fn measure(&self) -> Result<Validation> {
        if let Some(decoder) = &self.config.decoder {
            return self.written(decoder);
        }
        self.source.validate(&self.embedder(), &at_size(&self.preprocess(), self.measured_size()))
    }

    /// Side of the pictures of an evaluation: that of the last step.
    pub(crate) fn measured_size(&self) -> u32 {
        let last = self.step.min(self.config.steps.saturating_sub(1));
        self.config.data.image_size_at(last, self.config.steps, self.preprocess().size)
    }

    pub(super) fn embedder(&self) -> Embedder<'_> {
        let (device, batch) = (&self.device, self.config.evaluate.batch);
        Embedder {
            device,
            model: &self.model,
            tokenizer: &self.tokenizer,
            queries: self.queries.as_ref(),
            stored: self.stored.as_deref(),
            batch,
        }
    }

    /// Runs `body` with the head of the model fitted, where that is asked for.
    fn fitted<T>(&self, progress: &mut dyn FnMut(&str), body: impl FnOnce() -> Result<T>) -> Result<T> {
        let head = self.model.predictor_head();
        let (Some(fit), Some(bias)) = (self.config.head_fit, head.bias()) else { return body() };
        let (weight, bias) = (head.weight().tensor(), bias.tensor());
        progress("fitting the head to the labels");
        let (dim, width) = (self.model.config.embedding_dim, self.model.config.predictor.config.hidden_size);
        let (features, targets) = self.head_samples()?;
        let trained = Affine { weight: weight.to_f32()?, bias: bias.to_f32()? };
        let fitted = regress(&features, width, &targets, dim, fit.ridge);
        let lengths = (trained.length_over(&features, width), fitted.length_over(&features, width));
        let (keep, take) = ((1.0 - fit.share) / lengths.0, fit.share / lengths.1);
        if ![keep, take, lengths.0, lengths.1].iter().all(|v| v.is_finite()) {
            return Err(TrainError::setting(
                "head_fit",
                "`head_fit`: the pictures' features are all alike, there is nothing to fit",
            ));
        }
        // Predictions keep the mean length that they had.
        let mix = |a: &[f32], b: &[f32]| -> Vec<f32> {
            a.iter().zip(b).map(|(a, b)| (lengths.0 * (keep * f64::from(*a) + take * f64::from(*b))) as f32).collect()
        };
        weight.write_f32(&mix(&trained.weight, &fitted.weight))?;
        bias.write_f32(&mix(&trained.bias, &fitted.bias))?;
        let result = body();
        weight.write_f32(&trained.weight)?;
        bias.write_f32(&trained.bias)?;
        result
    }

    /// What the Predictor's head sees of every training picture, and the unit embedding of its class's label.
    fn head_samples(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let (embedder, dim) = (self.embedder(), self.model.config.embedding_dim);
        let bank = self.objective.bank().ok_or_else(|| needs_classes("head_fit", "a run without it"))?;
        let labels = bank.embeddings(&self.model)?;
        let (mut features, mut targets) = (Vec::new(), Vec::new());
        // A few pictures at a time: they are larger than what the model sees of them.
        let mut stills = self.source.stills();
        loop {
            let part = stills.by_ref().take(embedder.batch.max(1)).collect::<Result<Vec<_>>>()?;
            if part.is_empty() {
                return Ok((features, targets));
            }
            let (pictures, classes): (Vec<_>, Vec<_>) = part.into_iter().unzip();
            for class in classes {
                let label = labels.chunks_exact(dim).nth(class as usize);
                let missing = || TrainError::Invalid(format!("a picture has the class {class}, which the bank lacks"));
                targets.extend_from_slice(label.ok_or_else(missing)?);
            }
            features.extend(embedder.picture_features(&pictures, &self.preprocess())?);
        }
    }

    /// Runs `body` with the averaged weights in the model.
    fn averaged<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.ema {
            Some(ema) => ema.during(&self.model.params(), body),
            None => body(),
        }
    }
}
