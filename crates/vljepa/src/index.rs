//! Persistent indices of picture folders: building, reading and searching them.
//!
//! An index is a safetensors file with the tensor `embeddings` `[pictures, dim]` (f32, rows of unit length). Its header
//! holds the version, the hash of the model, the folder, and the list of files as JSON.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vljepa_model::json_fault;
use vljepa_model::weights::{SafeTensors, WeightSource, read_f32};

use vljepa_embed::files::find_files;
use vljepa_embed::files::{self, Stamp, stamp};
use vljepa_embed::folder::ModelFolder;
use vljepa_embed::partial::{Partial, Resumed, RowOptions, Task};
use vljepa_embed::row_file::write_embeddings;
use vljepa_embed::rows::{Match, best};
use vljepa_embed::visuals::{Broken, Skipped};
use vljepa_embed::{Embeddings, Hint as EmbedHint, Model};

use crate::error::{Error, Hint, Result};

const VERSION: &str = "1";
/// The key of an index in the metadata of its file, with the version as value.
pub const FORMAT_KEY: &str = "vljepa_index";
const NOT_UTF8: &str = "the name is not UTF-8, so an index cannot hold it; rename it";

/// The result of building an index.
#[derive(Debug)]
pub struct Indexed {
    /// Number of pictures in the index.
    pub pictures: usize,
    /// The files that were left out.
    pub skipped: Vec<Skipped>,
    /// What was reused of an earlier run.
    pub resumed: Resumed,
}

/// A picture or video of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Path relative to the index's folder, with `/` as separator.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Time of the last change in milliseconds since 1970.
    pub modified: u64,
}

/// An index in memory.
#[derive(Debug)]
pub struct Index {
    root: PathBuf,
    entries: Vec<Entry>,
    embeddings: Embeddings,
}

/// A folder to be indexed, with the pictures and videos found in it.
#[derive(Debug)]
pub struct PictureFolder {
    root: PathBuf,
    files: Vec<PathBuf>,
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
        let files = find_files(std::slice::from_ref(&root))?;
        Ok(Self { root, files })
    }

    /// The pictures and videos of the folder.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Entry {
    fn of(root: &Path, path: &Path, (size, modified): Stamp) -> vljepa_embed::Result<Self> {
        let below = path.strip_prefix(root).unwrap_or(path);
        let mut parts = Vec::new();
        for part in below.components() {
            match part.as_os_str().to_str() {
                Some(text) => parts.push(text),
                None => return Err(vljepa_embed::Error::content(path, NOT_UTF8)),
            }
        }
        Ok(Self { path: parts.join("/"), size, modified })
    }
}

