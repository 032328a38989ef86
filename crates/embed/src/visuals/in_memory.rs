//! Pictures and clips in memory.

use vljepa_data::video::{Rounding, uniform};
use vljepa_data::{Preprocess, Rgb8Image, Rgba8Image};

use super::source::{Opened, Seen, Visuals, What};
use crate::error::{Error, Result};
use crate::files::Stamp;

/// A picture or a clip in memory.
#[derive(Clone, Copy, Debug)]
pub enum Visual<'a> {
    /// A picture.
    Still(&'a Rgba8Image),
    /// Frames of a video. The encoder sees a fixed number of them, spread evenly from the first to the last.
    Clip(&'a [Rgb8Image]),
}

pub(super) struct InMemory<'a> {
    pub visuals: &'a [Visual<'a>],
    /// Frames that are taken of a clip.
    pub frames: usize,
}

pub(super) struct OpenedVisual {
    what: What,
}

impl Opened for OpenedVisual {
    fn what(&self) -> Option<What> {
        Some(self.what)
    }

    fn stamp(&self) -> Option<Stamp> {
        None
    }
}

impl Visuals for InMemory<'_> {
    type Opened = OpenedVisual;

    fn count(&self) -> usize {
        self.visuals.len()
    }

    fn open(&self, i: usize) -> OpenedVisual {
        OpenedVisual { what: if matches!(self.visuals[i], Visual::Clip(_)) { What::Clip } else { What::Picture } }
    }

    fn pixels(&self, i: usize, _: OpenedVisual, preprocess: &Preprocess, _: What) -> Result<Seen> {
        let pixels = match self.visuals[i] {
            Visual::Still(picture) => preprocess.run(picture),
            Visual::Clip([]) => {
                return Err(Error::Invalid(format!("{}: the clip has no frames; leave it out", self.name(i))));
            }
            Visual::Clip(clip) => {
                let taken = uniform(clip.len(), self.frames, Rounding::Down);
                let frames: Vec<_> = taken.into_iter().map(|frame| clip[frame].clone()).collect();
                preprocess.clip(&frames)
            }
        };
        let pixels = pixels.map_err(|e| Error::Invalid(format!("{}: {e}", self.name(i))))?;
        Ok(Seen { pixels, moment: None, passed: 1.0 })
    }

    fn name(&self, i: usize) -> String {
        let noun = match self.visuals[i] {
            Visual::Still(_) => "picture",
            Visual::Clip(_) => "clip",
        };
        format!("{noun} {} of {}", i + 1, self.visuals.len())
    }
}
