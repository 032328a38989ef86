//! What an encoder of pictures and clips is.

use vljepa_data::Preprocess;

use crate::error::Result;

/// Vision tokens in one batch: enough work for a GPU with a small model, and little enough memory with a large one.
const BATCH_TOKENS: usize = 4096;
/// Largest number of pictures or clips in a batch.
pub(crate) const MAX_BATCH: usize = 64;

/// An encoder that turns pictures and clips into rows of numbers.
pub trait VisualEncoder: Sync {
    /// The preprocessing of a picture or a frame.
    fn preprocess(&self) -> &Preprocess;

    /// Number of frames taken from a video where nothing else is said, spread evenly from the first to the last. A picture is one frame.
    fn frames(&self) -> usize;

    /// Number of frames that become one step in time: a clip has a multiple of it.
    fn tubelet(&self) -> usize {
        1
    }

    /// Number of vision tokens of a clip with `frames` frames.
    fn tokens(&self, frames: usize) -> usize;

    /// Shape of one row for a clip with `frames` frames.
    fn shape(&self, frames: usize) -> Vec<usize>;

    /// Whether rows are scaled to unit length.
    fn unit(&self) -> bool;

    /// Encodes `pixels` `[count, frames, 3, size, size]` into `count` rows, one after the other.
    ///
    /// # Errors
    /// Errors of the device.
    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>>;

    /// Number of clips with `frames` frames in one batch.
    fn batch(&self, frames: usize) -> usize {
        batch_of(self.tokens(frames))
    }
}

/// Number of clips with `tokens` vision tokens in one batch.
pub(crate) fn batch_of(tokens: usize) -> usize {
    (BATCH_TOKENS / tokens.max(1)).clamp(1, MAX_BATCH)
}
