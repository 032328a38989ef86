//! Pictures and clips through an encoder, batch by batch, from files or from memory.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use vljepa_data::video::{Rounding, VideoOptions, VideoReader, uniform};
use vljepa_data::{Limits, Media, Preprocess, Rgb8Image, Rgba8Image};

use crate::error::{Error, Hint, Result};
use crate::files::{Stamp, stamp};
use crate::rows::Embeddings;

/// Vision tokens of one batch; enough to fill a GPU with a small model and little enough memory for a large one.
const BATCH_TOKENS: usize = 4096;
const MAX_BATCH: usize = 64;

/// What turns pictures and clips into rows of numbers.
pub trait VisualEncoder: Sync {
    /// How a picture, or a frame, becomes what the model sees.
    fn preprocess(&self) -> &Preprocess;

    /// Frames of a video, evenly spread from the first to the last. A picture is one frame.
    fn frames(&self) -> usize;

    /// Vision tokens of a clip of so many frames.
    fn tokens(&self, frames: usize) -> usize;

    /// Shape of the row of a clip of so many frames.
    fn shape(&self, frames: usize) -> Vec<usize>;

    /// Whether rows get unit length.
    fn unit(&self) -> bool;

    /// `[count, frames, 3, size, size]` → `count` rows, one after the other.
    ///
    /// # Errors
    /// What the device reports.
    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>>;

    /// Clips of so many frames that go through the model together.
    fn batch(&self, frames: usize) -> usize {
        batch_of(self.tokens(frames))
    }
}

/// Clips of so many vision tokens that go through a model together.
pub(crate) fn batch_of(tokens: usize) -> usize {
    (BATCH_TOKENS / tokens.max(1)).clamp(1, MAX_BATCH)
}

/// What happens to a file that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// It is the error, with [`Hint::SkipBroken`].
    #[default]
    Stop,
    /// It is left out.
    Skip,
}

impl Broken {
    /// [`Broken::Skip`] where `skip` says so.
    pub fn skip(skip: bool) -> Self {
        if skip { Self::Skip } else { Self::Stop }
    }
}

/// A file that could not be read and was left out.
#[derive(Debug)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why, one line.
    pub error: String,
}

/// How files are gone through. The default stops at the first that cannot be read, and reports no progress.
#[derive(Default)]
pub struct FileOptions<'a> {
    broken: Broken,
    progress: Option<&'a mut dyn FnMut(usize)>,
}

impl std::fmt::Debug for FileOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileOptions").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl<'a> FileOptions<'a> {
    /// What happens to files that cannot be read.
    #[must_use]
    pub fn broken(mut self, broken: Broken) -> Self {
        self.broken = broken;
        self
    }

    /// Calls `progress` with the number of files that are done, after each batch.
    #[must_use]
    pub fn on_progress(mut self, progress: &'a mut dyn FnMut(usize)) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// A still or a clip in memory.
#[derive(Clone, Copy, Debug)]
pub enum Visual<'a> {
    /// A picture.
    Still(&'a Rgba8Image),
    /// Frames of a video, of which as many are taken as the encoder sees, evenly from the first to the last.
    Clip(&'a [Rgb8Image]),
}

/// Any number of pictures and clips, in an order.
pub(crate) trait Visuals: Sync {
    /// One of them, looked into but not decoded.
    type Opened: Opened;

    fn count(&self) -> usize;

    fn open(&self, i: usize) -> Self::Opened;

    /// What an encoder takes of one: of a clip so many frames, `[frames, 3, size, size]`; else of a picture.
    fn pixels(
        &self,
        i: usize,
        opened: Self::Opened,
        preprocess: &Preprocess,
        frames: Option<usize>,
    ) -> Result<Vec<f32>>;

    /// What messages call one.
    fn name(&self, i: usize) -> String;
}

pub(crate) trait Opened: Send {
    /// Whether it moves; `None` where that cannot be told, because it cannot be read.
    fn moves(&self) -> Option<bool>;

    /// Size and time before it was looked into; `None` where they could not be asked for.
    fn stamp(&self) -> Option<Stamp>;
}

/// Files, each opened once and told by its content.
pub(crate) struct Files<'a>(pub &'a [PathBuf]);

pub(crate) struct OpenedFile {
    stamp: Option<Stamp>,
    media: Result<Media>,
}

impl Opened for OpenedFile {
    fn moves(&self) -> Option<bool> {
        self.media.as_ref().ok().map(Media::is_video)
    }

    fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }
}

