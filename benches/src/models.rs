//! Configurations that are timed, and the floating-point operations of their products.

use vljepa_model::config::{LlamaConfig, TensorSpec, TextEncoderConfig, Vjepa2Config, VlJepaConfig};

use crate::error::Result;

/// A whole model of the compact kind: convolutional stem, six blocks, two predictor layers, a MiniLM-shaped Y-Encoder.
///
/// # Errors
/// When the file beside this one no longer fits the format.
pub fn compact() -> Result<VlJepaConfig> {
    Ok(VlJepaConfig::from_json(include_str!("compact.json"))?)
}

/// ViT-S of the first `layers` blocks at 224².
pub fn vit_small(layers: usize) -> Vjepa2Config {
    Vjepa2Config {
        crop_size: 224,
        frames_per_clip: 2,
        hidden_size: 384,
        num_attention_heads: 6,
        num_hidden_layers: layers,
        ..Vjepa2Config::default()
    }
}

/// ViT-L of the first `layers` blocks at 256².
pub fn vit_large(layers: usize) -> Vjepa2Config {
    Vjepa2Config { frames_per_clip: 2, num_hidden_layers: layers, ..Vjepa2Config::vit_large() }
}

/// The same kind of encoder, small.
pub fn small_encoder(config: Vjepa2Config) -> Vjepa2Config {
    Vjepa2Config {
        crop_size: 2 * config.patch_size,
        hidden_size: 48,
        num_attention_heads: 4,
        num_hidden_layers: 1,
        ..config
    }
}

/// The same kind of model, small.
pub fn small(mut config: VlJepaConfig) -> VlJepaConfig {
    config.x_encoder = small_encoder(config.x_encoder);
    if let Some(stem) = &mut config.x_encoder.conv_stem {
        stem.channels.iter_mut().for_each(|c| *c = 8);
    }
    let llama = &mut config.predictor.config;
    (llama.vocab_size, llama.hidden_size, llama.intermediate_size) = (64, 32, 48);
    if let TextEncoderConfig::Bert(bert) = &mut config.y_encoder.config {
        (bert.vocab_size, bert.hidden_size, bert.intermediate_size) = (64, 24, 48);
        bert.num_hidden_layers = 1;
    }
    config
}

/// Products of the X-Encoder on `batch` clips of `frames` frames of the configured size.
pub fn encoder_flops(c: &Vjepa2Config, batch: usize, frames: usize) -> f64 {
    let (t, rows, columns) = c.grid(frames, c.crop_size, c.crop_size);
    let tokens = (t * rows * columns) as f64;
    let (d, mlp) = (c.hidden_size as f64, c.mlp_size() as f64);
    let embedding = match &c.conv_stem {
        None => tokens * 2.0 * d * (c.in_chans * c.tubelet_size * c.patch_size * c.patch_size) as f64,
        Some(stem) => {
            let (mut side, mut input, mut sum) = (c.crop_size, c.in_chans, 0.0);
            for (i, &output) in stem.channels.iter().enumerate() {
                side /= stem.stride;
                let taps = (frames * side * side * stem.kernel * stem.kernel) as f64;
                let units = stem.residual.get(i).copied().unwrap_or(0);
                sum += 2.0 * taps * output as f64 * (input + units * output) as f64;
                input = output;
            }
            sum + 2.0 * tokens * d * (frames.min(c.tubelet_size) * input) as f64
        }
    };
    let block = tokens * (8.0 * d * d + 4.0 * d * mlp) + 4.0 * d * tokens * tokens;
    batch as f64 * (embedding + c.num_hidden_layers as f64 * block)
}

/// Products of `layers` Llama blocks on `batch` sequences.
pub fn llama_flops(c: &LlamaConfig, layers: usize, batch: usize, tokens: usize) -> f64 {
    let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
    (batch * layers) as f64 * decoder_flops([c.hidden_size, c.intermediate_size, q, kv], tokens)
}

