//! The training configuration: one TOML file. Unknown keys are errors; paths are relative to the file's folder.

mod check;
mod objective;
mod optimizer;
mod rules;
mod text;

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use vljepa_model::config::MemoryConfig;

pub(crate) use check::Rules;
pub use objective::{LossKind, ObjectiveConfig, ObjectiveKind, SigregConfig, TextKind, VicregConfig, YHeadConfig};
pub use optimizer::{GroupConfig, MuonConfig, OptimizerConfig, OptimizerKind};
pub(crate) use text::{at_line, cut_paths, located};

pub(crate) use objective::is_default;

use crate::error::{Result, TrainError};
use crate::schedule::Schedule;

/// A whole training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of initial weights, data order and augmentation.
    #[serde(default)]
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Samples of a step; the source says how many there can be.
    pub batch: usize,
    /// Parts a step's batch is split into, to save memory. With [`ObjectiveKind::Batch`] the negatives are those of a part, or with
    /// `objective.cached` those of the batch.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Whether of each transformer block only the input is kept and the rest computed once more on the way back: less memory, about a
    /// third more time, the same gradients.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub activation_checkpointing: bool,
    /// Folder of the run: checkpoints, `metrics.jsonl`, the trained `model`.
    #[serde(default = "default_output")]
    pub output: PathBuf,
    /// What is trained.
    pub model: ModelSource,
    /// What it is trained on.
    #[serde(default)]
    pub data: DataConfig,
    /// The loss.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// The optimiser.
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
    /// A memory of the training labels in the trained model, a row for each (`rows` is left out). Training does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryConfig>,
    /// Train the Y-Decoder on the texts of the samples, by their cross-entropy instead of `objective`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<DecoderConfig>,
    /// Evaluation during training, on the source's validation data only.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// `[decoder]`: from an embedding to a text. That of the Y-Encoder is read with noise, so that predictions, which are never quite there, are
/// understood too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderConfig {
    /// A JSON file as the key `y_decoder` of a model's `config.json`: a decoder with random weights. Absent: the one that the model has
    /// is trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// What it reads.
    #[serde(skip_serializing_if = "is_default")]
    pub from: DecoderInput,
    /// Largest length of the noise that is added to embeddings of texts, of unit length: of each a random direction, and a length from 0 to
    /// this.
    pub noise: f32,
}

/// What a Y-Decoder that is trained reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecoderInput {
    /// Embeddings of texts with noise; the decoder alone is trained.
    #[default]
    Texts,
    /// What the Predictor predicts, of unit length and without noise; X-Encoder, Predictor and decoder are trained together by the
    /// cross-entropy of the texts: the generative twin of a VL-JEPA (paper, §4.5).
    Predictions,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self { config: None, from: DecoderInput::Texts, noise: 1.0 }
    }
}

/// `[model]`: exactly one of `config` and `folder`; `x_encoder` goes with `config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSource {
    /// A model's `config.json`: start from random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// Folder of a V-JEPA 2 or 2.1 in the layout of the model hub: the X-Encoder, which is not trained. Its configuration stands
    /// in the place of `x_encoder` in `config`, and its preprocessing in that of `preprocessing` where `config` has none. What it
    /// makes of each row of the manifest is kept on disk. Absent: the X-Encoder is trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_encoder: Option<PathBuf>,
    /// Folder of what the frozen X-Encoder made, which several runs can share; absent: `features` in the run's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<PathBuf>,
    /// A model folder: start from its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Folder with the Y-Encoder's `model.safetensors` (or shards) and `tokenizer.json`, e.g. of all-MiniLM-L6-v2 or
    /// EmbeddingGemma, or a VL-JEPA model folder. Dense heads that its `modules.json` names are read as the model
    /// configuration's `dense`. Without this folder the Y-Encoder is that of `folder`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_encoder: Option<PathBuf>,
    /// Folder of a VL-JEPA whose stem, which sees one frame at a time, the `still_stem` of a model from `config` starts from. Absent:
    /// random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_stem: Option<PathBuf>,
    /// A `tokenizer.json` for queries, where samples have some. Absent: `query_tokenizer.json` of `folder`; a model from `config`
    /// takes that of the Y-Encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_tokenizer: Option<PathBuf>,
}

/// Deserialises a table of which some keys are this crate's and all others belong to the source of samples: those are kept as
/// they are in `own`, and the source says which of them it knows.
macro_rules! shared_table {
    ($table:ident, $($key:literal => $field:ident),+) => {
        impl $table {
            /// The keys that do not belong to the source.
            pub(crate) const KEYS: &[&str] = &[$($key),+];
        }

        impl<'de> Deserialize<'de> for $table {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Keys;

                impl<'de> Visitor<'de> for Keys {
                    type Value = $table;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a table")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$table, A::Error> {
                        let mut table = $table::default();
                        while let Some(key) = map.next_key::<String>()? {
                            match key.as_str() {
                                $($key => table.$field = map.next_value()?,)+
                                _ => {
                                    table.own.insert(key, map.next_value()?);
                                }
                            }
                        }
                        Ok(table)
                    }
                }

                deserializer.deserialize_map(Keys)
            }
        }
    };
}

