//! The loss: InfoNCE of predictions against the texts of the batch or of all classes, or a distance to their own.

use vljepa_model::{Forward, Tokens, VlJepa};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::autograd::{InfoNce, InfoNceLoss, info_nce};
use vljepa_tensor::ops::{Contrast, Duplicates, Layout, Matmul};
use vljepa_tensor::{Device, Tensor, ops};

use crate::config::{LossKind, ObjectiveConfig, ObjectiveKind, SigregConfig, VicregConfig};
use crate::error::{Result, TrainError};
use crate::random::{Purpose, Stream};
use crate::regularize::{self, directions};
pub use crate::text_bank::TextBank;

/// What is added to the cosine of a text that is no answer: at 1/τ = 1 already e^-200 of the right one.
const OUT_OF_REACH: f32 = -200.0;

/// What each prediction is told apart from.
#[derive(Debug)]
enum Candidates {
    /// The texts of its batch.
    Batch,
    /// The texts of all classes.
    Bank {
        /// Where they are the same at every step: `[classes, embedding_dim]`, L2-normalised.
        fixed: Option<Tensor>,
    },
}

/// Softened targets: a share of the target goes to all classes by their likeness.
#[derive(Debug)]
struct Soft {
    share: f32,
    scale: f32,
    /// The classes' labels through the head, `[classes, embedding_dim]`, L2-normalised.
    labels: Tensor,
}

/// What is minimised, with all that it needs at every step.
#[derive(Debug)]
pub struct Objective {
    candidates: Candidates,
    bank: Option<TextBank>,
    soft: Option<Soft>,
    /// How far a prediction is from its target.
    kind: LossKind,
    /// Share of the loss that knows wrong texts.
    wrong: f32,
    /// Weight of the loss among the answers of one question.
    own: f32,
    sigreg: Option<SigregConfig>,
    vicreg: VicregConfig,
    dim: usize,
    max_scale: f32,
}

/// What is drawn for one step: the texts that stand for the classes, and directions.
#[derive(Clone, Debug)]
pub struct StepTexts {
    /// The kind of text of each class, an index into `objective.texts`.
    pub choice: Vec<u32>,
    /// Pooled features of all classes, `[classes, hidden]`, where they are the candidates.
    features: Option<Tensor>,
    /// The directions along which SIGReg looks at embeddings, `[embedding_dim, directions]`.
    pub(crate) directions: Option<Tensor>,
}

/// The samples that one forward pass sees: a batch, or one of the parts that it is split into.
#[derive(Clone, Debug)]
pub struct MicroBatch<'a> {
    /// What is seen and asked.
    pub shown: Shown<'a>,
    /// What the prediction of each pair should be near.
    pub targets: Targets<'a>,
    /// What is known about them.
    pub known: Known<'a>,
}

/// What is known about pairs and their targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Weight of each pair's loss; absent: all are equal.
    pub weights: Option<&'a [f32]>,
    /// A number for each target, equal ones for equal texts, which are then no negatives of each other; absent: all differ.
    /// Read when the candidates are those of the batch.
    pub keys: Option<&'a [u32]>,
    /// For each pair the targets that are wrong answers to its own question. Read by [`ObjectiveConfig::own`].
    pub rivals: Option<&'a [Vec<u32>]>,
    /// Directions along which embeddings are to lie like a normal distribution ([`ObjectiveConfig::sigreg`]).
    pub directions: Option<&'a Tensor>,
}

/// What is seen and asked.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// What is seen.
    pub seen: Seen<'a>,
    /// For each of P pairs the sample that it is about.
    pub about: &'a [u32],
    /// A query for each pair.
    pub query: Option<&'a Tokens>,
}

/// What samples show.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Pixels, `[B, frames, 3, size, size]`.
    Frames(&'a Tensor),
    /// What a frozen X-Encoder made of them, `[B, tokens, width]`.
    Tokens(&'a Tensor),
}

/// The loss of samples.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The mean loss, one element.
    pub value: Var,
    /// What it was taken of.
    pub embeddings: Embeddings,
}

