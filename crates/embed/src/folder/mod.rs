//! Model folders of any kind: read and written here, names and all.

mod config;
mod text;
mod vision;
mod vljepa;
mod write;

use std::path::Path;

pub use text::{SentenceFiles, TextFolder};
pub use vision::VisionFolder;
pub use vljepa::{CarriedModel, ModelFolder};
pub use write::ModelFiles;

use crate::error::{Error, Hint, Result};
use crate::names;
use config::ConfigFile;
use vljepa_model::config::YEncoderKind;

/// The files of one model, whatever its kind.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one of them in a process
pub enum AnyFolder {
    /// A whole VL-JEPA.
    VlJepa(ModelFolder),
    /// A V-JEPA 2 encoder, base model or classifier.
    Vision(VisionFolder),
    /// A text encoder.
    Text(TextFolder),
}

/// What a model is wanted for, so that one which cannot do it is refused in words that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Vectors of pictures and clips.
    Pictures,
    /// Vectors of texts.
    Texts,
    /// Pictures compared with labels, both in one space.
    Labels,
    /// An index of pictures that texts find.
    Index,
    /// A search of such an index.
    Search,
    /// Answers to questions about pictures.
    Answers,
    /// Names for pictures, counted.
    Suite,
    /// Names for pictures, shown.
    Demo,
}

impl Purpose {
    /// After "it cannot".
    fn verb(self) -> &'static str {
        match self {
            Self::Pictures => "embed pictures",
            Self::Texts => "embed texts",
            Self::Labels => "compare pictures with labels",
            Self::Index => "build an index that texts search",
            Self::Search => "search pictures by a text",
            Self::Answers => "answer questions",
            Self::Suite => "be measured on naming and finding pictures",
            Self::Demo => "name and find pictures",
        }
    }
}

impl AnyFolder {
    /// The model at `dir`, of the kind that its `config.json` says.
    ///
    /// # Errors
    /// What is wrong with the folder, one of its files, or its configuration.
    pub fn open(dir: &Path) -> Result<Self> {
        vljepa::check_folder(dir)?;
        let config = ConfigFile::read(dir)?;
        match config.model_type() {
            Some("vjepa2") => VisionFolder::with_config(dir, config).map(Self::Vision),
            Some("vljepa") | None => ModelFolder::with_config(dir, config).map(Self::VlJepa),
            Some(name) if YEncoderKind::of_model_type(name).is_some() => {
                TextFolder::with_config(dir, config).map(Self::Text)
            }
            Some(other) => {
                let mut known: Vec<&str> =
                    ["vljepa", "vjepa2"].into_iter().chain(YEncoderKind::model_types()).collect();
                let last = known.pop().unwrap_or_default();
                let reason = format!("`model_type` is {other:?}; name a model of {} or {last}", known.join(", "));
                Err(Error::content(config.path, reason))
            }
        }
    }

    /// The whole VL-JEPA that `purpose` takes.
    ///
    /// # Errors
    /// [`Error::Content`] when it is another kind of model: what it cannot do, and what can.
    pub fn vljepa(self, purpose: Purpose) -> Result<ModelFolder> {
        match self {
            Self::VlJepa(folder) => Ok(folder),
            other => Err(other.cannot(purpose)),
        }
    }

    /// The error that this kind of model does not serve `purpose`.
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

    /// The folder as given, or what the carried model is called.
    pub fn origin(&self) -> &str {
        match self {
            Self::VlJepa(folder) => folder.origin(),
            Self::Vision(folder) => folder.origin(),
            Self::Text(folder) => folder.origin(),
        }
    }

    /// SHA-256 over everything that embeddings depend on. Hexadecimal.
    pub fn hash(&self) -> String {
        match self {
            Self::VlJepa(folder) => folder.hash().to_owned(),
            Self::Vision(folder) => folder.hash(),
            Self::Text(folder) => folder.hash(),
        }
    }
}
