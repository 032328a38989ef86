//! Files of rows (NumPy or safetensors), and embedding many files into one of them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use vljepa_model::ModelError;
use vljepa_model::weights::{Dtype, safetensors_start};

use crate::apart::check_apart;
use crate::error::{Error, Hint, Result};
use crate::files::{check_writable, stream_atomically};
use crate::listing::Listing;
#[cfg(feature = "parquet")]
use crate::parquet_file::write_parquet;
use crate::partial::{Partial, Resumed, RowOptions, Task, check_unbegun};
use crate::rows::{Embeddings, npy_header};
use crate::visuals::{Embedded, Noted, Reading, RowOf, Skipped, VisualEncoder};

/// The format of a file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A NumPy file.
    Npy,
    /// A safetensors file with the tensor `embeddings`, and the names of the rows in its header.
    SafeTensors,
    /// A Parquet file with the columns `input` or `text`, `start`, `end`, `row` and `embedding`.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl RowFormat {
    /// The format that the extension of `path` names: `npy`, `safetensors`, or `parquet` where this is built with the feature `parquet`.
    ///
    /// # Errors
    /// Any other extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::SafeTensors),
            #[cfg(feature = "parquet")]
            Some("parquet") => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => {
                let reason = "this program is built without Parquet; build it with the feature `parquet`";
                Err(Error::content(path, reason).hint(Hint::RowExtension))
            }
            _ => Err(Error::content(path, "is not the name of a file of rows").hint(Hint::RowExtension)),
        }
    }

    /// Writes a file with the rows that `values` gives.
    fn write(self, path: &Path, shape: &[usize], values: &mut dyn Read, listing: &Listing<'_>) -> Result<()> {
        let metadata = match self {
            Self::SafeTensors => listing.metadata(),
            _ => BTreeMap::new(),
        };
        check_header(path, &metadata)?;
        let (rows, row) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
        stream_atomically(path, |out| match self {
            Self::Npy => {
                out.write_all(&npy_header(rows, row)).map_err(Error::io(path, "writing"))?;
                write_values(path, shape, values, out)
            }
            Self::SafeTensors => write_embeddings(path, shape, values, &metadata, out),
            #[cfg(feature = "parquet")]
            Self::Parquet => write_parquet(path, shape, values, listing, out),
        })?;
        // Last: a list without its rows would be of those that were there before.
        listing.write_beside(path)
    }
}

/// Checks that what a safetensors file says of its rows fits into its header.
fn check_header(path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    if let Err(ModelError::File { what, .. }) = safetensors_start(&[], metadata) {
        let reason = format!(
            "{what}: it holds the name of each row; write a .npy or .parquet file, or several files of fewer rows"
        );
        return Err(Error::content(path, reason));
    }
    Ok(())
}

