//! A VL-JEPA in a program of one's own: which of some texts a clip is nearest to. The model is small and its weights
//! are random, so the answer means nothing; `VlJepa::load` with weights from a file gives one that does.
//!
//! `cargo run -p vljepa-model --example embed_model`

use std::error::Error;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::{Forward, Tokens, VlJepa};
use vljepa_tensor::{Device, DeviceOptions, Tensor, ops};

/// A `config.json` of a model folder. Every key that is left out has its default.
const CONFIG: &str = r#"{
    "format_version": 1,
    "model_type": "vljepa",
    "embedding_dim": 32,
    "x_encoder": {
        "crop_size": 32, "patch_size": 8, "frames_per_clip": 4,
        "hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2
    },
    "predictor": {
        "first_layer": 0, "num_layers": 2,
        "config": {
            "vocab_size": 64, "hidden_size": 48, "intermediate_size": 96,
            "num_hidden_layers": 2, "num_attention_heads": 4
        }
    },
    "y_encoder": {
        "kind": "bert", "max_target_tokens": 16,
        "config": {
            "vocab_size": 64, "hidden_size": 48, "intermediate_size": 96, "max_position_embeddings": 16,
            "num_hidden_layers": 2, "num_attention_heads": 4
        }
    },
    "max_query_tokens": 16
}"#;

/// Below norms that vectors are divided by.
const EPS: f32 = 1e-12;

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::open(DeviceOptions::default())?;
    let config = VlJepaConfig::from_json(CONFIG)?;
    let (frames, size, pad) = (config.frames(), config.image_size(), config.y_encoder.config.pad_token_id());
    let model = VlJepa::init(&device, config, 7)?;
    println!("{} parameters on {}", model.config.parameters(), device.info().name);

    // One clip of noise, [batch, frames, channels, height, width], in place of normalised pixels.
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    });
    let pixels: Vec<f32> = noise.take(frames * 3 * size * size).collect();
    let clip = Tensor::from_f32(&device, &[1, frames, 3, size, size], &pixels)?;

    // A `TextTokenizer` makes ids of texts; the first of these is a question, the others are possible answers.
    let query = Tokens::new(&device, &[vec![5, 9, 2]], 0)?;
    let answers = Tokens::new(&device, &[vec![1, 7, 3], vec![1, 8, 8, 3], vec![1, 20, 3]], pad)?;

    let pass = Forward::inference();
    let prediction = model.predict(&pass, &clip, Some(&query))?;
    let targets = model.encode_text(&pass, &answers)?;

    let prediction = ops::l2_normalize(prediction.value(), EPS)?.value;
    let targets = ops::l2_normalize(targets.value(), EPS)?.value;
    let cosines = ops::matmul(&prediction, &targets, &ops::Matmul::nt())?.to_f32()?;
    for (i, cosine) in cosines.iter().enumerate() {
        println!("answer {i}: cosine {cosine:+.4}");
    }
    Ok(())
}
