//! Weights on disk, whatever their format: one safetensors file, shards with an index, a PyTorch checkpoint, a folder.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use vljepa_model::weights::{PtFile, SafeTensors, ShardFiles, ShardIndex, Shards, TensorView, WeightSource};

use crate::error::{Error, Result};
use crate::files::{self, MAX_JSON, Mapped};
use crate::names;

/// The weights of a folder, the first that is there.
const WEIGHTS: [&str; 3] = [names::WEIGHTS, names::WEIGHTS_INDEX, names::PYTORCH_WEIGHTS];

/// Opened files, before their headers are read.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file that names or holds the weights.
    path: PathBuf,
    /// Where `config.json` and tokenizers are.
    dir: PathBuf,
    files: Files,
}

#[derive(Debug)]
enum Files {
    One(Mapped),
    Shards(ShardFiles<Mapped>),
}

/// Weights with their headers read.
#[derive(Debug)]
pub enum Source<'a> {
    /// One safetensors file.
    SafeTensors(SafeTensors<'a>),
    /// Safetensors files behind an index.
    Shards(Shards<'a>),
    /// A PyTorch checkpoint.
    Pt(PtFile<'a>),
}

impl WeightSource for Source<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::SafeTensors(s) => s.names(),
            Self::Shards(s) => s.names(),
            Self::Pt(s) => s.names(),
        }
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        match self {
            Self::SafeTensors(s) => s.tensor(name),
            Self::Shards(s) => s.tensor(name),
            Self::Pt(s) => s.tensor(name),
        }
    }
}

impl Checkpoint {
    /// Opens a file with weights, an index of shards, or a folder with one of them in it.
    ///
    /// # Errors
    /// Missing, empty or unreadable files, a folder without weights, an index that is none.
    pub fn open(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(Error::io(path, "reading"))?;
        if meta.is_dir() {
            let Some(file) = WEIGHTS.iter().map(|name| path.join(name)).find(|p| p.exists()) else {
                return Err(Error::content(
                    path,
                    format!("a folder without weights; name a file, or a folder with {}", WEIGHTS.join(", ")),
                ));
            };
            return Self::file(&file, path);
        }
        let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::file(path, dir)
    }

    fn file(path: &Path, dir: &Path) -> Result<Self> {
        let files = if path.extension().is_some_and(|e| e == "json") {
            let text = files::read_text(path, MAX_JSON)?;
            let index = ShardIndex::parse(&text).map_err(Error::model(path.display()))?;
            Files::Shards(ShardFiles::open(index, |file| files::map(&dir.join(file)))?)
        } else {
            Files::One(files::map(path)?)
        };
        Ok(Self { path: path.to_path_buf(), dir: dir.to_path_buf(), files })
    }

    /// The file that names or holds the weights.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the weights, where `config.json` and tokenizers are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file beside the weights.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The text of the `config.json` beside the weights, where there is one.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn config(&self) -> Result<Option<String>> {
        let path = self.beside(names::CONFIG);
        if path.exists() { files::read_text(&path, MAX_JSON).map(Some) } else { Ok(None) }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.slices().iter().map(|s| s.len() as u64).sum()
    }

    /// The contents of the files with weights.
    pub fn slices(&self) -> Vec<&[u8]> {
        match &self.files {
            Files::One(map) => vec![map],
            Files::Shards(shards) => shards.slices().collect(),
        }
    }

    /// Reads the headers.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn source(&self) -> Result<Source<'_>> {
        let name = self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let named = Error::model(self.path.display());
        match &self.files {
            // Zip archives, and the pickles of older versions of PyTorch.
            Files::One(map) if map.starts_with(b"PK") || map.starts_with(b"\x80\x02") => {
                PtFile::parse(&name, map).map(Source::Pt).map_err(named)
            }
            Files::One(map) => match SafeTensors::parse(&name, map) {
                Ok(file) => Ok(Source::SafeTensors(file)),
                Err(_) if self.path.extension().is_some_and(|e| e == "pt" || e == "pth" || e == "bin") => {
                    let reason = "is neither a PyTorch checkpoint nor a safetensors file; get the file again";
                    Err(Error::content(&self.path, reason))
                }
                Err(error) => Err(named(error)),
            },
            Files::Shards(shards) => shards.source().map(Source::Shards).map_err(named),
        }
    }
}
