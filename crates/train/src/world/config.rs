//! The configuration of a run that trains a world model: a TOML file with `[world]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vljepa_model::Storage;
use vljepa_worlds::Policy;

use crate::config::{CheckpointConfig, OptimizerConfig, Rules, SigregConfig, default_output};
use crate::error::{Result, TrainError};
use crate::schedule::Schedule;

/// A whole run that trains a LeWM in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldRun {
    /// Seed of initial weights, of the order of windows, of directions and of dropout.
    #[serde(default)]
    pub seed: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Windows of a step.
    pub batch: usize,
    /// Folder of the run: checkpoints, `metrics.jsonl`, the trained `model`.
    #[serde(default = "default_output")]
    pub output: PathBuf,
    /// The model.
    pub model: WorldModel,
    /// The environment, and the episodes that are learnt from.
    pub world: WorldEpisodes,
    /// The loss.
    #[serde(default)]
    pub objective: WorldObjective,
    /// The optimiser; the default is the published one (AdamW, 5e-5, weight decay 1e-3, clipped at 1).
    #[serde(default = "published_optimizer")]
    pub optimizer: OptimizerConfig,
    /// Factor of the learning rate over the run.
    #[serde(default)]
    pub schedule: Schedule,
    /// Evaluations.
    #[serde(default)]
    pub evaluate: WorldEvaluate,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// `[model]` of a run with `[world]`: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldModel {
    /// A JSON file with the sizes of a LeWM; its weights are random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// Folder of a LeWM that is trained further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// How the trained weights are stored: "f32" or "f16". Checkpoints are exact.
    pub storage: Storage,
}

/// `[world]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldEpisodes {
    /// The environment, by name.
    pub name: String,
    /// Its options; those that are left out have their defaults.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
    /// What acts in the episodes: "data", the expert with the noise of the world's data, "oracle", the expert, "random" or "noop".
    #[serde(default = "data")]
    pub policy: Policy,
    /// Episodes.
    #[serde(default = "two_thousand")]
    pub episodes: usize,
    /// Most steps of an episode.
    #[serde(default = "hundred")]
    pub max_steps: usize,
    /// Whether an episode ends where its goal is reached.
    #[serde(default = "yes")]
    pub stop_at_goal: bool,
    /// Seed of the episodes, apart from that of the run.
    #[serde(default)]
    pub seed: u64,
    /// Share of the episodes, the last ones, that is kept for validation.
    #[serde(default = "tenth")]
    pub validation: f64,
    /// Batches made ahead while the device works.
    #[serde(default = "two")]
    pub prefetch: usize,
}

/// `[objective]` of a run with `[world]`: the mean squared difference of predicted latents and those that came, plus SIGReg of the
/// latents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldObjective {
    /// SIGReg, at each frame of the window by itself.
    pub sigreg: SigregConfig,
    /// Frames of a window; 0: one more than the history of the model, as published.
    pub frames: usize,
    /// Weight of the same difference for predictions from predictions, over the frames that are left behind the first window.
    pub roll_out: f32,
}

impl Default for WorldObjective {
    fn default() -> Self {
        Self { sigreg: SigregConfig { weight: 0.09, directions: 1024 }, frames: 0, roll_out: 0.0 }
    }
}

/// `[evaluate]` of a run with `[world]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldEvaluate {
    /// Steps between evaluations on validation episodes; 0: only at the end.
    pub every: u64,
    /// Windows that are looked at.
    pub windows: usize,
}

impl Default for WorldEvaluate {
    fn default() -> Self {
        Self { every: 0, windows: 256 }
    }
}

fn published_optimizer() -> OptimizerConfig {
    OptimizerConfig { lr: 5e-5, weight_decay: 1e-3, clip: 1.0, ..OptimizerConfig::default() }
}

fn data() -> Policy {
    Policy::Data
}

fn two() -> usize {
    2
}

fn hundred() -> usize {
    100
}

fn two_thousand() -> usize {
    2000
}

fn yes() -> bool {
    true
}

fn tenth() -> f64 {
    0.1
}

impl WorldRun {
    /// The first rule that the values break: the key and the sentence.
    pub(crate) fn problem(&self) -> Option<(String, String)> {
        let mut rules = Rules(None);
        rules.range("steps", self.steps as f64, 1.0, 1e9);
        rules.range("batch", self.batch as f64, 2.0, 1e6);
        let sources = (&self.model.config, &self.model.folder);
        rules.need("model", matches!(sources, (Some(_), None) | (None, Some(_))), || {
            "`model` needs exactly one of `config` (random weights) and `folder` (trained ones)".into()
        });
        rules.need("model.storage", self.model.storage != Storage::Int8Rows, || {
            "`model.storage` of a world model is \"f32\" or \"f16\"".into()
        });
        let w = &self.world;
        rules.range("world.episodes", w.episodes as f64, 2.0, 1e7);
        rules.range("world.max_steps", w.max_steps as f64, 1.0, 1e6);
        rules.range("world.validation", w.validation, 0.0, 0.9);
        rules.range("world.prefetch", w.prefetch as f64, 0.0, 64.0);
        let o = &self.objective;
        rules.range("objective.sigreg.weight", f64::from(o.sigreg.weight), 0.0, 1e4);
        rules.range("objective.sigreg.directions", o.sigreg.directions as f64, 1.0, 65_536.0);
        rules.range("objective.frames", o.frames as f64, 0.0, 256.0);
        rules.range("objective.roll_out", f64::from(o.roll_out), 0.0, 1e3);
        rules.optimizer(&self.optimizer);
        rules.schedule(&self.schedule);
        rules.range("evaluate.windows", self.evaluate.windows as f64, 1.0, 1e6);
        rules.need("checkpoint.best", !self.checkpoint.best, || {
            "`checkpoint.best` is for other runs: a world model's last weights are its best; leave it out".into()
        });
        rules.range("checkpoint.keep", self.checkpoint.keep as f64, 2.0, 1e6);
        rules.0
    }

    /// The parts that decide what is computed, by name: a run resumes only with the same ones.
    pub(crate) fn identity(&self) -> Result<BTreeMap<String, String>> {
        let fail = |e: serde_json::Error| TrainError::Invalid(format!("the configuration cannot be written: {e}"));
        let mut value = serde_json::to_value(self).map_err(fail)?;
        let mut map = value.as_object_mut().map(std::mem::take).unwrap_or_default();
        for free in ["output", "evaluate", "checkpoint", "model"] {
            map.remove(free);
        }
        if let Some(world) = map.get_mut("world").and_then(serde_json::Value::as_object_mut) {
            world.remove("prefetch");
        }
        Ok(map.into_iter().map(|(key, value)| (key, value.to_string())).collect())
    }
}
