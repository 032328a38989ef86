//! Formats of weights, on byte slices.

mod archive;
mod convert;
mod pickle;
mod pt;
mod read;
mod remap;
mod safetensors;
mod shards;
mod source;
mod storage;

pub use convert::{dequantise_rows, quantise_rows};
pub use pt::{PtFile, PtValue};
pub use read::{check, read_all, read_f32, read_f32_rows, read_i32};
pub use remap::Remapped;
pub(crate) use remap::missing;
pub use safetensors::{SafeTensors, Writer, safetensors_start, write_safetensors};
pub use shards::{ShardFiles, ShardIndex, Shards};
pub use source::{Dtype, Prefixed, SCALE_SUFFIX, TensorView, WeightSource};
pub use storage::Storage;
