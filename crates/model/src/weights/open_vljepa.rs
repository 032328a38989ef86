//! Checkpoints of open-vljepa (`github.com/dion-jy/open-vljepa`) as our model folder.
//!
//! Such a file holds `model_state_dict` and the run's `config`. The X-Encoder is usually left out, being frozen; the
//! models that training started from give their configurations.

use super::remap::missing;
use super::{Dtype, PtFile, PtValue, Remapped, TextKind, WeightSource};
use crate::config::{LlamaConfig, PositionGrid, Vjepa2Config};
use crate::error::{ModelError, Result};
use serde_json::json;
use std::borrow::Cow;

/// Temperature of that project's loss where its configuration names none.
const TEMPERATURE: f64 = 0.07;
/// The query with which that project embeds videos to be found by their captions.
const QUERY: &str = "Describe the video.";

/// The `config.json` of the three models that training started from.
#[derive(Clone, Copy, Debug)]
pub struct OpenVlJepaParts<'a> {
    /// V-JEPA 2.
    pub vjepa2: &'a str,
    /// Llama, whose last layers are the Predictor.
    pub llama: &'a str,
    /// The Y-Encoder, EmbeddingGemma in that project.
    pub text: &'a str,
}

fn fail<T>(what: String) -> Result<T> {
    Err(ModelError::Checkpoint { file: "open-vljepa".into(), what })
}

const STATE: &str = "model_state_dict.";

fn number(file: &PtFile<'_>, key: &str) -> Option<f64> {
    match file.values().get(&format!("config.{key}")) {
        Some(&PtValue::Int(n)) => Some(n as f64),
        Some(&PtValue::Float(x)) => Some(x),
        _ => None,
    }
}

fn count(file: &PtFile<'_>, key: &str) -> Option<usize> {
    number(file, key).filter(|n| (1.0..1e9).contains(n)).map(|n| n as usize)
}

fn temperature(file: &PtFile<'_>) -> f64 {
    number(file, "training.temperature").filter(|t| *t > 0.0).unwrap_or(TEMPERATURE)
}

/// The tensors of a checkpoint under the names of our model folder. Where it holds no X-Encoder, `vjepa2` gives it (names
/// of `VJEPA2Model`, as [`super::bare_vjepa2`] makes them). `text` is the architecture of the Y-Encoder.
///
/// # Errors
/// When it is no such checkpoint, or holds tensors that our model has no place for.
pub fn open_vljepa<'a>(file: &'a PtFile<'_>, vjepa2: &'a Remapped<'_>, text: TextKind) -> Result<Remapped<'a>> {
    let mut out = Remapped::new();
    let mut state = false;
    for full in file.names() {
        let Some(name) = full.strip_prefix(STATE) else { continue };
        let Some(tensor) = file.tensor(&full) else { continue };
        state = true;
        if let Some(ours) = our_name(name, text)? {
            out.add(ours, tensor)?;
        }
    }
    if !state {
        return fail(format!("no `model_state_dict`; the file holds: {}", file.entries().join(", ")));
    }
    if !out.names().iter().any(|n| n.starts_with("x_encoder.")) {
        for name in vjepa2.names() {
            if let (Some(rest), Some(tensor)) = (name.strip_prefix("encoder."), vjepa2.tensor(&name)) {
                out.add(format!("x_encoder.{rest}"), tensor)?;
            }
        }
    }
    let logit_scale = (1.0 / temperature(file)).ln() as f32;
    out.insert("logit_scale".into(), Dtype::F32, vec![1], Cow::Owned(logit_scale.to_le_bytes().to_vec()))?;
    Ok(out)
}

