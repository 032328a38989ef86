//! What an encoder is fed from: a list of pictures and clips, in files or in memory.

use std::ops::Range;

use vljepa_data::Preprocess;

use super::encoder::VisualEncoder;
use super::options::Moment;
use crate::error::{Error, Result};
use crate::files::Stamp;

/// What an item becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A picture: one row.
    Picture,
    /// A video as one clip: one row.
    Clip,
    /// A video as a row of windows: as many rows.
    Windows,
}

/// Pixels `[crops, frames, 3, size, size]` of one row, and the part of the video that they show.
pub(crate) struct Seen {
    pub pixels: Vec<f32>,
    pub moment: Option<Moment>,
    /// The part of the video that is behind, 0..1.
    pub passed: f64,
}

/// A list of pictures and clips, in files or in memory.
pub(crate) trait Visuals: Sync {
    /// A picture or clip that is opened but not decoded.
    type Opened: Opened;

    fn count(&self) -> usize;

    fn open(&self, i: usize) -> Self::Opened;

    /// Frames of a clip for an encoder.
    fn frames(&self, encoder: &dyn VisualEncoder) -> usize {
        encoder.frames()
    }

    /// Squares of each frame, whose rows are averaged.
    fn crops(&self) -> usize {
        1
    }

    /// The pixels of a picture, or of a video as one clip.
    fn pixels(&self, i: usize, opened: Self::Opened, preprocess: &Preprocess, what: What) -> Result<Seen>;

    /// The windows of a video from number `first` on, for as long as `each` takes them.
    fn windows(
        &self,
        i: usize,
        _opened: Self::Opened,
        _preprocess: &Preprocess,
        _first: usize,
        _each: &mut dyn FnMut(Seen) -> Result<bool>,
    ) -> Result<()> {
        Err(Error::Invalid(format!("{}: is no video in a file", self.name(i))))
    }

    /// The name of an item in messages.
    fn name(&self, i: usize) -> String;

    /// What was to be known of items whose pixels were taken since the last call: index, and one line.
    fn take_notes(&self) -> Vec<(usize, String)> {
        Vec::new()
    }

    /// Whether damage inside of a video is an error that could be concealed.
    fn stops_at_damage(&self) -> bool {
        false
    }
}

/// A picture or clip that is opened but not decoded.
pub(crate) trait Opened: Send {
    /// What it becomes; `None` if it cannot be read.
    fn what(&self) -> Option<What>;

    /// Size and time of the file before it was opened; `None` if the system does not tell them.
    fn stamp(&self) -> Option<Stamp>;
}

/// Pictures, or clips, that form one batch; or one video that becomes windows.
pub(crate) struct Span<O> {
    /// Index of the first item after the span.
    pub end: usize,
    pub opened: Vec<O>,
    /// What all items are.
    pub what: What,
}

/// Splits a list into spans of items that are alike. The end of a span depends only on its own items and the next one. Work that resumes at
/// the end of a span therefore gives the same bits as work without a stop.
pub(crate) struct Spans<'a, V: Visuals> {
    encoder: &'a dyn VisualEncoder,
    visuals: &'a V,
    range: Range<usize>,
    /// The first item of the next span; it was opened to find the end of the span before.
    ahead: Option<V::Opened>,
}

impl<'a, V: Visuals> Spans<'a, V> {
    pub fn new(encoder: &'a dyn VisualEncoder, visuals: &'a V, range: Range<usize>) -> Self {
        let end = range.end.min(visuals.count());
        Self { encoder, visuals, range: range.start..end, ahead: None }
    }

    /// Number of items of one kind in one batch.
    fn most(&self, what: Option<What>) -> usize {
        match what {
            Some(What::Windows) => 1,
            Some(What::Clip) => batch(self.encoder, self.visuals, self.visuals.frames(self.encoder)),
            Some(What::Picture) | None => batch(self.encoder, self.visuals, 1),
        }
    }
}

/// Number of rows with `frames` frames in one batch.
pub(super) fn batch<V: Visuals>(encoder: &dyn VisualEncoder, visuals: &V, frames: usize) -> usize {
    (encoder.batch(frames) / visuals.crops()).max(1)
}

impl<V: Visuals> Iterator for Spans<'_, V> {
    type Item = Span<V::Opened>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, mut opened, mut what) = (self.range.start, Vec::new(), None);
        while self.range.start < self.range.end {
            let next = self.ahead.take().unwrap_or_else(|| self.visuals.open(self.range.start));
            // Unreadable files go with any others, but not with windows: their work is of one file.
            let differs = match (next.what(), what) {
                (Some(next), Some(what)) => next != what,
                (Some(What::Windows), None) => !opened.is_empty(),
                _ => false,
            };
            what = what.or(if differs { None } else { next.what() });
            // A video after unreadable files can end the span: a batch of videos is smaller than one of pictures.
            if differs || (!opened.is_empty() && opened.len() >= self.most(what)) {
                self.ahead = Some(next);
                break;
            }
            opened.push(next);
            self.range.start += 1;
        }
        let what = what.unwrap_or(What::Picture);
        (self.range.start > start).then_some(Span { end: self.range.start, opened, what })
    }
}