/// Predictions and targets, on the device.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// Predictions, `[P, embedding_dim]`, L2-normalised.
    pub predictions: Tensor,
    /// Targets, `[M, embedding_dim]`, L2-normalised.
    pub targets: Tensor,
    /// The target of each prediction.
    pub own: Vec<u32>,
}

impl Loss {
    fn of(out: &InfoNceLoss, own: Vec<u32>) -> Self {
        let (predictions, targets) = (out.prediction.value().clone(), out.target.value().clone());
        Self { value: out.loss.clone(), embeddings: Embeddings { predictions, targets, own } }
    }
}

/// Targets of samples.
#[derive(Clone, Debug)]
pub enum Targets<'a> {
    /// Classes, whose texts the bank has.
    Classes(&'a [u32]),
    /// Target embeddings, `[P + W, embedding_dim]`, not normalised: one for each pair, then W that are wrong.
    Embeddings(Var),
}

impl Objective {
    /// Prepares the objective; the head of `model` must have its initial values already.
    ///
    /// # Errors
    /// [`TrainError::Setting`] when the configuration needs a bank and there is none; what the model reports.
    pub fn new(config: &ObjectiveConfig, bank: Option<TextBank>, model: &VlJepa, device: &Device) -> Result<Self> {
        let max_scale = model.config.temperature.max_scale as f32;
        let candidates = match (config.kind, &bank) {
            (ObjectiveKind::Batch, _) => Candidates::Batch,
            (ObjectiveKind::Bank, Some(_)) => Candidates::Bank { fixed: None },
            (ObjectiveKind::Bank, None) => return Err(needs_classes("objective.kind", "`kind = \"batch\"`")),
        };
        let &ObjectiveConfig { loss: kind, wrong, own, sigreg, vicreg, .. } = config;
        let dim = model.config.embedding_dim;
        let soft = None;
        let mut objective = Self { candidates, bank, soft, kind, wrong, own, sigreg, vicreg, dim, max_scale };
        let (Candidates::Bank { fixed }, Some(bank)) = (&mut objective.candidates, &objective.bank) else {
            return Ok(objective);
        };
        let same_always = !config.y_head.train && bank.kinds.len() == 1;
        if same_always || config.soft_labels > 0.0 {
            let rows = bank.embeddings(model)?;
            let labels = Tensor::from_f32(device, &[bank.classes, model.config.embedding_dim], &rows)?;
            *fixed = same_always.then(|| labels.clone());
            let (share, scale) = (config.soft_labels, config.soft_scale);
            objective.soft = (share > 0.0).then_some(Soft { share, scale, labels });
        }
        Ok(objective)
    }

    /// The texts of all classes, where there are classes.
    pub fn bank(&self) -> Option<&TextBank> {
        self.bank.as_ref()
    }

    /// Number of candidates that a prediction is told apart from, the right one included, in a part of `batch`.
    pub fn candidates(&self, batch: usize) -> usize {
        match (&self.candidates, &self.bank) {
            (Candidates::Bank { .. }, Some(bank)) => bank.classes,
            _ => batch,
        }
    }

    /// Draws the texts of a step, a function of seed and step alone, and puts those of a bank together on the device.
    ///
    /// # Errors
    /// What the device reports.
    pub fn texts_at(&self, device: &Device, seed: u64, step: u64) -> Result<StepTexts> {
        let dim = self.dim;
        let directions =
            self.sigreg.as_ref().map(|sigreg| directions(device, sigreg, dim, (seed, step))).transpose()?;
        let Some(bank) = &self.bank else {
            return Ok(StepTexts { choice: Vec::new(), features: None, directions });
        };
        let choice: Vec<u32> = match bank.kinds.len() {
            1 => vec![0; bank.classes],
            kinds => {
                let mut dice = Stream::new(seed, Purpose::Text, step);
                (0..bank.classes).map(|_| dice.below(kinds) as u32).collect()
            }
        };
        let features = match (&self.candidates, &bank.kinds[..]) {
            (Candidates::Batch | Candidates::Bank { fixed: Some(_) }, _) => None,
            (_, [kind]) if kind.len() == 1 => kind.first().cloned(),
            _ => {
                let ids: Vec<u32> = (0..bank.classes as u32).map(|class| bank.row(class, &choice)).collect();
                Some(bank.rows(device, &ids)?)
            }
        };
        Ok(StepTexts { choice, features, directions })
    }

