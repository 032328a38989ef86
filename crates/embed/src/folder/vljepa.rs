//! Folders of a VL-JEPA: `config.json`, weights, tokenizers and the model card, on disk or built into a program.

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

/// The opened files of a VL-JEPA, parsed except for the weights.
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

/// The files of a VL-JEPA that is built into a program.
#[derive(Clone, Copy, Debug)]
pub struct CarriedModel {
    /// The model's name in messages.
    pub origin: &'static str,
    /// The text of `config.json`.
    pub config: &'static str,
    /// The text of `model.safetensors.index.json`.
    pub index: &'static str,
    /// Name and bytes of each weight file that the index names.
    pub shards: &'static [(&'static str, &'static [u8])],
    /// The bytes of `target_tokenizer.json`.
    pub target_tokenizer: &'static [u8],
    /// The bytes of `query_tokenizer.json`; `None` for a model that takes no queries.
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
    /// A path that is not a folder; `config.json`, weights or a target tokenizer that are missing, empty or unreadable;
    /// an invalid configuration.
    pub fn open(dir: &Path) -> Result<Self> {
        check_folder(dir)?;
        Self::with_config(dir, ConfigFile::read(dir)?)
    }

    /// As [`Self::open`], with a configuration that has been read already.
    pub(super) fn with_config(dir: &Path, config_file: ConfigFile) -> Result<Self> {
        let path = |file: &str| dir.join(file);
        let required = |error| match error {
            Error::Missing(path) => {
                Error::content(path, "no such file, and the model needs it; fetch or convert the model again")
            }
            other => other,
        };
        let config = config_file.parse(VlJepaConfig::from_value, VlJepaConfig::from_json)?;
        let index_path = path(names::WEIGHTS_INDEX);
        let weights = if !files::is_there(&path(names::WEIGHTS))? && files::is_there(&index_path)? {
            let text = files::read_text(&index_path, MAX_JSON)?;
            let index = ShardIndex::parse(&text).map_err(Error::model(index_path.display()))?;
            WeightFiles::Shards(ShardFiles::open(index, |file| files::map(&path(file)).map_err(required))?)
        } else {
            WeightFiles::One(files::map(&path(names::WEIGHTS)).map_err(required)?)
        };
        // A link to nothing is no file that is left out.
        let optional =
            |file: &str| -> Result<Option<PathBuf>> { Ok(files::is_there(&path(file))?.then(|| path(file))) };
        let query_tokenizer = optional(names::QUERY_TOKENIZER)?.map(|p| files::read(&p, MAX_TOKENIZER)).transpose()?;
        let card = optional(names::CARD)?.map(|p| files::read_text(&p, MAX_JSON)).transpose()?;
        Ok(Self {
            origin: dir.display().to_string(),
            dir: Some(dir.to_path_buf()),
            config,
            config_text: config_file.text.into(),
            weights,
            query_tokenizer: query_tokenizer.map(Cow::Owned),
            target_tokenizer: files::read(&path(names::TARGET_TOKENIZER), MAX_TOKENIZER).map_err(required)?.into(),
            card: card.map(Cow::Owned),
            hash: OnceLock::new(),
        })
    }

    /// A model that is built into the program.
    ///
    /// # Errors
    /// An invalid configuration.
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

    /// The path of the folder, as given, or the name of the built-in model.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The path of a file of this model, for messages.
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

    /// The model card in Markdown, if there is one.
    pub fn card(&self) -> Option<&str> {
        self.card.as_deref()
    }

    /// The `tokenizer.json` for target texts.
    pub fn target_tokenizer(&self) -> &[u8] {
        &self.target_tokenizer
    }

    /// The `tokenizer.json` for queries; `None` for a model that was trained without queries.
    pub fn query_tokenizer(&self) -> Option<&[u8]> {
        self.query_tokenizer.as_deref()
    }

    /// Whether the model takes queries.
    pub fn takes_queries(&self) -> bool {
        self.query_tokenizer.is_some()
    }

    /// Whether the model writes sentences.
    pub fn writes(&self) -> bool {
        self.config().y_decoder.is_some()
    }

    /// Size of the weight files in bytes.
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

    /// Parses the headers of the weight files and calls `body` with the weights.
    ///
    /// # Errors
    /// Damaged files, and errors of `body`.
    pub fn with_weights<T>(&self, body: impl FnOnce(&dyn WeightSource) -> Result<T>) -> Result<T> {
        let fault = || Error::model(&self.origin);
        match &self.weights {
            WeightFiles::Carried(files) => {
                let index = ShardIndex::parse(files.index).map_err(fault())?;
                let bytes = files.shards.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect();
                body(&Shards::open(index, &bytes).map_err(fault())?)
            }
            WeightFiles::One(map) => body(&SafeTensors::parse(names::WEIGHTS, map).map_err(fault())?),
            WeightFiles::Shards(shards) => body(&shards.source().map_err(fault())?),
        }
    }

    /// SHA-256 of configuration, weights and tokenizers. Hexadecimal.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let query = self.query_tokenizer.as_deref().unwrap_or_default();
            let texts = [self.config_text.as_bytes(), &self.target_tokenizer, query];
            hash_of(texts.into_iter().chain(self.weight_slices()))
        })
    }
}

/// Checks that `dir` is a folder with a `config.json`.
///
/// # Errors
/// A missing path, a file, and a folder without a configuration.
pub(super) fn check_folder(dir: &Path) -> Result<()> {
    let meta = std::fs::metadata(dir).map_err(Error::io(dir, "reading"))?;
    if !meta.is_dir() {
        return Err(Error::content(
            dir,
            "is a file; name the model's folder, which has config.json and model.safetensors in it",
        ));
    }
    let config = dir.join(names::CONFIG);
    if !files::is_there(&config)? {
        let reason =
            "no such file, so this is no model: a model is a folder with config.json and model.safetensors in it";
        return Err(Error::content(config, reason).hint(Hint::GetModel));
    }
    Ok(())
}
