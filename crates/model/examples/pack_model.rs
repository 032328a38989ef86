//! Packs trained model folders for shipping: matrices as int8 with a scale per row, vectors as f32. The text encoder,
//! usually frozen, gets a file of its own. Several folders with one text encoder become one model, an ensemble.
//!
//! `cargo run -p vljepa-model --example pack_model -- FOLDER... OUT`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SCALE_SUFFIX, SafeTensors, Writer, read_all};

type Values = BTreeMap<String, Vec<f32>>;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((out, folders @ [first, ..])) = args.split_last() else {
        return Err("usage: pack_model FOLDER... OUT".into());
    };
    let (out, first) = (Path::new(out), Path::new(first));
    let (mut config, mut values) = read(first)?;
    for folder in &folders[1..] {
        let (other, more) = read(Path::new(folder))?;
        if other != (VlJepaConfig { members: 1, ..config.clone() }) {
            return Err(format!("{folder}: its config.json differs from that of {}", first.display()).into());
        }
        let prefix = VlJepaConfig::member_prefix(config.members);
        config.members += 1;
        for (name, value) in more {
            let shared = ["y_encoder.", "y_head.", "memory."].iter().any(|p| name.starts_with(p));
            match name.as_str() {
                _ if shared && values.get(&name) != Some(&value) => {
                    return Err(format!("{folder}: {name} differs from that of {}", first.display()).into());
                }
                // The first member's temperature stands for all.
                "logit_scale" => {}
                _ if shared => {}
                _ => drop(values.insert(format!("{prefix}{name}"), value)),
            }
        }
    }
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut writers = [Writer::new(), Writer::new()];
    let mut map = BTreeMap::new();
    for spec in config.tensors() {
        let data = &values[&spec.name];
        let shard = usize::from(!spec.name.starts_with("y_encoder."));
        let writer = &mut writers[shard];
        map.insert(spec.name.clone(), names[shard]);
        if spec.shape.len() == 1 {
            writer.f32(&spec.name, &spec.shape, data)?;
        } else {
            writer.i8_rows(&spec.name, &spec.shape, data)?;
            map.insert(format!("{}{SCALE_SUFFIX}", spec.name), names[shard]);
        }
    }
    std::fs::create_dir_all(out)?;
    let mut total = 0;
    for (name, writer) in names.iter().zip(writers) {
        let packed = writer.finish()?;
        total += packed.len();
        std::fs::write(out.join(name), packed)?;
    }
    let index = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
    std::fs::write(out.join("model.safetensors.index.json"), serde_json::to_string_pretty(&index)?)?;
    println!("{total} bytes, {} members", config.members);
    std::fs::write(out.join("config.json"), config.to_json()?)?;
    std::fs::copy(first.join("target_tokenizer.json"), out.join("target_tokenizer.json"))?;
    Ok(())
}

fn read(folder: &Path) -> Result<(VlJepaConfig, Values), Box<dyn Error>> {
    let config = VlJepaConfig::from_json(&std::fs::read_to_string(folder.join("config.json"))?)?;
    let bytes = std::fs::read(folder.join("model.safetensors"))?;
    let values = read_all(&SafeTensors::parse("model.safetensors", &bytes)?, &config.tensors(), &[])?;
    Ok((config, values.into_iter().collect()))
}
