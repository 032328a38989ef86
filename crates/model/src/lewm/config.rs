//! Configuration of a LeWM, and the tensors that it consists of.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::spec::{Check, MAX_LAYERS, MAX_WIDTH, Specs, TensorSpec, parse};

/// Most frames of a history, and environment steps between two frames.
const MOST_FRAMES: usize = 256;
/// Most pixels of a side.
const MAX_SIDE: usize = 4096;

/// A LeWM (arXiv 2603.19312). What a file leaves out is that of the published models, `quentinll/lewm-*`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LewmConfig {
    /// `lewm`.
    pub model_type: Option<String>,
    /// Side of the square picture, pixels.
    pub image_size: usize,
    /// Side of a square patch, pixels.
    pub patch_size: usize,
    /// Width of encoder, predictor and latents.
    pub hidden_size: usize,
    /// Depth of the encoder.
    pub num_hidden_layers: usize,
    /// Attention heads of the encoder.
    pub num_attention_heads: usize,
    /// MLP width of the encoder.
    pub intermediate_size: usize,
    /// Epsilon of the encoder's LayerNorms.
    pub layer_norm_eps: f64,
    /// Mean of each colour, of pixels in 0..=1.
    pub image_mean: [f32; 3],
    /// Standard deviation of each colour.
    pub image_std: [f32; 3],
    /// Width between the two linear maps of `projector` and `pred_proj`.
    pub projection_size: usize,
    /// Numbers of an environment's action.
    pub action_size: usize,
    /// Environment steps between two frames; a step of the model takes the actions of all of them.
    pub frameskip: usize,
    /// Outputs of the action encoder's convolution of width 1.
    pub action_features: usize,
    /// Width of the action encoder's MLP over `hidden_size`.
    pub action_mlp_ratio: usize,
    /// Frames that the predictor looks back on.
    pub history: usize,
    /// Layers of the predictor.
    pub predictor: FramePredictorConfig,
    /// Mean and standard deviation of each number of an action in the data, by which actions are normalised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<ActionStatistics>,
    /// The environment that the model was trained in, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world: Option<String>,
}

/// The predictor of a [`LewmConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FramePredictorConfig {
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head.
    pub dim_head: usize,
    /// MLP width.
    pub mlp_dim: usize,
    /// Dropout of attention probabilities, of what attention gives, and twice in the MLP; training only.
    pub dropout: f64,
    /// Dropout of the latents with their positions; training only.
    pub emb_dropout: f64,
}

impl Default for FramePredictorConfig {
    fn default() -> Self {
        Self { depth: 6, heads: 16, dim_head: 64, mlp_dim: 2048, dropout: 0.1, emb_dropout: 0.0 }
    }
}

/// How actions are normalised: (action − mean) / std, each number by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionStatistics {
    /// Mean of each number.
    pub mean: Vec<f32>,
    /// Unbiased standard deviation of each number.
    pub std: Vec<f32>,
}

impl Default for LewmConfig {
    fn default() -> Self {
        Self {
            model_type: Some(Self::MODEL_TYPE.into()),
            image_size: 224,
            patch_size: 14,
            hidden_size: 192,
            num_hidden_layers: 12,
            num_attention_heads: 3,
            intermediate_size: 768,
            layer_norm_eps: 1e-12,
            image_mean: [0.485, 0.456, 0.406],
            image_std: [0.229, 0.224, 0.225],
            projection_size: 2048,
            action_size: 2,
            frameskip: 5,
            action_features: 10,
            action_mlp_ratio: 4,
            history: 3,
            predictor: FramePredictorConfig::default(),
            actions: None,
            world: None,
        }
    }
}

impl LewmConfig {
    /// `model_type` in a `config.json`.
    pub const MODEL_TYPE: &'static str = "lewm";

