//! Reading files that settings name: a fault of a file is one of its setting.

use std::path::Path;

use vljepa_embed::files;
use vljepa_model::ModelError;

use crate::error::{Result, TrainError};

/// Reads a tokenizer that lies in a folder that a setting names.
pub(super) fn read_tokenizer(key: &'static str, path: &Path) -> Result<Vec<u8>> {
    files::read(path, files::MAX_TOKENIZER).map_err(read_fault(key))
}

/// Reads a configuration that a setting names or that lies in a folder that it names.
pub(super) fn read_config(key: &'static str, path: &Path) -> Result<String> {
    files::read_text(path, files::MAX_JSON).map_err(read_fault(key))
}

/// As [`file_fault`], with a hint for a file that is not there.
pub(super) fn read_fault(key: &'static str) -> impl Fn(vljepa_embed::Error) -> TrainError {
    move |error| match error {
        vljepa_embed::Error::Missing(path) => {
            let what = "there is no such file (paths are relative to the folder of this one)";
            TrainError::setting(key, format!("`{key}`: {}: {what}", path.display()))
        }
        error => file_fault(key)(error),
    }
}

/// For `map_err`: the fault of a file that the setting `key` names, with a hint; faults of the device stay what they are.
pub(super) fn fault(key: &'static str, path: &Path, hint: &'static str) -> impl FnOnce(ModelError) -> TrainError {
    let path = path.display().to_string();
    move |error| match error {
        ModelError::Tensor(error) => error.into(),
        error => TrainError::setting(key, format!("`{key}`: {path}: {error}{hint}")),
    }
}

/// For `map_err`: the fault of a file that the setting `key` names or that lies in a folder that it names.
pub(super) fn file_fault(key: &'static str) -> impl Fn(vljepa_embed::Error) -> TrainError {
    move |error| match error {
        vljepa_embed::Error::Tensor(error) => error.into(),
        error => TrainError::setting(key, format!("`{key}`: {error}")),
    }
}
