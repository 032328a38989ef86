//! Published LeWM checkpoints under our names.

use super::config::LewmConfig;
use crate::error::Result;
use crate::formats::{Remapped, WeightSource, check};

/// Parts of a layer of the encoder: transformers 5's name, then 4's, which is ours.
const PARTS: [(&str, &str); 6] = [
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
];

/// Our name of a tensor; `None` for the counters of the batch norms, which nothing reads.
fn own_name(name: &str) -> Option<String> {
    if name.ends_with(".num_batches_tracked") {
        return None;
    }
    let bare = name.strip_prefix("model.").unwrap_or(name);
    let later = ["encoder.layers.", "encoder.encoder.layers."].iter().find_map(|start| bare.strip_prefix(start));
    let Some((number, part)) = later.and_then(|rest| rest.split_once('.')) else { return Some(bare.to_owned()) };
    let renamed = PARTS.iter().find_map(|(from, to)| Some(format!("{to}{}", part.strip_prefix(from)?)));
    Some(format!("encoder.encoder.layer.{number}.{}", renamed.unwrap_or_else(|| part.to_owned())))
}

/// The weights of `quentinll/lewm-*` under our names, whether transformers 4 or 5 wrote them. Every tensor of the configuration
/// must be there: a file that holds a part of a model is refused.
///
/// # Errors
/// [`crate::ModelError::WeightMismatch`] when tensors are missing, unexpected or of another shape.
pub fn published_lewm<'a>(source: &'a (impl WeightSource + ?Sized), config: &LewmConfig) -> Result<Remapped<'a>> {
    let mut out = Remapped::new();
    for name in source.names() {
        if let (Some(own), Some(tensor)) = (own_name(&name), source.tensor(&name)) {
            out.add(own, tensor)?;
        }
    }
    check(&out, &config.tensors(), &[])?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{SafeTensors, Writer};

    fn small() -> LewmConfig {
        LewmConfig {
            image_size: 8,
            patch_size: 4,
            hidden_size: 6,
            num_hidden_layers: 2,
            intermediate_size: 8,
            projection_size: 10,
            ..LewmConfig::default()
        }
    }

    fn file(config: &LewmConfig, rename: &dyn Fn(&str) -> String, skip: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        for t in config.tensors().iter().filter(|t| skip.is_empty() || !t.name.contains(skip)) {
            writer.f32(&rename(&t.name), &t.shape, &vec![0.5; t.elements() as usize]).unwrap();
        }
        writer.f32("projector.net.1.num_batches_tracked", &[1], &[7.0]).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn both_styles_of_names_load() {
        let config = small();
        let later = |name: &str| {
            let mut name = name.replace("encoder.encoder.layer.", "encoder.layers.");
            if name.starts_with("encoder.layers.") {
                for (to, from) in PARTS {
                    name = name.replace(&format!(".{from}."), &format!(".{to}."));
                }
            }
            name
        };
        assert_eq!(later("encoder.encoder.layer.1.output.dense.bias"), "encoder.layers.1.mlp.fc2.bias");
        let styles: [&dyn Fn(&str) -> String; 3] = [&str::to_owned, &later, &|name| format!("model.{name}")];
        for rename in styles {
            let bytes = file(&config, rename, "");
            let source = SafeTensors::parse("weights", &bytes).unwrap();
            assert_eq!(published_lewm(&source, &config).unwrap().len(), config.tensors().len());
        }
    }

    #[test]
    fn a_part_of_a_model_is_refused() {
        let config = small();
        let bytes = file(&config, &str::to_owned, "pred_proj");
        let source = SafeTensors::parse("weights", &bytes).unwrap();
        let error = published_lewm(&source, &config).unwrap_err().to_string();
        assert!(error.contains("pred_proj.net.0.weight"), "{error}");
    }
}
