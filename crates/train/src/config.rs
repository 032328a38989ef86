//! The training configuration: one TOML file. Unknown keys are errors; paths are relative to the file's folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vljepa_data::AugmentOptions;
use vljepa_model::config::Recall;

use crate::error::{Result, TrainError};
use crate::schedule::Schedule;

/// Largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// A whole training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of initial weights, data order and augmentation.
    #[serde(default)]
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Samples of a step: different concepts, so at most as many as there are.
    pub batch: usize,
    /// Parts a step's batch is split into, to save memory. With [`ObjectiveKind::Batch`] the negatives are those of a part.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Folder of the run: checkpoints, `metrics.jsonl`, the trained `model`.
    #[serde(default = "default_output")]
    pub output: PathBuf,
    /// What is trained.
    pub model: ModelSource,
    /// What it is trained on.
    #[serde(default)]
    pub data: DataConfig,
    /// What is minimised.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// How.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Factor of all learning rates over the run.
    #[serde(default)]
    pub schedule: Schedule,
    /// Moving average of the weights, which is then what is evaluated and saved.
    #[serde(default)]
    pub ema: Option<EmaConfig>,
    /// A regression that the Predictor's head is drawn towards when training is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_fit: Option<HeadFit>,
    /// A memory of the training labels in the trained model. Training itself does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<LabelMemory>,
    /// Evaluation during training, on the validation vendor and the validation concepts only.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// `[model]`: exactly one of `config` and `folder`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSource {
    /// A model's `config.json`: start from random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// A model folder: start from its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Folder with the Y-Encoder's `model.safetensors` (or shards) and `tokenizer.json`, e.g. of all-MiniLM-L6-v2 or
    /// EmbeddingGemma, or a VL-JEPA model folder; where
    /// a `modules.json` names Dense heads, they are the configuration's `dense`. Without it the Y-Encoder is that of `folder`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_encoder: Option<PathBuf>,
}

/// `[data]`: the emoji-vendors set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Folder of the set; absent: `VLJEPA_EMOJI_VENDORS`, else the compact form in the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Whose drawings are trained on; each must have the role `train`.
    pub vendors: Vec<String>,
    /// Unicode groups that are left out, such as `Flags`.
    pub exclude_groups: Vec<String>,
    /// Side of the pictures; absent: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<u32>,
    /// Later parts of the run with another size.
    pub phases: Vec<Phase>,
    /// Batches made ahead while the GPU works.
    pub prefetch: usize,
    /// Whether drawings of things with a colour in their name keep it.
    pub keep_named_colors: bool,
    /// Changes to the pictures.
    pub augment: AugmentOptions,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dir: None,
            vendors: ["noto", "twemoji", "emojione"].map(str::to_owned).to_vec(),
            exclude_groups: Vec::new(),
            image_size: None,
            phases: Vec::new(),
            prefetch: 2,
            keep_named_colors: true,
            augment: AugmentOptions::default(),
        }
    }
}

/// A later part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Where it starts: a fraction of the steps.
    pub from: f64,
    /// Side of the pictures in it.
    pub image_size: u32,
}

impl DataConfig {
    /// Side of the pictures at a step; `model` is the model's own.
    pub fn image_size_at(&self, step: u64, steps: u64, model: u32) -> u32 {
        let first = self.image_size.unwrap_or(model);
        let started = self.phases.iter().rev().find(|p| step as f64 >= p.from * steps as f64);
        started.map_or(first, |p| p.image_size)
    }
}

/// Where the negatives come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ObjectiveKind {
    /// Bidirectional InfoNCE over the batch (the paper's).
    Batch,
    /// Cross-entropy of each prediction over the texts of all training concepts. Needs a frozen Y-Encoder.
    #[default]
    Bank,
}

/// Which text stands for a concept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TextKind {
    /// The label.
    Label,
    /// The first other name; the label where there is none.
    Name,
    /// The first eight tags, with commas; the label where there are none.
    Tags,
    /// The label, then the first eight tags.
    LabelAndTags,
}