impl Visuals for Files<'_> {
    type Opened = OpenedFile;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn open(&self, i: usize) -> OpenedFile {
        match Media::open(&self.0[i]) {
            Ok(media) => OpenedFile { stamp: Some(media.stamp()), media: Ok(media) },
            Err(error) => OpenedFile { stamp: stamp(&self.0[i]).ok(), media: Err(error.into()) },
        }
    }

    fn pixels(&self, i: usize, opened: OpenedFile, preprocess: &Preprocess, frames: Option<usize>) -> Result<Vec<f32>> {
        let media = opened.media?;
        match frames {
            Some(frames) => clip(preprocess, media.video(&VideoOptions::default())?, &self.0[i], frames),
            None => Ok(preprocess.run(&media.picture(&Limits::default())?)?),
        }
    }

    fn name(&self, i: usize) -> String {
        self.0[i].display().to_string()
    }
}

struct InMemory<'a>(&'a [Visual<'a>]);

struct OpenedVisual {
    moves: bool,
}

impl Opened for OpenedVisual {
    fn moves(&self) -> Option<bool> {
        Some(self.moves)
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
        OpenedVisual { moves: matches!(self.0[i], Visual::Clip(_)) }
    }

    fn pixels(&self, i: usize, _: OpenedVisual, preprocess: &Preprocess, frames: Option<usize>) -> Result<Vec<f32>> {
        match self.0[i] {
            Visual::Still(picture) => Ok(preprocess.run(picture)?),
            Visual::Clip([]) => Err(Error::Invalid(format!("{}: the clip has no frames", self.name(i)))),
            Visual::Clip(clip) => {
                let taken = uniform(clip.len(), frames.unwrap_or(1), Rounding::Down);
                Ok(preprocess.clip(&taken.into_iter().map(|frame| clip[frame].clone()).collect::<Vec<_>>())?)
            }
        }
    }

    fn name(&self, i: usize) -> String {
        format!("picture {i}")
    }
}

/// Pictures or clips that go through an encoder together.
pub(crate) struct Span<O> {
    /// The number of the first that is not among them.
    pub end: usize,
    pub opened: Vec<O>,
    pub moves: bool,
}

/// Runs of pictures or of videos, one after the other. Where one ends depends on nothing before it, and on nothing behind the
/// next one; work that goes on from its end gives the same bits as work that was never stopped, as long as it still ends
/// there.
pub(crate) struct Spans<'a, V: Visuals> {
    encoder: &'a dyn VisualEncoder,
    visuals: &'a V,
    run: Range<usize>,
    /// The first of the next span, opened to see that it is none of the last one.
    ahead: Option<V::Opened>,
}

impl<'a, V: Visuals> Spans<'a, V> {
    pub(crate) fn new(encoder: &'a dyn VisualEncoder, visuals: &'a V, run: Range<usize>) -> Self {
        let end = run.end.min(visuals.count());
        Self { encoder, visuals, run: run.start..end, ahead: None }
    }
}

impl<V: Visuals> Iterator for Spans<'_, V> {
    type Item = Span<V::Opened>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, mut opened, mut moves) = (self.run.start, Vec::new(), None);
        while self.run.start < self.run.end {
            let next = self.ahead.take().unwrap_or_else(|| self.visuals.open(self.run.start));
            let other = matches!((next.moves(), moves), (Some(this), Some(all)) if this != all);
            moves = moves.or(if other { None } else { next.moves() });
            let frames = if moves == Some(true) { self.encoder.frames() } else { 1 };
            // A video behind unreadable files may take fewer of them than pictures do.
            if other || (!opened.is_empty() && opened.len() >= self.encoder.batch(frames)) {
                self.ahead = Some(next);
                break;
            }
            opened.push(next);
            self.run.start += 1;
        }
        (self.run.start > start).then(|| Span { end: self.run.start, opened, moves: moves.unwrap_or(false) })
    }
}

/// One batch that is done.
pub(crate) struct Batch {
    /// Which of the pictures and clips.
    pub range: Range<usize>,
    /// Their sizes and times before they were read, for each of `range`; `None` where they could not be asked for.
    pub stamps: Vec<Option<Stamp>>,
    /// Rows of those that are not broken.
    pub rows: Embeddings,
    /// Those left out: number among all, and why.
    pub broken: Vec<(usize, Error)>,
}

/// Encodes those of `visuals` whose numbers are in `run`, one [`Span`] after the other; `each` gets the batches in order.
pub(crate) fn encode<V: Visuals>(
    encoder: &dyn VisualEncoder,
    visuals: &V,
    run: Range<usize>,
    broken: Broken,
    each: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let mut at = run.start;
    for Span { end, opened, moves } in Spans::new(encoder, visuals, run) {
        let frames = if moves { encoder.frames() } else { 1 };
        let stamps = opened.iter().map(Opened::stamp).collect();
        let read = |(i, opened): (usize, V::Opened)| {
            (i, visuals.pixels(i, opened, encoder.preprocess(), moves.then_some(frames)))
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
                Err(e) => return Err(e.hint(Hint::SkipBroken)),
            }
        }
        let mut rows = Embeddings::of_shape(&encoder.shape(frames));
        if !numbers.is_empty() {
            let values = encoder.encode(&all, numbers.len(), frames)?;
            drop(all);
            let name = |i: usize| visuals.name(numbers[i]);
            if encoder.unit() { rows.extend(&values, name)? } else { rows.extend_raw(&values, name)? }
        }
        each(Batch { range: at..end, stamps, rows, broken: left_out })?;
        at = end;
    }
    Ok(())
}

