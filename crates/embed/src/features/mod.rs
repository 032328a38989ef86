//! Features of a frozen encoder on disk: what it makes of a clip is computed once, and read afterwards.
//!
//! A [`FeatureCache`] is a folder with a safetensors file for each clip (`features`, f16 `[views, tokens, width]`), which
//! other programs can read too. Its name is a [`FeatureKey`]: the hash of all that decides what is in it, so that nothing
//! there is ever out of date. [`fill`] makes what is not there yet.

mod cache;
mod fill;
mod key;
mod rows;
mod stored;

pub use cache::{FeatureCache, Look};
pub use fill::{Filled, Filling, Views, Wanted, fill};
pub use key::{FeatureKey, Seen};
pub use rows::RowFeatures;
pub use stored::{Features, MAX_FEATURES, clip_size, size};