    /// The mean loss of samples, and what it is made of. `texts` are those of the step ([`Objective::texts_at`]).
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when candidates of a bank meet samples without classes; what the model and the operators
    /// report.
    pub fn loss(&self, model: &VlJepa, f: &Forward, samples: &MicroBatch<'_>, texts: &StepTexts) -> Result<Loss> {
        let (Seen::Frames(seen) | Seen::Tokens(seen)) = samples.shown.seen;
        let device = seen.device();
        if let (Targets::Classes(classes), Some(bank)) = (&samples.targets, &self.bank)
            && let Some(class) = classes.iter().find(|class| **class as usize >= bank.classes)
        {
            let what = format!("a sample has the class {class}, and there are {} classes", bank.classes);
            return Err(TrainError::Invalid(what));
        }
        let prediction = predict(model, f, &samples.shown)?;
        let log_scale = model.logit_scale(f);
        let features = |rows: Tensor| model.project_text(f, &Var::constant(rows));
        match (&self.candidates, &samples.targets, &self.bank) {
            (Candidates::Batch, Targets::Embeddings(targets), _) => {
                self.in_batch(&prediction, targets, &log_scale, &samples.known)
            }
            (Candidates::Batch, Targets::Classes(classes), Some(bank)) => {
                let ids: Vec<u32> = classes.iter().map(|&class| bank.row(class, &texts.choice)).collect();
                let targets = features(bank.rows(device, &ids)?)?;
                self.in_batch(&prediction, &targets, &log_scale, &samples.known)
            }
            (Candidates::Bank { fixed }, Targets::Classes(classes), _) => {
                let own = Tensor::from_u32(device, &[classes.len()], classes)?;
                let candidates = match (fixed, &texts.features) {
                    (Some(fixed), _) => Var::constant(fixed.clone()),
                    (None, Some(rows)) => features(rows.clone())?,
                    (None, None) => return Err(TrainError::Invalid("the step has no texts of the bank".into())),
                };
                let mut options = InfoNce::to_bank(&own).max_scale(self.max_scale);
                if fixed.is_some() {
                    options = options.targets_normalised();
                }
                let weights = uploaded(device, samples.known.weights)?;
                if let Some(weights) = &weights {
                    options = options.weights(weights);
                }
                let out = info_nce(&prediction, &candidates, &log_scale, &options)?;
                let loss = Loss::of(&out, classes.to_vec());
                let Some(soft) = &self.soft else { return Ok(loss) };
                // 1/τ = min(exp(s), max_scale)
                let scale = autograd::exp(&autograd::clamp(&log_scale, f32::MIN, self.max_scale.ln())?)?;
                let softened = soft.term(&out.prediction, &out.target, &scale, &own, samples.known.weights)?;
                Ok(Loss { value: autograd::add(&out.loss, &softened)?, ..loss })
            }
            _ => Err(TrainError::Invalid("the samples' classes or a bank of texts are missing".into())),
        }
    }

    /// The loss of P predictions and P + W targets of a batch, none of them normalised. Both ways among the right texts; for a share
    /// of the loss among right and wrong ones; and, added to it, among the answers of each question alone.
    pub(crate) fn in_batch(&self, prediction: &Var, targets: &Var, log_scale: &Var, known: &Known<'_>) -> Result<Loss> {
        let loss = match self.kind {
            LossKind::Infonce => self.among_texts(prediction, targets, log_scale, known)?,
            _ => self.distance(prediction, targets, known.weights)?,
        };
        let (Some(sigreg), Some(directions)) = (&self.sigreg, known.directions) else { return Ok(loss) };
        let mut value = loss.value;
        // What is not trained needs no push.
        for side in [prediction, targets].into_iter().filter(|side| side.needs_grad()) {
            value = autograd::add(&value, &autograd::scale(&regularize::sigreg(side, directions)?, sigreg.weight)?)?;
        }
        Ok(Loss { value, ..loss })
    }

