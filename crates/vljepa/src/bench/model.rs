//! Benchmarks of published models at full size with random weights: time to load, seconds per clip, memory.

use std::ops::Range;
use std::time::Instant;

use serde::Serialize;
use vljepa_model::config::{Gemma3Config, LlamaConfig, PredictorConfig, TextEncoderConfig, Vjepa2Config};
use vljepa_model::config::{VlJepaConfig, YEncoderConfig};
use vljepa_model::{Forward, ParamSource, Precision, Tokens, Vjepa2Encoder, VlJepa};
use vljepa_tensor::{Device, Tensor};

use super::noise::Noise;
use crate::error::{Error, Result};

/// Number of tokens in the query of a VL-JEPA; their ids do not affect the time.
const QUERY_TOKENS: usize = 32;

/// A forward pass that takes longer, in seconds, is not repeated.
const SLOW_SECONDS: f64 = 60.0;

/// Frames of the longest clip that can be measured.
pub const MAX_FRAMES: usize = 1024;

/// Whether clips of this number of frames can be measured: 1, or whole tubelets of two frames up to [`MAX_FRAMES`].
pub fn are_frames(frames: usize) -> bool {
    frames == 1 || (2..=MAX_FRAMES).contains(&frames) && frames.is_multiple_of(2)
}

/// A published model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// V-JEPA 2 ViT-L, layers 8 to 15 of Llama-3.2-1B, EmbeddingGemma-300M (arXiv 2512.10942, §3.1).
    VlJepaBase,
    /// The V-JEPA 2 encoder ViT-L at 256².
    VitLarge,
    /// The V-JEPA 2 encoder ViT-H at 256².
    VitHuge,
    /// The V-JEPA 2 encoder ViT-g at 256².
    VitGiant,
}

/// The measurements of one preset.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReport {
    /// Number of elements of all weights.
    pub parameters: u64,
    /// Type of the matrices on the device: `f32`, `f16` or `i8`.
    pub precision: &'static str,
    /// Seconds to generate the weights and upload them to the device.
    pub load_seconds: f64,
    /// Bytes of device memory after loading.
    pub weights_bytes: u64,
    /// One row for each clip length.
    pub clips: Vec<ClipRow>,
    /// Peak resident memory of this process in bytes, if the system tells it. On a software adapter it includes device
    /// memory.
    pub peak_host_bytes: Option<u64>,
}

/// The measurements of one clip length.
#[derive(Clone, Debug, Serialize)]
pub struct ClipRow {
    /// Number of frames.
    pub frames: usize,
    /// Number of vision tokens.
    pub tokens: usize,
    /// Seconds of one forward pass: the faster of two passes after a warm-up pass that compiles pipelines, or the first
    /// pass that takes over a minute.
    pub seconds: f64,
    /// Peak device memory so far in bytes: weights and activations, including free buffers of the pool.
    pub peak_device_bytes: u64,
}

/// A source of random weights: uniform numbers with about the spread of trained weights.
struct RandomWeights {
    seed: u64,
}

impl ParamSource for RandomWeights {
    fn values(&mut self, name: &str, shape: &[usize]) -> vljepa_model::Result<Vec<f32>> {
        self.rows(name, shape, 0..shape.first().copied().unwrap_or(1))
    }

