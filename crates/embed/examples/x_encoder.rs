//! Takes the X-Encoder out of a VL-JEPA's folder as a V-JEPA 2 folder of its own:
//! `cargo run --release -p vljepa-embed --example x_encoder -- MODEL OUT`.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::json;
use vljepa_embed::files::OutFolder;
use vljepa_embed::folder::ModelFolder;
use vljepa_embed::{Error as EmbedError, names, preprocess};
use vljepa_model::weights::{Remapped, write_safetensors};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, out] = &args[..] else { return Err("give a model's folder and a new folder".into()) };
    let folder = ModelFolder::open(model.as_ref())?;
    let (config, to) = (folder.config(), preprocess(folder.config()));
    let target = OutFolder::new(out.as_ref())?;
    let encoder = serde_json::to_string_pretty(&vljepa_model::config::Vjepa2Config {
        model_type: Some("vjepa2".into()),
        crop_size: to.size as usize,
        frames_per_clip: config.frames(),
        ..config.x_encoder.clone()
    })?;
    let processor = json!({
        "do_resize": true, "size": {"shortest_edge": config.short_side()}, "resample": 2, "do_center_crop": true,
        "crop_size": to.size, "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": true,
        "image_mean": to.mean, "image_std": to.std,
    });
    target.write(names::CONFIG, encoder.as_bytes())?;
    target.write(names::PROCESSORS[1], processor.to_string().as_bytes())?;
    folder.with_weights(|weights| {
        let mut bare = Remapped::new();
        let fault = || EmbedError::model(model);
        for name in weights.names() {
            // Of an ensemble it is the first member's; scales of int8 rows go with their tensors.
            if let (Some(rest), Some(tensor)) = (name.strip_prefix("x_encoder."), weights.tensor(&name)) {
                bare.add(format!("encoder.{rest}"), tensor).map_err(fault())?;
            }
        }
        target
            .stream(names::WEIGHTS, |file| write_safetensors(&bare, &BTreeMap::new(), file, |_, _| ()).map_err(fault()))
    })?;
    target.persist()?;
    println!("{out}: the X-Encoder of {model}");
    Ok(())
}
