//! The configuration of a run that teaches a frozen V-JEPA 2 the user's classes: a TOML file with `[probe]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vljepa_data::Crops;
use vljepa_model::config::Vjepa2Config;

use crate::config::{CheckpointConfig, Rules, default_output};
use crate::error::{Result, TrainError};
use crate::schedule::Schedule;

/// Heads of a grid.
const MAX_HEADS: usize = 256;

/// A whole run that trains probes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRun {
    /// Seed of initial weights and of the order of clips.
    #[serde(default)]
    pub seed: u64,
    /// Clips of a step.
    pub batch: usize,
    /// Folder of the run: checkpoints, `metrics.jsonl`, the trained `model`.
    #[serde(default = "default_output")]
    pub output: PathBuf,
    /// The encoder.
    pub model: ProbeModel,
    /// The clips and their classes.
    pub data: ProbeClips,
    /// The probe.
    pub probe: ProbeConfig,
    /// Factor of all learning rates over the run.
    #[serde(default)]
    pub schedule: Schedule,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// `[model]` of a run with `[probe]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeModel {
    /// Folder of a V-JEPA 2 or 2.1 in the layout of the model hub. It is not trained; a probe that it has is not used.
    pub x_encoder: PathBuf,
    /// Folder of what it makes of the clips, which several runs can share; absent: `features` in the run's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<PathBuf>,
}

/// `[data]` of a run with `[probe]`: the rows of a manifest, each of one class, its target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeClips {
    /// The kind of source: a manifest.
    pub kind: ProbeSource,
    /// The manifest: JSON lines, CSV or WebDataset shards ([`vljepa_data::manifest::Manifest::open`]).
    pub manifest: PathBuf,
    /// Frames of a clip; absent: as many as the encoder was trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// Clips that a row's video is cut into, one after the other. A step sees one of a row's views; measured is the mean of the
    /// probabilities over all.
    #[serde(default = "one")]
    pub segments: usize,
    /// Squares of each clip that are looked at: each is a view too.
    #[serde(default)]
    pub crops: Crops,
    /// Batches read ahead while the device works.
    #[serde(default = "two")]
    pub prefetch: usize,
}

/// Where a probe's clips can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProbeSource {
    /// A manifest.
    Manifest,
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

/// What a probe makes of the tokens of a clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProbeKind {
    /// A learned query attends to all tokens, behind `depth` layers of self-attention; then a linear layer.
    #[default]
    Attentive,
    /// A linear layer over the mean of the normalised tokens.
    Linear,
}

/// `[probe]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeConfig {
    /// The kind of probe.
    pub kind: ProbeKind,
    /// How often each clip is seen.
    pub epochs: u64,
    /// Peak learning rates of AdamW. There is a head for each of them with each of `weight_decays`; the default is the grid of
    /// V-JEPA 2's evaluations.
    pub learning_rates: Vec<f64>,
    /// Decoupled weight decays; vectors have none.
    pub weight_decays: Vec<f64>,
    /// Layers of self-attention before the one that attends with a query (`num_pooler_layers`), for an attentive probe;
    /// absent: as many as the encoder's configuration says, 3 in the published ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Epochs between evaluations on the validation clips; there is one at the end in any case.
    pub evaluate_every: u64,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            kind: ProbeKind::Attentive,
            epochs: 20,
            learning_rates: vec![5e-3, 3e-3, 1e-3, 3e-4, 1e-4],
            weight_decays: vec![0.1],
            depth: None,
            evaluate_every: 1,
        }
    }
}

impl ProbeConfig {
    /// The heads, each a learning rate and a weight decay.
    pub fn grid(&self) -> Vec<(f64, f64)> {
        let decays = |&rate: &f64| self.weight_decays.iter().map(move |&decay| (rate, decay));
        self.learning_rates.iter().flat_map(decays).collect()
    }

    /// The configuration of a classifier of this kind on an encoder. A linear probe is written as a pooler without
    /// self-attention ([`vljepa_model::LinearProbe::pooler`]).
    pub fn on(&self, encoder: &Vjepa2Config) -> Vjepa2Config {
        let own = self.depth.unwrap_or(encoder.num_pooler_layers);
        let num_pooler_layers = if self.kind == ProbeKind::Linear { 0 } else { own };
        Vjepa2Config { num_pooler_layers, ..encoder.clone() }
    }
}

impl ProbeRun {
    /// The first rule that the values break: the key and the sentence.
    pub(crate) fn problem(&self) -> Option<(String, String)> {
        let mut rules = Rules(None);
        rules.range("batch", self.batch as f64, 1.0, 1e6);
        let p = &self.probe;
        rules.range("probe.epochs", p.epochs as f64, 1.0, 1e6);
        rules.range("probe.evaluate_every", p.evaluate_every as f64, 1.0, 1e6);
        for (key, values, low, high) in
            [("learning_rates", &p.learning_rates, 1e-12, 1e3), ("weight_decays", &p.weight_decays, 0.0, 1e3)]
        {
            rules.need(&format!("probe.{key}"), !values.is_empty(), || {
                format!("`probe.{key}` is empty; give one or more")
            });
            for (i, &value) in values.iter().enumerate() {
                rules.range(&format!("probe.{key}.{i}"), value, low, high);
                rules.need(&format!("probe.{key}.{i}"), !values[..i].contains(&value), || {
                    format!("`probe.{key}` has {value} twice; leave one out")
                });
            }
        }
        let heads = p.learning_rates.len().saturating_mul(p.weight_decays.len());
        rules.need("probe", heads <= MAX_HEADS, || {
            format!("`probe` asks for {heads} heads, at most {MAX_HEADS} are trained")
        });
        if let Some(depth) = p.depth {
            rules.range("probe.depth", depth as f64, 0.0, 1024.0);
            rules.need("probe.depth", p.kind == ProbeKind::Attentive, || {
                "`probe.depth` is of attentive probes; leave it out for a linear one".into()
            });
        }
        let d = &self.data;
        rules.range("data.frames", d.frames.unwrap_or(1) as f64, 1.0, 4096.0);
        rules.range("data.segments", d.segments as f64, 1.0, 64.0);
        let frames = d.frames.unwrap_or(1).saturating_mul(d.segments);
        rules.need("data.segments", frames <= 4096, || {
            format!("`data.segments` times `data.frames` is {frames}, at most 4096 frames are taken of a video")
        });
        rules.range("data.prefetch", d.prefetch as f64, 0.0, 64.0);
        rules.schedule(&self.schedule);
        rules.need("checkpoint.best", !self.checkpoint.best, || {
            "`checkpoint.best` is for other runs: a probe keeps the best head by itself; leave it out".into()
        });
        rules.range("checkpoint.keep", self.checkpoint.keep as f64, 2.0, 1e6);
        rules.0
    }

    /// The parts that decide what is computed, by name, beside the data: a run resumes only with the same ones.
    pub(crate) fn identity(&self) -> Result<BTreeMap<String, String>> {
        let fail = |e: serde_json::Error| TrainError::Invalid(format!("the configuration cannot be written: {e}"));
        let probe = serde_json::to_string(&self.probe).map_err(fail)?;
        let schedule = serde_json::to_string(&self.schedule).map_err(fail)?;
        let own = [
            ("seed", self.seed.to_string()),
            ("batch", self.batch.to_string()),
            ("probe", probe),
            ("schedule", schedule),
        ];
        Ok(own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}
