//! Weights spread over several safetensors files with an index.

use super::safetensors::SafeTensors;
use super::source::{TensorView, WeightSource};
use crate::error::{ModelError, Result};
use crate::json;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// `model.safetensors.index.json`: which file holds which tensor.
#[derive(Clone, Debug, Deserialize)]
pub struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl ShardIndex {
    /// Parses the index. File names must be plain: an index that points outside its folder is refused.
    ///
    /// # Errors
    /// [`ModelError::File`].
    pub fn parse(text: &str) -> Result<Self> {
        let index: Self = json::from_str(text).map_err(|e| fail("index", format!("not readable: {e}")))?;
        if index.weight_map.is_empty() {
            return Err(fail("index", "`weight_map` is empty".into()));
        }
        for file in index.weight_map.values() {
            if file.is_empty() || file == "." || file == ".." || file.contains(['/', '\\', ':', '\0']) {
                return Err(fail("index", format!("{file:?} is not the name of a file in the same folder")));
            }
        }
        Ok(index)
    }

    /// The files that have to be opened, sorted.
    pub fn files(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// The files of an index as the caller opened them: read, or mapped.
#[derive(Debug)]
pub struct ShardFiles<B> {
    index: ShardIndex,
    files: BTreeMap<String, B>,
}

impl<B: Deref<Target = [u8]>> ShardFiles<B> {
    /// Opens every file of `index`, by its name.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn open<E>(index: ShardIndex, mut open: impl FnMut(&str) -> Result<B, E>) -> Result<Self, E> {
        let files =
            index.files().into_iter().map(|name| Ok((name.to_owned(), open(name)?))).collect::<Result<_, E>>()?;
        Ok(Self { index, files })
    }

    /// The bytes of every file, in the order of their names.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.files.values().map(|bytes| &**bytes)
    }

    /// Reads the headers.
    ///
    /// # Errors
    /// As [`Shards::open`].
    pub fn source(&self) -> Result<Shards<'_>> {
        Shards::open(self.index.clone(), &self.files.iter().map(|(name, bytes)| (name.clone(), &**bytes)).collect())
    }
}

/// Several safetensors files as one source.
#[derive(Debug)]
pub struct Shards<'a> {
    index: ShardIndex,
    files: BTreeMap<String, SafeTensors<'a>>,
}

impl<'a> Shards<'a> {
    /// Reads the headers of the files of `index`, given as name → bytes, and checks that each tensor is where the index
    /// says.
    ///
    /// # Errors
    /// [`ModelError::File`] when a file is missing or damaged, or does not hold a tensor.
    pub fn open(index: ShardIndex, bytes: &BTreeMap<String, &'a [u8]>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for file in index.files() {
            let Some(bytes) = bytes.get(file) else {
                return Err(fail(file, "named by the index, but not there".into()));
            };
            files.insert(file.to_string(), SafeTensors::parse(file, bytes)?);
        }
        for (name, file) in &index.weight_map {
            if files.get(file).is_none_or(|f| f.tensor(name).is_none()) {
                return Err(fail(file, format!("has no tensor `{name}`, which the index places there")));
            }
        }
        Ok(Self { index, files })
    }
}

impl WeightSource for Shards<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.index.weight_map.keys().map(|n| Cow::Borrowed(n.as_str())).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.files.get(self.index.weight_map.get(name)?)?.tensor(name)
    }
}

fn fail(file: &str, what: String) -> ModelError {
    ModelError::File { file: file.to_string(), what }
}
