//! `[optimizer]`: AdamW, Muon, and exceptions by name.

use serde::{Deserialize, Serialize};

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

fn unit() -> f64 {
    1.0
}
