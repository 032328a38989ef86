//! Persistent indices of picture folders: building, reading and searching them.
//!
//! An index is a safetensors file with the tensor `embeddings` `[rows, dim]` (f32, rows of unit length). Its header
//! holds the version, the hash of the model, the folder, the list of files as JSON, and what else the rows depend on. A file has a
//! row, or where videos are cut into clips a row for each of them, whose times the list of files holds.
//!
//! Building an index where there is one of the same model, folder and settings takes over the rows of files whose size and time
//! are the same. Rows that are computed in other batches than in a build from nothing differ from those by rounding.

mod entry;
mod rows;

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use vljepa_model::json_fault;
use vljepa_model::weights::{SafeTensors, WeightSource, read_f32};

use vljepa_embed::files::{self, PassedOver, find_files_counting, stamp};
use vljepa_embed::folder::ModelFolder;
use vljepa_embed::partial::{Partial, Resumed, RowEvent, RowOptions, Task};
use vljepa_embed::row_file::write_embeddings;
use vljepa_embed::rows::{Match, best};
use vljepa_embed::visuals::{Broken, Moment, Noted, Progress, Skipped};
use vljepa_embed::{Embeddings, Hint as EmbedHint, Model, check_apart};

use crate::error::{Error, Hint, Result};

pub use entry::Entry;

use entry::{NOT_UTF8, rows_of};
use rows::{Rows, Values};

const VERSION: &str = "2";
/// The key of an index in the metadata of its file, with the version as value.
pub const FORMAT_KEY: &str = "vljepa_index";
/// The key of what the rows depend on, beside model and files.
const DEPENDS: &str = "depends";

/// The result of building an index.
#[derive(Debug)]
pub struct Indexed {
    /// Number of pictures and videos in the index.
    pub pictures: usize,
    /// Number of rows: more than pictures where videos are cut into clips.
    pub rows: usize,
    /// The files that were left out.
    pub skipped: Vec<Skipped>,
    /// What is to be known of files that were embedded.
    pub notes: Vec<Noted>,
    /// What was reused of an earlier run that was stopped.
    pub resumed: Resumed,
    /// Number of pictures and videos whose rows were taken over from the index that was there.
    pub reused: usize,
}

/// A picture, or a part of a video, that a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Whether the file is unchanged since it was embedded.
    pub fresh: bool,
    /// The part of the video; `None` where the row shows the file as a whole.
    pub moment: Option<Moment>,
    /// Cosine with what was searched for, -1..1.
    pub cosine: f32,
}

/// An index in memory.
#[derive(Debug)]
pub struct Index {
    root: PathBuf,
    entries: Vec<Entry>,
    /// For each row its entry, and the number of the clip.
    of: Vec<(u32, u32)>,
    embeddings: Embeddings,
    /// What the rows depend on, beside model and files.
    depends: Option<String>,
}

/// A folder to be indexed, with the pictures and videos found in it.
#[derive(Debug)]
pub struct PictureFolder {
    root: PathBuf,
    files: Vec<PathBuf>,
    passed: PassedOver,
}

impl PictureFolder {
    /// Searches the folder `dir` for pictures and videos.
    ///
    /// # Errors
    /// A path that is not a folder, a folder without pictures and videos, a path that is not UTF-8.
    pub fn open(dir: &Path) -> Result<Self> {
        if !std::fs::metadata(dir).map_err(Error::io(dir, "reading"))?.is_dir() {
            return Err(Error::content(dir, "is a file; name the folder to index"));
        }
        let root = dir.canonicalize().map_err(Error::io(dir, "reading"))?;
        if root.to_str().is_none() {
            return Err(Error::content(root, NOT_UTF8));
        }
        let (files, passed) = find_files_counting(std::slice::from_ref(&root))?;
        Ok(Self { root, files, passed })
    }