    fn among_texts(&self, prediction: &Var, targets: &Var, log_scale: &Var, known: &Known<'_>) -> Result<Loss> {
        let device = prediction.value().device();
        let weights = uploaded(device, known.weights)?;
        let upload = |numbers: &[u32]| Tensor::from_u32(device, &[numbers.len()], numbers);
        let among = |targets: &Var, own: Option<&Tensor>| -> Result<InfoNceLoss> {
            let mut options = own.map_or_else(InfoNce::bidirectional, InfoNce::to_bank).max_scale(self.max_scale);
            let keys = known.keys.map(|keys| upload(&keys[..targets.value().shape()[0]])).transpose()?;
            if let Some(keys) = &keys {
                options = options.duplicates(Duplicates::LeftOut, keys);
            }
            if let Some(weights) = &weights {
                options = options.weights(weights);
            }
            Ok(info_nce(prediction, targets, log_scale, &options)?)
        };
        let pairs = prediction.value().shape()[0];
        let own: Vec<u32> = (0..pairs as u32).collect();
        if targets.value().shape()[0] == pairs {
            return Ok(Loss::of(&among(targets, None)?, own));
        }
        let own_rows = upload(&own)?;
        let right = among(&autograd::slice(targets, 0, 0, pairs)?, None)?;
        let all = among(targets, Some(&own_rows))?;
        let parts = [(&right.loss, 1.0 - self.wrong), (&all.loss, self.wrong)];
        let [right_part, all_part] = parts.map(|(loss, share)| autograd::scale(loss, share));
        let mut value = autograd::add(&right_part?, &all_part?)?;
        if let Some(alone) = self.among_own(&all.cosine, &own_rows, log_scale, known)? {
            value = autograd::add(&value, &autograd::scale(&alone, self.own)?)?;
        }
        Ok(Loss { value, ..Loss::of(&right, own) })
    }

    /// The cross-entropy of each right answer among those of its own question, of the cosines of all predictions and targets: the
    /// others are pushed out of reach.
    fn among_own(&self, cosine: &Var, own: &Tensor, log_scale: &Var, known: &Known<'_>) -> Result<Option<Var>> {
        let Some(rivals) = known.rivals.filter(|_| self.own > 0.0) else { return Ok(None) };
        let (device, (rows, columns)) = (cosine.value().device(), cosine.value().rows_cols());
        let weight = |i: usize| known.weights.and_then(|weights| weights.get(i).copied()).unwrap_or(1.0);
        let (mut off, mut weights) = (vec![OUT_OF_REACH; rows * columns], vec![0.0; rows]);
        for (i, rivals) in rivals.iter().enumerate().filter(|(_, rivals)| !rivals.is_empty()) {
            weights[i] = weight(i);
            for j in rivals.iter().map(|&j| j as usize).chain([i]) {
                off[i * columns + j] = 0.0;
            }
        }
        if weights.iter().sum::<f32>() == 0.0 {
            return Ok(None);
        }
        let off = Var::constant(Tensor::from_f32(device, &[rows, columns], &off)?);
        let weights = Tensor::from_f32(device, &[rows], &weights)?;
        let options = Contrast::to_bank(own).max_scale(self.max_scale).weights(&weights);
        Ok(Some(autograd::contrast(&autograd::add(cosine, &off)?, log_scale, &options)?))
    }

    /// The weighted mean distance of each prediction and its own target.
    fn distance(&self, prediction: &Var, targets: &Var, weights: Option<&[f32]>) -> Result<Loss> {
        let unit = |x: &Var| autograd::l2_normalize(x, InfoNce::bidirectional().eps);
        let (predicted, target) = (unit(prediction)?, unit(targets)?);
        let embeddings = Embeddings {
            predictions: predicted.value().clone(),
            targets: target.value().clone(),
            own: (0..prediction.value().shape()[0] as u32).collect(),
        };
        if self.kind == LossKind::Vicreg {
            let value = regularize::vicreg(prediction, targets, &self.vicreg)?;
            return Ok(Loss { value, embeddings });
        }
        let terms = match self.kind {
            // 1 − cos: half of the squared distance of unit vectors.
            LossKind::Cosine => {
                let off = autograd::sub(&predicted, &target)?;
                autograd::scale(&autograd::mul(&off, &off)?, 0.5)?
            }
            LossKind::L1 => autograd::abs(&autograd::sub(prediction, &target)?)?,
            LossKind::L2 | LossKind::Infonce | LossKind::Vicreg => {
                let off = autograd::sub(prediction, &target)?;
                autograd::mul(&off, &off)?
            }
        };
        let (terms, total) = weighted(&terms, weights)?;
        let value = autograd::scale(&autograd::sum(&terms)?, 1.0 / total)?;
        Ok(Loss { value, embeddings })
    }
}

