//! Model folders: `config.json`, weights, tokenizers and the model card, from disk or carried by the program.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, ShardFiles, ShardIndex, Shards};

use crate::encoders::hash_of;
use crate::error::{Error, Result};
use crate::files::{self, Mapped};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const QUERY_TOKENIZER: &str = "query_tokenizer.json";
const TARGET_TOKENIZER: &str = "target_tokenizer.json";
const CARD: &str = "README.md";

/// Configurations and indices are small; more is not one of them.
const MAX_JSON: u64 = 64 << 20;
/// The largest tokenizers in use have some 35 MB.
const MAX_TOKENIZER: u64 = 256 << 20;

/// The files of one model, opened and parsed as far as that needs no device.
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

#[derive(Debug)]
enum WeightFiles {
    #[cfg_attr(not(compact_model), allow(dead_code))]
    Carried([(&'static str, &'static [u8]); 2]),
    One(Mapped),
    Shards(ShardFiles<Mapped>),
}

/// Parsed weights, borrowing from the folder.
pub(crate) enum Weights<'a> {
    One(SafeTensors<'a>),
    Shards(Shards<'a>),
}

#[cfg(compact_model)]
mod carried {
    pub(super) const CONFIG: &str = include_str!("../assets/compact/config.json");
    pub(super) const INDEX: &str = include_str!("../assets/compact/model.safetensors.index.json");
    /// The frozen text encoder has a file of its own, so that training anew changes only the small one.
    pub(super) const WEIGHTS: [(&str, &[u8]); 2] = [
        ("model-00001-of-00002.safetensors", include_bytes!("../assets/compact/model-00001-of-00002.safetensors")),
        ("model-00002-of-00002.safetensors", include_bytes!("../assets/compact/model-00002-of-00002.safetensors")),
    ];
    pub(super) const TARGET_TOKENIZER: &[u8] = include_bytes!("../assets/compact/target_tokenizer.json");
    pub(super) const CARD: &str = include_str!("../assets/compact/README.md");
}

impl ModelFolder {
    /// The model at `dir`, or the compact one that the program carries.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::compact`].
    pub fn find(dir: Option<&Path>) -> Result<Self> {
        dir.map_or_else(Self::compact, Self::open)
    }

    /// Opens a model folder.
    ///
    /// # Errors
    /// When it is no folder, when `config.json`, the weights or the target tokenizer are missing, empty or unreadable,
    /// or when the configuration is not valid.
    pub fn open(dir: &Path) -> Result<Self> {
        let meta = std::fs::metadata(dir).map_err(Error::io(dir, "reading"))?;
        if !meta.is_dir() {
            return Err(Error::content(
                dir,
                "is a file; name the model's folder, which has config.json and model.safetensors in it",
            ));
        }
        let path = |file: &str| dir.join(file);
        if !path(CONFIG).exists() {
            return Err(Error::content(
                path(CONFIG),
                "no such file, so this is no model: a model is a folder with config.json and model.safetensors in it; \
                 `vljepa pull` fetches one, `vljepa convert` makes one",
            ));
        }
        let needed = |error| match error {
            Error::Missing(path) => {
                Error::content(path, "no such file, and the model needs it; fetch or convert the model again")
            }
            other => other,
        };
        let config_text = files::read_text(&path(CONFIG), MAX_JSON)?;
        let config = VlJepaConfig::from_json(&config_text).map_err(Error::model(path(CONFIG).display()))?;
        let weights = if !path(WEIGHTS).exists() && path(INDEX).exists() {
            let text = files::read_text(&path(INDEX), MAX_JSON)?;
            let index = ShardIndex::parse(&text).map_err(Error::model(path(INDEX).display()))?;
            WeightFiles::Shards(ShardFiles::open(index, |file| files::map(&path(file)).map_err(needed))?)
        } else {
            WeightFiles::One(files::map(&path(WEIGHTS)).map_err(needed)?)
        };
        let optional = |file: &str| path(file).exists().then(|| path(file));
        let query_tokenizer = optional(QUERY_TOKENIZER).map(|p| files::read(&p, MAX_TOKENIZER)).transpose()?;
        let card = optional(CARD).map(|p| files::read_text(&p, MAX_JSON)).transpose()?;
        Ok(Self {
            origin: dir.display().to_string(),
            dir: Some(dir.to_path_buf()),
            config,
            config_text: config_text.into(),
            weights,
            query_tokenizer: query_tokenizer.map(Cow::Owned),
            target_tokenizer: files::read(&path(TARGET_TOKENIZER), MAX_TOKENIZER).map_err(needed)?.into(),
            card: card.map(Cow::Owned),
            hash: OnceLock::new(),
        })
    }

    /// The compact model that the program carries.
    ///
    /// # Errors
    /// When this build carries none.
    #[cfg(compact_model)]
    pub fn compact() -> Result<Self> {
        let origin = "compact model".to_owned();
        let config = VlJepaConfig::from_json(carried::CONFIG).map_err(Error::model(&origin))?;
        Ok(Self {
            origin,
            dir: None,
            config,
            config_text: carried::CONFIG.into(),
            weights: WeightFiles::Carried(carried::WEIGHTS),
            query_tokenizer: None,
            target_tokenizer: carried::TARGET_TOKENIZER.into(),
            card: Some(carried::CARD.into()),
            hash: OnceLock::new(),
        })
    }

    /// The compact model that the program carries.
    ///
    /// # Errors
    /// When this build carries none.
    #[cfg(not(compact_model))]
    pub fn compact() -> Result<Self> {
        Err(Error::Invalid("this build carries no compact model; pass --model DIR".into()))
    }

    /// Whether this build carries a compact model.
    pub const fn has_compact() -> bool {
        cfg!(compact_model)
    }

    /// The folder as given, or `compact model`.
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
    pub(crate) fn target_tokenizer(&self) -> &[u8] {
        &self.target_tokenizer
    }

    /// `tokenizer.json` of the queries; a model that was trained without has none.
    pub(crate) fn query_tokenizer(&self) -> Option<&[u8]> {
        self.query_tokenizer.as_deref()
    }

    /// Whether questions can be asked about pictures.
    pub fn takes_queries(&self) -> bool {
        self.query_tokenizer.is_some()
    }

    pub(crate) fn target_tokenizer_name(&self) -> String {
        self.file(TARGET_TOKENIZER)
    }

    pub(crate) fn query_tokenizer_name(&self) -> String {
        self.file(QUERY_TOKENIZER)
    }

    /// Bytes of the weights on disk.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_slices().iter().map(|s| s.len() as u64).sum()
    }

    fn weight_slices(&self) -> Vec<&[u8]> {
        match &self.weights {
            WeightFiles::Carried(shards) => shards.iter().map(|(_, bytes)| *bytes).collect(),
            WeightFiles::One(map) => vec![map],
            WeightFiles::Shards(shards) => shards.slices().collect(),
        }
    }

    /// Reads the headers of the weight files.
    pub(crate) fn weights(&self) -> Result<Weights<'_>> {
        let single = |bytes| SafeTensors::parse(WEIGHTS, bytes).map(Weights::One).map_err(Error::model(&self.origin));
        match &self.weights {
            #[cfg(compact_model)]
            WeightFiles::Carried(shards) => {
                let index = ShardIndex::parse(carried::INDEX).map_err(Error::model(&self.origin))?;
                let bytes = shards.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect();
                Shards::open(index, &bytes).map(Weights::Shards).map_err(Error::model(&self.origin))
            }
            #[cfg(not(compact_model))]
            WeightFiles::Carried(_) => {
                Err(Error::Invalid("this build carries no compact model; pass --model DIR".into()))
            }
            WeightFiles::One(map) => single(map),
            WeightFiles::Shards(shards) => shards.source().map(Weights::Shards).map_err(Error::model(&self.origin)),
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