/// Rows of files, in their order, and the files left out.
///
/// # Errors
/// A file that is no picture and no video where such files are not left out, no file that can be read, rows of different
/// shapes, and what the device reports.
pub fn embed_files(
    encoder: &dyn VisualEncoder,
    files: &[PathBuf],
    options: FileOptions<'_>,
) -> Result<(Embeddings, Vec<Skipped>)> {
    let FileOptions { broken, mut progress } = options;
    let mut all: Option<Embeddings> = None;
    let mut skipped = Vec::new();
    encode(encoder, &Files(files), 0..files.len(), broken, &mut |batch| {
        let end = batch.range.end;
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

/// Rows of pictures and clips in memory, in their order. `progress` is told how many are done.
///
/// # Errors
/// Pictures that cannot be resized, clips without frames, rows of different shapes, and what the device reports.
pub fn embed_visuals(
    encoder: &dyn VisualEncoder,
    visuals: &[Visual<'_>],
    progress: &mut dyn FnMut(usize),
) -> Result<Embeddings> {
    let mut all: Option<Embeddings> = None;
    let unhinted = |error| match error {
        // In memory there is no file to leave out.
        Error::Hinted { error, hint: Hint::SkipBroken } => *error,
        other => other,
    };
    encode(encoder, &InMemory(visuals), 0..visuals.len(), Broken::Stop, &mut |batch| {
        match &mut all {
            Some(all) if all.shape() != batch.rows.shape() => {
                let (before, now) = (all.shape(), batch.rows.shape());
                return Err(Error::Invalid(format!(
                    "picture {}: its row has the shape {now:?}, those before {before:?}: take pictures and clips apart",
                    batch.range.start
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

/// Those of `files` that were not left out; `skipped` is in the order of `files`.
pub fn without_skipped<'a>(files: &'a [PathBuf], skipped: &'a [Skipped]) -> impl Iterator<Item = &'a PathBuf> {
    let mut left_out = skipped.iter().map(|s| &s.path).peekable();
    files.iter().filter(move |file| left_out.next_if(|path| path == file).is_none())
}

/// All rows of one output have one shape.
pub(crate) fn same_shape(before: &[usize], now: &[usize], file: &Path) -> Result<()> {
    if before == now {
        return Ok(());
    }
    Err(Error::content(
        file,
        format!("its row has the shape {now:?}, those of the files before {before:?}: take pictures and videos apart"),
    ))
}

pub(crate) fn nothing_left(skipped: &[Skipped]) -> Error {
    let first = skipped.first().map_or_else(String::new, |s| format!("; the first: {}", s.error));
    Error::Invalid(format!("none of the {} files can be read, name others{first}", skipped.len()))
}

/// Whether a file can be read now.
///
/// # Errors
/// Why not.
pub(crate) fn check_readable(encoder: &dyn VisualEncoder, path: &Path) -> Result<()> {
    let files = [path.to_path_buf()];
    let files = Files(&files);
    let opened = files.open(0);
    let frames = (opened.moves() == Some(true)).then(|| encoder.frames());
    files.pixels(0, opened, encoder.preprocess(), frames).map(|_| ())
}

/// Frames of a video, scaled as they are decoded, so that only one is held at full size.
fn clip(preprocess: &Preprocess, mut reader: VideoReader, path: &Path, frames: usize) -> Result<Vec<f32>> {
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
                preprocess.clip(&[frame.rgb])?
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

/// The picture and video files that inputs name: files as they are, folders searched, in the order given.
///
/// # Errors
/// A path that does not exist, a folder without pictures, nothing at all.
pub fn find_files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        let found = vljepa_data::find_media(input)?;
        if found.is_empty() {
            return Err(Error::content(input, no_pictures()));
        }
        files.extend(found);
    }
    Ok(files)
}

fn no_pictures() -> String {
    let (pictures, videos) = (vljepa_data::PICTURE_EXTENSIONS, vljepa_data::video::VIDEO_EXTENSIONS);
    let (pictures, videos) = (pictures.join(", "), videos.join(", "));
    format!("no pictures in this folder, and no videos ({pictures}, {videos}); name one with some")
}
