//! Writing the folder of a trained VL-JEPA.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use vljepa_data::atomic::{sync_folder_of, write_atomically};
use vljepa_model::config::VlJepaConfig;

use crate::error::{Error, Result};
use crate::names;

/// What a model folder holds, to be written.
#[derive(Clone, Copy, Debug)]
pub struct ModelFiles<'a> {
    /// The configuration.
    pub config: &'a VlJepaConfig,
    /// The bytes of `model.safetensors`.
    pub weights: &'a [u8],
    /// `tokenizer.json` of the target texts.
    pub target_tokenizer: &'a [u8],
    /// `tokenizer.json` of the queries, of a model that takes some.
    pub query_tokenizer: Option<&'a [u8]>,
}

impl ModelFiles<'_> {
    /// Writes the files into the folder `dir`, in place of those that are there, one by one so that each is whole.
    /// `config.json`, without which a folder is no model, is removed first and written last; before it `beside` writes what
    /// else belongs there, such as the card.
    ///
    /// # Errors
    /// What removing and writing report, and what `beside` reports. The folder is then no model.
    pub fn write_into<T, E: From<Error>>(
        &self,
        dir: &Path,
        beside: impl FnOnce(&Path) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let config = dir.join(names::CONFIG);
        let json = self.config.to_json().map_err(Error::model(config.display()))?;
        fs::create_dir_all(dir).map_err(Error::io(dir, "creating"))?;
        remove(&config)?;
        let write = |name: &str, bytes: &[u8]| write_atomically(&dir.join(name), bytes).map_err(Error::from);
        write(names::WEIGHTS, self.weights)?;
        write(names::TARGET_TOKENIZER, self.target_tokenizer)?;
        match self.query_tokenizer {
            Some(tokenizer) => write(names::QUERY_TOKENIZER, tokenizer)?,
            // One of an earlier model would make this one take queries.
            None => remove(&dir.join(names::QUERY_TOKENIZER))?,
        }
        let made = beside(dir)?;
        write(names::CONFIG, json.as_bytes())?;
        Ok(made)
    }
}

/// Removes a file that may be there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(path, "removing")(error)),
        _ => {
            sync_folder_of(path);
            Ok(())
        }
    }
}