/// `[objective]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// Where the negatives come from. Loss at the start: ln of their number + 1.
    pub kind: ObjectiveKind,
    /// Texts to draw from, evenly, for every concept and step.
    pub texts: Vec<TextKind>,
    /// Share of the target that goes to all training concepts by softmax(`soft_scale` · cosine of labels); bank only.
    pub soft_labels: f32,
    /// See `soft_labels`.
    pub soft_scale: f32,
    /// Whether the Y-Encoder is trained (at the rate of its group) or frozen, its pooled features computed once.
    pub train_y_encoder: bool,
    /// The linear head of the Y-Encoder.
    pub y_head: YHeadConfig,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::Bank,
            texts: vec![TextKind::Label],
            soft_labels: 0.0,
            soft_scale: 12.0,
            train_y_encoder: false,
            y_head: YHeadConfig::default(),
        }
    }
}

/// `[objective.y_head]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct YHeadConfig {
    /// Start as the map that centres and whitens the training labels' features (their principal components, each over
    /// its standard deviation); otherwise as the model has it.
    pub whiten: bool,
    /// Power of the standard deviation that components are divided by: 1 whitens, 0 only centres and rotates.
    pub strength: f64,
    /// Share of the head's space that is what labels tell of their concepts' tags: before whitening, the labels' centred
    /// features x become (1 − `tags`) x + `tags` x R, both parts of one mean square, R the ridge regression of the features
    /// of "label, tags" on those of labels.
    #[serde(skip_serializing_if = "is_zero")]
    pub tags: f64,
    /// Ridge of that regression, in mean variances of a component.
    #[serde(skip_serializing_if = "is_default_ridge")]
    pub ridge: f64,
    /// Whether it is trained.
    pub train: bool,
}

const DEFAULT_RIDGE: f64 = 0.1;

// Checkpoints of runs without these keys stay what they are.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_default_ridge(value: &f64) -> bool {
    *value == DEFAULT_RIDGE
}

impl Default for YHeadConfig {
    fn default() -> Self {
        Self { whiten: true, strength: 1.0, tags: 0.0, ridge: DEFAULT_RIDGE, train: false }
    }
}

/// `[head_fit]`: the Predictor's head W of the trained model becomes (1 − share) W + share R, both scaled to predictions of
/// one length, where R is the ridge regression of the training labels' unit embeddings on what the head sees of their
/// drawings. Telling things apart makes a head forget what they have in common; a regression keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadFit {
    /// Share of the regression.
    pub share: f64,
    /// Its ridge, in mean variances of a component.
    pub ridge: f64,
}

/// `[memory]`, as [`vljepa_model::config::MemoryConfig`] with a row for each training concept's label.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelMemory {
    /// Factor of the cosines in the softmax.
    pub scale: f64,
    /// Share of the memory in a prediction.
    pub share: f64,
    /// The same for texts; absent: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Recall>,
    /// 1/τ with the memory; absent: the trained one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inv_temperature: Option<f64>,
}

/// Which optimiser takes the matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerKind {
    /// AdamW for everything.
    #[default]
    Adamw,
    /// Muon for matrices, AdamW for the rest.
    Muon,
}

/// `[optimizer]`. The keys here are AdamW's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Which optimiser takes the matrices.
    pub kind: OptimizerKind,
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay of tensors with two axes or more; others have none.
    pub weight_decay: f64,
    /// Largest global norm of the gradients that AdamW takes; 0 does not clip.
    pub clip: f64,
    /// Muon's own.
    pub muon: MuonConfig,
    /// Exceptions by name, all that match apply in order. Before them stands `y_encoder.*` with `lr_scale = 0.05`.
    pub groups: Vec<GroupConfig>,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adamw,
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.05,
            clip: 1.0,
            muon: MuonConfig::default(),
            groups: Vec::new(),
        }
    }
}

