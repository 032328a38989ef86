//! Benchmarks of single operators and of whole models on a device.

mod matmul;
mod model;
mod noise;

pub use matmul::{MAX_SIZE, Row, matmul, matmul_with};
pub use model::{ClipRow, MAX_FRAMES, ModelReport, Preset, are_frames, model, model_with, vl_jepa_base};