/// Our name of a tensor; `None` for those that VL-JEPA does not use.
fn our_name(name: &str, text: TextKind) -> Result<Option<String>> {
    if let Some(rest) = name.strip_prefix("x_encoder.model.") {
        return Ok(rest.strip_prefix("encoder.").map(|rest| format!("x_encoder.{rest}")));
    }
    if let Some(rest) = name.strip_prefix("y_encoder.model.") {
        return Ok(text.bare_name(rest).map(|rest| format!("y_encoder.{rest}")));
    }
    for (theirs, ours) in [
        ("y_encoder.projector.", "y_head."),
        ("predictor.vis_proj.", "vision_projection."),
        ("predictor.out_proj.", "predictor_head."),
    ] {
        if let Some(rest) = name.strip_prefix(theirs) {
            return Ok(Some(format!("{ours}{rest}")));
        }
    }
    if name.starts_with("predictor.rotary_emb.") {
        return Ok(None);
    }
    if ["predictor.embed_tokens.", "predictor.layers.", "predictor.norm."].iter().any(|p| name.starts_with(p)) {
        return Ok(Some(name.to_string()));
    }
    if name.starts_with("x_encoder.projector.") {
        return fail(format!(
            "`{name}`: a projection inside the X-Encoder (`encoder.output_dim`) has no place here; only `vis_proj` has"
        ));
    }
    fail(format!("`{name}` has no place in a VL-JEPA"))
}

/// The text of our `config.json` for a checkpoint.
///
/// # Errors
/// When a configuration is not valid, the Y-Encoder is none, or the checkpoint's shapes say something else.
pub fn open_vljepa_config(file: &PtFile<'_>, parts: &OpenVlJepaParts<'_>) -> Result<String> {
    let mut x_encoder = Vjepa2Config::from_json(parts.vjepa2)?;
    // That project runs V-JEPA 2 through transformers.
    x_encoder.position_grid = PositionGrid::Config;
    let llama = LlamaConfig::from_json(parts.llama)?;
    let text = TextKind::of_config(parts.text)?;
    let Some(kind) = text.y_encoder_kind() else {
        return fail("the Y-Encoder's configuration is that of a Llama".into());
    };
    let y_config: serde_json::Value = match serde_json::from_str(parts.text) {
        Ok(value) => value,
        Err(e) => return fail(format!("the Y-Encoder's configuration is not readable: {e}")),
    };
    let head = format!("{STATE}predictor.out_proj.weight");
    let dim = file.tensor(&head).and_then(|t| t.shape.first().copied()).ok_or_else(|| missing(&head))?;
    let layer = |i: usize| format!("{STATE}predictor.layers.{i}.input_layernorm.weight");
    let layers = (0..).take_while(|&i| file.tensor(&layer(i)).is_some()).count();
    if layers == 0 || layers > llama.num_hidden_layers {
        let have = llama.num_hidden_layers;
        return fail(format!("{layers} predictor layers, the Llama has {have}; is it the one that was trained from?"));
    }
    let causal = file.values().get("config.predictor.disable_causal_mask") == Some(&PtValue::Bool(false));
    let mut preprocessing = serde_json::Map::new();
    if let Some(size) = count(file, "data.image_size") {
        preprocessing.insert("size".into(), size.into());
    }
    if let Some(frames) = count(file, "data.num_frames") {
        preprocessing.insert("frames".into(), frames.into());
    }
    let target_tokens = count(file, "data.max_caption_len").or_else(|| count(file, "y_encoder.max_target_len"));
    let query_tokens = count(file, "data.max_query_len").or_else(|| count(file, "predictor.max_query_len"));
    let temperature = temperature(file);
    let config = json!({
        "format_version": 1,
        "model_type": "vljepa",
        "embedding_dim": dim,
        "x_encoder": x_encoder,
        "predictor": {
            "first_layer": llama.num_hidden_layers - layers,
            "num_layers": layers,
            "config": llama,
            "causal": causal,
            "default_query": QUERY,
        },
        "y_encoder": { "kind": kind, "config": y_config, "pooling": "mean", "max_target_tokens": target_tokens.unwrap_or(512) },
        "temperature": {
            "initial": temperature, "learned": false, "max_scale": (1.0 / temperature).max(100.0),
        },
        "max_query_tokens": query_tokens.unwrap_or(512),
        "preprocessing": preprocessing,
    });
    match serde_json::to_string_pretty(&config) {
        Ok(text) => Ok(text + "\n"),
        Err(e) => fail(format!("its configuration is not writable: {e}")),
    }
}