/// Writes a safetensors file with the f32 tensor `embeddings` of shape `shape`, whose bytes `values` gives. `path` is for
/// messages only.
///
/// # Errors
/// Errors of writing; values that end early, and values that are not finite.
pub fn write_embeddings(
    path: &Path,
    shape: &[usize],
    values: &mut dyn Read,
    metadata: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> Result<()> {
    let start =
        safetensors_start(&[("embeddings", Dtype::F32, shape)], metadata).map_err(Error::model(path.display()))?;
    out.write_all(&start).map_err(Error::io(path, "writing"))?;
    write_values(path, shape, values, out)
}

/// Copies f32 values of shape `shape`; little of them is in memory at a time. `path` is for messages only.
///
/// # Errors
/// Errors of writing; values that end early, and values that are not finite.
pub fn write_values(path: &Path, shape: &[usize], values: &mut dyn Read, out: &mut dyn Write) -> Result<()> {
    /// Bytes at a time: a multiple of a value's.
    const PART: u64 = 1 << 20;
    let mut left = shape.iter().map(|&d| d as u64).product::<u64>() * 4;
    let mut buffer = vec![0; left.min(PART) as usize];
    while left > 0 {
        let part = &mut buffer[..left.min(PART) as usize];
        // The source names its file.
        values.read_exact(part).map_err(|e| Error::content(path, format!("its rows cannot be read: {e}")))?;
        let finite = |value: &[u8]| <[u8; 4]>::try_from(value).is_ok_and(|v| f32::from_le_bytes(v).is_finite());
        if !part.chunks_exact(4).all(finite) {
            return Err(Error::content(path, "a value of its rows is not a finite number; make them again"));
        }
        out.write_all(part).map_err(Error::io(path, "writing"))?;
        left -= part.len() as u64;
    }
    Ok(())
}

/// Checks before long work that a file of rows can be written. Leaves nothing behind.
///
/// # Errors
/// As [`write_rows`].
pub fn check_rows(path: &Path) -> Result<()> {
    RowFormat::of(path)?;
    check_unbegun(path)?;
    check_writable(path)
}

/// Writes rows that are in memory. `key` is the metadata key of their `names` in a safetensors header.
///
/// # Errors
/// An unknown extension, a file that an unfinished run of [`embed_to_file`] has begun, and errors of writing.
pub fn write_rows(path: &Path, rows: &Embeddings, key: &'static str, names: &[String]) -> Result<()> {
    write(path, rows, &Listing { key, names, of: &[], reading: None })
}

/// Writes the rows of `files` that are in memory.
///
/// # Errors
/// As [`write_rows`].
pub fn write_file_rows(path: &Path, embedded: &Embedded, files: &[PathBuf], reading: &Reading) -> Result<RowFile> {
    let Embedded { rows, of, .. } = embedded;
    let names = names(of, files);
    write(path, rows, &Listing { key: "input", names: &names, of, reading: Some(reading) })?;
    let shape = [&[rows.rows()], rows.shape()].concat();
    let (skipped, notes, resumed) = (Vec::new(), Vec::new(), Resumed::default());
    Ok(RowFile { shape, names, of: of.clone(), skipped, notes, resumed })
}

/// The name of each row: that of its file.
pub fn names(of: &[RowOf], files: &[PathBuf]) -> Vec<String> {
    of.iter().map(|row| files.get(row.file).map(|file| file.display().to_string()).unwrap_or_default()).collect()
}

fn write(path: &Path, rows: &Embeddings, listing: &Listing<'_>) -> Result<()> {
    let format = RowFormat::of(path)?;
    check_unbegun(path)?;
    let bytes: Vec<u8> = rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = [&[rows.rows()], rows.shape()].concat();
    format.write(path, &shape, &mut &bytes[..], listing)
}

/// A file of rows that was written.
#[derive(Debug)]
pub struct RowFile {
    /// Number of rows, followed by the shape of one row.
    pub shape: Vec<usize>,
    /// The names of the rows: those of their files.
    pub names: Vec<String>,
    /// What each row stands for.
    pub of: Vec<RowOf>,
    /// The files that were left out.
    pub skipped: Vec<Skipped>,
    /// What is to be known of files that were embedded.
    pub notes: Vec<Noted>,
    /// What was reused of an earlier run.
    pub resumed: Resumed,
}

/// Embeds `files`, which were found at `inputs`, into the file `out`. It resumes an earlier run that was stopped, if
/// that run had the same inputs and the same [identity](RowOptions::identity).
/// The rows are the same as without a stop: a batch of the earlier run is reused only if its files are unchanged, they
/// form one batch again, and its rows match their checksum. Only one batch is in memory at a time.
///
/// # Errors
/// As [`embed_files`](crate::visuals::embed_files), also for a file that an earlier run left out; more names than the header of a
/// safetensors file holds; an unfinished file of
/// a run with another identity, or of a run in progress; errors of writing. After an error, the rows so far stay for
/// the next run.
pub fn embed_to_file(
    encoder: &dyn VisualEncoder,
    inputs: &[PathBuf],
    files: &[PathBuf],
    out: &Path,
    options: RowOptions<'_>,
) -> Result<RowFile> {
    let format = RowFormat::of(out)?;
    check_apart(out, files)?;
    if format == RowFormat::SafeTensors {
        // There is a row or more for each file: this is known before the work.
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        check_header(out, &Listing { key: "input", names: &names, of: &[], reading: None }.metadata())?;
    }
    let (broken, reading, identity, mut on_event) = options.into_parts();
    let task = Task { task: "rows", inputs, files, out, depends: &identity, broken, reading, may_be_empty: false };
    let partial = Partial::complete(encoder, &task, &mut on_event)?;
    let (resumed, of) = (partial.resumed(), partial.of().collect::<Vec<_>>());
    let (skipped, notes) = (partial.left_out(files), partial.notes(files));
    let (names, shape) = (names(&of, files), [&[partial.rows()], partial.shape()].concat());
    let listing = Listing { key: "input", names: &names, of: &of, reading: Some(&reading) };
    if format == RowFormat::SafeTensors {
        // Windows are known only now.
        check_header(out, &listing.metadata()).map_err(|error| partial.kept(error))?;
    }
    format.write(out, &shape, &mut partial.ordered(), &listing)?;
    partial.remove();
    Ok(RowFile { shape, names, of, skipped, notes, resumed })
}

#[cfg(test)]
mod tests;
