//! Folders of text encoders in the layout of the model hub: BERT, Gemma 3 and Qwen3, with or without
//! sentence-transformers modules.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vljepa_model::SentenceFolder;
use vljepa_model::config::{TextEncoderConfig, YEncoderConfig, parameter_count};

use super::config::ConfigFile;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::files::{self, MAX_JSON, MAX_TOKENIZER};
use crate::hash::hash_of;
use crate::names;

/// The sentence-transformers files of a text encoder: modules, prompts, the longest text.
#[derive(Debug)]
pub struct SentenceFiles {
    /// The parsed content.
    pub folder: SentenceFolder,
    /// The files that were read, except `config.json`, by their paths relative to the folder.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl SentenceFiles {
    /// Reads the files in `dir`. `config` is the encoder's configuration.
    ///
    /// # Errors
    /// Files that cannot be read, an invalid configuration, modules that are not supported.
    pub fn read(dir: &Path, config: TextEncoderConfig) -> Result<Self> {
        // A file that exists but cannot be read is an error; only a missing file is optional.
        let (files, failed) = (RefCell::new(BTreeMap::new()), RefCell::new(None));
        let read = |name: &str| {
            let path = dir.join(name);
            let there = files::is_there(&path);
            if let Ok(false) = there {
                return None;
            }
            match there.and_then(|_| files::read(&path, MAX_JSON)) {
                Ok(bytes) => {
                    files.borrow_mut().insert(name.to_owned(), bytes.clone());
                    Some(bytes)
                }
                Err(e) => {
                    failed.borrow_mut().get_or_insert(e);
                    None
                }
            }
        };
        let folder = SentenceFolder::parse(config, &read);
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        Ok(Self { folder: folder.map_err(Error::model(dir.display()))?, files: files.into_inner() })
    }
}

/// The files of a text encoder.
#[derive(Debug)]
pub struct TextFolder {
    dir: PathBuf,
    origin: String,
    sentence: SentenceFolder,
    config: ConfigFile,
    tokenizer: Vec<u8>,
    root: Checkpoint,
    dense: Vec<Checkpoint>,
}

impl TextFolder {
    /// Opens a folder with `config.json`, `tokenizer.json` and weights, and with the modules that a `modules.json`
    /// names.
    ///
    /// # Errors
    /// Missing, empty or damaged files, an invalid configuration, modules that are not supported.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::with_config(dir, ConfigFile::read(dir)?)
    }

    /// As [`Self::open`], with a configuration that has been read already.
    pub(super) fn with_config(dir: &Path, config: ConfigFile) -> Result<Self> {
        let encoder = config.parse(TextEncoderConfig::from_value, TextEncoderConfig::from_json)?;
        let sentence = SentenceFiles::read(dir, encoder)?.folder;
        let tokenizer = files::read(&dir.join(names::TOKENIZER), MAX_TOKENIZER)?;
        let root = Checkpoint::open(dir)?;
        let dense = sentence.dense_folders.iter().map(|f| Checkpoint::open(&dir.join(f))).collect::<Result<_>>()?;
        let origin = dir.display().to_string();
        Ok(Self { dir: dir.to_path_buf(), origin, sentence, config, tokenizer, root, dense })
    }

    /// The path of the folder, as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The configuration of the encoder, its pooling and its Dense heads.
    pub fn config(&self) -> &YEncoderConfig {
        &self.sentence.config
    }

    /// The bytes of `tokenizer.json`.
    pub fn tokenizer(&self) -> &[u8] {
        &self.tokenizer
    }

    /// The weights of the encoder, and the weights of its Dense heads in their order.
    pub(crate) fn weights(&self) -> (&Checkpoint, &[Checkpoint]) {
        (&self.root, &self.dense)
    }

    /// Number of elements of all tensors that the encoder uses.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.config().tensors())
    }

    /// Size of the weight files in bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.root.bytes() + self.dense.iter().map(Checkpoint::bytes).sum::<u64>()
    }

    /// SHA-256 of configurations, weights and tokenizer. Hexadecimal.
    pub fn hash(&self) -> String {
        let sentence = format!("{:?}", self.sentence);
        let texts = [self.config.text.as_bytes(), sentence.as_bytes(), self.tokenizer.as_slice()];
        let weights = std::iter::once(&self.root).chain(&self.dense).flat_map(Checkpoint::slices);
        hash_of(texts.into_iter().chain(weights))
    }
}