/// `[optimizer.muon]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MuonConfig {
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the momentum.
    pub momentum: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Newton–Schulz iterations.
    pub iterations: u32,
    /// Matrices left to AdamW: `*` stands for any characters.
    pub exclude: Vec<String>,
}

impl Default for MuonConfig {
    fn default() -> Self {
        // The first convolution, embeddings and heads do not map activations to activations.
        let exclude = [
            "x_encoder.embeddings.stem.0.*",
            "predictor.embed_tokens.*",
            "predictor_head.*",
            "y_encoder.embeddings.*",
            "y_head.*",
        ];
        Self {
            lr: 0.02,
            momentum: 0.95,
            weight_decay: 0.02,
            iterations: 5,
            exclude: exclude.map(str::to_owned).to_vec(),
        }
    }
}

/// `[[optimizer.groups]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Names of parameters; `*` stands for any characters.
    pub pattern: String,
    /// Factor of the learning rate.
    #[serde(default = "unit")]
    pub lr_scale: f64,
    /// Weight decay in place of the optimiser's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Whether they are not trained at all.
    #[serde(default)]
    pub frozen: bool,
}

/// `[ema]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmaConfig {
    /// Time constant as a fraction of the run: the decay at step t is min(1 − 1/(horizon · steps), (1 + t)/(10 + t)).
    pub horizon: f64,
}

impl EmaConfig {
    /// Decay at step `step`, counted from 1 after the first update.
    pub fn decay(&self, step: u64, steps: u64) -> f64 {
        let (t, span) = (step as f64, (self.horizon * steps as f64).max(1.0));
        (1.0 - 1.0 / span).min((1.0 + t) / (10.0 + t))
    }
}

/// `[evaluate]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Steps between evaluations; 0: only at the end.
    pub every: u64,
    /// Whose drawings are used; must have the role `val`.
    pub vendor: String,
    /// Pictures in a batch.
    pub batch: usize,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { every: 0, vendor: "noto-v1".into(), batch: 128 }
    }
}

/// `[checkpoint]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Steps between checkpoints; 0: by time and at the end only.
    pub every: u64,
    /// Seconds between checkpoints; 0: by steps and at the end only.
    pub seconds: u64,
    /// How many are kept; at least 2, so that a damaged newest one has a predecessor.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 0, seconds: 120, keep: 2 }
    }
}

fn one() -> usize {
    1
}

fn unit() -> f64 {
    1.0
}

fn default_output() -> PathBuf {
    "run".into()
}

