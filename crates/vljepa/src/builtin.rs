//! The models that the program carries, and opening a model by its folder or by a carried one's name.

use std::path::Path;

use vljepa_embed::folder::{AnyFolder, LewmFolder, ModelFolder};

use crate::error::Result;

/// A model that is built into the program. Both have one text encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// `compact`: pictures of things, and films frame by frame. It takes no questions.
    Compact,
    /// `sprites`: clips of eight frames, what happens in them, and questions about them.
    Sprites,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Compact, Self::Sprites];

    /// What it is called where a model's folder is asked for.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Sprites => "sprites",
        }
    }

    /// Whether this build carries it.
    pub const fn is_carried(self) -> bool {
        match self {
            Self::Compact => cfg!(compact_model),
            Self::Sprites => cfg!(sprites_model),
        }
    }

    /// The model.
    ///
    /// # Errors
    /// A build without it.
    pub fn open(self) -> Result<ModelFolder> {
        let carried = match self {
            Self::Compact => carried::compact(),
            Self::Sprites => carried::sprites(),
        };
        match carried {
            Some(files) => Ok(ModelFolder::carried(files)?),
            None => {
                let error = vljepa_embed::Error::Invalid(format!("this build carries no model `{}`", self.name()));
                Err(crate::Error::from(error).hint(crate::Hint::NameModel))
            }
        }
    }
}

/// Name of the world model that is built into the program: of TwoRoom.
pub const WORLD_MODEL: &str = "two-room";

/// The world model that is built into the program, and its guide.
#[derive(Clone, Copy, Debug)]
pub struct CarriedWorldModel {
    config: &'static str,
    weights: &'static [u8],
    guide: &'static [u8],
}

impl CarriedWorldModel {
    /// The model; `None` in a build without it.
    pub fn find() -> Option<Self> {
        carried::two_room()
    }

    /// The model's folder.
    ///
    /// # Errors
    /// An invalid configuration.
    pub fn folder(self) -> Result<LewmFolder> {
        Ok(LewmFolder::carried("two-room model", self.config, self.weights)?)
    }

    /// The bytes of its guide.
    pub const fn guide(self) -> &'static [u8] {
        self.guide
    }
}

/// The files, where they were there when the program was built.
mod carried {
    use vljepa_embed::folder::CarriedModel;

    /// The frozen text encoder has its own file, which both models share.
    #[cfg(compact_model)]
    const TEXT_ENCODER: (&str, &[u8]) =
        ("model-00001-of-00002.safetensors", include_bytes!("../assets/compact/model-00001-of-00002.safetensors"));

    #[cfg(compact_model)]
    pub(super) fn compact() -> Option<CarriedModel> {
        const SHARDS: &[(&str, &[u8])] = &[
            TEXT_ENCODER,
            ("model-00002-of-00002.safetensors", include_bytes!("../assets/compact/model-00002-of-00002.safetensors")),
        ];
        Some(CarriedModel {
            origin: "compact model",
            config: include_str!("../assets/compact/config.json"),
            index: include_str!("../assets/compact/model.safetensors.index.json"),
            shards: SHARDS,
            target_tokenizer: include_bytes!("../assets/compact/target_tokenizer.json"),
            query_tokenizer: None,
            card: Some(include_str!("../assets/compact/README.md")),
        })
    }

    #[cfg(not(compact_model))]
    pub(super) fn compact() -> Option<CarriedModel> {
        None
    }

    #[cfg(sprites_model)]
    pub(super) fn sprites() -> Option<CarriedModel> {
        const SHARDS: &[(&str, &[u8])] = &[
            TEXT_ENCODER,
            ("model-00002-of-00002.safetensors", include_bytes!("../assets/sprites/model-00002-of-00002.safetensors")),
        ];
        let tokenizer = include_bytes!("../assets/compact/target_tokenizer.json");
        Some(CarriedModel {
            origin: "sprites model",
            config: include_str!("../assets/sprites/config.json"),
            index: include_str!("../assets/sprites/model.safetensors.index.json"),
            shards: SHARDS,
            target_tokenizer: tokenizer,
            query_tokenizer: Some(tokenizer),
            card: Some(include_str!("../assets/sprites/README.md")),
        })
    }

    #[cfg(not(sprites_model))]
    pub(super) fn sprites() -> Option<CarriedModel> {
        None
    }

    #[cfg(two_room_model)]
    pub(super) fn two_room() -> Option<super::CarriedWorldModel> {
        Some(super::CarriedWorldModel {
            config: include_str!("../assets/two-room/config.json"),
            weights: include_bytes!("../assets/two-room/model.safetensors"),
            guide: include_bytes!("../assets/two-room/guide.safetensors"),
        })
    }

    #[cfg(not(two_room_model))]
    pub(super) fn two_room() -> Option<super::CarriedWorldModel> {
        None
    }
}

/// Opens the model folder `dir`, of any kind, or the built-in model of that name where there is no such folder; without `dir`, the
/// built-in model `otherwise`.
///
/// # Errors
/// A path that is not a model folder, missing or damaged files, an invalid configuration; a build without the built-in model.
pub fn find(dir: Option<&Path>, otherwise: Builtin) -> Result<AnyFolder> {
    let Some(dir) = dir else { return Ok(AnyFolder::VlJepa(otherwise.open()?)) };
    let named = Builtin::ALL.into_iter().find(|builtin| dir == Path::new(builtin.name()) && !dir.exists());
    match named {
        Some(builtin) => Ok(AnyFolder::VlJepa(builtin.open()?)),
        None => Ok(AnyFolder::open(dir)?),
    }
}