    fn rows(&mut self, name: &str, shape: &[usize], rows: Range<usize>) -> vljepa_model::Result<Vec<f32>> {
        let width: usize = shape.iter().skip(1).product();
        let count = rows.len() * width;
        if shape.len() < 2 {
            return Ok(vec![if name.ends_with("weight") { 1.0 } else { 0.0 }; count]);
        }
        let seed = self.seed ^ (rows.start as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Ok(Noise::new(seed).take(count).map(|number| number * 0.035).collect())
    }

    fn offset_norm(&mut self, _name: &str, shape: &[usize]) -> vljepa_model::Result<Vec<f32>> {
        Ok(vec![0.0; shape.iter().product()])
    }
}

/// The model under test.
enum Built {
    Whole(Box<VlJepa>),
    Encoder(Box<Vjepa2Encoder>),
}

/// The configuration of VL-JEPA at the size of the paper; what the paper leaves open has default values.
pub fn vl_jepa_base() -> VlJepaConfig {
    let predictor = PredictorConfig {
        config: LlamaConfig::llama_3_2_1b(),
        first_layer: 8,
        num_layers: 8,
        causal: false,
        final_norm: true,
        words: Default::default(),
        positions: Default::default(),
        query_bos: true,
        query_pad_id: 128_004,
        default_query: String::new(),
    };
    let y = TextEncoderConfig::Gemma3(Gemma3Config::embedding_gemma_300m());
    VlJepaConfig::new(Vjepa2Config::vit_large(), predictor, YEncoderConfig::new(y))
}

/// Builds a preset with random weights and times one clip of each length in `frames`.
///
/// # Errors
/// A number of frames for which [`are_frames`] is false, and errors of the device, such as too little memory or a
/// limit.
pub fn model(
    device: &Device,
    preset: Preset,
    frames: &[usize],
    precision: Precision,
    seed: u64,
) -> Result<ModelReport> {
    model_with(device, preset, frames, precision, seed, &mut |_| ())
}

/// [`model()`]; `note` receives progress lines.
///
/// # Errors
/// As [`model()`].
pub fn model_with(
    device: &Device,
    preset: Preset,
    frames: &[usize],
    precision: Precision,
    seed: u64,
    note: &mut dyn FnMut(&str),
) -> Result<ModelReport> {
    if let Some(bad) = frames.iter().find(|&&n| !are_frames(n)) {
        return Err(Error::argument("frames", format!("{bad} is not 1 or an even number up to {MAX_FRAMES}")));
    }
    let failed = || Error::model("bench");
    let mut weights = RandomWeights { seed };
    note("making weights");
    let start = Instant::now();
    let (built, vision, parameters) = match preset {
        Preset::VlJepaBase => {
            let config = vl_jepa_base();
            let (vision, parameters) = (config.x_encoder.clone(), config.parameters());
            let whole = VlJepa::build_as(device, config, &mut weights, precision).map_err(failed())?;
            (Built::Whole(Box::new(whole)), vision, parameters)
        }
        other => {
            let config = match other {
                Preset::VitHuge => Vjepa2Config::vit_huge(),
                Preset::VitGiant => Vjepa2Config::vit_giant(),
                _ => Vjepa2Config::vit_large(),
            };
            let encoder =
                Vjepa2Encoder::load_as(device, &config, &mut weights, "encoder", precision).map_err(failed())?;
            let parameters = encoder.params().iter().map(|p| p.tensor().len() as u64).sum();
            (Built::Encoder(Box::new(encoder)), config, parameters)
        }
    };
    device.synchronize()?;
    let load_seconds = start.elapsed().as_secs_f64();
    let weights_bytes = device.memory().in_use;
    let side = vision.crop_size;
    let query = Tokens::new(device, &[vec![1; QUERY_TOKENS]], 0).map_err(failed())?;
    let f = Forward::inference();
    let mut clips = Vec::new();
    for &count in frames {
        note(&format!("{count} frames"));
        let len = count * 3 * side * side;
        let pixels: Vec<f32> = (0..len).map(|i| (i * 7919 % 4093) as f32 / 2046.0 - 1.0).collect();
        let clip = Tensor::from_f32(device, &[1, count, 3, side, side], &pixels)?;
        let mut best = f64::INFINITY;
        for round in 0..3 {
            device.synchronize()?;
            let start = Instant::now();
            match &built {
                Built::Whole(model) => model.predict(&f, &clip, Some(&query)).map_err(failed())?,
                Built::Encoder(encoder) => encoder.forward(&f, &clip).map_err(failed())?,
            };
            device.synchronize()?;
            let seconds = start.elapsed().as_secs_f64();
            // The first pass compiles pipelines. That takes seconds at most, so it does not matter in a slow pass.
            if round > 0 || seconds > SLOW_SECONDS {
                best = best.min(seconds);
            }
            if seconds > SLOW_SECONDS {
                break;
            }
        }
        let tokens = count.div_ceil(vision.tubelet_size) * (side / vision.patch_size).pow(2);
        let peak = device.memory().peak;
        note(&format!("{count} frames: {best:.2} s, {} MiB at most", peak >> 20));
        clips.push(ClipRow { frames: count, tokens, seconds: best, peak_device_bytes: peak });
    }
    let precision = match precision {
        Precision::F16 => "f16",
        Precision::I8 => "i8",
        _ => "f32",
    };
    let peak_host_bytes = peak_host_bytes();
    Ok(ModelReport { parameters, precision, load_seconds, weights_bytes, clips, peak_host_bytes })
}

/// Peak resident memory of this process in bytes, on Linux.
fn peak_host_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_model_has_the_papers_parts() {
        let config = vl_jepa_base();
        config.validate().unwrap();
        // 303.9 M, 491.8 M without the token embedding, 262.7 M, 302.9 M, 1.2 M.
        assert_eq!(config.predictor_parameters(), 491_820_544);
        assert_eq!(config.parameters(), 303_885_312 + 491_820_544 + 262_668_288 + 302_863_104 + 1_181_184 + 1);
    }
}
