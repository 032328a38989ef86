//! The `config.json` of a model folder, read and parsed once.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::{self, MAX_JSON};
use crate::names;

/// A configuration file: its text, which enters fingerprints, and its JSON value.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    pub path: PathBuf,
    pub text: String,
    /// Null where the text is not JSON; [`Self::parse`] then reports the fault.
    pub value: Value,
}

impl ConfigFile {
    /// Reads the configuration of the folder `dir`.
    ///
    /// # Errors
    /// A file that is missing, empty, too long or not UTF-8.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(names::CONFIG);
        let text = files::read_text(&path, MAX_JSON)?;
        let value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { path, text, value })
    }

    /// The value of `model_type`, if there is one.
    pub fn model_type(&self) -> Option<&str> {
        self.value["model_type"].as_str()
    }

    /// Whether the key is absent, null, or a text.
    pub fn has_text_or_nothing(&self, key: &str) -> bool {
        self.value.get(key).is_none_or(|value| value.is_null() || value.is_string())
    }

    /// The configuration of one kind of model. After a fault in the value it parses the text again, to report line and
    /// column.
    ///
    /// # Errors
    /// A fault of the configuration, with the file's name.
    pub fn parse<T>(
        &self,
        from_value: impl FnOnce(&Value) -> vljepa_model::Result<T>,
        from_json: impl FnOnce(&str) -> vljepa_model::Result<T>,
    ) -> Result<T> {
        from_value(&self.value).or_else(|_| from_json(&self.text)).map_err(Error::model(self.path.display()))
    }
}