impl Index {
    /// Embeds every picture and video of a folder into the index `out`. It resumes an earlier run that was stopped, if
    /// that run had the same folder, model and [identity](RowOptions::identity) (such as precision and device). With
    /// [`Broken::Skip`], files that cannot be read and files whose names are not UTF-8 are left out and returned;
    /// otherwise the first of them is an error.
    ///
    /// # Errors
    /// As [`embed_to_file`](vljepa_embed::row_file::embed_to_file).
    pub fn build(model: &Model, pictures: PictureFolder, out: &Path, options: RowOptions<'_>) -> Result<Indexed> {
        let (broken, identity, mut on_event) = options.into_parts();
        let skip_broken = broken == Broken::Skip;
        let PictureFolder { root, mut files } = pictures;
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
        let mut depends = identity.as_object().cloned().unwrap_or_default();
        depends.insert("model".into(), model.hash().into());
        let depends = &Value::Object(depends);
        let inputs = std::slice::from_ref(&root);
        let task = Task { task: "index", inputs, files: &files, out, depends, broken };
        let partial = Partial::complete(&model.with_query(None)?, &task, &mut on_event)?;
        let left_out = partial.left_out(&files);
        let mut without = left_out.iter().map(|s| &s.path).peekable();
        let indexed = files.iter().zip(partial.stamps()).filter(|(path, _)| without.next_if_eq(path).is_none());
        let entries: Vec<Entry> =
            indexed.map(|(path, stamp)| Entry::of(&root, path, stamp.unwrap_or_default())).collect::<Result<_, _>>()?;
        let entries_json = serde_json::to_string(&entries).map_err(|e| Error::content(out, e.to_string()))?;
        let metadata = [
            (FORMAT_KEY, VERSION.to_owned()),
            ("model", model.hash().to_owned()),
            ("root", root.display().to_string()),
            ("entries", entries_json),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let shape = [&[partial.rows()], partial.shape()].concat();
        let rows = partial.ordered(out)?;
        files::stream_atomically(out, |file| write_embeddings(out, &shape, &rows, &metadata, file))?;
        drop(rows);
        let resumed = partial.resumed();
        partial.remove();
        skipped.extend(left_out);
        Ok(Indexed { pictures: entries.len(), skipped, resumed })
    }

    /// Reads an index and checks that it is complete and was built with the model `folder`.
    ///
    /// # Errors
    /// A file that is not an index, an index of another version or model, and an index that is truncated or
    /// inconsistent.
    pub fn open(path: &Path, folder: &ModelFolder) -> Result<Self> {
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
        if model != folder.hash() {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            let reason =
                format!("built with another model ({}, {} is {})", short(model), folder.origin(), short(folder.hash()));
            return Err(fail(reason).hint(Hint::ModelOfIndex));
        }
        let root = PathBuf::from(required("root")?);
        let entries: Vec<Entry> = serde_json::from_str(required("entries")?)
            .map_err(|e| broken(format!("its list of files: {}", json_fault(&e.to_string()))))?;
        let dim = folder.config().embedding_dim;
        let shape = file.tensor("embeddings").map(|t| t.shape.to_vec());
        if shape != Some(vec![entries.len(), dim]) || file.names().len() != 1 {
            let found = shape.map_or("no embeddings".into(), |shape| format!("embeddings of {shape:?}"));
            return Err(broken(format!("{} files and {found}, the model has {dim} dimensions", entries.len())));
        }
        let mut seen = HashSet::new();
        for entry in &entries {
            let plain = |c| matches!(c, Component::Normal(_));
            if entry.path.is_empty() || !Path::new(&entry.path).components().all(plain) {
                return Err(broken(format!("{:?} is no path below its folder", entry.path)));
            }
            if !seen.insert(&entry.path) {
                return Err(broken(format!("{:?} is listed twice", entry.path)));
            }
        }
        let data = read_f32(&file, "embeddings", &[entries.len(), dim]).map_err(|e| broken(e.to_string()))?;
        let embeddings = Embeddings::from_unit_rows(dim, data);
        for (i, entry) in entries.iter().enumerate() {
            let norm: f64 = embeddings.row(i).iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            if (norm - 1.0).abs() > 1e-3 {
                return Err(broken(format!("the embedding of {:?} is not of unit length", entry.path)));
            }
        }
        Ok(Self { root, entries, embeddings })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the index has no pictures.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The folder that was indexed.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The `k` pictures with the largest cosine to row `i` of `texts`, best first.
    ///
    /// # Errors
    /// Texts embedded by a model of another dimension.
    pub fn search(&self, texts: &Embeddings, i: usize, k: usize) -> Result<Vec<Match>> {
        Ok(best(&texts.cosines(i, &self.embeddings)?, k))
    }

    /// The path of a picture, and whether its file is unchanged since it was embedded; panics outside `0..len()`.
    pub fn picture(&self, index: usize) -> (PathBuf, bool) {
        let entry = &self.entries[index];
        let path = self.root.join(&entry.path);
        let fresh = stamp(&path).is_ok_and(|now| now == (entry.size, entry.modified));
        (path, fresh)
    }
}