    /// Parses and checks a `config.json`.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`], with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse("lewm", json)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks sizes.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let c = Check("lewm");
        c.model_type(self.model_type.as_deref(), Self::MODEL_TYPE)?;
        let p = &self.predictor;
        for (key, value, limit) in [
            ("image_size", self.image_size, MAX_SIDE),
            ("patch_size", self.patch_size, MAX_SIDE),
            ("hidden_size", self.hidden_size, MAX_WIDTH),
            ("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS),
            ("num_attention_heads", self.num_attention_heads, MAX_WIDTH),
            ("intermediate_size", self.intermediate_size, MAX_WIDTH),
            ("projection_size", self.projection_size, MAX_WIDTH),
            ("action_size", self.action_size, MAX_WIDTH),
            ("frameskip", self.frameskip, MOST_FRAMES),
            ("action_features", self.action_features, MAX_WIDTH),
            ("action_mlp_ratio", self.action_mlp_ratio, MOST_FRAMES),
            ("history", self.history, MOST_FRAMES),
            ("predictor.depth", p.depth, MAX_LAYERS),
            ("predictor.heads", p.heads, MAX_WIDTH),
            ("predictor.dim_head", p.dim_head, MAX_WIDTH),
            ("predictor.mlp_dim", p.mlp_dim, MAX_WIDTH),
        ] {
            c.size(key, value, limit)?;
        }
        c.divides("patch_size", self.patch_size, "image_size", self.image_size)?;
        c.divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        c.number("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0)?;
        for (key, dropout) in [("predictor.dropout", p.dropout), ("predictor.emb_dropout", p.emb_dropout)] {
            if !(0.0..1.0).contains(&dropout) {
                return c.fail(format!("`{key}` is {dropout}, must be at least 0 and below 1"));
            }
        }
        for (key, values) in [("image_std", &self.image_std), ("image_mean", &self.image_mean)] {
            let low = if key == "image_std" { 0.0 } else { -1e6 };
            values.iter().try_for_each(|&v| c.number(key, f64::from(v), low, 1e6))?;
        }
        if let Some(ActionStatistics { mean, std }) = &self.actions {
            for (key, values, low) in [("actions.mean", mean, -1e9), ("actions.std", std, 0.0)] {
                if values.len() != self.action_size {
                    let (found, need) = (values.len(), self.action_size);
                    return c.fail(format!("`{key}` has {found} numbers, `action_size` is {need}"));
                }
                values.iter().try_for_each(|&v| c.number(key, f64::from(v), low, 1e9))?;
            }
        }
        c.parameters(&self.tensors())
    }

    /// Patches of a picture.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Numbers of an action block: the actions of the steps between two frames.
    pub fn block_size(&self) -> usize {
        self.action_size * self.frameskip
    }

    /// Width of the predictor's attention.
    pub fn inner_size(&self) -> usize {
        self.predictor.heads * self.predictor.dim_head
    }

    /// The weights and the running statistics of the batch norms, by the published names (transformers 4's for the encoder).
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let (d, p) = (self.hidden_size, &self.predictor);
        s.add("encoder.embeddings.cls_token", &[1, 1, d]);
        s.add("encoder.embeddings.position_embeddings", &[1, 1 + self.patches(), d]);
        let patch = "encoder.embeddings.patch_embeddings.projection";
        s.add(format!("{patch}.weight"), &[d, 3, self.patch_size, self.patch_size]);
        s.add(format!("{patch}.bias"), &[d]);
        for i in 0..self.num_hidden_layers {
            let layer = format!("encoder.encoder.layer.{i}");
            for part in ["query", "key", "value"] {
                s.linear(&format!("{layer}.attention.attention.{part}"), d, d, true);
            }
            s.linear(&format!("{layer}.attention.output.dense"), d, d, true);
            s.linear(&format!("{layer}.intermediate.dense"), d, self.intermediate_size, true);
            s.linear(&format!("{layer}.output.dense"), self.intermediate_size, d, true);
            s.layer_norm(&format!("{layer}.layernorm_before"), d);
            s.layer_norm(&format!("{layer}.layernorm_after"), d);
        }
        s.layer_norm("encoder.layernorm", d);
        for name in ["projector", "pred_proj"] {
            s.linear(&format!("{name}.net.0"), d, self.projection_size, true);
            s.layer_norm(&format!("{name}.net.1"), self.projection_size);
            s.add(format!("{name}.net.1.running_mean"), &[self.projection_size]);
            s.add(format!("{name}.net.1.running_var"), &[self.projection_size]);
            s.linear(&format!("{name}.net.3"), self.projection_size, d, true);
        }
        s.add("action_encoder.patch_embed.weight", &[self.action_features, self.block_size(), 1]);
        s.add("action_encoder.patch_embed.bias", &[self.action_features]);
        s.linear("action_encoder.embed.0", self.action_features, self.action_mlp_ratio * d, true);
        s.linear("action_encoder.embed.2", self.action_mlp_ratio * d, d, true);
        s.add("predictor.pos_embedding", &[1, self.history, d]);
        let inner = self.inner_size();
        for i in 0..p.depth {
            let layer = format!("predictor.transformer.layers.{i}");
            s.layer_norm(&format!("{layer}.attn.norm"), d);
            s.linear(&format!("{layer}.attn.to_qkv"), d, 3 * inner, false);
            s.linear(&format!("{layer}.attn.to_out.0"), inner, d, true);
            s.layer_norm(&format!("{layer}.mlp.net.0"), d);
            s.linear(&format!("{layer}.mlp.net.1"), d, p.mlp_dim, true);
            s.linear(&format!("{layer}.mlp.net.4"), p.mlp_dim, d, true);
            s.linear(&format!("{layer}.adaLN_modulation.1"), d, 6 * d, true);
        }
        s.layer_norm("predictor.transformer.norm", d);
        s.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parameter_count;

    #[test]
    fn the_published_model_has_its_published_size() {
        // 18,042,672 numbers in 303 tensors with the two counters of batches, which are not among ours.
        let config = LewmConfig::default();
        config.validate().unwrap();
        let tensors = config.tensors();
        assert_eq!((parameter_count(&tensors), tensors.len()), (18_042_670, 301));
        let of = |prefix: &str| {
            let own = tensors.iter().filter(|t| t.name.starts_with(prefix) && !t.name.contains("running_"));
            own.map(TensorSpec::elements).sum::<u64>()
        };
        assert_eq!((of("encoder."), of("predictor."), of("action_encoder.")), (5_501_376, 10_791_360, 156_206));
        assert_eq!((of("projector."), of("pred_proj.")), (792_768, 792_768));
    }

    #[test]
    fn faults_are_named() {
        for (json, named) in [
            (r#"{"patch_size": 15}"#, "patch_size"),
            (r#"{"hidden_size": 100}"#, "num_attention_heads"),
            (r#"{"history": 0}"#, "history"),
            (r#"{"predictor": {"dropout": 1.0}}"#, "predictor.dropout"),
            (r#"{"actions": {"mean": [0], "std": [1, 1]}}"#, "actions.mean"),
            (r#"{"actions": {"mean": [0, 0], "std": [1, 0]}}"#, "actions.std"),
            (r#"{"model_type": "vit"}"#, "model_type"),
            (r#"{"hidden": 100}"#, "hidden"),
            (r#"{"image_std": [0.2, 0.2, 0.0]}"#, "image_std"),
        ] {
            let error = LewmConfig::from_json(json).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
    }
}
