//! Checkpoints of V-JEPA 2 and 2.1: those on the model hub (names of `VJEPA2Model` and `VJEPA2ForVideoClassification`) and
//! the authors' `.pt` files (`facebookresearch/vjepa2`).

use crate::error::{ModelError, Result};
use crate::formats::{Remapped, TensorView, WeightSource, check, missing};
use crate::spec::TensorSpec;
use crate::vjepa2::Vjepa2Config;
use std::borrow::Cow;

/// What a checkpoint of V-JEPA 2 holds beside the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vjepa2Parts {
    /// Whether there is a masked-latent predictor.
    pub predictor: bool,
    /// Classes of the attentive probe, where there is one.
    pub labels: Option<usize>,
}

impl Vjepa2Parts {
    /// What `source` holds, by its names.
    pub fn of(source: &(impl WeightSource + ?Sized)) -> Self {
        let predictor = source.names().iter().any(|n| n.starts_with("predictor."));
        let labels = source.tensor("classifier.weight").and_then(|t| t.shape.first().copied());
        Self { predictor, labels }
    }

    /// The tensors of these parts.
    pub fn tensors(&self, config: &Vjepa2Config) -> Vec<TensorSpec> {
        let mut out = config.tensors();
        if self.predictor {
            out.extend(config.predictor_tensors());
        }
        if let Some(labels) = self.labels {
            out.extend(config.probe_tensors(labels));
        }
        out
    }
}

/// A checkpoint of the model hub under the names of the base model: without the `vjepa2.` that classifiers put before
/// them. Checked against `config`.
///
/// # Errors
/// [`ModelError::WeightMismatch`] when tensors are missing, unexpected or of another shape.
pub fn bare_vjepa2<'a>(
    source: &'a (impl WeightSource + ?Sized),
    config: &Vjepa2Config,
) -> Result<(Remapped<'a>, Vjepa2Parts)> {
    let mut out = Remapped::new();
    for name in source.names() {
        let Some(tensor) = source.tensor(&name) else { continue };
        out.add(name.strip_prefix("vjepa2.").unwrap_or(&name), tensor)?;
    }
    let parts = Vjepa2Parts::of(&out);
    check(&out, &parts.tensors(config), &[])?;
    Ok((out, parts))
}

/// Prefixes that wrappers of distributed training leave in the authors' names.
const WRAPPERS: [&str; 2] = ["module.", "backbone."];

/// V-JEPA 2.1's vectors for stills and for videos, in the encoder and in the predictor.
const MODALITIES: [&str; 2] = ["img_mod_embed", "video_mod_embed"];

fn unwrapped(name: &str) -> &str {
    WRAPPERS.iter().fold(name, |name, wrapper| name.strip_prefix(wrapper).unwrap_or(name))
}

/// The authors' checkpoint under the names of `VJEPA2Model`: the encoder of `entry` (`encoder`, the one trained by
/// gradients, or its moving average, which their evaluations use: `target_encoder`, in V-JEPA 2.1's ViT-B and ViT-L
/// `ema_encoder`) and the predictor where there is one. What V-JEPA 2.1 adds keeps their names
/// ([`Vjepa2Config::tensors`]).
///
/// Fused `qkv` matrices are split into query, key and value, and the mask tokens stacked into one tensor.
///
/// # Errors
/// When there is no such entry, or it holds a tensor that has no place in V-JEPA 2 or 2.1.
pub fn official_vjepa2<'a>(source: &'a (impl WeightSource + ?Sized), entry: &str) -> Result<Remapped<'a>> {
    let mut out = Remapped::new();
    let mut masks: Vec<(usize, TensorView<'a>)> = Vec::new();
    let mut found = false;
    // V-JEPA 2-AC has another kind of predictor; its files still hold the encoder.
    let action_conditioned =
        source.names().iter().any(|n| n.starts_with("predictor.") && n.contains("action_encoder."));
    for full in source.names() {
        let Some((first, rest)) = full.split_once('.') else { continue };
        let Some(tensor) = source.tensor(&full) else { continue };
        let name = unwrapped(rest);
        if first == entry && entry != "predictor" {
            found = true;
            encoder_tensor(&mut out, name, tensor).map_err(|e| within(&full, e))?;
        } else if first == "predictor" && !action_conditioned {
            match name.strip_prefix("mask_tokens.").map(str::parse) {
                Some(Ok(index)) => masks.push((index, tensor)),
                _ => predictor_tensor(&mut out, name, tensor).map_err(|e| within(&full, e))?,
            }
        }
    }
    if !found {
        let mut entries: Vec<String> =
            source.names().iter().filter_map(|n| Some(n.split_once('.')?.0.to_string())).collect();
        entries.dedup();
        let what = format!("no entry `{entry}` with tensors; there are: {}", shown(&entries));
        return Err(ModelError::Checkpoint { file: "V-JEPA 2".into(), what });
    }
    stack_mask_tokens(&mut out, masks)?;
    Ok(out)
}