/// Products of one decoder layer on one sequence; sliding windows are counted as if they saw everything.
fn decoder_flops(sizes: [usize; 4], tokens: usize) -> f64 {
    let [d, mlp, q, kv] = sizes.map(|size| size as f64);
    let n = tokens as f64;
    n * (4.0 * d * q + 4.0 * d * kv + 6.0 * d * mlp) + 4.0 * q * n * n
}

/// Products of a text encoder on `batch` texts; sliding windows are counted as if they saw everything.
pub fn text_flops(c: &TextEncoderConfig, batch: usize, tokens: usize) -> f64 {
    let (n, layers) = (tokens as f64, c.num_hidden_layers() as f64);
    let in_layer = |t: &&TensorSpec| t.shape.len() == 2 && t.name.split('.').any(|part| part.starts_with("layer"));
    let weights: u64 = c.tensors().iter().filter(in_layer).map(TensorSpec::elements).sum();
    batch as f64 * (2.0 * n * weights as f64 + layers * 4.0 * c.attention_width() as f64 * n * n)
}

/// Products of a prediction from `frames` frames without a query.
pub fn predict_flops(c: &VlJepaConfig, batch: usize, frames: usize) -> f64 {
    let (t, rows, columns) = c.x_encoder.grid(frames, c.x_encoder.crop_size, c.x_encoder.crop_size);
    let tokens = t * rows * columns;
    let width = c.predictor.config.hidden_size as f64;
    let projection = 2.0 * (batch * tokens * c.x_encoder.hidden_size) as f64 * width;
    let head = 2.0 * (batch * c.embedding_dim) as f64 * width;
    let layers = llama_flops(&c.predictor.config, c.predictor.num_layers, batch, tokens);
    encoder_flops(&c.x_encoder, batch, frames) + projection + layers + head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vit_costs_what_its_parameters_do() {
        // Two operations per weight and token, and the products of attention.
        let config = vit_large(24);
        let tokens = 256.0;
        let weights = config.parameters() as f64;
        let attention = 24.0 * 4.0 * 1024.0 * tokens * tokens;
        let flops = encoder_flops(&config, 2, 2) / 2.0;
        assert!((flops / (2.0 * weights * tokens + attention) - 1.0).abs() < 0.01, "{flops:e}");
    }

    #[test]
    fn the_other_parts_too() {
        let config = compact().unwrap();
        let llama = &config.predictor.config;
        let per_token = 256 * 256 * 2 + 2 * 256 * 128 + 3 * 256 * 768;
        let want = 2.0 * f64::from(per_token) * 7.0 + 4.0 * 256.0 * 49.0;
        assert_eq!(llama_flops(llama, 1, 1, 7), want);
        let per_token = 4 * 384 * 384 + 2 * 384 * 1536;
        let want = 6.0 * (2.0 * f64::from(per_token) * 5.0 + 4.0 * 384.0 * 25.0);
        assert_eq!(text_flops(&config.y_encoder.config, 1, 5), want);
        assert!(predict_flops(&config, 3, 1) > 3.0 * encoder_flops(&config.x_encoder, 1, 1));
    }

    #[test]
    fn a_stem_is_counted_by_its_feature_maps() {
        let mut config = compact().unwrap().x_encoder;
        config.num_hidden_layers = 0;
        let stem = 2 * 9 * (32 * 32 * 3 * 32 + 16 * 16 * 32 * 64 + 8 * 8 * 64 * 128);
        let taps = 2 * 64 * 256 * 128;
        assert_eq!(encoder_flops(&config, 1, 1), f64::from(stem + taps));
    }

    #[test]
    fn small_models_are_valid() {
        assert!(small(compact().unwrap()).validate().is_ok());
        assert!(small_encoder(vit_small(4)).validate().is_ok());
        assert!(small_encoder(vit_large(2)).validate().is_ok());
    }
}
