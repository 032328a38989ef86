//! Writes the folder of a trained VL-JEPA.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use vljepa_data::atomic::{sync_folder_of, write_atomically};
use vljepa_model::config::VlJepaConfig;

use crate::error::{Error, Result};
use crate::names;

/// The content of a model folder that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct ModelFiles<'a> {
    /// The configuration.
    pub config: &'a VlJepaConfig,
    /// The bytes of `model.safetensors`.
    pub weights: &'a [u8],
    /// The `tokenizer.json` for target texts.
    pub target_tokenizer: &'a [u8],
    /// The `tokenizer.json` for queries; `None` for a model that takes no queries.
    pub query_tokenizer: Option<&'a [u8]>,
}

impl ModelFiles<'_> {
    /// Writes the files into the folder `dir`, replacing existing ones; each file is written atomically. `config.json`
    /// is removed first and written last, because a folder without it is not a model folder. Before that, `write_more`
    /// writes additional files such as the model card.
    ///
    /// # Errors
    /// Errors of removing and writing, and errors of `write_more`. The folder then has no `config.json`.
    pub fn write_into<T, E: From<Error>>(
        &self,
        dir: &Path,
        write_more: impl FnOnce(&Path) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let json = self.config.to_json().map_err(Error::model(dir.join(names::CONFIG).display()))?;
        let write = |name: &str, bytes: &[u8]| write_atomically(&dir.join(name), bytes).map_err(Error::from);
        let files = || {
            write(names::WEIGHTS, self.weights)?;
            write(names::TARGET_TOKENIZER, self.target_tokenizer)?;
            match self.query_tokenizer {
                Some(tokenizer) => write(names::QUERY_TOKENIZER, tokenizer),
                // The query tokenizer of an earlier model would make this model take queries.
                None => remove(&dir.join(names::QUERY_TOKENIZER)),
            }
        };
        write_folder(dir, &json, files, write_more)
    }
}

/// Writes a model folder: without its `config.json` first, then `files` and what `write_more` adds, and the configuration last,
/// because a folder without it is not a model folder.
pub(super) fn write_folder<T, E: From<Error>>(
    dir: &Path,
    config: &str,
    files: impl FnOnce() -> Result<()>,
    write_more: impl FnOnce(&Path) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let path = dir.join(names::CONFIG);
    fs::create_dir_all(dir).map_err(Error::io(dir, "creating"))?;
    remove(&path)?;
    files()?;
    let made = write_more(dir)?;
    write_atomically(&path, config.as_bytes()).map_err(Error::from)?;
    Ok(made)
}

/// Removes a file if it exists.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(path, "removing")(error)),
        _ => {
            sync_folder_of(path);
            Ok(())
        }
    }
}
