//! Packs a trained model folder for shipping: the text encoder's matrices as int8 with a scale per row, all other
//! matrices as f16, vectors as f32. The text encoder, usually frozen, gets a file of its own.
//!
//! `cargo run -p vljepa-model --example pack_model -- FOLDER OUT`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SCALE_SUFFIX, SafeTensors, Writer, read_all};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out] = args.as_slice() else { return Err("usage: pack_model FOLDER OUT".into()) };
    let (folder, out) = (Path::new(folder), Path::new(out));
    let json = std::fs::read_to_string(folder.join("config.json"))?;
    let config = VlJepaConfig::from_json(&json)?;
    let bytes = std::fs::read(folder.join("model.safetensors"))?;
    let values = read_all(&SafeTensors::parse("model.safetensors", &bytes)?, &config.tensors(), &[])?;
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut writers = [Writer::new(), Writer::new()];
    let mut map = BTreeMap::new();
    for spec in config.tensors() {
        let data = &values[&spec.name];
        let shard = usize::from(!spec.name.starts_with("y_encoder."));
        let writer = &mut writers[shard];
        map.insert(spec.name.clone(), names[shard]);
        match spec.shape.len() {
            1 => writer.f32(&spec.name, &spec.shape, data)?,
            2 if shard == 0 => {
                writer.i8_rows(&spec.name, &spec.shape, data)?;
                map.insert(format!("{}{SCALE_SUFFIX}", spec.name), names[shard]);
            }
            _ => writer.f16(&spec.name, &spec.shape, data)?,
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
    println!("{total} bytes, from {}", bytes.len());
    std::fs::write(out.join("config.json"), json)?;
    std::fs::copy(folder.join("target_tokenizer.json"), out.join("target_tokenizer.json"))?;
    Ok(())
}
