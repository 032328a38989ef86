//! Pictures and clips to rows: reads files or takes pixels from memory, and runs an encoder in batches.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use vljepa_data::video::{Damaged, Rounding, VideoOptions, VideoReader, uniform};
use vljepa_data::{DataError, Limits, Media, Preprocess, Rgb8Image, Rgba8Image};

use crate::error::{Error, Hint, Result};
use crate::files::{Stamp, stamp};
use crate::rows::Embeddings;

/// Vision tokens in one batch: enough work for a GPU with a small model, and little enough memory with a large one.
const BATCH_TOKENS: usize = 4096;
/// Largest number of pictures or clips in a batch.
const MAX_BATCH: usize = 64;

/// An encoder that turns pictures and clips into rows of numbers.
pub trait VisualEncoder: Sync {
    /// The preprocessing of a picture or a frame.
    fn preprocess(&self) -> &Preprocess;

    /// Number of frames taken from a video, spread evenly from the first to the last. A picture is one frame.
    fn frames(&self) -> usize;

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

/// What to do about a file that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Stop with its error and [`Hint::SkipBroken`].
    #[default]
    Stop,
    /// Leave the file out.
    Skip,
}

impl Broken {
    /// [`Broken::Skip`] if `skip`, else [`Broken::Stop`].
    pub fn skip(skip: bool) -> Self {
        if skip { Self::Skip } else { Self::Stop }
    }
}

/// A file that could not be read and was left out.
#[derive(Debug)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// The reason, one line.
    pub error: String,
}

/// A file that was embedded though it is not as it says: a video that is cut off, or whose damaged frames others stand in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The file.
    pub path: PathBuf,
    /// What is to be known of it, one line.
    pub note: String,
}

/// Options for embedding files. By default the first unreadable or damaged file is an error, and neither progress nor what is
/// noted of files is reported.
#[derive(Default)]
pub struct FileOptions<'a> {
    broken: Broken,
    damaged: Damaged,
    progress: Option<&'a mut dyn FnMut(usize)>,
    on_note: Option<&'a mut dyn FnMut(Noted)>,
}

impl std::fmt::Debug for FileOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { broken, damaged, .. } = self;
        f.debug_struct("FileOptions").field("broken", broken).field("damaged", damaged).finish_non_exhaustive()
    }
}

impl<'a> FileOptions<'a> {
    /// Sets what to do about files that cannot be read.
    #[must_use]
    pub fn broken(mut self, broken: Broken) -> Self {
        self.broken = broken;
        self
    }

    /// Sets what to do about videos with damaged frames.
    #[must_use]
    pub fn damaged(mut self, damaged: Damaged) -> Self {
        self.damaged = damaged;
        self
    }

    /// Calls `on_note` with what is to be known of files that were embedded.
    #[must_use]
    pub fn on_note(mut self, on_note: &'a mut dyn FnMut(Noted)) -> Self {
        self.on_note = Some(on_note);
        self
    }

    /// Calls `progress` after each batch, with the number of files that are done.
    #[must_use]
    pub fn on_progress(mut self, progress: &'a mut dyn FnMut(usize)) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// A picture or a clip in memory.
#[derive(Clone, Copy, Debug)]
pub enum Visual<'a> {
    /// A picture.
    Still(&'a Rgba8Image),
    /// Frames of a video. The encoder sees a fixed number of them, spread evenly from the first to the last.
    Clip(&'a [Rgb8Image]),
}

/// A list of pictures and clips, in files or in memory.
pub(crate) trait Visuals: Sync {
    /// A picture or clip that is opened but not decoded.
    type Opened: Opened;

    fn count(&self) -> usize;

    fn open(&self, i: usize) -> Self::Opened;

    /// The pixels that an encoder takes: `[frames, 3, size, size]` of a clip, or `[3, size, size]` of a picture where
    /// `frames` is `None`.
    fn pixels(
        &self,
        i: usize,
        opened: Self::Opened,
        preprocess: &Preprocess,
        frames: Option<usize>,
    ) -> Result<Vec<f32>>;

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
    /// Whether it is a video rather than a picture; `None` if it cannot be read.
    fn is_video(&self) -> Option<bool>;

    /// Size and time of the file before it was opened; `None` if the system does not tell them.
    fn stamp(&self) -> Option<Stamp>;
}

/// Files; each is opened once, and its content tells whether it is a picture or a video.
pub(crate) struct Files<'a> {
    files: &'a [PathBuf],
    damaged: Damaged,
    notes: Mutex<Vec<(usize, String)>>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(files: &'a [PathBuf], damaged: Damaged) -> Self {
        Self { files, damaged, notes: Mutex::default() }
    }
}

pub(crate) struct OpenedFile {
    stamp: Option<Stamp>,
    media: Result<Media>,
}

impl Opened for OpenedFile {
    fn is_video(&self) -> Option<bool> {
        self.media.as_ref().ok().map(Media::is_video)
    }

    fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }
}

impl Visuals for Files<'_> {
    type Opened = OpenedFile;

