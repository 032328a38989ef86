//! Picture and video files through an encoder, batch by batch.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use vljepa_data::video::{Rounding, VideoReader, is_video, uniform};
use vljepa_data::{Limits, Preprocess, decode_file};

use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::files::{Stamp, stamp};

/// Vision tokens of one batch; enough to fill a GPU with a small model and little enough memory for a large one.
const BATCH_TOKENS: usize = 4096;
const MAX_BATCH: usize = 64;

/// What turns pictures and clips into rows of numbers.
pub trait PictureEncoder: Sync {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It is the error.
    Stop,
    /// It is the error, which names `--skip-broken`.
    Hint,
    /// It is left out.
    Skip,
}

impl Broken {
    /// As a verb with `--skip-broken` has it.
    pub fn skip(skip: bool) -> Self {
        if skip { Self::Skip } else { Self::Hint }
    }

    pub(crate) fn error(self, error: Error) -> Error {
        if self == Self::Hint { Error::Broken(error.into()) } else { error }
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

/// One batch that is done.
pub(crate) struct Batch {
    /// Which of the files.
    pub files: Range<usize>,
    /// Their sizes and times before they were read, for each of `files`; `None` where they could not be asked for.
    pub stamps: Vec<Option<Stamp>>,
    /// Rows of those that are not broken.
    pub rows: Embeddings,
    /// Those left out: number among all files, and why.
    pub broken: Vec<(usize, Error)>,
}

/// Files that go through an encoder together.
pub(crate) struct Span {
    /// Behind the last of them.
    pub end: usize,
    /// Size and time of each before it was looked into; `None` where they could not be asked for.
    pub stamps: Vec<Option<Stamp>>,
    kinds: Vec<Result<bool>>,
    moving: bool,
}

/// The batch that begins with file number `at`: a run of files of one kind, pictures or videos. Where it ends depends on no
/// file before it, and on none behind the next one; work that goes on from its end gives the same bits as work that was
/// never stopped, as long as it still ends there.
pub(crate) fn span(encoder: &dyn PictureEncoder, files: &[PathBuf], at: usize) -> Span {
    let (mut stamps, mut kinds) = (Vec::new(), Vec::new());
    let mut moving = None;
    let mut end = at;
    while end < files.len() {
        let before = stamp(&files[end]).ok();
        let found = is_video(&files[end]).map_err(Error::from);
        match (&found, moving) {
            (Ok(this), Some(all)) if *this != all => break,
            (Ok(this), None) => moving = Some(*this),
            _ => {}
        }
        let frames = if moving == Some(true) { encoder.frames() } else { 1 };
        // A video behind unreadable files may take fewer of them than pictures do.
        if end > at && end - at >= encoder.batch(frames) {
            break;
        }
        stamps.push(before);
        kinds.push(found);
        end += 1;
    }
    Span { end, stamps, kinds, moving: moving.unwrap_or(false) }
}

/// Encodes those of `files` whose numbers are in `run`, one [`span`] after the other; `each` gets the batches in order.
pub(crate) fn encode_files(
    encoder: &dyn PictureEncoder,
    files: &[PathBuf],
    run: Range<usize>,
    broken: Broken,
    each: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let files = files.get(..run.end).unwrap_or(files);
    let mut at = run.start;
    while at < files.len() {
        let Span { end, stamps, kinds, moving } = span(encoder, files, at);
        let frames = if moving { encoder.frames() } else { 1 };
        let read = |(i, kind): (usize, Result<bool>)| -> (usize, Result<Vec<f32>>) {
            (i, kind.and_then(|_| pixels(encoder.preprocess(), &files[i], moving.then_some(frames))))
        };
        let decoded: Vec<_> = (at..end).zip(kinds).collect::<Vec<_>>().into_par_iter().map(read).collect();
        let (mut names, mut all, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (i, pixels) in decoded {
            match pixels {
                Ok(pixels) => {
                    names.push(i);
                    all.extend(pixels);
                }
                Err(e) if broken == Broken::Skip => left_out.push((i, e)),
                Err(e) => return Err(broken.error(e)),
            }
        }
        let mut rows = Embeddings::of_shape(&encoder.shape(frames));
        if !names.is_empty() {
            let values = encoder.encode(&all, names.len(), frames)?;
            drop(all);
            let name = |i: usize| files[names[i]].display().to_string();
            if encoder.unit() { rows.extend(&values, name)? } else { rows.extend_raw(&values, name)? }
        }
        each(Batch { files: at..end, stamps, rows, broken: left_out })?;
        at = end;
    }
    Ok(())
}

/// Rows of files, in their order, and the files left out. `done` hears how many are done.
///
/// # Errors
/// A file that is no picture and no video where such files are not left out, no file that can be read, rows of different
/// shapes, and what the device reports.
pub fn embed_files(
    encoder: &dyn PictureEncoder,
    files: &[PathBuf],
    broken: Broken,
    mut done: impl FnMut(usize),
) -> Result<(Embeddings, Vec<Skipped>)> {
    let mut all: Option<Embeddings> = None;
    let mut skipped = Vec::new();
    encode_files(encoder, files, 0..files.len(), broken, &mut |batch| {
        let end = batch.files.end;
        skipped.extend(batch.broken.into_iter().map(|(i, e)| Skipped { path: files[i].clone(), error: e.to_string() }));
        if batch.rows.rows() > 0 {
            match &mut all {
                Some(all) => {
                    same_shape(all.shape(), batch.rows.shape(), &files[batch.files.start])?;
                    all.append(&batch.rows);
                }
                None => all = Some(batch.rows),
            }
        }
        done(end);
        Ok(())
    })?;
    match all {
        Some(rows) => Ok((rows, skipped)),
        None if files.is_empty() => Ok((Embeddings::of_shape(&encoder.shape(1)), skipped)),
        None => Err(nothing_left(&skipped)),
    }
}

/// Those of `files` that are not among the ones left out, which are in the same order.
pub fn kept<'a>(files: &'a [PathBuf], skipped: &'a [Skipped]) -> impl Iterator<Item = &'a PathBuf> {
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
pub(crate) fn check_readable(encoder: &dyn PictureEncoder, path: &Path) -> Result<()> {
    let frames = is_video(path)?.then(|| encoder.frames());
    pixels(encoder.preprocess(), path, frames).map(|_| ())
}

/// What an encoder takes of a file: of a video so many frames, `[frames, 3, size, size]`; else of a picture.
fn pixels(preprocess: &Preprocess, path: &Path, frames: Option<usize>) -> Result<Vec<f32>> {
    match frames {
        Some(frames) => clip(preprocess, path, frames),
        None => Ok(preprocess.run(&decode_file(path, &Limits::default())?)?),
    }
}

/// Frames of a video, scaled as they are decoded, so that only one is held at full size.
fn clip(preprocess: &Preprocess, path: &Path, frames: usize) -> Result<Vec<f32>> {
    let mut reader = VideoReader::open(path)?;
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
pub fn picture_files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
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
