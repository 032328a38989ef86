//! The built-in compact model, and opening a model by its folder's name.

use std::path::Path;

use vljepa_embed::folder::{AnyFolder, ModelFolder};

use crate::error::Result;

/// The model's name in messages.
#[cfg(compact_model)]
const ORIGIN: &str = "compact model";

/// The compact model that is built into the program.
///
/// # Errors
/// A build without a compact model.
#[cfg(compact_model)]
pub fn compact() -> Result<ModelFolder> {
    // The frozen text encoder has its own file, so that a new training run changes only the other one.
    const SHARDS: &[(&str, &[u8])] = &[
        ("model-00001-of-00002.safetensors", include_bytes!("../assets/compact/model-00001-of-00002.safetensors")),
        ("model-00002-of-00002.safetensors", include_bytes!("../assets/compact/model-00002-of-00002.safetensors")),
    ];
    Ok(ModelFolder::carried(vljepa_embed::folder::CarriedModel {
        origin: ORIGIN,
        config: include_str!("../assets/compact/config.json"),
        index: include_str!("../assets/compact/model.safetensors.index.json"),
        shards: SHARDS,
        target_tokenizer: include_bytes!("../assets/compact/target_tokenizer.json"),
        query_tokenizer: None,
        card: Some(include_str!("../assets/compact/README.md")),
    })?)
}

/// The compact model that is built into the program.
///
/// # Errors
/// A build without a compact model.
#[cfg(not(compact_model))]
pub fn compact() -> Result<ModelFolder> {
    let error = vljepa_embed::Error::Invalid("this build carries no compact model".into());
    Err(crate::Error::from(error).hint(crate::Hint::NameModel))
}

/// Whether this build carries a compact model.
pub const fn has_compact() -> bool {
    cfg!(compact_model)
}

/// Opens the model folder `dir`, of any kind; without `dir`, the built-in compact model.
///
/// # Errors
/// A path that is not a model folder, missing or damaged files, an invalid configuration; a build without a compact
/// model.
pub fn find(dir: Option<&Path>) -> Result<AnyFolder> {
    match dir {
        Some(dir) => Ok(AnyFolder::open(dir)?),
        None => Ok(AnyFolder::VlJepa(compact()?)),
    }
}
