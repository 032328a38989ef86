//! Pictures and clips that the rows of a manifest name.

use vljepa_data::Preprocess;
use vljepa_data::manifest::Row;
use vljepa_data::video::VideoOptions;

use super::encoder::VisualEncoder;
use super::source::{Opened, Seen, Visuals, What};
use crate::error::{Error, Result};
use crate::files::Stamp;

/// Rows of a manifest, each a picture or one clip between its times.
pub(super) struct Rows<'a> {
    pub rows: &'a [&'a Row],
    pub options: VideoOptions,
    /// Frames of a clip.
    pub frames: usize,
}

/// A row whose file was looked at: decoding opens it anew, for a batch of open videos would be many.
pub(super) struct Told {
    what: Option<What>,
}

impl Opened for Told {
    fn what(&self) -> Option<What> {
        self.what
    }

    fn stamp(&self) -> Option<Stamp> {
        None
    }
}

impl Visuals for Rows<'_> {
    type Opened = Told;

    fn count(&self) -> usize {
        self.rows.len()
    }

    fn open(&self, i: usize) -> Told {
        let what = |is_clip| if is_clip { What::Clip } else { What::Picture };
        Told { what: self.rows[i].is_clip().ok().map(what) }
    }

    fn frames(&self, _encoder: &dyn VisualEncoder) -> usize {
        self.frames
    }

    fn pixels(&self, i: usize, _: Told, preprocess: &Preprocess, what: What) -> Result<Seen> {
        let frames = if what == What::Picture { 1 } else { self.frames };
        let pixels = self.rows[i].numbers(frames, preprocess, &self.options).map_err(Error::from)?;
        Ok(Seen { pixels, moment: None, passed: 1.0 })
    }

    fn name(&self, i: usize) -> String {
        self.rows[i].origin()
    }
}