fn shown(entries: &[String]) -> String {
    if entries.is_empty() { "none".into() } else { entries[..entries.len().min(12)].join(", ") }
}

/// The error with the tensor's name in the file.
fn within(full: &str, error: ModelError) -> ModelError {
    match error {
        ModelError::File { what, .. } => ModelError::Checkpoint { file: format!("tensor `{full}`"), what },
        other => other,
    }
}

fn encoder_tensor<'a>(out: &mut Remapped<'a>, name: &str, tensor: TensorView<'a>) -> Result<()> {
    for (theirs, ours) in [
        ("patch_embed.proj.", "encoder.embeddings.patch_embeddings.proj."),
        ("patch_embed_img.proj.", "encoder.embeddings.patch_embed_img.proj."),
        ("norm.", "encoder.layernorm."),
        ("norms_block.", "encoder.norms_block."),
    ] {
        if let Some(part) = name.strip_prefix(theirs) {
            return out.add(format!("{ours}{part}"), tensor);
        }
    }
    if MODALITIES.contains(&name) {
        return out.add(format!("encoder.embeddings.{name}"), tensor);
    }
    match name.strip_prefix("blocks.") {
        Some(rest) => block_tensor(out, "encoder", rest, tensor),
        None => Err(foreign("encoder")),
    }
}

fn predictor_tensor<'a>(out: &mut Remapped<'a>, name: &str, tensor: TensorView<'a>) -> Result<()> {
    for (theirs, ours) in [
        ("predictor_embed.", "predictor.embeddings.predictor_embeddings."),
        ("predictor_norm.", "predictor.layernorm."),
        ("predictor_proj.", "predictor.proj."),
        ("predictor_proj_context.", "predictor.proj_context."),
    ] {
        if let Some(part) = name.strip_prefix(theirs) {
            return out.add(format!("{ours}{part}"), tensor);
        }
    }
    if MODALITIES.contains(&name) {
        return out.add(format!("predictor.embeddings.{name}"), tensor);
    }
    match name.strip_prefix("predictor_blocks.") {
        Some(rest) => block_tensor(out, "predictor", rest, tensor),
        None => Err(foreign("predictor")),
    }
}

/// `{i}.attn.qkv.weight` and the like.
fn block_tensor<'a>(out: &mut Remapped<'a>, of: &str, rest: &str, tensor: TensorView<'a>) -> Result<()> {
    let Some((index, part)) = rest.split_once('.').filter(|(i, _)| i.parse::<usize>().is_ok()) else {
        return Err(foreign(of));
    };
    let layer = format!("{of}.layer.{index}");
    if let Some(kind) = part.strip_prefix("attn.qkv.") {
        for (i, target) in ["query", "key", "value"].into_iter().enumerate() {
            out.add_rows(format!("{layer}.attention.{target}.{kind}"), &tensor, i, 3)?;
        }
        return Ok(());
    }
    if let Some(kind) = part.strip_prefix("attn.proj.") {
        return out.add(format!("{layer}.attention.proj.{kind}"), tensor);
    }
    if ["norm1.", "norm2.", "mlp.fc1.", "mlp.fc2."].iter().any(|known| part.starts_with(known)) {
        return out.add(format!("{layer}.{part}"), tensor);
    }
    Err(foreign(of))
}

fn foreign(of: &str) -> ModelError {
    let what = format!("has no place in the {of} of V-JEPA 2 or 2.1 (with rotary positions); is this another model?");
    ModelError::File { file: String::new(), what }
}

/// `mask_tokens.{i}` (1, 1, D) → `predictor.embeddings.mask_tokens` (count, 1, 1, D).
fn stack_mask_tokens<'a>(out: &mut Remapped<'a>, mut masks: Vec<(usize, TensorView<'a>)>) -> Result<()> {
    masks.sort_by_key(|(index, _)| *index);
    let Some((_, first)) = masks.first().cloned() else { return Ok(()) };
    let mut bytes = Vec::new();
    for (i, (index, tensor)) in masks.iter().enumerate() {
        if *index != i || tensor.shape != first.shape || tensor.dtype != first.dtype {
            return Err(missing(format!("mask_tokens.{i} of {:?}", first.shape)));
        }
        bytes.extend_from_slice(tensor.bytes);
    }
    let width: usize = first.shape.iter().product();
    let name = "predictor.embeddings.mask_tokens".to_string();
    out.insert(name, first.dtype, vec![masks.len(), 1, 1, width], Cow::Owned(bytes))
}

