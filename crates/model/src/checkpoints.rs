//! Checkpoints of others under our names: what they call a tensor, which of them a model has, what configuration they
//! mean.

mod open_vljepa;
mod sentence;
mod text;
mod vjepa2;

pub use open_vljepa::{OpenVlJepaParts, open_vljepa, open_vljepa_config};
pub use sentence::{SentenceFolder, SentenceWeights};
pub use text::bare_text;
pub use vjepa2::{Vjepa2Parts, bare_vjepa2, is_v2_1, official_config, official_vjepa2};
