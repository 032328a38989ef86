//! Folders of a whole VL-JEPA: `config.json`, weights, tokenizers and the model card, from disk or from memory.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, ShardFiles, ShardIndex, Shards, WeightSource};

use super::config::ConfigFile;
use crate::error::{Error, Hint, Result};
use crate::files::{self, MAX_JSON, MAX_TOKENIZER, Mapped};
use crate::hash::hash_of;
use crate::names;

/// The files of one VL-JEPA, opened and parsed as far as that needs no device.
#[derive(Debug)]
pub struct ModelFolder {
    origin: String,
    dir: Option<PathBuf>,
    config: VlJepaConfig,
    config_text: Cow<'static, str>,
    weights: WeightFiles,
    query_tokenizer: Option<Cow<'static, [u8]>>,
    target_tokenizer: Cow<'static, [u8]>,
    card: Option<Cow<'static, str>>,
    hash: OnceLock<String>,
}

/// The files of a VL-JEPA that a program carries.
#[derive(Clone, Copy, Debug)]
pub struct CarriedModel {
    /// What messages call it.
    pub origin: &'static str,
    /// `config.json`.
    pub config: &'static str,
    /// `model.safetensors.index.json`.
    pub index: &'static str,
    /// The weight files that the index names, each with its name.
    pub shards: &'static [(&'static str, &'static [u8])],
    /// `target_tokenizer.json`.
    pub target_tokenizer: &'static [u8],
    /// `query_tokenizer.json` of a model that takes queries.
    pub query_tokenizer: Option<&'static [u8]>,
    /// The model card.
    pub card: Option<&'static str>,
}

#[derive(Debug)]
enum WeightFiles {
    Carried(CarriedModel),
    One(Mapped),
    Shards(ShardFiles<Mapped>),
}

impl ModelFolder {
    /// Opens a model folder.
    ///
    /// # Errors
    /// When it is no folder, when `config.json`, the weights or the target tokenizer are missing, empty or unreadable,
    /// or when the configuration is not valid.
    pub fn open(dir: &Path) -> Result<Self> {
        check_folder(dir)?;
        Self::with_config(dir, ConfigFile::read(dir)?)
    }

    /// As [`Self::open`], with a configuration that was read.
    pub(super) fn with_config(dir: &Path, config_file: ConfigFile) -> Result<Self> {
        let path = |file: &str| dir.join(file);
        let needed = |error| match error {
            Error::Missing(path) => {
                Error::content(path, "no such file, and the model needs it; fetch or convert the model again")
            }
            other => other,
        };
        let config = config_file.parse(VlJepaConfig::from_value, VlJepaConfig::from_json)?;
        let index_path = path(names::WEIGHTS_INDEX);
        let weights = if !path(names::WEIGHTS).exists() && index_path.exists() {
            let text = files::read_text(&index_path, MAX_JSON)?;
            let index = ShardIndex::parse(&text).map_err(Error::model(index_path.display()))?;
            WeightFiles::Shards(ShardFiles::open(index, |file| files::map(&path(file)).map_err(needed))?)
        } else {
            WeightFiles::One(files::map(&path(names::WEIGHTS)).map_err(needed)?)
        };
        let optional = |file: &str| path(file).exists().then(|| path(file));
        let query_tokenizer = optional(names::QUERY_TOKENIZER).map(|p| files::read(&p, MAX_TOKENIZER)).transpose()?;
        let card = optional(names::CARD).map(|p| files::read_text(&p, MAX_JSON)).transpose()?;
        Ok(Self {
            origin: dir.display().to_string(),
            dir: Some(dir.to_path_buf()),
            config,
            config_text: config_file.text.into(),
            weights,
            query_tokenizer: query_tokenizer.map(Cow::Owned),
            target_tokenizer: files::read(&path(names::TARGET_TOKENIZER), MAX_TOKENIZER).map_err(needed)?.into(),
            card: card.map(Cow::Owned),
            hash: OnceLock::new(),
        })
    }

