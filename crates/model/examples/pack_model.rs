//! Packs a trained model folder for shipping: the text encoder's matrices as int8 with a scale per row, all other
//! matrices as f16, vectors as f32.
//!
//! `cargo run -p vljepa-model --example pack_model -- FOLDER OUT`

use std::error::Error;
use std::path::Path;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, Writer, read_all};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out] = args.as_slice() else { return Err("usage: pack_model FOLDER OUT".into()) };
    let (folder, out) = (Path::new(folder), Path::new(out));
    let json = std::fs::read_to_string(folder.join("config.json"))?;
    let config = VlJepaConfig::from_json(&json)?;
    let bytes = std::fs::read(folder.join("model.safetensors"))?;
    let values = read_all(&SafeTensors::parse("model.safetensors", &bytes)?, &config.tensors(), &[])?;
    let mut writer = Writer::new();
    writer.metadata("format", "pt");
    for spec in config.tensors() {
        let data = &values[&spec.name];
        match spec.shape.len() {
            1 => writer.f32(&spec.name, &spec.shape, data)?,
            2 if spec.name.starts_with("y_encoder.") => writer.i8_rows(&spec.name, &spec.shape, data)?,
            _ => writer.f16(&spec.name, &spec.shape, data)?,
        }
    }
    let packed = writer.finish()?;
    println!("{} bytes, from {}", packed.len(), bytes.len());
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("model.safetensors"), packed)?;
    std::fs::write(out.join("config.json"), json)?;
    std::fs::copy(folder.join("target_tokenizer.json"), out.join("target_tokenizer.json"))?;
    Ok(())
}
