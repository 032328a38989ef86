//! Model folders of every kind: opens and writes them.

mod classifier;
mod config;
mod lewm;
mod text;
mod vision;
mod vljepa;
mod write;

use std::path::Path;

pub use classifier::{ClassifierFiles, ProbeTensor};
pub use lewm::{LewmFiles, LewmFolder};
pub use text::{SentenceFiles, TextFolder};
pub use vision::VisionFolder;
pub use vljepa::{CarriedModel, ModelFolder};
pub use write::ModelFiles;

use vljepa_model::config::{LewmConfig, YEncoderKind};

use crate::error::{Error, Hint, Result};
use crate::names;
use config::ConfigFile;

/// A model folder of any kind.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a process holds only one
pub enum AnyFolder {
    /// A complete VL-JEPA.
    VlJepa(ModelFolder),
    /// A V-JEPA 2: a base model or a classifier.
    Vision(VisionFolder),
    /// A text encoder.
    Text(TextFolder),
}

/// What a model is needed for; the error for an unsuitable model names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Embedding pictures and clips.
    Pictures,
    /// Embedding texts.
    Texts,
    /// Comparing pictures with labels.
    Labels,
    /// Building an index of pictures to be searched by text.
    Index,
    /// Searching an index of pictures by text.
    Search,
    /// Answering questions about pictures.
    Answers,
    /// Writing sentences about pictures.
    Sentences,
    /// Measuring how well the model names and finds pictures.
    Suite,
    /// Showing how the model names and finds pictures.
    Demo,
}

impl Purpose {
    /// The words after "it cannot".
    fn verb(self) -> &'static str {
        match self {
            Self::Pictures => "embed pictures",
            Self::Texts => "embed texts",
            Self::Labels => "compare pictures with labels",
            Self::Index => "build an index that texts search",
            Self::Search => "search pictures by a text",
            Self::Answers => "answer questions",
            Self::Sentences => "write sentences",
            Self::Suite => "be measured on naming and finding pictures",
            Self::Demo => "name and find pictures",
        }
    }
}

impl AnyFolder {
    /// Opens the model folder `dir`; `model_type` in its `config.json` tells the kind.
    ///
    /// # Errors
    /// A path that is not a model folder, missing or damaged files, an invalid configuration, an unknown kind of model.
    pub fn open(dir: &Path) -> Result<Self> {
        vljepa::check_folder(dir)?;
        let config = ConfigFile::read(dir)?;
        if !config.has_text_or_nothing("model_type") {
            return Err(Error::content(config.path, "`model_type` is not a text; name the kind of model"));
        }
        match config.model_type() {
            Some("vjepa2") => VisionFolder::with_config(dir, config).map(Self::Vision),
            Some("vljepa") | None => ModelFolder::with_config(dir, config).map(Self::VlJepa),
            Some(name) if YEncoderKind::of_model_type(name).is_some() => {
                TextFolder::with_config(dir, config).map(Self::Text)
            }
            Some(LewmConfig::MODEL_TYPE) => {
                Err(Error::content(config.path, "is a world model, which plans; name a model that sees or reads"))
            }
            Some(other) => {
                let mut kinds: Vec<&str> =
                    ["vljepa", "vjepa2"].into_iter().chain(YEncoderKind::model_types()).collect();
                let last = kinds.pop().unwrap_or_default();
                let reason = format!("`model_type` is {other:?}; name a model of {} or {last}", kinds.join(", "));
                Err(Error::content(config.path, reason))
            }
        }
    }

    /// The folder as a VL-JEPA, which `purpose` requires.
    ///
    /// # Errors
    /// Another kind of model; the message says which kind of model serves `purpose`.
    pub fn vljepa(self, purpose: Purpose) -> Result<ModelFolder> {
        match self {
            Self::VlJepa(folder) => Ok(folder),
            other => Err(other.cannot(purpose)),
        }
    }

    /// The error that a model of this kind is unsuitable for `purpose`.
    pub fn cannot(&self, purpose: Purpose) -> Error {
        let what = purpose.verb();
        match self {
            Self::VlJepa(folder) => Error::Invalid(format!("{}: cannot {what}", folder.origin())),
            Self::Vision(folder) => {
                let reason = format!("is a V-JEPA 2 encoder: it has no text side, so it cannot {what}");
                let error = |instead: &str| Error::content(folder.file(names::CONFIG), format!("{reason}{instead}"));
                match purpose {
                    Purpose::Labels if folder.labels().is_some() => {
                        error("; leave the labels out for the classes that it was trained on, or use a VL-JEPA")
                    }
                    Purpose::Texts => error("; use a text encoder or a VL-JEPA"),
                    _ => error("").hint(Hint::PicturesAlone),
                }
            }
            Self::Text(folder) => {
                let reason = format!(
                    "is a text encoder ({}): it sees no pictures, so it cannot {what}",
                    format_args!("{:?}", folder.config().config.kind())
                );
                let error = |instead: &str| Error::content(folder.file(names::CONFIG), format!("{reason}{instead}"));
                match purpose {
                    Purpose::Pictures => error("; use a V-JEPA 2 encoder or a VL-JEPA"),
                    _ => error("").hint(Hint::TextsAlone),
                }
            }
        }
    }

    /// The path of the folder, as given, or the name of the built-in model.
    pub fn origin(&self) -> &str {
        match self {
            Self::VlJepa(folder) => folder.origin(),
            Self::Vision(folder) => folder.origin(),
            Self::Text(folder) => folder.origin(),
        }
    }

    /// SHA-256 of configuration, weights and all other files that embeddings depend on. Hexadecimal.
    pub fn hash(&self) -> String {
        match self {
            Self::VlJepa(folder) => folder.hash().to_owned(),
            Self::Vision(folder) => folder.hash(),
            Self::Text(folder) => folder.hash(),
        }
    }
}