/// Predictions of pairs, `[P, embedding_dim]`, not normalised. The X-Encoder sees each sample once.
pub(crate) fn predict(model: &VlJepa, f: &Forward, shown: &Shown<'_>) -> Result<Var> {
    let tokens = match shown.seen {
        Seen::Frames(frames) if is_counting(shown.about, frames.shape()[0]) => {
            return Ok(model.predict(f, frames, shown.query)?);
        }
        Seen::Frames(frames) => model.encode_frames(f, frames)?,
        Seen::Tokens(tokens) => Var::constant(tokens.clone()),
    };
    Ok(model.predict_tokens(f, &of_samples(&tokens, shown.about)?, shown.query)?)
}

/// Rows times their weights, and the sum of these; without any each counts 1.
fn weighted(rows: &Var, weights: Option<&[f32]>) -> Result<(Var, f32)> {
    let (count, len) = (rows.shape()[0], rows.value().len());
    let Some(weights) = weights else { return Ok((rows.clone(), count as f32)) };
    let spread: Vec<f32> = weights.iter().flat_map(|&w| std::iter::repeat_n(w, len / count)).collect();
    let spread = Var::constant(Tensor::from_f32(rows.value().device(), rows.shape(), &spread)?);
    Ok((autograd::mul(rows, &spread)?, weights.iter().sum()))
}

/// Weights on the device.
fn uploaded(device: &Device, weights: Option<&[f32]>) -> Result<Option<Tensor>> {
    Ok(weights.map(|weights| Tensor::from_f32(device, &[weights.len()], weights)).transpose()?)
}

/// Whether they are all numbers below `count`, in order.
fn is_counting(numbers: &[u32], count: usize) -> bool {
    numbers.iter().copied().eq(0..count as u32)
}

/// The tokens of the sample that each pair is about, `[samples, N, D]` → `[P, N, D]`.
fn of_samples(tokens: &Var, about: &[u32]) -> Result<Var> {
    let shape = tokens.value().shape().to_vec();
    if is_counting(about, shape[0]) {
        return Ok(tokens.clone());
    }
    let ids = ops::upload_ids(tokens.value().device(), &[about.len()], about, shape[0])?;
    let flat = tokens.reshape(&[shape[0], shape[1] * shape[2]])?;
    Ok(autograd::gather_rows(&flat, &ids)?.reshape(&[about.len(), shape[1], shape[2]])?)
}

impl Soft {
    /// Softening the targets by a share w adds
    /// w · mean_i Σ_j (onehot − soft)_ij logit_ij, which is linear in the logits: w/τ · mean_i u_i · ((onehot − soft) Z)_i.
    fn term(&self, prediction: &Var, bank: &Var, scale: &Var, own: &Tensor, weights: Option<&[f32]>) -> Result<Var> {
        let labels = &self.labels;
        let similarity = ops::matmul(&ops::gather_rows(labels, own)?, labels, &Matmul::nt().alpha(self.scale))?;
        let soft = Var::constant(ops::softmax(&similarity)?);
        let difference =
            autograd::sub(&autograd::gather_rows(bank, own)?, &autograd::matmul(&soft, bank, Layout::Nn)?)?;
        let len = difference.value().len();
        let (difference, total) = weighted(&difference, weights)?;
        let dot = autograd::matmul(&prediction.reshape(&[1, len])?, &difference.reshape(&[1, len])?, Layout::Nt)?;
        let dot = autograd::mul(&dot.reshape(&[1])?, scale)?;
        Ok(autograd::scale(&dot, self.share / total)?)
    }
}

/// The fault of a setting that needs a source with classes.
pub(crate) fn needs_classes(key: &str, instead: &str) -> TrainError {
    TrainError::setting(key, format!("`{key}` needs a source whose samples have classes; take {instead}"))
}
