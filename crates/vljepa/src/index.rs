//! Persistent indices: what pictures there are, where, and their embeddings.
//!
//! An index is a safetensors file: the tensor `embeddings` `[N, D]` (f32, unit rows) and, in its header, the version, the
//! hash of the model, the folder and the list of files as JSON. Any safetensors reader opens it.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use vljepa_model::weights::{SafeTensors, WeightSource, read_f32};

use crate::embeddings::{Embeddings, Match, best};
use crate::error::{Error, Result};
use crate::files::{self, Stamp, stamp};
use crate::folder::ModelFolder;
use crate::media::{Broken, Skipped, encode_files, nothing_left, picture_files};
use crate::model::Model;

const VERSION: &str = "1";
const NOT_UTF8: &str = "the name is not UTF-8, so an index cannot hold it; rename it";

/// One picture of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Path below the index's folder, with `/` between its parts.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Time of its last change in milliseconds since 1970.
    pub modified: u64,
}

/// An index in memory.
#[derive(Debug)]
pub struct Index {
    root: PathBuf,
    model: String,
    entries: Vec<Entry>,
    embeddings: Embeddings,
}

/// A folder to be indexed, searched for pictures and videos once.
#[derive(Debug)]
pub struct PictureFolder {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl PictureFolder {
    /// Searches `dir`.
    ///
    /// # Errors
    /// No folder, no pictures, a name that an index cannot hold.
    pub fn open(dir: &Path) -> Result<Self> {
        if !std::fs::metadata(dir).map_err(Error::io(dir, "reading"))?.is_dir() {
            return Err(Error::content(dir, "is a file; an index is built of a folder, name one"));
        }
        let root = dir.canonicalize().map_err(Error::io(dir, "reading"))?;
        if root.to_str().is_none() {
            return Err(Error::content(root, NOT_UTF8));
        }
        let files = picture_files(std::slice::from_ref(&root))?;
        Ok(Self { root, files })
    }

    /// The pictures and videos in it.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Entry {
    fn of(root: &Path, path: &Path, (size, modified): Stamp) -> Result<Self> {
        let below = path.strip_prefix(root).unwrap_or(path);
        let mut parts = Vec::new();
        for part in below.components() {
            match part.as_os_str().to_str() {
                Some(text) => parts.push(text),
                None => return Err(Error::content(path, NOT_UTF8)),
            }
        }
        Ok(Self { path: parts.join("/"), size, modified })
    }
}

impl Index {
    /// Embeds every picture of a folder. With `skip_broken` files that cannot be read, or whose names an index cannot hold, are
    /// left out and returned, otherwise the first of them is the error. `done` hears how many are done.
    ///
    /// # Errors
    /// What embedding reports, and when no file can be read.
    pub fn build(
        model: &Model,
        folder: &ModelFolder,
        pictures: PictureFolder,
        skip_broken: bool,
        mut done: impl FnMut(usize),
    ) -> Result<(Self, Vec<Skipped>)> {
        let broken = Broken::skip(skip_broken);
        let PictureFolder { root, mut files } = pictures;
        let mut skipped = Vec::new();
        // Names first: they cost nothing to look at, and what is wrong with one should not be known after hours.
        let mut unnamed = None;
        files.retain(|path| match Entry::of(&root, path, (0, 0)) {
            Ok(_) => true,
            Err(e) if skip_broken => {
                skipped.push(Skipped { path: path.clone(), error: e.to_string() });
                false
            }
            Err(e) => {
                unnamed.get_or_insert(e);
                false
            }
        });
        if let Some(e) = unnamed {
            return Err(broken.error(e));
        }
        let mut entries = Vec::with_capacity(files.len());
        let mut embeddings = Embeddings::new(model.dim());
        encode_files(&model.asked(None)?, &files, 0..files.len(), broken, &mut |batch| {
            embeddings.append(&batch.rows);
            let mut left_out = batch.broken.into_iter().peekable();
            for (i, stamp) in batch.files.clone().zip(batch.stamps) {
                match left_out.next_if(|(at, _)| *at == i) {
                    Some((_, e)) => skipped.push(Skipped { path: files[i].clone(), error: e.to_string() }),
                    None => entries.push(Entry::of(&root, &files[i], stamp.unwrap_or_default())?),
                }
            }
            done(batch.files.end);
            Ok(())
        })?;
        if entries.is_empty() {
            return Err(nothing_left(&skipped));
        }
        Ok((Self { root, model: folder.hash(), entries, embeddings }, skipped))
    }

    /// Writes the index, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let entries = serde_json::to_string(&self.entries).map_err(|e| Error::content(path, e.to_string()))?;
        let bytes = self.embeddings.to_safetensors(&[
            ("vljepa_index", VERSION.to_owned()),
            ("model", self.model.clone()),
            ("root", self.root.display().to_string()),
            ("entries", entries),
        ])?;
        files::write_atomically(path, &bytes)
    }

    /// Reads an index and checks that it is whole and of the same model.
    ///
    /// # Errors
    /// Not an index, of another version or model, truncated, or saying things about itself that are not so.
    pub fn open(path: &Path, folder: &ModelFolder) -> Result<Self> {
        let map = files::map(path)?;
        let fail = |reason: String| Error::content(path, reason);
        let rebuild = "build it again with `vljepa index build`";
        let broken = |reason: String| fail(format!("not a whole index: {reason}; {rebuild}"));
        let file = SafeTensors::parse("index", &map).map_err(|e| broken(e.to_string()))?;
        let text = |key: &str| file.metadata().get(key).map(String::as_str);
        match text("vljepa_index") {
            Some(VERSION) => {}
            Some(other) => {
                return Err(fail(format!("index of version {other:?}, this program reads {VERSION}; {rebuild}")));
            }
            None => return Err(fail("a safetensors file, but no index of `vljepa index build`; name one".into())),
        }
        let need = |key: &str| text(key).ok_or_else(|| broken(format!("its header has no `{key}`")));
        let model = need("model")?.to_owned();
        if model != folder.hash() {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            return Err(fail(format!(
                "built with another model ({}, {} is {}); pass that model with --model, or {rebuild}",
                short(&model),
                folder.origin(),
                short(&folder.hash())
            )));
        }
        let root = PathBuf::from(need("root")?);
        let entries: Vec<Entry> =
            serde_json::from_str(need("entries")?).map_err(|e| broken(format!("its list of files: {e}")))?;
        let dim = folder.config().embedding_dim;
        let shape = file.tensor("embeddings").map(|t| t.shape.to_vec());
        if shape != Some(vec![entries.len(), dim]) || file.names().len() != 1 {
            return Err(broken(format!(
                "{} files and embeddings of {shape:?}, the model has {dim} dimensions",
                entries.len()
            )));
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
        Ok(Self { root, model, entries, embeddings })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The folder it was built of.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The `k` pictures nearest to row `i` of `texts`.
    pub fn search(&self, texts: &Embeddings, i: usize, k: usize) -> Vec<Match> {
        best(&texts.cosines(i, &self.embeddings), k)
    }

    /// Where a picture is, and whether the file is still the one that was embedded.
    pub fn picture(&self, index: usize) -> (PathBuf, bool) {
        let entry = &self.entries[index];
        let path = self.root.join(&entry.path);
        let fresh = stamp(&path).is_ok_and(|now| now == (entry.size, entry.modified));
        (path, fresh)
    }
}