    /// A model that the program carries.
    ///
    /// # Errors
    /// When its configuration is not valid.
    pub fn carried(files: CarriedModel) -> Result<Self> {
        let config = VlJepaConfig::from_json(files.config).map_err(Error::model(files.origin))?;
        Ok(Self {
            origin: files.origin.to_owned(),
            dir: None,
            config,
            config_text: files.config.into(),
            weights: WeightFiles::Carried(files),
            query_tokenizer: files.query_tokenizer.map(Cow::Borrowed),
            target_tokenizer: files.target_tokenizer.into(),
            card: files.card.map(Cow::Borrowed),
            hash: OnceLock::new(),
        })
    }

    /// The folder as given, or what the carried model is called.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A file of this model, for messages.
    pub(crate) fn file(&self, name: &str) -> String {
        match &self.dir {
            Some(dir) => dir.join(name).display().to_string(),
            None => format!("{} {name}", self.origin),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &VlJepaConfig {
        &self.config
    }

    /// The model card, Markdown.
    pub fn card(&self) -> Option<&str> {
        self.card.as_deref()
    }

    /// `tokenizer.json` of the target texts.
    pub fn target_tokenizer(&self) -> &[u8] {
        &self.target_tokenizer
    }

    /// `tokenizer.json` of the queries; a model that was trained without has none.
    pub fn query_tokenizer(&self) -> Option<&[u8]> {
        self.query_tokenizer.as_deref()
    }

    /// Whether questions can be asked about pictures.
    pub fn takes_queries(&self) -> bool {
        self.query_tokenizer.is_some()
    }

    /// Bytes of the weights on disk.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_slices().iter().map(|s| s.len() as u64).sum()
    }

    fn weight_slices(&self) -> Vec<&[u8]> {
        match &self.weights {
            WeightFiles::Carried(files) => files.shards.iter().map(|(_, bytes)| *bytes).collect(),
            WeightFiles::One(map) => vec![map],
            WeightFiles::Shards(shards) => shards.slices().collect(),
        }
    }

    /// Reads the headers of the weight files and hands them to `body`.
    ///
    /// # Errors
    /// Damaged files, and what `body` reports.
    pub fn with_weights<T>(&self, body: impl FnOnce(&dyn WeightSource) -> Result<T>) -> Result<T> {
        let named = || Error::model(&self.origin);
        match &self.weights {
            WeightFiles::Carried(files) => {
                let index = ShardIndex::parse(files.index).map_err(named())?;
                let bytes = files.shards.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect();
                body(&Shards::open(index, &bytes).map_err(named())?)
            }
            WeightFiles::One(map) => body(&SafeTensors::parse(names::WEIGHTS, map).map_err(named())?),
            WeightFiles::Shards(shards) => body(&shards.source().map_err(named())?),
        }
    }

    /// SHA-256 over everything that embeddings depend on: configuration, weights, tokenizers. Hexadecimal.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let query = self.query_tokenizer.as_deref().unwrap_or_default();
            let texts = [self.config_text.as_bytes(), &self.target_tokenizer, query];
            hash_of(texts.into_iter().chain(self.weight_slices()))
        })
    }
}

/// Refuses what is no folder, and a folder without a configuration.
///
/// # Errors
/// What it is, and where a model comes from.
pub(super) fn check_folder(dir: &Path) -> Result<()> {
    let meta = std::fs::metadata(dir).map_err(Error::io(dir, "reading"))?;
    if !meta.is_dir() {
        return Err(Error::content(
            dir,
            "is a file; name the model's folder, which has config.json and model.safetensors in it",
        ));
    }
    let config = dir.join(names::CONFIG);
    if !config.exists() {
        let reason =
            "no such file, so this is no model: a model is a folder with config.json and model.safetensors in it";
        return Err(Error::content(config, reason).hint(Hint::GetModel));
    }
    Ok(())
}
