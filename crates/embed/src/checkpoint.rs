//! Weights on disk in any format: a safetensors file, shards with an index, a PyTorch checkpoint, or a folder with one
//! of them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use vljepa_model::weights::{Dtype, PtFile, SafeTensors, ShardFiles, ShardIndex, Shards, TensorView, WeightSource};

use crate::error::{Error, Result};
use crate::files::{self, MAX_JSON, Mapped};
use crate::names;

/// File names of the weights in a folder, in order of preference.
const WEIGHTS: [&str; 3] = [names::WEIGHTS, names::WEIGHTS_INDEX, names::PYTORCH_WEIGHTS];

/// How a file of weights is opened.
type Map = fn(&Path) -> Result<Mapped>;

/// Opened weight files whose headers are not parsed yet.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file with the weights, or the index that names the shards.
    path: PathBuf,
    /// The folder with `config.json` and the tokenizers.
    dir: PathBuf,
    files: Files,
}

#[derive(Debug)]
enum Files {
    One(Mapped),
    Shards(ShardFiles<Mapped>),
}

/// Weights with parsed headers.
#[derive(Debug)]
pub enum Source<'a> {
    /// One safetensors file.
    SafeTensors(SafeTensors<'a>),
    /// Safetensors shards that an index names.
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

    fn form(&self, name: &str) -> Option<(Dtype, &[usize])> {
        match self {
            Self::SafeTensors(s) => s.form(name),
            Self::Shards(s) => s.form(name),
            Self::Pt(s) => s.form(name),
        }
    }
}

impl Checkpoint {
    /// Opens a file with weights, an index of shards, or a folder that contains one of them.
    ///
    /// # Errors
    /// Missing, empty or unreadable files, a folder without weights, an invalid index.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, files::map)
    }

    /// As [`Self::open`], for a look at the headers alone: the bytes of large files are not read.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_headers(path: &Path) -> Result<Self> {
        Self::open_with(path, files::map_headers)
    }

    fn open_with(path: &Path, map: Map) -> Result<Self> {
        if !files::is_there(path)? {
            return Err(Error::Missing(path.to_path_buf()));
        }
        if path.is_dir() {
            let mut found = None;
            for name in WEIGHTS {
                if files::is_there(&path.join(name))? {
                    found = Some(path.join(name));
                    break;
                }
            }
            let Some(file) = found else {
                return Err(Error::content(
                    path,
                    format!("a folder without weights; name a file, or a folder with {}", WEIGHTS.join(", ")),
                ));
            };
            return Self::file(&file, path, map);
        }
        let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::file(path, dir, map)
    }

    fn file(path: &Path, dir: &Path, map: Map) -> Result<Self> {
        let files = if path.extension().is_some_and(|e| e == "json") {
            let text = files::read_text(path, MAX_JSON)?;
            let index = ShardIndex::parse(&text).map_err(Error::model(path.display()))?;
            Files::Shards(ShardFiles::open(index, |file| map(&dir.join(file)))?)
        } else {
            Files::One(map(path)?)
        };
        Ok(Self { path: path.to_path_buf(), dir: dir.to_path_buf(), files })
    }

    /// The file with the weights, or the index that names the shards.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder with the weights, `config.json` and the tokenizers.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a file in the folder of the weights.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The text of the `config.json` in the folder of the weights; `None` where there is no such file.
    ///
    /// # Errors
    /// A file that exists but cannot be read.
    pub fn config(&self) -> Result<Option<String>> {
        let path = self.beside(names::CONFIG);
        if files::is_there(&path)? { files::read_text(&path, MAX_JSON).map(Some) } else { Ok(None) }
    }

    /// Size of the weight files in bytes.
    pub fn bytes(&self) -> u64 {
        self.slices().iter().map(|s| s.len() as u64).sum()
    }

    /// The contents of the weight files.
    pub fn slices(&self) -> Vec<&[u8]> {
        match &self.files {
            Files::One(map) => vec![map],
            Files::Shards(shards) => shards.slices().collect(),
        }
    }

    /// Parses the headers.
    ///
    /// # Errors
    /// Files that are damaged or of another format.
    pub fn source(&self) -> Result<Source<'_>> {
        let name = self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let fault = Error::model(self.path.display());
        match &self.files {
            // A zip archive, or the pickle of an older version of PyTorch.
            Files::One(map) if map.starts_with(b"PK") || map.starts_with(b"\x80\x02") => {
                PtFile::parse(&name, map).map(Source::Pt).map_err(fault)
            }
            Files::One(map) => match SafeTensors::parse(&name, map) {
                Ok(file) => Ok(Source::SafeTensors(file)),
                Err(_) if self.path.extension().is_some_and(|e| e == "pt" || e == "pth" || e == "bin") => {
                    let reason = "is neither a PyTorch checkpoint nor a safetensors file; get the file again";
                    Err(Error::content(&self.path, reason))
                }
                Err(error) => Err(fault(error)),
            },
            Files::Shards(shards) => shards.source().map(Source::Shards).map_err(fault),
        }
    }
}
