//! The tokenizer of the queries: which file it is, and whether the model has a row for each of its tokens.

use std::path::PathBuf;

use vljepa_embed::names;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::{CutTexts, TextTokenizer};

use super::read::{fault, read_tokenizer};
use crate::config::ModelSource;
use crate::data::Source;
use crate::error::{Result, TrainError};

/// The tokenizer of the queries, and what it does to them.
#[derive(Debug)]
pub(crate) struct Queries {
    pub tokenizer: TextTokenizer,
    /// The bytes of its file.
    pub json: Vec<u8>,
    /// The queries that are longer than the model takes.
    pub cut: Option<CutTexts>,
}

impl Queries {
    /// Reads the tokenizer that `model.query_tokenizer` names, else that of the model folder, else for a model that starts from
    /// random weights that of its Y-Encoder, and splits all queries with it.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a model without one, a file that cannot be read, and a tokenizer with more tokens than the
    /// Predictor has rows for.
    pub fn find(source: &ModelSource, model: &VlJepaConfig, data: &dyn Source) -> Result<Self> {
        let (key, path) = place(source)?;
        let json = read_tokenizer(key, &path)?;
        let tokenizer = TextTokenizer::for_queries(&json, model).map_err(fault(key, &path, ""))?;
        let tokenizer = tokenizer.named(path.display());
        let (tokens, rows) = (tokenizer.vocab_size(), model.predictor.config.vocab_size);
        if let Some(config) = source.config.as_ref().filter(|_| tokens > rows) {
            let what = format!(
                "`model.config`: {}: the samples have queries, whose tokenizer has {tokens} tokens, and the Predictor has rows for \
                 {rows}; set `predictor.config.vocab_size` to {tokens}, and `max_query_tokens` to the length of the longest query",
                config.display()
            );
            return Err(TrainError::setting("model.config", what));
        }
        let hint = "; take a model that was trained with queries, or start one from `model.config`";
        let encoded = tokenizer.encode_all("", &data.queries()).map_err(fault(key, &path, hint))?;
        Ok(Self { tokenizer, json, cut: encoded.1 })
    }
}

/// The file of the queries' tokenizer, and the setting that leads to it.
fn place(source: &ModelSource) -> Result<(&'static str, PathBuf)> {
    let of_folder = source.folder.as_ref().map(|folder| folder.join(names::QUERY_TOKENIZER));
    match (&source.query_tokenizer, of_folder) {
        (Some(path), _) => Ok(("model.query_tokenizer", path.clone())),
        (None, Some(path)) if path.exists() => Ok(("model.folder", path)),
        (None, Some(path)) => {
            let what = format!(
                "`model.folder`: the samples have queries, and {} is not there; take a model that was trained with queries, or \
                 start one from `model.config`",
                path.display()
            );
            Err(TrainError::setting("model.folder", what))
        }
        (None, None) => of_targets(source),
    }
}

/// The file of the Y-Encoder's tokenizer, and the setting that leads to it.
pub(super) fn of_targets(source: &ModelSource) -> Result<(&'static str, PathBuf)> {
    match (&source.y_encoder, &source.folder) {
        (Some(folder), _) => {
            let own = folder.join(names::TARGET_TOKENIZER);
            Ok(("model.y_encoder", if own.exists() { own } else { folder.join(names::TOKENIZER) }))
        }
        (None, Some(folder)) => Ok(("model.folder", folder.join(names::TARGET_TOKENIZER))),
        (None, None) => Err(TrainError::setting("model", "`model.y_encoder` is missing")),
    }
}
