//! Reading a manifest, whatever it is written in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::{Fields, Split, relative};
use super::row::{At, Place, Row};
use super::{lines, shards, table};
use crate::DataError;
use crate::file::open_regular;

/// Rows of a manifest.
const MAX_ROWS: usize = 1 << 24;
/// A manifest of lines, in bytes.
const MAX_BYTES: u64 = 4 << 30;

/// A list of pictures and clips with their texts, read whole; the media files are not opened.
///
/// ```no_run
/// use vljepa_data::manifest::{Manifest, Split};
///
/// let manifest = Manifest::open("clips.jsonl")?;
/// println!("{} rows to train on", manifest.of(Split::Train).count());
/// # Ok::<(), vljepa_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Manifest {
    path: PathBuf,
    rows: Vec<Row>,
    files: Vec<PathBuf>,
}

impl Manifest {
    /// Reads a manifest: JSON lines (`.jsonl`, `.ndjson`, `.json`), CSV with a header (`.csv`), a WebDataset shard (`.tar`), a
    /// list of shards (`shard-{000..010}.tar`), or a folder of shards. Fields of a row: `visual`, a path relative to the folder
    /// of the file; `start` and `end` in seconds; `query`; `target`, or several `targets` (in CSV with `|` between);
    /// `weight`, 1 where it is absent; `split`: train where it is absent, validation or test. In a shard, files of one basename
    /// are a row: a `.json` file with these fields, and the media file, which `visual` names where there are several.
    ///
    /// # Errors
    /// A file that cannot be read, and the first row that is wrong, in one line with its place.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        if let Some(shards) = shards::list(path)? {
            return Self::of_shards(path, shards);
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let file = open_regular(path)?;
        let bytes = file.metadata().map_err(DataError::io(path, "reading"))?.len();
        if bytes > MAX_BYTES {
            return Err(DataError::TooLong { path: path.into(), bytes, max: MAX_BYTES });
        }
        let (list, folder): (Arc<Path>, _) = (path.into(), path.parent().unwrap_or(Path::new("")).to_path_buf());
        let mut rows = Vec::new();
        let mut add = |line: u64, mut fields: Fields| {
            let fault = |what: String| DataError::content(path, format!("line {line}: {what}"));
            let visual = fields.visual.take();
            let visual = visual
                .ok_or_else(|| fault("`visual` is missing; name a picture, a video or a folder of frames".into()))?;
            let place = Place::Path(folder.join(relative(&visual).map_err(fault)?));
            push(&mut rows, row(place, fields, list.clone(), At::Line(line)))
        };
        match extension.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => lines::read(path, file, &mut add)?,
            "csv" => table::read(path, file, &mut add)?,
            _ => {
                let reason =
                    "its name does not say what it is; a manifest ends in .jsonl (an object a line), .csv or .tar";
                return Err(DataError::content(path, reason));
            }
        }
        if rows.is_empty() {
            return Err(DataError::content(
                path,
                "the manifest has no rows; write an object a line, or a record below the header",
            ));
        }
        Ok(Self { path: path.into(), rows, files: vec![path.into()] })
    }

    fn of_shards(path: &Path, shards: Vec<PathBuf>) -> Result<Self, DataError> {
        let mut rows = Vec::new();
        for shard in &shards {
            let list: Arc<Path> = shard.as_path().into();
            shards::read(shard, &mut |name, member, fields| {
                push(&mut rows, row(Place::Member(member), fields, list.clone(), At::Sample(name)))
            })?;
        }
        Ok(Self { path: path.into(), rows, files: shards })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that it was read from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// All rows, in the order in which they stand; at least one.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows of a part.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.split == split)
    }
}

fn row(place: Place, fields: Fields, list: Arc<Path>, at: At) -> Row {
    let Fields { start, end, query, targets, weight, split, .. } = fields;
    Row { place, start, end, query, targets, weight: weight.unwrap_or(1.0), split, list, at }
}

fn push(rows: &mut Vec<Row>, row: Row) -> Result<(), DataError> {
    if rows.len() >= MAX_ROWS {
        return Err(DataError::content(&*row.list, format!("more than {MAX_ROWS} rows; make several manifests")));
    }
    rows.push(row);
    Ok(())
}