/// The configuration that an authors' checkpoint has by the shapes of its tensors, which hold no `config.json`.
///
/// No shape tells `crop_size`, so it must be given (256, or 384 for V-JEPA 2.1 and the ViT-g of that resolution). Nor
/// does one tell the number of heads: it is that of the published model of the same width, else one for each 64 channels
/// (predictor: 32). A file with tensors that only V-JEPA 2.1 has is one of it, and then no shape tells the hierarchical
/// layers either: they are those of the published model of the same depth.
///
/// # Errors
/// When tensors are missing, or their shapes are not those of a V-JEPA 2; a V-JEPA 2.1 of a depth that is not published.
pub fn official_config(weights: &Remapped<'_>, crop_size: usize) -> Result<Vjepa2Config> {
    let shape = |name: &str| weights.tensor(name).map(|t| t.shape.to_vec()).ok_or_else(|| missing(name));
    let patches = shape("encoder.embeddings.patch_embeddings.proj.weight")?;
    let &[hidden_size, in_chans, tubelet_size, patch_size, _] = patches.as_slice() else {
        let what = format!(
            "the patch embedding has the shape {patches:?}, five axes are expected; is it a model of still pictures?"
        );
        return Err(ModelError::Checkpoint { file: "V-JEPA 2".into(), what });
    };
    let depth =
        |of: &str| (0..).take_while(|i| weights.tensor(&format!("{of}.layer.{i}.norm1.weight")).is_some()).count();
    let ratio = |of: &str, width: usize| -> Result<f64> {
        let inner = shape(&format!("{of}.layer.0.mlp.fc1.weight"))?.first().copied().unwrap_or(0);
        let mut ratio = inner as f64 / width.max(1) as f64;
        // Rounding down must give the width back.
        if ((width as f64 * ratio) as usize) < inner {
            ratio = ratio.next_up();
        }
        Ok(ratio)
    };
    let heads = |width: usize, dim: usize| match width {
        1280 => 16,
        width => (width / dim).max(1),
    };
    let mut config = Vjepa2Config {
        patch_size,
        crop_size,
        tubelet_size,
        hidden_size,
        in_chans,
        num_attention_heads: heads(hidden_size, 64),
        num_hidden_layers: depth("encoder"),
        mlp_ratio: ratio("encoder", hidden_size)?,
        qkv_bias: weights.tensor("encoder.layer.0.attention.query.bias").is_some(),
        ..Vjepa2Config::default()
    };
    if let Some(masks) = weights.tensor("predictor.embeddings.mask_tokens") {
        config.pred_num_mask_tokens = masks.shape.first().copied().unwrap_or(0);
        config.pred_hidden_size = masks.shape.last().copied().unwrap_or(0);
        config.pred_num_attention_heads = (config.pred_hidden_size / 32).max(1);
        config.pred_num_hidden_layers = depth("predictor");
        config.pred_mlp_ratio = ratio("predictor", config.pred_hidden_size)?;
    }
    if is_v2_1(weights) {
        v2_1_config(weights, &mut config)?;
    }
    config.validate()?;
    Ok(config)
}

/// Whether the tensors that [`official_vjepa2`] gives are those of a V-JEPA 2.1, by names that only it has.
pub fn is_v2_1(weights: &Remapped<'_>) -> bool {
    let only = ["encoder.norms_block.", "encoder.embeddings.patch_embed_img.", "encoder.embeddings.img_mod_embed"];
    weights.names().iter().any(|name| only.iter().any(|prefix| name.starts_with(prefix)))
}

/// What V-JEPA 2.1's tensors tell beyond V-JEPA 2's. What all published models have is expected of the file; whether it
/// is there is for [`check`] to say, of all tensors at once.
fn v2_1_config(weights: &Remapped<'_>, config: &mut Vjepa2Config) -> Result<()> {
    let depth = config.num_hidden_layers;
    config.hierarchical_layers = Vjepa2Config::published_levels(depth).ok_or_else(|| {
        let what = format!(
            "no shape tells the hierarchical layers of a V-JEPA 2.1 of {depth} layers, and none of that depth is \
             published (12, 24, 40 or 48); give its configuration"
        );
        ModelError::Checkpoint { file: "V-JEPA 2.1".into(), what }
    })?;
    config.img_temporal_dim_size = Some(1);
    config.use_modality_embeddings = true;
    config.use_rope_interleave = true;
    config.interpolate_rope = true;
    let width = |name: &str, axis: usize| weights.tensor(name).and_then(|t| t.shape.get(axis).copied());
    if Vjepa2Parts::of(weights).predictor {
        config.return_all_tokens = true;
        if let Some(input) = width("predictor.embeddings.predictor_embeddings.0.weight", 1) {
            config.n_output_distillation = input / config.hidden_size.max(1);
        }
        let out = width("predictor.proj.weight", 0);
        config.teacher_embed_dim = out.filter(|&out| out != config.predictor_input_size());
    }
    Ok(())
}
