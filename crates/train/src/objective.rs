//! The loss: predictions against the texts of the batch or of all training concepts.

use vljepa_model::{Forward, VlJepa};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{Contrast, Layout, Matmul};
use vljepa_tensor::{Device, Tensor, ops};

use crate::config::{ObjectiveConfig, ObjectiveKind, TextKind, YHeadConfig};
use crate::corpus::Corpus;
use crate::embed::Embedder;
use crate::error::{Result, TrainError};
use crate::linalg::{Hint, whiten};
use crate::metrics::normalize_rows;

/// Epsilon of the L2 normalisation of predictions and targets.
const NORM_EPS: f32 = 1e-12;

/// Texts of the classes as pooled vectors of the frozen Y-Encoder, per kind of text `[classes, hidden]`.
#[derive(Clone, Debug)]
pub struct TextBank {
    hidden: usize,
    classes: usize,
    features: Vec<Vec<f32>>,
}

impl TextBank {
    /// Encodes every class's texts once.
    ///
    /// # Errors
    /// What the tokenizer and the model report.
    pub fn encode(embedder: &Embedder<'_>, corpus: &Corpus, config: &ObjectiveConfig) -> Result<Self> {
        let features =
            config.texts.iter().map(|&kind| embedder.text_features(&corpus.texts(kind))).collect::<Result<_>>()?;
        let hidden = embedder.model.config.y_encoder.output_size();
        Ok(Self { hidden, classes: corpus.concepts.len(), features })
    }

    /// Number of kinds of texts.
    pub fn kinds(&self) -> usize {
        self.features.len()
    }

    /// The features of `classes`, of the kind that `choice` names for each class: `[len, hidden]`.
    fn select(&self, classes: impl Iterator<Item = usize>, choice: &[u32]) -> Vec<f32> {
        let row = |class: usize| -> &[f32] {
            let kind = choice.get(class).copied().unwrap_or(0) as usize;
            &self.features[kind][class * self.hidden..(class + 1) * self.hidden]
        };
        classes.flat_map(|class| row(class).iter().copied()).collect()
    }

    /// The first kind's texts through the head of `model`, `[classes, embedding_dim]`, L2-normalised.
    ///
    /// # Errors
    /// What the model reports.
    pub fn embeddings(&self, model: &VlJepa, device: &Device) -> Result<Vec<f32>> {
        let rows = Tensor::from_f32(device, &[self.classes, self.hidden], &self.features[0])?;
        let mut out = model.project_text(&Forward::inference(), &Var::constant(rows))?.value().to_f32()?;
        normalize_rows(&mut out, model.config.embedding_dim);
        Ok(out)
    }

    /// Puts the map that centres and whitens the first kind's features into the Y-Encoder's head, as `config` says.
    ///
    /// # Errors
    /// [`TrainError::Setting`] when the texts span fewer dimensions than the head gives, or the head has no bias; what the
    /// model reports.
    pub fn whiten_head(&self, embedder: &Embedder<'_>, corpus: &Corpus, config: &YHeadConfig) -> Result<()> {
        let model = embedder.model;
        let dim = model.config.embedding_dim;
        let tags = match config.tags > 0.0 {
            true => Some(embedder.text_features(&corpus.texts(TextKind::LabelAndTags))?),
            false => None,
        };
        let hint = tags.as_ref().map(|rows| Hint { rows, share: config.tags, ridge: config.ridge });
        let Some(head) = whiten(&self.features[0], self.hidden, dim, config.strength, hint.as_ref()) else {
            let what = format!(
                "`objective.y_head`: {} texts of {} dimensions cannot be whitened to {dim}: take a smaller `embedding_dim` or \
                 `whiten = false`",
                self.classes, self.hidden
            );
            return Err(TrainError::setting("objective.y_head", what));
        };
        let params = model.params();
        let find = |name: &str| params.iter().find(|p| p.name() == name).map(|p| p.tensor());
        let (Some(weight), Some(bias)) = (find("y_head.weight"), find("y_head.bias")) else {
            return Err(TrainError::setting(
                "objective.y_head",
                "`objective.y_head`: whitening needs a head with a bias; take `whiten = false` or a model with one",
            ));
        };
        weight.write_f32(&head.weight)?;
        bias.write_f32(&head.bias)?;
        Ok(())
    }
}

/// Where the targets come from during the run.
#[derive(Debug)]
enum Targets {
    /// L2-normalised bank `[classes, D]`, the same at every step.
    Fixed(Tensor),
    /// Cached features through the head, chosen anew at every step.
    Features,
}

/// The objective with what it needs at every step.
#[derive(Debug)]
pub struct Objective {
    config: ObjectiveConfig,
    bank: TextBank,
    targets: Targets,
    /// The classes' labels through the head `[classes, D]`, L2-normalised, for soft labels.
    labels: Option<Tensor>,
    max_scale: f32,
}

