//! Makes a small folder of all-MiniLM-L6-v2: fewer word pieces, fewer positions, no pooler.
//!
//! `cargo run -p vljepa-model --example prune_text_encoder -- FOLDER OUT [IDS_BELOW [POSITIONS]]`
//!
//! Whole words stay when they are ASCII and their id is below IDS_BELOW (the vocabulary runs from common to rare words);
//! pieces that continue a word stay when they are ASCII, so that every English word can still be spelt.

use std::error::Error;
use std::path::Path;

use vljepa_model::config::BertConfig;
use vljepa_model::prune_wordpiece;
use vljepa_model::weights::{SafeTensors, Writer, read_f32};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out, rest @ ..] = args.as_slice() else {
        return Err("usage: prune_text_encoder FOLDER OUT [IDS_BELOW [POSITIONS]]".into());
    };
    let below: u32 = rest.first().map_or(Ok(30_522), |v| v.parse())?;
    let positions: usize = rest.get(1).map_or(Ok(256), |v| v.parse())?;
    let (folder, out) = (Path::new(folder), Path::new(out));
    let mut config = BertConfig::from_json(&std::fs::read_to_string(folder.join("config.json"))?)?;
    let weights = std::fs::read(folder.join("model.safetensors"))?;
    let weights = SafeTensors::parse("model.safetensors", &weights)?;
    let keep = |id: u32, piece: &str| {
        piece.is_ascii() && !piece.starts_with("[unused") && (id < below || piece.starts_with("##"))
    };
    let (tokenizer, rows) = prune_wordpiece(&std::fs::read(folder.join("tokenizer.json"))?, keep)?;

    let old = config.clone();
    config.vocab_size = rows.len();
    config.max_position_embeddings = positions.min(old.max_position_embeddings);
    let width = config.hidden_size;
    let mut writer = Writer::new();
    writer.metadata("format", "pt");
    for spec in config.tensors() {
        let from = old.tensors().into_iter().find(|s| s.name == spec.name).map_or(spec.shape.clone(), |s| s.shape);
        let mut values = read_f32(&weights, &spec.name, &from)?;
        if spec.name.ends_with("word_embeddings.weight") {
            values = rows.iter().flat_map(|&r| values[r as usize * width..][..width].to_vec()).collect();
        }
        values.truncate(spec.shape.iter().product());
        writer.f32(&spec.name, &spec.shape, &values)?;
    }
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("model.safetensors"), writer.finish()?)?;
    std::fs::write(out.join("tokenizer.json"), tokenizer)?;
    std::fs::write(out.join("config.json"), serde_json::to_string_pretty(&config)?)?;
    println!("{} of {} word pieces, {} parameters", rows.len(), old.vocab_size, config.parameters());
    Ok(())
}
