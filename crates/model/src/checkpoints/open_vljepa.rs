//! Checkpoints of open-vljepa (`github.com/dion-jy/open-vljepa`) as our model folder.
//!
//! Such a file holds `model_state_dict` and the run's `config` (`scripts/train.py`). It lacks the X-Encoder, which is
//! frozen, and the configurations of the models that training started from; these come from those models. What the
//! run's `config` says about data becomes our preprocessing: that project scales the short side to `image_size` and
//! cuts the centre.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::architectures::{TextKind, YEncoderKind};
use crate::error::{ModelError, Result};
use crate::formats::{Dtype, PtFile, PtValue, Remapped, WeightSource, missing, read_f32};
use crate::llama::LlamaConfig;
use crate::vjepa2::{PositionGrid, Vjepa2Config};

/// Temperature of that project's loss where its configuration names none.
const TEMPERATURE: f64 = 0.07;
/// The query with which that project embeds videos to be found by their captions (`scripts/eval.py`).
const QUERY: &str = "Describe the video.";
/// The query that it trains with on CC3M, whose pictures have no other.
const PICTURE_QUERY: &str = "Describe the image.";
/// What `scripts/eval.py` uses where the run's configuration says nothing.
const FRAMES: usize = 16;
const IMAGE_SIZE: usize = 256;
const TEXT_TOKENS: usize = 512;
/// Most elements of a vision projection; that of ViT-g into Llama-3.1-405B has 23 million.
const MAX_PROJECTION: usize = 1 << 28;

/// The `config.json` of the three models that training started from.
#[derive(Clone, Copy, Debug)]
pub struct OpenVlJepaParts<'a> {
    /// V-JEPA 2.
    pub vjepa2: &'a Value,
    /// Llama, whose last layers are the Predictor.
    pub llama: &'a Value,
    /// The Y-Encoder, EmbeddingGemma in that project.
    pub text: &'a Value,
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

fn text<'f>(file: &'f PtFile<'_>, key: &str) -> Option<&'f str> {
    match file.values().get(&format!("config.{key}")) {
        Some(PtValue::Text(text)) => Some(text),
        _ => None,
    }
}

fn temperature(file: &PtFile<'_>) -> f64 {
    number(file, "training.temperature").filter(|t| *t > 0.0).unwrap_or(TEMPERATURE)
}