/// One part of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// `[B, 1, 3, size, size]`.
    pub frames: &'a Tensor,
    /// Class of each picture.
    pub classes: &'a [u32],
    /// Which kind of text stands for each class of the corpus at this step.
    pub choice: &'a [u32],
}

impl Objective {
    /// Prepares the objective; the head of `model` must have its initial values already.
    ///
    /// # Errors
    /// What the model reports.
    pub fn new(config: &ObjectiveConfig, bank: TextBank, model: &VlJepa, device: &Device) -> Result<Self> {
        let dim = model.config.embedding_dim;
        let fixed = config.kind == ObjectiveKind::Bank && !config.y_head.train && bank.kinds() == 1;
        let labels = match fixed || config.soft_labels > 0.0 {
            true => Some(Tensor::from_f32(device, &[bank.classes, dim], &bank.embeddings(model, device)?)?),
            false => None,
        };
        let targets = match &labels {
            Some(labels) if fixed => Targets::Fixed(labels.clone()),
            _ => Targets::Features,
        };
        let labels = labels.filter(|_| config.soft_labels > 0.0);
        let max_scale = model.config.temperature.max_scale as f32;
        Ok(Self { config: config.clone(), bank, targets, labels, max_scale })
    }

    /// Number of kinds of texts to choose from.
    pub fn kinds(&self) -> usize {
        self.bank.kinds()
    }

    /// The texts of all classes.
    pub fn bank(&self) -> &TextBank {
        &self.bank
    }

    /// Number of candidates that a prediction is told apart from, the right one included, in a part of `batch`.
    pub fn candidates(&self, batch: usize) -> usize {
        match self.config.kind {
            ObjectiveKind::Batch => batch,
            ObjectiveKind::Bank => self.bank.classes,
        }
    }

    /// The mean loss of a part, one element.
    ///
    /// # Errors
    /// What the model and the operators report.
    pub fn loss(&self, model: &VlJepa, f: &Forward, part: Part<'_>, text: Option<&Var>) -> Result<Var> {
        let device = part.frames.device();
        let prediction = autograd::l2_normalize(&model.predict(f, part.frames, None)?, NORM_EPS)?;
        let log_scale = model.logit_scale(f);
        if self.config.kind == ObjectiveKind::Batch {
            let target = match text {
                Some(text) => text.clone(),
                None => {
                    let rows = self.bank.select(part.classes.iter().map(|&c| c as usize), part.choice);
                    let rows = Tensor::from_f32(device, &[part.classes.len(), self.bank.hidden], &rows)?;
                    model.project_text(f, &Var::constant(rows))?
                }
            };
            let target = autograd::l2_normalize(&target, NORM_EPS)?;
            let cosine = autograd::matmul(&prediction, &target, Layout::Nt)?;
            let both = Contrast::bidirectional().max_scale(self.max_scale);
            return Ok(autograd::contrast(&cosine, &log_scale, &both)?);
        }
        let bank = match &self.targets {
            Targets::Fixed(bank) => Var::constant(bank.clone()),
            Targets::Features => {
                let rows = self.bank.select(0..self.bank.classes, part.choice);
                let rows = Tensor::from_f32(device, &[self.bank.classes, self.bank.hidden], &rows)?;
                autograd::l2_normalize(&model.project_text(f, &Var::constant(rows))?, NORM_EPS)?
            }
        };
        let cosine = autograd::matmul(&prediction, &bank, Layout::Nt)?;
        let own = Tensor::from_u32(device, &[part.classes.len()], part.classes)?;
        let loss = autograd::contrast(&cosine, &log_scale, &Contrast::to_bank(&own).max_scale(self.max_scale))?;
        let Some(labels) = &self.labels else { return Ok(loss) };
        // 1/τ = min(exp(s), max_scale)
        let scale = autograd::exp(&autograd::clamp(&log_scale, f32::MIN, self.max_scale.ln())?)?;
        Ok(autograd::add(&loss, &self.soften(labels, &prediction, &bank, &scale, &own)?)?)
    }

    /// Softening the targets by a share w adds
    /// w · mean_i Σ_j (onehot − soft)_ij logit_ij, which is linear in the logits: w/τ · mean_i u_i · ((onehot − soft) Z)_i.
    fn soften(&self, labels: &Tensor, prediction: &Var, bank: &Var, scale: &Var, own: &Tensor) -> Result<Var> {
        let count = own.len();
        let alike = ops::matmul(&ops::gather_rows(labels, own)?, labels, &Matmul::nt().alpha(self.config.soft_scale))?;
        let soft = Var::constant(ops::softmax(&alike)?);
        let away = autograd::sub(&autograd::gather_rows(bank, own)?, &autograd::matmul(&soft, bank, Layout::Nn)?)?;
        let len = away.value().len();
        let dot = autograd::matmul(&prediction.reshape(&[1, len])?, &away.reshape(&[1, len])?, Layout::Nt)?;
        let dot = autograd::mul(&dot.reshape(&[1])?, scale)?;
        Ok(autograd::scale(&dot, self.config.soft_labels / count as f32)?)
    }
}
