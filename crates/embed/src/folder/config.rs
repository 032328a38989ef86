//! The `config.json` of a folder, read and parsed once.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::{self, MAX_JSON};
use crate::names;

/// A configuration file: its text, which fingerprints are made of, and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    pub path: PathBuf,
    pub text: String,
    /// Null where the text is no JSON: whoever reads the configuration says what is wrong with it.
    pub value: Value,
}

impl ConfigFile {
    /// Reads the configuration of the folder `dir`.
    ///
    /// # Errors
    /// A file that is missing, empty, too long or no text.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(names::CONFIG);
        let text = files::read_text(&path, MAX_JSON)?;
        let value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { path, text, value })
    }

    /// `model_type`, where it is said.
    pub fn model_type(&self) -> Option<&str> {
        self.value["model_type"].as_str()
    }

    /// What a kind of model reads in it. Only a fault makes it read the text again, for its line and column.
    ///
    /// # Errors
    /// The fault, with the file's name.
    pub fn parse<T>(
        &self,
        from_value: impl FnOnce(&Value) -> vljepa_model::Result<T>,
        from_json: impl FnOnce(&str) -> vljepa_model::Result<T>,
    ) -> Result<T> {
        from_value(&self.value).or_else(|_| from_json(&self.text)).map_err(Error::model(self.path.display()))
    }
}