impl TrainConfig {
    /// Reads and checks a file. Paths in it become relative to its folder.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the line or key, [`TrainError::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let fault = |what: &str| TrainError::Config { path: path.into(), what: what.into() };
        // Asked before opening: a pipe waits for its writer, and a device may never end.
        let meta = std::fs::metadata(path).map_err(TrainError::io(path, "reading"))?;
        if !meta.is_file() {
            return Err(fault("is not a regular file; a training configuration is a TOML file"));
        }
        if meta.len() > MAX_BYTES {
            return Err(fault("is too long for a training configuration"));
        }
        let text = std::fs::read_to_string(path).map_err(TrainError::io(path, "reading"))?;
        let mut config = Self::parse(&text).map_err(|what| TrainError::Config { path: path.into(), what })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let model = &mut config.model;
        let optional = [&mut model.config, &mut model.folder, &mut model.y_encoder, &mut config.data.dir];
        for slot in optional.into_iter().flatten().chain([&mut config.output]) {
            *slot = base.join(&*slot);
        }
        Ok(config)
    }

    /// Parses and checks the text of a configuration; paths stay as they are.
    ///
    /// # Errors
    /// One line: where and what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let message = error.message().trim().replace('\n', "; ");
            match error.span() {
                Some(span) => {
                    let before = &text[..span.start.min(text.len())];
                    let line = 1 + before.matches('\n').count();
                    let column = 1 + before.rsplit('\n').next().map_or(0, |l| l.chars().count());
                    format!("line {line}, column {column}: {message}")
                }
                None => message,
            }
        })?;
        match config.problem() {
            Some((key, what)) => Err(match line_of(text, &key) {
                Some(line) => format!("line {line}: {what}"),
                None => what,
            }),
            None => Ok(config),
        }
    }

    /// The first rule that the values break: the key and the sentence.
    fn problem(&self) -> Option<(String, String)> {
        let mut rules = Rules(None);
        rules.range("steps", self.steps as f64, 1.0, 1e9);
        rules.range("batch", self.batch as f64, 1.0, 1e6);
        rules.range("accumulate", self.accumulate as f64, 1.0, self.batch as f64);
        rules.need("accumulate", self.batch.is_multiple_of(self.accumulate.max(1)), || {
            format!("`batch` ({}) is not a multiple of `accumulate` ({})", self.batch, self.accumulate)
        });
        let sources = (&self.model.config, &self.model.folder);
        rules.need("model", matches!(sources, (Some(_), None) | (None, Some(_))), || {
            "`model` needs exactly one of `config` (random weights) and `folder` (trained ones)".into()
        });
        rules.need("model", self.model.folder.is_some() || self.model.y_encoder.is_some(), || {
            "`model.y_encoder` is missing: a model from `model.config` has no text encoder and no tokenizer".into()
        });
        let d = &self.data;
        rules.need("vendors", !d.vendors.is_empty(), || "`data.vendors` is empty".into());
        for size in d.image_size.into_iter().chain(d.phases.iter().map(|p| p.image_size)) {
            rules.range("image_size", f64::from(size), 8.0, 4096.0);
        }
        for phase in &d.phases {
            rules.range("from", phase.from, 0.0, 1.0);
        }
        rules.need("phases", d.phases.windows(2).all(|w| w[0].from < w[1].from), || {
            "`data.phases` are not in the order of `from`".into()
        });
        rules.range("prefetch", d.prefetch as f64, 0.0, 64.0);
        if let Some((key, what)) = d.augment.problem() {
            rules.need(key, false, || what);
        }
        let o = &self.objective;
        rules.need("texts", !o.texts.is_empty(), || "`objective.texts` is empty".into());
        rules.need("train_y_encoder", !(o.train_y_encoder && o.kind == ObjectiveKind::Bank), || {
            "`objective.kind` \"bank\" needs a frozen Y-Encoder: set `train_y_encoder = false` or `kind = \"batch\"`".into()
        });
        rules.range("soft_labels", f64::from(o.soft_labels), 0.0, 1.0);
        rules.need("soft_labels", o.soft_labels == 0.0 || o.kind == ObjectiveKind::Bank, || {
            "`objective.soft_labels` needs `kind = \"bank\"`".into()
        });
        rules.range("soft_scale", f64::from(o.soft_scale), 0.0, 1e3);
        rules.range("strength", o.y_head.strength, 0.0, 2.0);
        rules.range("y_head.tags", o.y_head.tags, 0.0, 1.0);
        rules.range("y_head.ridge", o.y_head.ridge, 1e-6, 1e6);
        rules.need("y_head.tags", o.y_head.tags == 0.0 || o.y_head.whiten, || {
            "`objective.y_head.tags` needs `whiten = true`".into()
        });
        if let Some(fit) = &self.head_fit {
            rules.range("head_fit.share", fit.share, 1e-3, 1.0);
            rules.range("head_fit.ridge", fit.ridge, 1e-9, 1e6);
            rules.need("head_fit", !o.y_head.train && !o.train_y_encoder, || {
                "`head_fit` needs labels that keep their embeddings: a frozen Y-Encoder and `objective.y_head.train = false`".into()
            });
        }
        if let Some(memory) = &self.memory {
            rules.range("memory.scale", memory.scale, 1e-3, 1e4);
            rules.range("memory.share", memory.share, 1e-3, 1.0);
            if let Some(text) = memory.text {
                rules.range("text.scale", text.scale, 1e-3, 1e4);
                rules.range("text.share", text.share, 1e-3, 1.0);
            }
            rules.range("inv_temperature", memory.inv_temperature.unwrap_or(1.0), 1e-3, 1e4);
            rules.need("memory", !o.y_head.train && !o.train_y_encoder, || {
                "`memory` needs labels that keep their embeddings: a frozen Y-Encoder and `objective.y_head.train = false`".into()
            });
        }
        let p = &self.optimizer;
        rules.range("optimizer.lr", p.lr, 0.0, 1e3);
        rules.range("muon.lr", p.muon.lr, 0.0, 1e3);
        for beta in p.betas {
            rules.range("betas", beta, 0.0, 1.0 - 1e-9);
        }
        rules.range("eps", p.eps, 0.0, 1.0);
        rules.range("optimizer.weight_decay", p.weight_decay, 0.0, 1e3);
        rules.range("muon.weight_decay", p.muon.weight_decay, 0.0, 1e3);
        rules.range("clip", p.clip, 0.0, 1e9);
        rules.range("momentum", p.muon.momentum, 0.0, 1.0 - 1e-9);
        rules.range("iterations", f64::from(p.muon.iterations), 1.0, 50.0);
        for group in &p.groups {
            rules.range("lr_scale", group.lr_scale, 0.0, 1e6);
            rules.range("weight_decay", group.weight_decay.unwrap_or(0.0), 0.0, 1e3);
        }
        if let Some(what) = self.schedule.problem() {
            rules.need("schedule", false, || what);
        }
        if let Some(ema) = self.ema {
            rules.range("horizon", ema.horizon, 0.0, 1.0);
        }
        rules.range("evaluate.batch", self.evaluate.batch as f64, 1.0, 1e6);
        rules.range("keep", self.checkpoint.keep as f64, 2.0, 1e6);
        rules.0
    }

    /// The parts that decide what is computed, by name: a run resumes only with the same ones.
    pub(crate) fn identity(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        let fail = |e: serde_json::Error| TrainError::Invalid(format!("the configuration cannot be written: {e}"));
        let mut value = serde_json::to_value(self).map_err(fail)?;
        let mut map = value.as_object_mut().map(std::mem::take).unwrap_or_default();
        for free in ["output", "head_fit", "memory", "evaluate", "checkpoint"] {
            map.remove(free);
        }
        if let Some(data) = map.get_mut("data").and_then(serde_json::Value::as_object_mut) {
            data.remove("prefetch");
            // Where the set lies does not matter; what it is does, and that is checked by the text bank's hash.
            data.remove("dir");
        }
        map.remove("model");
        Ok(map)
    }
}

