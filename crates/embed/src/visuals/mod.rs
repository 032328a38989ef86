//! Pictures and clips to rows: reads files or takes pixels from memory, and runs an encoder in batches.

mod encode;
mod encoder;
mod from_files;
mod from_rows;
mod in_memory;
mod options;
mod reading;
mod source;

use std::path::{Path, PathBuf};

use vljepa_data::manifest::Row;
use vljepa_data::video::VideoOptions;

use crate::error::{Error, Hint, Result};
use crate::rows::Embeddings;

pub(crate) use encode::{Batch, Part, Work, encode};
pub use encoder::VisualEncoder;
pub(crate) use encoder::{MAX_BATCH, batch_of};
pub(crate) use from_files::{Files, check_readable};
pub use in_memory::Visual;
pub use options::{Broken, FileOptions, Moment, Noted, Progress, RowOf, Skipped};
pub use reading::{DEFAULT_RATE, RawFrames, Reading};
pub(crate) use source::{Opened, Spans, What};

use from_rows::Rows;
use in_memory::InMemory;

/// Rows of files.
#[derive(Debug)]
pub struct Embedded {
    /// The rows, in the order of the files, and for one file in the order of its clips.
    pub rows: Embeddings,
    /// What each row stands for.
    pub of: Vec<RowOf>,
    /// The files that were left out.
    pub skipped: Vec<Skipped>,
}

/// The rows of files.
///
/// # Errors
/// A file that is neither a picture nor a video unless such files are skipped, no readable file at all, rows of different shapes, what
/// [`Reading::check`] reports, and errors of the device.
pub fn embed_files(encoder: &dyn VisualEncoder, files: &[PathBuf], options: FileOptions<'_>) -> Result<Embedded> {
    let FileOptions { broken, reading, mut progress, mut on_note } = options;
    let mut all: Option<Embeddings> = None;
    let (mut skipped, mut of) = (Vec::new(), Vec::<RowOf>::new());
    let visuals = Files::new(encoder, files, &reading)?;
    encode(encoder, &visuals, &Work::all(files.len()), broken, &mut |batch| {
        let (start, end) = (batch.range.start, batch.range.end);
        if let Some(on_note) = &mut on_note {
            batch.notes.into_iter().for_each(|(i, note)| on_note(Noted { path: files[i].clone(), note }));
        }
        let left_out: Vec<usize> = batch.broken.iter().map(|(i, _)| *i).collect();
        skipped.extend(batch.broken.into_iter().map(|(i, e)| Skipped { path: files[i].clone(), error: e.to_string() }));
        if batch.part.is_some() && !left_out.is_empty() {
            // Windows before the break were given.
            let kept = of.iter().position(|row| row.file == start).unwrap_or(of.len());
            of.truncate(kept);
            if let Some(all) = &mut all {
                all.truncate(kept);
            }
        }
        if batch.rows.rows() > 0 {
            match &mut all {
                Some(all) => {
                    same_shape(all.shape(), batch.rows.shape(), &files[start])?;
                    all.append(&batch.rows);
                }
                None => all = Some(batch.rows),
            }
        }
        of.extend(rows_of(start..end, &left_out, batch.part.is_some(), &batch.moments));
        if let Some(progress) = &mut progress {
            let unfinished = batch.part.is_some_and(|part| !part.last);
            let (files, within) = if unfinished { (start, batch.passed) } else { (end, 0.0) };
            progress(Progress { files, rows: of.len(), within });
        }
        Ok(())
    })?;
    match all {
        Some(rows) if rows.rows() > 0 => Ok(Embedded { rows, of, skipped }),
        _ if files.is_empty() => Ok(Embedded { rows: Embeddings::of_shape(&encoder.shape(1)), of, skipped }),
        _ => Err(nothing_left(&skipped)),
    }
}

/// What the rows of a batch stand for: of one file each, but for those that were left out, or all of one file.
pub(crate) fn rows_of(
    range: std::ops::Range<usize>,
    left_out: &[usize],
    of_one: bool,
    moments: &[Option<Moment>],
) -> Vec<RowOf> {
    if of_one {
        return moments.iter().map(|moment| RowOf { file: range.start, moment: *moment }).collect();
    }
    let files = range.filter(|i| !left_out.contains(i));
    files.zip(moments).map(|(file, moment)| RowOf { file, moment: *moment }).collect()
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
    embed_list(encoder, &InMemory { visuals, frames: encoder.frames() }, progress)
}

/// The rows of pictures and clips that a manifest names, in the order of `rows`: one for each, as
/// [`Row::numbers`](vljepa_data::manifest::Row::numbers) reads it, a picture as one frame and a clip as the encoder's. `progress`
/// receives the number of rows that are done.
///
/// # Errors
/// The first row whose file cannot be read, with its place; rows of different shapes, and errors of the device.
pub fn embed_rows(
    encoder: &dyn VisualEncoder,
    rows: &[&Row],
    options: &VideoOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<Embeddings> {
    embed_list(encoder, &Rows { rows, options: options.clone(), frames: encoder.frames() }, progress)
}

/// The rows of a list that is read whole or not at all.
fn embed_list<V: source::Visuals>(
    encoder: &dyn VisualEncoder,
    list: &V,
    progress: &mut dyn FnMut(usize),
) -> Result<Embeddings> {
    let mut all: Option<Embeddings> = None;
    // The hint is about lists that may go on without a file.
    let unhinted = |error| match error {
        Error::Hinted { error, hint: Hint::SkipBroken | Hint::SkipOrConceal } => *error,
        other => other,
    };
    encode(encoder, list, &Work::all(list.count()), Broken::Stop, &mut |batch| {
        match &mut all {
            Some(all) if all.shape() != batch.rows.shape() => {
                let (before, now) = (all.shape(), batch.rows.shape());
                return Err(Error::Invalid(format!(
                    "{}: its row has the shape {now:?}, the rows before have {before:?}; keep pictures and clips apart",
                    list.name(batch.range.start)
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