    fn count(&self) -> usize {
        self.files.len()
    }

    fn open(&self, i: usize) -> OpenedFile {
        match Media::open(&self.files[i]) {
            Ok(media) => OpenedFile { stamp: Some(media.stamp()), media: Ok(media) },
            Err(error) => OpenedFile { stamp: stamp(&self.files[i]).ok(), media: Err(error.into()) },
        }
    }

    fn pixels(&self, i: usize, opened: OpenedFile, preprocess: &Preprocess, frames: Option<usize>) -> Result<Vec<f32>> {
        let media = opened.media?;
        match frames {
            Some(frames) => {
                let options = VideoOptions { damaged: self.damaged, ..VideoOptions::default() };
                let mut reader = media.video(&options)?;
                let _part = reader.hold_memory();
                let pixels = clip(preprocess, &mut reader, &self.files[i], frames)?;
                let noted = reader.notes().into_iter().map(|note| (i, note));
                self.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(noted);
                Ok(pixels)
            }
            None => Ok(media.numbers(preprocess, &Limits::default())?),
        }
    }

    fn name(&self, i: usize) -> String {
        self.files[i].display().to_string()
    }

    fn take_notes(&self) -> Vec<(usize, String)> {
        let mut notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        // They come from threads.
        notes.sort();
        notes
    }

    fn stops_at_damage(&self) -> bool {
        self.damaged == Damaged::Stop
    }
}

struct InMemory<'a>(&'a [Visual<'a>]);

struct OpenedVisual {
    is_video: bool,
}

impl Opened for OpenedVisual {
    fn is_video(&self) -> Option<bool> {
        Some(self.is_video)
    }

    fn stamp(&self) -> Option<Stamp> {
        None
    }
}

impl Visuals for InMemory<'_> {
    type Opened = OpenedVisual;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn open(&self, i: usize) -> OpenedVisual {
        OpenedVisual { is_video: matches!(self.0[i], Visual::Clip(_)) }
    }

    fn pixels(&self, i: usize, _: OpenedVisual, preprocess: &Preprocess, frames: Option<usize>) -> Result<Vec<f32>> {
        match self.0[i] {
            Visual::Still(picture) => {
                preprocess.run(picture).map_err(|e| Error::Invalid(format!("{}: {e}", self.name(i))))
            }
            Visual::Clip([]) => Err(Error::Invalid(format!("{}: the clip has no frames; leave it out", self.name(i)))),
            Visual::Clip(clip) => {
                let taken = uniform(clip.len(), frames.unwrap_or(1), Rounding::Down);
                let frames: Vec<_> = taken.into_iter().map(|frame| clip[frame].clone()).collect();
                preprocess.clip(&frames).map_err(|e| Error::Invalid(format!("{}: {e}", self.name(i))))
            }
        }
    }

    fn name(&self, i: usize) -> String {
        let noun = match self.0[i] {
            Visual::Still(_) => "picture",
            Visual::Clip(_) => "clip",
        };
        format!("{noun} {} of {}", i + 1, self.0.len())
    }
}

/// Pictures, or clips, that form one batch.
pub(crate) struct Span<O> {
    /// Index of the first item after the span.
    pub end: usize,
    pub opened: Vec<O>,
    /// Whether the items are videos.
    pub is_video: bool,
}

/// Splits a list into spans of only pictures or only videos. The end of a span depends only on its own items and the
/// next one. Work that resumes at the end of a span therefore gives the same bits as work without a stop.
pub(crate) struct Spans<'a, V: Visuals> {
    encoder: &'a dyn VisualEncoder,
    visuals: &'a V,
    range: Range<usize>,
    /// The first item of the next span; it was opened to find the end of the span before.
    ahead: Option<V::Opened>,
}

impl<'a, V: Visuals> Spans<'a, V> {
    pub(crate) fn new(encoder: &'a dyn VisualEncoder, visuals: &'a V, range: Range<usize>) -> Self {
        let end = range.end.min(visuals.count());
        Self { encoder, visuals, range: range.start..end, ahead: None }
    }
}

