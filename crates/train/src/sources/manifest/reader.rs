//! Rows to numbers: decoded, kept, and changed where that is asked for.

use rayon::prelude::*;
use vljepa_data::manifest::Row;
use vljepa_data::video::VideoOptions;
use vljepa_data::{AugmentOptions, Augmenter, DataError, Preprocess, Rgba8Image, Sample, SampleKey};
use vljepa_embed::at_size;

use super::kept::Kept;
use super::settings::Settings;

/// How much larger a side is kept of what is changed before a step.
const LARGER: u32 = 2;

/// Reads rows, several at once.
#[derive(Debug)]
pub(super) struct Reader {
    options: VideoOptions,
    augment: Option<AugmentOptions>,
    kept: Kept<Prepared>,
}

/// A row that was decoded.
#[derive(Debug)]
enum Prepared {
    /// `[frames, 3, size, size]`.
    Numbers(Vec<f32>),
    /// The squares of its frames, larger than what is seen.
    Frames(Vec<Rgba8Image>),
}

impl Prepared {
    fn bytes(&self) -> usize {
        match self {
            Self::Numbers(numbers) => size_of_val(&numbers[..]),
            Self::Frames(frames) => frames.iter().map(|frame| frame.data.len()).sum(),
        }
    }
}

/// The rows of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Each with its number.
    pub rows: &'a [(u32, &'a Row)],
    /// Frames of each.
    pub frames: usize,
    /// Seed and step, on which changes depend.
    pub seed: u64,
    pub step: u64,
}

impl Reader {
    pub fn new(settings: &Settings) -> Self {
        let augment = settings.augment.as_ref().map(super::augment::Augment::options);
        Self { options: VideoOptions::default(), augment, kept: Kept::new(settings.cache_mib << 20) }
    }

    /// The numbers of rows, `[frames, 3, size, size]` each.
    ///
    /// # Errors
    /// The first row that cannot be read, with its place.
    pub fn read(&self, wanted: &Wanted<'_>, to: &Preprocess) -> Result<Vec<Vec<f32>>, DataError> {
        let augmenter = self.augment.clone().map(|options| Augmenter::new(to.size, options)).transpose()?;
        let read = |(place, (number, row)): (usize, &(u32, &Row))| {
            let prepared = self.kept.row(*number, to.size, || {
                let prepared = self.prepared(row, wanted.frames, to, augmenter.is_some())?;
                let bytes = prepared.bytes();
                Ok::<_, DataError>((prepared, bytes))
            })?;
            match (&*prepared, &augmenter) {
                (Prepared::Frames(frames), Some(augmenter)) => {
                    // One key for all frames, so that they are changed alike.
                    let key = SampleKey { seed: wanted.seed, epoch: wanted.step, index: place as u64, stream: 1 };
                    let sample =
                        |picture| Sample { picture, other: None, mirror_allowed: true, color_bound: false, key };
                    augmenter.batch(&frames.iter().map(sample).collect::<Vec<_>>(), to)
                }
                (Prepared::Numbers(numbers), _) => Ok(numbers.clone()),
                (Prepared::Frames(_), None) => Ok(Vec::new()),
            }
        };
        wanted.rows.par_iter().enumerate().map(read).collect()
    }

    fn prepared(&self, row: &Row, frames: usize, to: &Preprocess, changed: bool) -> Result<Prepared, DataError> {
        if !changed {
            return row.numbers(frames, to, &self.options).map(Prepared::Numbers);
        }
        let crops = row.square_crops(frames, &at_size(to, LARGER * to.size), &self.options)?;
        Ok(Prepared::Frames(crops.iter().map(|crop| crop.opaque()).collect()))
    }
}