/// `[data]`: where samples come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataConfig {
    /// Name of the kind of source; absent: the default one ([`crate::sources::open`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Side of the pictures; absent: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<u32>,
    /// Later parts of the run with another size.
    pub phases: Vec<Phase>,
    /// Batches made ahead while the GPU works.
    pub prefetch: usize,
    /// Probability that a token of a query is left out: words that were never asked with then matter less.
    #[serde(skip_serializing_if = "is_default")]
    pub query_dropout: f64,
    /// The source's own keys.
    #[serde(flatten)]
    pub own: toml::Table,
    /// Folder that paths among them are relative to: that of the file.
    #[serde(skip)]
    pub base: PathBuf,
}

shared_table!(DataConfig, "kind" => kind, "image_size" => image_size, "phases" => phases, "prefetch" => prefetch,
    "query_dropout" => query_dropout);

impl Default for DataConfig {
    fn default() -> Self {
        let (own, base) = (toml::Table::new(), PathBuf::new());
        Self { kind: None, image_size: None, phases: Vec::new(), prefetch: 2, query_dropout: 0.0, own, base }
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
    /// The sides that are asked for, with their keys.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (String, u32)> + '_ {
        let phases = self.phases.iter().enumerate();
        let phases = phases.map(|(i, phase)| (format!("data.phases.{i}.image_size"), phase.image_size));
        self.image_size.map(|size| ("data.image_size".to_owned(), size)).into_iter().chain(phases)
    }

    /// Side of the pictures at a step; `model` is the model's own.
    pub fn image_size_at(&self, step: u64, steps: u64, model: u32) -> u32 {
        let first = self.image_size.unwrap_or(model);
        let started = self.phases.iter().rev().find(|p| step as f64 >= p.from * steps as f64);
        started.map_or(first, |p| p.image_size)
    }
}

/// `[head_fit]`: the Predictor's head W of the trained model becomes (1 − share) W + share R, both scaled to predictions of
/// one length, where R is the ridge regression of the training labels' unit embeddings on what the head sees of their
/// pictures. Telling things apart makes a head forget what they have in common; a regression keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadFit {
    /// Share of the regression.
    pub share: f64,
    /// Its ridge, in mean variances of a component.
    pub ridge: f64,
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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluateConfig {
    /// Steps between evaluations; 0: only at the end.
    pub every: u64,
    /// Pictures or texts in a batch.
    pub batch: usize,
    /// Evaluations without a better one after which the run ends, and its model is that of the best; 0: it goes on. Better is a
    /// higher mean of R@1 over the source's figures.
    pub patience: u64,
    /// The source's own keys.
    #[serde(flatten)]
    pub own: toml::Table,
}

shared_table!(EvaluateConfig, "every" => every, "batch" => batch, "patience" => patience);

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { every: 0, batch: 128, patience: 0, own: toml::Table::new() }
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
    /// Whether that of the best evaluation is kept too, as `checkpoints/best`; a run with `evaluate.patience` always keeps it.
    pub best: bool,
}

impl CheckpointConfig {
    /// Whether a checkpoint is due after `step` steps, where the last one was written at `last`.
    pub(crate) fn is_due(&self, step: u64, last: Instant) -> bool {
        (self.every > 0 && step.is_multiple_of(self.every))
            || (self.seconds > 0 && last.elapsed().as_secs() >= self.seconds)
    }
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 0, seconds: 120, keep: 2, best: false }
    }
}

fn one() -> usize {
    1
}

pub(crate) fn default_output() -> PathBuf {
    "run".into()
}

impl TrainConfig {
    /// Where what a frozen X-Encoder makes is kept.
    pub(crate) fn features(&self) -> PathBuf {
        self.model.features.clone().unwrap_or_else(|| self.output.join("features"))
    }

    /// The parts that decide what is computed, by name: a run resumes only with the same ones. `data` is without the
    /// source's own keys ([`crate::data::Source::identity`]).
    pub(crate) fn identity(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        let fail = |e: serde_json::Error| TrainError::Invalid(format!("the configuration cannot be written: {e}"));
        let data = DataConfig { own: toml::Table::new(), ..self.data.clone() };
        let mut value = serde_json::to_value(Self { data, ..self.clone() }).map_err(fail)?;
        let mut map = value.as_object_mut().map(std::mem::take).unwrap_or_default();
        for free in ["output", "activation_checkpointing", "head_fit", "memory", "evaluate", "checkpoint", "model"] {
            map.remove(free);
        }
        // Where its sizes are read from; the model says what they are.
        if let Some(decoder) = map.get_mut("decoder").and_then(serde_json::Value::as_object_mut) {
            decoder.remove("config");
        }
        if let Some(data) = map.get_mut("data").and_then(serde_json::Value::as_object_mut) {
            data.remove("prefetch");
            // The source names itself, so that its default and its spelled-out name are one.
            data.remove("kind");
        }
        Ok(map)
    }
}