impl<V: Visuals> Iterator for Spans<'_, V> {
    type Item = Span<V::Opened>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, mut opened, mut is_video) = (self.range.start, Vec::new(), None);
        while self.range.start < self.range.end {
            let next = self.ahead.take().unwrap_or_else(|| self.visuals.open(self.range.start));
            let differs = matches!((next.is_video(), is_video), (Some(next), Some(span)) if next != span);
            is_video = is_video.or(if differs { None } else { next.is_video() });
            let frames = if is_video == Some(true) { self.encoder.frames() } else { 1 };
            // A video after unreadable files can end the span: a batch of videos is smaller than one of pictures.
            if differs || (!opened.is_empty() && opened.len() >= self.encoder.batch(frames)) {
                self.ahead = Some(next);
                break;
            }
            opened.push(next);
            self.range.start += 1;
        }
        (self.range.start > start).then(|| Span { end: self.range.start, opened, is_video: is_video.unwrap_or(false) })
    }
}

/// One batch that is done.
pub(crate) struct Batch {
    /// The indices of its pictures or clips.
    pub range: Range<usize>,
    /// Size and time of each file of `range` before it was read; `None` if the system does not tell them.
    pub stamps: Vec<Option<Stamp>>,
    /// Rows of the items that could be read.
    pub rows: Embeddings,
    /// The items that could not be read: index among all, and error.
    pub broken: Vec<(usize, Error)>,
    /// What is to be known of items that could be read: index among all, and one line.
    pub notes: Vec<(usize, String)>,
}