    /// Takes the pictures of each folder below this one as the frames of one clip.
    ///
    /// # Errors
    /// Pictures in the folder itself: it would be a clip and has no name in its own index.
    pub fn frame_folders(self) -> Result<Self> {
        let files = files::frame_folders(std::slice::from_ref(&self.root), self.files);
        if files.contains(&self.root) {
            let reason = "its own pictures would be frames of the folder itself; index the folder that it lies in";
            return Err(Error::content(self.root, reason));
        }
        Ok(Self { files, ..self })
    }

    /// The pictures and videos of the folder.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What of the folder looks like media and is not read.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed
    }
}

impl Index {
    /// Embeds every picture and video of a folder into the index `out`. It resumes an earlier run that was stopped, if
    /// that run had the same folder, model and [identity](RowOptions::identity) (such as precision and device). With
    /// [`Broken::Skip`], files that cannot be read and files whose names are not UTF-8 are left out and returned;
    /// otherwise the first of them is an error. Rows of files that have not changed are taken over from the index that `out`
    /// is already, where it was built with the same folder, model and identity by the same version of this program.
    ///
    /// # Errors
    /// As [`embed_to_file`](vljepa_embed::row_file::embed_to_file).
    pub fn build(model: &Model, pictures: PictureFolder, out: &Path, options: RowOptions<'_>) -> Result<Indexed> {
        let (broken, reading, identity, mut on_event) = options.into_parts();
        let asked = model.with_query(None)?;
        reading.check(&asked)?;
        let skip_broken = broken == Broken::Skip;
        let PictureFolder { root, mut files, .. } = pictures;
        let mut skipped = Vec::new();
        // Check the names first: this costs nothing, and a bad name should not be found after hours of work.
        let mut bad_name = None;
        files.retain(|path| match Entry::of(&root, path, (0, 0)) {
            Ok(_) => true,
            Err(e) if skip_broken => {
                skipped.push(Skipped { path: path.clone(), error: e.to_string() });
                false
            }
            Err(e) => {
                bad_name.get_or_insert(e);
                false
            }
        });
        if let Some(e) = bad_name {
            return Err(vljepa_embed::Error::hint(e, EmbedHint::SkipBroken).into());
        }
        check_apart(out, &files)?;
        let program = env!("CARGO_PKG_VERSION");
        let settings = serde_json::json!({ "program": program, "reading": &reading, "settings": &identity });
        let settings = settings.to_string();
        let old = Self::earlier(out, model, &root, &settings);
        let rows = Rows::new(old.as_ref().map_or(&[], |old| &old.entries), &root, &files);
        let mut depends = identity.as_object().cloned().unwrap_or_default();
        depends.insert("model".into(), model.hash().into());
        let depends = &Value::Object(depends);
        let inputs = std::slice::from_ref(&root);
        let (fresh, reused) = (rows.fresh(&files), rows.reused());
        let may_be_empty = reused > 0;
        let task = Task { task: "index", inputs, files: &fresh, out, depends, broken, reading, may_be_empty };
        let mut on_event = |event| match event {
            RowEvent::Done(p) => on_event(RowEvent::Done(Progress { files: reused + p.files, ..p })),
            other => on_event(other),
        };
        let partial = match fresh.is_empty() {
            true => None,
            false => Some(Partial::complete(&asked, &task, &mut on_event)?),
        };
        let left_out = partial.as_ref().map(|partial| partial.left_out(&fresh)).unwrap_or_default();
        let notes = partial.as_ref().map(|partial| partial.notes(&fresh)).unwrap_or_default();
        let (entries, places) = rows.entries(&root, &files, partial.as_ref(), &left_out, &notes)?;
        let entries_json = serde_json::to_string(&entries).map_err(|e| Error::content(out, e.to_string()))?;
        let metadata = [
            (FORMAT_KEY, VERSION.to_owned()),
            ("model", model.hash().to_owned()),
            ("root", root.display().to_string()),
            ("entries", entries_json),
            (DEPENDS, settings),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let shape = [places.len(), model.dim()];
        if let Some(shape) =
            partial.as_ref().map(Partial::shape).filter(|shape| !shape.is_empty() && **shape != [model.dim()])
        {
            return Err(Error::content(out, format!("rows of shape {shape:?}, {} numbers are needed", model.dim())));
        }
        let embeddings = old.as_ref().map(|old| &old.embeddings);
        let mut values = Values::new(embeddings, partial.as_ref().map(Partial::ordered), places, model.dim());
        files::stream_atomically(out, |file| write_embeddings(out, &shape, &mut values, &metadata, file))?;
        let resumed = partial.as_ref().map(Partial::resumed).unwrap_or_default();
        if let Some(partial) = partial {
            partial.remove();
        }
        skipped.extend(left_out);
        Ok(Indexed { pictures: entries.len(), rows: shape[0], skipped, notes, resumed, reused })
    }

    /// The index at `out`, if its rows are those that a build with `settings` would make.
    fn earlier(out: &Path, model: &Model, root: &Path, settings: &str) -> Option<Self> {
        // What is there is replaced, whatever it is: an index that is damaged or of another model is no fault here.
        let old = Self::read(out, model.hash(), model.origin(), model.dim()).ok()?;
        (old.root == root && old.depends.as_deref() == Some(settings)).then_some(old)
    }

    /// Reads an index and checks that it is complete and was built with the model `folder`.
    ///
    /// # Errors
    /// A file that is not an index, an index of another version or model, and an index that is truncated or
    /// inconsistent.
    pub fn open(path: &Path, folder: &ModelFolder) -> Result<Self> {
        Self::read(path, folder.hash(), folder.origin(), folder.config().embedding_dim)
    }

    fn read(path: &Path, hash: &str, origin: &str, dim: usize) -> Result<Self> {
        let map = files::map(path)?;
        let fail = |reason: String| Error::content(path, reason);
        let broken = |reason: String| fail(format!("not a whole index: {reason}")).hint(Hint::RebuildIndex);
        if map.starts_with(b"\x93NUMPY") {
            return Err(fail("a NumPy file, but no index of pictures".into()).hint(Hint::NameIndex));
        }
        let file = SafeTensors::parse("index", &map).map_err(|e| broken(e.to_string()))?;
        let text = |key: &str| file.metadata().get(key).map(String::as_str);
        match text(FORMAT_KEY) {
            Some(VERSION) => {}
            Some(other) => {
                let reason = format!("index of version {other:?}, this program reads {VERSION}");
                return Err(fail(reason).hint(Hint::RebuildIndex));
            }
            None => return Err(fail("a safetensors file, but no index of pictures".into()).hint(Hint::NameIndex)),
        }
        let required = |key: &str| text(key).ok_or_else(|| broken(format!("its header has no `{key}`")));
        let model = required("model")?;
        if model != hash {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            let reason = format!("built with another model ({}, {origin} is {})", short(model), short(hash));
            return Err(fail(reason).hint(Hint::ModelOfIndex));
        }
        let root = PathBuf::from(required("root")?);
        let entries: Vec<Entry> = serde_json::from_str(required("entries")?)
            .map_err(|e| broken(format!("its list of files: {}", json_fault(&e.to_string()))))?;
        let shape = file.tensor("embeddings").map(|t| t.shape.to_vec());
        let rows: usize = entries.iter().map(Entry::rows).sum();
        if shape != Some(vec![rows, dim]) || file.names().len() != 1 {
            let found = shape.map_or("no embeddings".into(), |shape| format!("embeddings of {shape:?}"));
            return Err(broken(format!("{rows} rows of files and {found}, the model has {dim} dimensions")));
        }
        let mut seen = HashSet::new();
        for entry in &entries {
            let plain = |c| matches!(c, Component::Normal(_));
            if entry.path.is_empty() || !Path::new(&entry.path).components().all(plain) {
                return Err(broken(format!("{:?} is no path below its folder", entry.path)));
            }
            if !entry.clips.iter().all(|clip| clip.start.is_finite() && clip.start <= clip.end) {
                return Err(broken(format!("{:?} has a clip that ends before it begins", entry.path)));
            }
            if !seen.insert(&entry.path) {
                return Err(broken(format!("{:?} is listed twice", entry.path)));
            }
        }
        let data = read_f32(&file, "embeddings", &[rows, dim]).map_err(|e| broken(e.to_string()))?;
        let embeddings = Embeddings::from_unit_rows(dim, data);
        let of = rows_of(&entries);
        for (i, (entry, _)) in of.iter().enumerate() {
            let norm: f64 = embeddings.row(i).iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            if (norm - 1.0).abs() > 1e-3 {
                let path = &entries[*entry as usize].path;
                return Err(broken(format!("the embedding of {path:?} is not of unit length")));
            }
        }
        let depends = text(DEPENDS).map(str::to_owned);
        Ok(Self { root, entries, of, embeddings, depends })
    }

    /// Number of pictures and videos.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the index has no pictures.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.of.len()
    }