/// Collects the first broken rule.
struct Rules(Option<(String, String)>);

impl Rules {
    fn need(&mut self, key: &str, holds: bool, what: impl FnOnce() -> String) {
        if self.0.is_none() && !holds {
            self.0 = Some((key.to_owned(), what()));
        }
    }

    fn range(&mut self, key: &str, value: f64, low: f64, high: f64) {
        // Written so that NaN fails too.
        self.need(key, value >= low && value <= high, || format!("`{key}` is {value}, must be in {low}..={high}"));
    }
}

/// The line of a key: `key` is the first one of that name, `table.key` the one in the table whose last part is `table`, or
/// the line of the table itself where it is written inline. A table's name gives the line that opens it.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, key) = key.split_once('.').map_or((None, key), |(table, key)| (Some(table), key));
    let mut within = "";
    for (i, line) in text.lines().map(str::trim).enumerate() {
        if line.starts_with('[') {
            within = line.split(']').next().unwrap_or(line).trim_matches(['[', ' ']).rsplit('.').next().unwrap_or("");
            if table.is_none() && within == key {
                return Some(i + 1);
            }
        } else if line.split_once('=').is_some_and(|(left, _)| left.trim() == key) && table.is_none_or(|t| t == within)
        {
            return Some(i + 1);
        }
    }
    table.and_then(|table| line_of(text, table))
}