/// The tensors of a checkpoint under the names of our model folder. Where it holds no X-Encoder, `vjepa2` gives it
/// (names of `VJEPA2Model`, as [`bare_vjepa2`](crate::weights::bare_vjepa2) makes them). `text` is the architecture of
/// the Y-Encoder.
///
/// # Errors
/// When it is not such a checkpoint, or holds tensors that our model has no place for.
pub fn open_vljepa<'a>(file: &'a PtFile<'_>, vjepa2: &'a Remapped<'_>, text: TextKind) -> Result<Remapped<'a>> {
    let mut out = Remapped::new();
    let folded = folded_projection(file)?;
    let mut state = false;
    for full in file.names() {
        let Some(name) = full.strip_prefix(STATE) else { continue };
        let Some(tensor) = file.tensor(&full) else { continue };
        state = true;
        let in_projection = [INNER, OUTER].iter().any(|part| name.starts_with(part));
        if folded.is_some() && in_projection {
            continue;
        }
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
    for (part, shape, values) in folded.into_iter().flatten() {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        out.insert(format!("vision_projection.{part}"), Dtype::F32, shape, Cow::Owned(bytes))?;
    }
    let logit_scale = (1.0 / temperature(file)).ln() as f32;
    out.insert("logit_scale".into(), Dtype::F32, vec![1], Cow::Owned(logit_scale.to_le_bytes().to_vec()))?;
    Ok(out)
}

/// The projection inside the X-Encoder (`encoder.output_dim`), and the one that follows it.
const INNER: &str = "x_encoder.projector.";
const OUTER: &str = "predictor.vis_proj.";

type Part = (&'static str, Vec<usize>, Vec<f32>);

/// Weight and bias of the one linear map that [`INNER`] and [`OUTER`] are together; `None` where there is no inner one.
fn folded_projection(file: &(impl WeightSource + ?Sized)) -> Result<Option<[Part; 2]>> {
    let tensor = |part: &str, name: &str| {
        let name = format!("{STATE}{part}{name}");
        file.tensor(&name).map(|t| t.shape.to_vec()).ok_or_else(|| missing(&name))
    };
    if file.tensor(&format!("{STATE}{INNER}weight")).is_none() {
        return Ok(None);
    }
    let (inner, outer) = (tensor(INNER, "weight")?, tensor(OUTER, "weight")?);
    let (&[middle, input], &[output, joined]) = (&inner[..], &outer[..]) else {
        return fail(format!("`{INNER}weight` and `{OUTER}weight` are {inner:?} and {outer:?}, not matrices"));
    };
    if joined != middle || input.checked_mul(output).is_none_or(|n| n > MAX_PROJECTION) {
        return fail(format!(
            "`{INNER}weight` and `{OUTER}weight` of {inner:?} and {outer:?} do not follow each other"
        ));
    }
    let read = |part: &str, name: &str, shape: &[usize]| read_f32(file, &format!("{STATE}{part}{name}"), shape);
    let (first, shift) = (read(INNER, "weight", &inner)?, read(INNER, "bias", &[middle])?);
    let (second, bias) = (read(OUTER, "weight", &outer)?, read(OUTER, "bias", &[output])?);
    let mut weight = Vec::with_capacity(output * input);
    let mut shifted = Vec::with_capacity(output);
    for (row, &bias) in second.chunks_exact(middle.max(1)).zip(&bias) {
        let mut sums = vec![0f64; input];
        let mut sum = f64::from(bias);
        for ((&factor, line), &shift) in row.iter().zip(first.chunks_exact(input.max(1))).zip(&shift) {
            sums.iter_mut().zip(line).for_each(|(sum, &value)| *sum += f64::from(factor) * f64::from(value));
            sum += f64::from(factor) * f64::from(shift);
        }
        weight.extend(sums.iter().map(|&sum| sum as f32));
        shifted.push(sum as f32);
    }
    Ok(Some([("weight", vec![output, input], weight), ("bias", vec![output], shifted)]))
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
    fail(format!("`{name}` has no place in a VL-JEPA"))
}

/// The text of our `config.json` for a checkpoint.
///
/// # Errors
/// When a configuration is not valid, the Y-Encoder's is that of a Llama, or the checkpoint's shapes do not fit them.
pub fn open_vljepa_config(file: &PtFile<'_>, parts: &OpenVlJepaParts<'_>) -> Result<String> {
    let mut x_encoder = Vjepa2Config::from_value(parts.vjepa2)?;
    // That project runs V-JEPA 2 through transformers.
    x_encoder.position_grid = PositionGrid::Config;
    let llama = LlamaConfig::from_value(parts.llama)?;
    let Some(kind) = TextKind::of_config(parts.text)?.y_encoder() else {
        return fail("the Y-Encoder's configuration is that of a Llama".into());
    };
    let mut y_config = parts.text.clone();
    // Gemma multiplies embeddings by √width rounded to the type that it is loaded in: bf16 here, whatever was
    // published.
    let table = file.tensor(&format!("{STATE}y_encoder.model.embed_tokens.weight"));
    if let (Some(table), YEncoderKind::Gemma3, Some(keys)) = (table, kind, y_config.as_object_mut()) {
        let dtype = match table.dtype {
            Dtype::Bf16 => "bfloat16",
            Dtype::F16 => "float16",
            _ => "float32",
        };
        keys.remove("torch_dtype");
        keys.insert("dtype".into(), dtype.into());
    }
    let head = format!("{STATE}predictor.out_proj.weight");
    let dim = file.tensor(&head).and_then(|t| t.shape.first().copied()).ok_or_else(|| missing(&head))?;
    let layer = |i: usize| format!("{STATE}predictor.layers.{i}.input_layernorm.weight");
    let layers = (0..).take_while(|&i| file.tensor(&layer(i)).is_some()).count();
    if layers == 0 || layers > llama.num_hidden_layers {
        let have = llama.num_hidden_layers;
        return fail(format!(
            "{layers} predictor layers, the Llama has {have}; is it the one that training started from?"
        ));
    }
    let causal = file.values().get("config.predictor.disable_causal_mask") == Some(&PtValue::Bool(false));
    let size = count(file, "data.image_size").unwrap_or(IMAGE_SIZE);
    let query = match text(file, "data.query_text") {
        Some(query) => query,
        None if text(file, "data.dataset") == Some("cc3m") => PICTURE_QUERY,
        None => QUERY,
    };
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
            "default_query": query,
        },
        "y_encoder": { "kind": kind, "config": y_config, "pooling": "mean",
            "max_target_tokens": count(file, "data.max_caption_len").unwrap_or(TEXT_TOKENS) },
        "temperature": {
            "initial": temperature, "learned": false, "max_scale": (1.0 / temperature).max(100.0),
        },
        "max_query_tokens": count(file, "data.max_query_len").unwrap_or(TEXT_TOKENS),
        "preprocessing": {
            "size": size, "short_side": size, "crop_start": "even", "clip_fractions": true,
            "frames": count(file, "data.num_frames").unwrap_or(FRAMES),
        },
    });
    match serde_json::to_string_pretty(&config) {
        Ok(text) => Ok(text + "\n"),
        Err(e) => fail(format!("its configuration is not writable: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(tensors: &[(&str, &[usize])]) -> Remapped<'static> {
        let mut out = Remapped::new();
        for (name, shape) in tensors {
            let values = (1..=shape.iter().product()).flat_map(|i: usize| (i as f32).to_le_bytes()).collect();
            out.insert(format!("{STATE}{name}"), Dtype::F32, shape.to_vec(), Cow::Owned(values)).unwrap();
        }
        out
    }

    const WHOLE: [(&str, &[usize]); 4] = [
        ("x_encoder.projector.weight", &[2, 3]),
        ("x_encoder.projector.bias", &[2]),
        ("predictor.vis_proj.weight", &[2, 2]),
        ("predictor.vis_proj.bias", &[2]),
    ];

    #[test]
    fn two_linear_maps_become_one() {
        assert!(folded_projection(&source(&WHOLE[2..])).unwrap().is_none());
        // [[1, 2], [3, 4]] · [[1, 2, 3], [4, 5, 6]]; [[1, 2], [3, 4]] · [1, 2] + [1, 2].
        let [weight, bias] = folded_projection(&source(&WHOLE)).unwrap().unwrap();
        assert_eq!(weight, ("weight", vec![2, 3], vec![9.0, 12.0, 15.0, 19.0, 26.0, 33.0]));
        assert_eq!(bias, ("bias", vec![2], vec![6.0, 13.0]));
    }

    #[test]
    fn maps_that_do_not_follow_each_other_are_refused() {
        let with = |at: usize, shape: &'static [usize]| {
            let mut tensors = WHOLE;
            tensors[at].1 = shape;
            folded_projection(&source(&tensors)).unwrap_err().to_string()
        };
        assert!(with(0, &[3, 3]).contains("do not follow each other"));
        assert!(with(0, &[6]).contains("not matrices"));
        assert!(with(1, &[3]).contains("x_encoder.projector.bias"));
        assert!(with(3, &[1]).contains("predictor.vis_proj.bias"));
        let error = folded_projection(&source(&WHOLE[..2])).unwrap_err().to_string();
        assert!(error.contains("predictor.vis_proj.weight"), "{error}");
        // Both are small, what they make together would not be.
        let wide: [(&str, &[usize]); 2] =
            [("x_encoder.projector.weight", &[1, 1 << 15]), ("predictor.vis_proj.weight", &[1 << 15, 1])];
        assert!(folded_projection(&source(&wide)).unwrap_err().to_string().contains("do not follow each other"));
    }
}