    /// The folder that was indexed.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The `k` pictures or clips with the largest cosine to row `i` of `queries`, best first.
    ///
    /// # Errors
    /// Queries embedded by a model of another dimension.
    pub fn search(&self, queries: &Embeddings, i: usize, k: usize) -> Result<Vec<Found>> {
        let best = best(&queries.cosines(i, &self.embeddings)?, k);
        Ok(best.into_iter().map(|found| self.found(found.index, found.cosine, None)).collect())
    }

    /// As [`Self::search`], with neighbouring clips of a video as one moment: around its best clip those that follow each other without a gap
    /// and lie above the middle between that clip's cosine and the mean of all rows.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn search_moments(&self, queries: &Embeddings, i: usize, k: usize) -> Result<Vec<Found>> {
        let cosines = queries.cosines(i, &self.embeddings)?;
        let mean = cosines.iter().map(|c| f64::from(*c)).sum::<f64>() / cosines.len().max(1) as f64;
        let (mut taken, mut found) = (vec![false; cosines.len()], Vec::new());
        for Match { index, cosine } in best(&cosines, cosines.len()) {
            if found.len() == k {
                break;
            }
            if taken[index] {
                continue;
            }
            let middle = ((f64::from(cosine) + mean) / 2.0) as f32;
            let joins = |from: usize, to: usize| {
                let (earlier, later) = (from.min(to), from.max(to));
                let touch = match (self.moment(earlier), self.moment(later)) {
                    (Some(earlier), Some(later)) => later.start <= earlier.end + 1e-6,
                    _ => false,
                };
                touch && self.of[from].0 == self.of[to].0 && !taken[to] && cosines[to] > middle
            };
            let (mut first, mut last) = (index, index);
            while first > 0 && joins(first, first - 1) {
                first -= 1;
            }
            while last + 1 < cosines.len() && joins(last, last + 1) {
                last += 1;
            }
            taken[first..=last].fill(true);
            let whole = self.moment(first).zip(self.moment(last));
            let whole = whole.map(|(first, last)| Moment { start: first.start, end: last.end.max(first.end) });
            found.push(self.found(index, cosine, whole));
        }
        Ok(found)
    }

    fn moment(&self, row: usize) -> Option<Moment> {
        let (entry, clip) = self.of[row];
        self.entries[entry as usize].clips.get(clip as usize).copied()
    }

    fn found(&self, row: usize, cosine: f32, moment: Option<Moment>) -> Found {
        let entry = &self.entries[self.of[row].0 as usize];
        let path = self.root.join(&entry.path);
        let fresh = stamp(&path).is_ok_and(|now| now == (entry.size, entry.modified));
        Found { path, fresh, moment: moment.or_else(|| self.moment(row)), cosine }
    }
}

#[cfg(test)]
mod tests;
