//! The compact model that the program carries, and finding one by a folder's name.

use std::path::Path;

use vljepa_embed::folder::{AnyFolder, ModelFolder};

use crate::error::Result;

/// What messages call it.
#[cfg(compact_model)]
const ORIGIN: &str = "compact model";

/// The compact model that the program carries.
///
/// # Errors
/// When this build carries none.
#[cfg(compact_model)]
pub fn compact() -> Result<ModelFolder> {
    // The frozen text encoder has a file of its own, so that training anew changes only the small one.
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

/// The compact model that the program carries.
///
/// # Errors
/// When this build carries none.
#[cfg(not(compact_model))]
pub fn compact() -> Result<ModelFolder> {
    let error = vljepa_embed::Error::Invalid("this build carries no compact model".into());
    Err(crate::Error::from(error).hint(crate::Hint::NameModel))
}

/// Whether this build carries a compact model.
pub const fn has_compact() -> bool {
    cfg!(compact_model)
}

/// The model at `dir`, of the kind that its configuration says, or the compact one.
///
/// # Errors
/// What is wrong with the folder, one of its files, or its configuration; a build without a compact model.
pub fn find(dir: Option<&Path>) -> Result<AnyFolder> {
    match dir {
        Some(dir) => Ok(AnyFolder::open(dir)?),
        None => Ok(AnyFolder::VlJepa(compact()?)),
    }
}
