//! Models of any kind: VL-JEPA folders, and encoders as the model hub has them, used where they lie.

mod text;
mod vision;

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use vljepa_model::config::YEncoderKind;

pub(crate) use text::SentenceFiles;
pub use text::{TextFolder, TextModel, TextPool};
pub use vision::{ClassScore, PooledVision, VisionFolder, VisionModel, VisionPool};

use crate::error::{Error, Result};
use crate::files;
use crate::folder::ModelFolder;

pub(crate) const CONFIG: &str = "config.json";
/// Configurations are small; more is not one.
pub(crate) const MAX_JSON: u64 = 64 << 20;

/// The files of one model, whatever its kind.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one of them in a process
#[non_exhaustive]
pub enum AnyFolder {
    /// A whole VL-JEPA.
    VlJepa(ModelFolder),
    /// A V-JEPA 2 encoder, base model or classifier.
    Vision(VisionFolder),
    /// A text encoder.
    Text(TextFolder),
}

/// What a verb needs of a model, for the message of one that has it not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// `embed`: something that sees.
    Pictures,
    /// `embed-text`: something that reads.
    Texts,
    /// `classify` with labels: both, in one space.
    Labels,
    /// `index build`: pictures that texts find.
    Index,
    /// `search`.
    Search,
    /// `ask`.
    Answers,
    /// `eval`: names for pictures.
    Suite,
    /// `demo`.
    Demo,
}

impl Need {
    fn what(self) -> &'static str {
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
    /// The model at `dir`, of the kind that its `config.json` says, or the compact one that the program carries.
    ///
    /// # Errors
    /// What is wrong with the folder, one of its files, or its configuration.
    pub fn find(dir: Option<&Path>) -> Result<Self> {
        let Some(dir) = dir else { return Ok(Self::VlJepa(ModelFolder::compact()?)) };
        match kind(dir)?.as_deref() {
            Some("vjepa2") => VisionFolder::open(dir).map(Self::Vision),
            Some(text) if YEncoderKind::of_model_type(text).is_some() => TextFolder::open(dir).map(Self::Text),
            Some("vljepa") | None => ModelFolder::open(dir).map(Self::VlJepa),
            Some(other) => {
                let texts: Vec<&str> = YEncoderKind::model_types().collect();
                let texts = texts.join(", ");
                let reason = format!("`model_type` is {other:?}; name a model of vljepa, vjepa2, {texts}");
                Err(Error::content(dir.join(CONFIG), reason))
            }
        }
    }

    /// The whole VL-JEPA that `need` takes.
    ///
    /// # Errors
    /// [`Error::Content`] when it is another kind of model: what it cannot do, and what can.
    pub fn vljepa(self, need: Need) -> Result<ModelFolder> {
        match self {
            Self::VlJepa(folder) => Ok(folder),
            other => Err(other.cannot(need)),
        }
    }

    /// That this kind of model has not what `need` takes.
    pub fn cannot(&self, need: Need) -> Error {
        let what = need.what();
        match self {
            Self::VlJepa(folder) => Error::Invalid(format!("{}: cannot {what}", folder.origin())),
            Self::Vision(folder) => {
                let instead = match need {
                    Need::Labels if folder.labels().is_some() => {
                        "leave the labels out for the classes that it was trained on, or use a VL-JEPA"
                    }
                    Need::Texts => "use a text encoder or a VL-JEPA",
                    _ => "use a VL-JEPA, or `vljepa embed` for vectors of pictures alone",
                };
                let file = folder.file(CONFIG);
                Error::content(
                    file,
                    format!("is a V-JEPA 2 encoder: it has no text side, so it cannot {what}; {instead}"),
                )
            }
            Self::Text(folder) => {
                let instead = match need {
                    Need::Pictures => "use a V-JEPA 2 encoder or a VL-JEPA",
                    _ => "use a VL-JEPA, or `vljepa embed-text` for vectors of texts alone",
                };
                let file = folder.file(CONFIG);
                Error::content(
                    file,
                    format!(
                        "is a text encoder ({}): it sees no pictures, so it cannot {what}; {instead}",
                        folder.kind()
                    ),
                )
            }
        }
    }

    /// The folder as given, or `compact model`.
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

/// `model_type` of a folder's `config.json`. What is wrong with the file is left to the reader of its kind to say.
fn kind(dir: &Path) -> Result<Option<String>> {
    let path = dir.join(CONFIG);
    // Anything but a folder with a configuration: the reader of model folders says what it is.
    if !path.is_file() {
        return Ok(None);
    }
    let text = files::read_text(&path, MAX_JSON)?;
    let value: Option<Value> = serde_json::from_str(&text).ok();
    Ok(value.and_then(|v| v["model_type"].as_str().map(str::to_owned)))
}

/// SHA-256 of parts, each with its length before it. Hexadecimal.
pub(crate) fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