/// Encodes the items of `visuals` with indices in `range`, one [`Span`] after the other; `each` receives the batches in
/// order.
pub(crate) fn encode<V: Visuals>(
    encoder: &dyn VisualEncoder,
    visuals: &V,
    range: Range<usize>,
    broken: Broken,
    each: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let mut at = range.start;
    for Span { end, opened, is_video } in Spans::new(encoder, visuals, range) {
        let frames = if is_video { encoder.frames() } else { 1 };
        let stamps = opened.iter().map(Opened::stamp).collect();
        let read = |(i, opened): (usize, V::Opened)| {
            (i, visuals.pixels(i, opened, encoder.preprocess(), is_video.then_some(frames)))
        };
        let decoded: Vec<_> = (at..end).zip(opened).collect::<Vec<_>>().into_par_iter().map(read).collect();
        let (mut numbers, mut all, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (i, pixels) in decoded {
            match pixels {
                Ok(pixels) => {
                    numbers.push(i);
                    all.extend(pixels);
                }
                Err(e) if broken == Broken::Skip => left_out.push((i, e)),
                Err(e) => {
                    let hint = if is_video && visuals.stops_at_damage() && is_damage(&e) {
                        Hint::SkipOrConceal
                    } else {
                        Hint::SkipBroken
                    };
                    return Err(e.hint(hint));
                }
            }
        }
        let notes = visuals.take_notes();
        let mut rows = Embeddings::of_shape(&encoder.shape(frames));
        if !numbers.is_empty() {
            let values = encoder.encode(&all, numbers.len(), frames)?;
            drop(all);
            let wanted = numbers.len() * rows.dim();
            if values.len() != wanted {
                let reason = format!(
                    "the encoder made {} values of {} visuals, {wanted} are needed",
                    values.len(),
                    numbers.len()
                );
                return Err(Error::Invalid(reason));
            }
            let name = |i: usize| visuals.name(numbers[i]);
            if encoder.unit() { rows.extend(&values, name)? } else { rows.extend_raw(&values, name)? }
        }
        each(Batch { range: at..end, stamps, rows, broken: left_out, notes })?;
        at = end;
    }
    Ok(())
}

/// The rows of files, in their order, and the files that were left out.
///
/// # Errors
/// A file that is neither a picture nor a video unless such files are skipped, no readable file at all, rows of
/// different shapes, and errors of the device.
pub fn embed_files(
    encoder: &dyn VisualEncoder,
    files: &[PathBuf],
    options: FileOptions<'_>,
) -> Result<(Embeddings, Vec<Skipped>)> {
    let FileOptions { broken, damaged, mut progress, mut on_note } = options;
    let mut all: Option<Embeddings> = None;
    let mut skipped = Vec::new();
    encode(encoder, &Files::new(files, damaged), 0..files.len(), broken, &mut |batch| {
        let end = batch.range.end;
        if let Some(on_note) = &mut on_note {
            batch.notes.into_iter().for_each(|(i, note)| on_note(Noted { path: files[i].clone(), note }));
        }
        skipped.extend(batch.broken.into_iter().map(|(i, e)| Skipped { path: files[i].clone(), error: e.to_string() }));
        if batch.rows.rows() > 0 {
            match &mut all {
                Some(all) => {
                    same_shape(all.shape(), batch.rows.shape(), &files[batch.range.start])?;
                    all.append(&batch.rows);
                }
                None => all = Some(batch.rows),
            }
        }
        if let Some(progress) = &mut progress {
            progress(end);
        }
        Ok(())
    })?;
    match all {
        Some(rows) => Ok((rows, skipped)),
        None if files.is_empty() => Ok((Embeddings::of_shape(&encoder.shape(1)), skipped)),
        None => Err(nothing_left(&skipped)),
    }
}

/// The rows of pictures and clips in memory, in their order.
///
/// # Errors
/// Pictures that cannot be resized, clips without frames, rows of different shapes, and errors of the device.
pub fn embed_visuals(encoder: &dyn VisualEncoder, visuals: &[Visual<'_>]) -> Result<Embeddings> {
    embed_visuals_with(encoder, visuals, &mut |_| ())
}

/// [`embed_visuals`]; `progress` receives the number of items that are done.
///
/// # Errors
/// As [`embed_visuals`].
pub fn embed_visuals_with(
    encoder: &dyn VisualEncoder,
    visuals: &[Visual<'_>],
    progress: &mut dyn FnMut(usize),
) -> Result<Embeddings> {
    let mut all: Option<Embeddings> = None;
    // The hint is about files, and there are none here.
    let unhinted = |error| match error {
        Error::Hinted { error, hint: Hint::SkipBroken | Hint::SkipOrConceal } => *error,
        other => other,
    };
    encode(encoder, &InMemory(visuals), 0..visuals.len(), Broken::Stop, &mut |batch| {
        match &mut all {
            Some(all) if all.shape() != batch.rows.shape() => {
                let (before, now) = (all.shape(), batch.rows.shape());
                return Err(Error::Invalid(format!(
                    "{}: its row has the shape {now:?}, the rows before have {before:?}; keep pictures and clips apart",
                    InMemory(visuals).name(batch.range.start)
                )));
            }
            Some(all) => all.append(&batch.rows),
            None => all = Some(batch.rows),
        }
        progress(batch.range.end);
        Ok(())
    })
    .map_err(unhinted)?;
    Ok(all.unwrap_or_else(|| Embeddings::of_shape(&encoder.shape(1))))
}

/// The files without those in `skipped`, which must be in the order of `files`.
pub fn without_skipped<'a>(files: &'a [PathBuf], skipped: &'a [Skipped]) -> impl Iterator<Item = &'a PathBuf> {
    let mut left_out = skipped.iter().map(|s| &s.path).peekable();
    files.iter().filter(move |file| left_out.next_if(|path| path == file).is_none())
}

/// Checks that a row has the shape of the rows before it: an output file has one shape.
pub(crate) fn same_shape(before: &[usize], now: &[usize], file: &Path) -> Result<()> {
    if before == now {
        return Ok(());
    }
    Err(Error::content(
        file,
        format!("its row has the shape {now:?}, the rows before have {before:?}; keep pictures and videos apart"),
    ))
}

/// The error when every file was left out.
pub(crate) fn nothing_left(skipped: &[Skipped]) -> Error {
    let first = skipped.first().map_or_else(String::new, |s| format!("; the first error: {}", s.error));
    Error::Invalid(format!("none of the {} files can be read; name other files{first}", skipped.len()))
}

/// Whether a file was opened and is damaged inside.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Data(DataError::Corrupt { .. }))
}

/// Checks that a file can be read now.
///
/// # Errors
/// The error of reading it.
pub(crate) fn check_readable(encoder: &dyn VisualEncoder, path: &Path, damaged: Damaged) -> Result<()> {
    let files = [path.to_path_buf()];
    let files = Files::new(&files, damaged);
    let opened = files.open(0);
    let frames = (opened.is_video() == Some(true)).then(|| encoder.frames());
    files.pixels(0, opened, encoder.preprocess(), frames).map(|_| ())
}

/// The pixels of `frames` frames of a video. Each frame is scaled when it is decoded, so only one is held at full size.
fn clip(preprocess: &Preprocess, reader: &mut VideoReader, path: &Path, frames: usize) -> Result<Vec<f32>> {
    let total = reader.count()?;
    let mut pixels = Vec::new();
    let mut seen: Option<(usize, Vec<f32>)> = None;
    for index in uniform(total, frames, Rounding::Down) {
        let values = match seen.take() {
            Some((last, values)) if last == index => values,
            _ => {
                reader.seek(index as u64)?;
                let frame = reader.next_frame()?;
                let frame = frame
                    .ok_or_else(|| Error::content(path, format!("frame {index} is missing; is the file whole?")))?;
                preprocess.clip(&[frame.rgb]).map_err(|e| Error::content(path, e.to_string()))?
            }
        };
        pixels.extend_from_slice(&values);
        seen = Some((index, values));
    }
    if pixels.is_empty() {
        return Err(Error::content(path, "the video has no frames; leave it out"));
    }
    Ok(pixels)
}
